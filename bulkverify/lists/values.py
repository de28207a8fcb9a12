"""Writes the values of cells as people see them in Excel."""

import re
from datetime import date, datetime, time, timedelta
from typing import Final

from bulkverify.lists.packages import UnreadableError

NUMBER, MOMENT, SPAN = range(3)
"""What a number format shows: a number, a date or time, or a duration."""

KNOWN_FORMATS: Final = {**dict.fromkeys((*range(14, 23), 45, 47), MOMENT), 46: SPAN}
"""The number formats of Excel that are no plain numbers, by their id."""

_LONGEST_FORMAT: Final = 1000
_REFERENCE: Final = re.compile(r"([A-Z]{1,3})[0-9]{1,7}", re.IGNORECASE)
# Not a date in a number format: literals, and brackets other than [h], [mm] and [ss].
_LITERAL: Final = re.compile(r'".*?"|\[(?!hh?\]|mm?\]|ss?\])[^\]]*\]')
_DATE: Final = re.compile(r"(?<![_\\])[dmhys]", re.IGNORECASE)
_DURATION: Final = re.compile(r"\[(?:hh?|mm?|ss?)\]", re.IGNORECASE)
_LARGEST_WHOLE_FLOAT: Final = 10.0**15

# How Excel writes characters that XML can't hold, and a text that looks like such an escape.
_ESCAPE: Final = re.compile(r"(?:_x[0-9a-fA-F]{4}_)+")


def plain_text(text: str) -> str:
    """Return a text without its escapes: `_x000D_` is a carriage return, `_x005F_` an underscore.

    A NUL and half of a pair, which no list can hold, become U+FFFD.
    """
    return _ESCAPE.sub(_unescaped, text) if "_x" in text else text


def _unescaped(found: re.Match[str]) -> str:
    codes = [int(code[2:6], 16) for code in re.findall("_x...._", found[0])]
    data = b"".join(code.to_bytes(2, "little") for code in codes)
    return data.decode("utf-16-le", "replace").replace("\0", "\ufffd")


def column_letters(column: int) -> str:
    """Return the letters of a column, counted from 1."""
    letters = ""
    while column:
        column, place = divmod(column - 1, 26)
        letters = chr(ord("A") + place) + letters
    return letters


def column_of(reference: str) -> int:
    """Return the number of the column, from 1, in a reference such as B7."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise UnreadableError(f"{reference[:20]!r} is not a cell")
    column = 0
    for letter in match[1].upper():
        column = 26 * column + ord(letter) - ord("A") + 1
    return column


def format_kind(code: str) -> int:
    """Tell whether a number format shows a number, a date or time, or a duration."""
    code = code[:_LONGEST_FORMAT].partition(";")[0]
    if _DURATION.search(code):
        return SPAN
    return MOMENT if _DATE.search(_LITERAL.sub("", code)) else NUMBER


def number_text(text: str, kind: int, first_day: date) -> str:
    """Write a number as Excel shows it."""
    if kind == NUMBER and text[0] != "0" and text.isdecimal() and text.isascii():
        return text
    number = float(text) if set(text) & set(".eE") else int(text)
    if kind != NUMBER:
        try:
            return _date_text(float(number), kind, first_day)
        except (OverflowError, ValueError):
            return "#VALUE!"
    if isinstance(number, float) and number.is_integer() and abs(number) < _LARGEST_WHOLE_FLOAT:
        number = int(number)
    return str(number)


def _date_text(number: float, kind: int, first_day: date) -> str:
    """Write a date or a time, which Excel counts in days, to the millisecond."""
    if kind == SPAN:
        return str(
            timedelta(milliseconds=round(timedelta(days=number) / timedelta(milliseconds=1)))
        )
    days, rest = divmod(number, 1)
    passed = timedelta(milliseconds=round(rest * 86_400_000))
    if 0 <= number < 1 and not passed.days:
        return str((datetime.combine(first_day, time.min) + passed).time())
    if 0 < number < 60 and first_day.year < 1900:  # noqa: PLR2004 - Excel has a 29 February 1900
        days += 1
    moment = datetime.combine(first_day, time.min) + timedelta(days=days) + passed
    return str(moment.date() if moment.time() == time.min else moment)


def iso_text(text: str) -> str:
    """Write a date that the file holds as text."""
    try:
        moment = datetime.fromisoformat(text.removesuffix("Z"))
    except ValueError:
        return text
    return str(moment.date() if moment.time() == time.min else moment)
