import io
from pathlib import Path

import pytest

from .conftest import Cli, Shell, finish
from .service import KEY, Service


@pytest.fixture(autouse=True)
def _without_the_variable(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.delenv("BULKVERIFY_API_KEY")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return service


def test_without_a_key_it_says_how_to_give_one(cli: Cli) -> None:
    outcome = cli("credits")
    assert outcome.code == 2
    assert "BULKVERIFY_API_KEY" in outcome.err
    assert "--api-key-file" in outcome.err


def test_the_key_comes_from_a_file_rather_than_from_the_variable(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BULKVERIFY_API_KEY", "another")
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    assert cli("credits", "--api-key-file", str(path)).code == 0


def test_the_key_comes_from_stdin(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{KEY}\n"))
    assert cli("credits", "--api-key-file", "-").code == 0


def test_a_real_stdin_works_too(shell: Shell) -> None:
    process = shell("credits", "--api-key-file=-", stdin=-1)
    assert process.stdin is not None
    process.stdin.write(KEY)
    process.stdin.close()
    process.stdin = None
    assert finish(process).code == 0


@pytest.mark.parametrize("content", [b"", b"two s3cr3t words", b"s3cr3t\nlines", b"\xff\xfe\x00"])
def test_a_file_without_a_key_is_refused_and_not_repeated(
    cli: Cli, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    outcome = cli("credits", "--api-key-file", str(path))
    assert outcome.code == 2
    assert outcome.err == f"bulkverify: error: {path} must hold the API key and nothing else.\n"


@pytest.mark.parametrize("tokens", [["--api-key", "s3cr3t"], ["--api-key=s3cr3t"]])
def test_a_key_among_the_arguments_is_refused_and_not_repeated(cli: Cli, tokens: list[str]) -> None:
    outcome = cli("credits", *tokens)
    assert outcome.code == 2
    assert "not an option" in outcome.err
    assert cli("credits", *tokens, "--json").error["type"] == "UsageError"
