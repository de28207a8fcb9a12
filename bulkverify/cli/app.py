"""The commands by name, and what `--help` says about all of them."""

from typing import Final

from cyclopts import App, Group, Parameter

from bulkverify._version import __version__
from bulkverify.cli import commands
from bulkverify.cli.exits import table
from bulkverify.cli.sandbox import sandbox
from bulkverify.cli.verify import verify

_EPILOGUE: Final = f"""\
Examples:
  bulkverify verify contacts.csv -o verified.csv --sandbox
  bulkverify verify contacts.csv more.xlsx --dry-run
  bulkverify verify contacts.csv -o verified.csv --max-credits 5000
  job=$(bulkverify upload contacts.csv) && bulkverify wait "$job" --until ready
  bulkverify start "$job" && bulkverify wait "$job" --timeout 6h
  bulkverify download "$job" -o good.csv --only deliverable accept-all

The key comes from BULKVERIFY_API_KEY, from --api-key-file PATH (- is stdin), or
from a prompt. It is no option, because lists of processes show arguments.

Exit codes:
{table()}
"""

app: Final = App(
    name="bulkverify",
    version=__version__,
    help="Bulk email verification: each address is paid once, and each row gets its verdict.",
    help_format="plaintext",
    help_epilogue=_EPILOGUE,
    default_parameter=Parameter(negative=()),
)

_WHOLE: Final = Group("A list in one go", sort_key=1)
_STEPS: Final = Group("Step by step", sort_key=2)
_ACCOUNT: Final = Group("The account", sort_key=3)
_TRYING: Final = Group("Trying it out", sort_key=4)

app.command(verify, group=_WHOLE)
app.command(commands.upload, group=_STEPS)
app.command(commands.start, group=_STEPS)
app.command(commands.status, group=_STEPS)
app.command(commands.wait, group=_STEPS)
app.command(commands.download, group=_STEPS)
app.command(commands.delete, group=_STEPS)
app.command(commands.credits_left, name="credits", group=_ACCOUNT)
app.command(commands.check, group=_ACCOUNT)
app.command(sandbox, group=_TRYING)
