"""The ClickHouse server's clock, as far as we know it. Deadlines are held against that clock, so they are made by it."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Runs on our monotonic clock, set by the server's now and then: a jump of our own wall clock moves nothing."""

    def __init__(self, server_time: Callable[[], float]) -> None:
        """`server_time` asks the server: seconds since 1970."""
        self._server_time = server_time
        self._ahead = 0.0
        self.measure()

    def now(self) -> float:
        """Seconds since 1970 by the server's clock."""
        return time.monotonic() + self._ahead

    def measure(self) -> None:
        """Half of the round trip is taken to be the way back. Raises what `server_time` raises."""
        before = time.monotonic()
        server = self._server_time()
        after = time.monotonic()
        self._ahead = server - (before + after) / 2
