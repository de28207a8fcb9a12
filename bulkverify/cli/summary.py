"""What a finished run came to, as a table on stderr."""

import attrs
from rich import box
from rich.bar import Bar
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from bulkverify.models import Verdict
from bulkverify.run import RunReport

_COLOURS = {
    Verdict.DELIVERABLE: "green",
    Verdict.UNDELIVERABLE: "red",
    Verdict.ACCEPT_ALL: "yellow",
    Verdict.UNKNOWN: "blue",
}


def print_summary(report: RunReport) -> None:
    """Print it; plain text where stderr is no terminal or NO_COLOR is set."""
    console = Console(stderr=True, highlight=False, soft_wrap=False)
    console.print(Group(_verdicts(report), _facts(report)))


def _verdicts(report: RunReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, expand=True, padding=(0, 1))
    table.add_column("Verdict", no_wrap=True)
    table.add_column("Rows", justify="right", no_wrap=True)
    table.add_column("Share", justify="right", no_wrap=True)
    table.add_column("", ratio=1)
    rows = max(1, report.rows)
    for verdict in Verdict:
        count: int = getattr(report.verdicts, verdict.value)
        table.add_row(
            Text(verdict.replace("_", "-"), style=_COLOURS[verdict]),
            f"{count:,}",
            f"{count / rows:.1%}",
            Bar(rows, 0, count, color=_COLOURS[verdict]),
        )
    if report.missing:
        table.add_row("no verdict", f"{report.missing:,}", f"{report.missing / rows:.1%}", "")
    return table


def _facts(report: RunReport) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=True)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    blank = f", {report.blank:,} blank" if report.blank else ""
    table.add_row(
        "rows",
        f"{report.rows:,} ({report.addresses:,} distinct addresses, {report.duplicates:,} repeated{blank})",
    )
    flags = ", ".join(
        f"{count:,} {name.replace('_', '-')}"
        for name, count in attrs.asdict(report.flags).items()
        if count
    )
    table.add_row("flags", flags or "none")
    table.add_row("credits spent", f"{report.credits_spent:,}")
    table.add_row("time", f"{report.seconds:,.1f} s")
    table.add_row("job", report.job_id)
    table.add_row("written to", Text(report.destination, style="bold"))
    return table
