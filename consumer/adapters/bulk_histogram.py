"""A Prometheus histogram that takes a whole batch of values at once.

prometheus_client's own `Histogram.observe` takes one value: 50,000 calls a batch would cost more than the
batch's insert. Here numpy sorts the values into the buckets, one pass a batch.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Series:
    """The buckets of one label value."""

    def __init__(self, bounds: npt.NDArray[np.float64]) -> None:
        self._bounds = bounds
        self._counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe_many(self, values: npt.ArrayLike) -> None:
        """Counts every value; a value on a bound belongs to the bound's bucket (Prometheus: `le`)."""
        array = np.asarray(values, dtype=np.float64)
        counts = np.bincount(np.searchsorted(self._bounds, array, side="left"), minlength=len(self._counts))
        with self._lock:
            self._counts += counts
            self._sum += float(array.sum())

    def observe(self, value: float) -> None:
        self.observe_many([value])

    def buckets(self) -> tuple[list[int], float]:
        """Cumulative counts, the last being the count of all values, and the sum of all values."""
        with self._lock:
            return [int(n) for n in np.cumsum(self._counts)], self._sum


class BulkHistogram(Collector):
    """A histogram with one label whose values are all known from the start (so the series begin at 0)."""

    def __init__(
        self,
        name: str,
        documentation: str,
        label: str,
        label_values: Iterable[str],
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._label = label
        self._bounds = np.array(sorted(buckets), dtype=np.float64)
        self._series = {value: Series(self._bounds) for value in label_values}
        registry.register(self)

    def labels(self, value: str) -> Series:
        """The series of one of the values named at construction; KeyError for any other."""
        return self._series[value]

    def describe(self) -> Iterable[Metric]:
        return [HistogramMetricFamily(self._name, self._documentation, labels=[self._label])]

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=[self._label])
        bounds = [*map(str, self._bounds.tolist()), "+Inf"]
        for value, series in self._series.items():
            cumulative, total = series.buckets()
            family.add_metric([value], list(zip(bounds, map(float, cumulative), strict=True)), total)
        return [family]
