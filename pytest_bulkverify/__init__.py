"""The pytest plugin of bulkverify: a marker, and two fixtures that load the SDK on first use.

pytest imports each installed plugin in every test run. As a package of its own it loads nothing of
`bulkverify` then.
"""

import pytest

_MARKER = (
    "bulkverify(speed, faults, seed, credits, requests_per_minute, timings, vendor, virtual): "
    "what the sandbox behind bulkverify_sandbox and bulkverify_client is like"
)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and the fixtures if pytest-asyncio is there to run them."""
    config.addinivalue_line("markers", _MARKER)
    if config.pluginmanager.hasplugin("asyncio"):
        from pytest_bulkverify import fixtures  # noqa: PLC0415 - needs pytest-asyncio

        config.pluginmanager.register(fixtures, "bulkverify-fixtures")
