"""Any interleaving of what can happen to partitions keeps and drops the same payments as a plain model does.

The model is the table itself, a list of rows, asked one payment at a time. The index in front of it mostly has a tiny
memory budget, so that days leave and are read again all the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from consumer.core.batch import I64, Keys
from consumer.core.dedupe import DAY_OVERHEAD_BYTES, SHARED, KeyIndex, hash_keys

PARTITIONS = 2
SESSIONS = ["", "a", "b", "session-1", "session-2", "é" * 128]
EVENTS = st.tuples(st.sampled_from(SESSIONS), st.integers(1, 2), st.integers(0, 7))
BATCHES = st.lists(EVENTS, min_size=1, max_size=12)

Event = tuple[str, int, int]
"""sessionId, event type, day."""


@dataclass(frozen=True)
class Row:
    topic: int
    partition: int
    event: Event


@dataclass
class Batch:
    """A batch on its way and how far it has come."""

    events: list[Event]
    asked: list[tuple[int, int]]
    kept: list[Event] | None = None

    @property
    def keys(self) -> Keys:
        return hashed(self.events)

    @property
    def days(self) -> I64:
        return days_of(self.events)


@dataclass
class Table:
    rows: list[Row] = field(default_factory=list)
    topic: int = 0

    def of_scope(self, scope: int, day: int) -> list[Event]:
        """What ClickHouse answers to a hydration."""
        return [row.event for row in self.rows if row.event[2] == day and self._belongs(row, scope)]

    def _belongs(self, row: Row, scope: int) -> bool:
        return row.topic != self.topic if scope == SHARED else (row.topic, row.partition) == (self.topic, scope)

    def decide(self, partition: int, events: list[Event]) -> list[bool]:
        """The rule of duplicates, read aloud."""
        known = [row.event for row in self.rows if self._belongs(row, partition) or self._belongs(row, SHARED)]
        verdicts = []
        for event in events:
            duplicate = any(event[:2] == other[:2] and abs(event[2] - other[2]) <= 1 for other in known)
            verdicts.append(duplicate)
            if not duplicate:
                known.append(event)
        return verdicts


def hashed(events: list[Event]) -> Keys:
    return hash_keys(pa.array([e[0] for e in events], pa.string()), np.array([e[1] for e in events], dtype=np.uint8))


def days_of(events: list[Event]) -> I64:
    return np.array([e[2] for e in events], dtype=np.int64)


class Partitions(RuleBasedStateMachine):
    """Batches of several partitions interleave step by step; at each, partitions can go and topics be made anew."""

    batches: Bundle[int] = Bundle("batches")

    def __init__(self) -> None:
        super().__init__()
        self.table = Table()
        self.index = KeyIndex(memory_bytes=0)
        self.on_the_way: dict[int, Batch] = {}

    @initialize(days=st.sampled_from([0, 4, 30, 1_000]))
    def budget(self, days: int) -> None:
        self.index.memory_bytes = days * DAY_OVERHEAD_BYTES

    def ask(self, partition: int, events: list[Event]) -> Batch:
        batch = self.on_the_way[partition] = Batch(events, self.index.to_hydrate(partition, days_of(events)))
        return batch

    def hydrate(self, batch: Batch) -> None:
        while batch.asked:
            scope, day = batch.asked.pop()
            self.index.hydrate(scope, day, hashed(self.table.of_scope(scope, day)))

    def check_decision(self, partition: int, batch: Batch) -> None:
        verdicts = self.index.duplicates(partition, batch.keys, batch.days)
        assert list(verdicts) == self.table.decide(partition, batch.events)
        batch.kept = [event for event, drop in zip(batch.events, verdicts, strict=True) if not drop]

    def write(self, partition: int, events: list[Event]) -> None:
        self.table.rows += [Row(self.table.topic, partition, event) for event in events]

    @rule(partition=st.integers(0, PARTITIONS - 1), events=BATCHES)
    def whole_batch(self, partition: int, events: list[Event]) -> None:
        if self.on_the_way.pop(partition, None):
            self.index.forget(partition)
        batch = self.ask(partition, events)
        self.hydrate(batch)
        self.check_decision(partition, batch)
        self.land(partition)

    @rule(target=batches, partition=st.integers(0, PARTITIONS - 1), events=BATCHES)
    def begin(self, partition: int, events: list[Event]) -> int:
        if partition not in self.on_the_way:
            self.ask(partition, events)
        return partition

    @rule(partition=batches)
    def one_answer(self, partition: int) -> None:
        batch = self.on_the_way.get(partition)
        if batch and batch.asked:
            scope, day = batch.asked.pop(0)
            self.index.hydrate(scope, day, hashed(self.table.of_scope(scope, day)))

    @rule(partition=batches)
    def decide(self, partition: int) -> None:
        batch = self.on_the_way.get(partition)
        if batch and batch.kept is None:
            self.hydrate(batch)
            self.check_decision(partition, batch)

    @rule(partition=consumes(batches))
    def land(self, partition: int) -> None:
        batch = self.on_the_way.get(partition)
        if batch and batch.kept is not None:
            self.write(partition, batch.kept)
            self.index.landed(partition, hashed(batch.kept), days_of(batch.kept))
            del self.on_the_way[partition]

    @rule(partition=st.integers(0, PARTITIONS - 1), part=st.integers(0, 12), more=BATCHES, back=st.booleans())
    def revoked(self, partition: int, part: int, more: list[Event], back: bool) -> None:
        """Its batch lands in part or not at all, and answers it asked for still come. Another owner lands the batch
        and something more, and at times the partition comes back and is read again from before."""
        batch = self.on_the_way.pop(partition, None)
        if batch and batch.kept:
            self.write(partition, batch.kept[:part])
        self.index.forget(partition)
        for scope, day in batch.asked if batch else []:
            self.index.hydrate(scope, day, hashed(self.table.of_scope(scope, day)))
        events = (batch.events if batch else []) + more
        drop = self.table.decide(partition, events)
        self.write(partition, [event for event, dropped in zip(events, drop, strict=True) if not dropped])
        if back:
            self.whole_batch(partition, events)

    @precondition(lambda self: self.table.topic < 3)
    @rule()
    def topic_made_anew(self) -> None:
        for scope in (*range(PARTITIONS), SHARED):
            self.index.forget(scope)
        self.on_the_way.clear()
        self.table.topic += 1

    @invariant()
    def no_event_is_twice_in_the_table(self) -> None:
        for partition in range(PARTITIONS):
            mine = [row.event for row in self.table.rows if (row.topic, row.partition) == (self.table.topic, partition)]
            assert len(mine) == len(set(mine))

    @invariant()
    def memory_is_bounded(self) -> None:
        in_use = set().union(*self.index._in_use.values())
        held = set(self.index._days)
        assert self.index.bytes <= self.index.memory_bytes or held <= in_use
        assert self.index.bytes == sum(day.nbytes + DAY_OVERHEAD_BYTES for day in self.index._days.values())


Partitions.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
test_interleavings = Partitions.TestCase
