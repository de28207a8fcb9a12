"""The meaning of answers: every refusal of the contract in every spelling, and unreadable answers."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkverify.errors import (
    AccountRestrictedError,
    AlreadyStartedError,
    AuthenticationError,
    BulkVerifyError,
    InsufficientCreditsError,
    InvalidListError,
    InvalidRequestError,
    JobNotFoundError,
    ListLimitError,
    NotReadyError,
    ProtocolError,
    RateLimitedError,
    ServerError,
    ServiceError,
    UnexpectedRedirectError,
    UnreadableAnswerError,
)
from bulkverify.service.answers import Answer, Endpoint, accepted, excerpt, retry_after

JOB_ID = "r374aki32rnatv868nntpxloc7dkilszc3eu"

# The contract's table, with its shortened texts.
REFUSALS: list[tuple[Endpoint, int, str, type[ServiceError]]] = [
    (Endpoint.CREDITS, 401, "Invalid API Key", AuthenticationError),
    (Endpoint.STATUS, 429, "Too Many Requests", RateLimitedError),
    (Endpoint.STATUS, 400, "Job not found. Invalid jobId", JobNotFoundError),
    (Endpoint.STATUS, 400, "Job not found", JobNotFoundError),
    (Endpoint.UPLOAD, 400, "Invalid file data", InvalidListError),
    (Endpoint.UPLOAD, 400, "The maximum number of lists has been reached.", ListLimitError),
    (
        Endpoint.START,
        400,
        "The maximum number of active verification lists has been reached.",
        ListLimitError,
    ),
    (Endpoint.START, 400, "Verify restricted", AccountRestrictedError),
    (Endpoint.START, 400, "Verification has already started.", AlreadyStartedError),
    (
        Endpoint.START,
        400,
        "Job is not ready for verification, please call the /status endpoint …",
        NotReadyError,
    ),
    (
        Endpoint.START,
        402,
        "Insufficient verification credits. Please order a plan.",
        InsufficientCreditsError,
    ),
    (Endpoint.DOWNLOAD, 400, "DOWNLOAD-RESTRICTED", AccountRestrictedError),
    (
        Endpoint.DOWNLOAD,
        400,
        "Invalid filterResult. Please provide correct filterResult options",
        InvalidRequestError,
    ),
    (
        Endpoint.DOWNLOAD,
        400,
        "Job is being verified, please wait until it completes.",
        NotReadyError,
    ),
    (
        Endpoint.DOWNLOAD,
        400,
        "Job is ready for verification, please start verification …",
        NotReadyError,
    ),
    (Endpoint.DOWNLOAD, 400, "Job is being prepared for verification, …", NotReadyError),
    (
        Endpoint.DOWNLOAD,
        400,
        "List cannot be downloaded, The uploaded list contains invalid data.",
        InvalidListError,
    ),
    (Endpoint.DELETE, 400, "List is being processed, and cannot be deleted.", NotReadyError),
    (Endpoint.DELETE, 400, "List not found, may be already deleted.", JobNotFoundError),
    (Endpoint.VERIFY, 400, "Invalid request. Required email.", InvalidRequestError),
    (Endpoint.VERIFY, 402, "insufficient credits", InsufficientCreditsError),
]
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as documented": lambda text: text,
    "in lower case": str.lower,
    "in upper case": str.upper,
    "spaced out": lambda text: f"  {text} ".replace(" ", "  "),
    "over two lines": lambda text: text.replace(" ", "\n", 1),
    "with a final full stop": lambda text: f"{text.rstrip('.')}.",
    "without a final full stop": lambda text: text.rstrip("."),
}
FORMS: dict[str, Callable[[str], object]] = {
    "result": lambda text: {"result": text, "success": False},
    "message": lambda text: {"success": False, "message": text},
    "a false that is text": lambda text: {"success": "false", "result": text},
    "a null beside it": lambda text: {"success": False, "result": None, "message": text},
    "no success at all": lambda text: {"result": text},
}


def answer(body: object, status: int = 200, **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, headers=headers, body=raw)


def refused(body: object, status: int = 400, **headers: str) -> BulkVerifyError:
    with pytest.raises(BulkVerifyError) as info:
        accepted(answer(body, status, **headers), Endpoint.STATUS, JOB_ID)
    assert info.value.__cause__ is None
    assert info.value.__context__ is None
    return info.value


@pytest.mark.parametrize(
    ("spelling", "form"),
    [
        *((spelling, "result") for spelling in SPELLINGS),
        *(("in lower case", form) for form in FORMS),
    ],
)
@pytest.mark.parametrize(("endpoint", "status", "text", "expected"), REFUSALS)
def test_a_refusal_is_recognized_in_every_spelling(  # noqa: PLR0917 - a row of the table
    endpoint: Endpoint,
    status: int,
    text: str,
    expected: type[ServiceError],
    spelling: str,
    form: str,
) -> None:
    said = SPELLINGS[spelling](text)
    with pytest.raises(ServiceError) as info:
        accepted(answer(FORMS[form](said), status), endpoint)
    assert type(info.value) is expected
    assert info.value.status == status
    assert info.value.text.split() == said.split()
    assert " ".join(info.value.text.split()) in " ".join(str(info.value).split())
    assert "\n" not in str(info.value)


# The contract's texts in full.
TEXTS = [
    *((endpoint, status, text) for endpoint, status, text, _ in REFUSALS),
    (
        Endpoint.START,
        400,
        "Job is not ready for verification, please call the /status endpoint and start verification once the status of the job turns to ready.",
    ),
    (
        Endpoint.DOWNLOAD,
        400,
        "Job is ready for verification, please start verification and download your results once list verified.",
    ),
    (
        Endpoint.DOWNLOAD,
        400,
        "Job is being prepared for verification, please start verifying and then download you result.",
    ),
    (Endpoint.VERIFY, 402, "Insufficient verification credits"),
    (Endpoint.VERIFY, 200, "Validation timedout"),
    (Endpoint.STATUS, 503, "Please wait"),
    (Endpoint.STATUS, 404, "Please wait"),
]


@pytest.mark.parametrize("end", ["", ".", "...", ". . ."])
@pytest.mark.parametrize(("endpoint", "status", "text"), TEXTS)
@pytest.mark.parametrize("form", [*FORMS, "no JSON"])
def test_no_message_doubles_a_full_stop(
    endpoint: Endpoint, status: int, text: str, end: str, form: str
) -> None:
    said = f"{text.rstrip('. …')}{end}"
    body = said.encode() if form == "no JSON" else FORMS[form](said)
    with pytest.raises(BulkVerifyError) as info:
        accepted(answer(body, max(status, 400)), endpoint, JOB_ID)
    for message in (str(info.value), info.value.shell_hint):
        assert not re.search(r"\.\W*\.", message), message


@pytest.mark.parametrize(
    ("endpoint", "after"),
    [
        (Endpoint.START, "order credits, then start the job again."),
        (Endpoint.UPLOAD, "order credits, then upload the list again."),
        (Endpoint.VERIFY, "order credits, then verify the address again."),
        (Endpoint.STATUS, "order credits."),
    ],
)
def test_what_to_do_without_credits_depends_on_the_call(endpoint: Endpoint, after: str) -> None:
    with pytest.raises(InsufficientCreditsError) as info:
        accepted(answer({"result": "Insufficient verification credits"}, 402), endpoint)
    assert str(info.value).endswith(f"Nothing was spent; {after}")


@pytest.mark.parametrize("status", [200, 201, 400, 403, 404, 409, 422])
@pytest.mark.parametrize(
    ("text", "expected"),
    [(text, kind) for _, status, text, kind in REFUSALS if status != 429],
)
def test_the_text_decides_where_the_status_code_does_not(
    text: str, expected: type[ServiceError], status: int
) -> None:
    error = refused({"success": False, "result": text}, status)
    assert type(error) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, AuthenticationError),
        (402, InsufficientCreditsError),
        (413, InvalidListError),
        (429, RateLimitedError),
        (500, ServerError),
        (502, ServerError),
        (503, ServerError),
        (520, ServerError),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>Sorry</html>", b"[]", {"result": "Job not found"}])
def test_some_status_codes_decide_without_the_body(
    status: int, expected: type[ServiceError], body: object
) -> None:
    error = refused(body, status)
    assert type(error) is expected
    assert error.status == status


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"success": False, "result": "The moon is full"}, "The moon is full"),
        ({"success": "FALSE ", "message": "The moon is full"}, "The moon is full"),
        ({"success": False, "error": "The moon is full"}, "The moon is full"),
        ({"success": False, "result": ["x"], "message": "The moon is full"}, "The moon is full"),
        ({"success": False, "result": "", "message": "The moon is full"}, "The moon is full"),
        ({"success": False, "result": "Not a job not found"}, "Not a job not found"),
        ({"success": False}, '{"success": false}'),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 418])
def test_an_unknown_refusal_keeps_its_text(body: object, text: str, status: int) -> None:
    error = refused(body, status)
    assert type(error) is ServiceError
    assert (error.status, error.text) == (status, text)
    assert f"the status call for job {JOB_ID}: {status} {text}" in str(error)


def test_the_text_of_a_refusal_is_shortened() -> None:
    error = refused({"success": False, "result": "x" * 10_000})
    assert isinstance(error, ServiceError)
    assert error.text == "x" * 200
    assert len(str(error)) < 400


@pytest.mark.parametrize("success", [True, "true", None, 1, "yes"])
def test_an_object_without_a_refusal_is_accepted(success: object) -> None:
    body = {"success": success, "job_id": JOB_ID}
    assert accepted(answer(body), Endpoint.STATUS)["job_id"] == JOB_ID


def test_a_null_field_counts_as_missing() -> None:
    assert accepted(answer({"total": None, "verified": 0}), Endpoint.STATUS) == {"verified": 0}


@pytest.mark.parametrize("status", [200, 201, 299, 400, 403, 404])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"<!DOCTYPE html><html><body>Please wait</body></html>",
        b"Bad Request",
        b'{"success": tru',
        b"\xff\xfe\x00",
        b'{"success": true}{"success": true}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"total": 1' + b"0" * 5000 + b"}",
    ],
)
def test_an_answer_that_is_not_json_is_unreadable(body: bytes, status: int) -> None:
    error = refused(body, status)
    assert type(error) is UnreadableAnswerError
    assert (error.status, error.path) == (status, None)
    assert "is not JSON" in str(error)
    assert len(str(error)) < 500


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("body", [[], [1], "text", 5, 1.5, True, None])
def test_json_other_than_an_object_is_a_protocol_error(body: object, status: int) -> None:
    error = refused(body, status)
    assert type(error) is ProtocolError
    assert (error.path, error.status) == ("$", status)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 304])
@pytest.mark.parametrize("body", [b"", b"<html>", {"success": True}])
def test_a_redirect_is_refused(body: object, status: int) -> None:
    error = refused(body, status, Location="https://elsewhere.example/?apikey=secret")
    assert type(error) is UnexpectedRedirectError
    assert error.status == status
    assert "elsewhere" not in str(error)


@settings(deadline=None)
@given(
    body=st.one_of(
        st.binary(),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ).map(lambda value: json.dumps(value).encode()),
    ),
    status=st.integers(100, 999),
    endpoint=st.sampled_from(Endpoint),
)
def test_any_answer_is_an_object_or_one_of_our_errors(
    body: bytes, status: int, endpoint: Endpoint
) -> None:
    try:
        found = accepted(Answer(status=status, body=body), endpoint)
    except BulkVerifyError:
        return
    assert 200 <= status < 300
    assert None not in found.values()


# The requested pause


def test_a_refusal_names_its_call_and_its_job_if_any() -> None:
    said = answer({"success": False, "result": "Verify restricted"}, 400)
    with pytest.raises(
        AccountRestrictedError, match=f"refused the start call for job {JOB_ID}: 400"
    ):
        accepted(said, Endpoint.START, JOB_ID)
    with pytest.raises(AccountRestrictedError, match="refused the credits call: 400"):
        accepted(said, Endpoint.CREDITS)


def test_a_message_cannot_control_a_terminal() -> None:
    said = answer({"success": True, "message": "Done.\n\x1b[31mRed"}, 200)
    assert accepted(said, Endpoint.STATUS)["message"] == "Done.  [31mRed"


NOW = datetime(2024, 7, 19, 9, 8, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("Fri, 19 Jul 2024 09:08:56 GMT", 30.0),
        ("Fri, 19 Jul 2024 11:08:56 +0200", 30.0),
        ("Fri, 19 Jul 2024 09:08:56 -0000", 30.0),
        ("Friday, 19-Jul-24 09:08:56 GMT", 30.0),
        ("Fri, 19 Jul 2024 09:08:25 GMT", 0.0),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0),
    ],
)
@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
def test_a_pause_is_read_from_seconds_or_a_date(name: str, text: str, seconds: float) -> None:
    assert retry_after({"Date": "x", name: text}, now=NOW) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "soon",
            "-1",
            "1e3",
            "nan",
            "inf",
            "1" * 12,
            "Fri, 19 Jul",
            ",",
            "0 0",
            "Mon, 99",
        ),
        f"Fri, 01 Jan {'9' * 20} 00:00:00 GMT",
        f"Fri, 19 Jul 2024 09:08:56 +{'9' * 16}",
    ],
)
def test_an_unreadable_pause_is_ignored(text: str) -> None:
    assert retry_after({"Retry-After": text}, now=NOW) is None


def test_a_missing_header_gives_no_pause() -> None:
    assert retry_after({}) is None


def test_a_pause_until_a_date_counts_from_now() -> None:
    pause = retry_after({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"})
    assert pause is not None
    assert pause > 1e9


@settings(deadline=None)
@given(st.text())
def test_any_header_is_a_pause_or_is_ignored(text: str) -> None:
    pause = retry_after({"Retry-After": text}, now=NOW)
    assert pause is None or pause >= 0


@settings(deadline=None)
@given(st.text(alphabet="MonTueJanFeb 0123456789:+-,GMT", max_size=40))
def test_any_text_like_a_date_is_a_pause_or_is_ignored(text: str) -> None:
    pause = retry_after({"Retry-After": text}, now=NOW)
    assert pause is None or pause >= 0


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize(("headers", "pause"), [({"Retry-After": "7"}, 7.0), ({}, None)])
def test_temporary_errors_carry_the_pause(
    status: int, headers: dict[str, str], pause: float | None
) -> None:
    error = refused({"success": "false", "result": "Too Many Requests"}, status, **headers)
    assert isinstance(error, RateLimitedError | ServerError)
    assert error.retry_after == pause


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", ""),
        (b"  a\r\n\tb  ", "a b"),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
        (b"x" * 5000, "x" * 200),
        ("ä".encode() * 400, "ä" * 200),
    ],
)
def test_an_excerpt_is_one_short_line(body: bytes, expected: str) -> None:
    assert excerpt(body) == expected


def test_an_answer_shows_neither_its_headers_nor_its_body() -> None:
    shown = Answer(status=302, headers={"Location": "/?apikey=secret"}, body=b"secret")
    assert repr(shown) == "Answer(status=302)"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<HTML><SCRIPT>\nlet a;\n</SCRIPT>busy</HTML>", "busy"),
        (b"<html><style>\n.a {}\n</STYLE >busy<br\n/>now", "busy now"),
        (b"  \n<p>busy", "busy"),
        (b"1 < 2, and <b>3</b> > 2", "1 < 2, and <b>3</b> > 2"),
    ],
)
def test_an_excerpt_of_a_page_has_only_its_visible_text(body: bytes, said: str) -> None:
    assert excerpt(body) == said


def test_only_2xx_answers_are_accepted() -> None:
    body = b'{"success": true, "credits_info": {"credits_remaining": 1}}'
    for status in (200, 299):
        assert accepted(Answer(status=status, body=body), Endpoint.CREDITS)["success"]
    for status in (199, 300):
        with pytest.raises(BulkVerifyError):
            accepted(Answer(status=status, body=body), Endpoint.CREDITS)
