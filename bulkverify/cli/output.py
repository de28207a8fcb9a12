"""Where things are written: data to stdout, everything else to stderr, and JSON where it is wanted."""

import json
import os
import select
import sys
from typing import Annotated, Final, TextIO

import attrs
from cyclopts import Group, Parameter

from bulkverify.cli.interrupts import interrupting_at_once
from bulkverify.service.converter import converter

_GROUP: Final = Group("Output", sort_key=20)
_PIECE_CHARACTERS: Final = 400  # a pipe with room has room for 4096 bytes, and "\U0001f600" is ten


class OutputClosedError(Exception):
    """The reader of stdout or stderr went away."""


@Parameter(name="*", group=_GROUP)
@attrs.frozen(kw_only=True)
class Show:
    """What a command shows, and how."""

    json: bool = False
    """One JSON document on stdout, for errors too, and nothing on stderr."""

    quiet: Annotated[bool, Parameter(alias="-q")] = False
    """No progress, summaries or hints; data and errors are still shown."""

    verbose: Annotated[int, Parameter(alias="-v", count=True, show_default=False)] = 0
    """Log to stderr what happens; -vv logs more, and shows tracebacks."""

    @property
    def on_terminal(self) -> bool:
        """Whether somebody watches stderr, and wants to."""
        return (
            not (self.json or self.quiet)
            and sys.stderr.isatty()
            and os.environ.get("TERM") != "dumb"
        )

    def data(self, model: object, text: str) -> None:
        """Write what the command was asked for: a model as JSON, or its text.

        Raises:
            OutputClosedError: nobody reads it.
        """
        write(sys.stdout, json.dumps(as_json(model)) if self.json else text)

    def note(self, text: str) -> None:
        """Tell what is good to know, on stderr."""
        if not (self.json or self.quiet):
            write(sys.stderr, text)

    def acknowledge(self, model: object, text: str) -> None:
        """Report a command that has no data: a note, or a model as JSON."""
        if self.json:
            self.data(model, text)
        else:
            self.note(text)


SHOW: Final = Show()


def as_json(model: object) -> object:
    """Turn a model into what `json` can write: keys as in the model, times in ISO 8601."""
    return converter.unstructure(model)


def write(stream: TextIO, text: str) -> None:
    """Write lines to stdout or stderr; a signal ends the wait for a reader whose pipe is full.

    Raises:
        OutputClosedError: its reader went away.
        Interrupted: a signal came before all was written.
        OSError: it can't be written, as on a full disk.
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
    """Wait until a piece of text can be written without waiting for a reader, if need be for ever."""
    if not hasattr(select, "poll"):  # on Windows
        return True
    poll = select.poll()
    poll.register(stream.fileno(), select.POLLOUT)
    return bool(poll.poll(milliseconds))


def give_up(*streams: TextIO) -> None:
    """Point streams to nowhere, so that what is left in their buffers does not fail or block once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
