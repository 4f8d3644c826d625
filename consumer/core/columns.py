"""From decoded payments to Arrow columns, and the checks that are cheaper a column at a time.

Every check here may be unsure but never too lenient: `suspects` are judged again, exactly, and whatever
is not suspect has the same values the exact judge would give it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from consumer.core import timestamps
from consumer.core.batch import I64, ROWS_SCHEMA
from consumer.core.contract import (
    AGE_MS_MAX,
    AHEAD_MS_MAX,
    ERROR_MESSAGE_LENGTH_MAX,
    EVENT_TYPES,
    PAYMENT_METHODS,
    UINT32_MAX,
    USD_MAX,
    USD_NOISE,
    Payment,
    PaymentData,
)

_Bools = npt.NDArray[np.bool_]

_EVENT_TYPE_CODE = {name: code for code, name in enumerate(EVENT_TYPES)}
_METHOD_CODE = {name: code for code, name in enumerate(PAYMENT_METHODS)}
_EVENT_TYPES = pa.array(EVENT_TYPES, pa.string())
_METHODS = pa.array(PAYMENT_METHODS, pa.string())
_NOISE_SURELY_FINE = 0.97 * USD_NOISE
"""Doubles near 100 million are 1.5e-8 apart; beyond this bound the exact judge decides."""


@dataclass(slots=True)
class Columns:
    """Decoded payments as columns, one element each, and which of them need the exact judge."""

    payments: list[Payment]
    data: list[PaymentData]
    """Of the same payments."""
    session_ids: pa.StringArray
    cents: I64
    seconds: I64
    timely: _Bools
    """Whether `seconds` is sure."""
    suspects: I64
    """Places of payments whose amount, sessionId or timestamp is wrong or unusual."""


def examine(payments: list[Payment], kafka_ms: I64) -> Columns:
    """Turn payments into columns and check what their types didn't."""
    data = [payment.data for payment in payments]
    session_ids = pa.array([item.session_id for item in data], pa.string())
    cents, sure = _cents(data)
    seconds, timely = _seconds(payments, kafka_ms)
    sure &= timely
    controls = _rows_with_control_characters(session_ids)
    if controls is not None:
        sure[controls] = False
    return Columns(payments, data, session_ids, cents, seconds, timely, np.flatnonzero(~sure))


def without(columns: Columns, places: list[int]) -> Columns:
    """The columns without the payments at `places`; none of the rest is suspect any more."""
    kept = np.delete(np.arange(len(columns.payments)), places)
    return Columns(
        payments=[columns.payments[place] for place in kept.tolist()],
        data=[columns.data[place] for place in kept.tolist()],
        session_ids=columns.session_ids.take(kept),
        cents=columns.cents[kept],
        seconds=columns.seconds[kept],
        timely=columns.timely[kept],
        suspects=kept[:0],
    )


def rows(columns: Columns, offsets: I64) -> pa.RecordBatch:
    """The record batch of `ROWS_SCHEMA`; `offsets` are the payments' own."""
    payments, data = columns.payments, columns.data
    count = len(payments)
    event_types = np.frombuffer(bytes([_EVENT_TYPE_CODE[item.event_type] for item in data]), np.int8)
    methods = np.frombuffer(bytes([_METHOD_CODE[item.payment_method] for item in data]), np.int8)
    arrays = [
        pa.array(np.fromiter([payment.user_id for payment in payments], np.uint32, count)),
        columns.session_ids,
        pa.DictionaryArray.from_arrays(event_types, _EVENT_TYPES),
        pa.DictionaryArray.from_arrays(methods, _METHODS),
        _decimals(columns.cents),
        pa.array(np.fromiter([item.buzz_amount for item in data], np.uint32, count)),
        _error_messages([item.error_message for item in data]),
        pa.array(columns.seconds.astype(np.uint32)),
        pa.array(offsets.astype(np.uint64)),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=ROWS_SCHEMA)


def count_mismatches(session_ids: pa.StringArray, keys: Sequence[bytes | None]) -> int:
    """How many keys are not the bytes of their sessionId; a missing key is none."""
    if _are_bytes_of(keys, session_ids):
        return 0
    ids, given = session_ids.view(pa.binary()), pa.array(keys, pa.binary())
    return len(keys) - int(pc.sum(pc.equal(ids, given)).as_py() or 0)


def _are_bytes_of(keys: Sequence[bytes | None], texts: pa.StringArray) -> bool:
    """Whether each key is the bytes of its text; `texts` begins where its buffers do.

    Joined they are the same bytes, and each is as long as its text: much cheaper than an array of them.
    """
    if len(texts) == 0:
        return True
    offsets, data = _buffers(texts)
    try:
        joined = b"".join(keys)  # type: ignore[arg-type]
    except TypeError:  # one has no key
        return False
    if joined != data.tobytes():
        return False
    lengths = np.diff(offsets)
    least, most = int(lengths.min(initial=0)), int(lengths.max(initial=0))
    given = map(len, keys)  # type: ignore[arg-type]
    if least == most:
        return len(set(given)) == 1
    same: bool = list(given) == lengths.tolist()
    return same


def _buffers(texts: pa.StringArray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Offsets, one more than there are texts, and the bytes between the first and the last."""
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return offsets, np.frombuffer(texts.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]


def _cents(data: list[PaymentData]) -> tuple[I64, _Bools]:
    """Whole cents, and where they are sure to be what the exact judge finds."""
    usd = np.fromiter([item.usd_amount for item in data], np.float64, len(data))
    in_range = (usd >= 0) & (usd <= USD_MAX)
    if not in_range.all():
        usd[~in_range] = 0
    whole = np.rint(usd * 100)
    in_range &= np.abs(usd - whole / 100) < _NOISE_SURELY_FINE
    return whole.astype(np.int64), in_range


def _seconds(payments: list[Payment], kafka_ms: I64) -> tuple[I64, _Bools]:
    """Event times in whole seconds, and where they are sure to be in the window and in DateTime's range."""
    written = pa.array([payment.timestamp for payment in payments], pa.string())
    if written.null_count == 0:
        ms, sure = timestamps.parse_column(written)
    else:
        own = np.asarray(written.is_valid())
        ms, sure = kafka_ms.copy(), np.ones(len(payments), np.bool_)
        ms[own], sure[own] = timestamps.parse_column(written.drop_null())
    # Equality with the later end is left to the exact judge: digits beyond the millisecond decide there. So is a
    # Kafka timestamp so late that its window wraps around: nothing is before an end that has become negative.
    sure &= (ms >= kafka_ms - AGE_MS_MAX) & (ms < kafka_ms + AHEAD_MS_MAX)
    seconds = ms // 1000
    sure &= (kafka_ms >= 0) & (seconds >= 0) & (seconds <= UINT32_MAX)
    return seconds, sure


def _rows_with_control_characters(texts: pa.StringArray) -> I64 | None:
    """Places of texts with U+0000-1F or U+007F-9F in them."""
    if len(texts) == 0:
        return None
    offsets, data = _buffers(texts)
    # One pass for the usual case, where every byte is printable ASCII.
    if len(data) == 0 or int((data - np.uint8(0x20)).max()) < 0x5F:
        return None
    control = (data < 0x20) | (data == 0x7F)
    # UTF-8 of U+0080-9F is C2 80-9F, and C2 starts a character nowhere else.
    control[:-1] |= (data[:-1] == 0xC2) & (data[1:] < 0xA0)
    places: I64 = np.searchsorted(offsets, np.flatnonzero(control), side="right") - 1
    return places


def _decimals(cents: I64) -> pa.Array:
    """decimal128(10, 2) straight from its memory (128-bit little-endian integers), no Decimal object made."""
    halves = np.zeros((len(cents), 2), np.int64)
    halves[:, 0] = cents
    return pa.Array.from_buffers(pa.decimal128(10, 2), len(cents), [None, pa.py_buffer(halves)])


def _error_messages(messages: list[str | None]) -> pa.StringArray:
    column = pa.array(messages, pa.string())
    offsets = np.frombuffer(column.buffers()[1], np.int32)[: len(column) + 1]
    if int(np.diff(offsets).max(initial=0)) <= ERROR_MESSAGE_LENGTH_MAX:
        return column
    return pa.array([message and message[:ERROR_MESSAGE_LENGTH_MAX] for message in messages], pa.string())
