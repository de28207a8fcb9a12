"""The fixtures: a sandbox and a client of it, on a clock that jumps over waits."""

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from bulkverify import Client
    from bulkverify.sandbox import Fault, Sandbox

_OPTIONS: Final = (
    "speed",
    "faults",
    "seed",
    "credits",
    "requests_per_minute",
    "timings",
    "vendor",
    "virtual",
)
_SCOPES: Final = ("function", "class", "module", "package", "session")
_LEDGER: Final = "bulkverify-ledger"
_SANDBOX: Final = pytest.StashKey["Sandbox"]()


@pytest.fixture
def bulkverify_sandbox(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> "Sandbox":
    """Serve a sandbox with the options of the marker `bulkverify`; `Client()` uses it."""
    sandbox: Sandbox = request.getfixturevalue(f"_bulkverify_sandbox_{_loop_scope(request)}")
    monkeypatch.setenv("BULKVERIFY_API_KEY", sandbox.api_key)
    monkeypatch.setenv("BULKVERIFY_BASE_URL", sandbox.url)
    return sandbox


@pytest.fixture
def bulkverify_client(
    request: pytest.FixtureRequest,
    bulkverify_sandbox: "Sandbox",  # noqa: ARG001 - must be serving first
) -> "Client":
    """Return a client of the sandbox; it is closed after the test."""
    client: Client = request.getfixturevalue(f"_bulkverify_client_{_loop_scope(request)}")
    return client


# A socket belongs to one event loop, and pytest-asyncio has five loop scopes. Each has its own fixtures.


def _serving(scope: Any) -> object:  # noqa: ANN401 - one of five names
    @pytest_asyncio.fixture(name=f"_bulkverify_sandbox_{scope}", loop_scope=scope)
    async def serve(request: pytest.FixtureRequest) -> AsyncIterator["Sandbox"]:
        async with _served(request) as sandbox:
            yield sandbox

    return serve


def _connecting(scope: Any) -> object:  # noqa: ANN401 - likewise
    @pytest_asyncio.fixture(name=f"_bulkverify_client_{scope}", loop_scope=scope)
    async def connect(
        request: pytest.FixtureRequest, bulkverify_sandbox: "Sandbox"
    ) -> AsyncIterator["Client"]:
        from bulkverify import Client  # noqa: PLC0415 - only where it is used
        from bulkverify.limits import REQUESTS_PER_MINUTE  # noqa: PLC0415 - likewise

        async with Client(
            bulkverify_sandbox.api_key,
            base_url=bulkverify_sandbox.url,
            requests_per_minute=_options(request).get("requests_per_minute", REQUESTS_PER_MINUTE),
        ) as client:
            yield client

    return connect


_function_sandbox, _class_sandbox, _module_sandbox, _package_sandbox, _session_sandbox = map(
    _serving, _SCOPES
)
_function_client, _class_client, _module_client, _package_client, _session_client = map(
    _connecting, _SCOPES
)


@asynccontextmanager
async def _served(request: pytest.FixtureRequest) -> AsyncGenerator["Sandbox"]:
    from bulkverify.sandbox import Sandbox  # noqa: PLC0415 - only where it is used
    from bulkverify.testing import virtual_clock  # noqa: PLC0415 - likewise

    options = _options(request)
    clock = virtual_clock() if options.pop("virtual", True) else nullcontext()
    sandbox = Sandbox(**options)
    plugins = request.config.pluginmanager
    if not plugins.hasplugin(_LEDGER):
        plugins.register(_LedgerReport(), _LEDGER)
    request.node.stash[_SANDBOX] = sandbox
    with clock:
        async with sandbox:
            yield sandbox


def _loop_scope(request: pytest.FixtureRequest) -> str:
    marker = request.node.get_closest_marker("asyncio")
    if marker is None:
        raise pytest.UsageError(
            f"{request.fixturename} needs a test that pytest-asyncio runs. Write `async def`, and add "
            "`@pytest.mark.asyncio` or set asyncio_mode to auto."
        )
    scope: str = (
        marker.kwargs.get("loop_scope")
        or marker.kwargs.get("scope")
        or request.config.getini("asyncio_default_test_loop_scope")
    )
    return scope


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Read the options in a test's markers; the nearest marker wins."""
    from bulkverify.sandbox import Timings  # noqa: PLC0415 - only where it is used

    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("bulkverify"))):
        unknown = [*map(repr, marker.args), *(set(marker.kwargs) - set(_OPTIONS))]
        if unknown:
            raise pytest.UsageError(
                f"@pytest.mark.bulkverify has no {', '.join(unknown)}; it has {', '.join(_OPTIONS)}."
            )
        options |= marker.kwargs
    if isinstance(options.get("timings"), Mapping):
        options["timings"] = Timings(**options["timings"])
    options["faults"] = [
        _fault(fault, place) for place, fault in enumerate(options.get("faults", ()), 1)
    ]
    return options


def _fault(fault: "Fault | Mapping[str, Any]", place: int) -> "Fault":
    from bulkverify.sandbox import RuleError, make_fault  # noqa: PLC0415 - only where it is used

    if not isinstance(fault, Mapping):
        return fault
    try:
        return make_fault(fault, f"fault {place}")
    except RuleError as error:
        raise pytest.UsageError(f"@pytest.mark.bulkverify, {error}") from None


class _LedgerReport:
    """Adds the sandbox's ledger to the report of a failed test."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        sandbox = item.stash.get(_SANDBOX, None)
        if report.failed and sandbox is not None:
            summary = f"{sandbox.ledger}\nseed: {sandbox.seed}"
            report.sections.append(("ledger of the sandbox", summary))
        return report
