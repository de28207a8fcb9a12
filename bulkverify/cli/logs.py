"""The log on stderr that `--verbose` shows."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bulkverify.cli.interrupts import Interrupted, end_command
from bulkverify.cli.output import OutputClosedError, write


class _StderrHandler(logging.Handler):
    """Writes to the current `sys.stderr`, which a progress bar replaces while it is shown.

    It never raises, which would break the code that logs. If the reader of the log went away, or a
    signal came during the write, it ends the command.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            write(sys.stderr, self.format(record))
        except (OutputClosedError, Interrupted, SystemExit) as error:  # rich raises the last
            end_command(error)
        except Exception:  # noqa: BLE001, S110 - such as a full disk; the command continues
            pass


@contextmanager
def shown_log(verbose: int) -> Iterator[None]:
    """Show the package's log while the block runs: 1 is INFO, 2 is DEBUG."""
    if not verbose:
        yield
        return
    logger, handler = logging.getLogger("bulkverify"), _StderrHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel("INFO" if verbose == 1 else "DEBUG")
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
