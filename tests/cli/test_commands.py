import json
from pathlib import Path

import pytest

from bulkverify.sandbox import Fault

from .conftest import Cli
from .service import Service

pytestmark = pytest.mark.usefixtures("service")


@pytest.fixture
def job(cli: Cli, contacts: Path) -> str:
    return cli("upload", str(contacts)).out.strip()


@pytest.fixture
def done(job: str, cli: Cli) -> str:
    assert cli("wait", job, "--until", "ready").code == 0
    assert cli("start", job).code == 0
    assert cli("wait", job).code == 0
    return job


def test_upload_prints_the_job_id_alone_and_hints_on_stderr(
    service: Service, cli: Cli, contacts: Path
) -> None:
    outcome = cli("upload", str(contacts))
    [upload] = service.sandbox.ledger.uploads
    assert outcome.code == 0
    assert outcome.out == f"{upload.job_id}\n"
    assert f"bulkverify start {upload.job_id}" in outcome.err


def test_upload_as_json_and_quietly(service: Service, cli: Cli, contacts: Path) -> None:
    document = cli("upload", str(contacts), "--json").document
    outcome = cli("upload", str(contacts), "--quiet")
    assert [document["job_id"], outcome.out.strip()] == [
        upload.job_id for upload in service.sandbox.ledger.uploads
    ]
    assert outcome.err == ""


def test_status_for_people(done: str, cli: Cli) -> None:
    lines = dict(line.split(maxsplit=1) for line in cli("status", done).out.splitlines())
    assert lines["job"] == done
    assert lines["status"] == "completed"
    assert lines["verified"] == "5 of 5 (100%)"
    assert lines["results"] == "2 deliverable, 2 undeliverable, 0 accept-all, 1 unknown"
    assert lines["created"].endswith("UTC")


def test_status_as_json_has_the_keys_of_the_model(done: str, cli: Cli) -> None:
    document = cli("status", done, "--json").document
    assert document["status"] == "completed"
    assert document["results"]["accept_all"] == 0
    assert document["created_at"].endswith("+00:00")


def test_watching_prints_a_line_for_each_change(job: str, cli: Cli) -> None:
    cli("wait", job, "--until", "ready")
    cli("start", job)
    lines = cli("status", job, "--watch").out.splitlines()
    assert lines[-1].split()[1] == "completed"


def test_watching_as_json_gives_an_object_a_line(job: str, cli: Cli) -> None:
    cli("wait", job, "--until", "ready")
    cli("start", job)
    outcome = cli("status", job, "--watch", "--json")
    assert json.loads(outcome.out.splitlines()[-1])["status"] == "completed"
    assert outcome.err == ""


def test_wait_prints_the_snapshot_that_it_waited_for(job: str, cli: Cli) -> None:
    assert "status     ready" in cli("wait", job, "--until", "ready").out
    assert cli("wait", job, "--until", "ready", "--json").document["status"] == "ready"


def test_a_wait_for_an_unknown_job_says_that_it_is_asked_for_again(
    service: Service, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bulkverify.cli.commands._SILENT_SECONDS", 0.0)
    outcome = cli("wait", "nope", "--timeout", "1")
    assert "There is no status of job nope yet. A job that is not found is" in outcome.err
    assert service.sandbox.ledger.requests["status"]


def test_start_and_delete_leave_stdout_alone(job: str, cli: Cli) -> None:
    cli("wait", job, "--until", "ready")
    started = cli("start", job)
    assert (started.code, started.out) == (0, "")
    assert f"bulkverify wait {job}" in started.err
    cli("wait", job)
    deleted = cli("delete", job)
    assert (deleted.code, deleted.out, deleted.err) == (0, "", f"Deleted {job}.\n")


def test_delete_as_json(done: str, cli: Cli) -> None:
    assert cli("delete", done, "--json").document["job_id"] == done


def test_download_writes_all_rows_or_those_of_some_verdicts(
    done: str, cli: Cli, tmp_path: Path
) -> None:
    everything, some = tmp_path / "all.csv", tmp_path / "some.csv"
    assert cli("download", done, "-o", str(everything)).err == f"Wrote 5 rows to {everything}.\n"
    document = cli(
        "download", done, "--only", "deliverable,unknown", "-o", str(some), "--json"
    ).document
    assert document == {"job_id": done, "rows": 3, "destination": str(some)}
    assert len(some.read_text().splitlines()) == 4
    assert len(everything.read_text().splitlines()) == 6


@pytest.mark.parametrize(
    "only", [["accept-all"], ["accept_all"], ["accept all"], ["Accept All,unknown"], ["unknown"]]
)
def test_download_reads_a_verdict_in_every_spelling(
    done: str, cli: Cli, tmp_path: Path, only: list[str]
) -> None:
    outcome = cli("download", done, "--only", *only, "-o", str(tmp_path / "some.csv"), "--json")
    assert outcome.document["rows"] == ("unknown" in only[0])


def test_download_replaces_a_file_only_when_told_to(done: str, cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("precious")
    outcome = cli("download", done, "-o", str(path))
    assert outcome.code == 2
    assert "--force" in outcome.err
    assert path.read_text() == "precious"
    assert cli("download", done, "-o", str(path), "--force").code == 0
    assert path.read_text() != "precious"


@pytest.mark.parametrize("name", ["out.xlsx", "out.jsonl", "out.txt"])
def test_csv_is_not_written_under_another_name(
    service: Service, done: str, cli: Cli, name: str
) -> None:
    outcome = cli("download", done, "-o", name)
    assert outcome.code == 2
    assert f"The results are CSV, and {name} ends in" in outcome.err
    assert not Path(name).exists()
    assert not service.sandbox.ledger.downloads


def test_a_status_says_which_command_comes_next(job: str, cli: Cli) -> None:
    cli("wait", job, "--until", "ready")
    assert f"  bulkverify start {job}\nThe start spends a credit" in cli("status", job).err
    cli("start", job)
    told = f"Go on with:\n  bulkverify download {job} -o results.csv\n"
    assert cli("wait", job).err.endswith(told)
    assert cli("status", job).err == told
    assert cli("status", job, "--quiet").err == ""


def test_credits(service: Service, cli: Cli) -> None:
    service.do(lambda: setattr(service.sandbox, "credits", 1234))
    assert cli("credits").out == "1,234 credits\n"
    assert cli("credits", "--json").document == {"remaining": 1234}


def test_check_one_address(service: Service, cli: Cli) -> None:
    service.do(lambda: setattr(service.sandbox, "credits", 3))
    assert "verdict     accept-all" in cli("check", "accept-all@gmail.com").out
    document = cli("check", "accept-all@gmail.com", "--json").document
    assert (document["verdict"], document["accept_all"]) == ("accept-all", True)
    document = cli("check", "undeliverable@example.com", "--timeout", "30s", "--json").document
    assert document["verdict"] == "undeliverable"
    assert service.sandbox.credits == 0


def test_the_base_url_is_an_option_too(
    service: Service, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BULKVERIFY_BASE_URL")
    assert cli("credits", "--base-url", service.url, "--requests-per-minute", "0").code == 0


def test_verbose_logs_and_quiet_does_not(service: Service, cli: Cli, contacts: Path) -> None:
    service.do(lambda: service.sandbox.inject(Fault(kind="answer", endpoint="credits")))
    logged = cli("credits", "-v").err
    assert "INFO bulkverify.service.retrying: attempt 1 failed" in logged
    assert "DEBUG" not in cli("upload", str(contacts), "-v", "-q").err
