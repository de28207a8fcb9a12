"""The verification service, served locally: for tests, for trying out, without spending a credit.

    async with Sandbox(speed=60) as sandbox:
        client = Client(sandbox.api_key, base_url=sandbox.url)

It needs `pip install "bulkverify[sandbox]"`.

Whatever is asked about an address, the answer is always the same: about 70 % are deliverable, 15 %
undeliverable, 10 % accept-all and 5 % unknown, and what is not the syntax of an address is
undeliverable. These local parts, at any domain, force a verdict, each also with a suffix as in
`unknown+17@example.com`:

    deliverable                 deliverable
    undeliverable               undeliverable
    accept-all, accept_all      accept-all
    unknown                     unknown
    spamtrap                    undeliverable, and flagged as a trap

The flags are those of the address itself: role accounts such as `info@`, and the domains of free
and of disposable mailboxes.
"""

from bulkverify.sandbox.drawing import at_random
from bulkverify.sandbox.faults import Fault, FaultKind
from bulkverify.sandbox.jobs import Timings
from bulkverify.sandbox.ledger import Injected, JobBooks, Ledger, Upload
from bulkverify.sandbox.rules import RuleError, make_fault, read_faults
from bulkverify.sandbox.server import Sandbox

__all__ = [
    "Fault",
    "FaultKind",
    "Injected",
    "JobBooks",
    "Ledger",
    "RuleError",
    "Sandbox",
    "Timings",
    "Upload",
    "at_random",
    "make_fault",
    "read_faults",
]
