"""The text of a file, in pieces, in any encoding."""

import codecs
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from bulkverify.errors import InvalidListError, clause
from bulkverify.lists.tables import Digest, file_pieces
from bulkverify.results.records import DEFAULT_ENCODING, LARGEST_RECORD_CHARACTERS

NAME_ENCODING: Final = "Name its encoding"
"""How the hints begin that ask for an encoding."""

_SAMPLE_BYTES: Final = 64 * 1024
# Python leaves out a byte order mark only if the encoding has no byte order in its name.
_ORDERED: Final = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_JAPANESE: Final = (b"\x1b$B", b"\x1b$@")
_FEWEST_SIGNS: Final = 100
"""One of so many characters of a list, at least, is a line end or other punctuation."""

_AS_CSV: Final = "save it as CSV (UTF-8)"
_EXPORT: Final = "export it as CSV (UTF-8)"
_TEXTS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), kind, advice)
    for pattern, kind, advice in (
        (
            r"<(?:html|!doctype|!--|\?xml|head|body|table|div|ul|ol|p|meta|style)[\s>]",
            "HTML or XML, despite its name",
            _AS_CSV,
        ),
        (r"BEGIN:VCARD\b", "a file of contacts (vCard)", _EXPORT),
        (r"BEGIN:VCALENDAR\b", "a calendar (iCalendar)", _EXPORT),
        (r"(?:version: *\d+\s+)?dn::? ", "LDIF", _EXPORT),
        (
            r"\[[^\n]*\][ \t\r]*\n\s*\[",
            "a JSON array on each line",
            'write each as an object, such as {"email": "a@example.com"}, and name the file .jsonl',
        ),
        (
            r"\[\s*(?:\[\s*)?[{\"']",
            "one JSON array",
            "write each of its items on a line of its own, as `jq -c '.[]'` does, and name the file .jsonl",
        ),
        (r"\{\\rtf", "a document (RTF)", _AS_CSV),
        (r"\[[^\]\n@]+\]\s*\n\s*[\w.-]+ ?= ?", "a file of settings (INI)", _AS_CSV),
        (r"ID;P", "a SYLK file", _AS_CSV),
        (
            r"(?:CREATE TABLE|INSERT INTO|-- \w+ dump)\b",
            "an SQL dump",
            "export the table as CSV (UTF-8)",
        ),
        (
            r"(?:From \S+@\S+ .*:\d\d |(?:Return-Path|Received|MIME-Version|Message-ID|Delivered-To): )",
            "a mailbox or an e-mail message",
            "make a list of its addresses, one a line",
        ),
    )
)
OLD_EXCEL: Final = b"\xd0\xcf\x11\xe0"
"""The beginning of an old Excel file, and of a workbook with a password."""

_AS_WORKBOOK: Final = "save it as Excel Workbook (.xlsx) without a password, or as CSV (UTF-8)"
_KINDS: Final = {
    b"PK\x03\x04": "a spreadsheet or a ZIP file",
    OLD_EXCEL: "an old Excel file, or one with a password",
    b"\x1f\x8b": "compressed with gzip",
    b"%PDF-": "a PDF file",
}


def sample_of(path: Path, encoding: str, title: str) -> tuple[str, str]:
    """Read the beginning of a file; return it and the encoding of the file.

    The given encoding is used, unless it is the default and the first bytes show another. A file that
    is empty or not text raises `InvalidListError`.
    """
    with path.open("rb") as file:
        beginning = file.read(_SAMPLE_BYTES)
    for mark, kind in _KINDS.items():
        if beginning.startswith(mark):
            advice = _AS_WORKBOOK if mark == OLD_EXCEL else _AS_CSV
            raise InvalidListError(f"{title} is {kind}: {advice}. Nothing was sent.")
    seems = _other_encoding(beginning, encoding)
    encoding = _encoding_of(beginning, encoding)
    try:
        text = codecs.getincrementaldecoder(encoding)("replace").decode(beginning)
    except UnicodeError:  # such as UTF-16 without its byte order mark; `decoded` reports it
        text = ""
    start = _without_comments(text)
    for pattern, kind, advice in _TEXTS:
        if pattern.match(start):
            raise InvalidListError(f"{title} is {kind}: {advice}. Nothing was sent.")
    if seems is not None:
        raise InvalidListError(f"{title} seems to be {seems} text. Nothing was sent.").with_hint(
            f"Name its encoding: `encoding={seems!r}`.", f"Name its encoding: --encoding {seems}."
        )
    if "\0" in text:
        raise _with_nul(title, 1 + text.count("\n", 0, text.index("\0")))
    if not beginning.strip(b"\xef\xbb\xbf \t\r\n"):
        raise InvalidListError(f"{title} is empty: a list needs at least one address.")
    return text, encoding


def _without_comments(text: str) -> str:
    """Leave out blank lines and comments at the beginning, such as those of LDIF."""
    text = text.lstrip()
    while text.startswith("#"):
        text = text.partition("\n")[2].lstrip()
    return text


def _encoding_of(beginning: bytes, encoding: str) -> str:
    """Return the encoding, adapted to a byte order mark at the beginning.

    A file with the mark of UTF-8 is UTF-8, even if another encoding of single bytes is named: no text
    begins with `ï»¿`.
    """
    name = codecs.lookup(encoding).name
    if beginning.startswith(codecs.BOM_UTF8) and not name.startswith("utf"):
        return DEFAULT_ENCODING
    if name == "utf-8":
        encoding = name = DEFAULT_ENCODING
    if name == DEFAULT_ENCODING:
        marks = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
        return "utf-16" if beginning.startswith(marks) else encoding
    if name in _ORDERED and beginning.startswith("\ufeff".encode(name)):
        return name[: -len("-le")]
    return encoding


def _other_encoding(beginning: bytes, encoding: str) -> str | None:
    """Return the encoding that a text seems to have, if that must be named.

    In UTF-16 and UTF-32, punctuation has NUL bytes on one side. ISO-2022-JP shifts to Japanese with escapes.
    """
    if codecs.lookup(encoding).name not in {"utf-8", DEFAULT_ENCODING}:
        return None
    if any(escape in beginning for escape in _JAPANESE):
        return "iso-2022-jp"
    if beginning.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None
    for name in _ORDERED[::-1]:
        signs = [sign.encode(name) for sign in "\n,;\t@."]
        width = len(signs[0])
        units = [beginning[at : at + width] for at in range(0, len(beginning), width)]
        if sum(map(units.count, signs)) * _FEWEST_SIGNS > len(units):
            return name
    return None


def _with_nul(title: str, line: int) -> InvalidListError:
    return InvalidListError(
        f"{title} is not a text file: line {line:,} has a NUL character. Save it as CSV (UTF-8). Nothing was sent."
    )


def decoded(path: Path, encoding: str, title: str, digest: Digest | None = None) -> Iterator[str]:
    """Read a file as text, in pieces.

    A byte that does not belong to the encoding raises `InvalidListError`, which names its place.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    read = 0
    for piece in chain(file_pieces(path, digest), (b"",)):
        read += len(piece)
        try:
            text = decoder.decode(piece, not piece)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(encoding, "replace")
            line += before.count("\n")
            byte = f"byte 0x{error.object[error.start]:02x}"
            place = read - len(error.object) + error.start
            problem = f"{byte} at position {place:,}, on line {line:,} ({error.reason})"
        except UnicodeError as error:  # such as UTF-16 without its byte order mark
            problem = str(error)
        else:
            if "\0" in text:
                line += text.count("\n", 0, text.index("\0"))
                raise _with_nul(title, line)
            line += text.count("\n")
            yield text
            if len(decoder.getstate()[0]) <= LARGEST_RECORD_CHARACTERS:
                continue
            problem = f"on line {line:,} a shift sequence never ends"  # as in UTF-7
        raise InvalidListError(
            f"{title} is not {encoding} text: {clause(problem)}. Nothing was sent."
        ).with_hint(
            'Name its encoding, for example `encoding="cp1252"`.',
            "Name its encoding, for example --encoding cp1252.",
        )
