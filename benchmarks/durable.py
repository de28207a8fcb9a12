"""Durable runs: what they cost, and what that means for a thousand accounts."""

from typing import Final

from benchmarks.runs import Spread, rounds, spread, table

_KINDS: Final = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}

# Of the first prototype, which ran the same steps: what to compare with.
_PROTOTYPE: Final = {
    "enqueued": ("118 to 187", "157"),
    "drained": ("59", "52"),
    "cpu_ms": ("14.6", ""),
    "rows": ("8", ""),
    "kb": ("5.1", ""),
}
_DRAINED: Final = {
    "enqueued": "parts a second, enqueued",
    "drained": "parts a second, from the upload to the results",
    "cpu_ms": "CPU ms a part, of the worker",
    "rows": "rows a part in the database",
    "kb": "KB a part in the database, with indexes",
}
_ACCOUNTS: Final = 1000
_LISTS: Final = 100
_POLLS: Final = 108  # that a worker sends a minute: a tenth of 120 is left for newcomers


def durable(runs: int, parts: int) -> str:
    """Report what durable runs cost."""
    cases: dict[str, tuple[object, ...]] = {
        f"drain {kind}": ("durable_measured", "drain", kind, parts // 5) for kind in _KINDS
    }
    cases |= {
        f"latency {kind}": ("durable_measured", "latency", kind, max(3, parts // 100))
        for kind in _KINDS
    }
    cases["waiting"] = ("durable_measured", "waiting", "postgresql", parts)
    cases["imports"] = ("durable_measured", "imports", "-", 5)
    found = rounds(cases, repeat=runs)
    return "\n\n".join([_drained(found), _waiting(found), _latency(found), _on_paper(found)])


def _drained(found: dict[str, list[dict[str, float]]]) -> str:
    rows = []
    for key, label in _DRAINED.items():
        row = [label]
        for kind, before in zip(_KINDS, _PROTOTYPE[key], strict=True):
            row += [_shown(spread(found[f"drain {kind}"], key)), before]
        rows.append(row)
    parts = found["drain postgresql"][0]["parts"]
    head = [f"one worker, {parts:,.0f} parts of two addresses"]
    for label in _KINDS.values():
        head += [label, "prototype"]
    return table(head, rows)


def _waiting(found: dict[str, list[dict[str, float]]]) -> str:
    runs = found["waiting"]
    rows = [
        ["MB, besides an idle worker", _shown(spread(runs, "mb")), "54"],
        ["share of a core", f"{spread(runs, 'core').median:.1%}", "8.0%"],
        ["polls a second", _shown(spread(runs, "polls")), "68"],
    ]
    head = [f"{runs[0]['parts']:,.0f} started parts that wait in one worker", "here", "prototype"]
    return table(head, rows)


def _latency(found: dict[str, list[dict[str, float]]]) -> str:
    rows = []
    for kind, label in _KINDS.items():
        runs = found[f"latency {kind}"]
        journal, made = spread(runs, "journal").median, spread(runs, "durable").median
        rows.append(
            [
                label,
                f"{journal:.2f}",
                f"{made:.2f}",
                f"{made - journal:+.2f}",
                f"{spread(runs, 'launch').median:.2f}",
                f"{spread(runs, 'blocked_ms').median:.0f}",
            ]
        )
    client, needs, all_ = (
        spread(found["imports"], name).median for name in ("client", "needs", "durable")
    )
    head = [
        "a list of eight addresses, seconds",
        "`verify_list`",
        "durable",
        "more",
        "launch",
        "loop blocked by it, ms",
    ]
    return (
        f"{table(head, rows)}\n\nThe prototype took 0.3 to 1.5 s longer than the journal, and its launch blocked "
        "the loop for 200 to 1,100 ms.\n\n"
        f"`import bulkverify.durable` takes {all_:.0f} ms of CPU: `from bulkverify import Client` {client:.0f} ms, "
        f"`import dbos, psycopg, sqlalchemy` {needs:.0f} ms."
    )


def _on_paper(found: dict[str, list[dict[str, float]]]) -> str:
    """Compute what a thousand accounts with a hundred lists each take."""
    parts = _ACCOUNTS * _LISTS
    waiting, drained = found["waiting"], found["drain postgresql"]
    held = spread(waiting, "parts").median
    mb, core = spread(waiting, "mb").median, spread(waiting, "core").median
    polls = spread(waiting, "polls").median
    cpu, kb = spread(drained, "cpu_ms").median, spread(drained, "kb").median
    most = _ACCOUNTS * _POLLS / 60
    rows = [
        ["workers, if each holds 2,000 parts, of 10,000 at most", f"{parts / 2000:.0f}"],
        ["memory of the waiting parts, all workers", f"{parts * mb / held / 1024:.1f} GB"],
        [
            f"polls a second at the limit of each account ({_POLLS} a minute)",
            f"{most:,.0f}",
        ],
        ["cores for these polls", f"{most * core / polls:.1f}"],
        ["CPU of all parts from upload to results", f"{parts * cpu / 3.6e6:.1f} core hours"],
        ["shortest time of the uploads, by the limit", f"{_LISTS / _POLLS * 60:.0f} s"],
        ["database", f"{parts * kb / 1024:,.0f} MB"],
    ]
    return table([f"on paper: {_ACCOUNTS:,} accounts with {_LISTS} lists each", ""], rows)


def _shown(values: Spread) -> str:
    return f"{values.median:,.1f}"
