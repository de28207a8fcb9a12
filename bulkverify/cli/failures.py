"""How the command line shows errors: as text with a hint, or as a JSON document."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
from cyclopts import CycloptsError, MissingArgumentError, UnusedCliTokensError

from bulkverify.cli.exits import Exit, exit_of
from bulkverify.cli.output import as_json
from bulkverify.cli.resume import Recovery
from bulkverify.errors import (
    BulkVerifyError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    JobNotStartedError,
    NotReadyError,
    StartUncertainError,
    UsageError,
    clause,
)
from bulkverify.files import is_same_file
from bulkverify.run.models import IncompleteRunError, RunReport

_PASSWORD: Final = re.compile(
    r"(?P<before>\bpostgres[\w+]*://[^\s:/@]*:)\S*(?=@)"  # such a password may have a slash
    r"|(?P<other>\b\w[\w+]*://[^\s:/@]*:)[^\s/]*(?=@)"
    r"|(?P<option>[?&]\w*password=)[^&\s'\"]+"
)


def without_passwords(text: str) -> str:
    """Remove the passwords of URLs from a text."""
    return _PASSWORD.sub(lambda found: f"{found[found.lastgroup or 0]}***", text)


@attrs.frozen(kw_only=True)
class Failure:
    """An error to show. `status` is the HTTP status if the service answered with an error."""

    type: str
    message: str
    job_id: str | None
    status: int | None
    hint: str
    resume: tuple[str, ...]
    exit: Exit = attrs.field(metadata={"shown": False})
    report: RunReport | None = attrs.field(default=None, metadata={"shown": False})

    def as_json(self) -> dict[str, object]:
        """Return the document that `--json` writes, with the report of a run if there is one."""
        shown = attrs.asdict(self, filter=lambda field, _: field.metadata.get("shown", True))
        report = {} if self.report is None else {"report": as_json(self.report)}
        return {"error": shown | {"resume": list(self.resume)}, **report}

    def as_text(self, *, quiet: bool) -> str:
        """Return the lines for stderr; only the first one with `quiet`."""
        interrupted = self.exit in {Exit.INTERRUPTED, Exit.TERMINATED}
        lines = [f"bulkverify: {'' if interrupted else 'error: '}{self.message}"]
        if not quiet:
            lines += [f"  {self.hint}"] if self.hint else []
            lines += ["  Go on with:"] if self.resume else []
            lines += [f"    {line}" for line in self.resume]
        return "\n".join(lines)


def describe(error: BaseException, recovery: Recovery) -> Failure:
    """Describe an error for the command line."""
    job_id = getattr(error, "job_id", None) or recovery.job_id
    status = getattr(error, "status", None)
    hint, resume = _advise(error, recovery, job_id)
    return Failure(
        type=type(error).__name__,
        message=without_passwords(_message(error)),
        job_id=job_id,
        status=status if isinstance(status, int) else None,
        hint=hint,
        resume=tuple(map(without_passwords, resume)),
        exit=exit_of(error),
        report=error.report if isinstance(error, IncompleteRunError) else None,
    )


def _message(error: BaseException) -> str:
    """Say in one line what happened."""
    match error:
        case KeyboardInterrupt():
            text = "ended by SIGTERM" if exit_of(error) is Exit.TERMINATED else "interrupted"
        case BulkVerifyError():
            text = error.message
        case MissingArgumentError():
            text = _missing(error)
        case UnusedCliTokensError(unused_tokens=list(unused)):
            text = f"No option takes {', '.join(map(repr, unused))}."
        case CycloptsError():
            text = str(error)
        case FileExistsError(filename=name) if name:
            text = f"{name} already exists."
        case OSError(strerror=str(reason), filename=name) if name:
            text = f"{name}: {clause(reason)}."
        case OSError():
            text = error.strerror or str(error)
        case _:
            text = f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _is_named_twice(name: object, tokens: Sequence[str]) -> bool:
    """Whether several arguments lead to one file, such as a list that is the output, too."""
    path = Path(str(name))
    return sum(is_same_file(Path(token), path) for token in tokens) > 1


def _missing(error: MissingArgumentError) -> str:
    """Say which argument a command needs."""
    name = error.argument.name if error.argument is not None else "an argument"
    given = error.keyword or next(
        (token.keyword for token in getattr(error.argument, "tokens", ())), None
    )
    if given is not None:
        return f"{given} needs a value."
    if name == "--output":
        return "Name the file to write with --output (-o)."
    return f"bulkverify {' '.join(error.command_chain or ())} needs {name}."


def _advise(
    error: BaseException, recovery: Recovery, job_id: str | None
) -> tuple[str, Sequence[str]]:
    """Return what to do next: a hint, and commands."""
    hint, resume = "", list[str]()
    shell_hint = error.shell_hint if isinstance(error, BulkVerifyError) else ""
    match error:
        case FileExistsError():
            hint = "Use --force to replace it."
            if _is_named_twice(error.filename, recovery.tokens):
                hint = "It is the list itself: --force replaces it with its verified rows. To keep it, name another output."
        case JobNotStartedError() if job_id:
            resume = [recovery.other("start", job_id)]
        case StartUncertainError() if job_id and not recovery.resume:
            hint, resume = "Starting it again is safe.", [recovery.other("start", job_id)]
        case NotReadyError() if job_id and not recovery.resume:
            resume = [recovery.other("status", job_id)]
        case JobFailedError() | JobCancelledError() | JobNotFoundError() | UsageError():
            pass
        case UnusedCliTokensError(unused_tokens=list(unused)) if recovery.tokens[0] == "verify":
            hint, resume = "Write all lists before the options.", [recovery.lists_first(unused)]
        case CycloptsError():
            hint = "See bulkverify --help, or bulkverify COMMAND --help."
        case BulkVerifyError() | OSError() | KeyboardInterrupt():
            hint, resume = recovery.state, list(recovery.resume)
        case _:
            hint = "This is a bug in bulkverify: please report it with the output of -vv."
    return " ".join(filter(None, (shell_hint, hint))), resume
