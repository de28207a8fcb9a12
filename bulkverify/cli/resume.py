"""How to go on after a command ended early."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs

ACCOUNT_OPTIONS: Final = {"--base-url": True, "--api-key-file": True, "--allow-http": False}
"""The options that commands for the same account share, and whether a value follows."""


@attrs.define(kw_only=True)
class Recovery:
    """How to go on after an error. The command updates it, and the runner reads it."""

    tokens: Sequence[str] = ()  # the arguments of the command
    job_id: str | None = None  # its job, once there is one
    state: str = ""  # sentences about the state of the job or the run
    resume: Sequence[str] = ()  # shell commands that continue
    endless: bool = False  # whether the command is meant to run until Ctrl-C

    def again(self, *, without: str | None = None) -> str:
        """Return the same command, without the flag `without`."""
        dropped = set(_places(self.tokens, {without: False} if without else {}))
        tokens = [token for place, token in enumerate(self.tokens) if place not in dropped]
        return shlex.join(["bulkverify", *tokens])

    def lists_first(self, lists: Sequence[str]) -> str:
        """Return the same command with these of its arguments before the options."""
        command, *rest = self.tokens
        for name in reversed(lists):
            last = len(rest) - 1 - rest[::-1].index(name)
            del rest[last]
        first = next((n for n, token in enumerate(rest) if token.startswith("-")), len(rest))
        return shlex.join(["bulkverify", command, *rest[:first], *lists, *rest[first:]])

    def other(self, *words: str, options: Mapping[str, bool] = ACCOUNT_OPTIONS) -> str:
        """Return another command with those `options` of this one; by default for the same account."""
        kept = (self.tokens[place] for place in _places(self.tokens, options))
        return shlex.join(["bulkverify", *words, *kept])


def _places(tokens: Sequence[str], options: Mapping[str, bool]) -> Iterator[int]:
    """Yield the positions of these options and of their values."""
    for place, token in enumerate(tokens):
        if token == "--":  # noqa: S105 - it ends the options
            return
        name, equals, _ = token.partition("=")
        if name in options:
            yield place
            if options[name] and not equals and place + 1 < len(tokens):
                yield place + 1
