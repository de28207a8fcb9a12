"""The entry point, which also works where the extra is missing: it then says what to install."""

import os
import sys
from io import TextIOWrapper
from pathlib import Path

_EXTRA = frozenset({"cyclopts", "rich"})


def main() -> None:
    """Run the command that the process was started with, and exit with its code."""
    _make_streams_usable()
    try:
        import rich  # noqa: F401, PLC0415 - needed only later, so a lack of it would show only later

        from bulkverify.cli.runner import run  # noqa: PLC0415 - a missing extra is told from here
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write(
            f"bulkverify: error: {error.name} is not installed. The command line comes with an extra:\n"
            '  pip install "bulkverify[cli]"\n'
        )
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))


def _make_streams_usable() -> None:
    """Let neither a closed stream nor one that lacks a character end a run that may have been paid."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started the process
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for good
        elif mode == "w" and isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
