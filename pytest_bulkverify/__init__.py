"""The pytest plugin of bulkverify: a marker, and two fixtures that load the SDK on first use.

pytest imports each installed plugin in every test run. This one is a package of its own, so that the
import does not load `bulkverify`.
"""

import pytest

_MARKER = (
    "bulkverify(speed, faults, seed, credits, requests_per_minute, timings, vendor, virtual): "
    "the options of the sandbox behind bulkverify_sandbox and bulkverify_client"
)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and the fixtures if pytest-asyncio is there to run them."""
    config.addinivalue_line("markers", _MARKER)
    if config.pluginmanager.hasplugin("asyncio"):
        from pytest_bulkverify import fixtures  # noqa: PLC0415 - needs pytest-asyncio

        config.pluginmanager.register(fixtures, "bulkverify-fixtures")
