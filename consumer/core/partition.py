"""One partition for one assignment: what the shell, or the simulation, talks to.

Events go in, effects and facts come out: `start`, `records`, `answered`, `failed`, `tick`, `leave`. At most one
effect is outstanding at any time. Time comes in with each event, in seconds since 1970 by the ClickHouse server's
clock, so that nothing here needs one.
"""

from __future__ import annotations

from typing import Any

from consumer.core.batch import Batch, Run
from consumer.core.dedupe import KeyIndex
from consumer.core.effects import Effect, Fill, Output, Sleep
from consumer.core.errors import Fenced, LeaseOver, Retryable
from consumer.core.life import Leave, Life
from consumer.core.tenure import Setup, StartOver

IDLE_SECONDS = 30.0
"""An idle owner looks this often whether its committed offset is still what it committed."""


class Partition:
    """Drives a `Life`: answers itself what needs no one else (time, the next batch) and hands on the rest."""

    def __init__(self, number: int, setup: Setup, index: KeyIndex) -> None:
        self.number = number
        self.waiting: Effect | None = None
        """The outstanding effect."""
        self.released = False
        self._life = Life(number, setup, index)
        self._steps = self._life.live()
        self._out_of_range = False

    # Events

    def start(self, now: float) -> list[Output]:
        self._life.now = now
        return self._go(None)

    def records(self, run: Run, now: float) -> list[Output]:
        """Take the next records; only while `reading`, and `run.first` must be `next_offset`."""
        life = self._life
        if not (life.reading and run.first == life.next_offset <= run.end):
            raise AssertionError(f"run [{run.first}, {run.end}) where {life.next_offset} was expected")
        life.now = now
        life.next_offset = run.end
        life.buffer.add(run, now)
        return self._look()

    def answered(self, result: Any, now: float) -> list[Output]:
        """The outstanding effect has happened."""
        self._life.now = now
        return self._go(result)

    def failed(self, error: Retryable | LeaseOver | Fenced, now: float) -> list[Output]:
        """The outstanding effect failed, or nobody knows."""
        self._life.now = now
        return self._go(error, failed=True)

    def tick(self, now: float) -> list[Output]:
        """Time has passed; to be called some times a second."""
        self._life.now = now
        return self._look()

    def leave(self, now: float) -> list[Output]:
        """The partition will be taken away: forget the buffer, let a batch in flight land, then release."""
        self._life.now = now
        self._life.leaving = True
        self._life.forget_buffer()
        return self._go(None) if isinstance(self.waiting, Fill | Sleep) and self._life.may_leave else []

    def out_of_range(self, now: float) -> list[Output]:
        """The broker no longer has the offset we read at, or the topic is another: find the position again."""
        self._life.now = now
        self._out_of_range = True
        return self._look()

    # State, for the shell to look at

    @property
    def topic_id(self) -> str:
        return self._life.topic_id

    @property
    def position(self) -> int:
        """First offset that is not known to have landed; -1 until recovery has found it."""
        return self._life.position

    @property
    def next_offset(self) -> int:
        return self._life.next_offset

    @property
    def reading(self) -> bool:
        """True while records are welcome."""
        return self._life.reading

    @property
    def log_high(self) -> int:
        """The log's end when recovery looked."""
        return self._life.log.high

    @property
    def lease_until(self) -> int:
        return self._life.lease_until

    @property
    def inflight(self) -> Batch | None:
        return self._life.inflight

    @property
    def commit_open(self) -> bool:
        """A commit was sent that may still be applied. Who gives the partition away now has to leave the group, so that
        the broker refuses it: a new owner's commit would be undone by it."""
        return self._life.commit_open

    @property
    def full(self) -> bool:
        """The next batch is complete, so there is no hurry to fetch more."""
        return self._life.buffer.full

    @property
    def buffered_bytes(self) -> int:
        return self._life.buffer.bytes

    @property
    def buffered_rows(self) -> int:
        return self._life.buffer.rows

    @property
    def oldest_ms(self) -> int:
        """Kafka timestamp of the oldest record in our hands that has not landed; 0 when there is none."""
        inflight = self._life.inflight
        return inflight.oldest_ms if inflight is not None and inflight.oldest_ms else self._life.buffer.oldest_ms

    @property
    def wake_at(self) -> float:
        """When the next `tick` can matter."""
        if isinstance(self.waiting, Sleep):
            return self.waiting.until
        if not isinstance(self.waiting, Fill):
            return float("inf")
        return self._life.buffer.due_at if self._life.buffer else self._life.idle_since + IDLE_SECONDS

    # The driver

    def _go(self, value: Any, *, failed: bool = False) -> list[Output]:
        """Resume the life with an answer and hand on what it asks for next."""
        if self.released:
            return []
        life = self._life
        if life.leaving and life.may_leave:
            value, failed = Leave(), True
        try:
            self.waiting = self._steps.throw(value) if failed else self._steps.send(value)
        except StopIteration:
            self.waiting, self.released = None, True
        outputs: list[Output] = [*life.facts]
        life.facts.clear()
        if self.waiting is None or isinstance(self.waiting, Fill | Sleep):
            return outputs + self._look()
        return [*outputs, self.waiting]

    def _look(self) -> list[Output]:
        """Answer what needs no one else: is it time, is a batch ready?"""
        life = self._life
        if life.leaving and life.may_leave and isinstance(self.waiting, Fill | Sleep):
            return self._go(None)
        if isinstance(self.waiting, Sleep) and life.now >= self.waiting.until:
            return self._go(None)
        if not isinstance(self.waiting, Fill):
            return []
        if self._out_of_range:
            self._out_of_range = False
            return self._go(StartOver("out_of_range"), failed=True)
        life.close_reason = life.buffer.reason_to_close(life.now)
        if life.close_reason:
            return self._go(life.buffer.take(life.now))
        if not life.buffer and life.now >= life.idle_since + IDLE_SECONDS:
            return self._go(None)
        return []
