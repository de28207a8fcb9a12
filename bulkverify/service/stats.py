"""What a client has done so far, in numbers."""

import attrs


@attrs.define(kw_only=True)
class Stats:
    """Counters of one client, since it was made.

    Attributes:
        requests: sent, each attempt and each poll for itself.
        retries: attempts that repeated a failed one.
        throttles: answers of the service that said 429.
        polls: status requests sent for somebody who waits.
        jobs: jobs that have been waited for, each stretch of waiting for itself.
        waits: waits that have begun.
    """

    requests: int = 0
    retries: int = 0
    throttles: int = 0
    polls: int = 0
    jobs: int = 0
    waits: int = 0
