"""For tests of programs that use this SDK: hours pass in milliseconds, against the sandbox.

    with virtual_clock():
        async with Sandbox() as sandbox, Client(sandbox.api_key, base_url=sandbox.url) as client:
            ...

pytest needs none of this: its fixtures `bulkverify_sandbox` and `bulkverify_client` have it all. They
come with `pip install "bulkverify[testing]"`.
"""

from bulkverify.testing.clock import StillWaitingError, VirtualClock, virtual_clock

__all__ = ["StillWaitingError", "VirtualClock", "virtual_clock"]
