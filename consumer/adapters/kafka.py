"""Kafka: one consumer in a group, its commits, and what an admin client knows of the topic.

The loop thread polls and commits; effects look up through a client of their own. Errors come out as our own: `Retryable` for outages and unanswered requests, `Fenced` for a refused commit, `Stop` for the rest.
"""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from consumer.adapters.logs import librdkafka_logger
from consumer.core.effects import Commit
from consumer.core.errors import ConsumerError, Fenced, Retryable, Stop
from consumer.core.lease import read_note
from consumer.core.position import Committed, Log
from consumer.settings import KafkaSettings

log = structlog.get_logger("kafka")

REQUEST_SECONDS = 10.0
LEAVE_SECONDS = 5.0
"""For leaving the group; with the protocol `consumer` the member id doesn't tell when that is done."""
NO_TOPIC = "^$"
"""A pattern, and no topic has an empty name."""
_EARLIEST, _LATEST = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]

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
_NO_TLS = re.compile("certificate|wrong version|unknown protocol|record layer", re.IGNORECASE)
"""Handshakes that fail for ever; one that broke off because the broker went away is none of them."""
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
        "socket.timeout.ms": 10_000,
    }
    return speed | client_config(settings) | protocol


def translate(error: KafkaError | KafkaException, what: str) -> ConsumerError:
    """Our error for librdkafka's. `what` says in a few words what was tried."""
    if isinstance(error, KafkaException):
        error = error.args[0]
        assert isinstance(error, KafkaError)
    code = error.code()
    text = f"Kafka: {what}: {error.str()}"
    if code in _LOGIN:
        return Stop(f"{text}: check KAFKA__SASL_MECHANISM, KAFKA__SASL_USERNAME and KAFKA__SASL_PASSWORD")
    if code in _RIGHTS:
        return Stop(f"{text}: grant the rights that docs/operations.md lists")
    if code == KafkaError._SSL and _NO_TLS.search(error.str()):
        return Stop(f"{text}: check KAFKA__SECURITY_PROTOCOL and KAFKA__SSL_CA_LOCATION")
    if code == KafkaError._FATAL or error.fatal():
        return Stop(f"{text}: the client can't go on; restart the process")
    if code in (KafkaError._INVALID_ARG, KafkaError._UNKNOWN_PROTOCOL, KafkaError.OFFSET_METADATA_TOO_LARGE):
        return Stop(text)
    cause = "timeout" if code in (KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT) else error.name().lower()
    return Retryable(text, cause.lstrip("_"))


def _int(number: int | None) -> int:
    """A consumed message has a partition and an offset, whatever the type says."""
    assert number is not None
    return number


@dataclass(slots=True)
class Fetched:
    """What one poll brought for one partition, in offset order."""

    messages: list[Message] = field(default_factory=list)
    eof: int | None = None
    """Set when the log's end was reached: the offset where the next record will be."""
    out_of_range: bool = False


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
        place = TopicPartition(self._topic, partition)
        ends = []
        for spec in (_EARLIEST, _LATEST):
            future = self._admin.list_offsets(
                {place: spec}, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=timeout
            )[place]
            try:
                ends.append(future.result().offset)
            except KafkaException as error:
                raise self._failed(error, "read the log's bounds") from None
        return Log(topic_id, *ends)


class Group:
    """Our member of the consumer group. Used by the loop thread only."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        on_assign: Callable[[list[int]], None],
        on_revoke: Callable[[list[int]], None],
        on_lost: Callable[[list[int]], None],
    ) -> None:
        self.topic = settings.topic
        self.member_id = ""
        """As the coordinator knows us; empty before the first assignment."""
        self._rejoin = threading.Event()
        self._leave = False
        self._left_at: float | None = None
        self._with_pattern = False
        self._on_assign, self._on_revoke, self._on_lost = on_assign, on_revoke, on_lost
        self._outcomes: dict[int, ConsumerError | None] = {}
        self._fatal: ConsumerError | None = None
        self._down = False
        config = {**consumer_config(settings), "error_cb": self._on_error, "on_commit": self._on_commit}
        self._consumer = Consumer(config, logger=librdkafka_logger())

    def subscribe(self) -> None:
        self._subscribe([self.topic])

    def _subscribe(self, topics: list[str]) -> None:
        self._consumer.subscribe(topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def rejoin_soon(self) -> None:
        """Have the group assign again, without giving anything up. May be called from any thread."""
        self._rejoin.set()

    def leave_soon(self) -> None:
        """Leave the group and join it again as a new member: what the old one committed and has not arrived is refused.

        Needed where a commit may still be on its way from a partition that is given away.
        """
        self._leave = True

    def _leave_now(self) -> None:
        self._leave = False
        self._consumer.unsubscribe()
        self._left_at = time.monotonic()

    def _come_back(self, left_at: float) -> None:
        # Subscribing before the client has forgotten its member id would only be another assignment to the same member.
        if self._consumer.memberid() is None or time.monotonic() > left_at + LEAVE_SECONDS:
            self._left_at, self._with_pattern = None, False
            self._rejoin.clear()
            self.subscribe()

    def _rejoin_now(self) -> None:
        # Only a changed subscription makes a client join again, so a pattern that matches nothing comes and goes.
        self._rejoin.clear()
        self._with_pattern = not self._with_pattern
        self._subscribe([self.topic, NO_TOPIC] if self._with_pattern else [self.topic])

    def close(self) -> None:
        """Leave the group (a static member doesn't) after the callbacks have given the partitions away."""
        self._consumer.close()

    def poll(self, records_max: int, timeout: float) -> dict[int, Fetched]:
        """Records by partition. Serves the rebalance callbacks. Raises Stop when the client is at its end."""
        if self._leave:
            self._leave_now()
        elif self._left_at is not None:
            self._come_back(self._left_at)
        elif self._rejoin.is_set():
            self._rejoin_now()
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
            partition = _int(message.partition())
            if partition != current or last is None:
                current, last = partition, fetched.setdefault(partition, Fetched()).messages
            last.append(message)
        return fetched

    def _note_error(self, message: Message, fetched: dict[int, Fetched]) -> None:
        error = message.error()
        assert error is not None
        code = error.code()
        partition = _int(message.partition())
        if code == KafkaError._PARTITION_EOF:
            fetched.setdefault(partition, Fetched()).eof = message.offset()
        elif code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            fetched.setdefault(partition, Fetched()).out_of_range = True
        else:
            self._on_error(error)

    def seek(self, partition: int, offset: int) -> None:
        """Records come from `offset` on. Raises Retryable while the assignment is still being made."""
        place = TopicPartition(self.topic, partition, offset)
        try:
            try:
                self._consumer.seek(place)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._STATE:
                    raise
                # It stopped at an offset that the log doesn't have, and out of that only a new assignment leads.
                self._consumer.incremental_unassign([place])
                self._consumer.incremental_assign([place])
            self._consumer.resume([place])
        except KafkaException as error:
            raise Retryable(f"Kafka: seek: {error.args[0].str()}", "seek") from None

    def pause(self, partitions: Iterable[int]) -> None:
        self._consumer.pause([TopicPartition(self.topic, p) for p in partitions])

    def resume(self, partitions: Iterable[int]) -> None:
        self._consumer.resume([TopicPartition(self.topic, p) for p in partitions])

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.member_id = consumer.memberid() or ""
        if partitions:
            # Paused until recovery knows where to go on. From the log's start and not from the committed offset,
            # because a partition that has none would end in an error.
            consumer.incremental_assign([TopicPartition(p.topic, p.partition, OFFSET_BEGINNING) for p in partitions])
            consumer.pause(partitions)
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

    def log_end(self, partition: int) -> int | None:
        """The log's end as the last fetch saw it; None before the first."""
        _, high = self._consumer.get_watermark_offsets(TopicPartition(self.topic, partition), cached=True)
        return high if high >= 0 else None

    # Commits. One call at a time, see `consumer.committer`.

    def commit_soon(self, commits: Mapping[int, Commit]) -> ConsumerError | None:
        """Send one call; its outcome is taken after a later poll. An error here means that nothing was sent."""
        try:
            self._consumer.commit(offsets=self._places(commits), asynchronous=True)
        except KafkaException as error:
            return _commit_error(error.args[0])
        return None

    def commit_now(self, commits: Mapping[int, Commit]) -> dict[int, ConsumerError | None]:
        """One call, and wait for the outcome of each: None when it is committed."""
        try:
            answers = self._consumer.commit(offsets=self._places(commits), asynchronous=False) or []
        except KafkaException as error:
            # Says nothing about each of several partitions; but the same commit may always be sent again.
            return dict.fromkeys(commits, _commit_error(error.args[0]))
        outcomes: dict[int, ConsumerError | None] = dict.fromkeys(
            commits, Retryable("Kafka: commit: no answer", "none")
        )
        return outcomes | _outcomes(answers)

    def take_commit_outcomes(self) -> dict[int, ConsumerError | None]:
        """Of the call that `commit_soon` sent; empty while it has no answer."""
        outcomes, self._outcomes = self._outcomes, {}
        return outcomes

    def committed_by(self, outcomes: dict[int, ConsumerError | None]) -> None:
        self._outcomes |= outcomes

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        if error is None:
            self._outcomes |= _outcomes(partitions)
        else:
            self._outcomes |= dict.fromkeys((p.partition for p in partitions), _commit_error(error))

    def _places(self, commits: Mapping[int, Commit]) -> list[TopicPartition]:
        return [
            TopicPartition(self.topic, partition, commit.offset, metadata=commit.note.dump())
            for partition, commit in commits.items()
        ]


def _outcomes(partitions: Iterable[TopicPartition]) -> dict[int, ConsumerError | None]:
    return {p.partition: None if p.error is None else _commit_error(p.error) for p in partitions}


def _commit_error(error: KafkaError) -> ConsumerError:
    if error.code() in _FENCED:
        return Fenced(f"Kafka: commit: {error.str()}")
    return translate(error, "commit")
