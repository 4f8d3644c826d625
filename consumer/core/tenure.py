"""What the owner of a partition holds and has promised: a lease, writes and commits that may still have an effect.

The one place that knows what an unanswered write or commit means: until when it may still be accepted, what may be
sent again, and what no commit may claim meanwhile. `consumer.core.life` says in which order things happen.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from consumer.core.buffer import Limits
from consumer.core.decide import MonthsOf
from consumer.core.effects import Commit, Effect, Fact, LeaseHeld, Retried, Sleep
from consumer.core.errors import Retryable
from consumer.core.lease import Note, Timing

Steps = Generator[Effect, Any, Any]

BACKOFF_FIRST, BACKOFF_MAX = 0.2, 15.0


@dataclass(frozen=True, slots=True)
class Setup:
    """What all partitions of a member share."""

    cluster_id: str
    group: str
    timing: Timing
    limits: Limits
    months_of: MonthsOf
    jitter: Callable[[], float] = field(default=lambda: 1.0)
    """A factor around 1 for pauses, so that members don't retry in step."""


class StartOver(Exception):
    """The lease ran out or an outcome stayed unknown: recover as after a crash."""


class Tenure:
    """Of one partition, from its assignment to its release."""

    def __init__(self, number: int, setup: Setup) -> None:
        self.number = number
        self._setup = setup
        self.now = 0.0
        """Seconds since 1970 by the ClickHouse server's clock; set before each step."""
        self.facts: list[Fact] = []
        self.topic_id = ""
        self.position = -1
        """First offset that is not known to have landed; -1 until recovery has found it."""
        self._busy = 0
        self.lease_until = 0
        self._unknown_until = 0
        """Deadline of the last write whose outcome we don't know: as long as it may still be accepted, no commit
        may say that nothing is on its way. 0 when all writes were answered."""
        self._announced = 0
        """Deadline in the last commit that we sent, whether it was answered or not."""
        self.commit_open = False
        """A commit was sent and is not known to be applied or refused: it may still be applied."""
        self._pass = 0
        self._committed: int | None = None

    @property
    def may_leave(self) -> bool:
        """Not between a batch's first step and its last, nor while a commit has no answer."""
        return not self._busy

    def _until_done(
        self, step: str, make: Callable[..., Effect], *, leased: bool = False, repeat: bool = True
    ) -> Steps:
        """Have an effect done, waiting out outages. A write (`leased`) is made with the deadline of a living lease,
        and once the lease is over nobody repeats it: then the partition starts over."""
        attempt = 0
        while True:
            unknown_before = self._unknown_until
            if leased:
                yield from self._lease()
                self._unknown_until = self.lease_until
            try:
                result = yield (make(self.lease_until) if leased else make())
                self._unknown_until = unknown_before
                return result
            except Retryable as error:
                attempt += 1
                pause = self._backoff(attempt)
                self.facts.append(Retried(step, error.cause, str(error), pause))
                lease_left = self.lease_until - self._setup.timing.renew_below - self.now
                if leased and (not repeat or pause > lease_left):
                    raise StartOver("lease_over") from error
                yield Sleep(self.now + pause)

    def _lease(self) -> Steps:
        while self.lease_until - self.now < self._setup.timing.renew_below:
            yield from self._commit(self.position, lease=True)

    def _commit(self, offset: int, *, lease: bool) -> Steps:
        """Commit, and with it renew the lease or give it up.

        An unanswered commit may still be applied later, so until there is an answer only the very same one is
        sent again: a different one could be overtaken.
        """
        until = self._still_unknown()
        if lease:
            until = max(until, int(self.now + self._setup.timing.lease))
        # Whoever reads this commit waits for its deadline and no longer: from now on we hold no lease beyond it.
        self.lease_until = min(self.lease_until, until)
        self._announced = until
        note = Note(topic_id=self.topic_id, group=self._setup.group, pass_=self._pass, deadline=until)
        self._busy += 1
        self.commit_open = True
        try:
            yield from self._until_done("commit", lambda: Commit(offset, note))
        finally:
            self.commit_open = False
        self._busy -= 1
        self._committed = offset
        self.lease_until = until
        self.facts.append(LeaseHeld(until))

    def _still_unknown(self) -> int:
        """Until when a write whose outcome we don't know may still be accepted; 0 when none can."""
        if self.now >= self._unknown_until + self._setup.timing.margin:
            self._unknown_until = 0
        return self._unknown_until

    def _backoff(self, attempt: int) -> float:
        pause: float = min(BACKOFF_MAX, BACKOFF_FIRST * 2 ** (attempt - 1))
        return pause * self._setup.jitter()
