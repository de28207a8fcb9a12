"""A worker in a program of your own: `BULKVERIFY_DATABASE=sqlite:///runs.db python worker.py`.

The keys of the accounts come from a function, such as one that asks a vault. `bulkverify worker` does the
same with keys from the environment.
"""

import asyncio
import os
import signal

from bulkverify.durable import Engine


async def key_of(account: str) -> str | None:
    """Return the key of an account, or None if this worker does not serve it."""
    return os.environ.get(f"KEY_OF_{account.upper()}")


async def main() -> None:
    """Take work until SIGTERM or Ctrl-C."""
    told = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, told.set)
    async with Engine(os.environ["BULKVERIFY_DATABASE"], accounts=key_of):
        print("working", flush=True)
        await told.wait()
    print("stopped", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
