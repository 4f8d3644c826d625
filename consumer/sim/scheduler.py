"""Simulated time: one queue of things to do, in order of their time and, at the same time, of their making."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

EPOCH = 1_795_564_800
"""Where simulated time begins, in seconds since 1970: 2026-11-25T00:00:00Z. A world adds an offset of its own."""


class Scheduler:
    """Runs callbacks by their time. `now` is in seconds since the world began."""

    def __init__(self) -> None:
        self.now = 0.0
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = count()

    def at(self, time: float, action: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._queue, (max(time, self.now), next(self._number), action, arguments))

    def after(self, delay: float, action: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._queue, (self.now + delay, next(self._number), action, arguments))

    def run_until(self, time: float) -> None:
        queue, pop = self._queue, heapq.heappop
        while queue and queue[0][0] <= time:
            self.now, _, action, arguments = pop(queue)
            action(*arguments)
        self.now = max(self.now, time)
