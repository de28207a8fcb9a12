"""Answers that no service should give: mutated valid ones, and any bytes."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any, Final

from hypothesis import strategies as st

PAYLOADS: Final = Path(__file__).parents[1] / "payloads"
_VALID: Final = [json.loads(path.read_bytes()) for path in sorted(PAYLOADS.glob("*.json"))]
_CSV: Final = [path.read_bytes() for path in sorted(PAYLOADS.glob("*.csv"))]

_ODD_VALUES: Final[list[Any]] = [
    None,
    True,
    "",
    " ",
    "\ud800",
    "\x1b[2J\r\n\0",
    "x" * 70_000,
    "9" * 5000,
    10**400,
    -(2**63),
    1e308,
    -0.0,
    float("nan"),
    float("inf"),
    float("-inf"),
    [],
    {},
    "../../etc/passwd",
    "13/45/2021, 99:99:99 PM",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
]
_NUMBERS: Final = st.integers() | st.floats()
_TEXT: Final = st.text(st.characters(), max_size=30)

any_json: Final = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXT | st.sampled_from(_ODD_VALUES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:  # noqa: C901 - each branch spoils it in another way
    """Take a valid payload, and spoil it."""
    payload = json.loads(json.dumps(draw(st.sampled_from(_VALID))))
    for _ in range(draw(st.integers(0, 4))):
        place = payload
        while inner := [value for value in place.values() if isinstance(value, dict) and value]:
            if not draw(st.booleans()):
                break
            place = draw(st.sampled_from(inner))
        if not place:
            break
        name = draw(st.sampled_from(sorted(place)))
        match draw(st.sampled_from(["drop", "retype", "odd", "nest", "rename", "move"])):
            case "drop":
                del place[name]
            case "retype":
                place[name] = draw(any_json)
            case "odd":
                place[name] = draw(st.sampled_from(_ODD_VALUES))
            case "nest":
                place[name] = {name: [place[name]]}
            case "rename":
                place[draw(_TEXT)] = place.pop(name)
            case "move":
                payload = {**payload, name: dict(place)}
    text = json.dumps(payload, ensure_ascii=draw(st.booleans()))
    if draw(st.booleans()):  # each field twice: `json` takes the last
        text = text[:-1] + "," + json.dumps(payload)[1:] if payload else text
    return text.encode("utf-8", "surrogatepass")


_NESTED: Final = [
    b"[" * 100_000,
    b'{"job_id":' * 50_000,
    b"[" * 2000 + b"]" * 2000,
    b'{"success": true, "analysis": ' + b"[" * 900 + b"]" * 900 + b"}",
]

bodies: Final = st.one_of(
    mutated(),
    mutated(),
    mutated(),
    any_json.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=400),
    st.sampled_from([*_CSV, *_NESTED, b"", b"<html><script>" * 50, b"<" * 20_000, b"\xff\xfe{\0"]),
    st.builds(lambda body, cut: body[:cut], mutated(), st.integers(0, 200)),
    st.builds(
        lambda body, encoding: body.decode("utf-8", "replace").encode(encoding, "replace"),
        mutated(),
        st.sampled_from(["utf-16", "utf-32", "cp1252", "utf-8-sig"]),
    ),
)

_ENCODINGS: Final = ["gzip", "deflate", "br", "zstd", "identity", "compress", "gzip, gzip", "\xff"]
_HEADERS: Final = st.one_of(
    st.sampled_from(
        [
            b"Content-Type: application/json",
            b"Content-Type: text/csv; charset=utf-8",
            b"Content-Type: text/html",
            b"Content-Type: ;;;=",
            b"Content-Type:",
            b"Retry-After: 0",
            b"Retry-After: 5",
            b"Retry-After: -1",
            b"Retry-After: 1e999",
            b"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT",
            b"Retry-After: Mon, 00 Foo 0000 99:99:99 +9999",
            b"Retry-After: 0000-00-00",
            b"Set-Cookie: a=b; Max-Age=x; Expires=never; Domain=..",
            b"Set-Cookie: \xff\xfe=\x01",
            b"Location: https://elsewhere.example/?apikey=x",
            b"Link: <<>>; rel=;;",
            b"Connection: upgrade",
            b"Upgrade: websocket",
            b"Trailer: X",
            b"X: " + b"y" * 9000,
            b"no colon at all",
            b" folded: line",
            b"\x00: \x00",
        ]
    ),
    st.binary(min_size=1, max_size=60),
    st.builds(lambda value: b"Retry-After: " + value, st.binary(max_size=30)),
)
_STATUSES: Final = st.one_of(
    *[st.just(b"200 OK")] * 5,
    st.sampled_from([b"201 Created", b"400 BadRequest", b"402 No", b"429 Slow", b"502 Bad"]),
    st.integers(100, 999).map(lambda code: b"%d Any" % code),
    st.sampled_from([b"0 Zero", b"99999 Large", b"-1 X", b"abc", b"", b"200", b"200 \xff\xfe\x00"]),
)


def _encoded(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.compress(body)
    return zlib.compress(body) if encoding == "deflate" else body


def _chunked(body: bytes, size: int) -> bytes:
    chunks = [body[begin : begin + size] for begin in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Write an answer, from its status line to its last byte."""
    body = draw(bodies)
    lines = draw(st.lists(_HEADERS, max_size=3)) if draw(st.booleans()) else []
    if draw(st.integers(0, 3)) == 0:
        encoding = draw(st.sampled_from(_ENCODINGS))
        lines.append(b"Content-Encoding: " + encoding.encode("latin-1"))
        if draw(st.booleans()):
            body = _encoded(body, encoding)
    match draw(st.sampled_from(["length"] * 6 + ["chunked", "chunked", "close", "wrong", "both"])):
        case "length":
            lines.append(b"Content-Length: %d" % len(body))
        case "chunked":
            lines.append(b"Transfer-Encoding: chunked")
            body = _chunked(body, draw(st.integers(1, 5000)) + len(body) // 1000)
        case "wrong":
            wrong = [
                b"-5",
                b"abc",
                b"1",
                b"999999999999999999999",
                b"%d" % (len(body) + 3),
                b"0x10",
            ]
            lines.append(b"Content-Length: " + draw(st.sampled_from(wrong)))
        case "both":
            lines += [b"Transfer-Encoding: chunked", b"Content-Length: %d" % len(body)]
    version = draw(st.sampled_from([b"HTTP/1.1"] * 12 + [b"HTTP/1.0", b"HTTP/9.9", b"SSH-2.0"]))
    return b"\r\n".join([version + b" " + draw(_STATUSES), *lines, b"", body])
