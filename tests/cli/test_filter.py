"""The command that filters a list that was verified: no key, no network."""

from pathlib import Path

import pytest

from .conftest import Cli

CONTENT = """\
email,verdict,syntax_error,common_isp,role_based,disposable,spamtrap,verified_at
a@x.com,deliverable,N,N,N,N,N,
b@x.com,deliverable,N,N,N,Y,N,
c@x.com,accept-all,N,N,N,N,N,
d@x.com,undeliverable,Y,N,N,N,N,2026-11-26T03:00:57.075Z
e@x.com,,,,,,,
"""


@pytest.fixture
def done(environment: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: ARG001 - the folder
    monkeypatch.delenv("BULKVERIFY_API_KEY", raising=False)
    path = tmp_path / "done.csv"
    path.write_text(CONTENT)
    return path


def emails(name: str) -> list[str]:
    return [line[0] for line in Path(name).read_text().splitlines()[1:]]


@pytest.mark.usefixtures("done")
def test_a_split_names_its_files_and_says_who_is_in_them(cli: Cli) -> None:
    outcome = cli("filter", "done.csv", "--split", "--without", "disposable,role-based")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err.splitlines() == [
        "mail: 1 row to done-mail.csv (1 deliverable)",
        "hold: 3 rows to done-hold.csv (1 disposable, 1 accept-all, 1 no verdict)",
        "remove: 1 row to done-remove.csv (1 undeliverable)",
    ]
    files = [emails(f"done-{name}.csv") for name in ("mail", "hold", "remove")]
    assert files == [["a"], ["b", "c", "e"], ["d"]]


@pytest.mark.usefixtures("done")
def test_the_files_of_a_split_are_named_after_the_output(cli: Cli) -> None:
    assert cli("filter", "done.csv", "--split", "-o", "may.csv", "--quiet").err == ""
    assert [emails(f"may-{name}.csv") for name in ("mail", "hold", "remove")] == [
        ["a", "b"], ["c", "e"], ["d"]
    ]  # fmt: skip


@pytest.mark.usefixtures("done")
def test_rows_are_chosen_by_verdict_and_flag(cli: Cli) -> None:
    options = ["--only", "deliverable,accept-all", "--without", "disposable", "-o", "mail.csv"]
    document = cli("filter", "done.csv", *options, "--json").document
    assert emails("mail.csv") == ["a", "c"]
    assert document == {
        "rows": 5,
        "groups": [
            {
                "name": "wanted",
                "destination": "mail.csv",
                "rows": 2,
                "reasons": {"deliverable": 1, "accept-all": 1},
            },
            {
                "name": "left out",
                "destination": "",
                "rows": 3,
                "reasons": {"disposable": 1, "undeliverable": 1, "no verdict": 1},
            },
        ],
    }
    again = cli("filter", "done.csv", *options)
    assert (again.code, again.err.splitlines()[0]) == (
        2,
        "bulkverify: error: mail.csv already exists.",
    )
    assert cli("filter", "done.csv", *options, "--force").code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "deliverable"], "Name the file to write with --output (-o), or use --split."),
        (["-o", "mail.csv"], "Name verdicts with --only or flags with --without, or use --split."),
        (["-o", "mail.csv", "--only", "good"], "'good' is not a verdict"),
    ],
)
@pytest.mark.usefixtures("done")
def test_what_is_missing_is_said(cli: Cli, options: list[str], message: str) -> None:
    outcome = cli("filter", "done.csv", *options)
    assert outcome.code == 2
    assert message in outcome.err
