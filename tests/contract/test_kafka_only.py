"""What only a real broker can show. The simulation draws either where the broker's answer depends on luck: whether
offsets survive the deletion of their topic depends on how soon the broker comes round to it."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from consumer.adapters.lookup import Lookup
from consumer.settings import KafkaSettings
from tests.contract.groups import RealCoordinator
from tests.servers import KafkaServer

pytestmark = pytest.mark.servers


def settings_of(coordinator: RealCoordinator) -> KafkaSettings:
    bootstrap = coordinator.kafka.bootstrap
    return KafkaSettings(bootstrap_servers=bootstrap, topic=coordinator.topic, group_id=coordinator.group)


def test_offsets_go_with_their_topic(real_coordinator: RealCoordinator) -> None:
    member = real_coordinator.join()
    real_coordinator.settle()
    member.commit(5, '{"t":"T","g":"G","p":0,"d":7}')
    member.leave()
    lookup = Lookup(settings_of(real_coordinator))
    found = lookup.committed(0)
    assert found.offset == 5
    assert found.note is not None
    before = lookup.identify()
    real_coordinator.kafka.delete_topic(real_coordinator.topic)
    real_coordinator.kafka.create_topic(real_coordinator.topic, 1)
    deadline = time.monotonic() + 30
    while lookup.committed(0).offset is not None:
        assert time.monotonic() < deadline, "the offset is still there"
        time.sleep(0.1)
    assert lookup.identify() != before, "the new topic has another id"


def test_commits_survive_the_brokers_sudden_death(kafka_process: KafkaServer) -> None:
    coordinator = RealCoordinator(kafka_process)
    member = coordinator.join()
    coordinator.settle()
    member.commit(5, "note")
    kafka_process.kill()
    kafka_process.start()
    assert coordinator.committed() == (5, "note")
    coordinator.close()


def test_only_the_current_generation_may_commit(real_coordinator: RealCoordinator) -> None:
    """Spoken by hand, as no client lets its caller choose a generation."""
    member = real_coordinator.join()
    real_coordinator.settle()
    host, port = real_coordinator.kafka.bootstrap.split(":")
    answers = {
        generation: _commit_by_hand(
            (host, int(port)), real_coordinator.group, real_coordinator.topic, member.consumer.memberid(), generation
        )
        for generation in range(6)
    }
    taken = [generation for generation, error in answers.items() if error == 0]
    assert len(taken) == 1
    illegal_generation = 22
    assert all(error == illegal_generation for generation, error in answers.items() if generation not in taken)


def _commit_by_hand(address: tuple[str, int], group: str, topic: str, member: str, generation: int) -> int:
    """OffsetCommit, version 5, of offset 1 of partition 0; returns the partition's error code."""

    def text(value: str) -> bytes:
        return struct.pack(">h", len(value.encode())) + value.encode()

    header = struct.pack(">hhi", 8, 5, 1) + text("by hand")
    partition = struct.pack(">iq", 0, 1) + text("")
    body = text(group) + struct.pack(">i", generation) + text(member)
    body += struct.pack(">i", 1) + text(topic) + struct.pack(">i", 1) + partition
    request = header + body
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        stream = connection.makefile("rb")
        answer = stream.read(struct.unpack(">i", stream.read(4))[0])
        stream.close()
    return int(struct.unpack(">h", answer[-2:])[0])
