"""Verify a list, and print what it came to: `python script.py contacts.csv verified.csv`.

With BULKVERIFY_API_KEY it uses your account. Without a key, it uses the sandbox, which costs nothing.
"""

import asyncio
import os
import sys
from contextlib import AsyncExitStack

from bulkverify import Client, IncompleteRunError, RunPlan, verify_list
from bulkverify.sandbox import Sandbox

MOST_CREDITS = 1000


def affordable(plan: RunPlan) -> bool:
    """Say what the run costs; `False` would end it."""
    print(f"{plan.rows} rows, {plan.addresses} addresses, {plan.cost} credits")
    return plan.cost <= MOST_CREDITS


async def main(source: str, destination: str) -> None:
    """Verify a list."""
    async with AsyncExitStack() as stack:
        if os.environ.get("BULKVERIFY_API_KEY"):
            client = await stack.enter_async_context(Client())
        else:
            sandbox = await stack.enter_async_context(Sandbox(speed=100))
            client = await stack.enter_async_context(Client(sandbox.api_key, base_url=sandbox.url))
        try:
            report = await verify_list(client, source, destination, confirm=affordable)
        except IncompleteRunError as error:
            sys.exit(f"{error} Run this program again: it goes on with these parts.")
    print(f"{report.verdicts.deliverable} can be mailed: {report.destination}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
