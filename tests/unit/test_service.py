"""The start, while the outside world is not there yet."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import cast

import pytest

from consumer import service
from consumer.adapters.health import Health
from consumer.adapters.metrics import Metrics
from consumer.adapters.store import Store
from consumer.core.errors import Retryable, Stop
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


class Hangs:
    """An attempt that has no answer until the test says so."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def __call__(self) -> None:
        self.over.wait(30)


def test_a_start_that_hangs_is_alive_ready_and_may_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes a connection and says nothing holds an attempt for its whole time-out."""
    monkeypatch.setattr(service, "WAIT_SECONDS", 0.1)
    hangs, began, health = Hangs(), time.monotonic(), Health(0.5)
    assert service._patiently(hangs, health, Metrics(), lambda: time.monotonic() > began + 1.0) is None
    assert time.monotonic() < began + 10
    assert health.livez().ok
    assert health.readyz().ok
    hangs.over.set()


def test_what_a_start_waits_for_is_counted_and_what_waiting_does_not_mend_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "WAIT_SECONDS", 0.01)
    errors: list[Exception] = [Retryable("no answer", "timeout"), Retryable("no answer", "timeout"), Stop("wrong")]
    metrics = Metrics()

    def attempt() -> None:
        raise errors.pop(0)

    with pytest.raises(Stop, match="wrong"):
        service._patiently(attempt, Health(60), metrics, lambda: False)
    labels = {"step": "start", "cause": "timeout"}
    assert metrics.registry.get_sample_value("zkp2p_consumer_retries_total", labels) == 2
