"""What can go wrong with a run, as branches of the tree in `bulkverify.errors`."""

from bulkverify.errors import BulkVerifyError, UsageError
from bulkverify.run.models import PartFailure, RunReport


class JournalError(UsageError):
    """The progress of an earlier run at `path` is in use, can't be read, or belongs to another list.

    Nothing was sent.
    """

    def __init__(self, message: str = "", *, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path


class IncompleteRunError(BulkVerifyError):
    """A run is over, and some parts of its list have no verdicts.

    `report` covers the other parts (`None` where the rows were given one by one). `failures` says for
    each failed part which rows it held, and why it failed. The same call goes on with these parts.
    """

    def __init__(
        self,
        message: str = "",
        *,
        report: RunReport | None = None,
        failures: tuple[PartFailure, ...] = (),
    ) -> None:
        super().__init__(message)
        self.report = report
        self.failures = failures
