"""The start, while the outside world is not there yet."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from consumer import service
from consumer.adapters.health import Health
from consumer.adapters.metrics import Metrics
from consumer.adapters.store import Store
from consumer.core.errors import Retryable
from consumer.settings import load


def test_a_server_that_goes_while_we_start_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def server_time() -> float:
        asked.append("time")
        raise Retryable("the server is shutting down", "aborted")

    lookup = SimpleNamespace(identify=lambda: "topic id", cluster_id="cluster")
    monkeypatch.setattr(service, "Lookup", lambda *_, **__: lookup)
    store = SimpleNamespace(server_time=server_time, version="26", zone="UTC")
    settings = load(environ={"ZKP2P_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    service.consume(settings, Metrics(), Health(60), lambda: bool(asked), store=cast("Store", store))
    assert asked == ["time"]
