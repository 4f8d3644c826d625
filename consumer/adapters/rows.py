"""Our rows as the bytes of one Arrow stream."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Literal

import pyarrow as pa

from consumer.core.batch import ROWS_SCHEMA

Compression = Literal["none", "lz4", "zstd", "gzip"]

INPUT_STRUCTURE = (
    "userId UInt32, sessionId String, "
    "eventType Enum8('attempt' = 1, 'success' = 2, 'error' = 3, 'abandoned' = 4), "
    "paymentMethod Enum8('venmo' = 1, 'cashapp' = 2, 'paypal' = 3, 'zelle' = 4, 'wise' = 5, 'revolut' = 6), "
    "usdAmount Decimal(10, 2), buzzAmount UInt32, errorMessage Nullable(String), timestamp UInt32, kafkaOffset UInt64"
)
"""`ROWS_SCHEMA` in ClickHouse's words, for the table function `input`."""

RECORD_COLUMNS = ", ".join(ROWS_SCHEMA.names)


def one_batch(rows: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """All rows as one record batch, so that the server sees one block, lands one part and keeps one token."""
    if len(rows) == 1:
        return rows[0]
    return pa.concat_batches(rows)


def arrow_stream(rows: Sequence[pa.RecordBatch], compression: Compression) -> tuple[bytes, str | None]:
    """The body of an insert and its Content-Encoding. lz4 and zstd are Arrow's own, inside the stream."""
    batch = one_batch(rows)
    codec = compression if compression in ("lz4", "zstd") else None
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_batch(batch)
    body = sink.getvalue()
    if compression == "gzip":
        packer = zlib.compressobj(1, wbits=31)
        return packer.compress(memoryview(body)) + packer.flush(), "gzip"
    return body.to_pybytes(), None
