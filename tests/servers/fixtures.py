"""pytest's side of the servers: one of each a session, fresh names a test.

    kafka, clickhouse    session: a running broker, a running server
    topic, database      function: a fresh topic of 4 partitions, a fresh empty database; both are dropped
    kafka_process, clickhouse_process
                         function: a server of the test's own, to be killed, paused and restarted

Where there is no way to a server its tests skip and say why; with ZKP2P_TEST_REQUIRE_SERVERS=1 they fail.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import pytest

from tests.servers import ClickHouse, ClickHouseServer, Kafka, KafkaServer, Server, Unavailable
from tests.servers.ways import clickhouse_server, kafka_server

S = TypeVar("S", bound=Server)

REQUIRED = os.environ.get("ZKP2P_TEST_REQUIRE_SERVERS", "") not in ("", "0")


def missing(server: str, reason: Unavailable) -> None:
    """Skips the test, or fails it where servers are required."""
    if REQUIRED:
        pytest.fail(f"ZKP2P_TEST_REQUIRE_SERVERS is set, but there is no way to a {server}: {reason}", pytrace=False)
    pytest.skip(f"no way to a {server}: {reason}")


@contextmanager
def _or_skip(server: str, way: AbstractContextManager[S]) -> Iterator[S]:
    try:
        running = way.__enter__()
    except Unavailable as reason:
        missing(server, reason)
        raise
    try:
        yield running
    finally:
        way.__exit__(None, None, None)


@contextmanager
def clickhouse_of_its_own(**options: Any) -> Iterator[ClickHouseServer]:
    """A running `ClickHouseServer` with these options; skips or fails like a fixture where there can be none."""
    try:
        server = ClickHouseServer(**options)
    except Unavailable as reason:
        missing("ClickHouse of its own", reason)
        raise
    with _or_skip("ClickHouse of its own", server) as running:
        yield running


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """A running broker, shared by all tests: don't hurt it."""
    with _or_skip("Kafka", kafka_server()) as server:
        yield server


@pytest.fixture(scope="session")
def clickhouse() -> Iterator[ClickHouse]:
    """A running ClickHouse in UTC, shared by all tests: don't hurt it."""
    with _or_skip("ClickHouse", clickhouse_server()) as server:
        yield server


@pytest.fixture
def topic(kafka: Kafka) -> Iterator[str]:
    """The name of a fresh topic of 4 partitions."""
    name = f"test-{uuid.uuid4()}"
    kafka.create_topic(name, partitions=4)
    yield name
    kafka.delete_topic(name)


@pytest.fixture
def database(clickhouse: ClickHouse) -> Iterator[str]:
    """The name of a fresh, empty database."""
    name = f"test_{uuid.uuid4().hex}"
    clickhouse.query(f"CREATE DATABASE {name}")
    yield name
    clickhouse.query(f"DROP DATABASE {name} SYNC")


@pytest.fixture
def kafka_process() -> Iterator[KafkaServer]:
    """A broker of the test's own, with a proxy before it: kill it, pause it, restart it."""
    try:
        server = KafkaServer(with_proxy=True)
    except Unavailable as reason:
        missing("Kafka of its own", reason)
        raise
    with _or_skip("Kafka of its own", server) as running:
        yield running


@pytest.fixture
def clickhouse_process() -> Iterator[ClickHouseServer]:
    """A ClickHouse of the test's own: kill it, pause it, restart it."""
    with clickhouse_of_its_own() as running:
        yield running
