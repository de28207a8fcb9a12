"""Numbers, times and foreign text as the page shows them."""

import unicodedata
from datetime import datetime
from typing import Final

from markupsafe import Markup

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400
_LONGEST_TEXT: Final = 160
_SMALLEST: Final = 0.001


def count(number: int) -> str:
    """Write a number with a comma after each thousand."""
    return f"{number:,}"


def percent(value: float) -> str:
    """Write a share as percent; only nothing is 0%, and only everything is 100%."""
    if value <= 0:
        return "0%"
    if value < _SMALLEST:
        return "<0.1%"
    if 1 - _SMALLEST < value < 1:
        return ">99.9%"
    return f"{value:.1%}" if value < 0.1 else _whole(value)  # noqa: PLR2004 - a digit


def _whole(value: float) -> str:
    text = f"{value:.0%}"
    return f"{value:.1%}" if text == "100%" and value < 1 else text


def duration(seconds: float) -> str:
    """Write a time span in its two largest units."""
    if round(seconds) < _MINUTE:
        digits = 1 if 0 < seconds < 10 and seconds % 1 else 0  # noqa: PLR2004
        return f"{seconds:.{digits}f} s"
    parts = []
    left = round(seconds)
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min"), (1, "s")):
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number:,} {unit}")
    return " ".join(parts[:2])


def moment(value: datetime) -> str:
    """Write a date and time, in UTC."""
    return f"{value.day} {value:%B %Y, %H:%M} UTC"


def foreign(text: str) -> Markup:
    """Show a text of the list or of the service: isolated, on one line, and without controls.

    Characters that are invisible or change the direction are replaced.
    """
    shown = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
    shown = unicodedata.normalize("NFC", shown)
    if len(shown) > _LONGEST_TEXT:
        shown = f"{shown[:_LONGEST_TEXT]}…"
    return Markup("<bdi>{}</bdi>").format(shown)
