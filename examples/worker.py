"""Verify each list that appears in a folder: `python worker.py inbox outbox`.

BULKVERIFY_API_KEY has the key of your account; `bulkverify sandbox` prints settings that cost nothing. Write a
list under another name and rename it to `.csv` when it is complete. After a crash, start the worker again: it
goes on where it was, and pays nothing twice. Ctrl-C ends it.
"""

import argparse
import asyncio
import contextlib
import logging
from pathlib import Path

from bulkverify import (
    BulkVerifyError,
    Client,
    InvalidListError,
    JournalError,
    UsageError,
    verify_list,
)

PAUSE = 30.0
log = logging.getLogger("worker")


async def verify(client: Client, source: Path, destination: Path) -> None:
    """Verify one list; a list that can't be used is put aside, and after any other error it is tried again."""
    try:
        report = await verify_list(client, source, destination)
        source.rename(source.with_name(f"{source.name}.done"))
    except JournalError as error:  # such as a run of another worker
        log.info("%s is left alone: %s", source.name, error)
    except (InvalidListError, UsageError) as error:
        log.warning("%s is put aside: %s", source.name, error)
        with contextlib.suppress(FileNotFoundError):  # another worker was faster
            source.rename(source.with_name(f"{source.name}.refused"))
    except (BulkVerifyError, OSError) as error:  # such as an output that exists, or a full disk
        log.warning("%s will be tried again: %s", source.name, error)
    else:
        log.info("%s: %s deliverable", source.name, report.verdicts.deliverable)


async def main(inbox: Path, outbox: Path) -> None:
    """Look for lists, and verify them."""
    async with Client() as client:
        for folder in (inbox, outbox):
            folder.mkdir(parents=True, exist_ok=True)
        log.info("looking for lists in %s", inbox)
        while True:
            lists = sorted(inbox.glob("*.csv"))
            await asyncio.gather(*(verify(client, one, outbox / one.name) for one in lists))
            await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("inbox", type=Path)
    parser.add_argument("outbox", type=Path)
    folders = parser.parse_args()
    try:
        asyncio.run(main(folders.inbox, folders.outbox))
    except UsageError as error:  # such as a missing key
        parser.error(str(error))
    except KeyboardInterrupt:
        log.info("stopped")
