"""What a run of records becomes on its way: judged, then a batch that is about to land.

Shapes: every array of one value has one element per valid payment, in offset order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

I64 = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
"""(n, 2) halves of the 128-bit hashes of (sessionId, eventType); see `consumer.core.dedupe`."""

SECONDS_A_DAY = 86_400

ROWS_SCHEMA = pa.schema(
    [
        pa.field("userId", pa.uint32(), nullable=False),
        pa.field("sessionId", pa.string(), nullable=False),
        pa.field("eventType", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("paymentMethod", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("usdAmount", pa.decimal128(10, 2), nullable=False),
        pa.field("buzzAmount", pa.uint32(), nullable=False),
        pa.field("errorMessage", pa.string(), nullable=True),
        pa.field("timestamp", pa.uint32(), nullable=False),
        pa.field("kafkaOffset", pa.uint64(), nullable=False),
    ]
)
"""The columns of `zkp2p_payment_events` that come from the record itself; topic id and partition are
constants of an insert. `timestamp` is seconds since 1970 (DateTime). The two dictionaries are always
the whole enum in the order of its ClickHouse values, so code + 1 is the Enum8 value."""


class Reject(msgspec.Struct, frozen=True, gc=False):
    """Why one record is no payment: the contract's code, the field's path and a message for its producer.

    A struct because it is made in a fraction of a frozen dataclass's time, and a topic may be full of them.
    """

    index: int
    """Position of the record among those that were judged together."""
    code: str
    path: str
    """`data.usdAmount`; empty where the value as a whole is wrong."""
    message: str
    """Names the field and what was expected; never holds the whole payload."""


@dataclass(slots=True)
class Judged:
    """The verdicts on consecutive records of one partition."""

    rows: pa.RecordBatch
    """The valid payments, by `ROWS_SCHEMA`."""
    index: I64
    """rows[i] was the index[i]-th of the records judged."""
    seconds: I64
    """Event time in seconds since 1970, UTC."""
    rejects: list[Reject]
    ignored: int
    """Records of other events."""
    key_mismatches: int
    """Valid payments whose Kafka key is not their sessionId."""


Rows = Any
"""A `pa.RecordBatch` or, in the simulation, anything with `take(indices)` and `num_rows`."""


class DeadLetter(msgspec.Struct, frozen=True, gc=False):
    """A rejected record: its own bytes untouched, where it came from and why it was refused."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    """The record's own."""
    offset: int
    timestamp_ms: int
    code: str
    message: str


@dataclass(slots=True)
class Run:
    """Judged records of one partition, consecutive as the broker handed them out: offsets [first, end)."""

    first: int
    """Where the run before ended; offsets between it and the first record are missing from the log."""
    end: int
    offsets: I64
    """Of all records read, valid or not."""
    rows: Rows
    valid_offsets: I64
    seconds: I64
    keys: Keys
    letters: list[DeadLetter]
    ignored: int
    key_mismatches: int
    size_bytes: int
    times_ms: I64
    """Kafka timestamps of all records read, in milliseconds since 1970; -1 where there is none."""

    @property
    def oldest_ms(self) -> int:
        return _first_known(self.times_ms)


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """How the offsets [first, last] of one pass were spent; the table's row, column by column."""

    topic_id: str
    partition: int
    group: str
    number: int
    first: int
    last: int
    min_timestamp: int
    max_timestamp: int
    inserted: int
    duplicates: int
    rejected: int
    ignored: int
    expired: int
    missing: int


@dataclass(slots=True)
class Batch:
    """Decided: what of the runs is to land."""

    first: int
    end: int
    months: list[tuple[int, list[Rows]]]
    """Rows to insert by calendar month (yyyymm in the server's zone): one insert each, since a part never
    spans two months and only a single part lands all or nothing."""
    keys: Keys
    """Of the rows to insert, with `days` for the index."""
    days: I64
    letters: list[DeadLetter]
    digest: str
    """Of the offsets to insert. Part of the deduplication token: the same range with other rows (some had
    landed already) is another block and must not be dropped as a copy."""
    consumed: int
    inserted: int
    """Rows landed under these offsets, those found as orphans included."""
    duplicates: int
    ignored: int
    expired: int
    missing: int
    key_mismatches: int
    size_bytes: int
    min_timestamp: int
    max_timestamp: int
    seconds: I64
    """Event times of the rows to insert."""
    times_ms: I64
    """Kafka timestamps of all records consumed, -1 where there is none."""

    @property
    def oldest_ms(self) -> int:
        return _first_known(self.times_ms)

    @property
    def rejected(self) -> int:
        return len(self.letters)

    @property
    def to_insert(self) -> int:
        return len(self.days)


def _first_known(times_ms: I64) -> int:
    """Kafka timestamp of the first record that has one; 0 when none has."""
    known = times_ms > 0
    return int(times_ms[known.argmax()]) if known.any() else 0
