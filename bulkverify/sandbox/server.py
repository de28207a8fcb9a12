"""The sandbox: start it, point a client at it, and read its ledger."""

import asyncio
import math
import random
from collections.abc import Iterable
from datetime import datetime
from typing import Final, Self, get_args

from aiohttp import web

from bulkverify.lifecycle import JobStatus
from bulkverify.limits import (
    MOST_UNVERIFIED_LISTS,
    MOST_VERIFYING_LISTS,
    REQUESTS_PER_MINUTE,
    RETENTION_DAYS,
)
from bulkverify.sandbox.account import Account, Allowance
from bulkverify.sandbox.app import Front
from bulkverify.sandbox.clock import Clock
from bulkverify.sandbox.drawing import Faults
from bulkverify.sandbox.faults import Fault
from bulkverify.sandbox.jobs import Timings
from bulkverify.sandbox.ledger import Ledger
from bulkverify.sandbox.vendors import Vendor

# How long cancelled requests may take to clean up when the sandbox closes.
_CLOSING_SECONDS: Final = 1.0


class Sandbox:
    """The verification service, served on this machine.

    Use it as an async context manager, or call `start` and `close`. It keeps its lists while it is
    closed, as a service does during an outage.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str = "sandbox",
        credits: int = 1_000_000,  # noqa: A002 - the field's term
        speed: float = 1.0,
        requests_per_minute: int | None = REQUESTS_PER_MINUTE,
        max_lists: int = MOST_UNVERIFIED_LISTS,
        max_verifying: int = MOST_VERIFYING_LISTS,
        retention_days: float | None = RETENTION_DAYS,
        vendor: Vendor = "bouncify",
        timings: Timings | None = None,
        upload_status: int = 201,
        retry_after: float | None = None,
        seed: int | None = None,
        epoch: datetime | None = None,
        single_record_fails: bool = False,
        total_while_preparing: bool = False,
        accept_all_column: bool = False,
        faults: Iterable[Fault] = (),
    ) -> None:
        """Set up the service; `start` serves it.

        Args:
            host: the address to listen on.
            port: the port to listen on; 0 takes a free one.
            api_key: the only key that is accepted.
            credits: the credits of the account at the start.
            speed: how many sandbox seconds pass in a second; with 0, only `advance` moves the clock.
            requests_per_minute: how many requests each endpoint accepts in any 60 sandbox seconds;
                `None` for no limit.
            max_lists: how many unverified lists there may be.
            max_verifying: how many lists may be verifying at once.
            retention_days: after how many sandbox days a list is deleted; `None` for never. A list
                that has been started is kept until it ends.
            vendor: the vendor, which decides the order of the columns in the results, and how the
                answer about a single address spells *accept-all*.
            timings: how long each step takes.
            upload_status: the HTTP status of a successful upload, 201 or 200.
            retry_after: the seconds in the `Retry-After` header of a 429; `None` for no header.
            seed: the same seed gives the same job ids and random faults; random by default.
            epoch: the aware date and time at which the sandbox's clock begins; now by default.
            single_record_fails: a list of one address is accepted and paid, and then fails.
            total_while_preparing: the status of a list has its `total` also while it is preparing.
            accept_all_column: the results have a column `Accept-all`, as some accounts get it.
            faults: the faults to inject; `inject` adds more.

        Raises:
            ValueError: there is no such vendor.
        """
        if vendor not in get_args(Vendor):
            raise ValueError(f"{vendor!r} is not a vendor; use {' or '.join(get_args(Vendor))}")
        clock = Clock(speed=speed) if epoch is None else Clock(speed=speed, epoch=epoch)
        self._seed = random.SystemRandom().getrandbits(32) if seed is None else seed
        self._host = host
        self._port = port
        self._account = Account(
            clock=clock,
            ledger=Ledger(),
            timings=timings or Timings(),
            credits=credits,
            max_lists=max_lists,
            max_verifying=max_verifying,
            retention_seconds=math.inf if retention_days is None else retention_days * 86400,
            single_record_fails=single_record_fails,
            total_while_preparing=total_while_preparing,
            ids=random.Random(self._seed),  # noqa: S311 - not for security
        )
        self._front = Front(
            account=self._account,
            allowance=Allowance(requests_per_minute=requests_per_minute),
            faults=Faults(self._seed),
            api_key=api_key,
            vendor=vendor,
            accept_all_column=accept_all_column,
            upload_status=upload_status,
            retry_after=retry_after,
        )
        self._runner: web.AppRunner | None = None
        for fault in faults:
            self.inject(fault)

    async def start(self) -> Self:
        """Start serving.

        Raises:
            RuntimeError: it is already serving.
            OSError: the port cannot be used.
        """
        if self._runner is not None:
            raise RuntimeError("The sandbox is already serving")
        runner = web.AppRunner(
            self._front.application(), access_log=None, shutdown_timeout=_CLOSING_SECONDS
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        # A virtual clock of the loop moves the sandbox too.
        self._account.clock.run(asyncio.get_running_loop().time)
        return self

    async def close(self) -> None:
        """Stop serving and stop the clock at once; requests in progress are dropped."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self._account.clock.halt()
        self._front.abandon()
        await runner.cleanup()

    async def __aenter__(self) -> Self:
        """Start serving."""
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        """Stop serving."""
        await self.close()

    @property
    def url(self) -> str:
        """The base URL, for a client.

        Raises:
            RuntimeError: the sandbox is not serving.
        """
        if self._runner is None:
            raise RuntimeError("The sandbox has not been started, or was closed")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._runner.addresses[0][1]}/v1"

    @property
    def api_key(self) -> str:
        """The API key that is accepted."""
        return self._front.api_key

    @property
    def seed(self) -> int:
        """The seed of job ids and random faults; a sandbox with the same seed repeats them."""
        return self._seed

    @property
    def credits(self) -> int:
        """The credits of the account; can be set."""
        self._account.settle()
        return self._account.credits

    @credits.setter  # noqa: A003 - the field's term
    def credits(self, value: int) -> None:
        self._account.settle()
        self._account.credits = value

    @property
    def restricted(self) -> bool:
        """Whether the account is under review and may not start or download; can be set."""
        return self._account.restricted

    @restricted.setter
    def restricted(self, value: bool) -> None:
        self._account.settle()
        self._account.restricted = value

    @property
    def ledger(self) -> Ledger:
        """Everything that happened so far. Read it again to see later `auto_verify` starts."""
        self._account.settle()
        return self._account.ledger

    def advance(self, seconds: float) -> None:
        """Move the sandbox's clock ahead; a negative number raises `ValueError`."""
        self._account.clock.advance(seconds)
        self._account.settle()

    def cancel(self, job_id: str) -> None:
        """Cancel a list, as the vendor can. Raise `IllegalTransitionError` if it has ended with another status."""
        self._account.end(job_id, JobStatus.CANCELLED)

    def fail(self, job_id: str) -> None:
        """Make a list fail. Raise `IllegalTransitionError` if it has ended with another status."""
        self._account.end(job_id, JobStatus.FAILED)

    def inject(self, fault: Fault) -> None:
        """Add a fault. If several can hit a request, the first one does."""
        self._front.faults.inject(fault)
