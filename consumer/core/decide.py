"""From runs to a batch: which payments land, which are copies, which came too late. Pure and a batch at a time."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from consumer.core.batch import I64, SECONDS_A_DAY, Batch, Rows, Run
from consumer.core.dedupe import KeyIndex

RETENTION_DAYS = 90
"""The table's TTL, by the specification."""
KEPT_DAYS = RETENTION_DAYS - 2
"""An event older than this many whole days is `expired`: the table would delete it or its neighbour day at once."""

MonthsOf = Callable[[I64], I64]
"""Seconds since 1970 to yyyymm in the server's time zone: what `PARTITION BY toYYYYMM(timestamp)` computes."""


def days_to_know(runs: Sequence[Run], today: int) -> I64:
    """The UTC days, since 1970, of the payments that are young enough to be kept."""
    if not runs:
        return np.empty(0, np.int64)
    days = np.unique(np.concatenate([run.seconds for run in runs]) // SECONDS_A_DAY)
    return days[days >= today - KEPT_DAYS]


def decide(
    runs: Sequence[Run],
    *,
    partition: int,
    index: KeyIndex,
    orphans: dict[int, int],
    today: int,
    months_of: MonthsOf,
) -> Batch:
    """Spend every record of the runs.

    `orphans` maps the offsets of rows that landed without a ledger row to their seconds; `today` is the UTC day
    number by the server's clock. The days of `days_to_know` must be in the index.
    """
    first, end = runs[0].first, runs[-1].end
    offsets = np.concatenate([run.valid_offsets for run in runs])
    seconds = np.concatenate([run.seconds for run in runs])
    keys = np.concatenate([run.keys for run in runs])
    days = seconds // SECONDS_A_DAY

    landed_before, unread = _orphans_within(runs, orphans, first, end, offsets)
    young = days >= today - KEPT_DAYS
    if young.all():
        copies = index.duplicates(partition, keys, days)
    else:
        copies = np.zeros(len(days), np.bool_)
        copies[young] = index.duplicates(partition, keys[young], days[young])
    keep = young & ~copies & ~landed_before

    consumed = sum(len(run.offsets) for run in runs)
    kept_seconds = seconds[keep]
    landed_seconds = _seconds_landed(kept_seconds, seconds[landed_before], [orphans[o] for o in unread])
    return Batch(
        first=first,
        end=end,
        months=_by_month(runs, keep, months_of),
        keys=keys[keep],
        days=days[keep],
        letters=[letter for run in runs for letter in run.letters],
        digest=f"{zlib.crc32(offsets[keep].tobytes()):08x}",
        consumed=consumed,
        inserted=len(landed_seconds),
        duplicates=int((copies & ~landed_before).sum()),
        ignored=sum(run.ignored for run in runs),
        expired=int((~young & ~landed_before).sum()),
        missing=end - first - consumed - len(unread),
        key_mismatches=sum(run.key_mismatches for run in runs),
        size_bytes=sum(run.size_bytes for run in runs),
        min_timestamp=int(landed_seconds.min()) if len(landed_seconds) else 0,
        max_timestamp=int(landed_seconds.max()) if len(landed_seconds) else 0,
        seconds=kept_seconds,
        times_ms=np.concatenate([run.times_ms for run in runs]),
    )


def _orphans_within(
    runs: Sequence[Run], orphans: dict[int, int], first: int, end: int, offsets: I64
) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], list[int]]:
    """Which payments landed before, and the orphans among [first, end) that the log no longer shows us."""
    within = [offset for offset in orphans if first <= offset < end] if orphans else []
    if not within:
        return np.zeros(len(offsets), np.bool_), []
    read = np.concatenate([run.offsets for run in runs])
    unread = np.setdiff1d(np.asarray(within, np.int64), read)
    return np.isin(offsets, np.asarray(within, np.int64)), unread.tolist()


def _seconds_landed(kept: I64, before: I64, unread: list[int]) -> I64:
    if not len(before) and not unread:
        return kept
    return np.concatenate([kept, before, np.asarray(unread, np.int64)])


def _by_month(
    runs: Sequence[Run], keep: np.ndarray[tuple[int], np.dtype[np.bool_]], months_of: MonthsOf
) -> list[tuple[int, list[Rows]]]:
    months: dict[int, list[Rows]] = {}
    start = 0
    for run in runs:
        count = len(run.seconds)
        chosen = np.flatnonzero(keep[start : start + count])
        start += count
        if not len(chosen):
            continue
        month_of_row = months_of(run.seconds[chosen])
        for month in np.unique(month_of_row).tolist():
            of_month = chosen[month_of_row == month]
            rows = run.rows if len(of_month) == count else run.rows.take(of_month)
            months.setdefault(month, []).append(rows)
    return sorted(months.items())
