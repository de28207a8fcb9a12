"""The output of a command: data on stdout, everything else on stderr, and JSON on demand."""

import json
import os
import select
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, Final, TextIO

import attrs
from cyclopts import Group, Parameter

from bulkverify.cli.interrupts import interrupting_at_once

if TYPE_CHECKING:
    from bulkverify.cli.watching import Follower, Line

_GROUP: Final = Group("Output", sort_key=20)
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
        """Whether to show progress on stderr."""
        return (
            not (self.json or self.quiet)
            and sys.stderr.isatty()
            and os.environ.get("TERM") != "dumb"
        )

    def data(self, model: object, text: str) -> None:
        """Write the result of the command to stdout: the model as JSON, or the text."""
        write(sys.stdout, json.dumps(as_json(model)) if self.json else text)

    def note(self, text: str) -> None:
        """Write a remark to stderr."""
        if not (self.json or self.quiet):
            write(sys.stderr, text)

    def acknowledge(self, model: object, text: str) -> None:
        """Report the success of a command that has no result: a remark, or the model as JSON."""
        if self.json:
            self.data(model, text)
        else:
            self.note(text)

    def progress(self) -> "AbstractContextManager[Line]":
        """Follow one job while the block runs."""
        from bulkverify.cli.watching import progress  # noqa: PLC0415 - not for --help

        return progress(on_terminal=self.on_terminal)

    def following(self) -> "AbstractContextManager[Follower]":
        """Follow a run while the block runs."""
        from bulkverify.cli.watching import following  # noqa: PLC0415 - likewise

        return following(on_terminal=self.on_terminal)


SHOW: Final = Show()


def as_json(model: object) -> object:
    """Turn a model into objects that `json` can write: keys as in the model, times in ISO 8601."""
    from bulkverify.service.converter import converter  # noqa: PLC0415 - cattrs; not for --help

    return converter.unstructure(model)


def write(stream: TextIO, text: str) -> None:
    """Write lines to stdout or stderr. If the pipe is full, a signal ends the wait.

    Raises:
        OutputClosedError: the reader went away.
        Interrupted: a signal came before all was written.
        OSError: the write failed, as on a full disk.
    """
    lines = f"{text}\n"
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


def has_room(stream: TextIO, *, milliseconds: int | None = None) -> bool:
    """Wait until a piece of text can be written without blocking; `None` waits for ever."""
    if not hasattr(select, "poll"):  # on Windows
        return True
    poll = select.poll()
    poll.register(stream.fileno(), select.POLLOUT)
    return bool(poll.poll(milliseconds))


def give_up(*streams: TextIO) -> None:
    """Redirect streams to the null device, so that flushing them can neither fail nor block."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
