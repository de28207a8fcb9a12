"""What a worker needs of a list, also if another worker has split it: its files, parts and results.

    output is a path    its folder is beside the output, for all workers that have it
    output is a URL     each worker has a folder of its own

A worker that lacks a part takes it from the list again. It must come out as it was.
"""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from shutil import rmtree

from bulkverify.durable import stores
from bulkverify.durable.here import Here, when_there
from bulkverify.durable.spec import RunSpec
from bulkverify.files import make_folder
from bulkverify.lists import Copied, Part, Split, file_digest, part_path
from bulkverify.run.models import JournalError
from bulkverify.run.progress import Tracker
from bulkverify.run.threads import in_thread
from bulkverify.service.converter import converter


async def with_part(here: Here, run_id: str, name: str, part: Part) -> Path:
    """Return a folder that has the addresses of a part.

    Raises:
        JournalError: the list has changed since it was split.
        InvalidListError: it is gone.
        OSError: it can't be read here.
    """

    async def has(folder: Path) -> bool:
        digest = await in_thread(partial(file_digest, part_path(folder, part.number)))
        return digest == part.digest

    if await has(folder := here.scratch.path(name)):
        return folder
    own = here.scratch.path(folder.name)
    async with here.turns[run_id, "split"]:
        if not await has(own):
            await _split_again(here, run_id, own)
    return own


async def _split_again(here: Here, run_id: str, folder: Path) -> None:
    known = partial(here.database.client.list_workflows, workflow_ids=[run_id])
    spec = converter.structure((await when_there(known, in_thread))[0].input["args"][0], RunSpec)
    before = await when_there(partial(here.database.noted, run_id, "split"), in_thread)
    make_folder(folder)
    fresh = folder / "again"
    await in_thread(partial(rmtree, fresh, ignore_errors=True))
    make_folder(fresh)
    reader = spec.reader(await sources(spec, folder))
    table = await reader.open(fresh)
    split = await reader.split(
        table, fresh, spec.splitting, Tracker(None), began_at=datetime.now(UTC)
    )
    if split != converter.structure(before["split"], Split):
        await in_thread(partial(rmtree, folder))
        raise changed(spec)
    for path in fresh.iterdir():  # others may be reading earlier copies
        if path.is_file():
            path.replace(folder / path.name)


def changed(spec: RunSpec) -> JournalError:
    """Return the error for a list that is not what was split."""
    return JournalError(
        f"{', '.join(spec.source)} has changed since the run began: the verdicts would not belong to its rows. "
        "Restore it, and submit it again for the same output."
    )


async def sources(spec: RunSpec, folder: Path) -> list[Path | Copied]:
    """Return the files of a list; objects are copied into the folder, unless they are there."""
    found: list[Path | Copied] = []
    for number, place in enumerate(spec.source, start=1):
        if not stores.is_url(place):
            found.append(Path(place))
            continue
        path = folder / f"object-{number}{Path(place).suffix}"
        if not path.exists():
            await in_thread(partial(stores.download, place, path), leave=True)
        found.append(Copied(path, place))
    return found
