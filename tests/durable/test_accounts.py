"""Where the keys of accounts come from, and when a worker takes no work of one."""

import pytest

from bulkverify import UsageError
from bulkverify.durable import KeyMissingError, Keys
from bulkverify.durable.accounts import Accounts, variable_of


def made(keys: Keys) -> Accounts:
    async def share(_: str) -> int:
        return 7

    return Accounts(keys, base_url="http://127.0.0.1:9/v1", session=None, share=share)


async def later(name: str) -> str | None:
    return {"acme": "a key"}.get(name)


@pytest.mark.parametrize(
    ("name", "variable"),
    [("acme", "BULKVERIFY_API_KEY__ACME"), ("my_shop_2", "BULKVERIFY_API_KEY__MY_SHOP_2")],
)
def test_each_account_has_a_variable(name: str, variable: str) -> None:
    assert variable_of(name) == variable


@pytest.mark.parametrize("keys", ["acme", {"Acme": "a key"}, ["acme-eu"], [""]])
def test_names_that_would_share_a_variable_are_refused(keys: Keys) -> None:
    with pytest.raises(UsageError, match="account"):
        made(keys)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "keys",
    [{"acme": "a key"}, {"acme": "a key"}.get, later, ["acme"], None],
    ids=["mapping", "function", "coroutine", "names", "environment"],
)
async def test_a_key_is_found_wherever_it_is(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BULKVERIFY_API_KEY__ACME", "a key")
    accounts = made(keys)
    assert accounts.serves("acme")
    assert await accounts.get("acme") is await accounts.get("acme")
    with pytest.raises(KeyMissingError, match="'beta'"):
        await accounts.get("beta")
    await accounts.close()


def test_only_accounts_with_keys_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BULKVERIFY_API_KEY__ACME", "a key")
    monkeypatch.delenv("BULKVERIFY_API_KEY", raising=False)
    for keys in (None, ["acme"], {"acme": "a key"}):
        accounts = made(keys)
        assert (accounts.serves("acme"), accounts.serves("beta")) == (True, False)
    assert not made(None).serves("default")
    monkeypatch.setenv("BULKVERIFY_API_KEY", "another")
    assert made(None).serves("default")


def test_parts_that_fail_together_pause_their_account_once() -> None:
    accounts = made({"acme": "a key"})
    pauses = [accounts.pause("acme", "the disk is full") for _ in range(15)]
    assert all(14 < seconds <= 15 for seconds in pauses)


def test_an_account_that_fails_again_after_its_pause_waits_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("bulkverify.durable.accounts.monotonic", lambda: now)
    accounts = made({"acme": "a key"})
    pauses = []
    for _ in range(8):
        pauses.append(accounts.pause("acme", "the disk is full"))
        now += pauses[-1]
    assert pauses == [15, 30, 60, 120, 240, 480, 600, 600]


def test_an_account_that_failed_here_is_left_to_others_for_a_while() -> None:
    accounts = made({"acme": "a key", "beta": "another"})
    accounts.pause("acme", "the disk is full")
    assert (accounts.serves("acme"), accounts.serves("beta")) == (False, True)
    assert accounts.note == "acme: the disk is full"
