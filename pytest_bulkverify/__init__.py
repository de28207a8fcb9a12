"""bulkverify's plugin for pytest: the marker, and two fixtures that load nothing until they are asked for.

It is a package of its own because `bulkverify` would load all of the SDK into every test run of an
environment, also into those that have nothing to do with it. What it needs is in `bulkverify.testing`.
"""

import pytest

_MARKER = (
    "bulkverify(speed, faults, seed, credits, requests_per_minute, timings, vendor, virtual): "
    "what the sandbox behind bulkverify_sandbox and bulkverify_client is like"
)


def pytest_configure(config: pytest.Config) -> None:
    """Announce the marker, and the fixtures where pytest-asyncio can run them."""
    config.addinivalue_line("markers", _MARKER)
    if config.pluginmanager.hasplugin("asyncio"):
        from pytest_bulkverify import fixtures  # noqa: PLC0415 - needs pytest-asyncio

        config.pluginmanager.register(fixtures, "bulkverify-fixtures")
