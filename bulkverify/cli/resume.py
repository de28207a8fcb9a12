"""Where a command stands, for whoever has to say how to go on when it does not come to its end."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs

_ACCOUNT_OPTIONS: Final = {"--base-url": True, "--api-key-file": True, "--allow-http": False}
"""What any other command about the same job needs too, and whether a value follows."""


@attrs.define(kw_only=True)
class Standing:
    """What a command has got to; it keeps this up to date, and the runner reads it when it ends badly.

    Attributes:
        tokens: what the command was called with.
        job_id: the job it is about, once there is one.
        state: a sentence about that job.
        resume: commands that go on, each ready for a shell.
        endless: it runs until Ctrl-C, which is then a good end.
    """

    tokens: Sequence[str] = ()
    job_id: str | None = None
    state: str = ""
    resume: Sequence[str] = ()
    endless: bool = False

    def again(self, *, without: str | None = None) -> str:
        """Write the same command once more, if need be without one of its flags."""
        dropped = set(_places(self.tokens, {without: False} if without else {}))
        tokens = [token for place, token in enumerate(self.tokens) if place not in dropped]
        return shlex.join(["bulkverify", *tokens])

    def other(self, *words: str) -> str:
        """Write another command for the same account."""
        account = (self.tokens[place] for place in _places(self.tokens, _ACCOUNT_OPTIONS))
        return shlex.join(["bulkverify", *words, *account])


def _places(tokens: Sequence[str], options: Mapping[str, bool]) -> Iterator[int]:
    """Say where these options are, and the values that follow them."""
    for place, token in enumerate(tokens):
        if token == "--":  # noqa: S105 - it ends the options
            return
        name, equals, _ = token.partition("=")
        if name in options:
            yield place
            if options[name] and not equals and place + 1 < len(tokens):
                yield place + 1
