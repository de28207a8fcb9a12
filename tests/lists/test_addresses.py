"""Which cells can be addresses, and which addresses are equal."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bulkverify.lists import address_key
from bulkverify.lists.addresses import is_ordinary, is_possible, keys_of
from bulkverify.lists.cells import Reading, read_cell
from bulkverify.lists.distinct import Distinct


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a@x.com", "a@X.COM", True),
        ("a@x.com", " a@x.com\n", True),
        ("a@x.com", "A@x.com", False),
        ('"a@b"@x.com', '"a@b"@X.com', True),
        ('"a@B"@x.com', '"a@b"@x.com', False),
        ("nobody", "nobody", True),
        ("", "  ", True),
        ("a@x.com", "a@y.com", False),
        ("a@müller.example", "a@xn--mller-kva.example", True),
        ("a@MÜLLER.example", "a@XN--MLLER-KVA.Example", True),
        ("a@mu\u0308ller.example", "a@müller.example", True),
        ("A@müller.example", "a@xn--mller-kva.example", False),
        ("a@straße.de", "a@strasse.de", False),
        ("a@straße.de", "a@xn--strae-oqa.de", True),
        ("ä@x.com", "ä@X.com", True),
        ("ä@x.com", "xn--4ca@x.com", False),
        ("a@例子.世界", "a@xn--fsqu00a.xn--rhqv96g", True),
        ("a@例子。世界", "a@例子.世界", True),
        ("a@ü_x", "a@Ü_X", True),
    ],
)
def test_only_the_case_of_the_domain_is_ignored(one: str, other: str, *, same: bool) -> None:
    assert (address_key(one) == address_key(other)) is same


@pytest.mark.parametrize(
    "address",
    [
        "a@example.com",
        "A.B+c_d-e'f@Sub.Example.CO.UK",
        "o'brien@example.com",
        "a@example.test",
        "a@printer.local",
        "a@host.invalid",
        "a@sub.localhost",
        "a@xn--mller-kva.de",
        "a@müller.de",
        "用户@例子.世界",
        '"a b"@example.com',
        '"a@b"@example.com',
        "a@[192.0.2.1]",
        "a@[IPv6:2001:db8::1]",
        "$%&*/=?^`{}#!~@example.com",
        f"{'a' * 64}@example.com",
        f"a@{'b' * 63}.{'c' * 63}.{'d' * 63}.com",
    ],
)
def test_possible_addresses_are_sent(address: str) -> None:
    assert is_possible(address)
    assert read_cell(address) == Reading(address)
    assert keys_of([address]) == [address_key(address)]


@pytest.mark.parametrize(
    "address",
    [
        "n/a",
        "-",
        "nobody",
        "@example.com",
        "a@",
        "a@@example.com",
        "a@example",
        "a@localhost",
        "a@example.com.",
        "a@.example.com",
        "a..b@example.com",
        ".a@example.com",
        "a b@example.com",
        "a@exa mple.com",
        "a@example.123",
        "a@-example.com",
        "a@ex_ample.com",
        "a@ab--cd.com",
        "a@xn--a.com",
        "Anna <a@example.com>",
        "a@example.com, b@example.com",
        "a@example.com\u200b",
        "a@example.com\nb@example.com",
        "\ud800@example.com",
        "\0@example.com",
        "a@[192.0.2.256]",
        f"a@{'b' * 64}.com",
        f"{'a' * 250}@example.com",
        "a@" * 100_000,
    ],
)
def test_a_text_is_not_possible_as_it_stands(address: str) -> None:
    assert not is_possible(address)


def test_an_empty_cell_has_an_empty_key() -> None:
    assert keys_of(["", "a@X.com"]) == ["", "a@x.com"]


LOCALS = st.text(alphabet="aZ09.+_'-", min_size=1, max_size=70)
LABELS = st.text(alphabet="aZ09-", min_size=1, max_size=66)
LIKELY = st.builds(
    lambda local, labels: f"{local}@{'.'.join(labels)}", LOCALS, st.lists(LABELS, max_size=4)
)


@settings(max_examples=1000, deadline=None)
@given(address=st.one_of(LIKELY, st.emails(), st.text(alphabet="aZ9.@-_+'\" \n", max_size=20)))
@example("a@xn--a.com")
@example("a@ab--cd.com")
@example("a@example.com\n")
@example("a@example.c0m")
def test_every_ordinary_address_is_valid_for_the_library(address: str) -> None:
    if is_ordinary(address):
        assert is_possible(address)


@settings(max_examples=500, deadline=None)
@given(
    local=st.from_regex(r"[a-z0-9_+-][a-z0-9_+'-]{0,19}(\.[a-z0-9]{1,9})?", fullmatch=True),
    labels=st.lists(
        st.from_regex(r"[a-z0-9]{1,9}(-[a-z0-9]{1,5})?", fullmatch=True), min_size=1, max_size=3
    ),
)
def test_usual_addresses_need_no_library(local: str, labels: list[str]) -> None:
    address = f"{local}@{'.'.join(labels)}.com"
    assert is_ordinary(address) is (len(address) <= 64)
    assert is_possible(address)


# Numbering them


@settings(deadline=None)
@given(batches=st.lists(st.lists(st.text(max_size=3), max_size=50), max_size=5))
def test_keys_are_numbered_as_they_first_appear(batches: list[list[str]]) -> None:
    distinct = Distinct()
    expected: dict[str, int] = {}
    for batch in batches:
        numbers = [expected.setdefault(key, len(expected)) for key in batch]
        assert distinct.number(batch) == numbers
        assert len(distinct) == len(expected)


def test_many_keys_get_different_numbers() -> None:
    distinct = Distinct()
    keys = [f"user{number}@example.com" for number in range(200_000)]
    for begin in range(0, len(keys), 1000):
        batch = keys[begin : begin + 1000]
        assert distinct.number(batch) == list(range(begin, begin + 1000))
    assert distinct.number(keys[::997]) == list(range(0, len(keys), 997))


def test_keys_with_one_equal_hash_are_different() -> None:
    class Same(str):
        """Text with a constant hash."""

        __slots__ = ()

        def __hash__(self) -> int:
            return 1

    assert Distinct().number([Same("a"), Same("b"), Same("a")]) == [0, 1, 0]
