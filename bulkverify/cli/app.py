"""The commands, and the text of `--help`.

A command is imported when it is called. Its help text is here; the help for its options is in its
docstring. The options that many commands share are explained once, in the help of the whole.
"""

from typing import Any, Final

from cyclopts import App, Group, Parameter

from bulkverify._version import __version__
from bulkverify.cli.exits import table

_EPILOGUE: Final = f"""\
Options of all commands that need them:
  --base-url URL           The service. By default BULKVERIFY_BASE_URL, or else
                           Bouncify.
  --api-key-file PATH      A file with the API key; - is stdin. By default
                           BULKVERIFY_API_KEY, or else a prompt. The key is not
                           an option, because other users can see arguments.
  --allow-http             Allow an http:// URL of another machine. The key is
                           then sent unencrypted, also to a proxy.
  --requests-per-minute N  The service's limit for each endpoint; 0 for no
                           limit. [default: 120]
  --json                   One JSON document on stdout, also for errors, and
                           nothing on stderr.
  --quiet -q               No progress, summaries or hints; data and errors are
                           still shown.
  --verbose -v             Log to stderr what happens; -vv logs more, and shows
                           tracebacks.

Where to begin:
  bulkverify verify contacts.csv -o verified.csv --sandbox
  bulkverify verify contacts.csv --dry-run
  bulkverify verify contacts.csv -o verified.csv --max-credits 5000
Examples of a command: bulkverify COMMAND --help

Exit codes:
{table()}
"""

_WHOLE: Final = Group("A list in one go", sort_key=1)
_STEPS: Final = Group("Step by step", sort_key=2)
_DURABLE: Final = Group("Runs that survive their process, also on several machines", sort_key=3)
_ACCOUNT: Final = Group("The account", sort_key=4)
_TRYING: Final = Group("Trying it out", sort_key=5)

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
_SUBMIT: Final = """\
Submit a list as a run that workers make, and print its id. It spends credits once a worker takes it.

If the last run for the same output is incomplete, failed or was cancelled, this one goes on with what is paid.
"""
_WORKER: Final = """\
Make the runs that were submitted, until Ctrl-C or SIGTERM.

The key of an account acme comes from BULKVERIFY_API_KEY__ACME, the key of the account default from \
BULKVERIFY_API_KEY. With PostgreSQL, any number of workers share the work, and go on with the work of those that \
die. With SQLite there is one.

A worker that is told to end takes no more work, lets what may cost something reach its checkpoint, and is gone \
within 30 seconds.
"""
_RUNS: Final = "Print the last runs: id, state, parts, account and output."
_CANCEL: Final = "Cancel a run: nothing new is uploaded or started, and its output is not written."
_CHECK: Final = "Verify one address, and print the answer. This costs one credit."
_COMPLETION: Final = "Print the script that lets a shell complete commands and options."
_SANDBOX: Final = "Serve a sandbox of the service until Ctrl-C. It spends no credits."

_COMMANDS: Final = (
    ("verify", "verify:verify", _WHOLE, _VERIFY),
    ("filter", "filtering:filter_", _WHOLE, _FILTER),
    ("report", "reports:report", _WHOLE, _REPORT),
    ("upload", "commands:upload", _STEPS, _UPLOAD),
    ("status", "commands:status", _STEPS, "Print the status of a job."),
    ("start", "commands:start", _STEPS, _START),
    ("wait", "commands:wait", _STEPS, _WAIT),
    ("download", "commands:download", _STEPS, "Download the results of a completed job."),
    ("delete", "commands:delete", _STEPS, "Delete a list and its results from the service."),
    ("submit", "durable:submit", _DURABLE, _SUBMIT),
    ("runs", "durable:runs", _DURABLE, _RUNS),
    ("run", "durable:run", _DURABLE, "Print what is known about a run, over all workers."),
    ("cancel", "durable:cancel", _DURABLE, _CANCEL),
    ("worker", "durable_worker:worker", _DURABLE, _WORKER),
    ("credits", "commands:credits_left", _ACCOUNT, "Print the remaining credits of the account."),
    ("check", "commands:check", _ACCOUNT, _CHECK),
    ("sandbox", "sandbox:sandbox", _TRYING, _SANDBOX),
    ("completion", "completion:completion", _TRYING, _COMPLETION),
)
"""In the order in which a user needs them."""

_EXAMPLES: Final = {
    "verify": """\
  bulkverify verify contacts.csv more.xlsx --dry-run
  bulkverify verify contacts.csv -o verified.csv --report report.html
  export-contacts | bulkverify verify - -o - --only deliverable | import""",
    "filter": "  bulkverify filter verified.csv --split --without disposable,role-based",
    "report": "  bulkverify report run.json -o report.html",
    "upload": "  job=$(bulkverify upload contacts.csv)",
    "status": '  bulkverify status "$job" --watch',
    "start": '  bulkverify start "$job"',
    "wait": """\
  bulkverify wait "$job" --until ready
  bulkverify wait "$job" --timeout 6h""",
    "download": '  bulkverify download "$job" -o good.csv --only deliverable,accept-all',
    "delete": '  bulkverify delete "$job"',
    "submit": """\
  export BULKVERIFY_DATABASE=sqlite:///runs.db
  bulkverify submit contacts.csv -o verified.csv --account acme --id monday""",
    "runs": "  bulkverify runs --database sqlite:///runs.db",
    "run": "  bulkverify run monday --watch",
    "cancel": "  bulkverify cancel monday",
    "worker": """\
  bulkverify worker --accounts acme,beta --keep-days 90
  bulkverify worker --migrate""",
    "credits": "  bulkverify credits --api-key-file key.txt",
    "check": "  bulkverify check anna@example.com",
    "sandbox": "  bulkverify sandbox --port 8000 --speed 100",
    "completion": """\
  eval "$(bulkverify completion bash)"                             in ~/.bashrc
  eval "$(bulkverify completion zsh)"                              in ~/.zshrc
  bulkverify completion fish > ~/.config/fish/completions/bulkverify.fish""",
}
_SHARED: Final = {
    "filter": "--json, --quiet, --verbose",
    "report": "--json, --quiet, --verbose",
    **dict.fromkeys(("submit", "runs", "run", "cancel", "worker"), "--json, --quiet, --verbose"),
    "sandbox": "--json, --quiet, --verbose",
    "completion": "",
}
_OF_ALL: Final = "--base-url, --api-key-file, --json, --quiet and more"


class _Help:
    """The help of cyclopts, whose lines end where those of the terminal do, not where those of a docstring do.

    `Any` stands for names of rich, which is slow to import.
    """

    def __call__(self, console: Any, options: Any, panel: Any) -> None:  # noqa: ANN401 - see above
        """Print a box."""
        from cyclopts.help.formatters import DefaultFormatter  # noqa: PLC0415 - see above

        for entry in panel.entries:
            text: Any = getattr(entry.description, "primary_renderable", None)
            if isinstance(plain := getattr(text, "plain", None), str):
                text.plain = plain.replace("\n", " ")
        DefaultFormatter()(console, options, panel)

    def render_usage(self, console: Any, options: Any, usage: Any) -> None:  # noqa: ANN401 - see above
        """Print the usage."""
        from cyclopts.help.formatters import DefaultFormatter  # noqa: PLC0415 - see above

        DefaultFormatter().render_usage(console, options, usage)


app: Final = App(
    name="bulkverify",
    help_formatter=_Help(),
    version=__version__,
    help="Bulk email verification: each address is paid once, and each row gets a verdict.",
    help_format="plaintext",
    help_epilogue=_EPILOGUE,
    # The default of a flag that is off is not shown.
    default_parameter=Parameter(
        negative=(), show_default=lambda value: None if value is False else value
    ),
)


def _epilogue(name: str) -> str:
    """Show how a command is used, and where the options of all commands are explained."""
    many = "s" if "\n" in _EXAMPLES[name] else ""
    shared = _SHARED.get(name, _OF_ALL)
    return f"Example{many}:\n{_EXAMPLES[name]}" + (
        f"\n\nAlso {shared}: see bulkverify --help" if shared else ""
    )


for _number, (_name, _place, _group, _help) in enumerate(_COMMANDS):
    app.command(
        f"bulkverify.cli.{_place}",
        name=_name,
        group=_group,
        help=_help,
        help_epilogue=_epilogue(_name),
        sort_key=_number,
    )
for _name in ("--help", "--version"):
    app[_name].group = _TRYING
