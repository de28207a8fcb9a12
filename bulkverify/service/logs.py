"""Logging that can't break what logs: a wait ends as it should, whatever a handler or a filter raises."""

import asyncio
import logging
from typing import Any

_DIRECT_CALLER = 2
"""Past the frame of `log` itself, so that a record names the line that wrote it."""


class SafeLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose calls never raise.

    A handler may be anybody's: a pipe that is closed, a test that fails on an error. What is meant
    for the whole program (`SystemExit`, `KeyboardInterrupt`) is raised by the event loop a moment
    later, when whatever was under way is in order again.
    """

    def __init__(self, name: str) -> None:
        """Log under this name."""
        super().__init__(logging.getLogger(name), {})

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:  # noqa: ANN401 - handed on
        """Hand a record to the handlers."""
        if not self.logger.isEnabledFor(level):
            return
        try:
            self.logger.log(level, msg, *args, stacklevel=_DIRECT_CALLER, **options)
        except (SystemExit, KeyboardInterrupt) as error:
            _raise_soon(error)
        except BaseException:  # noqa: BLE001, S110 - there is nowhere left to report it to
            pass


def _raise_soon(error: BaseException) -> None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise error from None
    loop.call_soon(_raise, error)


def _raise(error: BaseException) -> None:
    raise error
