"""THE loop: poll, hand the records to their partitions, hand the answers to their partitions, do what they ask.

One thread turns it; whatever blocks is done by the `Performer`. What has to happen in which order is decided by
each partition's life (`consumer.core.life`), never here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import cast

import structlog

from consumer.adapters.group import Fetched, Group
from consumer.adapters.health import Health
from consumer.adapters.records import to_run
from consumer.committer import Committer
from consumer.core.dedupe import KeyIndex
from consumer.core.effects import Commit, Effect, Output, Seek
from consumer.core.errors import Fenced, LeaseOver, Retryable
from consumer.core.partition import Partition
from consumer.core.tenure import Setup
from consumer.performer import Answer, Performer, Ticket
from consumer.telemetry import Telemetry

log = structlog.get_logger("worker")

RECORDS_A_POLL = 10_000
POLL_SECONDS_BUSY, POLL_SECONDS_IDLE = 0.01, 0.1
STALL_SECONDS = 1.0
"""So long the loop leaves records where they are before it pauses partitions: a pause throws fetched ones away."""
WATCH_SECONDS = 10.0
"""How often the topic's id and the server's clock are looked at."""
_WATCH = -1


@dataclass(frozen=True, slots=True)
class Watched:
    """What a look at the topic found."""

    topic_id: str
    ends: dict[int, int]
    """The log's end of each partition that was asked for."""


Look = Callable[[Sequence[int]], Watched | None]
"""Looks at something outside, such as the topic and the ends of these partitions' logs. Blocks."""


@dataclass(slots=True)
class Owned:
    """A partition in our hands."""

    partition: Partition
    ticket: Ticket
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Room:
    """How much may wait in memory: bytes of record values, all partitions together, and records of each."""

    bytes_max: int
    rows_max: int


class Worker:
    """Owns the partitions that the group assigns to us."""

    def __init__(
        self,
        *,
        setup: Setup,
        index: KeyIndex,
        room: Room,
        clock: Callable[[], float],
        telemetry: Telemetry,
        health: Health,
    ) -> None:
        self._setup = setup
        self._index = index
        self._room = room
        self._clock = clock
        self._telemetry = telemetry
        self._health = health
        self._owned: dict[int, Owned] = {}
        self._epoch = 0
        self._watched_at = 0.0
        self._looking: set[int] = set()
        """Looks that have no answer yet: in an outage one may take longer than it is to the next."""
        self._group: Group
        self._performer: Performer
        self._committer: Committer
        self._looks: Sequence[Look]

    def run(self, group: Group, performer: Performer, looks: Sequence[Look], stopping: Callable[[], bool]) -> None:
        """Turn until `stopping`, then let what is in flight land and give everything back.

        Each of `looks` is called now and then in a thread of the performer. Raises Stop, or whatever else an effect
        raised that waiting won't mend.
        """
        self._group, self._performer, self._looks = group, performer, looks
        self._committer = Committer(group, self._telemetry.metrics)
        group.subscribe()
        while not stopping():
            self._health.tick()
            self._take(group.poll(self._records_wanted(), self._poll_seconds()))
            self._health.ready()
            self._turn(0.0 if self._hungry() else 0.05)
            self._bound_memory()
            self._look_around()
        log.info("stopping: what is in flight may land", partitions=self.owned)
        self.release(self.owned)

    @property
    def owned(self) -> list[int]:
        """Numbers of the partitions in our hands."""
        return list(self._owned)

    # The group's callbacks, called from within poll and close by the loop thread.

    def assigned(self, partitions: Iterable[int]) -> None:
        self._telemetry.rebalanced()
        for number in partitions:
            self._epoch += 1
            owned = Owned(Partition(number, self._setup, self._index), Ticket(number, self._epoch), paused=True)
            self._owned[number] = owned
            self._telemetry.assigned(number)
            self._do(owned, owned.partition.start(self._clock()))

    def release(self, partitions: Iterable[int]) -> None:
        """Let a batch in flight land, say that nothing is on its way, let go. Bounded by the revocation deadline."""
        leaving = [self._owned[number] for number in partitions if number in self._owned]
        for owned in leaving:
            self._do(owned, owned.partition.leave(self._clock()))
        deadline = time.monotonic() + self._setup.timing.revoke
        while not all(owned.partition.released for owned in leaving) and time.monotonic() < deadline:
            self._health.tick()
            self._turn(0.05)
            for answer in self._committer.settle():
                self._hand_over(answer)
        for owned in leaving:
            if not owned.partition.released:
                log.warning("partition left with a batch in flight", partition=owned.partition.number)
        if any(owned.partition.commit_open for owned in leaving):
            log.warning("a commit has had no answer: leaving the group, so that it can't be applied any more")
            self._group.leave_soon()
        self.lost([owned.partition.number for owned in leaving])

    def lost(self, partitions: Iterable[int]) -> None:
        """No longer ours: whatever is still answered for it means nothing any more."""
        self._telemetry.rebalanced()
        for number in partitions:
            if self._owned.pop(number, None) is not None:
                self._index.forget(number)
                self._telemetry.gone(number)

    # One turn.

    def _take(self, fetched: dict[int, Fetched]) -> None:
        for number, found in fetched.items():
            owned = self._owned.get(number)
            if owned is None:
                continue
            if owned.partition.reading:
                run = to_run(found, owned.partition.next_offset)
                if run is not None:
                    self._do(owned, owned.partition.records(run, self._clock()))
                self._send_forward(owned, found)
            if found.out_of_range and owned.partition.reading:
                self._do(owned, owned.partition.out_of_range(self._clock()))

    def _send_forward(self, owned: Owned, found: Fetched) -> None:
        """A client that went back would read all of the log once more, for nothing and for hours: it is told where to
        go on."""
        partition = owned.partition
        if not found.messages or not partition.reading:
            return
        offset = cast("int", found.messages[-1].offset())
        if max(offset + 1, found.eof or 0) < partition.next_offset:
            self._telemetry.went_back(partition, offset)
            with suppress(Retryable):  # else the next records tell again
                self._group.seek(partition.number, partition.next_offset)
                owned.paused = False

    def _turn(self, timeout: float) -> None:
        """Answers to their partitions, time to all, and on with what they ask."""
        for answer in self._performer.answers(timeout):
            self._hand_over(answer)
        for answer in self._committer.answers():
            self._hand_over(answer)
        now = self._clock()
        for owned in list(self._owned.values()):
            if owned.partition.wake_at <= now:
                self._do(owned, owned.partition.tick(now))
        self._committer.send()

    def _hand_over(self, answer: Answer) -> None:
        if answer.ticket.partition == _WATCH:
            self._watched(answer)
            return
        owned = self._owned.get(answer.ticket.partition)
        ours = owned is not None and owned.ticket == answer.ticket
        error = answer.error
        if error is not None and not isinstance(error, Retryable | LeaseOver | Fenced):
            raise error
        if owned is None or not ours:
            return
        now = self._clock()
        if error is None:
            self._do(owned, owned.partition.answered(answer.result, now))
        else:
            self._do(owned, owned.partition.failed(error, now))

    def _do(self, owned: Owned, outputs: Iterable[Output]) -> None:
        for output in outputs:
            if not isinstance(output, Effect):
                self._telemetry.fact(owned.partition, output)
            elif isinstance(output, Seek):
                self._seek(owned, output)
            elif isinstance(output, Commit):
                self._committer.add(owned.ticket, output)
            else:
                self._performer.perform(owned.ticket, output)

    def _seek(self, owned: Owned, seek: Seek) -> None:
        now = self._clock()
        try:
            self._group.seek(owned.partition.number, seek.offset)
            owned.paused = False
        except Retryable as error:
            self._do(owned, owned.partition.failed(error, now))
        else:
            self._do(owned, owned.partition.answered(None, now))

    # Memory is bounded; polling never stops for long.

    def _hungry(self) -> bool:
        """Is there a partition whose next batch is not complete, and room for more?"""
        if self._buffered() >= self._room.bytes_max:
            return False
        reading = [o.partition for o in self._owned.values() if o.partition.reading]
        return not reading or any(not p.full for p in reading)

    def _buffered(self) -> int:
        return sum(o.partition.buffered_bytes for o in self._owned.values())

    def _records_wanted(self) -> int:
        return min(RECORDS_A_POLL, self._room.rows_max)

    def _poll_seconds(self) -> float:
        busy = any(o.partition.inflight is not None for o in self._owned.values())
        return POLL_SECONDS_BUSY if busy else POLL_SECONDS_IDLE

    def _bound_memory(self) -> None:
        """While every next batch is complete the records stay with the client; if that lasts, or one partition
        holds more than its share, partitions are paused and polling goes on for the sake of the group."""
        stalled = self._wait_while_full()
        share = self._room.bytes_max / max(1, len(self._owned))
        pause, resume = [], []
        for number, owned in self._owned.items():
            partition = owned.partition
            over = partition.buffered_bytes > share or partition.buffered_rows > 2 * self._room.rows_max
            # One that is being recovered, as in an outage, would read to the log's end for nothing.
            wanted = partition.reading and not over and not (stalled and partition.full)
            if not wanted and not owned.paused:
                owned.paused = True
                pause.append(number)
            elif partition.reading and owned.paused and not partition.full:
                owned.paused = False
                resume.append(number)
        if pause:
            log.debug("partitions paused", partitions=pause)
            self._group.pause(pause)
        if resume:
            log.debug("partitions resumed", partitions=resume)
            self._group.resume(resume)

    def _wait_while_full(self) -> bool:
        began = time.monotonic()
        while not self._hungry() and time.monotonic() < began + STALL_SECONDS:
            self._health.tick()
            # The answers to commits come with a poll, and what is full may be waiting for nothing else.
            self._take(self._group.poll(1, 0.0))
            self._turn(0.05)
        return not self._hungry()

    # Now and then.

    def _look_around(self) -> None:
        now = time.monotonic()
        self._telemetry.look(self._clock(), self._owned.values(), self._group, self._index)
        if now - self._watched_at < WATCH_SECONDS:
            return
        self._watched_at = now
        # Of those that are read, every fetch tells the log's end.
        unread = [number for number, owned in self._owned.items() if owned.paused]
        for number, look in enumerate(self._looks):
            if number not in self._looking:
                self._looking.add(number)
                self._performer.background(Ticket(_WATCH, number), partial(look, unread))

    def _watched(self, answer: Answer) -> None:
        """A topic that was deleted and made again has another id, and its offsets mean other records."""
        self._looking.discard(answer.ticket.epoch)
        if answer.error is not None and not isinstance(answer.error, Retryable):
            raise answer.error
        if answer.result is None:
            return
        topic_id = answer.result.topic_id
        self._telemetry.log_ends(answer.result.ends)
        for owned in list(self._owned.values()):
            known = owned.partition.topic_id
            if topic_id and known and known != topic_id and owned.partition.reading:
                log.warning("the topic was made anew", partition=owned.partition.number, was=known, now=topic_id)
                self._do(owned, owned.partition.out_of_range(self._clock()))
