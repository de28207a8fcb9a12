"""Models as text for a terminal."""

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import attrs

from bulkverify.errors import plural
from bulkverify.models import AddressVerdict, Analysis, JobSnapshot, VerdictCounts

_SHOWN_COLUMNS: Final = 10
_KINDS_OF_PARTS: Final = {
    "downloaded": "with results",
    "started": "being verified",
    "starting": "being started",
    "uploaded": "uploaded",
}

if TYPE_CHECKING:
    from bulkverify import PlannedList, Reused, RunPlan, RunReport
    from bulkverify.run.journal import RunRecord


def snapshot_lines(snapshot: JobSnapshot) -> str:
    """Describe a job, one fact a line."""
    created = snapshot.created_at
    facts = {
        "job": snapshot.job_id,
        "status": str(snapshot.status),
        "created": None if created is None else f"{created:%Y-%m-%d %H:%M:%S} UTC",
        "addresses": None if snapshot.total is None else f"{snapshot.total:,}",
        "verified": _share(snapshot),
        "results": None if snapshot.results is None else counts(snapshot.results),
        "analysis": None if snapshot.analysis is None else counts(snapshot.analysis),
        "message": snapshot.message,
    }
    return table(facts)


def snapshot_line(snapshot: JobSnapshot) -> str:
    """Describe a job in one line that begins with the time."""
    words = [f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", f"{snapshot.status:<10}", _share(snapshot)]
    if snapshot.verified is None and snapshot.total:
        words.append(f"{snapshot.total:,} addresses")
    return "  ".join(filter(None, words)).rstrip()


def address_lines(answer: AddressVerdict) -> str:
    """Describe the answer for one address."""
    accept_all = {True: "yes", False: "no", None: "unknown"}[answer.accept_all]
    flags = {
        "role": answer.role,
        "free mailbox": answer.free_email,
        "disposable": answer.disposable,
        "spam trap": answer.spamtrap,
    }
    return table(
        {
            "address": answer.email,
            "verdict": str(answer.verdict),
            "accept-all": accept_all,
            "flags": ", ".join(name for name, raised in flags.items() if raised) or "none",
            "message": answer.message,
        }
    )


def plan_lines(plan: "RunPlan") -> str:
    """Describe what a run would send and what that would cost."""
    facts: dict[str, str | None] = {}
    for number, one in enumerate(plan.lists, start=1):
        end = f" {number}" if len(plan.lists) > 1 else ""
        encoding = f", {one.encoding}" if one.encoding else ""
        sheet = f", sheet {one.sheet!r}" if one.sheet else ""
        facts[f"list{end}"] = f"{one.title} ({one.format}{encoding}{sheet})"
        facts |= column_facts(one, end) | sheet_facts(one, end)
    before = f", besides {plan.spent_before:,} spent earlier" if plan.spent_before else ""
    done = plan.already_verified_at
    return table(
        facts
        | {
            "rows": f"{plan.rows:,}",
            "repeated": f"{plan.duplicates:,}",
            "invalid": f"{plan.invalid:,}{_such_as(plan, 'invalid')}",
            "blank": f"{plan.blank:,}",
            **reused_facts(plan.reused),
            "unclear": unclear_text(plan),
            "unwrapped": unwrapped_text(plan),
            "quotes": stray_text(plan),
            "too short": f"{plan.short:,} (have fewer cells than columns)" if plan.short else None,
            "to be sent": f"{plural(plan.addresses, 'address', 'addresses')} in {plural(plan.parts, 'part')}",
            "costs": f"{plural(plan.cost, 'credit')}{before}{_uncertain(plan)}",
            "saves": plural(plan.saved, "credit"),
            "account": None if plan.balance is None else plural(plan.balance, "credit"),
            "done": None
            if done is None
            else f"an earlier command wrote the output at {done:%Y-%m-%d %H:%M} UTC",
        }
    )


def most_credits(plan: "RunPlan") -> str:
    """Say what a run can spend at most."""
    most = plural(plan.cost + plan.uncertain, "credit")
    return f"up to {most}" if plan.uncertain else most


def _uncertain(plan: "RunPlan") -> str:
    if not plan.uncertain:
        return ""
    return f"; up to {plan.uncertain:,} of these only now, because the answer to a start was lost"


def earlier_text(record: "RunRecord") -> str:
    """Say what an earlier command has done of a run, and what that cost."""
    kinds = Counter(_KINDS_OF_PARTS.get(part.state, "not sent") for part in record.parts)
    parts = ", ".join(
        f"{kinds[kind]:,} {kind}" for kind in (*_KINDS_OF_PARTS.values(), "not sent") if kinds[kind]
    )
    of_list = f" of {record.title}" if record.title else ""
    return (
        f"Going on with the run{of_list} that began at {record.began_at:%Y-%m-%d %H:%M} UTC. Parts: {parts}. Spent: "
        f"{record.credits:,} of {plural(record.split.addresses, 'credit')}; nothing is paid twice."
    )


def column_facts(taken: "PlannedList", end: str = "") -> dict[str, str]:
    """Describe the address column, and other columns with addresses."""
    others = ", ".join(map(repr, taken.others[:_SHOWN_COLUMNS]))
    verb = "have" if len(taken.others) > 1 else "has"
    return {
        f"column{end}": f"{taken.column!r}, the {ordinal(taken.place)} column",
        f"also{end}": f"{others} {verb} addresses that are not sent" if others else "",
    }


def sheet_facts(taken: "PlannedList", end: str = "") -> dict[str, str]:
    """Describe what a person may overlook in a workbook: other sheets, hidden rows, and formulas without a value."""
    names = [
        f"{name!r}{' (hidden)' if name in taken.hidden_sheets else ''}"
        for name in taken.other_sheets[:_SHOWN_COLUMNS]
    ]
    others = f"{', '.join(names)} also {'have' if len(names) > 1 else 'has'} addresses that are not read: choose with --sheet"
    hidden = f"{taken.sheet!r} is hidden"
    sheets = [hidden] * (taken.sheet in taken.hidden_sheets) + [others] * bool(names)
    rows, formulas = taken.hidden_rows, taken.uncalculated
    return {
        f"sheets{end}": "; ".join(sheets),
        f"hidden{end}": f"{plural(rows, 'row')} hidden in the sheet, as by a filter, but read and sent like all others"
        * bool(rows),
        f"formulas{end}": f"{plural(formulas, 'formula')}, the first in {taken.uncalculated_at}, never calculated, so "
        "read as empty: open the file in Excel or LibreOffice, and save it there" * bool(formulas),
    }


def reused_facts(reused: "Reused") -> dict[str, str]:
    """Say how many addresses have an earlier verdict, and which earlier verdicts are of no use."""
    days = reused.average_age / 86_400
    unused = {
        "too old": reused.expired,
        "without a time": reused.undated,
        "with a time in the future": reused.future,
    }
    told = ", ".join(f"{count:,} {why}" for why, count in unused.items() if count)
    return {
        "known": f"{plural(reused.addresses, 'address', 'addresses')} with an earlier verdict, {days:,.1f} days old on "
        f"average: not sent, which saves {plural(reused.addresses, 'credit')}"
        * bool(reused.addresses),
        "not reused": f"earlier verdicts: {told}" * bool(told),
    }


def unclear_text(found: "RunPlan | RunReport") -> str:
    """Say which rows are not sent because it is unclear which address is meant, and what to do."""
    if not found.unclear:
        return ""
    return (
        f"{found.unclear:,} with several addresses in one cell, or one among other words{_such_as(found, 'unclear')}. "
        "They are not sent, and get no verdict: write each address in a row of its own."
    )


def unwrapped_text(found: "RunPlan | RunReport") -> str:
    """Say in how many rows other text stands around the address."""
    if not found.unwrapped:
        return ""
    return f"{found.unwrapped:,} with other text around the address{_such_as(found, 'unwrapped')}. Only the address is sent."


def stray_text(found: "RunPlan | RunReport") -> str:
    """Say how many rows have a quote that opens a cell and does not close it."""
    if not found.stray:
        return ""
    return (
        f"{plural(found.stray, 'row')}, first on {found.stray_at}: the quote opens a cell and does not close it, "
        "so it is read as text"
    )


def _such_as(found: "RunPlan | RunReport", kind: str) -> str:
    shown = [f"row {one.row:,} {one.cell!r}" for one in found.examples if one.kind == kind]
    return f", such as {', '.join(shown)}" if shown else ""


def oddities(plan: "RunPlan") -> list[str]:
    """List what may surprise the user in a plan."""
    names = [repr(name) for one in plan.lists for name in one.others[:_SHOWN_COLUMNS]]
    unsent = plan.invalid + plan.blank
    in_sheets = [fact for one in plan.lists for fact in sheet_facts(one).values()]
    found = {
        f"{', '.join(names)} also {'have' if len(names) > 1 else 'has'} addresses": names,
        f"{unsent:,} of {plan.rows:,} rows have no address": unsent * 4 > plan.rows,
        f"{plural(plan.unclear, 'row has', 'rows have')} several addresses in a cell, or one among other words": plan.unclear,
        f"{plural(plan.short, 'row has', 'rows have')} fewer cells than columns": plan.short,
        f"{plural(plan.spent_before, 'credit was', 'credits were')} spent earlier": plan.spent_before,
    }
    return [oddity for oddity, is_one in found.items() if is_one] + list(filter(None, in_sheets))


def ordinal(number: int) -> str:
    """Write the number of a place, such as 1st or 12th."""
    end = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 // 10 != 1 else 0, "th")
    return f"{number:,}{end}"


def counts(model: VerdictCounts | Analysis, *, zeros: bool = True) -> str:
    """List the counts of a model with their names."""
    return ", ".join(
        f"{count:,} {name.replace('_', '-')}"
        for name, count in attrs.asdict(model).items()
        if count or zeros
    )


def _share(snapshot: JobSnapshot) -> str | None:
    if snapshot.verified is None or snapshot.progress is None:
        return None
    return f"{snapshot.verified:,} of {snapshot.total:,} ({int(snapshot.progress * 100)}%)"


def table(facts: dict[str, str | None]) -> str:
    """Write facts, one a line, without those that are empty."""
    from bulkverify.service.answers import printable  # noqa: PLC0415 - slow; not for --help

    width = max(map(len, facts)) + 2
    # The service's messages must neither break the line nor control the terminal.
    return "\n".join(f"{name:<{width}}{printable(fact)}" for name, fact in facts.items() if fact)
