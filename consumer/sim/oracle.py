"""The judge. It knows what was produced and what the fakes hold, and nothing of how the consumer works.

Every distinct valid event is one row and one count; every reject is a dead letter; the ledger tiles the offsets of
each pass up to the committed offset and agrees with the table; no commit ever passes what has landed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from consumer.core.batch import SECONDS_A_DAY, LedgerRow
from consumer.core.lease import read_note
from consumer.sim.records import CONTROL, FOREIGN, REJECT, VALID, Event, Record

if TYPE_CHECKING:
    from consumer.sim.world import World

KEPT_DAYS = 88
"""The contract: an event whose UTC day is before today - 88 when it is processed is expired."""
CLOCK_SLACK = 1.0
"""Members know the server's clock to within a second."""


class Oracle:
    def __init__(self, world: World) -> None:
        self.world = world
        self.findings: list[str] = []
        self.records: dict[tuple[str, int], list[Record]] = defaultdict(list)
        """All that was ever produced, by topic id and partition, by offset."""
        self._checked: Counter[tuple[str, int]] = Counter()

    def found(self, text: str) -> None:
        self.findings.append(text)
        if self.world.tracing:
            self.world.trace(f"ORACLE: {text}")

    # While it runs

    def produced(self, record: Record) -> None:
        self.records[record.topic_id, record.partition].append(record)

    def check_buffer(self, size: int) -> None:
        limit = self.world.limits.max_bytes + 100 * self.world.fetch_max
        if size > limit:
            self.found(f"a buffer of {size} bytes where {limit} are allowed")

    def on_commit(self, partition: int, offset: int, metadata: str) -> None:
        note = read_note(metadata)
        if note is None:
            self.found(f"a commit whose note nobody can read: {metadata!r}")
            return
        where = note.topic_id, partition
        records = self.records[where]
        if offset > len(records) or offset < 0:
            self.found(f"p{partition} commits {offset} where {note.topic_id} ends at {len(records)}")
            return
        if offset <= self._checked[where]:
            return
        landed = self.landed_events()
        for record in records[self._checked[where] : offset]:
            if not record.skipped and not self.has_landed(record, landed) and not self._may_expire(record):
                self.found(f"p{partition} commits {offset} but {_name(record)} has not landed")
        self._checked[where] = offset

    def landed_events(self) -> set[Event | None]:
        return {row.record.event for row in self.world.store.history}

    def has_landed(self, record: Record, landed: set[Event | None]) -> bool:
        if record.kind == VALID:
            return record.event in landed
        if record.kind == REJECT:
            return (record.topic_id, record.partition, record.offset) in self.world.dead_letters
        return True

    def give_up(self, topic_id: str, partition: int, first: int, end: int) -> None:
        """The log or an operator's will takes [first, end) away: what has not landed is owed no more."""
        landed = self.landed_events()
        ledger = self.world.store.ledger.values()
        told = max((r.last + 1 for r in ledger if (r.topic_id, r.partition) == (topic_id, partition)), default=0)
        for record in self.records[topic_id, partition][first:end]:
            record.unclear = record.unclear or record.offset >= told
            if not self.has_landed(record, landed):
                record.skipped = True

    def _may_expire(self, record: Record) -> bool:
        today = int(self.world.server_clock() + CLOCK_SLACK) // SECONDS_A_DAY
        return record.kind == VALID and record.seconds // SECONDS_A_DAY < today - KEPT_DAYS

    def _must_expire(self, record: Record) -> bool:
        today = int(record.produced - CLOCK_SLACK) // SECONDS_A_DAY
        return record.kind == VALID and record.seconds // SECONDS_A_DAY < today - KEPT_DAYS

    # At the end

    def judge(self) -> None:
        self._judge_rows()
        self._judge_summary()
        self._judge_dead_letters()
        self._judge_ledger()
        self._judge_offsets()

    def _all(self) -> Iterator[Record]:
        for records in self.records.values():
            yield from records

    def _judge_rows(self) -> None:
        rows = Counter(row.record.event for row in self.world.store.history)
        for row in self.world.store.history:
            if row.record.kind != VALID or row.topic_id != row.record.topic_id or self._must_expire(row.record):
                self.found(f"{_name(row.record)} should have no row")
        owed = {r.event for r in self._all() if r.kind == VALID and not r.skipped and not self._may_expire(r)}
        for record in self._all():
            event = record.event
            if event is None or event not in rows.keys() | owed:
                continue
            owed.discard(event)
            count = rows.pop(event, 0)
            if count != 1:
                self.found(f"event {event.number} ({_name(record)}) has {count} rows")

    def _judge_summary(self) -> None:
        """Against all rows that ever landed. Days that a long standstill pushed past the mending are let off."""
        truth: defaultdict[tuple[str, int, int], list[int]] = defaultdict(lambda: [0, 0])
        for row in self.world.store.history:
            sums = truth[row.topic_id, row.record.partition, row.record.seconds // SECONDS_A_DAY]
            sums[0] += 1
            sums[1] += row.record.event.weight if row.record.event else 0
        state = self.world.store.state
        last = int(self.world.server_clock()) // SECONDS_A_DAY - 89 if self.world.stood_still else 0
        for key in truth.keys() | state.keys():
            if truth[key] != state[key] and key[2] >= last:
                self.found(f"summary of {key}: {state[key]} where {truth[key]} is right")

    def _judge_dead_letters(self) -> None:
        letters = self.world.dead_letters
        rejects = {(r.topic_id, r.partition, r.offset): r for r in self._all() if r.kind == REJECT}
        for place in letters - rejects.keys():
            self.found(f"a dead letter of what is no reject: {place}")
        for place, record in rejects.items():
            if not record.skipped and place not in letters:
                self.found(f"no dead letter of {_name(record)}")

    def _judge_ledger(self) -> None:
        passes: defaultdict[tuple[str, int, str, int], list[LedgerRow]] = defaultdict(list)
        covering: defaultdict[tuple[str, int], list[LedgerRow]] = defaultdict(list)
        for row in self.world.store.ledger.values():
            passes[row.topic_id, row.partition, row.group, row.number].append(row)
            covering[row.topic_id, row.partition].append(row)
        for key, rows in passes.items():
            rows.sort(key=lambda row: row.first)
            for before, after in pairwise(rows):
                if after.first != before.last + 1:
                    self.found(
                        f"ledger {key}: [{before.first}, {before.last}] is followed by [{after.first}, {after.last}]"
                    )
        offsets: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        kept = self.world.server_clock() - 90 * SECONDS_A_DAY
        gone = set()  # TTL took them, perhaps after a long standstill and before the ledger knew them
        for stored in self.world.store.history:
            offsets[stored.topic_id, stored.record.partition].append(stored.record.offset)
            if stored.record.seconds <= kept:
                gone.add((stored.topic_id, stored.record.partition, stored.record.offset))
        for where, rows in covering.items():
            for row in rows:
                self._judge_ledger_row(row, rows, offsets[where], sum((*where, o) in gone for o in offsets[where]))
        for where, landed in offsets.items():
            for offset in landed:
                if (*where, offset) not in gone and not any(row.first <= offset <= row.last for row in covering[where]):
                    self.found(f"row {where} {offset} is in no ledger row")

    def _judge_ledger_row(self, row: LedgerRow, rows: list[LedgerRow], offsets: list[int], gone: int) -> None:
        spent = row.inserted + row.duplicates + row.rejected + row.ignored + row.expired + row.missing
        place = f"ledger {row.topic_id} p{row.partition} {row.group} pass {row.number} [{row.first}, {row.last}]"
        if spent != row.last + 1 - row.first or min(row.duplicates, row.missing, row.expired) < 0:
            self.found(f"{place} spends {spent} records: {row}")
        alone = sum(other.first <= row.last and row.first <= other.last for other in rows) == 1
        inserted = sum(row.first <= offset <= row.last for offset in offsets)
        if (alone and inserted - gone > row.inserted) or row.inserted > inserted:
            self.found(f"{place} says inserted {row.inserted}, the table {inserted}")
        records = self.records[row.topic_id, row.partition][row.first : row.last + 1]
        log = self.world.broker.logs[row.topic_id][row.partition]
        if row.first < log.low or any(r.skipped or r.unclear or log.records[r.offset] is None for r in records):
            return
        kinds = Counter(record.kind for record in records)
        if (row.rejected, row.ignored, row.missing) != (kinds[REJECT], kinds[FOREIGN], kinds[CONTROL]):
            self.found(f"{place} does not agree with what was produced: {kinds}, {row}")
        if not sum(map(self._must_expire, records)) <= row.expired + row.duplicates:
            self.found(f"{place} counts {row.expired} expired")

    def _judge_offsets(self) -> None:
        broker, group = self.world.broker, self.world.group
        for partition in range(broker.partitions):
            committed = broker.committed(group.name, partition)
            if committed.offset is None:
                continue
            note = committed.note
            if note is None or (note.deadline and note.deadline + 2 > self.world.stopped_at):
                self.found(f"p{partition} stopped cleanly but left {committed}")
                continue
            ends = [
                row.last + 1
                for row in self.world.store.ledger.values()
                if (row.topic_id, row.partition, row.group, row.number)
                == (broker.topic_id, partition, group.name, note.pass_)
            ]
            if ends and max(ends) != committed.offset:
                self.found(f"p{partition} committed {committed.offset}, its pass ends at {max(ends)}")


def _name(record: Record) -> str:
    return f"{record.kind} {record.topic_id} p{record.partition} {record.offset}"
