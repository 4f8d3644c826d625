"""What a topic may hold beside plain records: transactions, what compaction left, batches by every codec."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.integration.conftest import consume_all, payment
from tests.integration.truths import spent
from tests.process import ConsumerProcess, run_command
from tests.servers import ClickHouse, Kafka
from tests.servers.process import free_port

pytestmark = [pytest.mark.servers, pytest.mark.slow]

Begin = Callable[[], "Transaction"]


class Transaction:
    """Events in partition 0 that count together or not at all."""

    def __init__(self, bootstrap: str, topic: str, number: int) -> None:
        self._topic = topic
        self._producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{topic}-{number}"})
        self._producer.init_transactions(30)
        self._producer.begin_transaction()

    def write(self, events: range) -> Transaction:
        for event in events:
            self._producer.produce(self._topic, payment(event), f"s{event}", partition=0)
        assert self._producer.flush(30) == 0
        return self

    def commit(self) -> None:
        self._producer.commit_transaction(30)

    def abort(self) -> None:
        self._producer.abort_transaction(30)


@pytest.fixture
def begin(kafka: Kafka, topic: str) -> Begin:
    begun: list[Transaction] = []

    def one() -> Transaction:
        begun.append(Transaction(kafka.bootstrap, topic, len(begun)))
        return begun[-1]

    return one


def lag(port: int, topic: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    name = f'zkp2p_consumer_partition_lag_records{{partition="0",topic="{topic}"}} '
    return float(next(line.removeprefix(name) for line in text.splitlines() if line.startswith(name)))


def test_what_a_transaction_took_back_is_missing_and_no_row(
    kafka: Kafka, clickhouse: ClickHouse, settings: dict[str, str], begin: Begin, tmp_path: Path
) -> None:
    """Every transaction ends with a marker, an offset without a record; the last of them is the log's end."""
    begin().write(range(100)).commit()
    begin().write(range(100, 150)).abort()
    begin().write(range(150, 250)).commit()
    assert run_command("migrate", settings=settings).returncode == 0
    consume_all(kafka, settings, tmp_path)
    begin().write(range(250, 280)).abort()
    begin().write(range(280, 290)).write(range(5)).commit()
    begin().write(range(290, 300)).abort()
    consume_all(kafka, settings, tmp_path)

    found = spent(clickhouse, settings["CLICKHOUSE__DATABASE"])
    assert {name: count for name, count in found.items() if count} == {
        "inserted": 210,
        "duplicates": 5,
        "missing": 50 + 30 + 10 + 6,
    }
    audited = run_command("audit", settings=settings)
    assert audited.returncode == 0, audited.stdout + audited.stderr


def test_an_undecided_transaction_holds_back_what_is_behind_it_also_for_a_successor(
    kafka: Kafka, clickhouse: ClickHouse, settings: dict[str, str], topic: str, begin: Begin, tmp_path: Path
) -> None:
    database = settings["CLICKHOUSE__DATABASE"]
    port = free_port()
    begin().write(range(10)).commit()
    undecided = begin().write(range(10, 30))
    begin().write(range(30, 100)).commit()
    assert run_command("migrate", settings=settings).returncode == 0
    for name in ("first", "second"):
        with ConsumerProcess(tmp_path, {**settings, "HTTP__PORT": str(port)}, name) as consumer:
            consumer.wait_for_event("partition ready", partition=0)
            consumer.wait_for(lambda: spent(clickhouse, database)["inserted"] == 10)
            consumer.wait_for(lambda: lag(port, topic) == 91, 20)  # the log's end, not that of what is decided
            if name == "second":
                undecided.commit()
                consumer.wait_for(lambda: spent(clickhouse, database)["inserted"] == 100)
                consumer.wait_for(lambda: lag(port, topic) == 0, 20)
            assert consumer.stop() == 0, consumer.text[-2000:]
    assert spent(clickhouse, database)["missing"] == 3
    audited = run_command("audit", settings=settings)
    assert audited.returncode == 0, audited.stdout + audited.stderr


def test_what_compaction_took_is_missing_and_the_rest_lands(
    kafka: Kafka, clickhouse: ClickHouse, settings: dict[str, str], topic: str, tmp_path: Path
) -> None:
    """`check` warns of such a topic; `run` makes of it what there is."""
    policy = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01"}
    kafka.delete_topic(topic)
    kafka.create_topic(topic, partitions=1, config=policy)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for event in range(300):
        producer.produce(topic, payment(event), f"key {event % 100}")
    assert producer.flush(30) == 0
    deadline = time.monotonic() + 60
    while len(kafka.read(topic)) > 150:
        assert time.monotonic() < deadline, "the broker has not compacted"
        time.sleep(0.5)
        producer.produce(topic, payment(1000), "one more")  # only a segment that is no longer written to is compacted
        assert producer.flush(30) == 0

    assert run_command("migrate", settings=settings).returncode == 0
    consume_all(kafka, settings, tmp_path)
    found = spent(clickhouse, settings["CLICKHOUSE__DATABASE"])
    assert found["inserted"] == 101, "of each key the last"
    assert found["missing"] >= 200
    assert sum(found.values()) == kafka.end_offsets(topic)[0]
    audited = run_command("audit", settings=settings)
    assert audited.returncode == 0, audited.stdout + audited.stderr


def test_every_codec(
    kafka: Kafka, clickhouse: ClickHouse, settings: dict[str, str], topic: str, tmp_path: Path
) -> None:
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    for number, codec in enumerate(codecs):
        producer = Producer({"bootstrap.servers": kafka.bootstrap, "compression.type": codec, "linger.ms": 100})
        for event in range(100 * number, 100 * number + 100):
            producer.produce(topic, payment(event), f"s{event}")
        assert producer.flush(30) == 0
    assert run_command("migrate", settings=settings).returncode == 0
    consume_all(kafka, settings, tmp_path)
    found = spent(clickhouse, settings["CLICKHOUSE__DATABASE"])
    assert {name: count for name, count in found.items() if count} == {"inserted": 100 * len(codecs)}
