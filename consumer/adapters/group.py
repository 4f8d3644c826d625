"""Our member of the consumer group: polls, seeks, commits, and what the group gives and takes.

Errors come out as our own: `Retryable` for outages and unanswered requests, `Fenced` for a refused commit, `Stop` for the
rest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from consumer.adapters.kafka import consumer_config, translate
from consumer.adapters.logs import librdkafka_logger
from consumer.core.effects import Commit
from consumer.core.errors import ConsumerError, Fenced, Retryable, Stop
from consumer.settings import KafkaSettings

log = structlog.get_logger("kafka")

LEAVE_SECONDS = 5.0
"""For leaving the group; with the protocol `consumer` the member id doesn't tell when that is done."""
NO_TOPIC = "^$"
"""A pattern, and no topic has an empty name."""
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


@dataclass(slots=True)
class Fetched:
    """What one poll brought for one partition, in offset order."""

    messages: list[Message] = field(default_factory=list)
    eof: int | None = None
    """Set when the log's end was reached: the offset where the next record will be."""
    out_of_range: bool = False


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
            # Paused until recovery knows where to go on. At a number, not at the committed offset or the log's start: a
            # partition without the one would end in an error, and looking up the other may outlive the seek and undo it
            # (librdkafka#2256).
            consumer.incremental_assign([TopicPartition(p.topic, p.partition, 0) for p in partitions])
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


def _int(number: int | None) -> int:
    """A consumed message has a partition and an offset, whatever the type says."""
    assert number is not None
    return number
