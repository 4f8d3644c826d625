"""Duplicates among the payments of one batch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from consumer.core.batch import I64, Keys


def repeats(keys: Keys, days: I64) -> npt.NDArray[np.bool_]:
    """True where an earlier payment that is kept has the same key on the same UTC day or one next to it.

    Sorting finds the keys that occur more than once. Those whose payments are all on one day are settled at once
    (the first is kept); only where a key is on several days are its payments walked one by one.
    """
    dropped = np.zeros(len(keys), dtype=np.bool_)
    low = np.ascontiguousarray(keys[:, 0])
    if not _equal_neighbours(np.sort(low)).any():
        return dropped  # a plain sort costs half of one that says where things were
    order = np.argsort(low)
    equal = _equal_neighbours(low[order])
    again = np.zeros(len(keys), dtype=np.bool_)
    again[1:] = equal
    again[:-1] |= equal
    at = order[again]
    at = at[np.lexsort((at, keys[at, 1], keys[at, 0]))]
    # Now the payments of one key stand together, in offset order.
    key, day = keys[at], days[at]
    first = np.ones(len(at), dtype=np.bool_)
    first[1:] = (key[1:] != key[:-1]).any(axis=1)
    starts = np.flatnonzero(first)
    one_day = np.minimum.reduceat(day, starts) == np.maximum.reduceat(day, starts)
    ends = np.append(starts[1:], len(at))
    dropped[at] = ~first
    for start, end in zip(starts[~one_day].tolist(), ends[~one_day].tolist(), strict=True):
        dropped[at[start:end]] = _walk(day[start:end].tolist())
    return dropped


def _equal_neighbours(ordered: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    return np.equal(ordered[1:], ordered[:-1])


def _walk(days: list[int]) -> list[bool]:
    """Which payments of one key are dropped, by their days in offset order."""
    kept: set[int] = set()
    dropped = []
    for day in days:
        duplicate = not kept.isdisjoint((day - 1, day, day + 1))
        dropped.append(duplicate)
        if not duplicate:
            kept.add(day)
    return dropped
