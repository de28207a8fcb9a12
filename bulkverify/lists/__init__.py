"""Reads address lists, splits them into parts that the service takes, and joins the verdicts to them.

    source  --open_table-->  Table  --split-->  parts of addresses, and the address of each row
                               |                          |
                               +------> join <---- results of the parts

Nothing here is asynchronous, and nothing holds a list in memory. Splitting takes 25 bytes for each
distinct address, or 39 if earlier verdicts are reused, and joining 10. If the results of a part are in another order than its addresses,
matching takes up to 90 bytes for each address of that part.
"""

from bulkverify.lists.addresses import address_key, is_ordinary
from bulkverify.lists.cells import CellExample, CellKind, Examples
from bulkverify.lists.earlier import EarlierVerdict, Rows, SpooledRows
from bulkverify.lists.filtering import (
    FilterReport,
    RowGroup,
    Rule,
    filter_rows,
)
from bulkverify.lists.joining import Joined, JoinedRow, join, joined_rows
from bulkverify.lists.layout import part_path, results_path
from bulkverify.lists.matching import Match
from bulkverify.lists.opening import ListFormat, ListSource, format_of, open_table
from bulkverify.lists.parts import Part
from bulkverify.lists.reuse import REUSABLE, Reuse
from bulkverify.lists.splitting import (
    Reused,
    Split,
    find_examples,
    fingerprint,
    has_reused,
    is_intact,
    split,
)
from bulkverify.lists.spooling import Copied, Spool
from bulkverify.lists.tables import Table, file_digest
from bulkverify.lists.tallies import DomainCounts, Domains, Finding
from bulkverify.lists.verdicts import compare
from bulkverify.lists.verified import Verified, open_verified
from bulkverify.lists.workbook_output import check_fits

__all__ = [
    "REUSABLE",
    "CellExample",
    "CellKind",
    "Copied",
    "DomainCounts",
    "Domains",
    "EarlierVerdict",
    "Examples",
    "FilterReport",
    "Finding",
    "Joined",
    "JoinedRow",
    "ListFormat",
    "ListSource",
    "Match",
    "Part",
    "Reuse",
    "Reused",
    "RowGroup",
    "Rows",
    "Rule",
    "Split",
    "Spool",
    "SpooledRows",
    "Table",
    "Verified",
    "address_key",
    "check_fits",
    "compare",
    "file_digest",
    "filter_rows",
    "find_examples",
    "fingerprint",
    "format_of",
    "has_reused",
    "is_intact",
    "is_ordinary",
    "join",
    "joined_rows",
    "open_table",
    "open_verified",
    "part_path",
    "results_path",
    "split",
]
