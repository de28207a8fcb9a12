"""The commands, and the text of `--help`.

A command is imported when it is called. Its help text is here; the help for its options is in its
docstring.
"""

from typing import Final

from cyclopts import App, Group, Parameter

from bulkverify._version import __version__
from bulkverify.cli.exits import table

_EPILOGUE: Final = f"""\
Examples:
  bulkverify verify contacts.csv -o verified.csv --sandbox
  bulkverify verify contacts.csv more.xlsx --dry-run
  bulkverify verify contacts.csv -o verified.csv --max-credits 5000
  export-contacts | bulkverify verify - -o - --only deliverable | import-contacts
  bulkverify filter verified.csv --split --without disposable,role-based
  bulkverify verify contacts.csv -o verified.csv --report report.html
  job=$(bulkverify upload contacts.csv) && bulkverify wait "$job" --until ready
  bulkverify start "$job" && bulkverify wait "$job" --timeout 6h
  bulkverify download "$job" -o good.csv --only deliverable,accept-all

The API key comes from BULKVERIFY_API_KEY, from --api-key-file PATH (- is
stdin), or from a prompt. It is not an option, because other users can see the
arguments of a process.

Exit codes:
{table()}
"""

_WHOLE: Final = Group("A list in one go", sort_key=1)
_STEPS: Final = Group("Step by step", sort_key=2)
_ACCOUNT: Final = Group("The account", sort_key=3)
_TRYING: Final = Group("Trying it out", sort_key=4)

_VERIFY: Final = """\
Verify a list of any size, and write a copy with a verdict in every row.

Each distinct address is sent and paid once. The other columns stay on this machine.

Progress is kept in OUT.progress. After a crash or Ctrl-C, the same command continues from there.

For stdout (-o -), the progress and the output are kept in ~/.local/state/bulkverify (XDG_STATE_HOME), in a folder \
for this list and its options. For six days the same command with the same list writes the rows again for nothing.
"""
_FILTER: Final = """\
Choose rows of a list that was verified, or split it into rows to mail, to hold and to remove.

This needs no key and no network, and costs nothing. Cells stay as they are.
"""
_REPORT: Final = "Write the report of a run as a page that can be sent on. This is free."
_UPLOAD: Final = "Upload a list as it is, and print the id of its job. This is free."
_START: Final = "Start the verification of a list. This spends one credit for each address."
_WAIT: Final = "Wait until a job reaches a status, and print it."
_CHECK: Final = "Verify one address, and print the answer. This costs one credit."
_SANDBOX: Final = "Serve a sandbox of the service until Ctrl-C. It spends no credits."

_COMMANDS: Final = (
    ("verify", "verify:verify", _WHOLE, _VERIFY),
    ("filter", "filtering:filter_", _WHOLE, _FILTER),
    ("report", "reports:report", _WHOLE, _REPORT),
    ("upload", "commands:upload", _STEPS, _UPLOAD),
    ("start", "commands:start", _STEPS, _START),
    ("status", "commands:status", _STEPS, "Print the status of a job."),
    ("wait", "commands:wait", _STEPS, _WAIT),
    ("download", "commands:download", _STEPS, "Download the results of a completed job."),
    ("delete", "commands:delete", _STEPS, "Delete a list and its results from the service."),
    ("credits", "commands:credits_left", _ACCOUNT, "Print the remaining credits of the account."),
    ("check", "commands:check", _ACCOUNT, _CHECK),
    ("sandbox", "sandbox:sandbox", _TRYING, _SANDBOX),
)
_COMMAND_EPILOGUE: Final = "Examples, exit codes and the API key: bulkverify --help"


app: Final = App(
    name="bulkverify",
    version=__version__,
    help="Bulk email verification: each address is paid once, and each row gets a verdict.",
    help_format="plaintext",
    help_epilogue=_EPILOGUE,
    # The default of a flag that is off is not shown.
    default_parameter=Parameter(
        negative=(), show_default=lambda value: None if value is False else value
    ),
)

for _name, _place, _group, _help in _COMMANDS:
    app.command(
        f"bulkverify.cli.{_place}",
        name=_name,
        group=_group,
        help=_help,
        help_epilogue=_COMMAND_EPILOGUE,
    )
