"""From the words on the command line to an exit code: parse, run, and tell what went wrong."""

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from bulkverify.cli.app import app
from bulkverify.cli.exits import Exit, exit_of
from bulkverify.cli.failures import describe
from bulkverify.cli.interrupts import Interrupted, Interrupts, end_command
from bulkverify.cli.output import OutputClosedError, Show, give_up, has_room, write
from bulkverify.cli.resume import Standing
from bulkverify.errors import UsageError


def run(tokens: Sequence[str]) -> int:
    """Run one command, and return the code to exit with; nothing is raised."""
    # Until the options have been read, a guess has to do: their own errors are told as asked for.
    show = Show(json="--json" in tokens, quiet="--quiet" in tokens or "-q" in tokens)
    standing = Standing(tokens=tokens)
    with Interrupts() as interrupts:
        try:
            _refuse_key(tokens)
            function, bound, injected = app.parse_args(
                tokens, exit_on_error=False, print_error=False, help_on_error=False
            )
            show = bound.arguments.get("show", show)
            standing.job_id = bound.arguments.get("job")
            given = {"standing": standing} if "standing" in injected else {}
            with _logging(show.verbose):
                outcome = function(*bound.args, **bound.kwargs, **given)
                if outcome is not None:
                    interrupts.run(outcome)
            sys.stdout.flush()
        except (OutputClosedError, BrokenPipeError, SystemExit):  # the last is rich's
            give_up(sys.stdout, sys.stderr)
            return Exit.BROKEN_PIPE
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - this is where all of them end
            if standing.endless and exit_of(error) is Exit.INTERRUPTED:
                return Exit.DONE
            return _tell(error, standing, show)
    return Exit.DONE


def _tell(error: BaseException, standing: Standing, show: Show) -> int:
    """Say what went wrong, if that can be written; the exit code says it in any case."""
    failure = describe(error, standing)
    stream = sys.stdout if show.json else sys.stderr
    if isinstance(error, KeyboardInterrupt) and not has_room(stream, milliseconds=1000):
        give_up(stream)  # a pipe that is full would hold up what was told to end
        return failure.exit
    with suppress(OutputClosedError, OSError, Interrupted):
        if show.verbose > 1:
            write(sys.stderr, "".join(traceback.format_exception(error)).rstrip())
        text = json.dumps(failure.as_json()) if show.json else failure.as_text(quiet=show.quiet)
        write(stream, text)
    return failure.exit


def _refuse_key(tokens: Sequence[str]) -> None:
    """Refuse a key among the arguments without repeating it; the sandbox's is no secret."""
    if tokens[:1] == ["sandbox"]:
        return
    if any(token.partition("=")[0] in {"--api-key", "--apikey"} for token in tokens):
        raise UsageError(
            "The key is no option, because lists of processes show arguments: set BULKVERIFY_API_KEY, "
            "or name a file that holds it with --api-key-file."
        )


class _StderrHandler(logging.Handler):
    """Writes to what stderr is at that moment: a progress bar takes it over while it is shown.

    It never raises, as that would break what is logged about: where the log has lost its reader, or
    a signal came while it could not be written, it ends the command.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            write(sys.stderr, self.format(record))
        except (OutputClosedError, Interrupted, SystemExit) as error:  # the last is rich's
            end_command(error)
        except Exception:  # noqa: BLE001, S110 - as on a full disk; the work goes on without the log
            pass


@contextmanager
def _logging(verbose: int) -> Iterator[None]:
    if not verbose:
        yield
        return
    logger, handler = logging.getLogger("bulkverify"), _StderrHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if verbose == 1 else logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
