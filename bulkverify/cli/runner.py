"""Parses the arguments, runs the command, and reports its error.

Some modules are imported only when a command or an error needs them, to keep `--help` fast.
"""

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from inspect import iscoroutinefunction

import bulkverify
from bulkverify.cli.app import app
from bulkverify.cli.exits import Exit, exit_of
from bulkverify.cli.interrupts import Interrupted, Interrupts
from bulkverify.cli.options import name_stdio
from bulkverify.cli.output import OutputClosedError, Show, give_up, tell, write
from bulkverify.cli.resume import Recovery
from bulkverify.cli.streams import has_room


def run(tokens: Sequence[str]) -> int:
    """Run one command, and return its exit code. It never raises."""
    # A guess, used to report an error in the options themselves.
    show = Show(json="--json" in tokens, quiet="--quiet" in tokens or "-q" in tokens)
    recovery = Recovery(tokens=tokens)
    with Interrupts() as interrupts:
        try:
            _refuse_key(tokens)
            function, bound, injected = app.parse_args(
                name_stdio(tokens),
                exit_on_error=False,
                print_error=False,
                help_on_error=False,
            )
            show = bound.arguments.get("show", show)
            recovery.job_id = bound.arguments.get("job")
            given = {"recovery": recovery} if "recovery" in injected else {}
            if iscoroutinefunction(function):
                from bulkverify.cli.loop import (  # noqa: PLC0415 - asyncio, not for --help
                    run_until_interrupted,
                    shown_log,
                )

                with shown_log(show.verbose):
                    run_until_interrupted(
                        function(*bound.args, **bound.kwargs, **given), interrupts
                    )
            else:  # --help or --version
                function(*bound.args, **bound.kwargs)
            sys.stdout.flush()
        except (OutputClosedError, BrokenPipeError, SystemExit):  # rich raises SystemExit
            give_up(sys.stdout, sys.stderr)
            return Exit.BROKEN_PIPE
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - all errors end here
            if recovery.endless and exit_of(error) is Exit.INTERRUPTED:
                return Exit.DONE
            return _report(error, recovery, show)
    return Exit.DONE


def _report(error: BaseException, recovery: Recovery, show: Show) -> int:
    """Report an error, if it can be written, and return the exit code."""
    import traceback  # noqa: PLC0415 - for errors only

    from bulkverify.cli.failures import describe, without_passwords  # noqa: PLC0415 - likewise

    failure = describe(error, recovery)
    stream = sys.stdout if show.json else sys.stderr
    if isinstance(error, KeyboardInterrupt) and not has_room(stream, milliseconds=1000):
        give_up(stream)  # a full pipe must not delay the exit
        return failure.exit
    with suppress(OutputClosedError, OSError, Interrupted):
        if show.verbose > 1:
            trace = "".join(traceback.format_exception(error)).rstrip()
            write(sys.stderr, without_passwords(trace))
        if show.json:
            write(stream, json.dumps(failure.as_json()))
        else:
            tell(stream, failure.as_text(quiet=show.quiet))
    return failure.exit


def _refuse_key(tokens: Sequence[str]) -> None:
    """Refuse a key among the arguments, without repeating it. The sandbox's key is not secret."""
    if tokens[:1] == ["sandbox"]:
        return
    if any(token.partition("=")[0] in {"--api-key", "--apikey"} for token in tokens):
        raise bulkverify.UsageError(
            "The key is not an option, because other users can see the arguments of a process: set "
            "BULKVERIFY_API_KEY, or name a file that holds it with --api-key-file."
        )
