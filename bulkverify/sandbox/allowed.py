"""Validators for the fields of a fault."""

from collections.abc import Callable, Mapping
from sys import float_info
from typing import Any, Final

import attrs

_Validator = Callable[[object, "attrs.Attribute[Any]", Any], None]


def _allow(words: str, test: Callable[[Any], bool]) -> _Validator:
    def validate(_: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:  # noqa: ANN401 - checked here
        if not test(value):
            raise ValueError(f"{attribute.name} is {value!r}; it must be {words}.")

    return validate


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:  # noqa: ANN401 - likewise
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= float_info.max


FROM_0: Final = _allow("a whole number >= 0", lambda value: _is_whole(value) and value >= 0)
FROM_1: Final = _allow("a whole number >= 1", lambda value: _is_whole(value) and value >= 1)
TIMES: Final = _allow(
    'a whole number >= 0, or "all" (None in Python)',
    lambda value: value is None or (_is_whole(value) and value >= 0),
)
SHARE: Final = _allow("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1)
SECONDS: Final = _allow("seconds >= 0", lambda value: _is_number(value) and value >= 0)
OFFSET: Final = _allow("a number of seconds, negative for the past", _is_number)
STATUS: Final = _allow(
    "an HTTP status from 200 to 599", lambda value: _is_whole(value) and value in range(200, 600)
)
FLAG: Final = _allow("true or false", lambda value: isinstance(value, bool))
TEXT: Final = _allow("a string", lambda value: isinstance(value, str | bytes))
TEXTS: Final = _allow(
    "a table of strings",
    lambda value: (
        isinstance(value, Mapping) and all(isinstance(text, str) for text in value.values())
    ),
)
JOB_ID: Final = _allow("the id of a list", lambda value: isinstance(value, str | None))
