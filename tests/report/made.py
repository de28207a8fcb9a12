"""Reports that the tests of the page share."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from bulkverify import (
    Analysis,
    CurvePoint,
    DomainCounts,
    Domains,
    Durations,
    Finding,
    PartFailure,
    PartReport,
    PlannedList,
    RunReport,
    Verdict,
    VerdictCounts,
)

OFF = dict.fromkeys(("syntax_error", "common_isp", "role_based", "disposable", "spamtrap"), False)
BEGAN = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)

HOSTILE = '<img src=x onerror="alert(1)">'
REVERSED = "safe\u202egnp.exe\u2066\u200b"


def finding(verdict: Verdict | str | None, rows: int, addresses: int, *flags: str) -> Finding:
    if verdict is None:
        return Finding(verdict=None, rows=rows, addresses=addresses)
    on = OFF | dict.fromkeys(flags, True)
    return Finding(verdict=verdict, rows=rows, addresses=addresses, **on)


def domain(name: str, good: int, bad: int, *, unsure: int = 0, free: bool = False) -> DomainCounts:
    return DomainCounts(
        domain=name,
        rows=good + bad + unsure,
        addresses=good + bad + unsure,
        deliverable=good,
        undeliverable=bad,
        accept_all=0,
        unknown=unsure,
        free=free,
    )


def report_with(
    findings: tuple[Finding, ...],
    domains: tuple[DomainCounts, ...] | None = None,
    **changes: Any,  # noqa: ANN401 - fields of the report
) -> RunReport:
    """Make a report that fits its findings."""
    verdicts = {
        verdict.name.lower(): sum(one.rows for one in findings if one.verdict is verdict)
        for verdict in Verdict
    }
    flags = {flag: sum(one.rows for one in findings if getattr(one, flag)) for flag in OFF}
    rows = sum(one.rows for one in findings)
    addresses = sum(one.addresses for one in findings)
    blank = sum(one.rows for one in findings if not one.addresses and one.syntax_error)
    facts: dict[str, Any] = {
        "destination": "/data/verified.csv",
        "rows": rows,
        "written": rows,
        "addresses": addresses,
        "duplicates": rows - addresses - blank,
        "invalid": 0,
        "blank": blank,
        "short": 0,
        "saved": rows - addresses,
        "missing": 0,
        "verdicts": VerdictCounts(**verdicts),
        "flags": Analysis(**flags),
        "credits_spent": addresses,
        "credits_spent_before": 0,
        "orphans": 0,
        "requests": 41,
        "seconds": 3725.4,
        "durations": Durations(reading=1.5, uploading=3, preparing=9, verifying=3600, joining=4),
        "parts": (
            PartReport(
                number=1,
                addresses=addresses,
                first_row=1,
                last_row=rows,
                job_id="r374aki",
                credits=addresses,
            ),
        ),
        "lists": (
            PlannedList(
                title="/data/customers.csv", format="csv", encoding="utf-8", column="email", place=2
            ),
        ),
        "began_at": BEGAN,
        "ended_at": BEGAN + timedelta(hours=1, minutes=2),
        "service": "https://api.bouncify.io/v1",
        "findings": findings,
        "domains": None
        if domains is None
        else Domains(counts=domains, distinct=len(domains), unseen=0),
        "curve": tuple(
            CurvePoint(seconds=30.0 * n, verified=n * addresses // 120) for n in range(121)
        ),
    }
    return RunReport(**facts | changes)


FINDINGS = (
    finding(Verdict.DELIVERABLE, 12_000, 11_000, "common_isp"),
    finding(Verdict.DELIVERABLE, 2_000, 1_900),
    finding(Verdict.DELIVERABLE, 300, 280, "role_based"),
    finding(Verdict.DELIVERABLE, 200, 190, "disposable"),
    finding(Verdict.ACCEPT_ALL, 1_100, 1_000),
    finding(Verdict.UNKNOWN, 500, 480),
    finding(Verdict.UNDELIVERABLE, 3_000, 2_900),
    finding(Verdict.UNDELIVERABLE, 50, 40, "spamtrap"),
    finding(Verdict.UNDELIVERABLE, 150, 0, "syntax_error"),
)
DOMAINS = (
    domain("gmail.com", 9_000, 400, free=True),
    domain("hotmail.com", 1_500, 900, free=True),
    domain("gmial.com", 2, 170, unsure=5),
    domain("dead.example", 1, 60),
    domain("half.example", 60, 60),
    domain("anna-schmidt.example", 0, 4),
    domain("hotnail.com", 0, 3),
)


def ordinary(**changes: Any) -> RunReport:  # noqa: ANN401
    return attrs.evolve(report_with(FINDINGS, DOMAINS), **changes)


def worst() -> RunReport:
    """Make a report of a huge list with every kind of hostile text, and as much of it as there can be."""
    names = [
        f"{HOSTILE}.example",
        f"{REVERSED}.example",
        "x" * 300 + ".example",
        "\u05d0\u05d1\u05d2.example",
        "</style></svg></bdi><script>alert(1)</script>.com",
        "{{7*7}}.example",
        *(f"{'long-name-' * 6}{number}.example" for number in range(994)),
    ]
    found = tuple(
        attrs.evolve(one, rows=one.rows * 900, addresses=one.addresses * 900) for one in FINDINGS
    )
    message = f"{HOSTILE} {REVERSED} {'word ' * 200}"
    return report_with(
        (
            *found,
            finding(None, 4_000_000, 3_000_000),
            *(finding(f"risky {key}{key}", 9, 9) for key in "abcdefghijklmnopqrstuvwxyz"),
        ),
        tuple(domain(name, 10_000, 990_000 - place) for place, name in enumerate(names)),
        missing=4_000_000,
        unclear=12,
        destination=f"/data/{HOSTILE}.jsonl",
        lists=tuple(
            PlannedList(
                title=f"C:\\lists\\{REVERSED}{number}{HOSTILE}.csv",
                format="csv",
                encoding="utf-8",
                column=HOSTILE * 3,
                place=7,
                others=(REVERSED, HOSTILE, "y" * 400),
            )
            for number in range(30)
        ),
        service=f"https://{HOSTILE}/v1",
        parts=tuple(
            PartReport(
                number=number,
                addresses=500_000,
                first_row=1,
                last_row=9_999_999,
                job_id=f"{HOSTILE}{number}",
                credits=500_000,
            )
            for number in range(1, 400)
        ),
        failures=tuple(
            PartFailure(
                number=number,
                addresses=500_000,
                first_row=1,
                last_row=9_999_999,
                job_id=None,
                paid=True,
                error="JobFailedError",
                message=message,
            )
            for number in range(1, 200)
        ),
        curve=tuple(CurvePoint(seconds=3601.7 * n, verified=n * 70_001) for n in range(240)),
    )
