"""Kafka messages of one partition into a `Run`: the hot path, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pyarrow as pa
from confluent_kafka import Message

from consumer.adapters.group import Fetched
from consumer.core.batch import I64, DeadLetter, Reject, Run
from consumer.core.dedupe import hash_keys
from consumer.core.payment import judge

Headers = list[tuple[str, bytes | None]]

_NO_KEYS = np.empty((0, 2), np.uint64)
_NO_NUMBERS = np.empty(0, np.int64)


def to_run(fetched: Fetched, next_offset: int) -> Run | None:
    """Judge what was fetched, from `next_offset` on; None when there is nothing new."""
    if fetched.messages:
        messages, offsets = _ahead(fetched.messages, next_offset)
        if messages:
            return _judged_run(messages, offsets, next_offset, fetched.eof)
    if fetched.eof is not None and fetched.eof > next_offset:
        return _gap(next_offset, fetched.eof)
    return None


def _judged_run(messages: Sequence[Message], offsets: I64, next_offset: int, eof: int | None) -> Run:
    values = [m.value() for m in messages]
    # Timestamps are -1 where the record has none.
    times = np.fromiter([m.timestamp()[1] for m in messages], np.int64, len(messages))
    judged = judge(values, [m.key() for m in messages], times, offsets)
    end = int(offsets[-1]) + 1
    return Run(
        first=next_offset,
        end=max(end, eof) if eof is not None else end,
        offsets=offsets,
        rows=judged.rows,
        valid_offsets=offsets[judged.index] if len(judged.index) < len(offsets) else offsets,
        seconds=judged.seconds,
        keys=_keys(judged.rows),
        letters=_letters(judged.rejects, messages),
        ignored=judged.ignored,
        key_mismatches=judged.key_mismatches,
        size_bytes=_size(values),
        times_ms=times,
    )


def _ahead(messages: Sequence[Message], next_offset: int) -> tuple[Sequence[Message], I64]:
    """Without those that the client delivers once more, be it after a pause or because it went back; their offsets."""
    offsets = np.fromiter([cast("int", m.offset()) for m in messages], np.int64, len(messages))
    reached = np.maximum.accumulate(np.concatenate(([next_offset - 1], offsets[:-1])))
    ahead = np.flatnonzero(offsets > reached)
    if len(ahead) < len(offsets):
        messages, offsets = [messages[i] for i in ahead.tolist()], offsets[ahead]
    return messages, offsets


def _size(values: Sequence[bytes | None]) -> int:
    try:
        return sum(map(len, values))  # type: ignore[arg-type]
    except TypeError:
        return sum([len(value) for value in values if value is not None])


def _keys(rows: pa.RecordBatch) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
    if not rows.num_rows:
        return _NO_KEYS
    codes = rows.column("eventType").indices.to_numpy(zero_copy_only=False).astype(np.uint8)
    return hash_keys(rows.column("sessionId"), codes)


def _letters(rejects: Sequence[Reject], messages: Sequence[Message]) -> list[DeadLetter]:
    letters = []
    for reject in rejects:
        message = messages[reject.index]
        headers = cast("Headers | None", message.headers())
        letters.append(
            DeadLetter(
                message.key(),
                message.value(),
                tuple(headers) if headers else (),
                cast("int", message.offset()),
                message.timestamp()[1],
                reject.code,
                reject.message,
            )
        )
    return letters


def _gap(first: int, end: int) -> Run:
    """Offsets at the log's end that hold no record: transaction markers."""
    return Run(
        first=first,
        end=end,
        offsets=_NO_NUMBERS,
        rows=None,
        valid_offsets=_NO_NUMBERS,
        seconds=_NO_NUMBERS,
        keys=_NO_KEYS,
        letters=[],
        ignored=0,
        key_mismatches=0,
        size_bytes=0,
        times_ms=_NO_NUMBERS,
    )
