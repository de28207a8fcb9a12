"""The command that lets a shell complete commands and options."""

import sys
from typing import Annotated, Literal, TypeAlias

from cyclopts import Parameter

from bulkverify.cli.output import write

Shell: TypeAlias = Literal["bash", "zsh", "fish"]


async def completion(shell: Annotated[Shell, Parameter(show_choices=True)], /) -> None:
    """Print the script that lets a shell complete commands and options.

    Args:
        shell: The shell.
    """
    from bulkverify.cli.app import app  # noqa: PLC0415 - it lists this command

    script = app.generate_completion(shell=shell).rstrip()
    if shell == "zsh":  # cyclopts writes it for a folder of `fpath`, and not for `eval`
        script += "\n(( $+functions[compdef] )) && compdef _cyclopts_bulkverify bulkverify"
    write(sys.stdout, script)
