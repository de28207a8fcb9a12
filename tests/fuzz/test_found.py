"""Bugs found by fuzzing and review; each one hung or used too much memory."""

import pytest

from bulkverify import Acknowledgement, ProtocolError
from bulkverify.models import (
    _parse_flag,
    _parse_timestamp,
    _parse_verdict,
    parse_flag,
    parse_timestamp,
    parse_verdict,
)
from bulkverify.results.records import LARGEST_RECORD_CHARACTERS, RecordReader
from bulkverify.results.rows import ResultsReader, unique_names
from bulkverify.service.answers import excerpt
from bulkverify.service.converter import _shared, converter, structure_snapshot

HEADER = b"Email,Verification Result\n"


@pytest.mark.parametrize("piece", [b"x" * 64, b'"x\n",' * 11], ids=["one cell", "many lines"])
def test_a_record_in_tiny_pieces_is_not_reread_for_each(piece: bytes) -> None:
    records = RecordReader()
    records.feed(b"a,")

    def feed_all() -> None:
        for _ in range(LARGEST_RECORD_CHARACTERS // len(piece) + 2):
            records.feed(piece)

    with pytest.raises(ProtocolError, match="record of more than"):
        feed_all()


def test_a_long_record_in_tiny_pieces_is_read_as_in_one() -> None:
    cell = b'x\ny""' * 20_000
    text = HEADER + b'a@x.com,"' + cell + b'"\nb@x.com,unknown\n'
    for size in (1000, 7777, len(text)):
        records = RecordReader()
        pieces = [text[begin : begin + size] for begin in range(0, len(text), size)]
        found = [record for piece in pieces for record in records.feed(piece)]
        found += records.finish()
        assert found[1:] == [["a@x.com", 'x\ny"' * 20_000], ["b@x.com", "unknown"]]


@pytest.mark.parametrize("tail", [b"", b"\n"])
def test_the_end_of_a_long_record_is_not_lost(tail: bytes) -> None:
    records = RecordReader()
    found = records.feed(b'"' + b"x" * 120_000) + records.feed(b'",')
    found += records.feed(b"end" + tail) + records.finish()
    assert found == [["x" * 120_000, "end"]]


def test_a_header_of_only_commas_is_refused() -> None:
    reader = ResultsReader()
    list(reader.feed(b"Verification Result" + b"," * 3_000_000 + b"\n"))
    with pytest.raises(ProtocolError, match="columns"):
        list(reader.finish())


def test_many_columns_with_the_same_name_are_numbered_quickly() -> None:
    names = ["a_2", "a_3", *["a"] * 200_000]
    numbered = unique_names(names)
    assert len(set(numbered)) == len(names)
    assert numbered[:5] == ["a_2", "a_3", "a", "a_4", "a_5"]


@pytest.mark.parametrize("start", [b"<script", b"<", b"<style>", b"<script></scrip"])
def test_a_page_of_unfinished_tags_is_read_once(start: bytes) -> None:
    for _ in range(1000):
        assert len(excerpt(start * 3000)) <= 200


def test_padding_is_not_cached() -> None:
    # The cache keeps texts; it once kept 64 verdicts with four megabytes of spaces each.
    for cache in (_parse_timestamp, _parse_verdict, _parse_flag, _shared):
        cache.cache_clear()
    padding = " " * 1000
    assert parse_verdict(f"unknown{padding}") == "unknown"
    assert parse_flag(f"Y{padding}") is True
    assert parse_timestamp(f"2021-09-13{padding}").year == 2021
    converter.structure({"job_id": "x", "message": padding}, Acknowledgement)
    structure_snapshot({"job_id": "x", "status": "ready", "message": padding})
    for cache in (_parse_timestamp, _parse_verdict, _parse_flag, _shared):
        assert cache.cache_info().currsize == 0
