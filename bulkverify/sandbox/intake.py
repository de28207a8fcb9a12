"""Reads the list from the body of an upload."""

import json
from collections.abc import Mapping
from typing import Final

import attrs
from aiohttp import BodyPartReader, web
from aiohttp.http import HttpProcessingError

from bulkverify.limits import LARGEST_LIST_BYTES
from bulkverify.sandbox.answers import INVALID_FILE, RefusedError
from bulkverify.sandbox.reading import (
    AddressList,
    UnusableListError,
    read_file,
    read_rows,
)

_FILE_FIELD: Final = "local_file"
_READ_BYTES: Final = 65536


@attrs.frozen(kw_only=True)
class Received:
    """An upload that has been read."""

    addresses: AddressList
    auto_verify: bool
    filename: str | None = None
    title: str | None = None


async def receive(request: web.Request) -> Received:
    """Read an upload, which is a file or rows; anything else raises `RefusedError`."""
    try:
        if request.content_type == "multipart/form-data":
            return await _receive_file(request)
        if request.content_type == "application/json":
            return await _receive_rows(request)
        raise UnusableListError("neither a file nor rows")
    except (ValueError, HttpProcessingError):
        raise RefusedError(INVALID_FILE) from None


def is_true(value: object) -> bool:
    """Return whether a parameter is true, as JSON or as text."""
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


async def read_json(request: web.Request) -> Mapping[str, object]:
    """Read a JSON object; an empty body is an empty object, and anything else raises `ValueError`."""
    body = await request.read()
    try:
        data = json.loads(body or b"{}")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(data, dict):
        raise ValueError("not an object")  # noqa: TRY004 - any wrong body is a ValueError
    return data


async def _receive_file(request: web.Request) -> Received:
    data: bytes | None = None
    filename = None
    auto_verify = is_true(request.query.get("auto_verify"))
    parts = await request.multipart()
    while (part := await parts.next()) is not None:
        if not isinstance(part, BodyPartReader):
            raise UnusableListError("a nested form")
        content = await _read_part(part)
        if part.name == _FILE_FIELD:
            data, filename = content, part.filename
        elif part.name == "auto_verify":
            auto_verify = is_true(content.decode(errors="replace"))
    if data is None:
        raise UnusableListError("no file")
    return Received(addresses=await read_file(data), auto_verify=auto_verify, filename=filename)


async def _read_part(part: BodyPartReader) -> bytes:
    content = bytearray()
    while chunk := await part.read_chunk(_READ_BYTES):
        # A file that is too large is read to its end, so that the client gets an answer.
        if len(content) <= LARGEST_LIST_BYTES:
            content += chunk
    return bytes(content)


async def _receive_rows(request: web.Request) -> Received:
    body = await read_json(request)
    entries = body.get("emails")
    if not isinstance(entries, list) or len(await request.read()) > LARGEST_LIST_BYTES:
        raise UnusableListError("no rows, or too many bytes")
    title = body.get("title")
    return Received(
        addresses=await read_rows(entries),
        auto_verify=is_true(body.get("auto_verify", request.query.get("auto_verify"))),
        title=title if isinstance(title, str) else None,
    )
