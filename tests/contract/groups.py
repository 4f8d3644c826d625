"""The simulation's group coordinator and a real one behind one face. The topic has one partition."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition

from consumer.adapters.group import _commit_error
from consumer.sim.broker import Broker
from consumer.sim.group import Group
from consumer.sim.scheduler import Scheduler
from tests.servers import Kafka


class Member(Protocol):
    """`owns` and `silent` may be looked at and set; a silent one sends heartbeats and takes part in nothing."""

    silent: bool

    @property
    def owns(self) -> bool: ...
    def commit(self, offset: int, metadata: str) -> None:
        """Raises Fenced or another ConsumerError."""

    def leave(self) -> None: ...


class Coordinator(Protocol):
    def join(self) -> Member: ...
    def settle(self) -> None:
        """Returns when all members but the silent ones have the assignment that they are going to have."""

    def committed(self) -> tuple[int, str] | None:
        """Offset and metadata; None when there is no commit. Metadata that isn't there is ''."""

    def reset(self, offset: int) -> None:
        """As an operator's tool does; all members must have left."""


class FakeMember:
    def __init__(self, group: Group) -> None:
        self._group = group
        self.silent = False
        self.generation = -1
        self.partitions: frozenset[int] = frozenset()
        self.id = group.join(self, None)

    @property
    def owns(self) -> bool:
        return bool(self.partitions)

    def commit(self, offset: int, metadata: str) -> None:
        self._group.commit(self.id, self.generation, {0: (offset, metadata)})

    def leave(self) -> None:
        self._group.leave(self.id)

    def on_rebalance(self, member_id: int, number: int) -> None:
        if not self.silent and self._group.is_preparing(number):
            self._group.rejoin(member_id, self.partitions)

    def on_assigned(self, _member_id: int, generation: int, partitions: frozenset[int]) -> None:
        if not self.silent:
            self.generation, self.partitions = generation, partitions

    def on_expelled(self, member_id: int) -> None: ...
    def on_fatal(self, member_id: int) -> None: ...


class FakeCoordinator:
    def __init__(self) -> None:
        self._broker, self._scheduler = Broker(1), Scheduler()
        self._group = Group("g", self._broker, self._scheduler, Random(1), False, 10.0, lambda *_: None)

    def join(self) -> FakeMember:
        return FakeMember(self._group)

    def settle(self) -> None:
        self._scheduler.run_until(self._scheduler.now + 60)

    def committed(self) -> tuple[int, str] | None:
        found = self._broker.groups["g"].offsets.get(0) if "g" in self._broker.groups else None
        return None if found is None else (found[0], found[1] or "")

    def reset(self, offset: int) -> None:
        self._broker.store_offset("g", 0, offset, None)


class RealMember:
    def __init__(self, world: RealCoordinator) -> None:
        self._topic = world.topic
        self.silent = False
        self.partitions: set[int] = set()
        self.rebalances = 0
        config: dict[str, Any] = {
            **world.kafka.client_config,
            "group.id": world.group,
            "enable.auto.commit": False,
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 6000,
            "max.poll.interval.ms": 6000,
            "heartbeat.interval.ms": 300,
            "log_level": 0,
        }
        self.consumer = Consumer(config)
        self.consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    @property
    def owns(self) -> bool:
        return bool(self.partitions)

    def commit(self, offset: int, metadata: str) -> None:
        place = TopicPartition(self._topic, 0, offset, metadata=metadata)
        try:
            (answer,) = self.consumer.commit(offsets=[place], asynchronous=False) or []
        except KafkaException as error:
            raise _commit_error(error.args[0]) from None
        if answer.error is not None:
            raise _commit_error(answer.error)

    def leave(self) -> None:
        self.consumer.close()

    def _assigned(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.rebalances += 1
        self.partitions |= {place.partition for place in partitions}

    def _revoked(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.rebalances += 1
        self.partitions -= {place.partition for place in partitions}


class RealCoordinator:
    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka
        self.topic = self.group = f"contract-{uuid.uuid4()}"
        kafka.create_topic(self.topic, 1)
        self._members: list[RealMember] = []

    def join(self) -> RealMember:
        member = RealMember(self)
        self._members.append(member)
        return member

    def settle(self) -> None:
        def settled(awake: list[RealMember]) -> bool:
            return all(m.rebalances for m in awake) and sum(m.owns for m in awake) == 1

        self._until("the group settles", lambda: settled(self._awake()))

    def _awake(self) -> list[RealMember]:
        return [member for member in self._members if not member.silent]

    def _until(self, what: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, what
            for member in self._awake():
                member.consumer.poll(0.05)

    def committed(self) -> tuple[int, str] | None:
        found = self.kafka.committed(self.group, self.topic).get(0)
        return None if found is None else (found[0], found[1] or "")

    def reset(self, offset: int) -> None:
        wanted = ConsumerGroupTopicPartitions(self.group, [TopicPartition(self.topic, 0, offset)])
        answer = self.kafka.admin.alter_consumer_group_offsets([wanted])[self.group].result(30)
        assert all(place.error is None for place in answer.topic_partitions)

    def close(self) -> None:
        for member in self._members:
            member.consumer.close()
        self.kafka.delete_topic(self.topic)
