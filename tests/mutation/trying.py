"""Run tests in forks of a process that has imported everything except the package."""

import ctypes
import importlib
import os
import resource
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs
import pytest

from .trees import OPTIONS, OURS, Tree, environment

_MEMORY_BYTES: Final = 6 * 2**30
_FILE_BYTES: Final = 2**30
_A_TEST_SECONDS: Final = 12.0
_SLOWER: Final = 8.0
_START_SECONDS: Final = 60.0
_SUBREAPER: Final = 36  # PR_SET_CHILD_SUBREAPER


@attrs.frozen(kw_only=True)
class Tried:
    """The results of the tests.

    Attributes:
        noticed: the first test that failed, or `None`.
        timeout: whether the fork was ended because it took too long.
        failed: all failed tests, if the run goes on after the first.
        seconds: the time of each test.
    """

    noticed: str | None
    timeout: bool = False
    failed: tuple[str, ...] = ()
    seconds: dict[str, float] = attrs.field(factory=dict)


class _Order:
    """A pytest plugin that runs the given tests in order, and reports each to the parent."""

    def __init__(self, tests: Sequence[str], pipe: int) -> None:
        self.tests = tests
        self.pipe = pipe

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        found = {item.nodeid: item for item in items}
        items[:] = [found[test] for test in self.tests if test in found]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._tell("start", nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._tell("failed", report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._tell("finish", nodeid)

    def _tell(self, what: str, test: str) -> None:
        os.write(self.pipe, f"{what}\0{test}\0\0".encode())


def warm_up(tree: Tree) -> int:
    """Import the modules that the tests use, except our own; return their number."""
    names = tree.work / f"modules-{tree.number}.txt"

    def collect() -> int:
        code = pytest.main([*OPTIONS, "--collect-only", "-qq", str(tree.root / "tests")])
        names.write_text("\n".join(_foreign()))
        return code

    sys.dont_write_bytecode = False  # the modules of the tests, once
    process = _forked(tree, collect)
    _, status = os.waitpid(process, 0)
    sys.dont_write_bytecode = True
    if status:
        raise RuntimeError(f"the tests cannot be collected; see {tree.said}")
    for name in names.read_text().split():
        with suppress(Exception):  # partly imported modules are left to the tests that need them
            importlib.import_module(name)
    # pygal leaves a finder that Python can no longer call, which breaks all imports after it.
    sys.meta_path[:] = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
    return len(sys.modules)


def _foreign() -> Iterator[str]:
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None) or ""
        installed = path.startswith((sys.prefix, sys.base_prefix))
        if installed and name.split(".")[0] not in OURS and not name.startswith("__"):
            yield name


def at_once(trees: Sequence[Tree], work: Callable[[Tree], None]) -> None:
    """Run a process for each tree, and wait for all of them."""
    workers = []
    for tree in trees:
        sys.stdout.flush()
        sys.stderr.flush()
        worker = os.fork()
        if not worker:
            code = 70
            try:
                # Orphaned processes of the tests become our children.
                ctypes.CDLL(None).prctl(_SUBREAPER, 1)
                work(tree)
                code = 0
            except BaseException:  # noqa: BLE001 - the fork must not continue the parent's code
                sys.excepthook(*sys.exc_info())
            finally:
                with suppress(Exception):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(code)
        workers.append(worker)
    codes = [os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in workers]
    if any(codes):
        raise RuntimeError(f"a worker ended with {codes}")


def attempt(
    tree: Tree, tests: Sequence[str], expected: Callable[[str], float], *, first: bool = True
) -> Tried:
    """Run tests in a fork, all of them or until the first failure.

    Args:
        tree: the copy in which they run.
        tests: their ids, in the order in which they run.
        expected: returns how many seconds a test should take.
        first: stop at the first failure.
    """
    reading, writing = os.pipe()
    files = dict.fromkeys(str(tree.root / test.partition("::")[0]) for test in tests)
    with tempfile.TemporaryDirectory(dir=tree.work, ignore_cleanup_errors=True) as temporary:
        options = [
            *OPTIONS,
            *(["-x"] if first else []),
            f"--basetemp={temporary}/t",
            "-o",
            "timeout=0",
        ]

        def run() -> int:
            os.environ["TMPDIR"] = temporary
            tempfile.tempdir = None
            return pytest.main([*options, *files], plugins=[_Order(tests, writing)])

        process = _forked(tree, run)
        os.close(writing)
        try:
            told = _listen(reading, expected, _SLOWER * sum(map(expected, tests)))
            status = _ended(process, timeout=told.timeout)
        finally:
            os.close(reading)
            _end_all(process)
    if told.timeout or told.noticed is not None:
        return told
    if os.WIFSIGNALED(status):
        return attrs.evolve(told, noticed=f"killed by signal {os.WTERMSIG(status)}")
    code = os.WEXITSTATUS(status)
    if code in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED} and told.seconds:
        return told
    return attrs.evolve(told, noticed=f"the tests could not be collected (exit code {code})")


def _listen(pipe: int, expected: Callable[[str], float], longest: float) -> Tried:
    """Read the reports of the fork until it ends, or it or a test takes too long."""
    rest = b""
    running: str | None = None
    begun = time.monotonic()
    end = begun + _START_SECONDS + longest
    deadline = begun + _START_SECONDS
    failed: list[str] = []
    seconds: dict[str, float] = {}
    while True:
        left = min(deadline, end) - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            failed.append(running or "the start")
            return Tried(noticed=failed[0], timeout=True, seconds=seconds)
        chunk = os.read(pipe, 65536)
        if not chunk:
            break
        *lines, rest = (rest + chunk).split(b"\0\0")
        for line in lines:
            what, _, test = line.decode().partition("\0")
            now = time.monotonic()
            deadline = now + _A_TEST_SECONDS
            if what == "start":
                running, begun = test, now
                deadline += _SLOWER * expected(test)
            elif what == "failed":
                failed.append(test)
            else:
                seconds[test] = now - begun
    return Tried(noticed=failed[0] if failed else None, failed=tuple(failed), seconds=seconds)


def _forked(tree: Tree, run: Callable[[], int]) -> int:
    """Fork a process that runs a function in a tree, with its own session and limits."""
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        said = os.open(tree.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.chdir(tree.root)
        os.environ.clear()
        os.environ.update(environment(tree.root))
        _forget_ours()
        sys.path[:] = [str(tree.root), *(path for path in sys.path if path not in tree.hidden)]
        code = int(run())
    except BaseException:  # noqa: BLE001 - the fork must not continue the parent's code
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _forget_ours() -> None:
    """Forget our own modules, so that those of the tree are imported."""
    for name in list(sys.modules):
        if name.split(".")[0] in OURS:
            del sys.modules[name]
    importlib.invalidate_caches()


def _ended(process: int, *, timeout: bool) -> int:
    """Wait a limited time for a fork that has closed its pipe; return its status."""
    deadline = time.monotonic() + (0.0 if timeout else _A_TEST_SECONDS)
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() > deadline:
            os.killpg(process, signal.SIGKILL)
            return os.waitpid(process, 0)[1]
        time.sleep(0.005)


def _end_all(process: int) -> None:
    """End the processes of a fork: its group, and orphans that became our children."""
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    with suppress(ChildProcessError):
        while True:
            for child in _children():
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            os.waitpid(-1, 0)


def _children() -> Iterable[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [int(number) for number in text.split()]
