"""The sandbox as a user meets it: start it, point a client at it, look into its books."""

import asyncio
import random
from collections.abc import Iterable
from datetime import datetime
from types import TracebackType
from typing import Final, Self, get_args

from aiohttp import web

from bulkverify.lifecycle import JobStatus
from bulkverify.limits import MOST_UNVERIFIED_LISTS, MOST_VERIFYING_LISTS, REQUESTS_PER_MINUTE
from bulkverify.sandbox.account import Account, Allowance
from bulkverify.sandbox.app import Front
from bulkverify.sandbox.clock import Clock
from bulkverify.sandbox.drawing import Faults
from bulkverify.sandbox.faults import Fault
from bulkverify.sandbox.jobs import Timings
from bulkverify.sandbox.ledger import Ledger
from bulkverify.sandbox.results import Vendor

# What is still at work when the sandbox closes has been cancelled; this is for its clean-up.
_CLOSING_SECONDS: Final = 1.0


class Sandbox:
    """The verification service, served on this machine.

    Use it as an async context manager, or call `start` and `close`. Closed and started again it
    still has its lists, as after an outage.
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
        vendor: Vendor = "bouncify",
        timings: Timings | None = None,
        upload_status: int = 201,
        retry_after: float | None = None,
        seed: int | None = None,
        epoch: datetime | None = None,
        single_record_fails: bool = False,
        faults: Iterable[Fault] = (),
    ) -> None:
        """Set the service up; nothing is served yet.

        Args:
            host: the address to listen on.
            port: the port to listen on; 0 takes a free one.
            api_key: the only key that is accepted.
            credits: what the account can spend at first.
            speed: how many sandbox seconds pass in a real one; at 0 only `advance` moves the clock.
            requests_per_minute: how many requests each endpoint takes in any 60 sandbox seconds;
                `None` for any number.
            max_lists: how many lists may be not yet verified.
            max_verifying: how many lists may be verifying.
            vendor: whose order of result columns to follow.
            timings: how long everything takes.
            upload_status: the HTTP status of a successful upload, 201 or 200.
            retry_after: what the `Retry-After` header of a 429 says, if there is to be one.
            seed: makes the job ids, and what goes wrong at random, the same in every run.
            epoch: the date and time at which the sandbox's clock begins, aware; by default now.
            single_record_fails: whether a list of one address is acknowledged, paid, and then fails.
            faults: what is to go wrong, in addition to what `inject` is told later.

        Raises:
            ValueError: there is no such vendor.
        """
        if vendor not in get_args(Vendor):
            raise ValueError(f"{vendor!r} is no vendor; they are {', '.join(get_args(Vendor))}")
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
            single_record_fails=single_record_fails,
            ids=random.Random(self._seed),  # noqa: S311 - they name lists, they protect nothing
        )
        self._front = Front(
            account=self._account,
            allowance=Allowance(requests_per_minute=requests_per_minute),
            faults=Faults(self._seed),
            api_key=api_key,
            vendor=vendor,
            upload_status=upload_status,
            retry_after=retry_after,
        )
        self._runner: web.AppRunner | None = None
        for fault in faults:
            self.inject(fault)

    async def start(self) -> Self:
        """Begin to serve.

        Raises:
            RuntimeError: it is serving already.
            OSError: the port cannot be had.
        """
        if self._runner is not None:
            raise RuntimeError("The sandbox is serving already")
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
        # The loop's clock, so that a loop with a faked one takes the sandbox along.
        self._account.clock.run(asyncio.get_running_loop().time)
        return self

    async def close(self) -> None:
        """Stop at once, whatever is in progress, and stop the clock; nothing is left running."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self._account.clock.halt()
        self._front.abandon()
        await runner.cleanup()

    async def __aenter__(self) -> Self:
        """Begin to serve."""
        return await self.start()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        await self.close()

    @property
    def url(self) -> str:
        """The base URL, to be used where the hosted service's would be.

        Raises:
            RuntimeError: nothing is being served.
        """
        if self._runner is None:
            raise RuntimeError("The sandbox has not been started, or was closed")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._runner.addresses[0][1]}/v1"

    @property
    def api_key(self) -> str:
        """The key that is accepted."""
        return self._front.api_key

    @property
    def seed(self) -> int:
        """What the job ids and the faults at random come from; give it to the next to see the same again."""
        return self._seed

    @property
    def credits(self) -> int:
        """What the account can still spend; may be set."""
        self._account.settle()
        return self._account.credits

    @credits.setter  # noqa: A003 - the field's term
    def credits(self, value: int) -> None:
        self._account.settle()
        self._account.credits = value

    @property
    def restricted(self) -> bool:
        """Whether the account is under review: nothing can be started or downloaded; may be set."""
        return self._account.restricted

    @restricted.setter
    def restricted(self, value: bool) -> None:
        self._account.settle()
        self._account.restricted = value

    @property
    def ledger(self) -> Ledger:
        """The books, up to now; those kept from an earlier look may lack a start by `auto_verify`."""
        self._account.settle()
        return self._account.ledger

    def advance(self, seconds: float) -> None:
        """Jump ahead by so many sandbox seconds.

        Raises:
            ValueError: `seconds` is negative.
        """
        self._account.clock.advance(seconds)
        self._account.settle()

    def cancel(self, job_id: str) -> None:
        """Cancel a list, as the service's staff might.

        Raises:
            KeyError: there is no such list.
            IllegalTransitionError: it has come to another end before.
        """
        self._account.end(job_id, JobStatus.CANCELLED)

    def fail(self, job_id: str) -> None:
        """Let a list fail.

        Raises:
            KeyError: there is no such list.
            IllegalTransitionError: it has come to another end before.
        """
        self._account.end(job_id, JobStatus.FAILED)

    def inject(self, fault: Fault) -> None:
        """Let something go wrong; the first injected fault that is meant for a request hits it."""
        self._front.faults.inject(fault)
