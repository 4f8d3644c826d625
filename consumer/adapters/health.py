"""Whether the process should be restarted (live) and whether its start is over (ready).

Neither depends on owning partitions, on the broker or on ClickHouse: killing a pod mends no outage, and a
readiness that waits for one blocks a rollout. Outages are metrics and alerts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    ok: bool
    why: str
    """One line, also when all is well."""


class Health:
    """Written by the loop thread, read by the HTTP threads.

    The loop calls `tick` every turn, from its construction on (while it waits for a broker too), `ready`
    once its first poll is done, and `fatal` when it is about to end for a reason that only a restart mends.
    """

    def __init__(self, deadline_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._ticked_at = clock()
        self._ready = False
        self._fatal = ""

    def tick(self) -> None:
        """The loop turned."""
        self._ticked_at = self._clock()

    def ready(self) -> None:
        """Settings are read, the clients are made and the first poll is done."""
        self._ready = True

    def fatal(self, reason: str) -> None:
        """A restart is needed; `reason` is one line without secrets. The first reason stays."""
        self._fatal = self._fatal or reason

    def livez(self) -> Verdict:
        """Restart me? No fatal error, and the loop turned within its deadline."""
        if self._fatal:
            return Verdict(False, f"fatal: {self._fatal}")
        age = self._clock() - self._ticked_at
        if age > self._deadline_seconds:
            return Verdict(False, f"the loop has not turned for {age:.0f} s (deadline {self._deadline_seconds:g} s)")
        return Verdict(True, f"the loop turned {max(age, 0):.1f} s ago")

    def readyz(self) -> Verdict:
        """Is the start over? Stays so until the end."""
        if not self._ready:
            return Verdict(False, "starting: the first poll is not done")
        return Verdict(True, "started")
