"""Counters that are wrong on purpose."""

from typing import Final

import attrs

from bulkverify.models import JobSnapshot
from bulkverify.sandbox.faults import FaultKind

_TOO_MANY: Final = 10
"""One more for every so many, and one at least."""


@attrs.define(eq=False)
class Miscounter:
    """Makes the counters of lists that are verifying wrong."""

    _stuck: dict[str, int] = attrs.field(factory=dict, init=False)

    def miscount(self, snapshot: JobSnapshot, kind: FaultKind | None) -> JobSnapshot:
        """Return what the service says instead of the truth; the truth, if it is no fault of counting."""
        total, verified = snapshot.total, snapshot.verified
        if total is None or verified is None:
            return snapshot
        match kind:
            case FaultKind.COUNTERS_JUMP:
                said = total
            case FaultKind.COUNTERS_BACK:
                said = verified // 2
            case FaultKind.COUNTERS_OVER:
                said = total + max(1, total // _TOO_MANY)
            case FaultKind.COUNTERS_STUCK:
                said = self._stuck.setdefault(snapshot.job_id, verified)
            case _:
                return snapshot
        return attrs.evolve(snapshot, verified=said, pending=max(0, total - said))
