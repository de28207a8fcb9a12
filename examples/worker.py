"""Verify each list that appears in a folder: `python worker.py inbox outbox`.

After a crash, start it again: it goes on where it was, and pays nothing twice. Ctrl-C ends it.
"""

import asyncio
import logging
import sys
from pathlib import Path

from bulkverify import BulkVerifyError, Client, InvalidListError, UsageError, verify_list

PAUSE = 30.0
log = logging.getLogger("worker")


async def verify(client: Client, source: Path, destination: Path) -> None:
    """Verify one list; a list that can't be used is put aside, and any other error is tried again later."""
    try:
        report = await verify_list(client, source, destination)
    except (InvalidListError, UsageError) as error:
        log.warning("%s is put aside: %s", source.name, error)
        source.rename(source.with_name(source.name + ".refused"))
    except BulkVerifyError as error:
        log.warning("%s will be tried again: %s", source.name, error)
    else:
        log.info("%s: %s deliverable", source.name, report.verdicts.deliverable)
        source.rename(source.with_name(source.name + ".done"))


async def main(inbox: Path, outbox: Path) -> None:
    """Look for lists, and verify them."""
    async with Client() as client:
        while True:
            lists = sorted(inbox.glob("*.csv"))
            await asyncio.gather(*(verify(client, one, outbox / one.name) for one in lists))
            await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
