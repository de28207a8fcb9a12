#!/usr/bin/env python3
"""Run the tests of the current commit on every supported Python, with two sets of dependencies.

    tools/pythons.py                    everything: each Python, the newest and the lowest dependencies
    tools/pythons.py 3.14 --lowest      one of each
    tools/pythons.py 3.13 -- -n 2 -x    what follows `--` goes to pytest

Python 3.11 and 3.12 come from this machine (`PATH` or pyenv). 3.13 and 3.14 come from Debian, each in a
minimal tree. The first time, a tree takes root, debootstrap and a minute. Trees are kept in the cache
folder. The copy of the commit and its venv are made each time.

The lowest dependencies are the lower bounds in pyproject.toml, each as `name==bound`. Their own
dependencies are as new as they allow.
"""

import argparse
import os
import re
import shutil
import ssl
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Final

_ROOT: Final = Path(__file__).resolve().parent.parent
_SUITES: Final = {"3.13": "trixie", "3.14": "sid"}  # sid moves on, so the version is checked
_PYTHONS: Final = ("3.11", "3.12", *_SUITES)
_PACKAGES: Final = "python3,python3-venv,ca-certificates"
_REQUIREMENT: Final = re.compile(r"([\w.-]+)(?:\[([\w,]+)\])?(?:[>=]=([\w.]+)(?:,<[\w.]+)?)?$")
_CLOSING: Final = re.compile(r"(?:=+ )?(\d+ .*\bin [\d.]+s\b.*?|no tests ran.*?)(?: =+)?$")
_CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"  # where Debian's tools look for them
_SUITE: Final = r"""
set -eu
cd "$1"; python=$2; shift 2
"$python" -m venv .venv
# Build dependencies are constrained too. Older pips read the first of these, newer ones the second.
PIP_CONSTRAINT="$PWD/constraints.txt" PIP_BUILD_CONSTRAINT="$PWD/constraints.txt" \
    .venv/bin/pip install -q -e ".[dev]"
.venv/bin/python -VV
.venv/bin/pip freeze --exclude-editable
exec .venv/bin/pytest "$@"
"""
_IN_A_TREE: Final = """\
set -eu
tree=$1; shift
mount --rbind /proc "$tree/proc"
mount --rbind /dev "$tree/dev"
exec chroot "$tree" "$@"
"""


class UnusableError(Exception):
    """A Python is not available here, or a requirement can't be read."""


def lowest_versions(pyproject: Mapping[str, Any]) -> dict[str, str]:
    """Return the lower bounds of all requirements of `.[dev]`, including those of the build.

    Raises:
        UnusableError: a requirement is neither `name[extras]>=bound` (and `,<bound`) nor `name==version`.
    """
    lowest: dict[str, str] = {}
    for requirement in _requirements(pyproject):
        found = _REQUIREMENT.match(requirement)
        if found is None or found[3] is None:
            raise UnusableError(f"no lower bound and no exact version: {requirement}")
        name, bound = found[1], found[3]
        lowest[name] = max(lowest.get(name, "0"), bound, key=_numbers)
    return lowest


def _requirements(pyproject: Mapping[str, Any]) -> Iterator[str]:
    project = pyproject["project"]
    yield from pyproject["build-system"]["requires"]
    yield from project["dependencies"]
    extras = ["dev"]
    for extra in extras:  # grows while extras name others
        for requirement in project["optional-dependencies"][extra]:
            found = _REQUIREMENT.match(requirement)
            if found is not None and found[1] == project["name"]:
                extras += [name for name in found[2].split(",") if name not in extras]
            else:
                yield requirement


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _python_here(version: str) -> str:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python{version}"), *pyenv.glob(f"{version}.*/bin/python{version}")]
    for python in filter(None, found):
        # pyenv has shims for inactive versions too, and they fail.
        if _version([str(python)]) == version:
            return str(python)
    raise UnusableError(f"Python {version} is not on this machine")


def _version(python: Sequence[str]) -> str:
    show = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([*python, "-c", show], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _tree(suite: str, cache: Path) -> Path:
    """Return a minimal Debian with this machine's pip settings; build it if it is missing."""
    tree = cache / suite
    if not tree.exists():
        unfinished = cache / f"{suite}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        wanted = ["--variant=minbase", f"--include={_PACKAGES}", suite, str(unfinished)]
        try:
            subprocess.run(["debootstrap", *wanted], check=True, stdout=sys.stderr)
        except (OSError, subprocess.CalledProcessError) as error:
            raise UnusableError(f"the tree of {suite} can't be built: {error}") from None
        unfinished.rename(tree)
    settings = [
        (Path("/etc/resolv.conf"), "etc/resolv.conf"),
        (Path("/etc/pip.conf"), "etc/pip.conf"),
        (Path(ssl.get_default_verify_paths().cafile or _CERTIFICATES), _CERTIFICATES[1:]),
    ]
    for here, there in settings:
        if here.exists():
            (tree / there).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(here, tree / there)
    return tree


def _run(version: str, which: str, cache: Path, arguments: Sequence[str]) -> tuple[bool, str]:
    """Run the tests once. Return whether they passed, and pytest's last line."""
    environment = dict(os.environ)
    if version in _SUITES:
        tree = _tree(_SUITES[version], cache)
        # The mounts are in a namespace of their own, which removes them when it ends.
        enter = ["unshare", "--mount", "sh", "-c", _IN_A_TREE, "sh", str(tree)]
        python, inside, checkout = "/usr/bin/python3", "/srv/bulkverify", tree / "srv/bulkverify"
        kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        kept.pop("PIP_FIND_LINKS", None)  # these folders are not in the tree
        environment = {
            **kept,
            **dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE"), _CERTIFICATES),
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }
        if (there := _version([*enter, python])) != version:
            raise UnusableError(f"{tree} has Python {there or 'none'}: delete it to rebuild it")
    else:
        enter, python, checkout = [], _python_here(version), cache / version
        inside = str(checkout)
    shutil.rmtree(checkout, ignore_errors=True)
    checkout.mkdir(parents=True)
    archive = subprocess.run(
        ["git", "archive", "HEAD"], cwd=_ROOT, stdout=subprocess.PIPE, check=True
    )
    subprocess.run(["tar", "-x", "-C", checkout], input=archive.stdout, check=True)
    pins = lowest_versions(tomllib.loads((checkout / "pyproject.toml").read_text()))
    lines = [f"{name}=={bound}\n" for name, bound in pins.items()] if which == "lowest" else []
    (checkout / "constraints.txt").write_text("".join(lines))
    closing = "ended before any test"
    with subprocess.Popen(
        [*enter, "sh", "-c", _SUITE, "sh", inside, python, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as suite:
        for line in suite.stdout or ():
            print(line, end="", flush=True)
            if found := _CLOSING.match(line.rstrip()):
                closing = found[1]
    return suite.returncode == 0, closing


def main() -> int:
    """Run all combinations in turn, and print a line for each at the end."""
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pythons", nargs="*", metavar="PYTHON", help=", ".join(_PYTHONS))
    parser.add_argument("--newest", action="append_const", dest="sets", const="newest")
    parser.add_argument("--lowest", action="append_const", dest="sets", const="lowest")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("--cache", type=Path, default=base / "bulkverify-pythons")
    asked = parser.parse_args(words[:split])
    if unknown := set(asked.pythons) - set(_PYTHONS):
        parser.error(f"unsupported Python: {', '.join(sorted(unknown))}")
    results: list[str] = []
    all_passed = True
    for version in asked.pythons or _PYTHONS:
        for which in asked.sets or ("newest", "lowest"):
            print(f"== Python {version}, {which} dependencies", flush=True)
            began = monotonic()
            try:
                passed, closing = _run(version, which, asked.cache.resolve(), words[split + 1 :])
            except UnusableError as error:
                passed, closing = False, str(error)
            all_passed = all_passed and passed
            verdict = "passed" if passed else "FAILED"
            took = f"{monotonic() - began:.0f} s with the installation"
            results.append(f"{version} {which}: {verdict}: {closing} ({took})")
    print("", *results, sep="\n")
    return 0 if all_passed else 1


if __name__ == "__main__":
    sys.exit(main())
