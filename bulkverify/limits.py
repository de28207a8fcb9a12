"""What the service allows, each limit stated once and with its source.

*Documented* limits stand in the documentation of a vendor. *Observed* ones come from programs that use
the service. *Ours* are choices of this package, where the service says nothing.
"""

from typing import Final

REQUESTS_PER_MINUTE: Final = 120
"""Documented by validTo: what each endpoint takes from all programs that share an API key."""

WINDOW_SECONDS: Final = 60.0
"""The span over which the service counts requests. Documented; that it slides is the strictest reading."""

LARGEST_LIST_BYTES: Final = 10 * 1024 * 1024
"""Documented: a file has at most 10 MB. This is the larger reading of it, so that nothing is refused early."""

LARGEST_PART_BYTES: Final = 10_000_000
"""Ours: the smaller reading of 10 MB, for the parts that a list is split into."""

LONGEST_LIST_ROWS: Final = 500_000
"""Documented: a list has at most so many addresses."""

FEWEST_PART_ROWS: Final = 2
"""Observed with one hosted integration: it acknowledges a list of a single address, and then fails it."""

MOST_UNVERIFIED_LISTS: Final = 500
"""Documented: so many lists of an account may be not yet verified."""

MOST_VERIFYING_LISTS: Final = 100
"""Documented: so many lists of an account may be verifying at once."""

RETENTION_DAYS: Final = 30
"""Documented: lists and their results are kept for so long."""

SHORTEST_VERIFY_SECONDS: Final = 30.0
"""Documented: the shortest timeout that the service takes for one address."""

LONGEST_VERIFY_SECONDS: Final = 180.0
"""Documented: the longest timeout that the service takes for one address, and its default."""

LATE_VERIFY_SECONDS: Final = 15.0
"""Ours: its answer may come so much later than its timeout. It was observed to come 0.6 seconds later."""

NOT_FOUND_GRACE_SECONDS: Final = 30.0
"""Ours: until so long after the first "job not found", a replica may not know the job yet."""

UPLOAD_GRACE_SECONDS: Final = 600.0
"""Ours: until so long after its upload, a list that is not found counts as late and not as deleted."""

DEFAULT_TIMEOUT: Final = 24 * 3600.0
"""Ours: the seconds after which a wait gives up, unless the caller says otherwise."""

PARTS_AT_ONCE: Final = 8
"""Ours: how many parts of a list are on their way at the same time, unless the caller says otherwise."""
