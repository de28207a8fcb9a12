"""The account of a run: its client, its settings and its locks."""

import asyncio

import attrs
from tenacity.wait import wait_base

from bulkverify.client import Client
from bulkverify.errors import InsufficientCreditsError
from bulkverify.run.outages import Outages


@attrs.define(kw_only=True, eq=False)
class Account:
    """Shared by all parts of one account in one process."""

    client: Client
    timeout: float | None
    """Seconds for each wait of a part; `None` for no limit."""
    wait: wait_base | None
    """When to ask again, as for `wait_until`."""
    outages: Outages
    """Waits for room and for the service to come back."""
    uploading: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    """One upload at a time, so that a process that dies loses the id of at most one list."""
    starting: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    """One start at a time, so that the credits just counted are not spent by another start."""
    comparing: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    """One comparison of results at a time, because each needs memory for every address of its part."""

    async def check_credits(self, owed: int, *, title: str, spent: int) -> int | None:
        """Raise `InsufficientCreditsError` if the account can't pay the credits that a list still costs.

        Return the credits of the account, or `None` if nothing is owed. `spent` is what the list has
        cost so far, for the message.
        """
        if not owed:
            return None
        remaining = (await self.client.credits()).remaining
        if remaining < owed:
            so_far = f"{spent:,} have been spent on it so far" if spent else "nothing was spent"
            raise InsufficientCreditsError(
                f"{title} costs {owed:,} credits and the account has {remaining:,}: "
                f"{owed - remaining:,} are missing, and {so_far}."
            ).with_hint(
                "Order credits, then make the same call again: it goes on from here.",
                "Order credits, then run the same command again: it goes on from here.",
            )
        return remaining
