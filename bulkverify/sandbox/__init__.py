"""A sandbox of the verification service on this machine, for tests and trials without credits.

    async with Sandbox(speed=60) as sandbox:
        client = Client(sandbox.api_key, base_url=sandbox.url)

It needs `pip install "bulkverify[sandbox]"`.

An address always gets the same verdict: about 70 % are deliverable, 15 % undeliverable, 10 %
accept-all and 5 % unknown. In special domains such as `company.test`, all are undeliverable. Text that
is not an address is undeliverable in a list, and refused as a single address. These local parts force
a verdict at any domain, also with a suffix, as in `unknown+17@example.com`:

    deliverable                 deliverable
    undeliverable               undeliverable
    accept-all, accept_all      accept-all
    unknown                     unknown
    spamtrap                    undeliverable, flagged as a trap

Role accounts such as `info@` and the domains of free or disposable mailboxes are flagged.
"""

from bulkverify.sandbox.drawing import at_random
from bulkverify.sandbox.faults import Fault
from bulkverify.sandbox.jobs import Timings
from bulkverify.sandbox.kinds import FaultKind
from bulkverify.sandbox.ledger import Endpoint, Injected, JobBooks, Ledger, Upload
from bulkverify.sandbox.rules import RuleError, make_fault, read_faults
from bulkverify.sandbox.server import Sandbox
from bulkverify.sandbox.vendors import Vendor

__all__ = [
    "Endpoint",
    "Fault",
    "FaultKind",
    "Injected",
    "JobBooks",
    "Ledger",
    "RuleError",
    "Sandbox",
    "Timings",
    "Upload",
    "Vendor",
    "at_random",
    "make_fault",
    "read_faults",
]
