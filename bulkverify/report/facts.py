"""What a report says about a list: the numbers of the page, as plain values."""

import shlex
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from functools import cached_property
from math import sqrt
from pathlib import PurePath
from typing import Final

import attrs

from bulkverify.lists import DomainCounts, Finding
from bulkverify.models import Verdict
from bulkverify.report.typos import meant_by
from bulkverify.run.models import RunReport

FEWEST_ROWS: Final = 5
"""Domains with fewer rows are not named, because such a name can point to a person."""

REVIEWED_AT: Final = 0.05
PAUSED_AT: Final = 0.10
"""The shares of bounces from which Amazon SES reviews an account, and may pause it."""

_MOST_DOMAINS: Final = 20
_MOST_STRANGE: Final = 10
_GONE: Final = 0.9
_DEVIATIONS: Final = 3
"""How many standard deviations above the average chance does not explain, even for thousands of domains."""


@attrs.frozen
class Tally:
    """A number of rows, and of the distinct addresses in them; `None` in reports of earlier versions."""

    rows: int = 0
    addresses: int | None = 0

    def __add__(self, other: "Tally") -> "Tally":
        """Add rows and addresses."""
        if self.addresses is None or other.addresses is None:
            return Tally(self.rows + other.rows, None)
        return Tally(self.rows + other.rows, self.addresses + other.addresses)

    @property
    def count(self) -> int:
        """The addresses if they are known, else the rows."""
        return self.rows if self.addresses is None else self.addresses


class Trouble(StrEnum):
    """Why a domain has more undeliverable rows than the average of the list explains."""

    TYPO = "Typing errors"
    GONE = "Domains that take no mail"
    AGED = "Old mailboxes at mail providers"
    LEFT = "People who have left"


@attrs.frozen(kw_only=True)
class BadDomain:
    """A domain that pulls the list down."""

    counts: DomainCounts
    trouble: Trouble
    pull: float
    """The undeliverable rows above the average of the list."""
    meant: str | None = None
    """The domain that was meant, for a typing error."""


@attrs.frozen
class Typo:
    """A mistyped domain."""

    domain: str
    meant: str
    rows: int
    """Its rows without the deliverable ones, which are to be mailed."""


@attrs.define(kw_only=True, slots=False)
class Facts:
    """The numbers of the page."""

    report: RunReport
    small_domains: bool = False
    """Whether to name domains with few rows, too."""

    @cached_property
    def is_detailed(self) -> bool:
        """Whether addresses are told apart from rows."""
        return bool(self.report.findings)

    def tally(self, wanted: Callable[[Finding], object]) -> Tally:
        """Count the rows and addresses of some findings."""
        found = [one for one in self.report.findings if wanted(one)]
        return Tally(sum(one.rows for one in found), sum(one.addresses for one in found))

    def flagged(self, flag: str) -> Tally:
        """Count the rows and addresses with a flag."""
        if not self.is_detailed:
            return Tally(getattr(self.report.flags, flag), None)
        return self.tally(lambda one: getattr(one, flag))

    def of(self, verdict: Verdict) -> Tally:
        """Count the rows and addresses with a verdict."""
        if not self.is_detailed:
            return Tally(getattr(self.report.verdicts, verdict.name.lower()), None)
        return self.tally(lambda one: one.verdict is verdict)

    @cached_property
    def deliverable(self) -> Tally:
        """Addresses that take mail, with those that should not get any."""
        return self.of(Verdict.DELIVERABLE)

    @cached_property
    def undeliverable(self) -> Tally:
        """Rows that are undeliverable; those that hold no address are among them."""
        return self.of(Verdict.UNDELIVERABLE)

    @cached_property
    def accept_all(self) -> Tally:
        """Addresses at domains that take mail for every address."""
        return self.of(Verdict.ACCEPT_ALL)

    @cached_property
    def unknown(self) -> Tally:
        """Addresses whose mail server gave no clear answer."""
        return self.of(Verdict.UNKNOWN)

    @cached_property
    def strange(self) -> dict[str, Tally]:
        """Verdicts that this version does not know, the most frequent first."""
        found: dict[str, Tally] = {}
        for one in self.report.findings:
            if one.verdict is not None and not isinstance(one.verdict, Verdict):
                before = found.get(one.verdict, Tally())
                found[one.verdict] = before + Tally(one.rows, one.addresses)
        return dict(sorted(found.items(), key=lambda pair: -pair[1].rows))

    @cached_property
    def strange_rows(self) -> list[tuple[str, str, Tally, str]]:
        """These verdicts as rows of the table of verdicts."""
        meaning = "A verdict that this version of bulkverify does not know. It counts as unknown."
        return [
            ("none", name, tally, meaning)
            for name, tally in list(self.strange.items())[:_MOST_STRANGE]
        ]

    @cached_property
    def unsure(self) -> Tally:
        """What is unknown, or has a verdict that this version does not know."""
        return sum(self.strange.values(), self.unknown)

    @cached_property
    def without(self) -> Tally:
        """Rows without a verdict: missing ones and unclear ones."""
        rows = self.report.missing + self.report.unclear
        if not self.is_detailed:
            return Tally(rows, None)
        return Tally(rows, self.tally(lambda one: one.verdict is None).addresses)

    @cached_property
    def mail(self) -> Tally:
        """What can be mailed now: deliverable, neither disposable nor a spam trap."""
        if not self.is_detailed:
            return self.deliverable
        return self.tally(_can_be_mailed)

    @cached_property
    def mail_roles(self) -> Tally:
        """What can be mailed now and belongs to a role."""
        return self.tally(lambda one: _can_be_mailed(one) and one.role_based)

    @cached_property
    def kept_back(self) -> Tally:
        """Deliverable, but disposable or a spam trap."""
        return self.tally(
            lambda one: one.verdict is Verdict.DELIVERABLE and not _can_be_mailed(one)
        )

    @cached_property
    def remove(self) -> Tally:
        """What should be removed: undeliverable rows, and spam traps of any verdict."""
        if not self.is_detailed:
            return self.undeliverable
        return self.tally(lambda one: one.verdict is Verdict.UNDELIVERABLE or one.spamtrap)

    @cached_property
    def distinct(self) -> int:
        """The distinct addresses: those that were sent, and those with an earlier verdict."""
        return self.report.addresses + self.report.reused.addresses

    @cached_property
    def total(self) -> int:
        """All that has an address: distinct addresses, or the rows that hold one."""
        return self.distinct if self.is_detailed else self.sent_rows

    @cached_property
    def units(self) -> str:
        """What most numbers count."""
        return "addresses" if self.is_detailed else "rows"

    @cached_property
    def bad(self) -> int:
        """What was sent and is undeliverable."""
        return self.undeliverable.count if self.is_detailed else self.bad_rows

    @cached_property
    def without_sent(self) -> int:
        """What was sent and has no verdict."""
        return self.without.count if self.is_detailed else self.report.missing

    @cached_property
    def not_addresses(self) -> int:
        """Rows that were not sent, because they hold no address."""
        return self.report.blank + self.report.invalid

    @cached_property
    def sent_rows(self) -> int:
        """The rows whose address was sent."""
        return max(0, self.report.rows - self.not_addresses - self.report.unclear)

    @cached_property
    def bad_rows(self) -> int:
        """The undeliverable rows whose address was sent."""
        return max(0, self.undeliverable.rows - self.not_addresses)

    @cached_property
    def bounce(self) -> tuple[float, float]:
        """The share that would bounce if everything that was sent to the service were mailed.

        The first is certain: undeliverable addresses. The second adds accept-all, unknown and missing ones.
        """
        low = share(self.bad, self.total)
        return low, max(low, 1 - share(self.deliverable.count, self.total) if self.total else 0.0)

    @cached_property
    def domains(self) -> tuple[DomainCounts, ...]:
        """The domains that were counted and may be named."""
        if self.report.domains is None:
            return ()
        fewest = 1 if self.small_domains else FEWEST_ROWS
        return tuple(one for one in self.report.domains.counts if one.rows >= fewest and one.domain)

    @cached_property
    def bad_domains(self) -> tuple[BadDomain, ...]:
        """Typing errors, and domains that pull the list down; the worst first."""
        average = share(self.bad_rows, self.sent_rows)
        found = []
        for counts in self.domains:
            pull = counts.undeliverable - counts.rows * average
            chance = sqrt(counts.rows * average * (1 - average))
            meant = meant_by(counts)
            if meant or pull >= max(1.0, _DEVIATIONS * chance):
                trouble = Trouble.TYPO if meant else _trouble(counts)
                found.append(BadDomain(counts=counts, pull=pull, trouble=trouble, meant=meant))
        return tuple(sorted(found, key=lambda one: (-one.pull, one.counts.domain))[:_MOST_DOMAINS])

    @cached_property
    def troubles(self) -> dict[Trouble, list[BadDomain]]:
        """These domains by their trouble; the trouble with the most undeliverable rows comes first."""
        groups: dict[Trouble, list[BadDomain]] = {}
        for one in self.bad_domains:
            groups.setdefault(one.trouble, []).append(one)
        rows = {
            trouble: sum(one.counts.undeliverable for one in those)
            for trouble, those in groups.items()
        }
        return dict(sorted(groups.items(), key=lambda group: -rows[group[0]]))

    @cached_property
    def other_trouble(self) -> bool:
        """Whether a domain that pulls the list down is no typing error."""
        return any(one.trouble is not Trouble.TYPO for one in self.bad_domains)

    @cached_property
    def typos(self) -> tuple[Typo, ...]:
        """The typing errors that may be named, the most frequent first."""
        return tuple(sorted(_typos(self.domains), key=lambda one: (-one.rows, one.domain)))

    @cached_property
    def typo_rows(self) -> int:
        """The rows with a typing error, named or not."""
        every = () if self.report.domains is None else self.report.domains.counts
        return sum(one.rows for one in _typos(every))

    @cached_property
    def named(self) -> tuple[int, int]:
        """The rows at the domains that pull the list down, and the undeliverable ones among them."""
        counts = [one.counts for one in self.bad_domains]
        return sum(one.rows for one in counts), sum(one.undeliverable for one in counts)

    @cached_property
    def others(self) -> tuple[int, int]:
        """The rows at all other domains, and the undeliverable ones among them."""
        rows, bad = self.named
        return max(0, self.sent_rows - rows), max(0, self.bad_rows - bad)

    @cached_property
    def spent(self) -> int:
        """The credits of all calls."""
        return self.report.credits_spent + self.report.credits_spent_before

    @cached_property
    def stages(self) -> tuple[tuple[str, float], ...]:
        """The seconds in each stage."""
        durations = attrs.asdict(self.report.durations)
        return tuple((name.capitalize(), seconds) for name, seconds in durations.items())

    @cached_property
    def longest_stage(self) -> float:
        """The seconds of the longest stage."""
        return max(seconds for _, seconds in self.stages)

    @cached_property
    def half_time(self) -> float | None:
        """The seconds after which half of the addresses had a verdict; `None` without a curve."""
        curve = self.report.curve
        if not curve or not curve[-1].verified:
            return None
        return next(p.seconds for p in curve if p.verified * 2 >= curve[-1].verified)

    @cached_property
    def unpaid(self) -> int:
        """The addresses of failed parts that were not paid for."""
        return sum(part.addresses for part in self.report.failures if not part.paid)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the lists, without their folders."""
        titles = [one.title for one in self.report.lists] or [self.report.destination]
        return tuple(file_name(title) for title in titles)

    @cached_property
    def output(self) -> str:
        """The name of the output, without its folder."""
        return file_name(self.report.destination)

    @cached_property
    def filter_command(self) -> str:
        """The command that splits the output as the page advises; it costs nothing."""
        return shlex.join(
            ["bulkverify", "filter", self.output, "--split", "--without", "disposable"]
        )

    @cached_property
    def is_json_lines(self) -> bool:
        """Whether the output is JSON Lines, where flags are true or false instead of Y or N."""
        return self.output.lower().endswith((".jsonl", ".ndjson"))


def share(part: float, whole: float) -> float:
    """Return a share from 0 to 1; of nothing it is 0."""
    return min(1.0, max(0.0, part / whole)) if whole else 0.0


def file_name(path: str) -> str:
    """Return the last part of a path of any system; other texts stay as they are."""
    return PurePath(path.replace("\\", "/")).name or path


def _typos(domains: Iterable[DomainCounts]) -> Iterator[Typo]:
    for counts in domains:
        rows = counts.rows - counts.deliverable
        if (meant := meant_by(counts)) and rows:
            yield Typo(counts.domain, meant, rows)


def _can_be_mailed(one: Finding) -> bool:
    return one.verdict is Verdict.DELIVERABLE and not one.disposable and not one.spamtrap


def _trouble(counts: DomainCounts) -> Trouble:
    if counts.free:
        return Trouble.AGED
    return Trouble.GONE if counts.undeliverable >= counts.rows * _GONE else Trouble.LEFT
