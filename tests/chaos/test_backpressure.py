"""Outages under load: partitions pause, polling goes on, nobody is thrown out of the group, memory stays bounded,
and all goes on by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import orjson
import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from consumer.demo.truth import Letter, digest
from tests.chaos.conftest import OpenStage
from tests.chaos.member import until
from tests.chaos.stage import DATABASE, PARTITIONS, TOPIC, Stage
from tests.chaos.verify import verify

pytestmark = [pytest.mark.slow, pytest.mark.chaos]

DLQ = f"{TOPIC}.dlq"
GROWTH_BYTES_MAX = 160 * 1024 * 1024
"""Far above what two busy minutes cost, far below the records that wait in an unbounded buffer of a long outage:
the client's fetch queue (64 MiB a process) is the largest part."""
OUTAGE_RECORDS = 4000
"""An outage lasts until so many more were produced: some seconds longer than a session at this rate."""


@pytest.fixture(scope="module")
def stage(open_stage: OpenStage) -> Iterator[Stage]:
    """Two members under load without a bad record but those that a test adds."""
    with open_stage(session_ms=6000) as stage:
        for number in range(2):
            stage.add_member(f"m{number}", static=True).start()
        stage.start_traffic(seed=6, per_second=400, broken=0.0)
        until("each member has half", lambda: all(len(m.partitions()) == 2 for m in stage.members), 60)
        stage.wait_until_landing(range(PARTITIONS), 60)
        yield stage
        stage.stop_traffic()
        stage.wait_until_caught_up(90)
        findings, _ = verify(stage, REJECTS, len(GONE))
        assert not findings


REJECTS: list[Letter] = []
"""Bad records, in the order in which they were produced."""
GONE: list[Letter] = []
"""Those of them whose dead letters were deleted with the topic."""


def total(stage: Stage, pattern: str) -> float:
    """Sum over both members; they have to answer, which they do from a thread of their own."""
    found = [member.metrics() for member in stage.members]
    assert all(found)
    return sum(value for samples in found for name, value in samples.items() if re.match(pattern, name))


def produced(stage: Stage) -> int:
    return sum(stage.kafka.end_offsets(TOPIC).values())


def outlive(stage: Stage, begin: Callable[[], object], end: Callable[[], object], cause: str) -> None:
    """From `begin` to `end` nothing lands, and then everything goes on."""
    rebalances, retries = total(stage, "rebalances_total"), total(stage, rf'retries_total\{{cause="{cause}"')
    sizes = [member.rss_bytes for member in stage.members]
    begin()
    until("all partitions are paused", lambda: total(stage, "paused_partitions") == PARTITIONS, 60)
    goal, lag = produced(stage) + OUTAGE_RECORDS, total(stage, "partition_lag_records")
    until("the outage is long enough", lambda: produced(stage) > goal, 60)
    behind = lag + OUTAGE_RECORDS / 2
    until("the lag grows although nobody reads", lambda: total(stage, "partition_lag_records") > behind, 60)
    assert total(stage, rf'retries_total\{{cause="{cause}"') > retries
    for member, size in zip(stage.members, sizes, strict=True):
        assert member.rss_bytes < size + GROWTH_BYTES_MAX
    end()
    stage.wait_until_landing(range(PARTITIONS), 90)
    until("nothing is paused", lambda: total(stage, "paused_partitions") == 0, 60)
    assert total(stage, "rebalances_total") == rebalances
    assert all(member.running for member in stage.members)


def test_clickhouse_stands_still(stage: Stage) -> None:
    outlive(stage, stage.clickhouse.pause, stage.clickhouse.resume, "timeout")


def test_clickhouse_is_down(stage: Stage) -> None:
    outlive(stage, stage.clickhouse.kill, stage.clickhouse.start, "network")


def test_too_many_parts(stage: Stage) -> None:
    table = f"{DATABASE}.zkp2p_payment_events"
    outlive(
        stage,
        lambda: stage.clickhouse.query(f"ALTER TABLE {table} MODIFY SETTING parts_to_throw_insert = 1"),
        lambda: stage.clickhouse.query(f"ALTER TABLE {table} RESET SETTING parts_to_throw_insert"),
        "too_many_parts",
    )


def produce_bad(stage: Stage, partition: int) -> int:
    """Its offset."""
    offsets: list[int | None] = []
    value = orjson.dumps([partition, len(REJECTS)])
    producer = Producer(stage.kafka.client_config)
    producer.produce(TOPIC, value, None, partition, on_delivery=lambda _, message: offsets.append(message.offset()))
    producer.flush(30)
    REJECTS.append(Letter("not_an_object", "", digest(value)))
    assert offsets[0] is not None
    return offsets[0]


def dead_letters(stage: Stage) -> int:
    """How many there are; 0 also while the topic is being made."""
    try:
        return len(stage.kafka.read(DLQ)) if DLQ in stage.kafka.admin.list_topics(timeout=30).topics else 0
    except KafkaException:
        return 0


def test_a_missing_dead_letter_topic_is_made(stage: Stage) -> None:
    produce_bad(stage, 0)
    until("a dead letter", lambda: dead_letters(stage) == 1, 60)
    stage.kafka.delete_topic(DLQ)
    GONE.extend(REJECTS)
    produce_bad(stage, 0)
    stage.wait_until_landing(range(PARTITIONS), 90)
    assert dead_letters(stage) == 1


def test_a_dead_letter_topic_that_refuses_holds_up_those_who_need_it(stage: Stage) -> None:
    def set_policy(policy: str) -> None:
        entry = ConfigEntry("cleanup.policy", policy, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, DLQ, incremental_configs=[entry])
        stage.kafka.admin.incremental_alter_configs([resource])[resource].result(30)

    def refused() -> float:
        return total(stage, r'retries_total\{cause="invalid_record",step="dead_letters"')

    rebalances = total(stage, "rebalances_total")
    set_policy("compact")  # takes no record without a key
    offset = produce_bad(stage, 0)
    until("its dead letter is refused", lambda: refused() > 0, 90)
    for _ in range(2):
        stage.wait_until_landing(range(1, PARTITIONS), 60)
        assert stage.ledger_ends()[0] <= offset
    set_policy("delete")
    stage.wait_until_landing(range(PARTITIONS), 90)
    assert total(stage, "rebalances_total") == rebalances
