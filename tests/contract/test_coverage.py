"""Members that join again: for a partition that a rebalance has left with nobody, and to have late commits refused."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, TopicPartition

from consumer.adapters.coverage import LOOK_SECONDS, Coverage
from consumer.adapters.group import Group
from consumer.adapters.kafka import consumer_config
from consumer.settings import KafkaSettings
from tests.servers import Kafka

pytestmark = pytest.mark.servers


class Member:
    """A group's member as `run` has it, with what it owns and how often it was asked to give something up."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.owned: set[int] = set()
        self.revocations = 0
        self.group = Group(settings, on_assign=self.owned.update, on_revoke=self._revoked, on_lost=self._revoked)
        self.group.subscribe()
        self.now = 0.0
        self.coverage = Coverage(settings, lambda: self.now)

    def _revoked(self, partitions: list[int]) -> None:
        self.owned.difference_update(partitions)
        self.revocations += 1

    def look(self) -> bool:
        self.now += LOOK_SECONDS
        return self.coverage.needs(self.group.member_id)


def poll_until(members: list[Member], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        for member in members:
            member.group.poll(100, 0.05)


def test_the_successor_of_a_member_that_died_while_it_gave_something_up(kafka: Kafka, topic: str) -> None:
    common = {"bootstrap_servers": kafka.bootstrap, "topic": topic, "group_id": f"g-{uuid.uuid4()}"}
    common["extra"] = {"session.timeout.ms": "6000"}  # type: ignore[assignment]
    static, dynamic = (KafkaSettings.model_validate({**common, **more}) for more in ({"instance_id": "a"}, {}))

    dies, owns_all, over = threading.Event(), threading.Event(), threading.Event()
    partitions: set[int] = set()

    def assigned(_consumer: Consumer, places: list[TopicPartition]) -> None:
        partitions.update(place.partition for place in places)
        if len(partitions) == 4:
            owns_all.set()

    def revoked(_consumer: Consumer, _places: list[TopicPartition]) -> None:
        dies.set()
        over.wait(120)  # it will never join again: as good as dead

    def live_and_die() -> None:
        victim = Consumer({**consumer_config(static), "log_level": 0})
        victim.subscribe([topic], on_assign=assigned, on_revoke=revoked)
        while not dies.is_set():
            victim.poll(0.1)
        victim.close()

    thread = threading.Thread(target=live_and_die)
    thread.start()
    members: list[Member] = []
    try:
        assert owns_all.wait(60)
        members.append(Member(dynamic))
        poll_until(members, dies.is_set)
        members.append(Member(static))
        poll_until(members, lambda: bool(members[1].owned))
        assert not any(member.look() for member in members), "one look is no proof"
        poll_until(members, lambda: all(member.group.member_id for member in members))
        nobodys = set(range(4)) - members[0].owned - members[1].owned
        assert nobodys, "the broker has mended it by itself: then `Coverage` has become needless"
        members[0].look(), members[1].look()
        asking = [member for member in members if member.look()]
        assert len(asking) == 1, "one acts for all"
        asking[0].group.rejoin_soon()
        poll_until(members, lambda: members[0].owned | members[1].owned == set(range(4)))
        assert not members[0].owned & members[1].owned
        assert not any(member.revocations for member in members), "nobody had to give anything up"
        assert not any(member.look() for member in members for _ in range(3)), "and there is nothing left to do"
    finally:
        over.set()
        thread.join(60)
        for member in members:
            member.group.close()


@pytest.mark.parametrize("instance_id", [None, "a"])
def test_one_that_leaves_comes_back_as_another_member(kafka: Kafka, topic: str, instance_id: str | None) -> None:
    group_id = f"g-{uuid.uuid4()}"
    member = Member(
        KafkaSettings(bootstrap_servers=kafka.bootstrap, topic=topic, group_id=group_id, instance_id=instance_id)
    )
    try:
        poll_until([member], lambda: member.owned == set(range(4)))
        known_as = member.group.member_id
        member.group.leave_soon()
        poll_until([member], lambda: member.revocations > 0)
        poll_until([member], lambda: member.owned == set(range(4)))
        assert member.group.member_id != known_as, "what the old member committed and has not arrived is refused"
    finally:
        member.group.close()
