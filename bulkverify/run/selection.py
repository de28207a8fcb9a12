"""The rows that a caller wants, by their verdicts and flags."""

from collections.abc import Collection
from typing import get_args

from bulkverify.errors import UsageError, clause
from bulkverify.models import FlagName, Verdict, VerdictName


def wanted_verdicts(
    only: Collection[Verdict | VerdictName] | None,
) -> frozenset[Verdict] | None:
    """Return the verdicts that `only` names."""
    if only is None:
        return None
    try:
        wanted = frozenset(map(Verdict, [only] if isinstance(only, str) else only))
    except ValueError as error:
        raise UsageError(f"{clause(error)}; verdicts are {', '.join(Verdict)}.") from None
    if not wanted:
        raise UsageError("No verdict is selected, so no row would be written.").with_hint(
            "Name one in `only`.", "Name one with --only."
        )
    return wanted


def unwanted_flags(without: Collection[str]) -> frozenset[str]:
    """Return the flags that `without` names, in any spelling."""
    given = [without] if isinstance(without, str) else without
    names = {str(name).strip().lower().replace("-", "_").replace(" ", "_") for name in given}
    known = get_args(FlagName)
    for name in sorted(names.difference(known)):
        raise UsageError(f"There is no flag {name!r}; there are {', '.join(known)}.")
    return frozenset(names)
