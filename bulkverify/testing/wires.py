"""Tracks bytes in flight between sockets of this process.

The kernel nearly always delivers loopback bytes before the event loop polls. When it does not, the
virtual clock must not treat the loop as idle.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from weakref import WeakKeyDictionary

import attrs

_FAMILIES: Final = frozenset({socket.AF_INET, socket.AF_INET6})


@attrs.define(eq=False)
class _End:
    """One end of a connection."""

    fd: int  # the file descriptor of its socket
    own: Any  # its address
    peer: Any  # the address of the other end
    sent: int = 0  # how many bytes it has given to the kernel
    received: int = 0  # how many bytes it has taken from the kernel
    done: bool = False  # it sends no more
    eof: bool = False  # it knows that the other end sends no more
    closed: bool = False


class _WatchedSocket(socket.socket):
    """A socket that counts its bytes; any socket can become one."""

    __slots__ = ()

    def send(self, *args: Any) -> int:  # noqa: ANN401 - passed on
        return self._sent(super().send(*args))

    def sendmsg(self, *args: Any) -> int:  # noqa: ANN401 - passed on
        return self._sent(super().sendmsg(*args))

    def recv(self, *args: Any) -> bytes:  # noqa: ANN401 - passed on
        try:
            data = super().recv(*args)
        except OSError as error:
            self._failed(error)
            raise
        self._received(len(data))
        return data

    def recv_into(self, *args: Any, **options: Any) -> int:  # noqa: ANN401 - passed on
        try:
            count = super().recv_into(*args, **options)
        except OSError as error:
            self._failed(error)
            raise
        return self._received(count)

    def shutdown(self, how: int) -> None:
        super().shutdown(how)
        if how != socket.SHUT_RD and self in _ENDS:
            _ENDS[self].done = True

    def close(self) -> None:
        if self in _ENDS:
            end = _ENDS[self]
            end.done = end.eof = end.closed = True
        super().close()

    def _sent(self, count: int) -> int:
        if self in _ENDS:
            _ENDS[self].sent += count
        return count

    def _received(self, count: int) -> int:
        if self in _ENDS:
            end = _ENDS[self]
            end.received += count
            end.eof = end.eof or not count
        return count

    def _failed(self, error: OSError) -> None:
        if not isinstance(error, BlockingIOError | InterruptedError) and self in _ENDS:
            _ENDS[self].eof = True


_ENDS: Final[WeakKeyDictionary[socket.socket, _End]] = WeakKeyDictionary()


class Wires:
    """The connections of one event loop."""

    def __init__(self) -> None:
        self._ends: dict[tuple[Any, Any], _End] = {}

    def watch(self, sock: socket.socket) -> None:
        """Watch a connection, if it is over TCP."""
        if type(sock) is not socket.socket or sock.family not in _FAMILIES:
            return
        try:
            own, peer = sock.getsockname(), sock.getpeername()
        except OSError:  # it is already broken
            return
        sock.__class__ = _WatchedSocket
        _ENDS[sock] = self._ends[own, peer] = _End(sock.fileno(), own, peer)

    def busy(self, reads: Callable[[int], bool], listens: Callable[[int], bool]) -> bool:
        """Return whether bytes are in flight between sockets of this process.

        `reads` tells whether the loop reads from a file descriptor, `listens` whether it accepts connections
        on a port.
        """
        self._forget()
        for end in self._ends.values():
            if end.closed:
                continue
            other = self._ends.get((end.peer, end.own))
            if other is None:
                if not end.eof and listens(end.peer[1]):
                    return True
            elif not end.eof and (other.sent > end.received or other.done) and reads(end.fd):
                return True
        return False

    @property
    def foreign(self) -> bool:
        """Whether there are connections to other processes."""
        return any(
            not end.closed and (end.peer, end.own) not in self._ends for end in self._ends.values()
        )

    def _forget(self) -> None:
        over = [
            name
            for name, end in self._ends.items()
            if end.closed
            and ((other := self._ends.get((end.peer, end.own))) is None or other.closed)
        ]
        for name in over:
            del self._ends[name]


def listening_port(fd: int) -> int | None:
    """Return the port on which a file descriptor accepts connections, or `None`."""
    with suppress(OSError):
        sock = socket.socket(fileno=fd)
        try:
            if sock.family in _FAMILIES and sock.getsockopt(
                socket.SOL_SOCKET, socket.SO_ACCEPTCONN
            ):
                port: int = sock.getsockname()[1]
                return port
        finally:
            sock.detach()
    return None
