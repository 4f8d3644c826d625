"""Each test of the suite runs in two worlds: against the simulation's fakes and against the real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.groups import Coordinator, FakeCoordinator, RealCoordinator
from tests.contract.sinks import FakeSink, RealSink, Sink
from tests.servers import ClickHouse, Kafka


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.servers)])
def sink(request: pytest.FixtureRequest) -> Iterator[Sink]:
    if request.param == "fake":
        yield FakeSink()
        return
    real: RealSink = request.getfixturevalue("real_sink")
    yield real


@pytest.fixture
def real_sink(clickhouse: ClickHouse, database: str) -> Iterator[RealSink]:
    sink = RealSink(clickhouse, database)
    yield sink
    sink.close()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.servers)])
def coordinator(request: pytest.FixtureRequest) -> Iterator[Coordinator]:
    if request.param == "fake":
        yield FakeCoordinator()
        return
    real: RealCoordinator = request.getfixturevalue("real_coordinator")
    yield real


@pytest.fixture
def real_coordinator(kafka: Kafka) -> Iterator[RealCoordinator]:
    coordinator = RealCoordinator(kafka)
    yield coordinator
    coordinator.close()
