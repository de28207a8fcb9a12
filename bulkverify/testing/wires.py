"""Bytes on their way between two sockets of this process.

Over loopback the kernel nearly always delivers them before the event loop looks. When it does not, a
clock that jumps must not take the loop for idle.
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
    """One end of a connection.

    Attributes:
        fd: the file descriptor of its socket.
        own: its address.
        peer: the address of the other end.
        sent: how many bytes it has given to the kernel.
        received: how many bytes it has taken from the kernel.
        finished: it sends no more; the other end has to learn of it.
        ended: it has learned that the other end sends no more.
        gone: it is closed.
    """

    fd: int
    own: Any
    peer: Any
    sent: int = 0
    received: int = 0
    finished: bool = False
    ended: bool = False
    gone: bool = False


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
            _ENDS[self].finished = True

    def close(self) -> None:
        if self in _ENDS:
            end = _ENDS[self]
            end.finished = end.ended = end.gone = True
        super().close()

    def _sent(self, count: int) -> int:
        if self in _ENDS:
            _ENDS[self].sent += count
        return count

    def _received(self, count: int) -> int:
        if self in _ENDS:
            end = _ENDS[self]
            end.received += count
            end.ended = end.ended or not count
        return count

    def _failed(self, error: OSError) -> None:
        if not isinstance(error, BlockingIOError | InterruptedError) and self in _ENDS:
            _ENDS[self].ended = True


_ENDS: Final[WeakKeyDictionary[socket.socket, _End]] = WeakKeyDictionary()


class Wires:
    """The connections of one event loop."""

    def __init__(self) -> None:
        """Begin without connections."""
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
        """Tell whether bytes are on their way between sockets of this process.

        Args:
            reads: tells whether the loop reads from a file descriptor.
            listens: tells whether the loop accepts connections on a port.
        """
        self._forget()
        for end in self._ends.values():
            if end.gone:
                continue
            twin = self._ends.get((end.peer, end.own))
            if twin is None:
                if not end.ended and listens(end.peer[1]):
                    return True
            elif not end.ended and (twin.sent > end.received or twin.finished) and reads(end.fd):
                return True
        return False

    @property
    def foreign(self) -> bool:
        """Whether there are connections to other processes."""
        return any(
            not end.gone and (end.peer, end.own) not in self._ends for end in self._ends.values()
        )

    def _forget(self) -> None:
        over = [
            name
            for name, end in self._ends.items()
            if end.gone and ((twin := self._ends.get((end.peer, end.own))) is None or twin.gone)
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
