"""The proxy hurts what it is told to hurt, at the byte it is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.servers.process import free_port
from tests.servers.proxy import Proxy


class Echo:
    """Sends back what it gets; counts what it got."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", free_port()))
        self.port = self.listener.getsockname()[1]
        self.got = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            try:
                while data := peer.recv(65_536):
                    self.got += len(data)
                    peer.sendall(data)
            except OSError:
                return


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.listener.shutdown(socket.SHUT_RDWR)
    server.listener.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.port) as running:
        yield running


def dial(proxy: Proxy) -> closing[socket.socket]:
    return closing(socket.create_connection(("127.0.0.1", proxy.port), timeout=30))


def receive(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := client.recv(size - len(data))):
        data += more
    return data


def ask(proxy: Proxy) -> bytes:
    """The answer on a new connection."""
    with dial(proxy) as client:
        client.sendall(b"new")
        return receive(client, 3)


def silent(client: socket.socket) -> bool:
    """Nothing to read, and the connection is up."""
    client.settimeout(0.2)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(30)
    return False


def test_it_passes_bytes_and_ends_both_ways(proxy: Proxy) -> None:
    with dial(proxy) as client:
        client.sendall(b"x" * 1_000_000)
        client.shutdown(socket.SHUT_WR)
        assert len(receive(client, 2_000_000)) == 1_000_000
    proxy.wait(lambda p: p.open == 0)
    assert proxy.passed == {"up": 1_000_000, "down": 1_000_000}


@pytest.mark.parametrize("after", [0, 3])
def test_held_bytes_wait_and_go_on(proxy: Proxy, echo: Echo, after: int) -> None:
    with dial(proxy) as client:
        client.sendall(b"before")
        assert receive(client, 6) == b"before"
        proxy.hold("up", after_bytes=after)
        client.sendall(b"held-here")
        assert receive(client, after) == b"held-here"[:after]
        assert silent(client)
        assert echo.got == 6 + after
        proxy.release()
        assert receive(client, 9 - after) == b"held-here"[after:]


def test_an_answer_can_be_held_after_the_server_has_acted(proxy: Proxy, echo: Echo) -> None:
    with dial(proxy) as client:
        proxy.hold("down")
        client.sendall(b"acted")
        proxy.wait(lambda p: p.passed["up"] == 5)
        assert silent(client)
        assert echo.got == 5


def test_a_held_connection_does_not_hold_the_others_bytes_back_for_ever(proxy: Proxy) -> None:
    with dial(proxy) as first, dial(proxy) as second:
        proxy.hold("up", after_bytes=4)
        for client in (first, second):
            client.sendall(b"1234567")
            assert receive(client, 4) == b"1234"


def test_cut_is_an_end_of_stream_and_reset_an_error(proxy: Proxy) -> None:
    with dial(proxy) as client:
        client.sendall(b"up")
        assert receive(client, 2) == b"up"
        proxy.cut()
        assert client.recv(1) == b""
    with dial(proxy) as client:
        client.sendall(b"up")
        assert receive(client, 2) == b"up"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    proxy.wait(lambda p: p.open == 0)


def test_a_reset_planned_in_the_middle_lets_exactly_so_many_bytes_through(proxy: Proxy, echo: Echo) -> None:
    proxy.reset("up", after_bytes=10)
    with dial(proxy) as client:
        client.sendall(b"0123456789abcdef")
        with pytest.raises(ConnectionResetError):
            receive(client, 16)
    proxy.wait(lambda p: p.open == 0)
    assert proxy.passed["up"] == 10
    proxy.release()
    with dial(proxy) as client:
        client.sendall(b"well")
        assert receive(client, 4) == b"well"


def test_refused_connections_leave_open_ones_alone(proxy: Proxy) -> None:
    with dial(proxy) as old:
        old.sendall(b"old")
        assert receive(old, 3) == b"old"
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            ask(proxy)
        old.sendall(b"old")
        assert receive(old, 3) == b"old"
        proxy.accept()
        assert ask(proxy) == b"new"


def test_a_closed_proxy_can_be_started_again_on_its_port(proxy: Proxy) -> None:
    with dial(proxy) as client:
        client.sendall(b"x")
        receive(client, 1)
        proxy.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        dial(proxy)
    proxy.start()
    with dial(proxy) as client:
        client.sendall(b"again")
        assert receive(client, 5) == b"again"


def test_a_server_that_is_down_looks_like_a_reset(proxy: Proxy, echo: Echo) -> None:
    proxy.target = free_port()
    with pytest.raises(ConnectionResetError):
        ask(proxy)
