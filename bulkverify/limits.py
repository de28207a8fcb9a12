"""What the service allows. Each limit is stated once, with its source.

*Documented*: a vendor's documentation says so. *Observed*: programs that use the service have seen it.
*Ours*: a choice of this package, because the service says nothing.
"""

from typing import Final

REQUESTS_PER_MINUTE: Final = 120
"""Documented by validTo: so many requests to each endpoint, from all programs that share an API key."""

WINDOW_SECONDS: Final = 60.0
"""Documented: the service counts requests over a minute. Ours: any minute counts, the strictest reading."""

LARGEST_LIST_BYTES: Final = 10 * 1024 * 1024
"""Documented: a file has at most 10 MB. This is the larger meaning of MB, so that no good file is refused."""

LARGEST_PART_BYTES: Final = 10_000_000
"""Ours: the smaller meaning of 10 MB, for the parts of a list, so that the service refuses none."""

LONGEST_LIST_ROWS: Final = 500_000
"""Documented: a list has at most so many addresses."""

FEWEST_PART_ROWS: Final = 2
"""Observed: a hosted integration accepts a list of a single address, and then fails it."""

MOST_UNVERIFIED_LISTS: Final = 500
"""Documented: an account has at most so many lists that are not yet verified."""

MOST_VERIFYING_LISTS: Final = 100
"""Documented: at most so many lists of an account are verified at once."""

RETENTION_DAYS: Final = 30
"""Documented: lists and their results are deleted after so many days."""

SHORTEST_VERIFY_SECONDS: Final = 30.0
"""Documented: the shortest timeout that the service takes for one address."""

LONGEST_VERIFY_SECONDS: Final = 180.0
"""Documented: the longest timeout that the service takes for one address, and its default."""

LATE_VERIFY_SECONDS: Final = 15.0
"""Ours: the answer may come so long after the timeout. Observed: it came 0.6 seconds after it."""

NOT_FOUND_GRACE_SECONDS: Final = 30.0
"""Ours: a replica may answer "job not found" about a new job for so long after the first such answer."""

UPLOAD_GRACE_SECONDS: Final = 600.0
"""Ours: a list that is not found so soon after its upload is not taken for deleted."""

DEFAULT_TIMEOUT: Final = 24 * 3600.0
"""Ours: the seconds after which a wait gives up, unless the caller says otherwise."""

PARTS_AT_ONCE: Final = 8
"""Ours: how many parts of a list are on their way at the same time, unless the caller says otherwise."""
