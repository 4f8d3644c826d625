"""The group's committed offsets, for `audit` to hold against the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from consumer.adapters.lookup import Lookup
from consumer.operate.kafka_log import KafkaLog
from consumer.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class Commits:
    """What a group has committed of a topic."""

    topic_id: str
    offsets: dict[int, tuple[int, str | None]]
    """Partition -> offset and metadata; without the partitions of which nothing is committed."""


def read_commits(settings: KafkaSettings) -> Commits | None:
    """None where the topic doesn't exist. Raises Retryable and Stop like every look at Kafka."""
    with KafkaLog(settings) as log:
        partitions = log.partitions(settings.topic)
        if not partitions:
            return None
        return Commits(Lookup(settings).identify(), log.committed(settings.topic, partitions))
