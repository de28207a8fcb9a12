"""The request budget of an account, divided over workers. The tests set the database's clock."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
import sqlalchemy as sa

from bulkverify.durable import shares
from bulkverify.durable.database import Database

TOTAL = 120


class Shares:
    """Workers that ask for their shares."""

    def __init__(self, opened: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = opened
        self.monkeypatch = monkeypatch
        self.now = 1_800_000_000.0

    def of(self, worker: str, account: str = "acme") -> int:
        self.monkeypatch.setattr(shares, "NOW", sa.func.to_timestamp(self.now))
        self.monkeypatch.setattr(shares, "ago", lambda age: sa.func.to_timestamp(self.now - age))
        return self.opened.transaction(
            lambda connection: shares.divide(connection, account, worker, TOTAL, lease=10)
        )

    def after(self, seconds: float, *workers: str) -> list[int]:
        """Let time pass, while these workers ask again every few seconds."""
        end = self.now + seconds
        while self.now < end:
            self.now += 5
            found = [self.of(worker) for worker in workers]
            assert sum(found) <= TOTAL
        return found


@pytest.fixture
def asking(postgresql: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shares]:
    opened = Database(postgresql)
    yield Shares(opened, monkeypatch)
    opened.close()


def test_a_newcomer_gets_something_at_once_and_all_together_never_too_much(asking: Shares) -> None:
    alone = [asking.of("a") for _ in range(10)]
    assert all(before <= after for before, after in pairwise(alone))
    assert (alone[0], alone[-1]) == (60, 108)
    newcomers = [asking.of(worker) for worker in ("b", "c")]
    assert min(newcomers) > 0
    assert alone[-1] + sum(newcomers) <= TOTAL


def test_what_became_free_is_used_by_others_only_after_a_minute(asking: Shares) -> None:
    asking.after(60, "a")
    first = asking.of("b")
    assert asking.of("a") == 54  # it shrinks at once, but has sent more
    [_, second] = asking.after(55, "a", "b")
    assert second <= 120 - 108
    assert first <= second
    assert asking.after(60, "a", "b") == [54, 54]


def test_the_share_of_a_dead_worker_is_used_after_a_minute(asking: Shares) -> None:
    assert asking.after(180, "a", "b") == [54, 54]
    assert asking.after(60, "a") <= [66]  # the last requests of `b` still count
    assert asking.after(60, "a") == [108]


def test_each_account_has_a_budget_of_its_own(asking: Shares) -> None:
    assert asking.of("a") == asking.of("a", "beta") == 60
