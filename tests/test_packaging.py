"""The wheel and the source distribution have what they should have, and nothing by accident."""

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

import bulkverify

ROOT = Path(bulkverify.__file__).parents[1]
PACKAGES = ("bulkverify/", "pytest_bulkverify/")

pytest.importorskip("build", reason="the tools for packages are not installed")


def run(*command: object) -> str:
    done = subprocess.run(  # noqa: S603 - our own
        [*map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both from the checked-out files, without a network."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def committed() -> set[str]:
    """Return the files of the repository, with those that are not committed yet."""
    try:
        listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard")
    except (AssertionError, OSError):
        pytest.skip("this is not a repository")
    return {name for name in listed.splitlines() if (ROOT / name).is_file()}


def in_wheel(built: Path) -> dict[str, bytes]:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def in_sdist(built: Path) -> set[str]:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def metadata(built: Path) -> Message:
    (text,) = (data for name, data in in_wheel(built).items() if name.endswith("/METADATA"))
    return message_from_bytes(text)


def test_the_wheel_has_the_two_packages_and_nothing_else(built: Path, committed: set[str]) -> None:
    names = {name for name in in_wheel(built) if ".dist-info/" not in name}
    assert names == {name for name in committed if name.startswith(PACKAGES)}
    assert "bulkverify/py.typed" in names


def test_the_source_distribution_has_all_committed_files(built: Path, committed: set[str]) -> None:
    assert in_sdist(built) == {*committed, "PKG-INFO"}


@pytest.mark.parametrize(
    "name",
    ["SECURITY.md", "CHANGELOG.md", "LICENSE", "docs/index.md", "benchmarks/WAITING.md", ".ci/run"],
)
def test_the_source_distribution_has_the_documents(name: str, built: Path) -> None:
    assert name in in_sdist(built)


def test_twine_accepts_both(built: Path) -> None:
    said = run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", *built.iterdir())
    assert said.count("PASSED") == 2


def test_the_metadata_has_the_readme_and_no_invented_address(built: Path) -> None:
    found = metadata(built)
    assert found["Version"] == bulkverify.__version__
    assert found["License-Expression"] == "MIT"
    assert found.get_payload() == (ROOT / "README.md").read_text(encoding="utf-8")
    assert found["Home-page"] is None
    assert found.get_all("Project-URL") is None


def test_the_extras_of_users_need_no_tool_of_developers(built: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert metadata(built).get_all("Provides-Extra") == sorted(extras)
    users = {"cli", "durable", "report", "sandbox", "testing"}
    needed = {one for extra in users for one in extras[extra]}
    assert not {
        one for one in needed if one.startswith(("sphinx", "ruff", "mypy", "bulkverify[dev"))
    }


def test_the_wheel_has_the_command_and_the_plugin(built: Path) -> None:
    (text,) = (data for name, data in in_wheel(built).items() if name.endswith("entry_points.txt"))
    assert b"bulkverify = bulkverify.cli.main:main" in text
    assert b"bulkverify = pytest_bulkverify" in text
