"""The dead-letter topic itself: found, or made by the contract's rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
    TopicMetadata,
)

from consumer.adapters.kafka import REQUEST_SECONDS, client_config, translate
from consumer.adapters.logs import librdkafka_logger
from consumer.core.errors import Retryable
from consumer.settings import KafkaSettings

log = structlog.get_logger("dead_letters")

ROOM_BYTES = 64 * 1024
"""What headers may add to a record that the source topic just took."""


@dataclass(frozen=True, slots=True)
class DeadLetterTopic:
    """What a producer has to know of it."""

    name: str
    partitions: int
    max_message_bytes: int


def find_or_make(settings: KafkaSettings) -> DeadLetterTopic:
    """The topic, made if it is missing: as many partitions as the source, room for the headers.

    Raises Retryable while nobody can tell, or while it is missing and we may not make it.
    """
    name = settings.dlq_topic
    admin = AdminClient(client_config(settings), logger=librdkafka_logger())
    try:
        topics = admin.list_topics(timeout=REQUEST_SECONDS).topics
        if name not in topics:
            return _make(admin, topics, settings.topic, name)
        partitions = max(1, len(topics[name].partitions))
        return DeadLetterTopic(name, partitions, _max_message_bytes(admin, name, unless=ROOM_BYTES))
    except KafkaException as error:
        found = translate(error, f"create topic {name!r}")
        if isinstance(found, Retryable):
            raise found from None
        raise Retryable(f"{found}: create it by hand", "unknown_topic") from None


def _make(admin: AdminClient, topics: Mapping[str, TopicMetadata], source: str, name: str) -> DeadLetterTopic:
    if source not in topics:
        raise Retryable(f"Kafka: there is no topic {source!r}", "unknown_topic")
    partitions = len(topics[source].partitions)
    size = _max_message_bytes(admin, source) + ROOM_BYTES
    new = NewTopic(name, partitions, config={"max.message.bytes": str(size)})
    try:
        admin.create_topics([new], request_timeout=REQUEST_SECONDS)[name].result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
        raise Retryable(f"Kafka: topic {name!r} was made by somebody else just now", "unknown_topic") from None
    log.info("dead-letter topic created", topic=name, max_message_bytes=size)
    return DeadLetterTopic(name, partitions, size)


def _max_message_bytes(admin: AdminClient, topic: str, unless: int | None = None) -> int:
    """`unless` is the answer where the broker doesn't give one, as to somebody without the right to ask."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    try:
        found = admin.describe_configs([resource], request_timeout=REQUEST_SECONDS)[resource].result()
    except KafkaException:
        if unless is None:
            raise
        return unless
    return int(found["max.message.bytes"].value or 1_048_588)
