"""The plugin in the test suite of a user."""

import re
from pathlib import Path

import pytest

import bulkverify
import bulkverify.sandbox
import bulkverify.testing  # noqa: F401 - keeps modules loaded that the inner suites import

pytest_plugins = "pytester"

DOCUMENT = Path(__file__).parents[2] / "docs" / "testing.md"
LOOP = "asyncio_default_fixture_loop_scope=function"
SIX_HOURS = """
    import asyncio
    import pytest
    from bulkverify import wait_until

    pytestmark = [
        {marks}
        pytest.mark.bulkverify(timings={{"verifying": 6 * 3600}}),
    ]

    async def test_six_hours(bulkverify_sandbox, bulkverify_client):
        loop = asyncio.get_running_loop()
        clock = loop._selector.select.__self__
        begin, skipped = loop.time(), clock.skipped
        job = await bulkverify_client.upload(["unknown@example.com"])
        await wait_until(job, "ready")
        await job.start()
        await asyncio.sleep(3600)
        await wait_until(job, "completed", timeout=6 * 3600)
        assert loop.time() - begin > 6 * 3600
        assert clock.skipped - skipped > 6 * 3600 - 60
        assert bulkverify_sandbox.ledger.credits_spent == 1

    async def test_again(bulkverify_sandbox, bulkverify_client):
        assert (await bulkverify_client.credits()).remaining == 1_000_000
"""


def run(pytester: pytest.Pytester, source: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(source)
    return pytester.runpytest_inprocess("-o", LOOP, "-p", "no:looptime", "-p", "no:cov", *options)


def test_the_example_of_the_documentation_is_right(pytester: pytest.Pytester) -> None:
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks[0].splitlines()) == 20
    run(pytester, blocks[0]).assert_outcomes(passed=1)


@pytest.mark.parametrize("mode", ["strict", "auto"])
@pytest.mark.parametrize("scope", ["function", "module", "session"])
def test_six_hours_are_jumped_over_in_every_loop(
    pytester: pytest.Pytester, mode: str, scope: str
) -> None:
    marks = f"pytest.mark.asyncio(loop_scope={scope!r})," if mode == "strict" else ""
    options = ["-o", f"asyncio_mode={mode}", "-o", f"asyncio_default_test_loop_scope={scope}"]
    result = run(pytester, SIX_HOURS.format(marks=marks), *options, "-W", "error")
    result.assert_outcomes(passed=2)


def test_the_marker_sets_faults(pytester: pytest.Pytester) -> None:
    source = """
        import pytest
        from bulkverify import wait_until
        from bulkverify.sandbox import Fault

        pytestmark = [pytest.mark.asyncio, pytest.mark.bulkverify(seed=5, credits=1)]

        @pytest.mark.bulkverify(
            credits=2, faults=[{"kind": "drop_after", "endpoint": "start"}, Fault(kind="stale")]
        )
        async def test_it(bulkverify_sandbox, bulkverify_client):
            job = await bulkverify_client.upload(["unknown@example.com", "a@example.com"])
            await wait_until(job, "ready")
            await job.start()
            await wait_until(job, "completed")
            ledger = bulkverify_sandbox.ledger
            assert bulkverify_sandbox.seed == 5
            assert bulkverify_sandbox.credits == 0
            assert ledger.faults == {"drop_after": 1, "stale": 1}
            assert ledger.job(job.id).starts == 1 and not ledger.paid_twice

        @pytest.mark.bulkverify(requests_per_minute=2)
        async def test_the_client_keeps_to_the_limit(bulkverify_sandbox, bulkverify_client):
            for _ in range(10):
                await bulkverify_client.credits()
            assert not bulkverify_sandbox.ledger.throttled

        @pytest.mark.bulkverify(virtual=False, speed=3600)
        async def test_without_the_virtual_clock(bulkverify_client):
            job = await bulkverify_client.upload(["unknown@example.com"])
            await wait_until(job, "ready")
    """
    run(pytester, source).assert_outcomes(passed=3)


def test_a_client_without_arguments_finds_the_sandbox(pytester: pytest.Pytester) -> None:
    source = """
        import pytest
        from bulkverify import Client

        @pytest.mark.asyncio
        async def test_it(bulkverify_sandbox):
            async with Client() as client:
                await client.verify("deliverable@example.com")
            assert bulkverify_sandbox.ledger.paid == {"deliverable@example.com": 1}
    """
    run(pytester, source).assert_outcomes(passed=1)


def test_a_failed_test_shows_the_ledger(pytester: pytest.Pytester) -> None:
    source = """
        import pytest

        pytestmark = [pytest.mark.asyncio, pytest.mark.bulkverify(seed=77)]

        async def test_bad(bulkverify_client):
            await bulkverify_client.upload(["secret@example.com"])
            assert False

        async def test_good(bulkverify_client):
            await bulkverify_client.credits()

        def test_other():
            assert False
    """
    result = run(pytester, source)
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*ledger of the sandbox*",
            "uploads 1, starts 0, downloads 0",
            "credits spent 0, addresses paid twice 0",
            "requests: upload 1",
            "*: 1 rows, 0 starts, 0 credits, 0 polls, 0 downloads",
            "seed: 77",
        ]
    )
    assert result.stdout.str().count("ledger of the sandbox") == 1


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("sped=3", "has no sped; it has speed, faults"),
        ("3", "has no 3; it has speed"),
        ("faults=[{'kind': 'explode'}]", "fault 1: kind is 'explode'; it must be one of answer,"),
        ("faults=[{'kind': 'drop', 'times': '3'}]", "fault 1 (drop): times is '3'; it must be"),
    ],
)
def test_an_invalid_marker_is_an_error(pytester: pytest.Pytester, marker: str, words: str) -> None:
    source = f"""
        import pytest

        @pytest.mark.asyncio
        @pytest.mark.bulkverify({marker})
        async def test_it(bulkverify_sandbox):
            pass
    """
    result = run(pytester, source)
    result.assert_outcomes(errors=1)
    assert words in result.stdout.str()


def test_a_test_that_is_not_async_is_refused(pytester: pytest.Pytester) -> None:
    result = run(pytester, "def test_it(bulkverify_client): pass")
    result.assert_outcomes(errors=1)
    assert "bulkverify_sandbox needs a test that pytest-asyncio runs" in result.stdout.str()


def test_a_suite_that_does_not_use_it_is_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio, sys
        import pytest

        def test_nothing_is_loaded(pytestconfig):
            assert not {name for name in sys.modules if name.split(".")[0] in {"bulkverify", "aiohttp"}}
            assert not pytestconfig.pluginmanager.hasplugin("bulkverify-books")

        @pytest.mark.asyncio
        async def test_the_loop_is_what_it_is():
            assert "time" not in vars(asyncio.get_running_loop())
        """
    )
    options = ["-o", LOOP, "--strict-markers", "-p", "no:cov", "-p", "no:looptime"]
    pytester.runpytest_subprocess(*options).assert_outcomes(passed=2)


def test_without_pytest_asyncio_nothing_happens(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest_subprocess(
        "-p", "no:asyncio", "-p", "no:looptime", "-W", "error", "--strict-markers"
    )
    result.assert_outcomes(passed=1)


def test_it_runs_on_several_workers(pytester: pytest.Pytester) -> None:
    source = SIX_HOURS.format(marks="pytest.mark.asyncio,")
    pytester.makepyfile(test_one=source, test_two=source)
    result = pytester.runpytest_subprocess("-o", LOOP, "-n", "2", "-p", "no:cov")
    result.assert_outcomes(passed=4)
