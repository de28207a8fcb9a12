"""The calls that cost credits or can't be undone, with safe handling of lost answers.

An upload or a single address is not sent again once it may have arrived, because the service charges for
each. A start or a deletion is sent again, because the service recognises repetitions.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from bulkverify.errors import (
    AlreadyStartedError,
    AuthenticationError,
    ClientClosedError,
    ConnectionFailedError,
    InsufficientCreditsError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    ServiceError,
    StartUncertainError,
    TransportError,
    UnexpectedRedirectError,
    UploadUncertainError,
    VerifyUncertainError,
)
from bulkverify.lifecycle import JobStatus, satisfies
from bulkverify.models import Acknowledgement, AddressVerdict
from bulkverify.service import calls as wire
from bulkverify.service.answers import TIMED_OUT, Endpoint, begins_with
from bulkverify.service.calls import Call
from bulkverify.service.transport import Transport

_ENDED_BADLY: Final[Mapping[JobStatus, type[JobFailedError | JobCancelledError]]] = {
    JobStatus.FAILED: JobFailedError,
    JobStatus.CANCELLED: JobCancelledError,
}


_REFUSED: Final = (AuthenticationError, InsufficientCreditsError, RateLimitedError)
"""Refusals that the contract allows for any call."""

# The texts of refusals that the contract allows for each call. The last two of `START` mean that the list
# has ended.
_REFUSALS: Final[Mapping[Endpoint, tuple[str, ...]]] = {
    Endpoint.UPLOAD: ("invalid file data", "the maximum number of", "verify restricted"),
    Endpoint.START: (
        "job not found",
        "job is not ready for verification",
        "the maximum number of",
        "verify restricted",
        "job is cancelled",
        "unable to process your job",
    ),
    Endpoint.VERIFY: ("invalid request", "verify restricted", TIMED_OUT),
}


def may_be_paid(error: TransportError | ServiceError, endpoint: Endpoint) -> bool:
    """Return whether a call that ended in `error` may have cost credits.

    Only a refusal that the contract allows for this call proves that nothing was done. Any other may come
    from a proxy, after the service has done the work.
    """
    if isinstance(error, ServerError):
        return True
    if isinstance(error, ServiceError):
        refused = isinstance(error, _REFUSED) or begins_with(error.text, *_REFUSALS[endpoint])
        return not refused
    return isinstance(error, UnexpectedRedirectError) or _may_have_arrived(error)


def _may_have_arrived(error: TransportError | ServiceError) -> bool:
    """Return whether a call that costs nothing may have had an effect. A refusal proves that it had none."""
    if isinstance(error, ConnectionFailedError | RequestTimeoutError):
        return error.sent
    if isinstance(error, ServiceError):
        return isinstance(error, ServerError)
    return not isinstance(error, UnexpectedRedirectError | ClientClosedError)


async def upload(
    transport: Transport, call: Call[Acknowledgement], *, auto_verify: bool
) -> Acknowledgement:
    """Upload a list, and retry only after attempts that certainly did not arrive."""
    try:
        return await transport.call(call)
    except (TransportError, ServiceError) as error:
        paid = auto_verify and may_be_paid(error, call.endpoint)
        if not (paid or _may_have_arrived(error)):
            raise
        what = f"of '{call.file.filename}'" if call.file else "of rows"
        consequence = (
            "With auto_verify, a list that arrived is being verified and paid for right now"
            if auto_verify
            else "A list that arrived costs nothing until it is started"
        )
        raise UploadUncertainError(
            f"The answer to the upload {what} was lost: {error.message} The list may or may not be on the "
            f"service, and it was not sent again. {consequence}; look for it among your lists on the service "
            "before you upload it again.",
            auto_verify=auto_verify,
        ) from error


async def verify(transport: Transport, call: Call[AddressVerdict]) -> AddressVerdict:
    """Verify one address, and retry only after attempts that certainly did not arrive."""
    try:
        return await transport.call(call)
    except (TransportError, ServiceError) as error:
        if not may_be_paid(error, call.endpoint):
            raise
        raise VerifyUncertainError(
            f"The answer for one address was lost: {error.message} It was not requested again, because each "
            "request costs a credit."
        ) from error


async def start(transport: Transport, job_id: str) -> Acknowledgement:
    """Start a job. After a lost answer, look the job up before the next attempt.

    A refusal that the contract allows proves that a start had no effect. After any other answer, or a lost one,
    only the job's status or an `AlreadyStartedError` of a second start proves that the first one arrived.
    Other refusals of a second start may come from a lagging replica, and prove nothing.

    Raises:
        StartUncertainError: no answer proves whether the start arrived.
        JobFailedError, JobCancelledError: the start may have arrived, and the job has ended.
    """

    async def already_verifying() -> Acknowledgement | None:
        try:
            snapshot = await transport.once(wire.status(job_id))
        except ServiceError as error:
            if isinstance(error, RateLimitedError | ServerError):
                raise
            return None  # the next start gets the same refusal
        if snapshot.status in _ENDED_BADLY:
            raise _ENDED_BADLY[snapshot.status](
                f"The status of job {job_id} is '{snapshot.status}'. Its start may have arrived before that, "
                "so its credits may be spent.",
                job_id=job_id,
                snapshot=snapshot,
            )
        # The status may stay `ready` for a while after a start.
        if satisfies(snapshot.status, JobStatus.VERIFYING):
            return Acknowledgement(job_id=job_id, message=snapshot.message)
        return None

    def uncertain(error: TransportError | ServiceError) -> StartUncertainError:
        return StartUncertainError(
            f"It is unknown whether the start of job {job_id} arrived: {error.message} Start it again: if the "
            "first start arrived, the service says so and charges nothing.",
            job_id=job_id,
        )

    return await _repeat(
        transport,
        wire.start(job_id),
        done=AlreadyStartedError,
        arrived=partial(may_be_paid, endpoint=Endpoint.START),
        look_up=already_verifying,
        uncertain=uncertain,
    )


async def delete(transport: Transport, job_id: str) -> Acknowledgement:
    """Delete a list. After a lost answer, a list that is not found counts as deleted."""
    return await _repeat(
        transport, wire.delete(job_id), done=JobNotFoundError, arrived=_may_have_arrived
    )


async def _repeat(
    transport: Transport,
    call: Call[Acknowledgement],
    *,
    done: type[ServiceError],
    arrived: Callable[[TransportError | ServiceError], bool],
    look_up: Callable[[], Awaitable[Acknowledgement | None]] | None = None,
    uncertain: Callable[[TransportError | ServiceError], TransportError] | None = None,
) -> Acknowledgement:
    """Send a call until it is answered.

    Args:
        transport: sends it.
        call: the call.
        done: the refusal which, after a lost answer, proves that the lost attempt has succeeded.
        arrived: returns whether an attempt that ended in an error may have had an effect.
        look_up: called after a lost answer; returns an acknowledgement if that attempt has succeeded.
        uncertain: makes the error to raise if an answer was lost and no attempt succeeded.
    """
    lost = False

    async def attempt() -> Acknowledgement:
        nonlocal lost
        if lost and look_up is not None and (found := await look_up()) is not None:
            return found
        try:
            return await transport.once(call)
        except done as error:
            if not lost:
                raise
            return Acknowledgement(job_id=call.path.rpartition("/")[2], message=error.text)
        except (TransportError, ServiceError) as error:
            lost = lost or arrived(error)
            raise

    try:
        return await transport.retrying(attempt, repeatable=True)
    except (TransportError, ServiceError) as error:
        if lost and uncertain is not None:
            raise uncertain(error) from error
        raise
