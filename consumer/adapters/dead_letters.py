"""Rejected records on their way into the dead-letter topic: bytes untouched, the reason in headers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from queue import LifoQueue
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
SENDERS = 3
"""So many partitions' letters are on their way at once: while one waits for its acknowledgement, others are written."""
BATCH_BYTES = 1_000_000
"""Of letters that travel together: what a letter costs, client and broker, falls by a quarter from 64 KiB to this."""
_MISSING = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)


OURS = (
    "zkp2p.error.code",
    "zkp2p.error.message",
    "zkp2p.source.topic",
    "zkp2p.source.partition",
    "zkp2p.source.offset",
    "zkp2p.source.timestamp",
    "zkp2p.consumer.version",
)
"""The headers of a dead letter."""

Header = tuple[str, str | bytes | None]
Headers = list[Header]
_VERSION: Header = ("zkp2p.consumer.version", __version__)


def headers_of(letter: DeadLetter, source_topic: Header, source_partition: Header) -> Headers:
    """The record's own headers, then ours. A letter that failed before keeps one set of ours, the newest."""
    # Text as it is: the client encodes it, as UTF-8, cheaper than we can.
    ours: Headers = [
        ("zkp2p.error.code", letter.code),
        ("zkp2p.error.message", letter.message),
        source_topic,
        source_partition,
        ("zkp2p.source.offset", str(letter.offset)),
        ("zkp2p.source.timestamp", str(letter.timestamp_ms)),
        _VERSION,
    ]
    if not letter.headers:
        return ours
    return [header for header in letter.headers if header[0] not in OURS] + ours


class DeadLetters:
    """The way into the dead-letter topic, for several threads at once."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._idle: LifoQueue[_Sender] = LifoQueue()  # the last that was used is connected
        for _ in range(SENDERS):
            self._idle.put(_Sender(settings))

    def send(self, partition: int, letters: Sequence[DeadLetter]) -> None:
        """Returns once the broker has acknowledged every letter; Retryable when it has not."""
        sender = self._idle.get()
        try:
            sender.send(partition, letters)
        finally:
            self._idle.put(sender)

    def close(self) -> None:
        while not self._idle.empty():
            self._idle.get().close()


class _Sender:
    """An idempotent producer for one call at a time: so "nothing is left in the producer" means that this call's
    letters are acknowledged, and no acknowledgement of a single letter has to pass through Python."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._source, self._topic = settings.topic, settings.dlq_topic
        self._config = client_config(settings)
        self._producer: Producer | None = None
        self._refused: KafkaError | None = None
        self._topic_is_there = False
        self._batch_bytes = ROOM_BYTES

    def send(self, partition: int, letters: Sequence[DeadLetter]) -> None:
        if not self._topic_is_there:
            # Asked before the client is: to one it doesn't know, it holds on for half a minute.
            self.create()
            self._topic_is_there = True
        producer = self._get()
        self._refused = None
        source_topic: Header = ("zkp2p.source.topic", self._source)
        source_partition: Header = ("zkp2p.source.partition", str(partition))
        topic, produce, on_refusal = self._topic, producer.produce, self._on_refusal
        for letter in letters:
            headers = headers_of(letter, source_topic, source_partition)
            try:
                produce(topic, letter.value, letter.key, headers=headers, on_delivery=on_refusal)
            except BufferError:
                self._produce_when_drained(producer, letter, headers)
            except KafkaException as error:
                raise self._failed(error.args[0]) from None
        left = producer.flush(DELIVERY_SECONDS + 5)
        if self._refused is not None:
            raise self._failed(self._refused)
        if left:
            self._discard()
            raise Retryable("Kafka: dead letters: no acknowledgement", "timeout")

    def close(self) -> None:
        if self._producer is not None:
            self._producer.flush(1.0)

    def _get(self) -> Producer:
        if self._producer is None:
            config: dict[str, Any] = {
                **self._config,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 50,  # `flush` waits for none of it
                "compression.type": "lz4",
                "batch.size": self._batch_bytes,
                "delivery.timeout.ms": int(DELIVERY_SECONDS * 1000),
                "delivery.report.only.error": True,
                "message.max.bytes": 1_000_000_000,  # how large one may be is the topic's to say
                "queue.buffering.max.kbytes": 65_536,
            }
            self._producer = Producer(config, logger=librdkafka_logger())
        return self._producer

    def _produce_when_drained(self, producer: Producer, letter: DeadLetter, headers: Headers) -> None:
        """The client's queue is full."""
        deadline = time.monotonic() + DELIVERY_SECONDS
        while time.monotonic() < deadline:
            producer.poll(0.1)
            try:
                producer.produce(self._topic, letter.value, letter.key, headers=headers, on_delivery=self._on_refusal)
                return
            except BufferError:
                continue
            except KafkaException as error:
                raise self._failed(error.args[0]) from None
        self._discard()
        raise Retryable("Kafka: dead letters: the producer's queue stays full", "queue_full")

    def _on_refusal(self, error: KafkaError | None, _message: Message) -> None:
        self._refused = self._refused or error

    def _failed(self, error: KafkaError) -> ConsumerError:
        """What to make of it; before the next letter the topic is looked for again, by another producer: one that
        doesn't know the topic goes on saying so for minutes, and an idempotent one that lost its place is no good."""
        self._discard()
        code = error.code()
        if code == KafkaError.MSG_SIZE_TOO_LARGE:
            return Stop(
                f"the dead-letter topic {self._topic!r} refuses a record for its size: set its max.message.bytes to"
                f" that of {self._source!r} plus {ROOM_BYTES}"
            )
        if code in _MISSING:
            return Retryable(f"Kafka: there was no topic {self._topic!r}", "unknown_topic")
        if code == KafkaError._FATAL or error.fatal():
            return Retryable(f"Kafka: dead letters: {error.str()}", "producer_fatal")
        return translate(error, f"dead letters to {self._topic!r}")

    def _discard(self) -> None:
        """Forget the producer and what is still in it: the whole call will be repeated."""
        self._topic_is_there = False
        if self._producer is not None:
            self._producer.purge()
            self._producer = None

    def create(self) -> None:
        """Make the topic if it is missing: as many partitions as the source, room for the headers.

        Raises Retryable while nobody can tell, or while it is missing and we may not make it.
        """
        self._batch_bytes = min(BATCH_BYTES, self._find_or_make())

    def _find_or_make(self) -> int:
        """The topic's max.message.bytes, which is held against a batch and not against a record."""
        admin = AdminClient(self._config, logger=librdkafka_logger())
        try:
            topics = admin.list_topics(timeout=10).topics
            if self._topic in topics:
                return _max_message_bytes(admin, self._topic, unless=ROOM_BYTES)
            if self._source not in topics:
                raise Retryable(f"Kafka: there is no topic {self._source!r}", "unknown_topic")
            size = _max_message_bytes(admin, self._source) + ROOM_BYTES
            new = NewTopic(self._topic, len(topics[self._source].partitions), config={"max.message.bytes": str(size)})
            admin.create_topics([new], request_timeout=10)[self._topic].result()
            log.info("dead-letter topic created", topic=self._topic, max_message_bytes=size)
            return size
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return _max_message_bytes(admin, self._topic, unless=ROOM_BYTES)
            found = translate(error, f"create topic {self._topic!r}")
            if isinstance(found, Retryable):
                raise found from None
            raise Retryable(f"{found}: create it by hand", "unknown_topic") from None


def _max_message_bytes(admin: AdminClient, topic: str, unless: int | None = None) -> int:
    """`unless` is the answer where the broker doesn't give one, as to somebody without the right to ask."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    try:
        found = admin.describe_configs([resource], request_timeout=10)[resource].result()
    except KafkaException:
        if unless is None:
            raise
        return unless
    return int(found["max.message.bytes"].value or 1_048_588)
