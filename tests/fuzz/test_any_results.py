"""Any results file in any pieces is read into rows or raises one of our own errors."""

import csv
import re
from collections.abc import AsyncIterator, Iterator
from io import StringIO

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from bulkverify import BulkVerifyError, ProtocolError, ResultRow, TransportError
from bulkverify.results.rows import Answer, ResultsReader

from .effort import examples, patient
from .raw import Bench, head

pytestmark = patient

_NAMES = st.sampled_from(
    [
        "Email",
        "Verification Result",
        "verification_result",
        "Syntax Error",
        "ISP",
        "Role",
        "Trap",
        "Disposable",
        "Verified At",
        "Accept-all",
        "col0",
        "",
        "\ufeff",
        "name, of",
        "x\ny",
        '"',
    ]
)
_VERDICTS = st.sampled_from(
    ["deliverable", "accept all", " Accept-All ", "unknown", "UNDELIVERABLE"]
)
_FLAGS = st.sampled_from(["Y", "N", "", "0", "true"])
_TIMES = st.sampled_from(
    ["2021-09-13T06:49:39.280Z", "", "08/13/2021, 9:39:37 AM", "2021-09-13", "2021-W01-1T00:00"]
)
_ODD = st.one_of(
    st.sampled_from(["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "24:00", "\0", "2"]),
    st.just("x" * 140_000),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
_OTHERS = st.sampled_from(["a@example.com", "", "b@example.com", 'a, "b"', "two\nlines", "\r"])
_FITTING = {"verificationresult": _VERDICTS, "verifiedat": _TIMES} | dict.fromkeys(
    ["syntaxerror", "isp", "role", "trap", "disposable"], _FLAGS
)
_rarely = st.integers(0, 15).map(lambda number: number == 0)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """Make a results file that is almost valid."""
    header = ["Email", "Verification Result", *draw(st.lists(_NAMES, max_size=6))]
    header = draw(st.permutations(header))
    if draw(_rarely):
        header = draw(st.lists(_NAMES, max_size=8))
    cells = [_FITTING.get(re.sub(r"[\W_]", "", name).lower(), _OTHERS) for name in header]
    rows = [[draw(cell) for cell in cells] for _ in range(draw(st.integers(0, 6)))]
    for row in rows:
        if draw(_rarely) and row:
            row[draw(st.integers(0, len(row) - 1))] = draw(_ODD)
        if draw(_rarely):
            row.append(draw(_ODD))
    text = StringIO(newline="")
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    data = bytearray(text.getvalue().encode("utf-16" if draw(_rarely) else "utf-8-sig"))
    if draw(_rarely):
        place = draw(st.integers(0, len(data)))
        spoiled = draw(st.sampled_from([b'"', b"\0", b"\n", b"\xff", b","]))
        data[place : place + draw(st.integers(0, 2))] = spoiled
    return bytes(data)


files = st.one_of(
    tables(),
    tables(),
    tables(),
    tables(),
    tables(),
    st.binary(max_size=200),
    st.text('a,"\r\n@', max_size=60).map(str.encode),
)


@st.composite
def pieces_of(draw: st.DrawFn) -> list[bytes]:
    """Split a file into pieces; some may be empty."""
    data = draw(files)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def rows_of(pieces: list[bytes]) -> Iterator[ResultRow]:
    reader = ResultsReader()
    for piece in pieces:
        yield from reader.feed(piece)
    yield from reader.finish()
    event("rows" if reader.count else "nothing")


def answers_of(pieces: list[bytes]) -> Iterator[Answer]:
    reader = ResultsReader()
    for piece in pieces:
        yield from reader.answers(piece)
    yield from reader.last_answers()


@examples(1000)
@given(pieces=pieces_of())
def test_any_results_in_any_pieces_are_rows_or_our_own_error(pieces: list[bytes]) -> None:
    whole = [b"".join(pieces)]
    try:
        rows = list(rows_of(pieces))
    except BulkVerifyError as error:
        check(error)
        with pytest.raises(type(error)):
            list(rows_of(whole))
        with pytest.raises(type(error)):
            list(answers_of(pieces))
        return
    assert rows == list(rows_of(whole))
    assert len(rows) == len(list(answers_of(pieces)))
    for row, (email, (verdict, *flags), at) in zip(rows, answers_of(whole), strict=True):
        found = [row.syntax_error, row.common_isp, row.role_based, row.disposable, row.spamtrap]
        assert (row.email, row.verdict, found, row.verified_at) == (email, verdict, flags, at)


def check(error: BulkVerifyError) -> None:
    event(f"{type(error).__name__}: {str(error)[:24]}")
    assert isinstance(error, TransportError)
    assert len(str(error)) < 2000
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench(tmp_path_factory.mktemp("results")) as bench:
        yield bench


@examples(150)
@given(pieces=pieces_of(), call=st.sampled_from(["rows", "download"]))
def test_any_results_over_a_socket_are_read_correctly_or_raise_our_own_error(
    bench: Bench, pieces: list[bytes], call: str
) -> None:
    async def answer() -> AsyncIterator[bytes]:
        yield head(b"Content-Type: text/csv", b"Transfer-Encoding: chunked")
        for piece in filter(None, pieces):
            yield b"%x\r\n%s\r\n" % (len(piece), piece)
        yield b"0\r\n\r\n"

    bench.server.pieces = answer
    target = bench.folder / "out.csv"
    target.unlink(missing_ok=True)
    try:
        bench.call(call)
    except ProtocolError as error:
        event(type(error).__name__)
        assert not target.exists()
    except BulkVerifyError as error:
        event(type(error).__name__)
        assert not target.exists()
    else:
        assert call == "rows" or target.read_bytes() == b"".join(pieces)
    assert bench.problems == []
