"""The colours of the terminal, the same for the progress and for the summary.

They are among the sixteen that a terminal's theme defines, so they suit a light and a dark one.
"""

from typing import Final

from bulkverify.models import Verdict

VERDICTS: Final = {
    Verdict.DELIVERABLE: "green",
    Verdict.UNDELIVERABLE: "red",
    Verdict.ACCEPT_ALL: "yellow",
    Verdict.UNKNOWN: "blue",
}
EARLIER: Final = "cyan"
"""Addresses whose results an earlier call has fetched."""
EXPECTED: Final = "bright_black"
"""Addresses that probably have a verdict by now."""
MUTED: Final = "bright_black"
LEAD: Final = "green"
"""The sign that shows that the command is alive."""
HELD_UP: Final = "yellow"
