"""Refuses texts with several addresses on a line, which would be read as columns."""

from collections.abc import Iterable, Sequence

from bulkverify.errors import InvalidListError
from bulkverify.lists.cells import CellKind, read_cell
from bulkverify.lists.columns import SHOWN_CELLS, holds_address, listed
from bulkverify.lists.naming import Rank, name_meaning


def refuse_rows_of_addresses(title: str, rows: Iterable[Iterable[str]]) -> None:
    """Raise `InvalidListError` if a list with several cells on a line has nothing but addresses."""
    if cells := _only_addresses(rows):
        raise _on_one_line(title, cells).with_hint(
            'If it is a table, say so with `format="csv"`, and choose a column, such as `column="1"`.',
            "If it is a table, say so with --format csv, and choose a column, such as --column 1.",
        )


def refuse_lines_of_addresses(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, chosen: bool
) -> None:
    """Raise `InvalidListError` if rows with several addresses are no rows of a table.

    Columns with a name for e-mail are part of a table, and so are those of several rows if the caller has
    `chosen` one. But a single row without a header is no table.
    """
    if header and chosen:
        return
    named = {place for place, name in enumerate(header) if name_meaning(name).rank < Rank.OTHER}
    for row in rows:
        found = [
            cell
            for place, cell in enumerate(row)
            if place not in named and "@" in cell and _has_one(cell)
        ]
        transposed = name_meaning(row[0]).rank is Rank.MAIN
        if len(found) > 1 and (len(rows) == 1 or (transposed and not chosen)):
            raise _on_one_line(title, found)
    if not header and not chosen and len(rows[0]) > 1:
        refuse_rows_of_addresses(title, rows)
    if len(header) == 1 and (cells := _only_addresses(rows)):
        raise _on_one_line(title, cells)


def _only_addresses(rows: Iterable[Iterable[str]]) -> list[str]:
    """Return the cells of rows that have nothing but addresses, some several; nothing for other rows."""
    filled = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    cells = [cell for row in filled for cell in row if not _is_half(cell)]
    return cells if any(len(row) > 1 for row in filled) and all(map(_has_one, cells)) else []


def _on_one_line(title: str, cells: Sequence[str]) -> InvalidListError:
    return InvalidListError(
        f"{title} has several addresses on a line: {listed(cells[:SHOWN_CELLS])}. Write one address a line. "
        "Nothing was sent."
    )


def _is_half(cell: str) -> bool:
    """Whether a cell is the first half of a name that was cut at a comma, such as `"Lima, Ana" <a@b.com>`."""
    return "@" not in cell and cell.count('"') % 2 == 1


def _has_one(cell: str) -> bool:
    """Whether a cell has an address, perhaps among other words."""
    return holds_address(cell) or read_cell(cell.strip()).kind not in {None, CellKind.INVALID}
