#!/usr/bin/env python3
"""Record the terminal that README.md shows: `terminal.cast` beside this file, and `docs/pictures/terminal.svg`.

    tools/recording/record.py

A shell on a terminal of its own runs the real command against the sandbox on a real socket, and is typed to
as a person would. `termtosvg` turns the recording into the picture; `template.svg` has its colours, and the
still that readers see who asked for reduced motion.
"""

import asyncio
import codecs
import fcntl
import json
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final

from bulkverify.sandbox import Sandbox

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
CAST: Final = HERE / "terminal.cast"
TEMPLATE: Final = HERE / "template.svg"
PICTURE: Final = ROOT / "docs" / "pictures" / "terminal.svg"

COLUMNS: Final = 80
LINES: Final = 22
SEED: Final = 5
"""Gives the lists of the sandbox the same ids each time."""

COMMAND: Final = "bulkverify verify contacts.csv -o verified.csv"
PROMPT: Final = "$ "

_LIMIT: Final = 60.0
_KEYS_A_SECOND: Final = 22
_FRAME_MILLISECONDS: Final = 120
_LAST_FRAME_MILLISECONDS: Final = 6000


class Shell:
    """A shell on a terminal of its own. `events` has what it printed, and when."""

    def __init__(self, url: str, key: str, folder: Path) -> None:
        self.events: list[tuple[float, str]] = []
        self._unread = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        near, far = pty.openpty()
        self._near = near
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        (folder / "inputrc").write_text("set enable-bracketed-paste off\n")
        environment = {
            "BULKVERIFY_API_KEY": key,
            "BULKVERIFY_BASE_URL": url,
            "HOME": str(folder),
            "INPUTRC": str(folder / "inputrc"),
            "LANG": "C.UTF-8",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PS1": PROMPT,
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm-256color",
        }
        self._process = subprocess.Popen(
            ["setsid", "--ctty", "bash", "--noprofile", "--norc", "-i"],
            cwd=folder,
            env=environment,
            stdin=far,
            stdout=far,
            stderr=far,
        )
        os.close(far)
        self._began = time.monotonic()

    def wait(self, seconds: float, until: str | None = None) -> None:
        """Read for some seconds, or until a text that matches is there."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if until is not None and (found := re.search(until, self._unread)):
                self._unread = self._unread[found.end() :]
                return
            if select.select([self._near], [], [], left)[0]:
                text = self._decoder.decode(os.read(self._near, 65536))
                self.events.append((time.monotonic() - self._began, text))
                self._unread += text
        if until is not None:
            raise TimeoutError(f"no {until!r} in {self._unread!r}")

    def press(self, keys: str) -> None:
        """Type at once, as Ctrl-C."""
        os.write(self._near, keys.encode())

    def close(self) -> None:
        """End the shell."""
        os.close(self._near)
        self._process.kill()
        self._process.wait()


def session(
    url: str,
    key: str,
    folder: Path,
    *,
    hurry: bool = False,
    between: Callable[[], object] = lambda: None,
) -> list[tuple[float, str]]:
    """Verify a list, interrupt that, and go on; return what the terminal printed, and when.

    In a `hurry` no time passes for readers. `between` is called between the two commands.
    """

    def read(seconds: float) -> None:
        shell.wait(0 if hurry else seconds)

    def type_(line: str) -> None:
        for character in line:
            shell.press(character)
            read(1 / _KEYS_A_SECOND)
        read(0.4)
        shell.press("\n")

    shutil.copy(ROOT / "examples" / "contacts.csv", folder)
    shell = Shell(url, key, folder)
    try:
        shell.wait(_LIMIT, re.escape(PROMPT))
        read(1)
        type_(COMMAND)
        shell.wait(_LIMIT, r"\[y/N\] ")
        read(2.5)
        type_("y")
        shell.wait(_LIMIT, "Verifying")
        read(7)
        shell.press("\x03")
        shell.wait(_LIMIT, rf"-o verified\.csv\r\n{re.escape(PROMPT)}")
        between()
        read(2.5)
        type_(COMMAND)
        shell.wait(_LIMIT, "written to")
        shell.wait(_LIMIT, re.escape(PROMPT))
        read(0.5)
    finally:
        shell.close()
    return shell.events


def cast(events: list[tuple[float, str]]) -> str:
    """Write a recording in version 2 of asciinema's format."""
    header = {
        "version": 2,
        "width": COLUMNS,
        "height": LINES,
        "idle_time_limit": 2.5,
        "command": COMMAND,
        "env": {"SHELL": "bash", "TERM": "xterm-256color"},
    }
    lines = [header, *([round(at, 3), "o", text] for at, text in events)]
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)


async def main() -> None:
    """Record, and draw the picture."""
    async with Sandbox(seed=SEED, credits=5000) as sandbox:
        with tempfile.TemporaryDirectory() as folder:
            events = await asyncio.to_thread(session, sandbox.url, sandbox.api_key, Path(folder))
    CAST.write_text(cast(events))
    draw()


def draw() -> None:
    """Draw the picture of the recording."""
    subprocess.run(
        [
            *(sys.executable, "-m", "termtosvg", "render", str(CAST), str(PICTURE)),
            *("--template", str(TEMPLATE)),
            *("--min-frame-duration", str(_FRAME_MILLISECONDS)),
            *("--loop-delay", str(_LAST_FRAME_MILLISECONDS)),
        ],
        check=True,
    )
    with PICTURE.open("a") as file:
        file.write(f"\n{mark()}\n")


def mark() -> str:
    """Return the comment at the end of a picture that says what it was drawn from."""
    digest = sha256(CAST.read_bytes() + TEMPLATE.read_bytes()).hexdigest()
    return f"<!-- of {CAST.name} and {TEMPLATE.name}, sha256 {digest} -->"


if __name__ == "__main__":
    asyncio.run(main())
