"""Starting towards servers that take a connection and say nothing: alive, ready, and stopped when told to."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process import ConsumerProcess, until


@pytest.fixture
def silent() -> Iterator[str]:
    """host:port of somebody who listens and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def ask(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_silent_clickhouse(silent: str, tmp_path: Path) -> None:
    settings = {"KAFKA__BOOTSTRAP_SERVERS": silent, "CLICKHOUSE__URL": f"http://{silent}"}
    with ConsumerProcess(tmp_path, settings) as process:
        port = int(process.wait_for_event("starting")["http_port"])
        until(lambda: ask(port, "/readyz") == 200, 30, lambda: process.text)
        assert ask(port, "/livez") == 200
        assert process.stop(timeout=20) == 0, process.text  # an attempt waits for its answer longer than that
        assert "stopped" in [event["event"] for event in process.events]
