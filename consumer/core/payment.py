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
from dataclasses import dataclass, field
from operator import attrgetter

import msgspec
import numpy as np

from consumer.core import columns
from consumer.core.batch import I64, Judged, Reject
from consumer.core.contract import EVENT, VALUE_BYTES_MAX, ClosedPayment, Envelope, Payment
from consumer.core.strict_json import too_deep
from consumer.core.verdict import settle, verdict

_decode_closed = msgspec.json.Decoder(ClosedPayment).decode
_decode_open = msgspec.json.Decoder(Payment).decode
_decode_envelope = msgspec.json.Decoder(Envelope).decode
_DECODING_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_INDEX = attrgetter("index")
_REFUSALS_IN_A_ROW = 4
"""After so many the next record is likely to be no better, and the exact judge is asked at once."""


def judge(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None],
    timestamps_ms: Sequence[int] | I64,
    offsets: Sequence[int] | I64,
) -> Judged:
    """Judge consecutive records of one partition, given column by column.

    `timestamps_ms` are the Kafka records' own (milliseconds since 1970, -1 where there is none). Rejects and
    rows come in the order of the records. Raises nothing for bad data.
    """
    kafka_ms, places = np.asarray(timestamps_ms, np.int64), np.asarray(offsets, np.int64)
    decoded = _decode(values, kafka_ms)
    index = np.arange(len(values))
    if decoded.unread:
        index = np.delete(index, decoded.unread)
    found = columns.examine(decoded.payments, kafka_ms[index] if decoded.unread else kafka_ms)
    refusals = _settle(found, kafka_ms, index)
    if refusals:
        found, index = columns.without(found, list(refusals)), np.delete(index, list(refusals))
    if len(index) < len(values):
        keys, places = [keys[at] for at in index.tolist()], places[index]
    return Judged(
        rows=columns.rows(found, places),
        index=index,
        seconds=found.seconds,
        rejects=sorted([*decoded.rejects, *refusals.values()], key=_INDEX) if refusals else decoded.rejects,
        ignored=len(decoded.unread) - len(decoded.rejects),
        key_mismatches=columns.count_mismatches(found.session_ids, keys),
    )


@dataclass(slots=True)
class _Decoded:
    """Records sorted by what they are."""

    payments: list[Payment] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)
    """Places of all others, refused or ignored."""
    rejects: list[Reject] = field(default_factory=list)

    def add(self, at: int, judged: Payment | Reject | None) -> None:
        if isinstance(judged, Reject):
            self.unread.append(at)
            self.rejects.append(judged)
        elif judged is None:
            self.unread.append(at)
        else:
            self.payments.append(judged)

    def refused_lately(self, at: int) -> bool:
        """Whether the last few records up to this place were all refused."""
        rejects = self.rejects
        return len(rejects) >= _REFUSALS_IN_A_ROW and rejects[-_REFUSALS_IN_A_ROW].index > at - _REFUSALS_IN_A_ROW


def _decode(values: Sequence[bytes | None], kafka_ms: I64) -> _Decoded:
    decoded = _Decoded()
    decode: Callable[[bytes], Payment] = _decode_closed
    rest = iter(_bounded(values))
    times: list[int] = []
    while True:
        try:
            decoded.payments.extend(map(decode, rest))  # all up to the first that is refused
        except _DECODING_ERRORS as error:
            times = times or kafka_ms.tolist()
            at = len(decoded.payments) + len(decoded.unread)
            judged, unknown_fields = _look_again(values[at], times[at], at, error)
        else:
            return decoded
        decoded.add(at, judged)
        if unknown_fields:
            decode = _decode_checked  # others of its producer are likely to follow
        elif decoded.refused_lately(at):
            for _ in rest:
                at += 1
                judged = verdict(values[at], times[at], at)
                decoded.add(at, judged)
                if not isinstance(judged, Reject):
                    break


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
                foreign = _decode_envelope(value).event != EVENT
                _check_skipped(value)
                if foreign:
                    return None, False
        except _DECODING_ERRORS:
            pass
    return verdict(value, kafka_ms, at), False


def _decode_checked(value: bytes) -> Payment:
    """Decode a payment that may have fields we don't know."""
    payment = _decode_open(value)
    _check_skipped(value)
    return payment


def _check_skipped(value: bytes) -> None:
    """Check what msgspec doesn't in values it skips; it does check their grammar, escapes and surrogates."""
    if not value.isascii():
        value.decode()
    if too_deep(value):
        raise msgspec.ValidationError("nested too deep")


def _settle(found: columns.Columns, kafka_ms: I64, index: I64) -> dict[int, Reject]:
    """Have the exact judge settle the suspects; returns those refused by their place among the columns."""
    refusals = {}
    suspects = found.suspects
    for place, at, timely in zip(
        suspects.tolist(), index[suspects].tolist(), found.timely[suspects].tolist(), strict=True
    ):
        seconds = int(found.seconds[place]) if timely else None
        judged = settle(found.payments[place], int(kafka_ms[at]), at, seconds)
        if isinstance(judged, Reject):
            refusals[place] = judged
        else:
            found.cents[place], found.seconds[place] = judged
    return refusals
