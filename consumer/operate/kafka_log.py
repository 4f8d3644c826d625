"""Reads a stretch of a topic without joining any group and without committing: for people who look, not for `run`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from consumer.adapters.kafka import client_config, translate
from consumer.core.errors import ConsumerError, Retryable, Stop, UsageError
from consumer.settings import KafkaSettings

REQUEST_SECONDS = 10.0
SILENCE_SECONDS = 20.0
"""No record, no end of the log, nothing: the broker is gone."""
BLOCK_RECORDS_MAX = 10_000

T = TypeVar("T")


class KafkaLog(AbstractContextManager["KafkaLog"]):
    """One client for looking around. Reads are sequential: one stretch of one partition at a time."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.servers = settings.bootstrap_servers or ""
        self._trouble: KafkaError | None = None
        config: dict[str, Any] = client_config(settings) | {
            # Of the group only the name: its members have the right to use it. Nothing is subscribed or committed.
            "group.id": settings.group_id,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",  # retention may pass us between looking and reading
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
            "fetch.queue.backoff.ms": 5,
            "queued.min.messages": BLOCK_RECORDS_MAX,
            "queued.max.messages.kbytes": 32_768,
            "error_cb": self._note,
        }
        try:
            self._consumer = Consumer(config)
        except KafkaException as error:
            raise UsageError(
                f"ZKP2P_KAFKA__EXTRA: {error.args[0].str()}: see librdkafka's list of properties"
            ) from None

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def partitions(self, topic: str) -> list[int]:
        """The topic's partitions; empty when there is no such topic. Never creates one."""
        found = self.cluster(topic).topics[topic]
        if found.error is not None and found.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise self.failure(found.error, f"look at topic {topic}")
        return sorted(found.partitions)

    def cluster(self, topic: str) -> Any:
        """The brokers' metadata, with this topic in it."""
        return self._asked(f"look at topic {topic}", lambda: self._consumer.list_topics(topic, timeout=REQUEST_SECONDS))

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The log's first offset and the one after its last."""
        place = TopicPartition(topic, partition)
        found = self._asked(
            "read the log's bounds", lambda: self._consumer.get_watermark_offsets(place, timeout=REQUEST_SECONDS)
        )
        if found is None:
            raise self._silent("read the log's bounds")
        return found

    def first_since(self, topic: str, partition: int, milliseconds: int) -> int | None:
        """The first offset whose Kafka timestamp is not before; None when there is none."""
        place = TopicPartition(topic, partition, milliseconds)
        found = self._asked(
            "look up a time", lambda: self._consumer.offsets_for_times([place], timeout=REQUEST_SECONDS)
        )[0]
        if found.error is not None:
            raise self.failure(found.error, "look up a time")
        return found.offset if found.offset >= 0 else None

    def read(self, topic: str, partition: int, start: int, end: int) -> Iterator[Message]:
        """The records of [start, end) that the log still holds, in order."""
        self._consumer.assign([TopicPartition(topic, partition, start)])
        try:
            heard = time.monotonic()
            while True:
                for message in self._consumer.consume(1000, timeout=0.5):
                    heard = time.monotonic()
                    error = message.error()
                    if error is not None:
                        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                            return
                        raise self.failure(error, f"read {topic} {partition}/{start}")
                    offset = message.offset()
                    assert offset is not None
                    if start <= offset < end:
                        yield message
                    if offset >= end - 1:
                        return
                if time.monotonic() - heard > SILENCE_SECONDS:
                    raise self._silent(f"read {topic} {partition}/{start}")
        finally:
            self._consumer.unassign()

    def newest_first(
        self, topic: str, partition: int, stretch: tuple[int, int], block: int, convert: Callable[[Message], T]
    ) -> Iterator[T]:
        """The records of `stretch` from its end backwards, in growing blocks of at first `block` offsets."""
        start, end = stretch
        block = min(block, BLOCK_RECORDS_MAX)
        while end > start:
            low = max(start, end - block)
            yield from reversed([convert(message) for message in self.read(topic, partition, low, end)])
            end, block = low, min(2 * block, BLOCK_RECORDS_MAX)

    def failure(self, error: KafkaError | KafkaException, what: str) -> ConsumerError:
        """An error of librdkafka as one line that names the brokers; what it muttered before says more."""
        found = translate(error, what)
        muttered = translate(self._trouble, what) if self._trouble is not None else None
        if isinstance(muttered, Stop):
            return muttered
        return self._outage(f"{found}") if isinstance(found, Retryable) else found

    def _asked(self, what: str, question: Callable[[], T]) -> T:
        try:
            return question()
        except KafkaException as error:
            raise self.failure(error, what) from None

    def _silent(self, what: str) -> ConsumerError:
        return self.failure(self._trouble or KafkaError(KafkaError._TIMED_OUT), what)  # noqa: SLF001 - its public name

    def _outage(self, text: str) -> Retryable:
        remedy = "check ZKP2P_KAFKA__BOOTSTRAP_SERVERS, the network, and that the brokers are up"
        return Retryable(f"{text} ({self.servers}): {remedy}")

    def _note(self, error: KafkaError) -> None:
        self._trouble = error
