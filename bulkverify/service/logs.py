"""Logging that never raises, so that no handler or filter can break a wait."""

import asyncio
import logging
from typing import Any

_DIRECT_CALLER = 2
"""Skips the frame of `log`, so that a record names the line that called it."""


class SafeLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose calls never raise.

    The program's handlers may raise, for example on a closed pipe or to fail a test. `SystemExit` and
    `KeyboardInterrupt` are raised by the event loop a moment later, after the current step.
    """

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name), {})

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:  # noqa: ANN401 - passed on
        """Pass a record to the handlers."""
        if not self.logger.isEnabledFor(level):
            return
        try:
            self.logger.log(level, msg, *args, stacklevel=_DIRECT_CALLER, **options)
        except (SystemExit, KeyboardInterrupt) as error:
            _raise_soon(error)
        except BaseException:  # noqa: BLE001, S110 - it can't be reported anywhere
            pass


def _raise_soon(error: BaseException) -> None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise error from None
    loop.call_soon(_raise, error)


def _raise(error: BaseException) -> None:
    raise error
