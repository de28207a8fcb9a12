"""The SDK's messages say what to do in Python; here are the same words for somebody who types commands."""

from typing import Final

PHRASES: Final = {
    "it is given as `api_key` or in BULKVERIFY_API_KEY, and belongs": (
        "it comes from --api-key-file or BULKVERIFY_API_KEY, and belongs"
    ),
    'Wait until it is: `wait_until(job, "ready")`.': "Wait until it is.",
    'Wait until it completes: `wait_until(job, "completed")`.': "Wait until it completes.",
    "it comes from `base_url` or BULKVERIFY_BASE_URL": (
        "it comes from --base-url or BULKVERIFY_BASE_URL"
    ),
    "the key is given as `api_key`.": "the key comes from --api-key-file or BULKVERIFY_API_KEY.",
    "insist with `allow_http=True`": "insist with --allow-http",
    "It is the `id` of the job that an upload returned.": "It is what `bulkverify upload` printed.",
    "Name it with `column`.": "Name it with --column.",
    "Name the right one with `column`.": "Name the right one with --column.",
    'Name its encoding, for example `encoding="cp1252"`.': (
        "Name its encoding, for example --encoding cp1252."
    ),
    "The same call goes on": "The same command goes on",
    "The same call fetches": "The same command fetches",
    "make the same call again": "run the same command again",
    "`excel_safe` is for CSV": "--excel-safe is for CSV",
    "use `restart=True`, or delete": "use --restart, or delete",
    "another choice of `judge` or `deduplicate`": (
        "another choice of --send-invalid or --send-duplicates"
    ),
}
"""What the SDK says, and what a command says instead."""


def for_the_shell(text: str) -> str:
    """Rephrase a message of the SDK, and write it in one line."""
    for phrase, words in PHRASES.items():
        text = text.replace(phrase, words)
    return " ".join(text.split())
