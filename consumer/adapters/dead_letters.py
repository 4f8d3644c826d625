"""Rejected records on their way into the dead-letter topic: bytes untouched, the reason in headers."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType  # type: ignore[attr-defined]

from consumer import __version__
from consumer.adapters.kafka import client_config, translate
from consumer.adapters.logs import librdkafka_logger
from consumer.core.batch import DeadLetter
from consumer.core.errors import ConsumerError, Retryable, Stop
from consumer.settings import KafkaSettings

log = structlog.get_logger("dead_letters")

ROOM_BYTES = 64 * 1024
"""What headers may add to a record that the source topic just took."""
DELIVERY_SECONDS = 30.0
_MISSING = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)


def headers_of(letter: DeadLetter, topic: str, partition: int) -> list[tuple[str, str | bytes | None]]:
    """The record's own headers, then ours. A letter that failed before keeps one set of ours, the newest."""
    ours = {
        "zkp2p.error.code": letter.code,
        "zkp2p.error.message": letter.message,
        "zkp2p.source.topic": topic,
        "zkp2p.source.partition": str(partition),
        "zkp2p.source.offset": str(letter.offset),
        "zkp2p.source.timestamp": str(letter.timestamp_ms),
        "zkp2p.consumer.version": __version__,
    }
    kept = [(name, value) for name, value in letter.headers if name not in ours]
    return [*kept, *((name, value.encode()) for name, value in ours.items())]


class DeadLetters:
    """An idempotent producer for the dead-letter topic. `send` may be called from several threads."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._source, self._topic = settings.topic, settings.dlq_topic
        self._config = client_config(settings)
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self._topic_is_there = False

    def send(self, partition: int, letters: Sequence[DeadLetter]) -> None:
        """Returns once the broker has acknowledged every letter; Retryable when it has not."""
        if not self._topic_is_there:
            # Asked before the client is: to one it doesn't know, it holds on for half a minute.
            self.create()
            self._topic_is_there = True
        producer = self._get()
        delivery = _Delivery(len(letters))
        for letter in letters:
            self._produce(producer, partition, letter, delivery)
        deadline = time.monotonic() + DELIVERY_SECONDS + 5
        while delivery.waiting and time.monotonic() < deadline:
            producer.poll(0.05)
        self._judge(delivery)

    def close(self) -> None:
        if self._producer is not None:
            self._producer.flush(1.0)

    def _get(self) -> Producer:
        with self._lock:
            if self._producer is None:
                config: dict[str, Any] = {
                    **self._config,
                    "enable.idempotence": True,
                    "acks": "all",
                    "linger.ms": 5,
                    "compression.type": "lz4",
                    "batch.size": ROOM_BYTES,  # the topic's limit is held against a batch, not against a record
                    "delivery.timeout.ms": int(DELIVERY_SECONDS * 1000),
                    "message.max.bytes": 1_000_000_000,  # how large one may be is the topic's to say
                    "queue.buffering.max.kbytes": 131_072,
                }
                self._producer = Producer(config, logger=librdkafka_logger())
            return self._producer

    def _produce(self, producer: Producer, partition: int, letter: DeadLetter, delivery: _Delivery) -> None:
        headers = headers_of(letter, self._source, partition)
        deadline = time.monotonic() + DELIVERY_SECONDS
        while True:
            try:
                producer.produce(
                    self._topic, value=letter.value, key=letter.key, headers=headers, on_delivery=delivery.reported
                )
                return
            except BufferError:  # the client's queue is full: let it drain
                if time.monotonic() > deadline:
                    raise Retryable("Kafka: dead letters: the producer's queue stays full", "queue_full") from None
                producer.poll(0.1)
            except KafkaException as error:
                raise self._failed(error.args[0]) from None

    def _judge(self, delivery: _Delivery) -> None:
        if delivery.error is None and not delivery.waiting:
            return
        if delivery.error is None:
            raise Retryable("Kafka: dead letters: no acknowledgement", "timeout")
        code = delivery.error.code()
        if code == KafkaError.MSG_SIZE_TOO_LARGE:
            raise Stop(
                f"the dead-letter topic {self._topic!r} refuses a record for its size: set its max.message.bytes to"
                f" that of {self._source!r} plus {ROOM_BYTES}"
            )
        raise self._failed(delivery.error)

    def _failed(self, error: KafkaError) -> ConsumerError:
        """What to make of it; before the next letter the topic is looked for again."""
        self._topic_is_there = False
        code = error.code()
        if code in _MISSING or code == KafkaError._FATAL or error.fatal():
            with self._lock:
                # One that doesn't know the topic goes on saying so for minutes after it was made, and an idempotent
                # one that lost its place needs a successor.
                self._producer = None
        if code in _MISSING:
            return Retryable(f"Kafka: there was no topic {self._topic!r}", "unknown_topic")
        if code == KafkaError._FATAL or error.fatal():
            return Retryable(f"Kafka: dead letters: {error.str()}", "producer_fatal")
        return translate(error, f"dead letters to {self._topic!r}")

    def create(self) -> None:
        """Make the topic if it is missing: as many partitions as the source, room for the headers.

        Raises Retryable while nobody can tell, or while it is missing and we may not make it.
        """
        admin = AdminClient(self._config, logger=librdkafka_logger())
        try:
            topics = admin.list_topics(timeout=10).topics
            if self._topic in topics:
                return
            if self._source not in topics:
                raise Retryable(f"Kafka: there is no topic {self._source!r}", "unknown_topic")
            size = _max_message_bytes(admin, self._source) + ROOM_BYTES
            new = NewTopic(self._topic, len(topics[self._source].partitions), config={"max.message.bytes": str(size)})
            admin.create_topics([new], request_timeout=10)[self._topic].result()
            log.info("dead-letter topic created", topic=self._topic, max_message_bytes=size)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return
            found = translate(error, f"create topic {self._topic!r}")
            if isinstance(found, Retryable):
                raise found from None
            raise Retryable(f"{found}: create it by hand", "unknown_topic") from None


def _max_message_bytes(admin: AdminClient, topic: str) -> int:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    found = admin.describe_configs([resource], request_timeout=10)[resource].result()
    return int(found["max.message.bytes"].value or 1_048_588)


class _Delivery:
    """Counts the acknowledgements of one call; the reports come from whichever thread polls the producer."""

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self.waiting = count
        self.error: KafkaError | None = None

    def reported(self, error: KafkaError | None, _message: Message) -> None:
        with self._lock:
            self.waiting -= 1
            self.error = self.error or error
