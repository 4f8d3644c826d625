"""A fake ClickHouse: a table, the summary's state behind its view, a ledger, deduplication windows, running queries.

It knows nothing of the protocol. What it holds to is what was seen of the real server (the contract suite runs
against both): a write checks its deadline by the server's clock when its block is processed, and lands later; the
table's part and the view's are two instants; a token drops a block that landed before, in each of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from consumer.core.batch import SECONDS_A_DAY, LedgerRow
from consumer.core.effects import Insert, Landed, Mend, Orphan, WriteLedger
from consumer.core.position import PassRange
from consumer.sim.records import Record

SummaryKey = tuple[str, int, int]
"""topic id, partition, UTC day"""


@dataclass(slots=True)
class Switches:
    """Parts of the server that a control turns off, to see that the oracle notices."""

    deadlines: bool = True
    tokens: bool = True
    orphans: bool = True
    pass_ends: bool = True
    mending: bool = True
    running: bool = True
    """False: running queries can't be seen."""
    ttl_days: int = 90


@dataclass(slots=True)
class Window:
    """Deduplication tokens of one table: remembered until they are too many or too old."""

    size: int
    seconds: float
    tokens: dict[str, float] = field(default_factory=dict)

    def seen(self, token: str, now: float) -> bool:
        """Was there such a block? From now on there was."""
        tokens = self.tokens
        while tokens and (len(tokens) > self.size or next(iter(tokens.values())) < now - self.seconds):
            del tokens[next(iter(tokens))]
        if token in tokens:
            return True
        tokens[token] = now
        return False


@dataclass(slots=True)
class StoredRow:
    record: Record
    topic_id: str
    landed: float


class Refused(Exception):
    """The block came after its deadline."""


class Query:
    """A write that the server runs: it can be seen from its beginning to its end."""

    __slots__ = ("alive", "partition")

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.alive = True


class Store:
    """`clock` gives seconds since 1970 by the server."""

    def __init__(self, clock: Callable[[], float], window: int, window_seconds: float) -> None:
        self.clock = clock
        self.switches = Switches()
        self.table: defaultdict[int, list[StoredRow]] = defaultdict(list)
        """By partition. What TTL deletes leaves here and stays in `history`."""
        self.history: list[StoredRow] = []
        self.state: defaultdict[SummaryKey, list[int]] = defaultdict(lambda: [0, 0])
        """Count and sum of weights."""
        self.ledger: dict[tuple[str, int, str, int, int], LedgerRow] = {}
        """By the sorting key, as FINAL reads it: the last row written wins."""
        self.windows = Window(window, window_seconds), Window(window, window_seconds)
        self.queries: list[Query] = []
        self.dropped = self.completed = self.refused = self.mended = self.expired_rows = 0

    # Writes, in the instants that the world schedules

    def begin(self, partition: int) -> Query:
        query = Query(partition)
        self.queries.append(query)
        return query

    def end(self, query: Query) -> None:
        query.alive = False
        if query in self.queries:
            self.queries.remove(query)

    def check(self, deadline: int) -> None:
        """`throwIf(nowInBlock() > toDateTime(deadline))`: DateTime knows whole seconds only."""
        if self.switches.deadlines and int(self.clock()) > deadline:
            self.refused += 1
            raise Refused

    def land_table(self, insert: Insert, records: Iterable[Record]) -> None:
        if self.windows[0].seen(insert.token, self.clock()) and self.switches.tokens:
            self.dropped += 1
            return
        for record in records:
            row = StoredRow(record, insert.topic_id, self.clock())
            self.table[record.partition].append(row)
            self.history.append(row)

    def land_view(self, insert: Insert, records: Iterable[Record]) -> None:
        if self.windows[1].seen(insert.token, self.clock()) and self.switches.tokens:
            return
        for record in records:
            self._count(insert.topic_id, record)

    def _count(self, topic_id: str, record: Record) -> None:
        state = self.state[topic_id, record.partition, record.seconds // SECONDS_A_DAY]
        state[0] += 1
        state[1] += record.event.weight if record.event else 0

    def land_ledger(self, write: WriteLedger) -> None:
        row = write.row
        self.ledger[row.topic_id, row.partition, row.group, row.number, row.first] = row

    def difference(self, mend: Mend, partition: int) -> dict[SummaryKey, tuple[int, int]]:
        """Table minus state for the days asked for and young enough by the server's own day."""
        if not self.switches.mending:
            return {}
        today = int(self.clock()) // SECONDS_A_DAY
        wanted: defaultdict[SummaryKey, list[int]] = defaultdict(lambda: [0, 0])
        for row in self.table[partition]:
            if row.topic_id == mend.topic_id:
                sums = wanted[mend.topic_id, partition, row.record.seconds // SECONDS_A_DAY]
                sums[0] += 1
                sums[1] += row.record.event.weight if row.record.event else 0
        for key, (count, weight) in self.state.items():
            if key[:2] == (mend.topic_id, partition):
                wanted[key][0] -= count
                wanted[key][1] -= weight
        return {
            key: (count, weight)
            for key, (count, weight) in wanted.items()
            if (count or weight) and key[2] >= today - 89 and (mend.days is None or key[2] in mend.days)
        }

    def apply(self, difference: dict[SummaryKey, tuple[int, int]]) -> None:
        for key, (count, weight) in difference.items():
            self.state[key][0] += count
            self.state[key][1] += weight
        self.mended += len(difference)

    # Reads

    def quiet(self, partition: int) -> bool:
        return not self.switches.running or not any(q.partition == partition for q in self.queries)

    def touched(self, partition: int) -> bool:
        return bool(self.table[partition]) or any(key[1] == partition for key in self.ledger)

    def read_sink(self, partition: int) -> Landed:
        passes: dict[tuple[str, str, int], PassRange] = {}
        covered: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for row in self.ledger.values():
            if row.partition != partition:
                continue
            covered[row.topic_id].append((row.first, row.last))
            if not self.switches.pass_ends:
                continue
            key = row.topic_id, row.group, row.number
            known = passes.get(key)
            first, end = (
                (min(known.first, row.first), max(known.end, row.last + 1)) if known else (row.first, row.last + 1)
            )
            passes[key] = PassRange(*key, first, end)
        rows = self.table[partition]
        orphans = [
            Orphan(r.topic_id, r.record.offset, r.record.seconds)
            for r in (rows if self.switches.orphans else ())
            if not any(a <= r.record.offset <= b for a, b in covered[r.topic_id])
        ]
        return Landed(list(passes.values()), orphans)

    def rows_of_day(self, day: int, *, partition: int | None, topic_id: str) -> list[Record]:
        """Of one partition of a topic id or, without a partition, of all other topic ids."""
        tables = self.table.values() if partition is None else (self.table[partition],)
        return [
            r.record
            for rows in tables
            for r in rows
            if r.record.seconds // SECONDS_A_DAY == day and (r.topic_id == topic_id) == (partition is not None)
        ]

    # What happens to a server

    def merge(self) -> None:
        """TTL deletes what is too old at this second."""
        border = self.clock() - self.switches.ttl_days * SECONDS_A_DAY
        for partition, rows in self.table.items():
            kept = [r for r in rows if r.record.seconds > border]
            self.expired_rows += len(rows) - len(kept)
            self.table[partition] = kept

    def forget_tokens(self) -> None:
        for window in self.windows:
            window.tokens.clear()

    def restart(self) -> None:
        """Queries die where they are; what they landed stays."""
        for query in self.queries:
            query.alive = False
        self.queries.clear()
