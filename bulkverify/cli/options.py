"""Options that several commands share: the account, and how long to wait."""

import getpass
import os
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import timedelta
from glob import glob, has_magic
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias, cast

import attrs
from cyclopts import Group, Parameter, Token

import bulkverify
from bulkverify.cli.interrupts import Interrupted, interrupting_at_once
from bulkverify.cli.output import unlisted
from bulkverify.errors import UsageError, clause
from bulkverify.files import is_same_file
from bulkverify.limits import REQUESTS_PER_MINUTE
from bulkverify.models import FlagName, Verdict, VerdictName, parse_verdict

STDIO: Final = Path("/dev/stdio")
"""Stands for `-`, which means stdin as a list and stdout as an output. There is no such file."""

Format: TypeAlias = Literal["csv", "tsv", "txt", "jsonl", "xlsx"]
"""The same as `ListFormat`, which is slow to import for `--help`."""

_OUTPUT: Final = ("-o", "--output")
_EMPTY_ALLOWED: Final = frozenset({"--column", "--only", "--without"})

_GROUP: Final = Group("Account", sort_key=10, help_formatter=unlisted)
_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


@Parameter(name="*", group=_GROUP)
@attrs.frozen(kw_only=True)
class Account:
    """The account and its service."""

    base_url: Annotated[str | None, Parameter(metavar="URL")] = None
    """The URL of the service. By default BULKVERIFY_BASE_URL, or else Bouncify."""

    api_key_file: Annotated[str | None, Parameter(metavar="PATH", allow_leading_hyphen=True)] = None
    """A file with the API key; - is stdin. By default BULKVERIFY_API_KEY, or else a prompt."""

    allow_http: bool = False
    """Allow an http:// URL of another machine. The key is then sent unencrypted, also to a proxy."""

    requests_per_minute: Annotated[int, Parameter(metavar="N")] = REQUESTS_PER_MINUTE
    """The service's limit for each endpoint; 0 for no limit."""

    def open(self) -> "bulkverify.Client":
        """Make the client, a context manager."""
        return bulkverify.Client(
            self.key(),
            base_url=self.base_url,
            requests_per_minute=budget(self.requests_per_minute),
            allow_http=self.allow_http,
        )

    @property
    def key_file(self) -> Path | None:
        """The file with the key, if it is one."""
        path = self.api_key_file
        return None if path in {None, "-"} else Path(str(path))

    def key(self) -> str:
        """Read the key."""
        if self.api_key_file is not None:
            return _read_key(self.api_key_file)
        key = os.environ.get("BULKVERIFY_API_KEY", "").strip()
        if not key and sys.stdin.isatty() and sys.stderr.isatty():
            key = _ask_key()
        if not key:
            raise UsageError(
                "There is no API key: set BULKVERIFY_API_KEY, or name a file that holds it with --api-key-file."
            )
        return key


ACCOUNT: Final = Account()


def budget(requests_per_minute: int) -> int | None:
    """Read the option `--requests-per-minute`, in which 0 means no limit."""
    if requests_per_minute < 0:
        raise UsageError("--requests-per-minute must be at least 1, or 0 for no limit.")
    return requests_per_minute or None


def name_stdio(tokens: Sequence[str]) -> list[str]:
    """Replace `-` by `STDIO` where it is stdin or stdout, because cyclopts takes it for an option.

    Raises:
        UsageError: `-` is something else there, or an argument is empty that must not be.
    """
    named = []
    for before, token in pairwise(["", *tokens]):
        option, value, text = _read_token(before, token)
        if not value and option not in _EMPTY_ALLOWED:
            raise UsageError(
                f"The argument {f'after {option} ' * bool(option)}is empty: has a variable of the shell no value?"
            )
        if value == "-" and option != "--api-key-file":
            named.append(text.format(_stdio(tokens[0], option)))
        else:
            named.append(token)
    return named


def _read_token(before: str, token: str) -> tuple[str, str, str]:
    """Return the option of a token, its value, and the token with a place for another value."""
    option, equals, value = token.partition("=")
    if equals and option.startswith("-"):
        return option, value, f"{option}={{}}"
    if token.startswith("-o") and token != "-o":  # noqa: S105 - an option
        return "-o", token[2:], "-o={}"
    return before, token, "{}"


def _stdio(command: str, option: str) -> str:
    """Return what stands for `-` in a command."""
    if command in {"verify", "filter"} and option not in {"--report", "--reuse"}:
        return str(STDIO)
    if command == "report" and option not in _OUTPUT:
        return "-"
    if option in {"--report", "--reuse", *_OUTPUT}:
        raise UsageError(
            f"{option} - would be stdin or stdout, which bulkverify {command} can't use there: name a file."
        )
    raise UsageError(f"bulkverify {command} can't use stdin or stdout: name a file instead of -.")


def keep_apart(written: Path | None, what: str, others: Iterable[tuple[str, Path | None]]) -> None:
    """Refuse to write a file over another one of the same command; `None` and `STDIO` are no files.

    Raises:
        UsageError: `written`, which is for `what`, is one of the `others`.
    """
    if written is None or written == STDIO:
        return
    for name, other in others:
        if other is None or other == STDIO:
            continue
        if is_same_file(written, other) or os.path.realpath(written) == os.path.realpath(other):
            raise UsageError(
                f"{written} can't be both {what} and {name}: name another file for {what}."
            )


def sqlite_file(database: str | None) -> Path | None:
    """Return the file of a database of SQLite."""
    name = (database or "").partition(":///")[2].partition("?")[0]
    return Path(name) if name else None


def parse_duration(text: str) -> float:
    """Read a time such as 90, 90s, 15m or 6h, in seconds; any other text raises `ValueError`."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smh]?)", text.strip().lower(), re.ASCII)
    if match is None:
        raise ValueError(f"{text!r} is not a time such as 90, 90s, 15m or 6h.")
    return float(match[1]) * _UNITS[match[2]]


def parse_max_age(
    text: str | None, *, reuse: object
) -> "timedelta | dict[Verdict | VerdictName, timedelta]":
    """Read an age such as 30d, or one for each verdict such as deliverable=30d,undeliverable=90d.

    Any other text raises `UsageError`, and so does one without files to `reuse`.
    """
    if text is not None and not reuse:
        raise UsageError("--max-age needs --reuse. Nothing was sent or spent.")
    text = text or "30d"
    ages: dict[Verdict | VerdictName, timedelta] = {}
    try:
        if "=" not in text:
            return _parse_age(text)
        for word in text.split(","):
            verdict, _, age = word.partition("=")
            ages[parse_verdict(verdict)] = _parse_age(age)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is not an age: write --max-age 30d, or --max-age deliverable=30d,undeliverable=90d."
        ) from None
    if len(ages) <= text.count(","):
        raise UsageError(f"{text!r} gives two ages to one verdict. Name each verdict once.")
    return ages


def _parse_age(text: str) -> timedelta:
    days = text.strip().lower().removesuffix("d")
    if days.isdecimal() and days != text.strip():
        return timedelta(days=int(days))
    if not text.strip()[-1:].isalpha():
        raise ValueError(text)  # days and seconds would be mixed up
    return timedelta(seconds=parse_duration(text))


def matching(patterns: Sequence[Path] | None) -> list[Path]:
    """Return the files that exist, and those that match a pattern such as `verified-*.csv`.

    A pattern without a match raises `UsageError`, and so does an option without a file.
    """
    if patterns is None:
        return []
    if not patterns:
        raise UsageError("--reuse names no file.")
    found: list[Path] = []
    for pattern in patterns:
        if pattern == STDIO:
            raise UsageError("Earlier verdicts can't come from stdin: name a file with --reuse.")
        if pattern.exists() or not has_magic(str(pattern)):
            found.append(pattern)
            continue
        matches = sorted(map(Path, glob(str(pattern))))  # noqa: PTH207 - the pattern has a folder, too
        if not matches:
            raise UsageError(f"No file matches {str(pattern)!r}: correct --reuse.")
        found += matches
    return list(dict.fromkeys(found))


def show_duration(seconds: float) -> str:
    """Write a time for `parse_duration`, in the largest unit that gives a whole number."""
    for unit in ("h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    return f"{seconds:g}s"


def split_words(tokens: Sequence[Token]) -> list[str]:
    """Read words with commas between them."""
    return [word for token in tokens for word in token.value.split(",") if word.strip()]


def _read_verdicts(_: object, tokens: Sequence[Token]) -> list[Verdict]:
    try:
        return [parse_verdict(word) for word in split_words(tokens)]
    except ValueError as error:
        message = f"{clause(error)}; verdicts are {', '.join(Verdict)}."
        raise ValueError(message) from None


def _read_flags(_: object, tokens: Sequence[Token]) -> list[FlagName]:
    return cast("list[FlagName]", split_words(tokens))  # the SDK checks them


Only = Annotated[list[Verdict] | None, Parameter(converter=_read_verdicts, metavar="VERDICT,...")]
"""Verdicts in any spelling, with commas between them."""

Without = Annotated[list[FlagName] | None, Parameter(converter=_read_flags, metavar="FLAG,...")]
"""Flags, with commas between them."""


Timeout = Annotated[
    float,
    Parameter(
        converter=lambda _, tokens: parse_duration(tokens[0].value),
        metavar="SECONDS",
        show_default=show_duration,
    ),
]
"""A number of seconds to wait, also written as 90s, 15m or 6h; 0 asks once."""


def _read_key(path: str) -> str:
    try:
        with interrupting_at_once():
            text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        text = "\n"
    key = text.strip()
    if not key or len(key.split()) > 1:
        where = "stdin" if path == "-" else path
        raise UsageError(f"{where} must hold the API key and nothing else.")
    return key


def _ask_key() -> str:
    try:
        with interrupting_at_once():
            return getpass.getpass("API key: ").strip()
    except EOFError:
        return ""
    except Interrupted:
        sys.stderr.write("\n")  # end the line of the prompt
        raise
