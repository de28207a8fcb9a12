"""The limits of the service, each with its source.

*Documented*: a vendor's documentation says so. *Observed*: programs that use the service have seen it.
*Ours*: a choice of this package, because the service says nothing.
"""

from typing import Final

REQUESTS_PER_MINUTE: Final = 120
"""Documented by validTo: the limit of each endpoint, for all programs that share an API key."""

WINDOW_SECONDS: Final = 60.0
"""Documented: the service counts requests per minute. Ours: the limit holds for any 60 seconds."""

LARGEST_LIST_BYTES: Final = 10 * 1024 * 1024
"""Documented: a file has at most 10 MB. Ours: MB means 2 ** 20 bytes, so that no valid file is refused."""

LARGEST_PART_BYTES: Final = 10_000_000
"""Ours: for the parts of a list, MB means 10 ** 6 bytes, so that the service refuses none."""

LONGEST_LIST_ROWS: Final = 500_000
"""Documented: the most addresses of a list."""

FEWEST_PART_ROWS: Final = 2
"""Observed: according to one integration, a list of a single address is accepted, and then fails."""

MOST_UNVERIFIED_LISTS: Final = 500
"""Documented: the most lists of an account that are not verified yet."""

MOST_VERIFYING_LISTS: Final = 100
"""Documented: the most lists of an account that are verified at once."""

RETENTION_DAYS: Final = 30
"""Documented: the days after which lists and their results are deleted."""

SHORTEST_VERIFY_SECONDS: Final = 30.0
"""Documented: the shortest timeout for one address."""

LONGEST_VERIFY_SECONDS: Final = 180.0
"""Documented: the longest timeout for one address, and the default."""

LATE_VERIFY_SECONDS: Final = 15.0
"""Ours: how many seconds after the timeout an answer may still come. Observed: 0.6."""

NOT_FOUND_GRACE_SECONDS: Final = 30.0
"""Ours: for this long after the first "job not found", a lagging replica may be the cause."""

UPLOAD_GRACE_SECONDS: Final = 600.0
"""Ours: how many seconds a list may take to appear after its upload."""

DEFAULT_TIMEOUT: Final = 24 * 3600.0
"""Ours: the default timeout of a wait, in seconds."""

PARTS_AT_ONCE: Final = 8
"""Ours: how many parts of a list are processed at the same time, by default."""
