"""The request of each call, and how to parse its answer. This module does no I/O.

The facts come from the vendors' documentation and from programs that use the service. The requests lack the
API key, which the last middleware adds.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, Generic, NamedTuple, TypeVar

import attrs
from cattrs import transform_error

from bulkverify.errors import ProtocolError, UsageError, clause
from bulkverify.limits import LATE_VERIFY_SECONDS, LONGEST_VERIFY_SECONDS, SHORTEST_VERIFY_SECONDS
from bulkverify.models import (
    Acknowledgement,
    AddressVerdict,
    Credits,
    JobSnapshot,
    Verdict,
    parse_verdict,
)
from bulkverify.service.answers import Answer, Endpoint, accepted, excerpt
from bulkverify.service.converter import converter, structure_snapshot

T = TypeVar("T")
ModelT = TypeVar("ModelT")

LARGEST_ANSWER_BYTES: Final = 1024 * 1024
"""Larger answers are not read to their end. Downloads have a limit of their own."""

LARGEST_RESULTS_BYTES: Final = 1024 * 1024 * 1024
"""Larger results are not read to their end. Every valid list has smaller ones."""

# The service's names of fields that our models name differently.
_SERVICE_NAMES: Final = {"verdict": "result", "remaining": "credits_remaining"}

_JOB_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


@attrs.frozen(kw_only=True)
class FilePart:
    """A list as a file in a multipart form."""

    filename: str
    content: bytes = attrs.field(repr=False)
    fields: Mapping[str, str] = attrs.field(factory=dict)


class Call(NamedTuple, Generic[T]):
    """A request, and the function that parses its answer. It is a tuple for speed, because every poll makes one.

    `path` is relative to the base URL. A `repeatable` request is safe to send twice. `read_timeout` is how
    many seconds the service may stay silent; `None` for the client's timeout.
    """

    endpoint: Endpoint
    method: str
    path: str
    parse: Callable[[Answer], T]
    query: Mapping[str, str] = MappingProxyType({})
    json: bytes | None = None
    file: FilePart | None = None
    repeatable: bool = True
    read_timeout: float | None = None

    def __repr__(self) -> str:
        return f"<Call of {self.endpoint}: {self.method} {self.path}>"


def upload_file(content: bytes, filename: str, *, auto_verify: bool) -> Call[Acknowledgement]:
    """Upload a list as a CSV file."""
    fields = {"auto_verify": "true"} if auto_verify else {}
    return Call(
        endpoint=Endpoint.UPLOAD,
        method="POST",
        path="bulk",
        file=FilePart(filename=filename, content=content, fields=fields),
        parse=_parse_upload,
        repeatable=False,
    )


def rows_to_json(rows: Iterable[Mapping[str, object]]) -> bytes:
    """Encode rows for `upload_rows`; each has its address under `email`."""
    return _to_json([dict(row) for row in rows])[1:-1]  # json encodes only dicts


def upload_rows(
    encoded: Iterable[bytes], *, auto_verify: bool, title: str | None
) -> Call[Acknowledgement]:
    """Upload a list as rows that `rows_to_json` has encoded."""
    body: dict[str, object] = {"emails": []}
    if auto_verify:  # never "false", because a service may take any value as true
        body["auto_verify"] = "true"
    if title is not None:
        body["title"] = title
    beginning, _, rest = _to_json(body).partition(b"[]")
    return Call(
        endpoint=Endpoint.UPLOAD,
        method="POST",
        path="bulk",
        json=b"".join([beginning, b"[", b", ".join(encoded), b"]", rest]),
        parse=_parse_upload,
        repeatable=False,
    )


def status(job_id: str) -> Call[JobSnapshot]:
    """Ask how a job is doing."""

    def parse(answer: Answer) -> JobSnapshot:
        payload = accepted(answer, Endpoint.STATUS, job_id)
        if payload.get("job_id", job_id) == job_id:
            payload["job_id"] = job_id  # all snapshots of a job share one string
        snapshot = structure_snapshot(payload)
        if snapshot is None:
            snapshot = _structure(payload, JobSnapshot, Endpoint.STATUS, answer)
        _require_same_job(snapshot.job_id, job_id, answer)
        return snapshot

    return Call(endpoint=Endpoint.STATUS, method="GET", path=_job_path(job_id), parse=parse)


def start(job_id: str) -> Call[Acknowledgement]:
    """Start the verification of a ready job, which spends the credits."""
    return Call(
        endpoint=Endpoint.START,
        method="PATCH",
        path=_job_path(job_id),
        json=b'{"action": "start"}',
        parse=_acknowledgement_of(job_id, Endpoint.START),
        repeatable=False,
    )


def download(job_id: str, verdicts: Iterable[Verdict | str] | None = None) -> Call[None]:
    """Ask for a job's results as CSV. `parse` is for answers that are not CSV, and always raises."""

    def parse(answer: Answer) -> None:
        accepted(answer, Endpoint.DOWNLOAD, job_id)
        raise ProtocolError(
            f"The download of job {job_id} was answered with JSON instead of a CSV file: "
            f"{excerpt(answer.body)!r}",
            status=answer.status,
        )

    check_job_id(job_id)
    return Call(
        endpoint=Endpoint.DOWNLOAD,
        method="POST",
        path="download",
        query={"jobId": job_id},
        json=None if verdicts is None else _to_json({"filterResult": _verdict_names(verdicts)}),
        parse=parse,
    )


def delete(job_id: str) -> Call[Acknowledgement]:
    """Delete a ready or completed list from the service."""
    return Call(
        endpoint=Endpoint.DELETE,
        method="DELETE",
        path=_job_path(job_id),
        parse=_acknowledgement_of(job_id, Endpoint.DELETE),
    )


def verify(address: str, *, timeout: float | None = None) -> Call[AddressVerdict]:
    """Verify one address, which costs one credit; the service takes a timeout of 30 to 180 seconds."""

    def parse(answer: Answer) -> AddressVerdict:
        payload = accepted(answer, Endpoint.VERIFY)
        payload.setdefault("email", address)
        return _structure(payload, AddressVerdict, Endpoint.VERIFY, answer)

    if not address.strip():
        raise UsageError("There is no address to verify: give one such as 'someone@example.com'.")
    if any("\ud800" <= character <= "\udfff" for character in address):
        raise UsageError(f"{address[:60]!r} can't be sent: it contains half of a surrogate pair.")
    query = {"email": address.strip()}
    if timeout is not None:
        if not SHORTEST_VERIFY_SECONDS <= timeout <= LONGEST_VERIFY_SECONDS:
            raise UsageError(
                f"The service takes a timeout of {SHORTEST_VERIFY_SECONDS:g} to {LONGEST_VERIFY_SECONDS:g} seconds "
                f"for one address, not {timeout:g}."
            )
        query["timeout"] = str(round(timeout * 1000))
    return Call(
        endpoint=Endpoint.VERIFY,
        method="GET",
        path="verify",
        query=query,
        parse=parse,
        repeatable=False,
        read_timeout=(timeout or LONGEST_VERIFY_SECONDS) + LATE_VERIFY_SECONDS,
    )


def credits_left() -> Call[Credits]:
    """Ask how many credits the account has left."""

    def parse(answer: Answer) -> Credits:
        payload = accepted(answer, Endpoint.CREDITS)
        info = payload.get("credits_info")
        if not isinstance(info, dict):
            problem = (
                "required field missing" if info is None else f"{repr(info)[:60]} does not fit"
            )
            raise _misfit("credits_info", problem, Endpoint.CREDITS, answer)
        return _structure(info, Credits, Endpoint.CREDITS, answer, prefix="credits_info")

    return Call(endpoint=Endpoint.CREDITS, method="GET", path="info", parse=parse)


def is_results(answer_status: int, content_type: str, beginning: bytes) -> bool:
    """Return whether an answer is a results file, by its status, content type and first bytes."""
    kind = content_type.partition(";")[0].strip().lower()
    start_of_text = beginning.removeprefix(b"\xef\xbb\xbf").lstrip()[:9].lower()
    return (
        HTTPStatus.OK <= answer_status < HTTPStatus.MULTIPLE_CHOICES
        and kind not in {"application/json", "text/html"}
        and not start_of_text.startswith((b"{", b"<!doctype", b"<html"))
    )


def _parse_upload(answer: Answer) -> Acknowledgement:
    payload = accepted(answer, Endpoint.UPLOAD)
    acknowledgement = _structure(payload, Acknowledgement, Endpoint.UPLOAD, answer)
    if not _JOB_ID.fullmatch(acknowledgement.job_id):
        raise _misfit("job_id", "not the form of a job id", Endpoint.UPLOAD, answer)
    return acknowledgement


def _acknowledgement_of(job_id: str, endpoint: Endpoint) -> Callable[[Answer], Acknowledgement]:
    def parse(answer: Answer) -> Acknowledgement:
        payload = accepted(answer, endpoint, job_id)
        payload.setdefault("job_id", job_id)
        acknowledgement = _structure(payload, Acknowledgement, endpoint, answer)
        _require_same_job(acknowledgement.job_id, job_id, answer)
        return acknowledgement

    return parse


def check_job_id(job_id: str) -> None:
    """Raise `UsageError` for a malformed job id."""
    if not _JOB_ID.fullmatch(job_id):
        raise UsageError(
            f"{job_id[:60]!r} is not a job id: those consist of letters, digits, '-' and '_'."
        ).with_hint(
            "Use the `id` of the job that an upload returned.",
            "Use the id that `bulkverify upload` printed.",
        )


def _job_path(job_id: str) -> str:
    check_job_id(job_id)
    return f"bulk/{job_id}"


def _verdict_names(verdicts: Iterable[Verdict | str]) -> list[str]:
    try:
        names = [parse_verdict(verdict).name.lower() for verdict in verdicts]
    except ValueError as error:
        raise UsageError(f"{clause(error)}; the four are {', '.join(Verdict)}.") from None
    if not names:
        raise UsageError("A download needs at least one verdict.").with_hint(
            "Leave `verdicts` out for all.", "Leave --only out for all."
        )
    return names


def _to_json(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        problem = str(error)
    raise UsageError(
        f"The rows can't be sent as JSON: {clause(problem)}. Turn such values into text first."
    )


def _structure(
    payload: dict[str, Any],
    model: type[ModelT],
    endpoint: Endpoint,
    answer: Answer,
    prefix: str = "",
) -> ModelT:
    try:
        return converter.structure(payload, model)
    except Exception as error:  # noqa: BLE001 - the hooks may raise any error
        problems = transform_error(error, path="$")
    # Raised outside the handler, so that the error's context does not hold the payload.
    problem, _, path = problems[0].rpartition(" @ ")
    raise _misfit(*_locate(payload, path, problem, prefix), endpoint, answer)


def _locate(payload: object, path: str, problem: str, prefix: str) -> tuple[str, str]:
    """Return the service's name of the field that does not fit, and what is wrong with it."""
    found = [prefix] if prefix else []
    for name in path.split(".")[1:]:
        if not isinstance(payload, dict):
            problem = "expected an object"
            break
        spelled = _SERVICE_NAMES.get(name, name)
        found.append(spelled)
        if spelled not in payload:
            return ".".join(found), problem
        payload = payload[spelled]
    return ".".join(found), f"{repr(payload)[:60]} does not fit ({problem})"


def _misfit(path: str, problem: str, endpoint: Endpoint, answer: Answer) -> ProtocolError:
    return ProtocolError(
        f"The answer to the {endpoint} call has an unexpected form at `{path}`: {clause(problem)}. "
        "Upgrade bulkverify, or report this if there is no newer version.",
        path=path,
        status=answer.status,
    )


def _require_same_job(answered: str, asked: str, answer: Answer) -> None:
    if answered != asked:
        raise ProtocolError(
            f"The service was asked about job {asked} and answered about {answered[:60]!r}; "
            "the answer was not used. A cache in front of the service may have caused this.",
            path="job_id",
            status=answer.status,
        )
