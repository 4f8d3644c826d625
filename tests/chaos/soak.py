"""A long quiet run: does the memory of a process stay where it is?"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from tests.chaos.driver import Say
from tests.chaos.stage import PARTITIONS, Stage
from tests.chaos.verify import verify

SAMPLES = 200
SAY_SECONDS = 60.0
WARM_UP = 2 / 3
"""So much of the time that counts goes before it: sets and temporary arrays grow by factors, ever more rarely, and
what each of them needed once the allocators keep."""

STRETCHES = 10
STUDENT_T = 2.306
"""97.5% quantile for ten means less the two numbers of a line."""


def soak(minutes: float, per_second: float, *, say: Say = print) -> Iterator[str]:
    """The slope of the resident set beside the duplicate index, which grows with its keys, over `minutes` of a
    process that has been at it for a while; then the usual proof."""
    times: list[float] = []
    sizes: list[float] = []
    with Stage() as stage:
        member = stage.add_member("m0", static=True)
        member.start()
        stage.start_traffic(seed=1, per_second=per_second)
        stage.wait_until_landing(range(PARTITIONS), 60)
        began = said = time.monotonic()
        counts_from = began + WARM_UP * minutes * 60
        while (now := time.monotonic()) < counts_from + minutes * 60:
            index = member.metrics().get("dedup_bytes", 0.0) / 2**20
            beside = member.rss_bytes / 2**20 - index
            if now >= counts_from:
                times.append(now - began)
                sizes.append(beside)
            if now >= said + SAY_SECONDS:
                said = now
                landed = sum(stage.ledger_ends().values())
                say(f"{(now - began) / 60:5.1f} min  RSS {beside:6.1f} MiB + index {index:5.1f}  landed {landed:,}")
            time.sleep(minutes * 60 / SAMPLES)
        stage.stop_traffic()
        stage.wait_until_caught_up(60)
        findings, truth = verify(stage)
        yield f"truth: {truth.line()}"
        yield from (f"FOUND {finding}" for finding in findings)
    slope, error = slope_of(times, sizes)
    yield (
        f"{minutes:g} minutes at {per_second:g}/s: RSS without the index {min(sizes):.1f}-{max(sizes):.1f} MiB, slope"
        f" {slope * 3600:+.2f} +- {error * 3600:.2f} MiB an hour"
    )


def slope_of(times: list[float], sizes: list[float]) -> tuple[float, float]:
    """Of the straight line through the samples, and half the width of its 95% confidence interval.

    A resident set moves in steps, so that samples next to each other say the same thing: as independent ones they
    would make the interval many times too narrow. Means of ten stretches are nearly independent (batch means).
    """
    middles = [float(np.mean(part)) for part in np.array_split(times, STRETCHES)]
    means = [float(np.mean(part)) for part in np.array_split(sizes, STRETCHES)]
    (slope, _), covariance = np.polyfit(middles, means, 1, cov=True)
    return float(slope), STUDENT_T * float(np.sqrt(covariance[0, 0]))
