"""Things that go wrong on purpose: which request they hit, and what happens to it."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import attrs

from bulkverify.sandbox.ledger import ENDPOINTS, Endpoint

_PROXY_PAGE: Final = (
    b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>"
    b"<body><h1>502 Bad Gateway</h1></body></html>\n"
)


class FaultKind(StrEnum):
    """What becomes of a request that a fault hits."""

    ANSWER = "answer"
    """The fault's answer comes instead of the work."""
    ANSWER_AFTER = "answer_after"
    """The work is done, and then the fault's answer comes instead of the true one."""
    DROP = "drop"
    """The connection is closed without any work."""
    DROP_AFTER = "drop_after"
    """The work is done, and then the connection is closed without an answer."""
    HANG = "hang"
    """Nothing happens for `delay` seconds, or until the sandbox closes if there are none; then as `DROP`."""
    DELAY = "delay"
    """The work is done, but only after the delay."""
    TRUNCATE = "truncate"
    """Only the first half of the download's bytes comes, and then the connection is closed."""
    TRUNCATE_CLEANLY = "truncate_cleanly"
    """Only the first half of the download's rows comes, in an answer that looks complete."""
    STALE = "stale"
    """The status is that of the step before, as a lagging replica would give it."""


_ONLY_AT: Final[Mapping[FaultKind, Endpoint]] = MappingProxyType(
    {
        FaultKind.TRUNCATE: "download",
        FaultKind.TRUNCATE_CLEANLY: "download",
        FaultKind.STALE: "status",
    }
)


@attrs.frozen(kw_only=True)
class Fault:
    """A fault to inject.

    Attributes:
        kind: what becomes of the request.
        endpoint: which requests it hits; `None` for all that `kind` can hit.
        job_id: hits only requests about this list.
        skip: how many of those requests pass unharmed first.
        times: how many are hit after them; `None` for all.
        delay: how many seconds, of real time, pass before it takes effect.
        status: the HTTP status to answer.
        body: what to answer.
        headers: headers of the answer.
    """

    kind: FaultKind = attrs.field(converter=FaultKind)
    endpoint: Endpoint | None = attrs.field(
        default=None, validator=attrs.validators.in_((None, *ENDPOINTS))
    )
    job_id: str | None = None
    skip: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    times: int | None = 1
    delay: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    status: int = 502
    body: bytes | str = _PROXY_PAGE
    headers: Mapping[str, str] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Refuse a fault that could never take effect."""
        if self.times is not None and self.times < 0:
            raise ValueError(f"A fault cannot happen {self.times} times")
        only = _ONLY_AT.get(self.kind)
        if only is not None and self.endpoint not in {None, only}:
            raise ValueError(f"The fault {self.kind} can hit {only} only, not {self.endpoint}")

    def fits(self, endpoint: Endpoint, job_id: str | None) -> bool:
        """Tell whether it is meant for such a request."""
        meant = self.endpoint or _ONLY_AT.get(self.kind) or endpoint
        return meant == endpoint and self.job_id in {None, job_id}


@attrs.define(eq=False)
class _Injected:
    fault: Fault
    seen: int = 0

    @property
    def used_up(self) -> bool:
        fault = self.fault
        return fault.times is not None and self.seen >= fault.skip + fault.times


@attrs.define(eq=False)
class Faults:
    """The faults that wait for their request, the first injected first."""

    _injected: list[_Injected] = attrs.field(factory=list, init=False)

    def inject(self, fault: Fault) -> None:
        """Let `fault` happen from now on."""
        self._injected.append(_Injected(fault))

    def draw(self, endpoint: Endpoint, job_id: str | None) -> Fault | None:
        """Say what goes wrong with this request; at most one fault does, and it is used up by it."""
        for injected in self._injected:
            if injected.used_up or not injected.fault.fits(endpoint, job_id):
                continue
            injected.seen += 1
            if injected.seen > injected.fault.skip:
                return injected.fault
        return None
