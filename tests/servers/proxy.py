"""A TCP proxy on loopback that misbehaves on command.

    with Proxy(clickhouse.http_port) as proxy:
        client = connect(proxy.url)
        proxy.hold("up", after_bytes=1000)   # the server gets 1000 more bytes of each connection, then silence
        proxy.release()                      # what was held goes on
        proxy.reset()                        # every connection: RST, now
        proxy.refuse()                       # new connections are reset until accept()

Directions: "up" is client to server, "down" is server to client. Bytes are counted for each connection
and direction from the moment of the command, so a kept-alive connection is hurt like a new one.
Threads, because a fault has to hit between two bytes, whatever an event loop is doing.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

from tests.servers.process import free_port

Direction = Literal["up", "down"]
Which = Literal["up", "down", "both"]
Fault = Literal["hold", "cut", "reset"]

_RST_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class _Plan:
    """What happens to one direction of every connection, `after_bytes` from `serial` on."""

    serial: int = 0
    fault: Fault | None = None
    after_bytes: int = 0


@dataclass(eq=False, slots=True)
class _Link:
    client: socket.socket
    server: socket.socket
    spent: dict[Direction, tuple[int, int]] = field(default_factory=dict)
    """Direction: (serial of the plan, bytes passed since it was made)."""
    open_directions: int = 2
    closed: bool = False


class Proxy:
    """Listens on `port` and passes to `target` on 127.0.0.1 until told otherwise. All methods are thread-safe."""

    def __init__(self, target: int, port: int | None = None) -> None:
        self.target = target
        self.port = port or free_port()
        self.connections = 0
        """Accepted so far."""
        self.passed: dict[Direction, int] = {"up": 0, "down": 0}
        """Bytes passed on so far."""
        self._changed = threading.Condition()
        self._serials = itertools.count(1)
        self._plans: dict[Direction, _Plan] = {"up": _Plan(), "down": _Plan()}
        self._links: set[_Link] = set()
        self._refusing = False
        self._listener: socket.socket | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def closed(self) -> bool:
        return self._listener is None

    @property
    def open(self) -> int:
        """Connections that are up now."""
        with self._changed:
            return len(self._links)

    # Commands

    def hold(self, which: Which = "both", after_bytes: int = 0) -> None:
        """Silence: connections stay open, bytes past the limit wait here until `release`."""
        self._plan(which, "hold", after_bytes)

    def cut(self, which: Which = "both", after_bytes: int = 0) -> None:
        """Closes in order (FIN): every connection now, or each once it has passed `after_bytes` that way."""
        self._end("cut", which, after_bytes)

    def reset(self, which: Which = "both", after_bytes: int = 0) -> None:
        """As `cut`, with RST. With `after_bytes`, the fault stays in force for connections to come."""
        self._end("reset", which, after_bytes)

    def refuse(self) -> None:
        """New connections get a RST; those that are open live on."""
        self._refusing = True

    def accept(self) -> None:
        """Ends `refuse`."""
        self._refusing = False

    def release(self) -> None:
        """Everything passes again; what was held goes on."""
        self._plan("both", None, 0)
        self.accept()

    def wait(self, condition: Callable[[Proxy], bool], timeout_seconds: float = 30.0) -> None:
        """Returns once `condition(proxy)` is true, asked whenever bytes pass or a connection comes or goes."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), timeout_seconds):
                raise TimeoutError(f"not within {timeout_seconds:.0f} s: passed {self.passed}, {len(self._links)} open")

    # Life

    def start(self) -> Self:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        self._listener = listener
        threading.Thread(target=self._accept_all, args=(listener,), name=f"proxy:{self.port}", daemon=True).start()
        return self

    def close(self) -> None:
        """Resets every connection and stops listening: from now on connecting is refused by the system."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            listener.close()
        with self._changed:
            for link in list(self._links):
                self._drop(link, "reset")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Inside

    def _plan(self, which: Which, fault: Fault | None, after_bytes: int) -> None:
        directions: tuple[Direction, ...] = ("up", "down") if which == "both" else (which,)
        with self._changed:
            for direction in directions:
                self._plans[direction] = _Plan(next(self._serials), fault, after_bytes)
            self._changed.notify_all()

    def _end(self, fault: Fault, which: Which, after_bytes: int) -> None:
        if after_bytes:
            self._plan(which, fault, after_bytes)
            return
        with self._changed:
            for link in list(self._links):
                self._drop(link, fault)

    def _accept_all(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                if self._refusing:
                    raise ConnectionRefusedError
                server = socket.create_connection(("127.0.0.1", self.target), timeout=10)
            except OSError:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = _Link(client, server)
            with self._changed:
                self.connections += 1
                self._links.add(link)
                self._changed.notify_all()
            for source, sink, direction in ((client, server, "up"), (server, client, "down")):
                threading.Thread(target=self._pump, args=(link, source, sink, direction), daemon=True).start()

    def _pump(self, link: _Link, source: socket.socket, sink: socket.socket, direction: Direction) -> None:
        try:
            while data := source.recv(65_536):
                while data:
                    size = self._allowed(link, direction, len(data))
                    sink.sendall(data[:size])
                    data = data[size:]
                    with self._changed:
                        self.passed[direction] += size
                        self._changed.notify_all()
            self._allowed(link, direction, 1, counts=False)  # an end of stream is held back too
            sink.shutdown(socket.SHUT_WR)
        except OSError as error:
            with self._changed:
                self._drop(link, "reset" if isinstance(error, ConnectionResetError) else "cut")
        with self._changed:
            link.open_directions -= 1
            if not link.open_directions:
                self._drop(link, "cut")

    def _allowed(self, link: _Link, direction: Direction, wanted: int, *, counts: bool = True) -> int:
        """How many of `wanted` bytes may pass now, at least 1; waits while held, ends the link if so planned."""
        with self._changed:
            while True:
                if link.closed:
                    raise ConnectionAbortedError
                plan = self._plans[direction]
                serial, spent = link.spent.get(direction, (0, 0))
                if serial != plan.serial:
                    spent = 0
                size = wanted if plan.fault is None else min(wanted, plan.after_bytes - spent)
                if size > 0:
                    if counts:
                        link.spent[direction] = (plan.serial, spent + size)
                    return size
                if plan.fault != "hold":
                    assert plan.fault is not None
                    self._drop(link, plan.fault)
                    raise ConnectionAbortedError
                self._changed.wait()

    def _drop(self, link: _Link, fault: Fault) -> None:
        """Closes both ends; the lock is held."""
        if link.closed:
            return
        link.closed = True
        self._links.discard(link)
        for end in (link.client, link.server):
            with contextlib.suppress(OSError):
                if fault == "reset":
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
                    end.shutdown(socket.SHUT_RD)  # wakes recv() in the pump without telling the peer
                else:
                    end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._changed.notify_all()
