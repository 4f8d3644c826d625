"""Kafka: one consumer in a group, its commits, and what an admin client knows of the topic.

librdkafka's clients are thread-safe: the loop thread polls, effects run in threads of their own. Errors come out
as our own: `Retryable` for outages and unanswered requests, `Fenced` for a refused commit, `Stop` for the rest.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from consumer.adapters.logs import librdkafka_logger
from consumer.core.effects import Commit
from consumer.core.errors import ConsumerError, Fenced, Retryable, Stop
from consumer.core.lease import read_note
from consumer.core.position import Committed, Log
from consumer.settings import KafkaSettings

log = structlog.get_logger("kafka")

REQUEST_SECONDS = 10.0

_FENCED = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.FENCED_MEMBER_EPOCH,
    KafkaError._ASSIGNMENT_LOST,
    KafkaError._STATE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}
_RIGHTS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}
_LOGIN = {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED}


def client_config(settings: KafkaSettings) -> dict[str, Any]:
    """The librdkafka properties that consumer, producer and admin share; KAFKA__EXTRA wins over our defaults."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": "zkp2p-consumer",
        "log.connection.close": False,
        "reconnect.backoff.max.ms": 5_000,
        "log_level": 2,  # outages come through error_cb once, instead of a line for every attempt
    }
    named = {
        "security.protocol": settings.security_protocol,
        "sasl.mechanism": settings.sasl_mechanism,
        "sasl.username": settings.sasl_username,
        "sasl.password": settings.sasl_password.get_secret_value() if settings.sasl_password else None,
        "ssl.ca.location": settings.ssl_ca_location,
    }
    config |= {name: str(value) for name, value in named.items() if value}
    return config | settings.extra


def consumer_config(settings: KafkaSettings) -> dict[str, Any]:
    """Of the consumer that `run` polls. The first block is what the delivery protocol rests on."""
    protocol: dict[str, Any] = {
        "group.id": settings.group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",  # where to start is decided by the ledger, never by the client
        "enable.partition.eof": True,  # tells the log's end behind transaction markers, which are no records
        "group.protocol": settings.group_protocol,
    }
    if settings.group_protocol == "classic":
        protocol["partition.assignment.strategy"] = "cooperative-sticky"
        protocol["session.timeout.ms"] = settings.session_timeout_ms
        protocol["heartbeat.interval.ms"] = max(500, settings.session_timeout_ms // 15)
    if settings.instance_id:
        protocol["group.instance.id"] = settings.instance_id
    speed: dict[str, Any] = {
        # With its default of a second, librdkafka sleeps whenever its queue is full: a third of the speed.
        "fetch.queue.backoff.ms": 5,
        "queued.min.messages": 200_000,
        "queued.max.messages.kbytes": 65_536,
        "fetch.message.max.bytes": 4 * 1024 * 1024,
        "fetch.wait.max.ms": 100,
        "topic.metadata.refresh.interval.ms": 30_000,
    }
    return speed | client_config(settings) | protocol


def translate(error: KafkaError | KafkaException, what: str) -> ConsumerError:
    """Our error for librdkafka's. `what` says in a few words what was tried."""
    if isinstance(error, KafkaException):
        error = error.args[0]
    if not isinstance(error, KafkaError):
        return Stop(f"Kafka: {what}: {error}")
    code = error.code()
    text = f"Kafka: {what}: {error.str()}"
    if code in _LOGIN:
        return Stop(f"{text}: check KAFKA__SASL_MECHANISM, KAFKA__SASL_USERNAME and KAFKA__SASL_PASSWORD")
    if code in _RIGHTS:
        return Stop(f"{text}: grant the rights that docs/operations.md lists")
    if code == KafkaError._SSL:
        return Stop(f"{text}: check KAFKA__SECURITY_PROTOCOL and KAFKA__SSL_CA_LOCATION")
    if code == KafkaError._FATAL or error.fatal():
        return Stop(f"{text}: the client can't go on; restart the process")
    if code in (KafkaError._INVALID_ARG, KafkaError._UNKNOWN_PROTOCOL, KafkaError.OFFSET_METADATA_TOO_LARGE):
        return Stop(text)
    cause = "timeout" if code in (KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT) else error.name().lower()
    return Retryable(text, cause.lstrip("_"))


@dataclass(slots=True)
class Fetched:
    """What one poll brought for one partition, in offset order."""

    messages: list[Message] = field(default_factory=list)
    eof: int | None = None
    """Set when the log's end was reached: the offset where the next record will be."""
    out_of_range: bool = False


class Topic:
    """What the admin client tells of the topic: its id, and whether it is there."""

    def __init__(self, config: dict[str, Any], topic: str, *, has_ids: bool = True) -> None:
        self._admin = AdminClient(config, logger=librdkafka_logger())
        self._topic = topic
        self._has_ids = has_ids
        self.cluster_id = ""

    def identify(self, timeout: float = REQUEST_SECONDS) -> str:
        """The topic's id as Kafka's own tools print it; cluster id and name where the broker has none.

        Raises Retryable while the topic is missing or the broker can't be reached.
        """
        try:
            if not self.cluster_id:
                self.cluster_id = self._admin.list_topics(topic=self._topic, timeout=timeout).cluster_id or ""
            if not self._has_ids:
                return f"{self.cluster_id}:{self._topic}"
            future = self._admin.describe_topics(TopicCollection([self._topic]), request_timeout=timeout)[self._topic]
            found = future.result().topic_id
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise Retryable(f"Kafka: there is no topic {self._topic!r}: create it", "unknown_topic") from None
            raise translate(error, f"describe topic {self._topic!r}") from None
        raw = found.get_most_significant_bits() & (2**64 - 1), found.get_least_significant_bits() & (2**64 - 1)
        if raw == (0, 0):
            return f"{self.cluster_id}:{self._topic}"
        data = raw[0].to_bytes(8, "big") + raw[1].to_bytes(8, "big")
        return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Group:
    """Our member of the consumer group: polls for the loop, commits and looks up for the effects."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        on_assign: Callable[[list[int]], None],
        on_revoke: Callable[[list[int]], None],
        on_lost: Callable[[list[int]], None],
        has_topic_ids: bool = True,
    ) -> None:
        self.topic = settings.topic
        self._on_assign, self._on_revoke, self._on_lost = on_assign, on_revoke, on_lost
        self._fatal: ConsumerError | None = None
        self._down = False
        self._lock = threading.Lock()
        config = consumer_config(settings)
        self._consumer = Consumer({**config, "error_cb": self._on_error}, logger=librdkafka_logger())
        self.about = Topic(client_config(settings), settings.topic, has_ids=has_topic_ids)

    def subscribe(self) -> None:
        self._consumer.subscribe(
            [self.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )

    def close(self) -> None:
        """Leave the group (a static member doesn't) after the callbacks have given the partitions away."""
        self._consumer.close()

    # The loop thread's side.

    def poll(self, records_max: int, timeout: float) -> dict[int, Fetched]:
        """Records by partition. Serves the rebalance callbacks. Raises Stop when the client is at its end."""
        try:
            messages = self._consumer.consume(records_max, timeout)
        except KafkaException as error:
            raise translate(error, "poll") from None
        if self._fatal is not None:
            raise self._fatal
        fetched: dict[int, Fetched] = {}
        if messages:
            self._up()
        current, last = -1, None
        for message in messages:
            if message.error() is not None:
                self._note_error(message, fetched)
                continue
            partition = message.partition()
            if partition != current or last is None:
                current, last = partition, fetched.setdefault(partition, Fetched()).messages
            last.append(message)
        return fetched

    def _note_error(self, message: Message, fetched: dict[int, Fetched]) -> None:
        error = message.error()
        assert error is not None
        code = error.code()
        partition = message.partition()
        if code == KafkaError._PARTITION_EOF:
            fetched.setdefault(partition, Fetched()).eof = message.offset()
        elif code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            fetched.setdefault(partition, Fetched()).out_of_range = True
        else:
            self._on_error(error)

    def seek(self, partition: int, offset: int) -> None:
        """Records come from `offset` on. Raises Retryable while the assignment is still being made."""
        try:
            self._consumer.seek(TopicPartition(self.topic, partition, offset))
            self._consumer.resume([TopicPartition(self.topic, partition)])
        except KafkaException as error:
            raise Retryable(f"Kafka: seek: {error.args[0].str()}", "seek") from None

    def pause(self, partitions: Iterable[int]) -> None:
        self._consumer.pause([TopicPartition(self.topic, p) for p in partitions])

    def resume(self, partitions: Iterable[int]) -> None:
        self._consumer.resume([TopicPartition(self.topic, p) for p in partitions])

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:
            consumer.incremental_assign(partitions)
            consumer.pause(partitions)  # until recovery knows where to go on
        self._on_assign([p.partition for p in partitions])

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._on_revoke([p.partition for p in partitions])
        if partitions:
            consumer.incremental_unassign(partitions)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._on_lost([p.partition for p in partitions])
        if partitions:
            consumer.incremental_unassign(partitions)

    def _on_error(self, error: KafkaError) -> None:
        found = translate(error, "client")
        if isinstance(found, Stop):
            self._fatal = self._fatal or found
        elif not self._down:
            self._down = True
            log.warning("kafka trouble, waiting for it to pass", error=error.str(), code=error.name())

    def _up(self) -> None:
        if self._down:
            self._down = False
            log.info("kafka answers again")

    # The effects' side: blocking calls, each with a time-out.

    def committed(self, partition: int) -> Committed:
        return self._committed([partition])[partition]

    def _committed(self, partitions: Sequence[int]) -> dict[int, Committed]:
        try:
            found = self._consumer.committed([TopicPartition(self.topic, p) for p in partitions], REQUEST_SECONDS)
        except KafkaException as error:
            raise translate(error, "read committed offsets") from None
        result = {}
        for tp in found:
            if tp.error is not None:
                raise translate(tp.error, "read committed offsets")
            # A negative offset means that the group has none; nothing may ever be computed with it.
            result[tp.partition] = Committed(tp.offset, read_note(tp.metadata)) if tp.offset >= 0 else Committed(None)
        return result

    def bounds(self, partition: int) -> Log:
        topic_id = self.about.identify()
        try:
            low, high = self._consumer.get_watermark_offsets(
                TopicPartition(self.topic, partition), timeout=REQUEST_SECONDS
            )
        except KafkaException as error:
            raise translate(error, "read the log's bounds") from None
        return Log(topic_id, low, high)

    def log_end(self, partition: int) -> int | None:
        """The log's end as the last fetch saw it; None before the first."""
        _, high = self._consumer.get_watermark_offsets(TopicPartition(self.topic, partition), cached=True)
        return high if high >= 0 else None

    def commit(self, commits: dict[int, Commit]) -> dict[int, ConsumerError | None]:
        """One call for several partitions. The outcome of each: None when it is committed."""
        wanted = [
            TopicPartition(self.topic, partition, commit.offset, metadata=commit.note.dump())
            for partition, commit in commits.items()
        ]
        try:
            answers = self._consumer.commit(offsets=wanted, asynchronous=False) or []
        except KafkaException as error:
            return self._after_failed_commit(commits, error.args[0])
        outcome: dict[int, ConsumerError | None] = {
            partition: Retryable("Kafka: commit: no answer for the partition", "no_answer") for partition in commits
        }
        for tp in answers:
            outcome[tp.partition] = None if tp.error is None else _commit_error(tp.error)
        return outcome

    def _after_failed_commit(self, commits: dict[int, Commit], error: KafkaError) -> dict[int, ConsumerError | None]:
        """The call's error says nothing about each partition: some may be committed. The group knows."""
        failed = _commit_error(error)
        if len(commits) == 1 and isinstance(failed, Fenced):
            return dict.fromkeys(commits, failed)
        try:
            found = self._committed(list(commits))
        except ConsumerError:
            return dict.fromkeys(commits, failed)
        return {
            partition: None if found[partition] == Committed(commit.offset, commit.note) else failed
            for partition, commit in commits.items()
        }


def _commit_error(error: KafkaError) -> ConsumerError:
    if error.code() in _FENCED:
        return Fenced(f"Kafka: commit: {error.str()}")
    return translate(error, "commit")
