"""Rows as the consumer sends them, for tests that land them by its own statements."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pyarrow as pa

from consumer.adapters.store import Store
from consumer.core.batch import ROWS_SCHEMA, LedgerRow
from consumer.core.effects import Insert, WriteLedger

EVENTS = ("attempt", "success", "error", "abandoned")
METHODS = ("venmo", "cashapp", "paypal", "zelle", "wise", "revolut")


def block(first: int, seconds: Sequence[int]) -> pa.RecordBatch:
    """One row a second given, offsets from `first` on; what else is in a row follows from its offset."""
    offsets = range(first, first + len(seconds))

    def enum(values: list[int], names: Sequence[str]) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(values, pa.int8()), pa.array(names))

    columns = [
        pa.array([1 + o % 5 for o in offsets], pa.uint32()),
        pa.array([f"s{o}" for o in offsets]),
        enum([o % 4 for o in offsets], EVENTS),
        enum([o % 6 for o in offsets], METHODS),
        pa.array([Decimal(o % 9) + Decimal("0.25") for o in offsets], pa.decimal128(10, 2)),
        pa.array([1000] * len(offsets), pa.uint32()),
        pa.array(["declined" if o % 4 == 2 else None for o in offsets], pa.string()),
        pa.array(np.asarray(seconds, np.uint32)),
        pa.array(list(offsets), pa.uint64()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=ROWS_SCHEMA)


def send(
    store: Store, partition: int, rows: pa.RecordBatch, token: str, *, lease: int = 60, ledger: bool = True
) -> None:
    """Insert and ledger row, by the consumer's own store."""
    deadline = int(store.server_time()) + lease
    first, count = rows.column("kafkaOffset")[0].as_py(), rows.num_rows
    store.insert(partition, Insert("topic-one", [rows], 0, token, deadline, (first, first + count)))
    if ledger:
        seconds = rows.column("timestamp").to_numpy()
        row = LedgerRow(
            "topic-one", partition, "zkp2p-clickhouse", 0, first, first + count - 1, int(seconds.min()),
            int(seconds.max()), count, 0, 0, 0, 0, 0,
        )  # fmt: skip
        store.write_ledger(WriteLedger(row, deadline))
