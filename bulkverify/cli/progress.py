"""Progress on a terminal: a bar for the whole, the verdicts so far, and a bar for each active part.

Between two polls the bar moves on at the rate so far, in another colour: the service has not said so yet.
This module imports rich, so it is imported only if stderr is a terminal.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from textwrap import shorten
from time import monotonic
from typing import Final, Self

import attrs
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from bulkverify.cli.palette import EARLIER, EXPECTED, HELD_UP, LEAD, MUTED, VERDICTS
from bulkverify.cli.shown import Shown, clock
from bulkverify.cli.wrapping import fitted
from bulkverify.run.models import PartProgress
from bulkverify.service.answers import printable

_FRAMES_A_SECOND: Final = 8
_NARROWEST_BAR: Final = 12
_WIDEST_BAR: Final = 60
_WORDS_WIDTH: Final = 11
_GAP: Final = "  "
_ALIGNED_FROM: Final = 60
"""From this width on, all bars begin and end in the same columns."""


@attrs.frozen
class Signs:
    """The characters of the display: for UTF-8, or for terminals that only have ASCII."""

    spinner: str = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
    done: str = "━"
    expected: str = "╍"
    rest: str = "─"
    dot: str = "●"


_ASCII: Final = Signs(spinner="|/-\\", done="#", expected="=", rest="-", dot="*")


@attrs.frozen
class Picture:
    """What the display shows at one moment, for any width."""

    shown: Shown
    began: float
    now: float

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the lines, as many as fit."""
        signs = _ASCII if options.ascii_only else Signs()
        width = options.max_width - len("^C")  # its echo must not break a line, which would stay
        legend = list(self._legend(signs, width))
        room = max(1, options.size.height - len(legend) - 3)
        parts = self.shown.parts[:room]
        indent = max((len(_head(part)) for part in parts if not part.note), default=0)
        counts = max((len(_part_counts(part)) for part in parts), default=0)
        whole, longest = self._whole(signs, width, indent if width >= _ALIGNED_FROM else 0)
        yield whole
        yield from legend
        for part in parts:
            yield _part(part, signs, width, indent=indent, counts=counts, longest=longest)
        if len(self.shown.parts) > room:
            yield Text(f"  and {len(self.shown.parts) - room} more", style=MUTED)

    def _whole(self, signs: Signs, width: int, indent: int) -> tuple[Text, int]:
        """Draw the first line, and return the length of its bar; on a narrow terminal it has fewer numbers.

        The bar begins where those of the parts do, whose words are indented by `indent`.
        """
        shown, passed = self.shown, clock(self.now - self.began)
        frame = signs.spinner[int(self.now * _FRAMES_A_SECOND) % len(signs.spinner)]
        words = (shown.words or shown.stage).capitalize()
        words = f"{words:<{max(indent - 2, 0) + _WORDS_WIDTH}}"
        line = Text.assemble((frame, LEAD), " ", (words, "bold"))
        if shown.total is None:
            line.append(f"{_GAP}{passed}", MUTED)
            return line, _WIDEST_BAR
        expected = shown.expected(self.now)
        for numbers in self._numbers(passed):
            room = width - line.cell_len - numbers.cell_len - 2 * len(_GAP)
            if room >= _NARROWEST_BAR:
                break
        length = min(room, _WIDEST_BAR)
        if length > 0:
            shares = [(shown.verdicts[verdict], style) for verdict, style in VERDICTS.items()]
            shares.append((shown.earlier, EARLIER))
            bar = _bar(
                signs,
                length,
                shares,
                shown.done,
                expected - shown.done,
                shown.total,
            )
            line.append_text(Text(" ")).append_text(bar)
        return line.append_text(Text(_GAP)).append_text(numbers), length

    def _numbers(self, passed: str) -> Iterator[Text]:
        """Write percent, counts, rate, time passed and time left, then fewer and fewer of them."""
        shown = self.shown
        total, rate, left = shown.total or 1, shown.rate, shown.seconds_left(self.now)
        percent = Text(f"{100 * shown.done // total:>3}%", "bold")
        counts = Text(_counts(shown.done, total))
        pace = Text("" if not rate else f"{rate:,.{0 if rate >= 10 else 1}f}/s", MUTED)  # noqa: PLR2004 - a digit
        ahead = Text("" if left is None else f"{clock(ceil(left))} left")
        time = Text(", " if ahead else "").join((Text(passed, MUTED), ahead))
        for pieces in (
            (percent, counts, pace, time),
            (percent, counts, ahead),
            (percent, ahead),
            (percent,),
        ):
            yield Text(_GAP).join(piece for piece in pieces if piece)

    def _legend(self, signs: Signs, width: int) -> Iterator[Text]:
        """List the verdicts so far, in as many columns as fit."""
        shown = self.shown
        counts = [
            (shown.verdicts[verdict], str(verdict), VERDICTS[verdict]) for verdict in VERDICTS
        ]
        counts.append((shown.earlier, "from earlier", EARLIER))
        entries = [
            Text.assemble((signs.dot, style), f" {count:,} {name}")
            for count, name, style in counts
            if count
        ]
        if not entries:
            return
        if 2 + sum(entry.cell_len + 2 for entry in entries) - 2 <= width:
            yield Text("  ").append_text(Text(_GAP).join(entries))
            return
        column = max(entry.cell_len for entry in entries) + len(_GAP)
        columns = 2 if 2 * column <= width else 1
        for begin in range(0, len(entries), columns):
            row = Text("  ")
            for entry in entries[begin : begin + columns]:
                row.append_text(entry).append(" " * (column - entry.cell_len))
            row.rstrip()
            yield row


def _head(part: PartProgress) -> str:
    return f"  part {part.number:,}  "


def _part_counts(part: PartProgress) -> str:
    return _counts(part.verified, part.addresses)


def _part(
    part: PartProgress, signs: Signs, width: int, *, indent: int, counts: int, longest: int
) -> Text:
    """Draw the line of a part: its bar, or why it does not move."""
    head = f"{_head(part):<{indent}}"
    if part.note:
        note = shorten(printable(part.note), max(10, width - len(head)), placeholder=" …")
        return Text.assemble((head, MUTED), (note, HELD_UP))
    line = Text.assemble((head, MUTED), f"{part.stage:<{_WORDS_WIDTH}}")
    percent = f"{_GAP}{100 * part.verified // max(1, part.addresses):>3}%"
    for numbers in (f"{percent}{_GAP}{_part_counts(part):>{counts}}", percent):
        room = width - line.cell_len - len(numbers) - 1
        if room >= _NARROWEST_BAR:
            break
    if room > 0:
        found = part.snapshot.results if part.snapshot is not None else None
        shares = [
            (getattr(found, verdict.name.lower(), 0), style) for verdict, style in VERDICTS.items()
        ]
        length = min(room, longest if width >= _ALIGNED_FROM else _WIDEST_BAR)
        bar = _bar(signs, length, shares, part.verified, 0, part.addresses)
        line.append(" ").append_text(bar)
    return line.append(numbers, MUTED)


def _counts(done: int, total: int) -> str:
    """Write both numbers, always as wide, so that bars keep their length."""
    return f"{done:>{len(f'{total:,}')},}/{total:,}"


def _bar(  # noqa: PLR0917 - one line of drawing
    signs: Signs,
    width: int,
    shares: Sequence[tuple[int, str]],
    done: float,
    expected: float,
    total: int,
) -> Text:
    """Draw a bar: what is done in the colours of its shares, what is expected, and the rest."""
    cells = int(width * min(1.0, done / max(1, total)))
    ahead = int(width * min(1.0, (done + expected) / max(1, total))) - cells
    bar = Text()
    known, begun, drawn = sum(count for count, _ in shares), 0, 0
    for count, style in shares:
        begun += count
        end = round(cells * begun / known) if known else 0
        bar.append(signs.done * (end - drawn), style)
        drawn = max(drawn, end)
    bar.append(signs.done * (cells - drawn), EARLIER)
    bar.append(signs.expected * ahead, EXPECTED)
    bar.append(signs.rest * (width - cells - ahead), f"dim {MUTED}")
    return bar


class Bars:
    """The display on stderr, while the context is open."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._began = monotonic()
        self._shown: Shown | None = None
        self._live = Live(
            console=self._console,
            get_renderable=self._draw,
            refresh_per_second=_FRAMES_A_SECOND,
            transient=True,
            redirect_stdout=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, shown: Shown) -> None:
        """Show this from now on."""
        self._shown = shown

    def say(self, text: str) -> None:
        """Write a line above the display."""
        self._console.print(fitted(text, self._console.width), markup=False, soft_wrap=True)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hide the display while the block runs."""
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()

    def _draw(self) -> "Picture | Text":
        if self._shown is None:
            return Text("")
        return Picture(self._shown, self._began, monotonic())
