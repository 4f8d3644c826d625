"""What producers send, and how a member sees it: simulated records and the runs made of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np

from consumer.core.batch import SECONDS_A_DAY, DeadLetter, Run

VALID, REJECT, FOREIGN, CONTROL = "valid", "reject", "foreign", "control"


@dataclass(slots=True, eq=False)
class Event:
    """One distinct event by the contract's rule: any copy of it lies within a day of any other, and every other
    event of the same key lies at least two days away. So however copies are ordered, exactly one row is right."""

    number: int
    key: int
    """Stands for the hash of (sessionId, eventType)."""
    day: int
    """Copies lie on this UTC day or the next."""
    weight: int
    """Stands for its amounts: sums of different rows differ."""


@dataclass(slots=True, eq=False)
class Record:
    """One offset of a log."""

    partition: int
    offset: int
    kind: str
    event: Event | None
    seconds: int
    """Event time."""
    produced: int
    """Kafka timestamp, in seconds since 1970."""
    topic_id: str = ""
    skipped: bool = False
    """Nobody owes it any more: the log dropped it or an operator went past it before it had landed."""
    unclear: bool = False
    """The same, but perhaps it had landed and the ledger does not say so: it may be called missing there."""


class SimRows:
    """Stands for a `pa.RecordBatch`."""

    __slots__ = ("records",)

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records

    @property
    def num_rows(self) -> int:
        return len(self.records)

    def take(self, indices: Iterable[int]) -> SimRows:
        return SimRows([self.records[i] for i in indices])


def make_run(first: int, end: int, records: Sequence[Record]) -> Run:
    """What the shell makes of consecutive records [first, end), holes and control records left out."""
    valid = [r for r in records if r.kind == VALID]
    return Run(
        first=first,
        end=end,
        offsets=np.array([r.offset for r in records], np.int64),
        rows=SimRows(valid),
        valid_offsets=np.array([r.offset for r in valid], np.int64),
        seconds=np.array([r.seconds for r in valid], np.int64),
        keys=keys_of(valid),
        letters=[
            DeadLetter(b"", b"", (), r.offset, r.produced * 1000, "not_json", "") for r in records if r.kind == REJECT
        ],
        ignored=sum(r.kind == FOREIGN for r in records),
        key_mismatches=0,
        size_bytes=100 * len(records),
        times_ms=np.array([r.produced * 1000 for r in records], np.int64),
    )


def keys_of(records: Sequence[Record]) -> np.ndarray[tuple[int, int], np.dtype[np.uint64]]:
    keys = np.zeros((len(records), 2), np.uint64)
    keys[:, 0] = [r.event.key for r in records if r.event]
    keys[:, 1] = keys[:, 0]
    return keys


@dataclass(slots=True)
class Mix:
    """What a producer sends, as shares."""

    reject: float
    foreign: float
    control: float
    copy: float
    old: float
    """Events so old that the table's TTL is near."""
    distant: float
    """A known key again, days away: another event."""


@dataclass(slots=True)
class Producer:
    """Makes records for all partitions; remembers its events so that it can send them again."""

    random: Random
    mix: Mix
    events: dict[int, list[Event]] = field(default_factory=dict)
    """By partition: a session keeps to its partition."""
    made: int = 0

    def record(self, partition: int, offset: int, now: int) -> Record:
        mix, chance = self.mix, self.random.random()
        for kind, share in ((REJECT, mix.reject), (FOREIGN, mix.foreign), (CONTROL, mix.control)):
            if chance < share:
                return Record(partition, offset, kind, None, now, now)
            chance -= share
        event = self._event(partition, now)
        day = event.day + self.random.randrange(2)
        seconds = day * SECONDS_A_DAY + self.random.randrange(SECONDS_A_DAY)
        return Record(partition, offset, VALID, event, seconds, now)

    def _event(self, partition: int, now: int) -> Event:
        random, today = self.random, now // SECONDS_A_DAY
        known = self.events.setdefault(partition, [])
        if known and random.random() < self.mix.copy:
            return random.choice(known)
        self.made += 1
        # A day in [today - 1, today) and now and then one at the edge of what the table keeps, or in another month.
        day = today - (random.randrange(86, 92) if random.random() < self.mix.old else random.choice((1, 1, 1, 20)))
        key = self.made
        if known and random.random() < self.mix.distant:
            old = random.choice(known)
            distant = old.day - 5
            if all(abs(e.day - distant) > 2 for e in known if e.key == old.key):
                key, day = old.key, distant
        event = Event(self.made, key, day, random.randrange(1, 1 << 40))
        known.append(event)
        return event
