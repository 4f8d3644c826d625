"""Reads a stretch of a topic without joining any group and without committing: for people who look, not for `run`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # not in its __all__

from consumer.adapters.kafka import REQUEST_SECONDS, client_config, translate, unusable
from consumer.adapters.logs import librdkafka_logger
from consumer.adapters.membership import patiently
from consumer.core.errors import ConsumerError, Retryable, Stop
from consumer.settings import KafkaSettings

DOWN_SECONDS = 3.0
"""How long all brokers may refuse us: one that is just restarting is waited for."""
SILENCE_SECONDS = 20.0
"""No record, no end of the log, nothing: the broker is gone."""
BLOCK_RECORDS_MAX = 10_000

_SPEC: Any = OffsetSpec  # its makers have no types
T = TypeVar("T")
Bounds = tuple[int, int]
"""The log's first offset and the one after its last."""


class KafkaLog(AbstractContextManager["KafkaLog"]):
    """One client for looking around. Reads are sequential: one stretch of one partition at a time."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.servers = settings.bootstrap_servers or ""
        self._trouble: KafkaError | None = None
        self._down = False
        self._asking = False
        shared: dict[str, Any] = client_config(settings) | {"error_cb": self._note}
        try:
            self.admin = AdminClient(shared, logger=librdkafka_logger())
            self._consumer = Consumer(
                shared
                | {
                    # Of the group only the name: its members have the right to use it. Nothing is subscribed.
                    "group.id": settings.group_id,
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "auto.offset.reset": "earliest",  # retention may pass us between looking and reading
                    "enable.partition.eof": True,
                    "fetch.wait.max.ms": 50,
                    "fetch.queue.backoff.ms": 5,
                    "queued.min.messages": BLOCK_RECORDS_MAX,
                    "queued.max.messages.kbytes": 32_768,
                },
                logger=librdkafka_logger(),
            )
        except KafkaException as error:
            raise unusable(error) from None

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._asking:  # a question left alone keeps the client alive, and both end with the process
            self._consumer.close()

    def cluster(self, topic: str) -> tuple[int, str]:
        """How many brokers there are, and the cluster's id."""
        found = self._metadata(topic)
        return len(found.brokers), found.cluster_id or ""

    def partitions(self, topic: str) -> list[int]:
        """The topic's partitions; empty when there is no such topic. Never creates one."""
        found = self._metadata(topic).topics[topic]
        if found.error is not None and found.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise self.failure(found.error, f"look at topic {topic}")
        return sorted(found.partitions)

    def _metadata(self, topic: str) -> Any:
        return self._asked(lambda: self._consumer.list_topics(topic, timeout=REQUEST_SECONDS), f"look at topic {topic}")

    def committed(self, topic: str, partitions: Iterable[int]) -> dict[int, tuple[int, str | None]]:
        """Offset and metadata that the group has committed, without the partitions of which it has none.

        Not asked through the admin client: that one crashes the process when the coordinator is moving
        (librdkafka 2.16: its answer is handled as a consumer's, and there is none).
        """
        places = [TopicPartition(topic, partition) for partition in partitions]
        what = "read what the group has committed"
        found = self._asked(lambda: patiently(lambda: self._consumer.committed(places, timeout=REQUEST_SECONDS)), what)
        for place in found:
            if place.error is not None:
                raise self.failure(place.error, what)
        return {place.partition: (place.offset, place.metadata) for place in found if place.offset >= 0}

    def _asked(self, question: Callable[[], T], what: str) -> T:
        """In a thread, because librdkafka's blocking calls can't be interrupted and say why only at their end."""
        future: Future[T] = Future()

        def ask() -> None:
            try:
                future.set_result(question())
            except KafkaException as error:
                future.set_exception(error)

        self._asking = True
        threading.Thread(target=ask, name="kafka-log", daemon=True).start()
        found = self.answer(future, what)
        self._asking = False
        return found

    def bounds(self, topic: str, partition: int) -> Bounds:
        """Of one partition."""
        return self.all_bounds(topic, [partition])[partition]

    def all_bounds(self, topic: str, partitions: Iterable[int]) -> dict[int, Bounds]:
        """Of each of these partitions."""
        lows = self._offsets(topic, dict.fromkeys(partitions, _SPEC.earliest()))
        highs = self._offsets(topic, dict.fromkeys(lows, _SPEC.latest()))
        return {partition: (lows[partition], highs[partition]) for partition in lows}

    def first_since(self, topic: str, partition: int, milliseconds: int) -> int | None:
        """The first offset whose Kafka timestamp is not before; None when there is none."""
        found = self._offsets(topic, {partition: _SPEC.for_timestamp(milliseconds)})[partition]
        return found if found >= 0 else None

    def _offsets(self, topic: str, wanted: Mapping[int, OffsetSpec]) -> dict[int, int]:
        asked = {TopicPartition(topic, partition): spec for partition, spec in wanted.items()}
        futures = self.admin.list_offsets(asked, request_timeout=REQUEST_SECONDS) if asked else {}
        return {place.partition: self.answer(future, "look up offsets").offset for place, future in futures.items()}

    def read(self, topic: str, partition: int, start: int, end: int) -> Iterator[Message]:
        """The records of [start, end) that the log still holds, in order."""
        what = f"read {topic} {partition}/{start}"
        self._consumer.assign([TopicPartition(topic, partition, start)])
        try:
            heard, wanted = time.monotonic(), end - start
            while True:
                # It waits for as many as it is asked for: no more than are there.
                for message in self._consumer.consume(max(1, min(1000, wanted)), timeout=0.1):
                    heard = time.monotonic()
                    error = message.error()
                    if error is not None:
                        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                            return
                        raise self.failure(error, what)
                    offset = message.offset()
                    assert offset is not None
                    wanted = end - offset - 1
                    if start <= offset < end:
                        yield message
                    if offset >= end - 1:
                        return
                if time.monotonic() - heard > SILENCE_SECONDS:
                    raise self.failure(self._trouble or KafkaError(KafkaError._TIMED_OUT), what)  # noqa: SLF001
        finally:
            self._consumer.unassign()

    def newest_first(
        self, topic: str, partition: int, stretch: Bounds, block: int, convert: Callable[[Message], T]
    ) -> Iterator[T]:
        """The records of `stretch` from its end backwards, in growing blocks of at first `block` offsets."""
        start, end = stretch
        block = min(block, BLOCK_RECORDS_MAX)
        while end > start:
            low = max(start, end - block)
            yield from reversed([convert(message) for message in self.read(topic, partition, low, end)])
            end, block = low, min(2 * block, BLOCK_RECORDS_MAX)

    def answer(self, future: Future[T], what: str) -> T:
        """What the broker answers; its refusals come out as our errors. Ends early when waiting is vain already."""
        begun = time.monotonic()
        while not future.done():
            self.admin.poll(0.01)
            if self._trouble is None:
                continue
            vain = isinstance(translate(self._trouble, what), Stop)
            if vain or (self._down and time.monotonic() - begun > DOWN_SECONDS):
                raise self.failure(self._trouble, what)
        try:
            return future.result()
        except KafkaException as error:
            raise self.failure(error, what) from None

    def failure(self, error: KafkaError | KafkaException, what: str) -> ConsumerError:
        """An error of librdkafka as one line that names the brokers; what it muttered before says more."""
        found = translate(error, what)
        if not isinstance(found, Retryable):
            return found
        if self._trouble is not None:
            found = translate(self._trouble, what)
            if not isinstance(found, Retryable):
                return found
        remedy = "check ZKP2P_KAFKA__BOOTSTRAP_SERVERS, the network, and that the brokers are up"
        return Retryable(f"{found} ({self.servers}): {remedy}", found.cause)

    def _note(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - its public name
            self._down = True  # why was said before
        elif self._trouble is None or isinstance(translate(error, ""), Stop):
            self._trouble = error  # the first says most; a refusal outweighs it
