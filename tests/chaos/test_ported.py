"""Situations that other consumers' tests taught: ClickHouse's Kafka engine (a broker pause longer than a commit may
take, a failed insert that must leave no hole) and arroyo (assignment while paused, offset out of range, KIP-848)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from confluent_kafka import TopicPartition

from tests.chaos.conftest import OpenStage
from tests.chaos.member import until
from tests.chaos.stage import DATABASE, PARTITIONS, TOPIC, Stage
from tests.chaos.verify import verify

pytestmark = [pytest.mark.slow, pytest.mark.chaos]


@pytest.fixture
def stage(open_stage: OpenStage) -> Iterator[Stage]:
    with open_stage(session_ms=6000) as stage:
        yield stage


def paused(stage: Stage) -> float:
    samples = [sample for member in stage.members for sample in member.metrics().items()]
    return sum(value for name, value in samples if re.match("paused_partitions", name))


def assert_truth(stage: Stage) -> None:
    stage.stop_traffic()
    stage.wait_until_caught_up(90)
    findings, _ = verify(stage)
    assert not findings


def test_partitions_move_while_they_are_paused_and_the_broker_pauses(stage: Stage) -> None:
    # Without an instance id: a static member may be thrown out for good here, and nobody would start it again.
    stage.add_member("m0", static=False).start()
    stage.start_traffic(seed=8, per_second=300)
    stage.wait_until_landing(range(PARTITIONS), 60)
    stage.clickhouse.pause()
    until("all partitions are paused", lambda: paused(stage) == PARTITIONS, 60)
    late = stage.add_member("m1", static=False)
    late.start()  # it waits for ClickHouse before it joins
    stage.clickhouse.resume()
    until("they share", lambda: [len(member.partitions()) for member in stage.members] == [2, 2], 60)
    stage.wait_until_landing(range(PARTITIONS), 60)
    # Longer than a session and than any commit waits for its answer.
    committed = stage.committed()
    stage.kafka.pause()
    silent = ("kafka trouble, waiting for it to pass", "partition released")
    until("the broker is missed", lambda: any(line.event in silent for line in late.said()), 60)
    stage.kafka.resume()
    stage.wait_until_landing(range(PARTITIONS), 90)
    assert all(offset > committed[p][0] for p, (offset, _) in stage.committed().items())
    assert_truth(stage)


def test_kip_848_end_to_end(stage: Stage) -> None:
    protocol = {"KAFKA__GROUP_PROTOCOL": "consumer", "KAFKA__EXTRA": "{}"}
    members = [stage.add_member(f"m{number}", static=False, extra=protocol) for number in range(2)]
    for member in members:
        member.start()
    stage.start_traffic(seed=9, per_second=300)
    until("they share", lambda: [len(member.partitions()) for member in members] == [2, 2], 60)
    stage.wait_until_landing(range(PARTITIONS), 60)
    members[0].terminate()
    assert members[0].wait(30) == 0
    stage.wait_until_landing(range(PARTITIONS), 60)
    moved = [line.fields["kind"] for line in members[1].said() if line.event == "partition ready"][-2:]
    assert moved == ["clean", "clean"], "a clean stop lets the next owner wait for nothing"
    members[0].start()
    until("they share again", lambda: [len(member.partitions()) for member in members] == [2, 2], 60)
    assert_truth(stage)


def test_records_that_the_log_no_longer_has_are_counted_as_missing(stage: Stage) -> None:
    member = stage.add_member("m0", static=True)
    member.start()
    stage.start_traffic(seed=10, per_second=300, events=3000)
    stage.wait_until_landing(range(PARTITIONS), 60)
    member.terminate()
    assert member.wait(30) == 0
    stage.finish_traffic()
    committed = {partition: offset for partition, (offset, _) in stage.committed().items()}
    ends = stage.kafka.end_offsets(TOPIC)
    gone = {partition: (committed[partition] + ends[partition]) // 2 for partition in ends}
    deleted = stage.kafka.admin.delete_records([TopicPartition(TOPIC, p, offset) for p, offset in gone.items()])
    for answer in deleted.values():
        answer.result(30)
    member.start()
    stage.wait_until_caught_up(60)
    missing = sum(gone[partition] - committed[partition] for partition in ends)
    assert missing > 0
    ledger = stage.rows(
        "SELECT sum(missing)::UInt32, sum(inserted + duplicates + rejected + ignored + expired)::UInt32"
        f" FROM {DATABASE}.zkp2p_ingest_ledger FINAL"
    )
    assert ledger == [[missing, sum(ends.values()) - missing]]
