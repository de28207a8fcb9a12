"""A terminal of any size: both ends of a pty, and what a person sees on it."""

import fcntl
import os
import pty
import re
import struct
import termios

import pyte


def plain(seen: str) -> str:
    """Return a text without the sequences that steer the terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)


class Terminal:
    """Both ends of a terminal; the process under test has the far one."""

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        self.near, self.far = pty.openpty()
        fcntl.ioctl(self.far, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.seen = ""
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)

    @property
    def shown(self) -> list[str]:
        """The lines that are on the screen, without those that are empty."""
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def step(self) -> bool:
        """Read a piece; `False` at the end."""
        try:
            piece = os.read(self.near, 4096)
        except OSError:  # the far end is closed
            piece = b""
        self.seen += piece.decode(errors="replace")
        self._stream.feed(piece)
        return bool(piece)

    def read(self, until: str | None = None) -> str:
        """Read until a text is there, or to the end; return the text without colours."""
        while until is None or until not in plain(self.seen):
            if not self.step():
                assert until is None, f"no {until!r} in {self.seen!r}"
                break
        return plain(self.seen)

    def leave(self) -> None:
        """Close the far end here; the process keeps its own."""
        if self.far >= 0:
            os.close(self.far)
        self.far = -1
