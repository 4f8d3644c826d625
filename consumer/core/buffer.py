"""The records that wait for their batch."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from consumer.core.batch import Run


@dataclass(frozen=True, slots=True)
class Limits:
    """When a batch is full: records, bytes of their values, seconds since its first record."""

    max_rows: int
    max_bytes: int
    max_seconds: float


class Buffer:
    """Runs of one partition in offset order, at most a few batches' worth (the shell stops fetching)."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._runs: deque[Run] = deque()
        self.rows = 0
        self.bytes = 0
        self.opened_at = 0.0

    def __bool__(self) -> bool:
        return bool(self._runs)

    @property
    def full(self) -> bool:
        """The next batch is complete."""
        return self.rows >= self._limits.max_rows or self.bytes >= self._limits.max_bytes

    @property
    def due_at(self) -> float:
        """When the next batch closes by age."""
        return self.opened_at + self._limits.max_seconds

    @property
    def oldest_ms(self) -> int:
        """Kafka timestamp of the oldest record; 0 when there is none."""
        return next((run.oldest_ms for run in self._runs if run.oldest_ms), 0)

    def add(self, run: Run, now: float) -> None:
        if not self._runs:
            self.opened_at = now
        self._runs.append(run)
        self.rows += len(run.offsets)
        self.bytes += run.size_bytes

    def reason_to_close(self, now: float) -> str:
        """`rows`, `bytes` or `age`; empty while the batch may still grow."""
        if not self._runs:
            return ""
        if self.rows >= self._limits.max_rows:
            return "rows"
        if self.bytes >= self._limits.max_bytes:
            return "bytes"
        return "age" if now >= self.due_at else ""

    def take(self, now: float) -> list[Run]:
        """At least one run, and more as long as the batch stays within its limits."""
        taken: list[Run] = []
        rows = size = 0
        while self._runs:
            run = self._runs[0]
            rows += len(run.offsets)
            size += run.size_bytes
            if taken and (rows > self._limits.max_rows or size > self._limits.max_bytes):
                break
            taken.append(self._runs.popleft())
            self.rows -= len(run.offsets)
            self.bytes -= run.size_bytes
        self.opened_at = now
        return taken

    def forget(self) -> None:
        self._runs.clear()
        self.rows = self.bytes = 0
