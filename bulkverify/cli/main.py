"""The entry point. Without the extra it says what to install."""

import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from threading import enumerate as enumerate_threads
from threading import main_thread
from typing import NoReturn

from bulkverify._version import __version__

_EXTRA = frozenset({"cyclopts", "rich"})


def main() -> None:
    """Run the command that the process was started with, and exit with its code."""
    _make_streams_usable()
    if sys.argv[1:] == ["--version"]:
        with suppress(OSError):  # the runner below reports it
            os.write(sys.stdout.fileno(), f"{__version__}\n".encode())
            return
    try:
        import rich  # noqa: F401, PLC0415 - if it is missing, fail before a run, not during one

        from bulkverify.cli.runner import run  # noqa: PLC0415 - a missing extra is reported here

        code = int(run(sys.argv[1:]))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write(
            f"bulkverify: error: {error.name} is not installed. The command line comes with an extra:\n"
            '  pip install "bulkverify[cli]"\n'
        )
        code = 2
    except KeyboardInterrupt:  # before the command began, or after it reported how it ended
        code = 130
    _exit(code)


def _exit(code: int) -> NoReturn:
    """End the process, even if a signal has left a blocked thread behind."""
    if any(thread is not main_thread() and not thread.daemon for thread in enumerate_threads()):
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _make_streams_usable() -> None:
    """Make sure that a closed stream or a character that can't be encoded does not end a paid run."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:  # it was closed when the process started
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - it stays open
        elif mode == "w" and isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
