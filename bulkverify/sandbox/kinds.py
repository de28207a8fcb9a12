"""The kinds of faults. `faults.TABLE` says how each is caused."""

from enum import StrEnum
from typing import Final


class FaultKind(StrEnum):
    """What happens to a request that a fault hits."""

    ANSWER = "answer"
    """The service does nothing, and sends the fault's answer."""
    ANSWER_AFTER = "answer_after"
    """The service does the work, but sends the fault's answer instead of its own."""
    THROTTLE = "throttle"
    """The service does nothing, and answers 429, with `Retry-After` if `retry_after` is set."""
    DENY = "deny"
    """The service does nothing and answers 403, as for a disabled key or a denied address; the text is a guess."""
    VERIFY_TIMEOUT = "verify_timeout"
    """The service gives up on a single address after `delay` seconds, without cost. Observed: after 180.6."""
    DROP = "drop"
    """The service does nothing, and closes the connection."""
    DROP_AFTER = "drop_after"
    """The service does the work, and closes the connection without an answer."""
    HANG = "hang"
    """As `DROP`, but after `delay` seconds; if `delay` is 0, when the sandbox closes."""
    DELAY = "delay"
    """The service does the work after `delay` seconds."""
    TRICKLE = "trickle"
    """The answer comes in pieces of `piece_bytes`, with `delay` seconds before each."""
    TRUNCATE = "truncate"
    """The connection is closed after half of the download's bytes."""
    TRUNCATE_CLEANLY = "truncate_cleanly"
    """The download has only half of its rows, but looks complete."""
    HUGE = "huge"
    """The answer is correct, with `size_bytes` of padding."""
    BOMB = "bomb"
    """As `HUGE`, but compressed, so that the answer is small until it is unpacked."""
    STALE = "stale"
    """The status is the previous one, as from a lagging replica."""
    COUNTERS_JUMP = "counters_jump"
    """A verifying list reports all of its rows as verified."""
    COUNTERS_BACK = "counters_back"
    """A verifying list reports half of its verified rows."""
    COUNTERS_OVER = "counters_over"
    """A verifying list reports more verified rows than it has rows."""
    COUNTERS_STUCK = "counters_stuck"
    """A verifying list keeps reporting the count of the first poll that was hit."""
    ENDLESS = "endless"
    """The uploaded or started list stays verifying until it is cancelled."""
    FAIL = "fail"
    """The list has failed when the request arrives, unless it had already ended."""
    CANCEL = "cancel"
    """The list was cancelled when the request arrives, unless it had already ended."""
    CLOCK_JUMP = "clock_jump"
    """From now on the service's dates are `jump` seconds off. Lists take as long as before."""


KINDS_IN_WORDS: Final = f"one of {', '.join(FaultKind)}"


def kind_of(value: str) -> FaultKind:
    """Return the kind of that name; any other text raises `ValueError`."""
    try:
        return FaultKind(value)
    except ValueError:
        raise ValueError(f"kind is {value!r}; it must be {KINDS_IN_WORDS}.") from None
