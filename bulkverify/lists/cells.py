"""Finds the address to send for a cell, without the text that people and programs write around it.

A cell that is an address is sent as it stands. Otherwise its layers are removed one by one: a display
name before `<>`, quotes, brackets, `mailto:`, a comment, punctuation, and characters that can't be seen.
If a cell holds several addresses, or an address among other words, it is unclear which one is meant, so
none is sent.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from enum import StrEnum
from html import unescape
from typing import Final, NamedTuple
from urllib.parse import unquote

import attrs

from bulkverify.lists.addresses import address_key, is_ordinary, is_possible, plain_domain

_MOST_CHARACTERS: Final = 2000
_MOST_LAYERS: Final = 12
_MOST_EXAMPLES: Final = 3
_SHOWN_CHARACTERS: Final = 100

# Unicode calls most of them "default ignorable"; the rest are control characters.
_INVISIBLE: Final = re.compile(
    "[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_AFTER_DOT: Final = re.compile(rf"(?<=\.){_INVISIBLE.pattern}+")
_ZERO_WIDTH: Final = "\u200b"
# They choose how a letter looks; in a domain they have no meaning.
_SELECTOR: Final = re.compile("[\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_FULL_WIDTH: Final = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
    ord("\ufe6b"): ord("@"),
}
_FULL_WIDTH_PUNCTUATION: Final = {
    code: _FULL_WIDTH[code]
    for code in map(ord, "\uff02\uff08\uff09\uff0c\uff1a\uff1b\uff1c\uff1e\uff3b\uff3d")
}
_FULL_WIDTH_AT: Final = ("\uff20", "\ufe6b")
_ENTITY: Final = re.compile(
    r"&(?:lt|gt|quot|apos|amp|nbsp|commat|#\d{1,7}|#x[0-9a-f]{1,6});", re.IGNORECASE
)

# Other punctuation before an `@` may be part of the address.
_OPENING: Final = "<(['`\u00b4\u00a1\u00bf\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00ab\u00bb\u2039\u203a\u2022\u25cf\u25aa\u2013\u2014\u3008\u300a\u300c\u300e\u3010"
_LEADING: Final = f'{_OPENING}",;:>)]'
_TRAILING: Final = (
    "\"'`,;:.!?*|/\\>)]}\u201c\u201d\u201e\u201f\u2018\u2019\u00ab\u00bb\u2039\u203a"
    "\u3002\u3001\u3009\u300b\u300d\u300f\u3011"
)
_CUT_OFF: Final = ("..", "\u2026")  # how mail programs and reports shorten an address
_PAIRS: Final = frozenset(
    (
        *('""', "''", "``", "<>", "()", "[]", "{}", "**", "__", "||"),
        *("\u201c\u201d", "\u201d\u201d", "\u201e\u201c", "\u201e\u201d", "\u2018\u2019"),
        *("\u201a\u2018", "\u2019\u2019", "\u00ab\u00bb", "\u00bb\u00ab", "\u2039\u203a"),
        *("\u203a\u2039", "\u3008\u3009", "\u300a\u300b", "\u300c\u300d", "\u300e\u300f"),
        *("\u3010\u3011", "`'"),
    )
)
_BRACKETED: Final = tuple(
    re.compile(rf"(.*)\{one}([^{one}{other}]*)(?:\{other}(.*))?", re.DOTALL)
    for one, other in ("<>", "()", ("[", r"\]"))
)
_LABEL: Final = re.compile(
    r"(?:(mailto)|smtp|e[-\s]?mail(?:[-\s]?(?:address|adresse))?|mail)\s*:\s*",
    re.IGNORECASE,
)
_UNQUOTED_NEVER: Final = re.compile(r"[\s<>(),;\u3001]")
_BETWEEN: Final = re.compile(r"[\s<>()\[\]{},;:\"`\u201c-\u201f\u00ab\u00bb\u3001]+")
_AROUND_AT: Final = re.compile("[ \t\u00a0]*@[ \t\u00a0]*")
_QUOTES: Final = "'\u2018\u2019"
_NEAR: Final = f"{_QUOTES}.!?*|/\\\u2026-_~#%&=+^$"
_WORD: Final = re.compile(r"\w")
_COMMENTED_OUT: Final = ("#", "//", "/*", "--", "!", "%", "~")

# An address is legal with these, but far more often they are glued to one: a mark or a key before it, a
# word in another script, or a word behind it, as in `ana@example.comOslo` and `ana@example.com-old`.
_MARKS: Final = ("*", "?", "!", "#", "^")
_KEY: Final = re.compile(r"(?:e-?mail|mail(?:to)?|smtp|to|cc|bcc|from|address)=", re.IGNORECASE)
_LATIN: Final = re.compile(r"[A-Za-z]")
_NOT_LATIN: Final = re.compile(r"(?![\u1e00-\u1eff\u2c60-\u2c7f])[^\W\d_\0-\u036f]")
_DOT: Final = re.compile("[.\u3002\uff0e\uff61]")  # all that separate the labels of a domain
_GLUED_END: Final = re.compile(r"\.(?:(?!xn--)[^.]*[-\d][^.]*|[a-z]{2,}[A-Z].*)\Z")

# Parts of a text that may be an address with something before or behind it.
_COMMENT: Final = re.compile(r"\([^()@]*\)|\[[^\[\]@]*\]|<[^<>@]*>")
_LOCAL_ENDS: Final = (
    re.compile(r'"(?:[^"\\]|\\.)+"\Z'),
    re.compile(r'[^\s"(),:;<>@\[\]\\]+\Z'),
    re.compile(r"[\w.+'-]+\Z"),
    re.compile(r"(?<=\.\.\.)[\w+'-][\w.+'-]*\Z"),
)
_DOMAINS: Final = (
    re.compile(r"\[[^\[\]\s]+\]"),
    re.compile(r"(?:[^\W_](?:[^\W_]|-)*\.)+[^\W_]+"),
    re.compile(r"(?:[^\W_](?:[^\W_]|-)*\.)+[^\W\d_]{2,}"),
)
_LONGEST_LOCAL: Final = 80
_LONGEST_DOMAIN: Final = 256


class CellKind(StrEnum):
    """The kind of a cell that is not just an address."""

    UNWRAPPED = "unwrapped"
    """An address with other text around it, which is not sent."""
    UNCLEAR = "unclear"
    """Several addresses, or one among other words: none is sent, and the row gets no verdict."""
    INVALID = "invalid"
    """Something that can't be an address."""


class Reading(NamedTuple):
    """The address that is sent for a cell, or an empty text, and the kind of the cell if it has one."""

    address: str
    kind: CellKind | None = None


@attrs.frozen(kw_only=True)
class CellExample:
    """A cell that is not just an address, and what is sent for it."""

    row: int
    """The number of its row, from 1; in a workbook that of the sheet."""
    kind: CellKind
    """How the cell differs from an address."""
    cell: str
    """The text of the cell, shortened."""
    sent: str = ""
    """What is sent for it; empty for nothing."""


class Examples:
    """The first cells of each kind."""

    def __init__(self) -> None:
        self._found: dict[CellKind, list[CellExample]] = {kind: [] for kind in CellKind}

    def __iter__(self) -> Iterator[CellExample]:
        """Give them by kind, in the order of their rows."""
        for found in self._found.values():
            yield from found

    def wants(self, kind: CellKind) -> bool:
        """Whether more examples of this kind are needed."""
        return len(self._found[kind]) < _MOST_EXAMPLES

    def add(self, row: int, kind: CellKind, cell: str, sent: str = "") -> None:
        """Add a cell, unless there are enough of its kind."""
        if self.wants(kind):
            self._found[kind].append(
                CellExample(row=row, kind=kind, cell=cell[:_SHOWN_CHARACTERS], sent=sent)
            )


class CellReader:
    """Reads the cells of a list, many at a time, and counts them by kind."""

    def __init__(
        self, examples: Examples, *, judge: bool, row_number: Callable[[int], int] = int
    ) -> None:
        """Start at the first row.

        Args:
            examples: gets the first cells of each kind.
            row_number: gives the number by which people know a row, see `Table.row_number`.
            judge: leave out cells that can't be addresses; otherwise they are sent as they stand.
        """
        self.counts: Counter[CellKind | None] = Counter()
        self._examples = examples
        self._judge = judge
        self._row_number = row_number

    def read(self, cells: list[str], before: int) -> dict[int, CellKind]:
        """Replace each cell by the address that is sent for it, or by an empty text.

        Args:
            cells: without blanks around them.
            before: how many rows come before these.

        Returns:
            The kinds of the cells that are not empty and have no address.
        """
        unsent = {}
        for place, cell in enumerate(cells):
            if not cell or is_ordinary(cell):
                continue
            address, kind = read_cell(cell)
            if kind is CellKind.INVALID and not self._judge:
                address, kind = cell, None
            self.counts[kind] += 1
            if kind is not None:
                self._examples.add(self._row_number(before + place + 1), kind, cell, address)
                if not address:
                    unsent[place] = kind
            cells[place] = address
        return unsent


def read_cell(cell: str) -> Reading:
    """Find the address in a cell that is not empty and has no blanks around it."""
    if is_ordinary(cell):
        return Reading(cell)
    text = cell if cell.isascii() and cell.isprintable() else _visible(cell)
    if "&" in text:
        text = _ENTITY.sub(lambda found: unescape(found.group()), text)
    if "mailto:" in text.lower():
        text = text.replace("%40", "@")
    if not text:
        return Reading("")
    if "@" not in text:
        return Reading("", CellKind.INVALID)
    address = _address_in(text) if len(text) <= _MOST_CHARACTERS else None
    if address is not None:
        return Reading(address, None if address == cell else CellKind.UNWRAPPED)
    return Reading("", CellKind.UNCLEAR if _holds_address(text) else CellKind.INVALID)


def _visible(text: str) -> str:
    """Remove characters that can't be seen; one beside a whole address becomes a blank.

    Otherwise `Ana` and `ana@example.com` would become an address that the list does not have. Nothing ends
    at a dot, so `ana.` and `lima@example.com` are joined.
    """
    text = text.translate(_FULL_WIDTH_PUNCTUATION)
    if any(sign in text for sign in _FULL_WIDTH_AT):
        text = text.translate(_FULL_WIDTH)
    local, at, domain = text.partition("@")
    text = f"{_AFTER_DOT.sub('', local)}{at}{_SELECTOR.sub(_ZERO_WIDTH, domain)}"
    apart = _INVISIBLE.sub(" ", text).strip()
    joined = _INVISIBLE.sub("", text).strip()
    return apart if apart != joined and any(map(_holds_address, apart.split())) else joined


def _address_in(text: str) -> str | None:
    """Return the address in a text, if it is certain."""
    for _ in range(_MOST_LAYERS):
        text = text.strip()
        if (address := _as_it_stands(text)) is not None:
            return address
        inner = _without_layer(text)
        if inner is None:
            return _repeated(text)
        text = inner
    return None


def _as_it_stands(text: str) -> str | None:
    """Return an address with its domain made plain, or `None` if the text is not an address."""
    if is_ordinary(text):
        return text
    if "@" not in text or (text[0] in _OPENING and f"{text[0]}@" not in text):
        return None
    if ('"' not in text and _UNQUOTED_NEVER.search(text)) or not is_possible(text):
        return None
    if _is_glued(text):
        return None
    return text if text.isascii() else plain_domain(text)


def _without_layer(text: str) -> str | None:
    """Remove the outermost layer of a text; `None` if no known layer can be removed."""
    if "@" not in text:
        return None
    if text[0] + text[-1] in _PAIRS:
        return text[1:-1]
    if label := _LABEL.match(text):
        rest = text[label.end() :]
        return rest if label[1] is None else _of_link(rest)
    for pattern in _BRACKETED:
        if (found := pattern.fullmatch(text)) and (outer := f"{found[1]} {found[3] or ''}").strip():
            return _beside_brackets(found[2], outer)
    if text[-1] in _TRAILING and not text.endswith(_CUT_OFF):
        return text[:-1]
    return text[1:] if text[0] in _LEADING else None


def _beside_brackets(inner: str, outer: str) -> str | None:
    """Return the address in brackets, or the text around them if the brackets hold none."""
    if "@" not in inner:
        return outer
    address = _address_in(inner)
    return address if address is not None and _is_only(address, outer) else None


def _of_link(rest: str) -> str:
    """Return the address of a `mailto:` link, or nothing if it has several."""
    address, _, query = rest.removeprefix("//").partition("?")
    return "" if "@" in unquote(query) else unquote(address)


def _repeated(text: str) -> str | None:
    """Return the address of a text that has only this one, perhaps repeated, and punctuation."""
    if text.endswith(_CUT_OFF) or text.startswith(_COMMENTED_OUT):
        return None
    words = [word for word in _words(text) if _WORD.search(word)]
    found = [_as_it_stands(word) for word in words if "@" in word]
    others = {word.lower() for word in words if "@" not in word}
    if not found or found[0] is None or not others <= {"mailto", "smtp"}:
        return None
    keys = {None if one is None else address_key(one) for one in found}
    return found[0] if len(keys) == 1 and found[0] != text else None


def _is_only(address: str, outer: str) -> bool:
    """Whether a text has no address but this one."""
    key = address_key(address)
    return all(
        address_key(word) == key or address_key(word.strip(_NEAR)) == key
        for word in _words(outer)
        if "@" in word
    )


def _words(text: str) -> list[str]:
    return _BETWEEN.split(text)


def _is_glued(address: str) -> bool:
    """Whether it has the form of an address, but most likely has a word or a mark before or behind it."""
    local, _, domain = address.rpartition("@")
    if local.startswith('"') or domain.startswith("["):
        return False
    end = _DOT.split(domain)[-1]
    return (
        _GLUED_END.search(domain) is not None
        or "|" in local
        or local.startswith(_MARKS)
        or _KEY.match(local) is not None
        or any(_LATIN.search(part) and _NOT_LATIN.search(part) for part in (local, end))
    )


def _holds_address(text: str) -> bool:
    """Whether there is an address anywhere in a text, perhaps glued to other words."""
    text = _AROUND_AT.sub("@", text)
    at = text.find("@")
    while at >= 0:
        before, after = text[max(0, at - _LONGEST_LOCAL) : at], text[at + 1 : at + _LONGEST_DOMAIN]
        domains = {found[0] for one in _DOMAINS if (found := one.match(after))}
        if domains:
            before = _COMMENT.sub("", before)
            locals_ = {found[0] for one in _LOCAL_ENDS if (found := one.search(before))}
            candidates = [
                f"{local.lstrip(_QUOTES)}@{domain}" for local in locals_ for domain in domains
            ]
            if any(map(is_ordinary, candidates)) or any(map(is_possible, candidates)):
                return True
        at = text.find("@", at + 1)
    return False
