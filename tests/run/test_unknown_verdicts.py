"""A verdict that no version knows: it is kept as it is, and never counts as deliverable."""

import json
from pathlib import Path

import pytest

from bulkverify import Client, ProtocolError, RunReport, Verdict, verify_list, verify_rows
from bulkverify.lists import verdicts
from bulkverify.sandbox import Fault, FaultKind, Sandbox
from bulkverify.service.converter import converter

from .lists import FAST, A, D, K, U, numbered, table, verdicts_of, verified
from .test_lying_results import SENT, VERDICTS, answer

pytestmark = pytest.mark.asyncio

GIVEN = ["risky" if verdict == A else verdict for verdict in VERDICTS]


@pytest.fixture
def risky(sandbox: Sandbox, source: Path) -> Path:
    """Write a list whose accept-all addresses the service calls risky."""
    sandbox.inject(answer(list(zip(SENT, GIVEN, strict=True)), times=None))
    source.write_text(numbered(len(SENT)))
    return source


def others(report: RunReport) -> dict[str, int]:
    """Return the rows of unknown verdicts."""
    return {one.verdict: one.rows for one in report.findings if type(one.verdict) is str}


async def test_an_unknown_verdict_counts_in_its_domain_without_a_verdict(
    client: Client, risky: Path, output: Path
) -> None:
    report = await verified(client, risky, output, domains=True)
    assert report.domains is not None
    [domain] = report.domains.counts
    assert (domain.rows, domain.deliverable, domain.accept_all) == (12, 3, 0)


async def test_an_unknown_verdict_is_written_as_it_is(
    client: Client, risky: Path, output: Path
) -> None:
    report = await verified(client, risky, output)
    assert verdicts_of(table(output)[1:]) == GIVEN
    assert others(report) == {"risky": 3}
    assert (report.verdicts.deliverable, report.verdicts.unknown) == (3, 3)
    assert (report.verdicts.accept_all, report.missing) == (0, 0)


async def test_an_unknown_verdict_is_written_to_json_lines(
    client: Client, risky: Path, tmp_path: Path
) -> None:
    output = tmp_path / "verified.jsonl"
    await verified(client, risky, output)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["verdict"] for row in rows] == GIVEN


@pytest.mark.parametrize("only", [[D], [K], [D, U, A, K]])
async def test_no_known_verdict_selects_an_unknown_one(
    client: Client, risky: Path, output: Path, only: list[str]
) -> None:
    report = await verified(client, risky, output, only=only)
    assert verdicts_of(table(output)[1:]) == [one for one in GIVEN if one in only]
    assert others(report) == {"risky": 3}


async def test_an_unknown_verdict_is_in_the_rows(client: Client, risky: Path) -> None:
    rows = [row.verdict async for row in verify_rows(client, risky, wait=FAST)]
    assert rows == GIVEN
    assert [isinstance(verdict, Verdict) for verdict in rows] == [one != "risky" for one in GIVEN]


async def test_the_same_call_reports_unknown_verdicts_again(
    client: Client, risky: Path, output: Path
) -> None:
    first = await verified(client, risky, output)
    again = await verified(client, risky, output)
    assert (others(again), again.credits_spent) == (others(first), 0)
    assert converter.structure(converter.unstructure(again), RunReport) == again


async def test_a_delimiter_within_an_unknown_verdict_is_quoted(
    client: Client, sandbox: Sandbox, tmp_path: Path
) -> None:
    source, output = tmp_path / "list.txt", tmp_path / "verified.csv"
    source.write_text(f"n email\n1 {SENT[0]}\n2 {SENT[1]}\n")
    sandbox.inject(answer([(SENT[0], "not sure"), (SENT[1], U)], times=None))
    await verified(client, source, output, format="csv", delimiter=" ")
    assert verdicts_of(table(output, " ")[1:]) == ["not sure", U]


async def test_a_lone_address_keeps_an_unknown_verdict(
    client: Client, sandbox: Sandbox, output: Path
) -> None:
    body = json.dumps({"success": True, "result": "risky", "email": SENT[0]})
    told = Fault(endpoint="verify", kind=FaultKind.ANSWER_AFTER, status=200, body=body, times=None)
    sandbox.inject(told)
    assert (await client.verify(SENT[0])).verdict == "risky"
    report = await verified(client, [SENT[0]], output)
    assert others(report) == {"risky": 1}
    assert verdicts_of(table(output)[1:]) == ["risky"]


async def test_thousands_of_unknown_verdicts_are_refused(
    client: Client, risky: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "_MOST_FINDINGS", 5)
    with pytest.raises(ProtocolError, match="thousands of different verdicts"):
        await verify_list(client, risky, output, wait=FAST)
    assert not output.exists()
