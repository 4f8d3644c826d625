"""The group's committed offsets, for `audit` to hold against the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition

from consumer.adapters.kafka import Lookup
from consumer.operate.kafka_log import REQUEST_SECONDS, KafkaLog
from consumer.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class Commits:
    """What a group has committed of a topic."""

    topic_id: str
    offsets: dict[int, tuple[int, str | None]]
    """Partition -> offset and metadata; without the partitions of which nothing is committed."""


def read_commits(settings: KafkaSettings) -> Commits | None:
    """None where the topic doesn't exist. Raises Retryable and Stop like every look at Kafka."""
    what = f"read what {settings.group_id} has committed"
    with KafkaLog(settings) as log:
        partitions = log.partitions(settings.topic)
        if not partitions:
            return None
        topic_id = Lookup(settings).identify()
        places = [TopicPartition(settings.topic, partition) for partition in partitions]
        asked = [ConsumerGroupTopicPartitions(settings.group_id, places)]
        future = log.admin.list_consumer_group_offsets(asked, request_timeout=REQUEST_SECONDS)[settings.group_id]
        try:
            found = log.wait(future, what).topic_partitions
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return Commits(topic_id, {})
            raise log.failure(error, what) from None
    return Commits(topic_id, {place.partition: (place.offset, place.metadata) for place in found if place.offset >= 0})
