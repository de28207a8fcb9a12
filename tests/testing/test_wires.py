"""Bytes in flight between real sockets."""

import socket
from collections.abc import Iterator

import pytest

from bulkverify.testing.wires import Wires, listening_port

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def wires() -> Wires:
    return Wires()


@pytest.fixture
def pair(wires: Wires) -> Iterator[Pair]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    with near, far:
        wires.watch(near)
        wires.watch(far)
        yield near, far


def busy(wires: Wires, *, reads: bool = True, listens: bool = False) -> bool:
    return wires.busy(lambda _: reads, lambda _: listens)


def test_bytes_are_in_flight_until_they_are_received(wires: Wires, pair: Pair) -> None:
    near, far = pair
    assert not busy(wires)
    near.send(b"four")
    near.sendmsg([b"fi", b"ve!"])
    assert busy(wires)
    assert not busy(wires, reads=False)  # the loop does not read there
    assert far.recv(4) == b"four"
    assert busy(wires)
    assert far.recv_into(bytearray(10)) == 5
    assert not busy(wires)


def test_the_end_of_a_stream_is_in_flight_too(wires: Wires, pair: Pair) -> None:
    near, far = pair
    near.shutdown(socket.SHUT_WR)
    assert busy(wires)
    assert far.recv(1) == b""
    assert not busy(wires)
    far.close()
    assert busy(wires)
    assert near.recv(1) == b""
    assert not busy(wires)
    near.close()
    assert not busy(wires)
    assert not wires.foreign


def test_a_reset_connection_has_nothing_in_flight(wires: Wires, pair: Pair) -> None:
    near, far = pair
    near.send(b"never read")
    far.close()
    assert busy(wires)
    with pytest.raises(ConnectionResetError):
        near.recv(1)
    assert not busy(wires)


def test_a_connection_without_bytes_yet_is_not_over(wires: Wires, pair: Pair) -> None:
    near, far = pair
    near.settimeout(0)
    for receive in (lambda: near.recv(1), lambda: near.recv_into(bytearray(1))):
        with pytest.raises(BlockingIOError):
            receive()
    far.send(b"x")
    assert busy(wires)


def test_a_connection_that_is_not_accepted_yet_is_waited_for(wires: Wires) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as near,
    ):
        wires.watch(near)
        assert wires.foreign
        assert busy(wires, listens=True)
        assert not busy(wires)
        assert listening_port(server.fileno()) == server.getsockname()[1]
        assert listening_port(near.fileno()) is None


def test_other_sockets_are_not_watched(wires: Wires) -> None:
    left, right = socket.socketpair()
    with left, right, socket.socket() as loose:
        wires.watch(left)
        wires.watch(loose)
        assert type(left) is type(loose) is socket.socket
        assert listening_port(left.fileno()) is None
    assert not wires.foreign
    with open(__file__, "rb") as file:  # noqa: PTH123 - a descriptor that is no socket
        assert listening_port(file.fileno()) is None
