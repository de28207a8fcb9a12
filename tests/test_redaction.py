"""An echo of the key is removed from every text, in any spelling and at any cut."""

import io
import json
import logging
import pickle
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenacity import wait_none

from bulkverify import BulkVerifyError, Client, ProtocolError, verify_list
from bulkverify.run import outages
from bulkverify.sandbox import FaultKind, Sandbox
from bulkverify.service.key import Secret
from tests.served import FAST, fault
from tests.test_keyless import texts_of
from tests.wire import Arrived, http, wire

KEY = "k7Qd2/xZ9&mP4+vR8=sT6 wY3äB5ßnJ1cF0uLhGe"
PLAIN = "".join(character for character in KEY if character.isalnum() and character.isascii())
TELLING = 8

SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "quoted": quote,
    "fully quoted": lambda key: quote(key, safe=""),
    "as a form": quote_plus,
    "every byte": lambda key: "".join(f"%{byte:02x}" for byte in key.encode()),
    "twice": lambda key: quote(quote(key, safe=""), safe=""),
    "latin-1": lambda key: quote(key, safe="", encoding="latin-1"),
    "JSON": lambda key: json.dumps(key)[1:-1],
    "all of JSON": lambda key: "".join(f"\\u{ord(one):04x}" for one in key),
    "JSON in JSON": lambda key: json.dumps(json.dumps(key))[3:-3],
    "slashes": lambda key: json.dumps(key).replace("/", "\\/")[1:-1],
    "HTML": escape,
    "HTML, by number": lambda key: "".join(f"&#{ord(one)};" for one in key),
    "HTML of a URL": lambda key: escape(quote(key)),
    "lower": str.lower,
    "repr": ascii,
}


def recognizable_parts(key: str) -> Iterator[str]:
    """Yield every part of the key that is long enough to recognize it."""
    for at in range(len(key) - TELLING + 1):
        yield key[at : at + TELLING]


def assert_redacted(text: str, key: str) -> None:
    for part in recognizable_parts(key):
        assert part not in text
        assert part.lower() not in text


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_the_key_is_found(spelling: str) -> None:
    echo = SPELLINGS[spelling](KEY)
    secret = Secret(KEY)
    said = secret.redact(f"see ?apikey={echo}&x=1, and {echo}.")
    assert said.count("***") == 2
    assert said.replace("'", "") == "see ?apikey=***&x=1, and ***."
    assert secret.redact_bytes(f"\xff {echo}".encode("latin-1", "replace"))
    assert secret.is_in(echo)


@settings(max_examples=40)
@given(
    key=st.text(st.characters(codec="utf-8", exclude_characters="*\\"), min_size=8, max_size=16),
    data=st.data(),
)
def test_a_mixture_of_spellings_is_found(key: str, data: st.DataObject) -> None:
    key = key.strip()
    if not key:
        return
    ways = ["as it is", "fully quoted", "JSON", "HTML", "all of JSON", "every byte"]
    echo = "".join(
        SPELLINGS[data.draw(st.sampled_from(ways))](character)
        if ord(character) < 0x10000
        else character
        for character in key
    )
    assert Secret(key).redact(f"<{echo}>") == "<***>"


@pytest.mark.parametrize("blanks", ["\x85 ", " ", "%C2%85+", "\\x85%20", "   \n "])
def test_a_run_of_blanks_is_found_in_every_spelling(blanks: str) -> None:
    assert Secret("0000000\x85 01").redact(f"<0000000{blanks}01>") == "<***>"


def test_a_truncated_key_is_found() -> None:
    secret = Secret(PLAIN)
    for size in range(TELLING, len(PLAIN)):
        assert secret.redact(f"?apikey={PLAIN[:size]}…") == "?apikey=***…"
    assert secret.redact(f"?apikey={PLAIN[: TELLING - 1]}") == f"?apikey={PLAIN[: TELLING - 1]}"


def test_a_short_key_is_found_only_as_a_whole() -> None:
    assert Secret("abc").redact("ab abc") == "ab ***"


def test_every_text_of_an_error_is_redacted_and_its_hints_too() -> None:
    error = ProtocolError(f"Got {KEY}.", path=KEY).with_hint(f"Call `{KEY}`.", f"Type {KEY}.")
    redacted = Secret(KEY).without_key(error)
    assert str(redacted) == "Got ***. Call `***`."
    assert vars(redacted) == {
        "path": "***",
        "status": None,
        "hint": "Call `***`.",
        "shell_hint": "Type ***.",
    }


def test_text_without_the_key_stays_unchanged() -> None:
    body = b"\xff\xfe {}"
    assert Secret(KEY).redact_bytes(body) is body
    assert not Secret(KEY).is_in("Invalid API Key")


BODIES: dict[str, Callable[[str], str]] = {
    "a result": lambda text: json.dumps({"success": False, "result": text}),
    "a message": lambda text: json.dumps({"success": False, "message": text}),
    "a page": lambda text: f"<html><title>{escape(text)}</title></html>",
    "a page with a tag": lambda text: f"<html><a href='{escape(text)}'>x</a>{escape(text)}</html>",
    "bare text": str,
    "a number": lambda text: json.dumps(
        {"success": True, "job_id": "job1", "status": "ready", "total": text}
    ),
    "a status": lambda text: json.dumps({"success": True, "job_id": "job1", "status": text}),
    "a list": lambda text: json.dumps([text]),
    "another id": lambda text: json.dumps({"success": True, "job_id": text, "status": "ready"}),
    "credits": lambda text: json.dumps(
        {"success": True, "credits_info": {"credits_remaining": text}}
    ),
    "no credits": lambda text: json.dumps({"success": True, "credits_info": text}),
    "a download": lambda text: json.dumps({"success": True, "what": text}),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("echo", ["plain", "odd"])
async def test_no_text_that_was_cut_keeps_a_part_of_the_key(
    body: str, echo: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    key = PLAIN if echo == "plain" else KEY
    padding = 0

    async def respond(arrived: Arrived) -> bytes:
        query = arrived.target.partition("apikey=")[2]
        text = "." * padding + (key if padding % 2 else query)
        status = 503 if padding % 3 == 0 else 200
        return http(BODIES[body](text).encode(), status, "application/json")

    caplog.set_level(logging.DEBUG)
    async with (
        wire(respond) as (url, _),
        Client(
            key, base_url=url, attempts=2, backoff=wait_none(), requests_per_minute=None
        ) as client,
    ):
        job = client.job("job1")
        calls = (
            job.status,
            client.credits,
            lambda: job.download(tmp_path / "out", verdicts=["unknown"]),
        )
        for padding in (15, 22, 30, 37, 47, 54, 60, 150, 157, 165, 175, 186, 193, 204):
            for call in calls:
                try:
                    told: object = await call()
                except BulkVerifyError as error:
                    assert_redacted(f"{error!r} {vars(error)}", key)
                    if padding in {30, 186}:
                        assert_redacted(texts_of(error), key)
                    told = pickle.dumps(error)
                assert_redacted(str(told), key)
    assert_redacted(caplog.text, key)


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [TELLING, 20, len(PLAIN) - 1, len(PLAIN)])
async def test_a_key_that_the_service_truncated_is_redacted(size: int) -> None:
    async def respond(_: Arrived) -> bytes:
        return http(
            json.dumps({"success": False, "result": f"no ?apikey={PLAIN[:size]}"}).encode(), 400
        )

    async with wire(respond) as (url, _), Client(PLAIN, base_url=url) as client:
        with pytest.raises(BulkVerifyError) as caught:
            await client.credits()
        assert caught.value.text == "no ?apikey=***"  # type: ignore[attr-defined]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "results",
    [
        f"Email,?apikey={PLAIN}\na,b\n",
        f"Email,{'.' * 20}{PLAIN}\na,b\n",
        f"Email,Verification Result\na@example.com,{PLAIN}\n",
        f"Email,Verification Result,Verified At\na@example.com,unknown,{PLAIN}\n",
        f"Email,Verification Result\na@example.com,unknown,{PLAIN}\n",
    ],
    ids=["a header", "a header that is cut", "a verdict", "a time", "too many cells"],
)
async def test_no_error_of_the_rows_keeps_the_key(results: str) -> None:
    async def respond(arrived: Arrived) -> bytes:
        if "/download" in arrived.target:
            return http(results.encode(), content_type="text/csv")
        return http(b'{"success": true, "job_id": "job1", "status": "completed", "total": 1}')

    async with wire(respond) as (url, _), Client(PLAIN, base_url=url) as client:
        with pytest.raises(ProtocolError) as caught:
            async for _row in client.rows("job1"):
                pass
        assert_redacted(texts_of(caught.value), PLAIN)


@pytest.mark.asyncio
async def test_no_note_of_a_run_keeps_a_part_of_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(outages, "LONGEST_OUTAGE", 0.05)
    notes = io.StringIO()
    async with Sandbox(speed=2000, api_key=PLAIN, requests_per_minute=None) as sandbox:
        for number, endpoint in enumerate(("upload", "start", "download")):
            for padding in (150, 170, 190):
                # An unknown refusal leaves a start uncertain, so its status is requested.
                known = "Verify restricted" if endpoint == "start" else ""
                echo = json.dumps({"success": False, "result": f"{known:.<{padding}}{PLAIN}"})
                sandbox.inject(fault(endpoint, FaultKind.ANSWER, status=400, body=echo, times=1))
                async with Client(
                    PLAIN, base_url=sandbox.url, backoff=wait_none(), requests_per_minute=None
                ) as client:
                    output = tmp_path / f"{number}-{padding}.csv"
                    with pytest.raises(BulkVerifyError) as caught:
                        await verify_list(
                            client,
                            ["a@example.com", "b@example.com"],
                            output,
                            wait=FAST,
                            on_progress=lambda progress: notes.write(repr(progress)),
                        )
                    assert_redacted(texts_of(caught.value), PLAIN)
    assert notes.getvalue()
    assert_redacted(notes.getvalue(), PLAIN)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert_redacted(path.read_text(errors="replace"), PLAIN)


@pytest.mark.asyncio
async def test_no_error_of_results_in_a_run_keeps_the_key(tmp_path: Path) -> None:
    body = f"Email,{'.' * 25}{PLAIN}\na@example.com,unknown\nb@example.com,unknown\n"
    async with Sandbox(speed=2000, api_key=PLAIN, requests_per_minute=None) as sandbox:
        sandbox.inject(
            fault(
                "download",
                FaultKind.ANSWER,
                status=200,
                body=body,
                headers={"Content-Type": "text/csv"},
                times=None,
            )
        )
        async with Client(PLAIN, base_url=sandbox.url, requests_per_minute=None) as client:
            with pytest.raises(BulkVerifyError) as caught:
                await verify_list(
                    client, ["a@example.com", "b@example.com"], tmp_path / "out.csv", wait=FAST
                )
            assert "Verification Result" in str(caught.value)
            assert_redacted(texts_of(caught.value), PLAIN)
    for path in tmp_path.rglob("run.json"):
        assert_redacted(path.read_text(), PLAIN)
