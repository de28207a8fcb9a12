"""A whole run against the sandbox in another process: time, memory, and a check of every row.

    python -m benchmarks.run --rows 100000

The list has 8 columns, and a fifth of its rows repeat an address. There are three processes: the service;
the client, whose memory and CPU are measured; and the check (`run_check`), which shares no code with the
library and gets the verdicts from the service itself.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, process_time
from typing import Any, Final

import attrs
from tenacity import wait_fixed

from benchmarks.lists_made import write_list
from bulkverify import Client, RunProgress, Stage, verify_list

_TRANSFER: Final = frozenset({Stage.UPLOADING, Stage.DOWNLOADING})
_SERVICE: Final = frozenset({Stage.PREPARING, Stage.STARTING, Stage.VERIFYING})
_KEY: Final = "sandbox"


class Split:
    """Splits the time of a run into network, service and ours.

    While anything is transferred, time counts as network, which includes the service's reading and
    writing. Else it counts as service while a part is at the service, and as ours otherwise.
    """

    def __init__(self) -> None:
        """Start with our time."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._since = monotonic()
        self._what = "ours"

    def follow(self, seen: RunProgress) -> None:
        """Note the progress of the run."""
        stages = {part.stage for part in seen.parts} if seen.part else set()
        what = "network" if stages & _TRANSFER else "service" if stages & _SERVICE else "ours"
        self.close(what)

    def close(self, what: str = "ours") -> None:
        """Count the time until now."""
        now = monotonic()
        self.seconds[self._what] += now - self._since
        self._since, self._what = now, what


async def client(url: str, source: Path, output: Path, largest_part: int) -> dict[str, Any]:
    """Verify the list, and return what that took."""
    split = Split()
    before = process_time()
    async with Client(_KEY, base_url=url, requests_per_minute=None) as account:
        report = await verify_list(
            account,
            source,
            output,
            largest_part=largest_part,
            wait=wait_fixed(0.2),
            on_progress=split.follow,
        )
    split.close()
    return {
        "seconds": report.seconds,
        "split": dict(split.seconds),
        "durations": attrs.asdict(report.durations),
        "cpu_seconds": process_time() - before,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "requests": report.requests,
        "rows": report.rows,
        "addresses": report.addresses,
        "missing": report.missing,
        "verdicts": attrs.asdict(report.verdicts),
        "jobs": [part.job_id for part in report.parts],
    }


@contextmanager
def service(speed: float) -> Generator[tuple[str, int]]:
    """Serve the sandbox in a process of its own. Yield its URL and its process id."""
    command = [sys.executable, "-c", "from bulkverify.cli.main import main; main()", "sandbox"]
    command += ["--port", "0", "--json", "--speed", str(speed), "--requests-per-minute", "0"]
    command += ["--credits", "1000000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            yield json.loads(process.stdout.readline())["url"], process.pid
        finally:
            process.terminate()
            process.stdout.read()


def peak_of(pid: int) -> float:
    """Return the peak memory of a running process, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def measure(rows: int, folder: Path, *, speed: float, largest_part: int) -> dict[str, Any]:
    """Make a list, verify it, and check the output."""
    source, output = folder / "list.csv", folder / "verified.csv"
    write_list(source, rows)
    with service(speed) as (url, pid):
        arguments = ["--client", url, "--part", str(largest_part)]
        found = fresh("benchmarks.run", *arguments, str(source), str(output))
        found["service_peak_mb"] = peak_of(pid)
        checked = fresh("benchmarks.run_check", str(source), str(output), url, _KEY, *found["jobs"])
    agreed = {name: checked[name] == found[name] for name in ("rows", "verdicts", "missing")}
    return {
        "size_mb": source.stat().st_size / 1e6,
        **found,
        "check": checked,
        "agreed": agreed,
        "jobs": len(found["jobs"]),
    }


def fresh(module: str, *arguments: str) -> Any:  # noqa: ANN401 - it is JSON
    """Run a module in a process of its own, and return what it prints."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(f"{module} failed")
    return json.loads(done.stdout)


def main() -> None:
    """Measure one run, or be its client."""
    parser = argparse.ArgumentParser(description="Measure a whole run against the sandbox.")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--speed", type=float, default=20_000.0)
    parser.add_argument("--part", type=int, default=500_000)
    parser.add_argument("--client", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("paths", nargs="*", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        result = asyncio.run(client(options.client, *options.paths, options.part))
    else:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
            result = measure(
                options.rows, Path(folder), speed=options.speed, largest_part=options.part
            )
    sys.stdout.write(json.dumps(result, indent=None if options.client else 1) + "\n")


if __name__ == "__main__":
    main()
