"""Where a command stands, for whoever has to say how to go on when it does not come to its end."""

import shlex
from collections.abc import Sequence

import attrs


@attrs.define(kw_only=True)
class Standing:
    """What a command has got to; it keeps this up to date, and the runner reads it when it ends badly.

    Attributes:
        tokens: what the command was called with.
        job_id: the job it is about, once there is one.
        state: a sentence about that job.
        resume: commands that go on, each ready for a shell.
    """

    tokens: Sequence[str] = ()
    job_id: str | None = None
    state: str = ""
    resume: Sequence[str] = ()

    def again(self, **options: str) -> str:
        """Write the same command once more, with these options instead of those it may have had."""
        kept: list[str] = []
        skip = False
        for token in self.tokens:
            name, _, value = token.partition("=")
            if skip or name.removeprefix("--") in options:
                skip = not skip and not value
                continue
            kept.append(token)
        added = (part for name, value in options.items() for part in (f"--{name}", value))
        return shlex.join(["bulkverify", *kept, *added])


def command(*tokens: str) -> str:
    """Write a command of ours, ready for a shell."""
    return shlex.join(["bulkverify", *tokens])
