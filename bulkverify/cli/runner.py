"""From the words on the command line to an exit code: parse, run, and tell what went wrong."""

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bulkverify.cli.app import app
from bulkverify.cli.exits import Exit, exit_of
from bulkverify.cli.failures import describe
from bulkverify.cli.interrupts import run_interruptibly
from bulkverify.cli.output import OutputClosedError, Show, give_up_stdout
from bulkverify.cli.standing import Standing
from bulkverify.errors import UsageError


def run(tokens: Sequence[str]) -> int:
    """Run one command, and return the code to exit with; nothing is raised."""
    # Until the options have been read, a guess has to do: their own errors are told as asked for.
    show = Show(json="--json" in tokens, quiet="--quiet" in tokens or "-q" in tokens)
    standing = Standing(tokens=tokens)
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
                run_interruptibly(outcome)
        sys.stdout.flush()
    except (OutputClosedError, BrokenPipeError, SystemExit):  # the last is rich's, on a broken pipe
        give_up_stdout()
        return Exit.BROKEN_PIPE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - this is where all of them end
        if standing.endless and exit_of(error) is Exit.INTERRUPTED:
            return Exit.DONE
        return _tell(error, standing, show)
    return Exit.DONE


def _tell(error: BaseException, standing: Standing, show: Show) -> int:
    failure = describe(error, standing)
    if show.verbose > 1:
        traceback.print_exception(error)
    try:
        if show.json:
            sys.stdout.write(json.dumps(failure.as_json()) + "\n")
            sys.stdout.flush()
        else:
            sys.stderr.write(failure.as_text(quiet=show.quiet) + "\n")
    except BrokenPipeError:
        give_up_stdout()
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
    """Writes to what stderr is at that moment: a progress bar takes it over while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        sys.stderr.write(f"{self.format(record)}\n")


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
