from __future__ import annotations

import http.client
import io
import json
import socket
import time
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from consumer.adapters import http as subject
from consumer.adapters import logs
from consumer.adapters.health import Health
from consumer.adapters.http import HttpServer
from consumer.adapters.metrics import Metrics
from consumer.core.errors import Stop, UsageError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.fixture
def health() -> Health:
    return Health(10.0, CLOCK)


@pytest.fixture
def server(health: Health) -> Iterator[HttpServer]:
    metrics = Metrics()
    metrics.initialise("zkp2p-events", 0)
    with HttpServer("127.0.0.1", 0, metrics.registry, health) as running:
        yield running


def ask(server: HttpServer, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def raw(server: HttpServer, data: bytes, *, shut: bool = False) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(data)
        if shut:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def test_metrics_are_prometheus_text(server: HttpServer) -> None:
    response, body = ask(server, "/metrics?x=1")
    assert response.status == 200
    assert response.getheader("Content-Type", "").startswith("text/plain; version=0.0.4")
    names = {family.name for family in text_string_to_metric_families(body.decode())}
    assert {"zkp2p_consumer_partition_lag_records", "process_resident_memory_bytes"} <= names


def test_openmetrics_when_asked_for(server: HttpServer) -> None:
    response, body = ask(server, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert "openmetrics" in response.getheader("Content-Type", "")
    assert body.endswith(b"# EOF\n")


def test_readiness_says_why_not(server: HttpServer, health: Health) -> None:
    response, body = ask(server, "/readyz")
    assert response.status == 503
    assert json.loads(body)["why"].startswith("starting")
    health.ready()
    response, body = ask(server, "/readyz")
    assert response.status == 200
    assert json.loads(body) == {"ok": True, "why": "started"}


def test_liveness_follows_the_loop_and_fatal_errors(server: HttpServer, health: Health) -> None:
    assert ask(server, "/livez")[0].status == 200
    CLOCK.now += 11
    response, body = ask(server, "/livez")
    assert response.status == 503
    assert "has not turned for 11 s" in json.loads(body)["why"]
    health.tick()
    assert ask(server, "/livez")[0].status == 200
    health.fatal("fenced")
    response, body = ask(server, "/livez")
    assert response.status == 503
    assert json.loads(body) == {"ok": False, "why": "fatal: fenced"}


def test_head_has_headers_only(server: HttpServer) -> None:
    response, body = ask(server, "/livez", "HEAD")
    assert response.status == 200
    assert body == b""
    assert int(response.getheader("Content-Length", "0")) > 0


@pytest.mark.parametrize("path", ["/", "/metrics/", "/debug", "/../etc/passwd", "//livez/x", "/livez%00"])
def test_nothing_else_is_served(server: HttpServer, path: str) -> None:
    assert ask(server, path)[0].status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"])
def test_other_methods_are_refused(server: HttpServer, method: str) -> None:
    answer = raw(server, f"{method} /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello".encode())
    assert answer.split(b" ")[1] == b"405"
    assert b"Allow: GET, HEAD" in answer


def test_one_request_a_connection(server: HttpServer) -> None:
    answer = raw(server, b"GET /livez HTTP/1.1\r\nConnection: keep-alive\r\n\r\nGET /livez HTTP/1.1\r\n\r\n")
    assert answer.count(b"HTTP/1.") == 1


def test_garbage_gets_an_error_not_a_traceback(server: HttpServer) -> None:
    answer = raw(server, b"\x16\x03\x01\x00\xa5 \x00\xff\r\n\r\n")
    assert b"400" in answer
    assert b"Traceback" not in answer
    assert b"Python" not in answer
    assert ask(server, "/livez")[0].status == 200


def test_a_head_that_is_too_large_is_refused(server: HttpServer) -> None:
    try:
        answer = raw(server, b"GET /livez HTTP/1.1\r\n" + b"X: " + b"y" * (subject.HEAD_BYTES_MAX + 1))
    except ConnectionResetError:  # closed with some of ours unread: also a refusal
        return
    assert answer.startswith(b"HTTP/1.0 431")


def test_a_client_that_hangs_up_is_nothing(server: HttpServer) -> None:
    assert raw(server, b"GET /met", shut=True) == b""


def test_a_slow_head_is_cut_off_however_steadily_it_drips(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "REQUEST_SECONDS_MAX", 0.3)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.settimeout(0.02)
        answer = b""
        for _ in range(500):  # ten seconds of dripping, were nobody to stop it
            try:
                connection.sendall(b"G")
                answer = connection.recv(100)
            except TimeoutError:
                continue
            except ConnectionError:
                answer = b"closed"
            break
    assert answer == b"closed" or answer.startswith(b"HTTP/1.0 408")


def test_connections_are_limited_and_freed(server: HttpServer) -> None:
    idle = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(subject.CONNECTIONS_MAX)]
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as one_more:
            assert closed_unanswered(one_more)
    finally:
        for connection in idle:
            connection.close()
    for _ in range(200):
        try:
            if ask(server, "/livez")[0].status == 200:
                return
        except (http.client.HTTPException, OSError):
            time.sleep(0.02)
    pytest.fail("the connections were never freed")


def closed_unanswered(connection: socket.socket) -> bool:
    try:
        return connection.recv(100) == b""
    except ConnectionError:
        return True


def test_a_taken_port_is_one_clear_line(server: HttpServer, health: Health) -> None:
    with pytest.raises(Stop, match=rf"^HTTP port {server.port} on 127.0.0.1 is taken: .*ZKP2P_HTTP__PORT$"):
        HttpServer("127.0.0.1", server.port, CollectorRegistry(), health)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_a_host_that_is_not_ours_is_one_clear_line(health: Health, host: str) -> None:
    with pytest.raises(UsageError, match="HTTP__HOST"):
        HttpServer(host, 0, CollectorRegistry(), health)


def test_the_port_is_free_again_after_close(health: Health) -> None:
    with HttpServer("127.0.0.1", 0, CollectorRegistry(), health) as first:
        ask(first, "/livez")
    with HttpServer("127.0.0.1", first.port, CollectorRegistry(), health) as second:
        assert second.port == first.port


class _Broken(Collector):
    def collect(self) -> Iterator[Metric]:
        raise ValueError("no figures")


def test_a_failing_metric_is_logged_and_kills_nothing(health: Health) -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Broken())
    with HttpServer("127.0.0.1", 0, registry, health) as server:
        assert raw(server, b"GET /metrics HTTP/1.0\r\n\r\n") == b""
        assert ask(server, "/livez")[0].status == 200
    line = json.loads(stream.getvalue())
    assert line["event"] == "http request failed"
    assert "no figures" in line["exception"]
