"""Numbers and texts as the page shows them."""

import pytest

from bulkverify.errors import plural
from bulkverify.report.words import duration, foreign, percent


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0%"),
        (0.00001, "<0.1%"),
        (0.0149, "1.5%"),
        (0.155, "16%"),
        (0.996, "99.6%"),
        (0.99999, ">99.9%"),
        (1, "100%"),
    ],
)
def test_only_nothing_is_0_percent_and_only_everything_100(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (9.24, "9.2 s"),
        (59.4, "59 s"),
        (59.9, "1 min"),
        (61, "1 min 1 s"),
        (7260, "2 h 1 min"),
        (90061, "1 d 1 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_one_of_a_thing_is_singular() -> None:
    assert [plural(1, "row"), plural(1200, "row"), plural(2, "address", "addresses")] == [
        "1 row",
        "1,200 rows",
        "2 addresses",
    ]


def test_foreign_text_is_isolated_and_shows_its_hidden_characters() -> None:
    assert foreign("a<b>\u202e\n\u200b") == "<bdi>a&lt;b&gt;\ufffd\ufffd\ufffd</bdi>"
    assert len(foreign("x" * 10_000)) < 200
