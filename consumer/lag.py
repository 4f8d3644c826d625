"""How far what has landed is behind a partition's log."""

from __future__ import annotations


class Lag:
    """Of one partition, from its assignment on. Times are seconds by one clock, that of the server."""

    def __init__(self, now: float) -> None:
        self._position = -1
        self._since = now
        """When this position was first seen to be behind."""
        self._oldest_ms = 0
        """Kafka timestamp of the record at this position, once it was in our hands."""
        self._blind_since: float | None = now

    def measure(self, now: float, *, position: int, high: int, oldest_ms: int, reading: bool) -> tuple[int, float]:
        """Records, and the age in seconds of the oldest that has not landed; 0 and 0 when caught up.

        `position` is the first offset that has not landed, -1 before recovery has found it; `high` the log's end;
        `oldest_ms` the Kafka timestamp of the oldest record in our hands, 0 without one. A partition that is not
        `reading` is being recovered and sees nothing of what arrives: it counts as behind since it stopped.
        """
        records = max(0, high - position) if position >= 0 else 0
        if position != self._position or not records:
            self._position, self._since, self._oldest_ms = position, now, 0
        self._oldest_ms = oldest_ms or self._oldest_ms  # a batch that is begun again was in our hands before
        seconds = now - (self._oldest_ms / 1000 or self._since) if records else 0.0
        if reading:
            self._blind_since = None
        else:
            self._blind_since = now if self._blind_since is None else self._blind_since
            seconds = max(seconds, now - self._blind_since)
        return records, max(0.0, seconds)
