"""Calendar months as the server partitions by them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from consumer.core.batch import I64


class Months:
    """yyyymm of a time, in the time zone of the server whose `toYYYYMM(timestamp)` cuts the table's partitions.

    An insert that holds one month lands as one part, all or nothing; UTC months would be cut in two on a server
    that lives elsewhere.
    """

    def __init__(self, zone: str = "UTC") -> None:
        self._zone = ZoneInfo(zone)
        self._starts = np.empty(0, np.int64)
        self._names = np.empty(0, np.int64)

    def __call__(self, seconds: I64) -> I64:
        """(n,) seconds since 1970 -> (n,) yyyymm."""
        if not len(seconds):
            return np.empty(0, np.int64)
        low, high = int(seconds.min()), int(seconds.max())
        if not len(self._starts) or low < self._starts[0] or high >= self._starts[-1]:
            self._learn(low, high)
        return self._names[np.searchsorted(self._starts, seconds, side="right") - 1]

    def _learn(self, low: int, high: int) -> None:
        year, month = self._year_month(low)
        last = self._year_month(high)
        starts, names = [], []
        while True:
            starts.append(int(datetime(year, month, 1, tzinfo=self._zone).timestamp()))
            names.append(year * 100 + month)
            if (year, month) > last:
                break
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        self._starts, self._names = np.asarray(starts, np.int64), np.asarray(names, np.int64)

    def _year_month(self, seconds: int) -> tuple[int, int]:
        local = datetime.fromtimestamp(seconds, UTC).astimezone(self._zone)
        return local.year, local.month
