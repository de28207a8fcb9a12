"""Times as milliseconds since 1970, and as the service writes them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from bulkverify.models import parse_timestamp

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

NEVER: Final = -(2**63)
"""The time of a verdict without a time."""

_MILLISECOND: Final = timedelta(milliseconds=1)
_MILLISECONDS: Final = tuple(f".{rest:03}Z" for rest in range(1000))
_REST_OF: Final = {text: rest for rest, text in enumerate(_MILLISECONDS)}


def milliseconds(moment: datetime) -> int:
    """Return an aware time in milliseconds since 1970."""
    return (moment - EPOCH) // _MILLISECOND


def read_moments(texts: Iterable[str]) -> list[int]:
    """Read times in any form that `parse_timestamp` knows; an empty or another text is `NEVER`."""
    times: list[int] = []
    add = times.append
    for text in texts:
        rest = _REST_OF.get(text[19:])
        second = None if rest is None else _read_second(text[:19])
        add(_read_other(text) if rest is None or second is None else second + rest)
    return times


def _read_other(text: str) -> int:
    try:
        return milliseconds(parse_timestamp(text))
    except ValueError:
        return NEVER


@lru_cache(maxsize=65536)  # many addresses are verified in one second
def _read_second(text: str) -> int | None:
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S")  # noqa: DTZ007 - it is in UTC
    except ValueError:
        return None
    return milliseconds(moment.replace(tzinfo=UTC))


def moments(times: Iterable[int]) -> list[str]:
    """Write times as the service does; a missing time is empty."""
    texts: list[str] = []
    add = texts.append
    known = _second
    for time in times:
        if time == NEVER:
            add("")
        else:
            second, rest = divmod(time, 1000)
            add(known(second) + _MILLISECONDS[rest])
    return texts


@lru_cache(maxsize=65536)  # many addresses are verified in one second
def _second(second: int) -> str:
    return (EPOCH + timedelta(seconds=second)).isoformat()[:19]
