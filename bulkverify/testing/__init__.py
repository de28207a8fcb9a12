"""A virtual clock for tests against the sandbox: hours pass in milliseconds.

    with virtual_clock():
        async with Sandbox() as sandbox, Client(sandbox.api_key, base_url=sandbox.url) as client:
            ...

With pytest, the fixtures `bulkverify_sandbox` and `bulkverify_client` use it by themselves. They come
with `pip install "bulkverify[testing]"`.
"""

from bulkverify.testing.clock import StillWaitingError, VirtualClock, virtual_clock

__all__ = ["StillWaitingError", "VirtualClock", "virtual_clock"]
