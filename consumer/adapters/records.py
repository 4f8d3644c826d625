"""Kafka messages of one partition into a `Run`: the hot path, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pyarrow as pa
from confluent_kafka import Message

from consumer.adapters.kafka import Fetched
from consumer.core.batch import DeadLetter, Judged, Run
from consumer.core.dedupe import hash_keys
from consumer.core.payment import judge

Headers = list[tuple[str, bytes | None]]

_NO_KEYS = np.empty((0, 2), np.uint64)
_NO_NUMBERS = np.empty(0, np.int64)


def to_run(fetched: Fetched, next_offset: int) -> Run | None:
    """Judge what was fetched, from `next_offset` on; None when there is nothing new."""
    messages = fetched.messages
    if messages and cast("int", messages[0].offset()) < next_offset:  # delivered once more after a pause
        messages = [m for m in messages if cast("int", m.offset()) >= next_offset]
    if messages:
        return _judged_run(messages, next_offset, fetched.eof)
    if fetched.eof is not None and fetched.eof > next_offset:
        return _gap(next_offset, fetched.eof)
    return None


def _judged_run(messages: Sequence[Message], next_offset: int, eof: int | None) -> Run:
    offsets = cast("list[int]", [m.offset() for m in messages])
    values = [m.value() for m in messages]
    times = [m.timestamp()[1] for m in messages]  # -1 where the record has none
    judged = judge(values, [m.key() for m in messages], times, offsets)
    all_offsets = np.asarray(offsets, np.int64)
    end = offsets[-1] + 1
    return Run(
        first=next_offset,
        end=max(end, eof) if eof is not None else end,
        offsets=all_offsets,
        rows=judged.rows,
        valid_offsets=all_offsets[judged.index],
        seconds=judged.seconds,
        keys=_keys(judged.rows),
        letters=_letters(judged, messages, times, offsets),
        ignored=judged.ignored,
        key_mismatches=judged.key_mismatches,
        size_bytes=sum([len(v) for v in values if v is not None]),
        oldest_ms=max(times[0], 0),
    )


def _keys(rows: pa.RecordBatch) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
    if not rows.num_rows:
        return _NO_KEYS
    codes = rows.column("eventType").indices.to_numpy(zero_copy_only=False).astype(np.uint8)
    return hash_keys(rows.column("sessionId"), codes)


def _letters(judged: Judged, messages: Sequence[Message], times: list[int], offsets: list[int]) -> list[DeadLetter]:
    return [
        DeadLetter(
            key=(message := messages[reject.index]).key(),
            value=message.value(),
            headers=tuple(cast("Headers", message.headers() or ())),
            offset=offsets[reject.index],
            timestamp_ms=times[reject.index],
            code=reject.code,
            message=reject.message,
        )
        for reject in judged.rejects
    ]


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
        oldest_ms=0,
    )
