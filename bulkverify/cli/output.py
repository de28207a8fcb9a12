"""The output of a command: data on stdout, everything else on stderr, and JSON on demand."""

import json
import os
import re
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, Final, TextIO

import attrs
from cyclopts import Group, Parameter

from bulkverify.cli.interrupts import interrupting_at_once
from bulkverify.cli.streams import has_room
from bulkverify.cli.wrapping import fitted

if TYPE_CHECKING:
    from bulkverify.cli.watching import Follower, Kind, Line


def unlisted(console: object, options: object, panel: object) -> None:
    """Print nothing: `bulkverify --help` explains the options that many commands share."""
    del console, options, panel  # cyclopts passes them by these names


_GROUP: Final = Group("Output", sort_key=20, help_formatter=unlisted)
_MARKED: Final = re.compile(
    r"^(?:(?P<muted>[A-Za-z][A-Za-z -]{,13}\d*  +(?=\S))|(?P<held_up>Please check:)|(?P<wrong>bulkverify: error:)"
    r"|(?P<asked>.*(?= \[y/N\])))",
    re.MULTILINE,
)
_CODES: Final = {"muted": "90", "held_up": "33", "wrong": "1;31", "asked": "1"}
"""The codes of the palette, because rich is slow to import."""
_PIECE_CHARACTERS: Final = (
    400  # a writable pipe takes 4096 bytes, and an escaped character has up to 10
)


class OutputClosedError(Exception):
    """The reader of stdout or stderr went away."""


@Parameter(name="*", group=_GROUP)
@attrs.frozen(kw_only=True)
class Show:
    """What a command shows, and how."""

    json: bool = False
    """One JSON document on stdout, also for errors, and nothing on stderr."""

    quiet: Annotated[bool, Parameter(alias="-q")] = False
    """No progress, summaries or hints; data and errors are still shown."""

    verbose: Annotated[int, Parameter(alias="-v", count=True, show_default=False)] = 0
    """Log to stderr what happens; -vv logs more, and shows tracebacks."""

    @property
    def on_terminal(self) -> bool:
        """Whether to show progress as bars on stderr."""
        return (
            not (self.json or self.quiet)
            and sys.stderr.isatty()
            and os.environ.get("TERM") != "dumb"
        )

    @property
    def can_ask(self) -> bool:
        """Whether a person is there to be asked."""
        return not self.json and sys.stdin.isatty() and sys.stderr.isatty()

    @property
    def _kind(self) -> "Kind":
        if self.on_terminal:
            return "bars"
        # The log has a line for each stage, too.
        return "nothing" if self.json or self.quiet or self.verbose else "lines"

    def data(self, model: object, text: str) -> None:
        """Write the result of the command to stdout: the model as JSON, or the text."""
        if self.json:
            write(sys.stdout, json.dumps(as_json(model)))
        else:
            tell(sys.stdout, text)

    def note(self, text: str) -> None:
        """Write a remark to stderr."""
        if not (self.json or self.quiet):
            tell(sys.stderr, text)

    def acknowledge(self, model: object, text: str) -> None:
        """Report the success of a command that has no result: a remark, or the model as JSON."""
        if self.json:
            self.data(model, text)
        else:
            self.note(text)

    def progress(self, *, brief: bool = False) -> "AbstractContextManager[Line]":
        """Follow one job while the block runs; what is `brief` writes no lines where there is no terminal."""
        from bulkverify.cli.watching import progress  # noqa: PLC0415 - not for --help

        return progress("nothing" if brief and self._kind == "lines" else self._kind)

    def following(self) -> "AbstractContextManager[Follower]":
        """Follow a run while the block runs."""
        from bulkverify.cli.watching import following  # noqa: PLC0415 - likewise

        return following(self._kind)


SHOW: Final = Show()


def as_json(model: object) -> object:
    """Turn a model into objects that `json` can write: keys as in the model, times in ISO 8601."""
    from bulkverify.service.converter import converter  # noqa: PLC0415 - cattrs; not for --help

    return converter.unstructure(model)


def tell(stream: TextIO, text: str, *, end: str = "\n") -> None:
    """Write lines for people; on a terminal, lines are broken between words, and some words have a colour.

    Raises:
        OutputClosedError, Interrupted, OSError: as `write`.
    """
    if stream.isatty():
        width = os.get_terminal_size(stream.fileno()).columns
        text = "\n".join(fitted(line, width) for line in text.splitlines())
        if not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
            text = _MARKED.sub(_coloured, text)
    write(stream, text, end=end)


def ask(question: str) -> bool:
    """Ask a person; anything but yes is no."""
    with interrupting_at_once():
        tell(sys.stderr, f"{question} [y/N]", end=" ")
        return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _coloured(marked: "re.Match[str]") -> str:
    return f"\x1b[{_CODES[marked.lastgroup or '']}m{marked[0]}\x1b[0m"


def write(stream: TextIO, text: str, *, end: str = "\n") -> None:
    """Write lines to stdout or stderr. If the pipe is full, a signal ends the wait.

    Raises:
        OutputClosedError: the reader went away.
        Interrupted: a signal came before all was written.
        OSError: the write failed, as on a full disk.
    """
    lines = f"{text}{end}"
    try:
        for begin in range(0, len(lines), _PIECE_CHARACTERS):
            with interrupting_at_once():
                has_room(stream)
            stream.write(lines[begin : begin + _PIECE_CHARACTERS])
            stream.flush()
    except BrokenPipeError:
        give_up(stream)
        raise OutputClosedError from None
    except OSError:
        give_up(stream)
        raise


def give_up(*streams: TextIO) -> None:
    """Redirect streams to the null device, so that flushing them can neither fail nor block."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
