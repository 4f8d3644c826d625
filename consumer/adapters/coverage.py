"""Notices partitions that the group has given to nobody.

In a cooperative rebalance a partition that moves is given to nobody until its old owner has let go and joins again.
If that owner dies in between and a process with the same instance id takes its place, the broker hands it its
predecessor's assignment without a rebalance, nobody joins again, and the partition stays with nobody: for ever, as far
as the group is concerned (seen with Kafka 4.1). Joining again ends it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from consumer.adapters.kafka import REQUEST_SECONDS, client_config
from consumer.adapters.logs import librdkafka_logger
from consumer.settings import KafkaSettings

LOOK_SECONDS = 20.0
"""Between two looks. Only what two in a row have seen counts: a rebalance may be under way."""


class Coverage:
    """Of the topic by the group's members. Its calls block and belong to one thread."""

    def __init__(self, settings: KafkaSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._looked_at = -LOOK_SECONDS
        self._seen: frozenset[int] = frozenset()

    def needs(self, member_id: str) -> bool:
        """Is it for this member to join again? One member acts for all: the first by its id."""
        if self._settings.group_protocol != "classic" or self._clock() - self._looked_at < LOOK_SECONDS:
            return False
        self._looked_at = self._clock()
        try:
            before, self._seen = self._seen, self._nobodys(member_id)
        except KafkaException:
            self._seen = frozenset()
            return False
        return bool(before & self._seen)

    def _nobodys(self, member_id: str) -> frozenset[int]:
        """Partitions without an owner, if this member is the one to act; nothing while the group is rebalancing."""
        # A client for one look: one that is kept may never hear from a coordinator again (see `Lookup`).
        admin = AdminClient(client_config(self._settings), logger=librdkafka_logger())
        topic, group = self._settings.topic, self._settings.group_id
        found = admin.describe_consumer_groups([group], request_timeout=REQUEST_SECONDS)[group].result()
        members = [m.member_id for m in found.members]
        if found.state != ConsumerGroupState.STABLE or not members or min(members) != member_id:
            return frozenset()
        owned = {p.partition for m in found.members for p in m.assignment.topic_partitions if p.topic == topic}
        partitions = admin.list_topics(topic, timeout=REQUEST_SECONDS).topics[topic].partitions
        return frozenset(partitions) - owned
