"""Reads Excel workbooks: their sheets, and the rows of a sheet one by one."""

import posixpath
from collections.abc import Iterator
from datetime import date
from typing import BinaryIO, Final, NamedTuple

from bulkverify.lists.packages import Package, UnreadableError
from bulkverify.lists.sheets import SheetReader, SheetRow
from bulkverify.lists.texts import SharedTexts
from bulkverify.lists.values import KNOWN_FORMATS, NUMBER, format_kind

_MOST_STYLES: Final = 1_000_000
_MOST_SHEETS: Final = 10_000
_ROOT_RELATIONS: Final = "_rels/.rels"
_OTHER_KINDS: Final = {
    "content.xml": "it is an OpenDocument file, such as .ods",
    "Index/Document.iwa": "it is a document of Numbers",
}
"""Archives that are no workbooks of Excel, by one of their files."""


class SheetFile(NamedTuple):
    """A worksheet, and its file in the workbook."""

    name: str
    path: str
    hidden: bool


class Workbook:
    """A workbook; `sheets` holds its worksheets in their order."""

    def __init__(self, file: BinaryIO) -> None:
        """Read the texts and styles that its cells refer to."""
        self._package = package = Package(file)
        self._texts = SharedTexts(package)
        self._styles = bytearray()
        self._first_day = date(1899, 12, 30)
        self._calculate = False
        self.sheets: list[SheetFile] = []
        if _ROOT_RELATIONS not in package:
            kinds = (kind for name, kind in _OTHER_KINDS.items() if name in package)
            raise UnreadableError(next(kinds, "it has no workbook in it"))
        path = next(iter(self._related("", _ROOT_RELATIONS, "/officeDocument").values()))
        if path.endswith(".bin"):
            raise UnreadableError("it is a binary workbook, .xlsb")
        relations = posixpath.join(
            posixpath.dirname(path), "_rels", f"{posixpath.basename(path)}.rels"
        )
        for texts in self._related(path, relations, "/sharedStrings").values():
            self._texts.read(texts)
        for styles in self._related(path, relations, "/styles").values():
            self._read_styles(styles)
        self._read_sheets(path, self._related(path, relations, "/worksheet"))

    def rows(self, sheet: SheetFile) -> Iterator[SheetRow]:
        """Read the rows of a sheet, without empty rows and empty cells at the end of a row."""
        reader = SheetReader(
            *(self._package, self._texts, self._styles, self._first_day),
            calculate=self._calculate,
        )
        return reader.read(sheet.path)

    def _related(self, path: str, relations: str, kind: str) -> dict[str, str]:
        """Find the files of a kind that a file refers to, by their ids."""
        found: dict[str, str] = {}

        def start(name: str, attributes: dict[str, str]) -> None:
            if name == "Relationship" and attributes.get("Type", "").endswith(kind):
                target = posixpath.join("/", posixpath.dirname(path), attributes["Target"])
                target = posixpath.normpath(target).lstrip("/")
                if target in self._package and len(found) < _MOST_SHEETS:
                    found[attributes["Id"]] = target

        self._package.read(relations, start)
        if not found and kind == "/officeDocument":
            raise UnreadableError("it has no workbook in it")
        return found

    def _read_sheets(self, path: str, files: dict[str, str]) -> None:
        def start(name: str, attributes: dict[str, str]) -> None:
            if name == "workbookPr" and attributes.get("date1904") in {"1", "true"}:
                self._first_day = date(1904, 1, 1)
            if name == "calcPr" and attributes.get("fullCalcOnLoad") in {"1", "true"}:
                self._calculate = True
            if name == "sheet" and len(self.sheets) < _MOST_SHEETS:
                ids = [value for key, value in attributes.items() if key.endswith(":id")]
                hidden = attributes.get("state", "visible") != "visible"
                self.sheets += [
                    SheetFile(attributes.get("name", ""), files[id_], hidden)
                    for id_ in ids
                    if id_ in files
                ]

        self._package.read(path, start)

    def _read_styles(self, path: str) -> None:
        """Note for each cell style whether its numbers are dates."""
        formats = dict(KNOWN_FORMATS)
        inside = False

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal inside
            if name == "numFmt" and len(formats) < _MOST_STYLES:
                formats[int(attributes["numFmtId"])] = format_kind(attributes.get("formatCode", ""))
            elif name == "cellXfs":
                inside = True
            elif name == "xf" and inside:
                self._styles.append(formats.get(int(attributes.get("numFmtId", 0)), NUMBER))
                if len(self._styles) > _MOST_STYLES:
                    raise UnreadableError("it has too many styles")

        def end(name: str) -> None:
            nonlocal inside
            inside = inside and name != "cellXfs"

        self._package.parse(path, start, end, lambda _: None)
