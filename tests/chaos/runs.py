"""Runs of `verify_list` that are cancelled and continued."""

import asyncio
import csv
import shutil

import attrs

from bulkverify import (
    BulkVerifyError,
    IncompleteRunError,
    JobCancelledError,
    JobFailedError,
    RunReport,
    verify_list,
)

from .people import VERDICTS, Person

MOST_CALLS = 80
TIMEOUT = 2 * 3600.0


@attrs.define(kw_only=True, eq=False)
class Run(Person):
    """A user with a list of several parts, whose program is sometimes stopped."""

    async def see_through(self) -> None:
        """Repeat the call until the output exists."""
        count = self.chance.randrange(2, 24)
        addresses = self.addresses(count)
        source = self.folder / f"{self.number}.source.csv"
        repeated = [self.chance.choice(addresses).replace("@e", "@E") for _ in range(3)]
        rows = [*addresses, *repeated]
        source.write_text("n,email\n" + "".join(f"{n},{a}\n" for n, a in enumerate(rows)))
        outcome = "run: given up"
        largest = self.chance.randrange(2, 12)
        for calls in range(MOST_CALLS):
            done = await self._call(largest, hasty=calls < 8)
            if isinstance(done, RunReport):
                outcome = "run: completed" if calls == 0 else "run: completed after going on"
                self._check_output(rows)
                self.books.paid_for += addresses
                break
            if done is not None and self._is_lost(done):
                outcome = "run: parts ended by the service"
                break
            await asyncio.sleep(self.chance.uniform(1, 120))
        self.books.check(outcome != "run: given up", f"{self.number}: never got there, {done!r}")
        self.books.outcomes[outcome] += 1
        self._clear_away(completed="completed" in outcome)

    async def _call(self, largest: int, *, hasty: bool) -> RunReport | BulkVerifyError | None:
        """Make the call once; return `None` if it is cancelled."""
        call = verify_list(
            self.client,
            self.folder / f"{self.number}.source.csv",
            self.folder / f"{self.number}.out.csv",
            largest_part=largest,
            parts_at_once=self.chance.randrange(1, 5),
            timeout=TIMEOUT,
            delete=self.chance.random() < 0.5,
        )
        cancelled = hasty and self.chance.random() < 0.6
        try:
            if cancelled:
                return await self._break_off(call, 10 ** self.chance.uniform(-1, 3))
            return await call
        except BulkVerifyError as error:
            return error

    def _is_lost(self, error: BulkVerifyError) -> bool:
        """Tell whether the service has ended a part that was paid for."""
        if isinstance(error, IncompleteRunError):
            return any(part.paid and part.job_id in self.staff.ended for part in error.failures)
        if isinstance(error, JobFailedError | JobCancelledError):
            self.books.check(error.job_id in self.staff.ended, f"{self.number}: {error!r}")
            return True
        return False

    def _check_output(self, rows: list[str]) -> None:
        path = self.folder / f"{self.number}.out.csv"
        with path.open(encoding="utf-8", newline="") as file:
            found = list(csv.DictReader(file))
        cells = [(row["n"], row["email"]) for row in found]
        expected = [(str(n), address) for n, address in enumerate(rows)]
        self.books.check(cells == expected, f"{self.number}: other rows came back")
        right = all(
            row["verdict"].replace("_", "-") == row["email"].lower().partition("+")[0]
            and row["verdict"].replace("_", "-") in VERDICTS
            for row in found
        )
        self.books.check(right, f"{self.number}: wrong verdicts")

    def _clear_away(self, *, completed: bool) -> None:
        """Remove the files of the run; a completed run has only its list, its output and the note."""
        note = self.folder / f".{self.number}.out.csv.done"
        self.books.check(
            note.exists() == completed, f"{self.number}: the note is not as it should be"
        )
        note.unlink(missing_ok=True)
        for path in self.folder.glob(f"{self.number}.*"):
            if path.is_dir():
                self.books.check(not completed, f"{self.number}: {path.name} was left")
                shutil.rmtree(path)
            else:
                path.unlink()
