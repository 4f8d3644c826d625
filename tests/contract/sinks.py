"""The simulation's store and a real ClickHouse behind one face, so that one suite holds both to the same answers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Protocol

import pyarrow as pa
from pydantic import SecretStr

from consumer.adapters.store import Store
from consumer.core.batch import ROWS_SCHEMA, SECONDS_A_DAY, LedgerRow
from consumer.core.contract import EVENT_TYPES, PAYMENT_METHODS
from consumer.core.effects import Insert, Landed, Mend, WriteLedger
from consumer.core.errors import LeaseOver, Retryable
from consumer.operate.migrations import migrate
from consumer.settings import ClickHouseSettings
from consumer.sim import store as sim
from consumer.sim.records import VALID, Event, Record, SimRows
from tests.servers import ClickHouse

TOPIC_ID, GROUP = "AAAAAAAAAAAAAAAAAAAAAA", "group"

Where = tuple[int, int]
"""partition, offset"""


class Sink(Protocol):
    """What a partition's owner can do to the sink, and what everybody can see."""

    def now(self) -> float:
        """The server's clock."""

    def insert(self, partition: int, offsets: Iterable[int], token: str, *, day: int, deadline: float) -> None:
        """One block of one row an offset, on a UTC day. Raises Retryable or LeaseOver."""

    def write_ledger(self, row: LedgerRow, deadline: float) -> None: ...
    def mend(self, partition: int, days: Sequence[int] | None, deadline: float) -> None: ...
    def landed(self, partition: int) -> Landed: ...
    def touched(self, partition: int) -> bool: ...
    def break_view(self) -> None:
        """From now on the view throws after the table has taken a block, until `repair_view`: a ConsumerError."""

    def repair_view(self) -> None: ...
    def remember(self, tokens: int) -> None:
        """So many tokens are remembered, in table and view."""

    def table(self) -> Counter[Where]: ...
    def summary(self) -> Counter[int]:
        """Rows by partition, as the summary counts them."""


class FakeSink:
    def __init__(self) -> None:
        self._time = 1_795_564_800.0
        self._view_throws = False
        self._store = sim.Store(self.now, 1000, 1e9)

    def now(self) -> float:
        return self._time

    def insert(self, partition: int, offsets: Iterable[int], token: str, *, day: int, deadline: float) -> None:
        records = [
            Record(partition, o, VALID, Event(o, o, day, 1), day * SECONDS_A_DAY + o, int(self._time), TOPIC_ID)
            for o in offsets
        ]
        insert = Insert(TOPIC_ID, [SimRows(records)], 0, token, int(deadline), (0, 0))
        self._check(deadline)
        self._store.land_table(insert, records)
        if self._view_throws:
            raise Retryable("the view threw")
        self._store.land_view(insert, records)

    def _check(self, deadline: float) -> None:
        try:
            self._store.check(int(deadline))
        except sim.Refused:
            raise LeaseOver("refused") from None

    def write_ledger(self, row: LedgerRow, deadline: float) -> None:
        self._check(deadline)
        self._store.land_ledger(WriteLedger(row, int(deadline)))

    def mend(self, partition: int, days: Sequence[int] | None, deadline: float) -> None:
        self._check(deadline)
        mend = Mend(TOPIC_ID, None if days is None else tuple(days), int(deadline))
        self._store.apply(self._store.difference(mend, partition))

    def landed(self, partition: int) -> Landed:
        return self._store.read_sink(partition)

    def touched(self, partition: int) -> bool:
        return self._store.touched(partition)

    def break_view(self) -> None:
        self._view_throws = True

    def repair_view(self) -> None:
        self._view_throws = False

    def remember(self, tokens: int) -> None:
        for window in self._store.windows:
            window.size = tokens

    def table(self) -> Counter[Where]:
        return Counter((p, row.record.offset) for p, rows in self._store.table.items() for row in rows)

    def summary(self) -> Counter[int]:
        counts: Counter[int] = Counter()
        for (_, partition, _), (count, _) in self._store.state.items():
            counts[partition] += count
        return +counts


class RealSink:
    def __init__(self, clickhouse: ClickHouse, database: str, url: str = "", write_seconds: float = 20.0) -> None:
        self._clickhouse, self.database = clickhouse, database
        client = clickhouse.client()
        migrate(client, database)
        client.close()
        self.settings = ClickHouseSettings(
            url=url or clickhouse.url,
            database=database,
            username=clickhouse.username,
            password=SecretStr(clickhouse.password) if clickhouse.password else None,
        )
        self.store = Store(self.settings, "events", write_seconds=write_seconds)

    def close(self) -> None:
        self.store.close()

    def now(self) -> float:
        return self.store.server_time()

    def insert(self, partition: int, offsets: Iterable[int], token: str, *, day: int, deadline: float) -> None:
        rows = rows_of(offsets, day)
        self.store.insert(partition, Insert(TOPIC_ID, [rows], 0, token, int(deadline), (0, 0)))

    def write_ledger(self, row: LedgerRow, deadline: float) -> None:
        self.store.write_ledger(WriteLedger(row, int(deadline)))

    def mend(self, partition: int, days: Sequence[int] | None, deadline: float) -> None:
        self.store.mend(partition, Mend(TOPIC_ID, None if days is None else tuple(days), int(deadline)))

    def landed(self, partition: int) -> Landed:
        return self.store.landed(partition)

    def touched(self, partition: int) -> bool:
        return self.store.touched(partition)

    def break_view(self) -> None:
        self._alter("zkp2p_daily_summary_state", "ADD CONSTRAINT never CHECK throwIf(1, 'the view threw')")

    def repair_view(self) -> None:
        self._alter("zkp2p_daily_summary_state", "DROP CONSTRAINT never")

    def remember(self, tokens: int) -> None:
        for table in ("zkp2p_payment_events", "zkp2p_daily_summary_state"):
            self._alter(table, f"MODIFY SETTING non_replicated_deduplication_window = {tokens}")

    def _alter(self, table: str, what: str) -> None:
        self._clickhouse.query(f"ALTER TABLE {self.database}.{table} {what}")

    def table(self) -> Counter[Where]:
        rows = self.query(
            "SELECT kafkaPartition, kafkaOffset FROM {db}.zkp2p_payment_events WHERE kafkaPartition != 99"
        )
        return Counter((int(p), int(o)) for p, o in rows)

    def summary(self) -> Counter[int]:
        rows = self.query(
            "SELECT kafkaPartition, sum(attempts) FROM {db}.zkp2p_daily_summary_state GROUP BY kafkaPartition"
        )
        return +Counter({int(p): int(count) for p, count in rows})

    def query(self, sql: str) -> list[list[str]]:
        return [line.split("\t") for line in self._clickhouse.query(sql.replace("{db}", self.database)).splitlines()]


def today(sink: Sink) -> int:
    return int(sink.now()) // SECONDS_A_DAY


def rows_of(offsets: Iterable[int], day: int) -> pa.RecordBatch:
    """One attempt an offset."""
    numbers = list(offsets)
    count = len(numbers)
    codes = pa.array([0] * count, pa.int8())
    amounts = pa.array([Decimal("1.00")] * count, pa.decimal128(10, 2))
    columns: list[Any] = [
        pa.array([1] * count, pa.uint32()),
        pa.array([f"session-{offset}" for offset in numbers]),
        pa.DictionaryArray.from_arrays(codes, pa.array(EVENT_TYPES)),
        pa.DictionaryArray.from_arrays(codes, pa.array(PAYMENT_METHODS)),
        amounts,
        pa.array([1000] * count, pa.uint32()),
        pa.nulls(count, pa.string()),
        pa.array([day * SECONDS_A_DAY + offset for offset in numbers], pa.uint32()),
        pa.array(numbers, pa.uint64()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=ROWS_SCHEMA)


def ledger_row(partition: int, first: int, last: int) -> LedgerRow:
    """Of pass 0; everything was inserted."""
    now = int(time.time())
    return LedgerRow(
        topic_id=TOPIC_ID, partition=partition, group=GROUP, number=0, first=first, last=last, min_timestamp=now,
        max_timestamp=now, inserted=last - first + 1, duplicates=0, rejected=0, ignored=0, expired=0, missing=0,
    )  # fmt: skip
