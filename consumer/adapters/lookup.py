"""What we ask Kafka about topic and group: ids, ends of the log, committed offsets."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from consumer.adapters.kafka import REQUEST_SECONDS, client_config, translate
from consumer.adapters.logs import librdkafka_logger
from consumer.core.errors import ConsumerError, Retryable, Stop
from consumer.core.lease import read_note
from consumer.core.position import Committed, Log
from consumer.settings import KafkaSettings

_EARLIEST, _LATEST = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]


class Lookup:
    """What we ask about topic and group, by clients of our own. The calls block, each with a time-out.

    The polling consumer's look-ups would do, but they take turns with its polls, and a busy loop leaves them none.
    Committed offsets are read by a consumer that never subscribes: the admin client's way to the coordinator
    (ListConsumerGroupOffsets) never answers again after a connection was reset at the wrong moment, and may abort the
    process by a failed assertion (seen with librdkafka 2.16). Its calls take turns, so they wait less long.
    """

    def __init__(self, settings: KafkaSettings, *, has_ids: bool = True) -> None:
        config = {**client_config(settings), "error_cb": self._note}
        self._admin = AdminClient(config, logger=librdkafka_logger())
        self._hopeless: Stop | None = None
        self._reader = Consumer(
            {**client_config(settings), "group.id": settings.group_id, "enable.auto.commit": False},
            logger=librdkafka_logger(),
        )
        self._topic = settings.topic
        self._has_ids = has_ids
        self.cluster_id = ""

    def _note(self, error: KafkaError) -> None:
        """A refused login or certificate is told here only; the request itself just gets no answer."""
        found = translate(error, "connect")
        if isinstance(found, Stop):
            self._hopeless = found

    def _failed(self, error: KafkaException, what: str) -> ConsumerError:
        self._admin.poll(0)
        return self._hopeless or translate(error, what)

    def identify(self, timeout: float = REQUEST_SECONDS) -> str:
        """The topic's id as Kafka's own tools print it; cluster id and name where the broker has none.

        Raises Retryable while the topic is missing or the broker can't be reached.
        """
        try:
            if not self.cluster_id:
                self.cluster_id = str(self._admin.list_topics(topic=self._topic, timeout=timeout).cluster_id)
            if not self._has_ids:
                return f"{self.cluster_id}:{self._topic}"
            future = self._admin.describe_topics(TopicCollection([self._topic]), request_timeout=timeout)[self._topic]
            found = future.result().topic_id
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise Retryable(f"Kafka: there is no topic {self._topic!r}: create it", "unknown_topic") from None
            raise self._failed(error, f"describe topic {self._topic!r}") from None
        raw = found.get_most_significant_bits() & (2**64 - 1), found.get_least_significant_bits() & (2**64 - 1)
        if raw == (0, 0):
            return f"{self.cluster_id}:{self._topic}"
        data = raw[0].to_bytes(8, "big") + raw[1].to_bytes(8, "big")
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    def committed(self, partition: int, timeout: float = REQUEST_SECONDS / 2) -> Committed:
        """The group's committed offset, also when we are not (yet) a member."""
        try:
            found = self._reader.committed([TopicPartition(self._topic, partition)], timeout=timeout)[0]
        except KafkaException as error:
            raise self._failed(error, "read the committed offset") from None
        if found.error is not None:
            raise translate(found.error, "read the committed offset")
        # A negative offset means that the group has none; nothing may ever be computed with it.
        return Committed(found.offset, read_note(found.metadata)) if found.offset >= 0 else Committed(None)

    def bounds(self, partition: int, timeout: float = REQUEST_SECONDS) -> Log:
        """The topic's id and the log's bounds, as far as transactions are decided."""
        topic_id = self.identify(timeout)
        low, high = (self._offsets([partition], spec, timeout)[partition] for spec in (_EARLIEST, _LATEST))
        return Log(topic_id, low, high)

    def ends(self, partitions: Sequence[int], timeout: float = REQUEST_SECONDS) -> dict[int, int]:
        """The log's end of each, as `bounds` gives it."""
        return self._offsets(partitions, _LATEST, timeout) if partitions else {}

    def _offsets(self, partitions: Sequence[int], spec: OffsetSpec, timeout: float) -> dict[int, int]:
        asked = {TopicPartition(self._topic, partition): spec for partition in partitions}
        futures = self._admin.list_offsets(
            asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=timeout
        )
        try:
            return {place.partition: future.result().offset for place, future in futures.items()}
        except KafkaException as error:
            raise self._failed(error, "read the log's bounds") from None
