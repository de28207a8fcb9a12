"""The accounts of a worker: names in the database, keys and clients only in this process."""

import asyncio
import inspect
import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from time import monotonic
from typing import Final, TypeAlias

import aiohttp
from tenacity.wait import wait_base

from bulkverify.client import Client, budget_of, known_of
from bulkverify.durable.pauses import Pauses
from bulkverify.durable.spec import checked_account
from bulkverify.errors import InsufficientCreditsError, UsageError
from bulkverify.limits import REQUESTS_PER_MINUTE
from bulkverify.run.account import Account
from bulkverify.run.outages import Outages

Keys: TypeAlias = (
    Mapping[str, str] | Callable[[str], Awaitable[str | None] | str | None] | Collection[str] | None
)
"""The keys of accounts by their names; names whose keys are in the environment; or `None` for all of those."""

VARIABLE: Final = "BULKVERIFY_API_KEY"

CREDITS_SECONDS: Final = 30.0
"""How long a run with too few credits waits before the account is asked again."""

_TICK: Final = 1.0
"""The polls of all accounts are sent together, each second: a process that wakes up less often takes less CPU."""

_FIRST_PAUSE: Final = 15.0
"""The seconds for which a worker takes no work of an account after it has failed here."""


class KeyMissingError(UsageError):
    """This worker has no key for an account."""


class Accounts:
    """The accounts that this process has keys for.

    Args:
        keys: where the keys are.
        base_url: the service's URL, as for `Client`.
        session: used for all requests, as for `Client`.
        allow_http: as for `Client`.
        requests_per_minute: the limit of each account over all workers.
        wait: when to ask again, as for `wait_until`.
        share: returns how many requests a minute this process may send for an account.

    Raises:
        UsageError: a name can't be that of an account.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        base_url: str | None,
        session: aiohttp.ClientSession | None,
        allow_http: bool = False,
        requests_per_minute: int | None = REQUESTS_PER_MINUTE,
        wait: wait_base | None = None,
        share: Callable[[str], Awaitable[int | None]],
    ) -> None:
        if isinstance(keys, str):
            raise UsageError(f"Pass the names of accounts as a list: [{keys!r}].")
        if isinstance(keys, Collection):
            for name in keys:
                checked_account(name)
        self._keys = keys
        self._base_url = base_url
        self._session = session
        self._allow_http = allow_http
        self._limit = requests_per_minute
        self._wait = wait
        self._share = share
        self._open: dict[str, Account] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self.pauses: Pauses = Pauses(_FIRST_PAUSE)
        self._credits: dict[str, tuple[float, int]] = {}

    def serves(self, name: str) -> bool:
        """Whether this process takes work of an account now; called in a thread."""
        if self.pauses.covers(name):
            return False
        keys = self._keys
        if callable(keys):
            return True
        if keys is None:
            return bool(_environment(name))
        return name in keys

    @property
    def open(self) -> Collection[Account]:
        """The accounts that are in use."""
        return tuple(self._open.values())

    async def get(self, name: str) -> Account:
        """Return an account.

        Raises:
            KeyMissingError: there is no key for it here.
            UsageError: the key or the base URL is wrong.
        """
        async with self._opening.setdefault(name, asyncio.Lock()):
            found = self._open.get(name)
            if found is None:
                found = self._open[name] = await self._make(name)
        return found

    async def _make(self, name: str) -> Account:
        client = Client(
            await self._key(name),
            base_url=self._base_url,
            session=self._session,
            allow_http=self._allow_http,
            requests_per_minute=self._limit,
        )
        known_of(client).tick = _TICK
        if self._limit is not None:
            budget_of(client).limit = await self._share(name)
        return Account(client=client, timeout=None, wait=self._wait, outages=Outages(None))

    async def _key(self, name: str) -> str:
        keys = self._keys
        if callable(keys):
            found = keys(name)
            key = await found if inspect.isawaitable(found) else found
        elif isinstance(keys, Mapping):
            key = keys.get(name)
        else:
            key = _environment(name) if keys is None or name in keys else None
        if not key:
            raise KeyMissingError(f"There is no key for account {name!r}.").with_hint(
                f"Pass it in `accounts`, or set {variable_of(name)}.", f"Set {variable_of(name)}."
            )
        return key

    async def share_again(self) -> None:
        """Adjust the request budgets to the workers that are alive."""
        if self._limit is None:
            return
        for name, account in list(self._open.items()):
            budget_of(account.client).limit = await self._share(name)

    async def require(self, name: str, owed: int, title: str) -> None:
        """Raise `InsufficientCreditsError` if an account can't pay for a list; an outage is waited out."""
        account = await self.get(name)
        check = partial(account.check_credits, owed, title=title, spent=0)
        await account.outages.retry(check, lambda _: None)

    async def until_enough(self, name: str, owed: int) -> None:
        """Wait until an account has enough credits. It is asked once for all that wait."""
        account = await self.get(name)
        while True:
            await asyncio.sleep(CREDITS_SECONDS)
            asked_at, remaining = self._credits.get(name, (0.0, 0))
            if monotonic() - asked_at >= CREDITS_SECONDS / 2:
                self._credits[name] = (monotonic(), remaining)
                remaining = (await account.client.credits()).remaining
                self._credits[name] = (monotonic(), remaining)
            if remaining >= owed:
                return

    async def close(self) -> None:
        """Close all clients."""
        for account in self._open.values():
            await account.client.close()
        self._open.clear()


def variable_of(name: str) -> str:
    """Return the environment variable with the key of an account."""
    return f"{VARIABLE}__{name.upper()}"


def _environment(name: str) -> str:
    key = os.environ.get(variable_of(name), "")
    return key or (os.environ.get(VARIABLE, "") if name == DEFAULT else "")


DEFAULT: Final = "default"
"""The account whose key is BULKVERIFY_API_KEY."""

__all__ = [
    "DEFAULT",
    "Accounts",
    "InsufficientCreditsError",
    "KeyMissingError",
    "Keys",
    "variable_of",
]
