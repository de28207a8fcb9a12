"""A kill before and after every file operation, and a power cut after each that leaves something unsynced."""

import asyncio
import gc
import json
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import attrs
from tenacity import wait_fixed

from bulkverify import Client, verify_list

from .disk import CONTENTS, NAMES, Death, Disk, Operation
from .promises import timeless
from .service import Books, Service

_REAL_SECONDS: Final = 30
_IN_MEMORY: Final = "/dev/shm"  # noqa: S108 - the folder in there has a random name
_FOUR: Final = (
    "n,email\n1,deliverable@a.com\n2,undeliverable@a.com\n3,\n4,accept-all@a.com\n"
    "5,deliverable@A.com\n6,no address\n7,unknown@a.com\n8,accept-all@a.com\n"
)
_EARLIER: Final = "email,verdict,verified_at\nunknown@a.com,accept-all,2999-01-01\ndeliverable@a.com,deliverable,{now}\n"
_ONE: Final = "n,email\n1,deliverable@a.com\n2,deliverable@a.com\n"


@attrs.frozen
class Variant:
    """A way to make the call.

    Attributes:
        items: give the addresses instead of a file.
        earlier: a file with verdicts to reuse.
        power: cut the power, too.
    """

    source: str = _FOUR
    output: str = "verified.csv"
    old_output: str | None = None
    journal: str | None = None
    items: bool = False
    earlier: str | None = None
    power: bool = True
    options: dict[str, Any] = attrs.field(factory=dict)


VARIANTS: Final = {
    "plain": Variant(),
    "overwrite": Variant(old_output="of old\n", options={"overwrite": True}),
    "in place": Variant(output="list.csv", options={"overwrite": True}),
    "journal": Variant(journal="elsewhere/run"),
    "only": Variant(power=False, options={"only": ["deliverable", "accept_all"]}),
    "single": Variant(source=_ONE, power=False),
    "delete": Variant(power=False, options={"delete": True}),
    "items": Variant(items=True, power=False),
    "reuse": Variant(earlier=_EARLIER),
    "all known": Variant(source=_ONE, earlier=_EARLIER, power=False),
}


@attrs.frozen
class Case:
    """A variant of the call, and when and how its process dies."""

    variant: str
    death: Death

    def __str__(self) -> str:
        """Write it as `--case` takes it."""
        return "/".join(["kill", self.variant, *map(str, attrs.astuple(self.death))])

    @classmethod
    def parse(cls, text: str) -> "Case":
        """Parse the result of `str`."""
        _, variant, number, *how = text.split("/")
        return cls(variant, Death(int(number), *how))

    @property
    def kind(self) -> str:
        """The kind of death."""
        plain = (self.death.content, self.death.names) == ("kept", "kept")
        return f"killed {self.death.when}" if plain else f"power cut {self.death.when}"


@attrs.frozen
class Lived:
    """The report of a process that was not killed."""

    error: str = ""
    orphans: int = 0
    spent: int = 0
    operations: tuple[Operation, ...] = ()
    unnoticed: dict[str, int] = attrs.field(factory=dict)


@attrs.frozen
class Undisturbed:
    """A call of a variant without a kill."""

    operations: tuple[Operation, ...]
    output: str
    books: Books

    @property
    def alone(self) -> bool:
        """Whether an address was verified without a list."""
        return not self.books.uploads


def cases(variant: str) -> Iterator[Case]:
    """List all deaths of a variant."""
    for number, operation in enumerate(undisturbed(variant).operations, start=1):
        for when in ("before", "after"):
            yield Case(variant, Death(number, when))
        for content, names in _cuts(operation) if VARIANTS[variant].power else ():
            yield Case(variant, Death(number, "after", content, names))


def _cuts(operation: Operation) -> Iterator[tuple[str, str]]:
    """List all ways in which the disk may lack unsynced data and names."""
    if operation.unsynced:
        yield from ((content, NAMES[0]) for content in CONTENTS[1:])
    if operation.unnamed:
        yield from ((CONTENTS[0], names) for names in NAMES[1:])
    if operation.unsynced and operation.unnamed:
        yield CONTENTS[-1], NAMES[1]


def run_all(
    variants: Sequence[str], jobs: int, sample: random.Random | None, count: int
) -> Iterator[tuple[Case, list[str]]]:
    """Run all cases, or `count` random ones, in `jobs` processes."""
    every = [case for name in variants if name in VARIANTS for case in cases(name)]
    if sample is not None:
        every = sample.sample(every, min(count, len(every)))
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap_unordered(_numbered, every, chunksize=4)


def _numbered(case: Case) -> tuple[Case, list[str]]:
    return case, run_one(case)


def run_one(case: Case) -> list[str]:
    """Run a case, and return the broken promises."""
    variant, reference = VARIANTS[case.variant], undisturbed(case.variant)
    with _folder(variant) as folder:
        url = _service().begin()
        if _live(url, folder, variant, case.death) is not None:
            return ["the process did not die: the operations are not the same each time"]
        lived = _live(url, folder, variant)
        if lived is None:
            return ["the same call hangs"]
        return list(_broken(lived, reference, folder / variant.output, _service().books()))


def _broken(lived: Lived, reference: Undisturbed, output: Path, books: Books) -> Iterator[str]:
    if any(times != 1 for times in books.paid.values()) or (
        not lived.error and books.paid != reference.books.paid
    ):
        yield f"the payments were {books.paid}"
    if lived.error:
        if reference.alone and lived.error.startswith("VerifyUncertainError"):
            return  # the user decides, because the service can't be asked about it
        yield f"the same call raised {lived.error}"
        return
    if timeless(output.read_text()) != reference.output:
        yield f"the output is {output.read_text()!r}"
    if lived.spent != sum(books.paid.values()):
        yield f"the report says {lived.spent} credits, the payments were {books.paid}"
    if books.uploads - books.starts > lived.orphans:
        yield f"{books.uploads} lists, {books.starts} starts, the report says {lived.orphans} orphans"
    allowed = {"list.csv", output.name, f".{output.name}.done", "elsewhere", "earlier.csv"}
    left = {str(path.relative_to(output.parent)) for path in output.parent.rglob("*")} - allowed
    if left:
        yield f"files were left: {sorted(left)}"


@cache
def undisturbed(variant: str) -> Undisturbed:
    """Make the call once without a kill."""
    with _folder(VARIANTS[variant]) as folder:
        lived = _live(_service().begin(), folder, VARIANTS[variant])
        assert lived is not None, "it hangs"
        assert not lived.error, lived.error
        assert not lived.unnoticed, lived.unnoticed
        output = timeless((folder / VARIANTS[variant].output).read_text())
        return Undisturbed(lived.operations, output, _service().books())


_services: dict[int, Service] = {}


def _service() -> Service:
    """Return the service of this process; each process has its own."""
    if os.getpid() not in _services:
        _services.clear()
        _services[os.getpid()] = service = Service()
        # Imports and caches are filled once, before the forks.
        with _folder(VARIANTS["plain"]) as folder:
            asyncio.run(_call(service.begin(), folder, VARIANTS["plain"]))
        gc.collect()
        gc.freeze()
    return _services[os.getpid()]


def _live(url: str, folder: Path, variant: Variant, death: Death | None = None) -> Lived | None:
    """Make the call in its own process; return its report, or `None` if it died."""
    reads, writes = os.pipe()
    process = os.fork()
    if not process:
        os.close(reads)
        signal.alarm(_REAL_SECONDS)  # without a handler, so it kills
        told = b""
        try:
            told = _told(url, folder, variant, death)
        finally:
            with os.fdopen(writes, "wb") as pipe:
                pipe.write(told)
            os._exit(0)
    os.close(writes)
    with os.fdopen(reads, "rb") as pipe:
        told = pipe.read()
    os.waitpid(process, 0)
    if not told:
        return None
    found = json.loads(told)
    found["operations"] = tuple(Operation(**one) for one in found["operations"])
    return Lived(**found)


def _told(url: str, folder: Path, variant: Variant, death: Death | None) -> bytes:
    disk = Disk(folder, folder.with_name("spare"), death)
    disk.install()
    lived = asyncio.run(_call(url, folder, variant))
    lived = attrs.evolve(lived, operations=tuple(disk.operations), unnoticed=disk.unnoticed())
    return json.dumps(attrs.asdict(lived)).encode()


async def _call(url: str, folder: Path, variant: Variant) -> Lived:
    source: Any = folder / "list.csv"
    if variant.items:
        source = [line.split(",")[1] for line in variant.source.splitlines()[1:]]
    journal = folder / variant.journal if variant.journal else None
    try:
        async with Client("sandbox", base_url=url, requests_per_minute=None) as client:
            report = await verify_list(
                client,
                source,
                folder / variant.output,
                largest_part=2,
                parts_at_once=1,
                journal=journal,
                reuse=[folder / "earlier.csv"] if variant.earlier else (),
                wait=wait_fixed(0.003),
                **variant.options,
            )
    except Exception as error:  # noqa: BLE001 - the promises judge it
        return Lived(error=repr(error))
    return Lived(orphans=report.orphans, spent=report.credits_spent + report.credits_spent_before)


@contextmanager
def _folder(variant: Variant) -> Iterator[Path]:
    """Give a folder with the list in it."""
    where = _IN_MEMORY if Path(_IN_MEMORY).is_dir() else None
    outer = Path(tempfile.mkdtemp(prefix="exhaustive-", dir=where)).resolve()
    folder = outer / "work"
    try:
        folder.mkdir()
        (outer / "spare").mkdir()
        (folder / "list.csv").write_text(variant.source)
        if variant.earlier is not None:
            now = datetime.now(UTC) - timedelta(days=1)
            (folder / "earlier.csv").write_text(variant.earlier.format(now=now.isoformat()))
        if variant.old_output is not None:
            (folder / variant.output).write_text(variant.old_output)
        if variant.journal is not None:
            (folder / variant.journal).parent.mkdir()
        yield folder
    finally:
        shutil.rmtree(outer, ignore_errors=True)
