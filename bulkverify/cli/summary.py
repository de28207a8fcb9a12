"""The summary of a finished run, as a table on stderr."""

from collections import Counter
from pathlib import Path

import attrs
from rich import box
from rich.bar import Bar
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bulkverify.cli.palette import MUTED, VERDICTS
from bulkverify.cli.text import (
    column_facts,
    reused_facts,
    sheet_facts,
    stray_text,
    unclear_text,
    unwrapped_text,
)
from bulkverify.cli.wrapping import glued, unglued
from bulkverify.errors import plural
from bulkverify.models import Verdict
from bulkverify.run.models import RunReport
from bulkverify.service.answers import printable

_PLAIN = Console(no_color=True)


def print_summary(report: RunReport, page: Path | None = None) -> None:
    """Print the summary, without colours if stderr is not a terminal or NO_COLOR is set.

    `page` is where the report was written as a page.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=False)
    console.print(_verdicts(report))
    console.print(_facts(report, page, console.width), soft_wrap=True)


def _verdicts(report: RunReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, expand=True, padding=(0, 1))
    table.add_column("Verdict", no_wrap=True)
    table.add_column("Rows", justify="right", no_wrap=True)
    table.add_column("Share", justify="right", no_wrap=True)
    table.add_column("", ratio=1)
    rows = max(1, report.rows)
    for verdict in Verdict:
        count: int = getattr(report.verdicts, verdict.name.lower())
        table.add_row(
            Text(verdict, style=VERDICTS[verdict]),
            f"{count:,}",
            f"{count / rows:.1%}",
            Bar(rows, 0, count, color=VERDICTS[verdict]),
        )
    others: Counter[str] = Counter()
    for found in report.findings:
        if found.verdict is not None and not isinstance(found.verdict, Verdict):
            others[found.verdict] += found.rows
    for text, count in others.most_common():
        table.add_row(Text(text), f"{count:,}", f"{count / rows:.1%}", "")
    if without := report.missing + report.unclear:
        table.add_row("no verdict", f"{without:,}", f"{without / rows:.1%}", "")
    return table


def _facts(report: RunReport, page: Path | None, width: int) -> Text:
    """List the facts. No line is broken within a word, so that an id or a path can be copied."""
    facts = _facts_by_name(report) | {
        "written to": report.destination,
        "report": "" if page is None else str(page),
    }
    facts = {name: printable(fact) for name, fact in facts.items() if fact}
    indent = max(map(len, facts)) + 3
    lines = []
    for name, fact in facts.items():
        style = "bold" if name in {"written to", "report"} else ""
        label = f" {name}".ljust(indent)
        if cell_len(max(fact.split(), key=cell_len)) > width - indent:
            lines += [Text(label.rstrip(), MUTED), Text(f"   {fact}", style)]
            continue
        text = Text(glued(fact)).wrap(_PLAIN, width - indent)
        for number, wrapped in enumerate(text):
            line = Text(unglued(wrapped.plain.rstrip()), style)
            lines.append(Text.assemble((label if not number else " " * indent, MUTED), line))
    return Text("\n").join(lines)


def _facts_by_name(report: RunReport) -> dict[str, str]:
    unsent = {
        "known": report.reused.addresses,
        "repeated": report.duplicates,
        "invalid": report.invalid,
        "blank": report.blank,
        "unclear": report.unclear,
    }
    parts = [f"{report.addresses:,} distinct addresses"]
    parts += [f"{count:,} {name}" for name, count in unsent.items() if count]
    flags = ", ".join(
        f"{count:,} {name.replace('_', '-')}"
        for name, count in attrs.asdict(report.flags).items()
        if count
    )
    before = f", and {report.credits_spent_before:,} earlier" if report.credits_spent_before else ""
    jobs = [part.job_id for part in report.parts if part.job_id]
    orphans = plural(report.orphans, "interrupted upload")
    columns: dict[str, str] = {}
    for number, taken in enumerate(report.lists, start=1):
        if taken.others or len(report.lists) == 1:
            columns |= column_facts(taken, f" {number}" if len(report.lists) > 1 else "")
        columns |= sheet_facts(taken, f" {number}" if len(report.lists) > 1 else "")
    return columns | {
        "rows": f"{report.rows:,} ({', '.join(parts)})",
        "short rows": f"{report.short:,}, padded with empty cells" if report.short else "",
        **reused_facts(report.reused),
        "unclear": unclear_text(report),
        "unwrapped": unwrapped_text(report),
        "quotes": stray_text(report),
        "flags": flags or "none",
        "credits spent": f"{report.credits_spent:,}{before}",
        "credits saved": f"{report.saved:,}" if report.saved else "",
        "left behind": f"up to {orphans}, not started and not paid for" if report.orphans else "",
        "time": f"{report.seconds:,.1f} s",
        "job": jobs[0] if len(report.parts) == 1 and jobs else "",
        "parts": f"{len(report.parts):,}" if len(report.parts) > 1 else "",
        "rows written": f"{report.written:,}" if report.written != report.rows else "",
    }
