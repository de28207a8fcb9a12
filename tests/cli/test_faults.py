"""The command `sandbox` with faults."""

import json
import signal
from pathlib import Path

from .conftest import Cli, Shell, finish


def test_faults_come_from_a_file(shell: Shell, cli: Cli, tmp_path: Path) -> None:
    rules, key = tmp_path / "faults.toml", tmp_path / "key"
    rules.write_text('[[fault]]\nkind = "answer"\nendpoint = "credits"\nstatus = 401\n')
    key.write_text("sandbox")
    process = shell("sandbox", "--port", "0", "--faults", str(rules), "--seed", "7", "--json")
    assert process.stdout is not None
    account = ["--base-url", json.loads(process.stdout.readline())["url"]]
    account += ["--api-key-file", str(key)]
    assert [cli("credits", *account).code for _ in range(2)] == [3, 0]
    process.send_signal(signal.SIGINT)
    outcome = finish(process)
    assert (outcome.code, outcome.err) == (0, "")


def test_it_shows_the_seed_of_the_faults(shell: Shell, tmp_path: Path) -> None:
    rules = tmp_path / "faults.toml"
    rules.write_text("[rates]\ndrop = 0.5\n")
    process = shell("sandbox", "--port", "0", "--faults", str(rules), "--seed", "7")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("URL")
    process.send_signal(signal.SIGINT)
    assert "It injects 1 fault, with the seed 7." in finish(process).err


def test_an_invalid_rule_is_a_usage_error(cli: Cli, tmp_path: Path) -> None:
    rules = tmp_path / "faults.toml"
    rules.write_text('[[fault]]\nkind = "explode"\n')
    outcome = cli("sandbox", "--port", "0", "--faults", str(rules))
    assert outcome.code == 2
    assert "faults.toml, fault 1: kind is 'explode'; it must be one of answer" in outcome.err
    assert cli("sandbox", "--faults", str(tmp_path / "none.toml")).code == 2
