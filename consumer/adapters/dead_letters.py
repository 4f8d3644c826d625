"""Rejected records on their way into the dead-letter topic: bytes untouched, the reason in headers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from queue import LifoQueue
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from consumer import __version__
from consumer.adapters.dead_letter_topic import ROOM_BYTES, DeadLetterTopic, find_or_make
from consumer.adapters.kafka import client_config, translate
from consumer.adapters.logs import librdkafka_logger
from consumer.core import letter as names
from consumer.core.batch import DeadLetter
from consumer.core.errors import ConsumerError, Retryable, Stop
from consumer.settings import KafkaSettings

DELIVERY_SECONDS = 30.0
SENDERS = 3
"""So many partitions' letters are on their way at once: while one waits for its acknowledgement, others are written."""
BATCH_BYTES = 1_000_000
"""Of letters that travel together: what a letter costs, client and broker, falls by a quarter from 64 KiB to this."""
_MISSING = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)

Header = tuple[str, str | bytes | None]
_VERSION: Header = (names.CONSUMER_VERSION, __version__)


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
        self._settings, self._source = settings, settings.topic
        self._topic: DeadLetterTopic | None = None
        self._producer: Producer | None = None
        self._refused: KafkaError | None = None

    def send(self, partition: int, letters: Sequence[DeadLetter]) -> None:
        if self._topic is None:
            # Asked before the client is: to one it doesn't know, it holds on for half a minute.
            self._topic = find_or_make(self._settings)
        if self._producer is None:
            self._producer = self._connect(self._topic)
        self._refused = None
        try:
            self._write(self._producer, self._topic, partition, letters)
        except KafkaException as error:
            raise self._failed(error.args[0]) from None
        left = self._producer.flush(DELIVERY_SECONDS + 5)
        if self._refused is not None:
            raise self._failed(self._refused)
        if left:
            self._discard()
            raise Retryable("Kafka: dead letters: no acknowledgement", "timeout")

    def _write(self, producer: Producer, topic: DeadLetterTopic, partition: int, letters: Sequence[DeadLetter]) -> None:
        name, produce = topic.name, producer.produce
        # Where its source partition is, so that a partition's letters stay in order and travel together.
        to = partition % topic.partitions
        source_topic: Header = (names.SOURCE_TOPIC, self._source)
        source_partition: Header = (names.SOURCE_PARTITION, str(partition))
        for letter in letters:
            # In place and in order, since a topic may be full of them: by name or by a function it is a third slower.
            # Text as it is: the client encodes it, as UTF-8, cheaper than we can.
            headers: list[Header] = [
                (names.CODE, letter.code),
                (names.MESSAGE, letter.message),
                source_topic,
                source_partition,
                (names.SOURCE_OFFSET, str(letter.offset)),
                (names.SOURCE_TIMESTAMP, str(letter.timestamp_ms)),
                _VERSION,
            ]
            if letter.headers:
                # Its own first; one that failed before keeps one set of ours, the newest.
                headers = [header for header in letter.headers if header[0] not in names.HEADERS] + headers
            while True:
                try:
                    produce(name, letter.value, letter.key, to, None, None, 0, headers)
                    break
                except BufferError:
                    self._make_room(producer)

    def close(self) -> None:
        if self._producer is not None:
            self._producer.flush(1.0)

    def _connect(self, topic: DeadLetterTopic) -> Producer:
        chosen: dict[str, Any] = {
            "linger.ms": 50,  # `flush` waits for none of it
            "compression.type": "lz4",
            "batch.size": min(BATCH_BYTES, topic.max_message_bytes),  # which is held against a batch, not a record
            "message.max.bytes": 1_000_000_000,  # how large one may be is the topic's to say
            "queue.buffering.max.kbytes": 65_536,
        }
        protocol: dict[str, Any] = {
            "enable.idempotence": True,
            "acks": "all",
            "delivery.timeout.ms": int(DELIVERY_SECONDS * 1000),
            "delivery.report.only.error": True,
            "on_delivery": self._on_refusal,
        }
        return Producer(chosen | client_config(self._settings) | protocol, logger=librdkafka_logger())

    def _make_room(self, producer: Producer) -> None:
        """Wait until the client has sent some of what it holds."""
        full, deadline = len(producer), time.monotonic() + DELIVERY_SECONDS
        while full and time.monotonic() < deadline:
            producer.poll(0.1)
            if len(producer) <= full // 2:
                return
        self._discard()
        raise Retryable("Kafka: dead letters: the producer's queue stays full", "queue_full")

    def _on_refusal(self, error: KafkaError | None, _message: Message) -> None:
        self._refused = self._refused or error

    def _failed(self, error: KafkaError) -> ConsumerError:
        """What to make of it; before the next letter the topic is looked for again, by another producer: one that
        doesn't know the topic goes on saying so for minutes, and an idempotent one that lost its place is no good."""
        self._discard()
        topic, code = self._settings.dlq_topic, error.code()
        if code == KafkaError.MSG_SIZE_TOO_LARGE:
            return Stop(
                f"the dead-letter topic {topic!r} refuses a record for its size: set its max.message.bytes to"
                f" that of {self._source!r} plus {ROOM_BYTES}"
            )
        if code in _MISSING:
            return Retryable(f"Kafka: there was no topic {topic!r}", "unknown_topic")
        if code == KafkaError._FATAL or error.fatal():
            return Retryable(f"Kafka: dead letters: {error.str()}", "producer_fatal")
        return translate(error, f"dead letters to {topic!r}")

    def _discard(self) -> None:
        """Forget the producer and what is still in it: the whole call will be repeated."""
        self._topic = None
        if self._producer is not None:
            self._producer.purge()
            self._producer = None
