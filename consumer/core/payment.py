"""Judges records: which are payments, which somebody else's events, which are wrong and why.

The hot path. A record goes through as few hands as it can:

1. msgspec decodes it into a `ClosedPayment`, which checks every byte of it: nearly all records.
2. What that refuses is looked at again: a payment with fields we don't know, another event, or
   something for the exact judge (`consumer.core.verdict`), whose word is final.
3. Columns are built and checked at once for what types don't say (cents, control characters,
   timestamps); suspects go to the exact judge too.

So the exact judge alone defines what is right, and a record's verdict never depends on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from consumer.core import columns
from consumer.core.batch import I64, Judged, Reject
from consumer.core.contract import EVENT, VALUE_BYTES_MAX, ClosedPayment, Envelope, Payment
from consumer.core.strict_json import too_many_brackets
from consumer.core.verdict import Accepted, settle, verdict

_decode_closed = msgspec.json.Decoder(ClosedPayment).decode
_decode_open = msgspec.json.Decoder(Payment).decode
_decode_envelope = msgspec.json.Decoder(Envelope).decode


def judge(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None],
    timestamps_ms: Sequence[int],
    offsets: Sequence[int],
) -> Judged:
    """Judge consecutive records of one partition, given column by column.

    `timestamps_ms` are the Kafka records' own (milliseconds since 1970, -1 where there is none). Rejects and
    rows come in the order of the records. Raises nothing for bad data.
    """
    kafka_ms = np.asarray(timestamps_ms, np.int64)
    payments, unread, rejects = _decode(values, kafka_ms)
    ignored = len(unread) - len(rejects)
    index = np.arange(len(values))
    if unread:
        index = np.delete(index, unread)
    found = columns.examine(payments, kafka_ms[index])
    refused = _settle(found, kafka_ms, index, rejects)
    if refused:
        index = np.delete(index, refused)
        found = columns.without(found, refused)
    if len(index) < len(values):
        keys = [keys[at] for at in index.tolist()]
    rejects.sort(key=lambda reject: reject.index)
    return Judged(
        rows=columns.rows(found, np.asarray(offsets, np.int64)[index]),
        index=index,
        seconds=found.seconds,
        rejects=rejects,
        ignored=ignored,
        key_mismatches=columns.count_mismatches(found.session_ids, keys),
    )


def _decode(values: Sequence[bytes | None], kafka_ms: I64) -> tuple[list[Payment], list[int], list[Reject]]:
    """Payments decoded, places of records that are none (refused or ignored), and the refusals."""
    payments: list[Payment] = []
    unread: list[int] = []
    rejects: list[Reject] = []
    keep = payments.append
    decode: Callable[[bytes], Payment] = _decode_closed
    rest = iter(_bounded(values))
    while True:
        try:
            for value in rest:
                keep(decode(value))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            at = len(payments) + len(unread)
            judged, unknown_fields = _look_again(values[at], int(kafka_ms[at]), at, error)
        else:
            return payments, unread, rejects
        if unknown_fields:
            decode = _decode_checked  # others of its producer are likely to follow
        if isinstance(judged, Payment):
            keep(judged)
            continue
        unread.append(at)
        if judged is not None:
            rejects.append(judged)


def _bounded(values: Sequence[bytes | None]) -> Sequence[bytes]:
    """The values, with nothing for tombstones and for those too large to be read at all."""
    try:
        if max(map(len, values), default=0) <= VALUE_BYTES_MAX:  # type: ignore[arg-type]
            return values  # type: ignore[return-value]
    except TypeError:
        pass  # there are tombstones among them
    return [b"" if value is None or len(value) > VALUE_BYTES_MAX else value for value in values]


def _look_again(value: bytes | None, kafka_ms: int, at: int, error: Exception) -> tuple[Payment | Reject | None, bool]:
    """Judge what the closed decoder refused; also says whether it was a payment but for unknown fields.

    The decoder's message only chooses what to try first: what that accepts, the exact judge would as well.
    """
    if isinstance(error, msgspec.ValidationError) and value is not None:
        problem = str(error)
        try:
            if problem.startswith("Object contains unknown field"):
                return _decode_checked(value), True
            if problem.endswith("`$.event`"):
                _check_skipped(value)
                if _decode_envelope(value).event != EVENT:
                    return None, False
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
    judged = verdict(value, kafka_ms, at)
    return (judged.payment if isinstance(judged, Accepted) else judged), False


def _decode_checked(value: bytes) -> Payment:
    """Decode a payment that may have fields we don't know, unless those could be more than harmless."""
    _check_skipped(value)
    return _decode_open(value)


def _check_skipped(value: bytes) -> None:
    """Check what msgspec doesn't in values it skips; it does check their grammar, escapes and surrogates."""
    if not value.isascii():
        value.decode()
    if too_many_brackets(value):
        raise msgspec.ValidationError("perhaps nested too deep")


def _settle(found: columns.Columns, kafka_ms: I64, index: I64, rejects: list[Reject]) -> list[int]:
    """Have the exact judge settle the suspects; returns the places of those refused."""
    refused = []
    for place in found.suspects.tolist():
        at = int(index[place])
        judged = settle(found.payments[place], int(kafka_ms[at]), at)
        if isinstance(judged, Reject):
            rejects.append(judged)
            refused.append(place)
        else:
            found.cents[place], found.seconds[place] = judged.cents, judged.seconds
    return refused
