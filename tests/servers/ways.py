"""Which server there is: the first of these ways that works.

    1. ZKP2P_TEST_KAFKA (host:port), ZKP2P_TEST_CLICKHOUSE (http URL): servers somebody runs
    2. Docker, with the official images
    3. a process of our own, from Maven's jars and npm's library, fetched once into .cache/

A set address that doesn't answer is an error, not a reason to look further.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from tests.servers.base import Server, Unavailable
from tests.servers.clickhouse import ClickHouse, ClickHouseServer, ForeignClickHouse
from tests.servers.docker import DockerClickHouse, DockerKafka
from tests.servers.kafka import ForeignKafka, Kafka, KafkaServer

S = TypeVar("S", bound=Server)


def _first(ways: Mapping[str, Callable[[], S]]) -> S:
    """Started by the first way that works; raises Unavailable with every reason where none does."""
    reasons = []
    for way, make in ways.items():
        server: S | None = None
        try:
            server = make()
            return server.start()
        except Unavailable as reason:
            if server is not None:
                server.close()
            reasons.append(f"{way}: {reason}")
    raise Unavailable("; ".join(reasons))


@contextmanager
def kafka_server(*, quick: bool = True) -> Iterator[Kafka]:
    """A broker for as long as the block runs. Raises Unavailable, saying why, where there is no way to one.

    `quick`: one of our own starts in half the time and never compiles its best code; False for benches.
    """
    if address := os.environ.get("ZKP2P_TEST_KAFKA"):
        kafka: Kafka = ForeignKafka(address)
        if not kafka.answers():
            raise RuntimeError(f"no broker answers at ZKP2P_TEST_KAFKA={address}")
    else:
        kafka = _first({"Docker": DockerKafka, "Maven": lambda: KafkaServer(quick=quick)})
    try:
        yield kafka
    finally:
        kafka.close()


@contextmanager
def clickhouse_server() -> Iterator[ClickHouse]:
    """A ClickHouse for as long as the block runs. Raises Unavailable, saying why, where there is no way to one."""
    if url := os.environ.get("ZKP2P_TEST_CLICKHOUSE"):
        clickhouse: ClickHouse = ForeignClickHouse(url)
        try:
            clickhouse.query("SELECT 1")
        except (OSError, ValueError) as error:
            raise RuntimeError(f"no ClickHouse answers at ZKP2P_TEST_CLICKHOUSE={clickhouse.url}: {error}") from None
    else:
        clickhouse = _first({"Docker": DockerClickHouse, "npm": ClickHouseServer})
    try:
        yield clickhouse
    finally:
        clickhouse.close()
