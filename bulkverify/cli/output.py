"""Where things are written: data to stdout, everything else to stderr, and JSON where it is wanted."""

import json
import os
import sys
from typing import Annotated, Final

import attrs
from cyclopts import Group, Parameter

from bulkverify.models import converter

_GROUP: Final = Group("Output", sort_key=20)


class OutputClosedError(Exception):
    """Whoever read stdout went away."""


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
        _write(json.dumps(as_json(model)) if self.json else text)

    def note(self, text: str) -> None:
        """Tell what is good to know, on stderr."""
        if not (self.json or self.quiet):
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

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


def _write(text: str) -> None:
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise OutputClosedError from None


def give_up_stdout() -> None:
    """Point stdout to nowhere, so that the interpreter's last flush does not fail once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
