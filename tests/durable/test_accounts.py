"""Where the keys of accounts come from, and when a worker takes no work of one."""

import pytest

from bulkverify import UsageError
from bulkverify.durable import KeyMissingError, Keys
from bulkverify.durable.accounts import Accounts, variable_of
from bulkverify.durable.pauses import Pauses


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


def test_parts_that_fail_together_begin_one_pause() -> None:
    pauses = Pauses(15)
    assert all(14 < pauses.begin("acme", "the disk is full") <= 15 for _ in range(15))


def test_what_fails_again_after_its_pause_waits_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("bulkverify.durable.pauses.monotonic", lambda: now)
    pauses, seconds = Pauses(15), list[float]()
    for _ in range(8):
        seconds.append(pauses.begin("acme", "the disk is full"))
        now += seconds[-1]
    assert seconds == [15, 30, 60, 120, 240, 480, 600, 600]
    pauses.forget("acme")
    assert pauses.begin("acme", "the disk is full") == 15
    pauses.forget("acme")  # a step that began before
    assert pauses.covers("acme")


def test_an_account_that_failed_here_is_left_to_others_for_a_while() -> None:
    accounts = made({"acme": "a key", "beta": "another"})
    accounts.pauses.begin("acme", "the key is refused")
    assert (accounts.serves("acme"), accounts.serves("beta")) == (False, True)
    assert accounts.pauses.note == "acme: the key is refused"
