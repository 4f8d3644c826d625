"""The one port of the process: /metrics, /livez and /readyz, nothing else, for anybody who can reach it.

Every input has a limit: GET and HEAD only, a request head of at most 8 KiB that must be complete within 5 s,
no body, one request a connection, at most 16 connections at once (the rest are closed unanswered).
"""

from __future__ import annotations

import errno
import io
import socket
import socketserver
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Self, cast
from urllib.parse import urlsplit

import orjson
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from consumer.adapters.health import Health, Verdict
from consumer.core.errors import Stop, UsageError

HEAD_BYTES_MAX = 8192
REQUEST_SECONDS_MAX = 5.0
CONNECTIONS_MAX = 16
PATHS = ("/metrics", "/livez", "/readyz")

log = structlog.get_logger("http")


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_SECONDS_MAX  # of one read or one write; _read_head adds the limit of the whole head
    server_version = "zkp2p-consumer"
    sys_version = ""
    error_content_type = "text/plain"
    error_message_format = "%(code)d %(message)s\n"

    def handle(self) -> None:
        try:
            head = self._read_head()
            if head:
                self.rfile = io.BufferedReader(io.BytesIO(head))
                super().handle()
        except OSError as error:  # the client went away or was too slow in reading its answer
            log.debug("http connection lost", cause=type(error).__name__)

    def _read_head(self) -> bytes:
        """The request up to its empty line; empty when there is none to answer."""
        deadline = time.monotonic() + REQUEST_SECONDS_MAX
        head = b""
        while b"\r\n\r\n" not in head and b"\n\n" not in head:
            left = deadline - time.monotonic()
            if left <= 0 or len(head) > HEAD_BYTES_MAX:
                late = left <= 0
                self._refuse(HTTPStatus.REQUEST_TIMEOUT if late else HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                return b""
            self.connection.settimeout(left)
            try:
                piece = self.connection.recv(HEAD_BYTES_MAX)
            except TimeoutError:
                continue
            if not piece:
                return b""
            head += piece
        self.connection.settimeout(REQUEST_SECONDS_MAX)
        return head

    def _refuse(self, status: HTTPStatus) -> None:
        """An answer to a request whose head could not be read."""
        self.wfile.write(f"HTTP/1.0 {status.value} {status.phrase}\r\nConnection: close\r\n\r\n".encode())

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        self.close_connection = True
        if self.command in ("GET", "HEAD"):
            return True
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"GET or HEAD only\n", {"Allow": "GET, HEAD"})
        return False

    def do_GET(self) -> None:
        owner = cast("_Server", self.server)
        path = urlsplit(self.path).path
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, content_type, encode(owner.registry))
        elif path == "/livez":
            self._verdict(owner.health.livez())
        elif path == "/readyz":
            self._verdict(owner.health.readyz())
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", (" ".join(PATHS) + "\n").encode())

    do_HEAD = do_GET  # noqa: N815 - the name http.server looks for

    def _verdict(self, verdict: Verdict) -> None:
        status = HTTPStatus.OK if verdict.ok else HTTPStatus.SERVICE_UNAVAILABLE
        body = orjson.dumps({"ok": verdict.ok, "why": verdict.why}, option=orjson.OPT_APPEND_NEWLINE)
        self._answer(status, "application/json", body)

    def _answer(
        self, status: HTTPStatus, content_type: str, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Nothing: a line a scrape helps nobody, and a stranger's request line has no place in our log."""


class _Server(socketserver.ThreadingTCPServer):
    # TCPServer and not HTTPServer, whose bind asks DNS for the host's full name.
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, family: int, address: tuple[str, int], registry: CollectorRegistry, health: Health) -> None:
        self.address_family = family
        self.registry = registry
        self.health = health
        self._free = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__(address, _Handler)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread was started: nobody else would release
            self._free.release()
            raise

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, *_: object) -> None:
        # socketserver calls this while it handles the exception.
        log.error("http request failed", exc_info=sys.exc_info())


class HttpServer:
    """Serves from its construction until `close`; a context manager."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, health: Health) -> None:
        """Port 0 takes a free one, see `port`. Raises Stop when the port can't be had, UsageError for a bad host."""
        self._server = _bind(host, port, registry, health)
        self.host = host
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops listening; requests under way are left to finish or to die with the process."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _bind(host: str, port: int, registry: CollectorRegistry, health: Health) -> _Server:
    try:
        family = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return _Server(family, (host, port), registry, health)
    except socket.gaierror:
        raise UsageError(f"HTTP__HOST {host!r} is no address of this machine: use 0.0.0.0, :: or 127.0.0.1") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Stop(
                f"HTTP port {port} on {host} is taken: stop what listens there or set ZKP2P_HTTP__PORT"
            ) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(
                f"HTTP__HOST {host!r} is no address of this machine: use 0.0.0.0, :: or 127.0.0.1"
            ) from None
        if error.errno == errno.EACCES:
            raise Stop(f"HTTP port {port} needs more rights: set ZKP2P_HTTP__PORT to one above 1023") from None
        raise Stop(f"HTTP port {port} on {host} can't be opened ({error.strerror}): set ZKP2P_HTTP__PORT") from None
