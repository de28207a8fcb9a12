"""What can be done with a stream before a write blocks or fails."""

import select
from typing import TextIO


def has_room(stream: TextIO, *, milliseconds: int | None = None) -> bool:
    """Wait until a piece of text can be written without blocking; `None` waits for ever."""
    if not hasattr(select, "poll"):  # on Windows
        return True
    poll = select.poll()
    poll.register(stream.fileno(), select.POLLOUT)
    return bool(poll.poll(milliseconds))
