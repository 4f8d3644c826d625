"""The commits of all our partitions, one call at a time.

The loop sends a call and goes on; its answer comes with a later poll. The next call waits for it, so that none can
overtake another, and takes along whatever has gathered meanwhile. Inside a rebalance callback, where nothing polls,
calls are answered on the spot.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from consumer.adapters.group import Group
from consumer.adapters.metrics import Metrics
from consumer.core.effects import Commit
from consumer.core.errors import ConsumerError
from consumer.faults import fault_point
from consumer.performer import Answer, Ticket


class Committer:
    """Used by the loop thread only."""

    def __init__(self, group: Group, metrics: Metrics) -> None:
        self._group = group
        self._metrics = metrics
        self._waiting: dict[Ticket, Commit] = {}
        self._sent: dict[Ticket, Commit] = {}
        self._sent_at = 0.0

    def add(self, ticket: Ticket, commit: Commit) -> None:
        self._waiting[ticket] = commit

    def send(self) -> None:
        """Everything that waits, in one call, unless another is still unanswered."""
        if not self._waiting or self._sent:
            return
        self._sent, self._waiting = self._waiting, {}
        self._sent_at = time.perf_counter()
        fault_point("before_commit")
        error = self._group.commit_soon({ticket.partition: commit for ticket, commit in self._sent.items()})
        if error is not None:
            self._group.committed_by(dict.fromkeys(self._sent_by_partition(), error))

    def answers(self) -> list[Answer]:
        """Of the call that was sent, once it is answered. A partition that the answer leaves out is still waiting."""
        outcomes = self._group.take_commit_outcomes()
        if not outcomes or not self._sent:
            return []
        self._metrics.commit_seconds.observe(time.perf_counter() - self._sent_at)
        fault_point("after_commit")
        sent, self._sent = self._sent, {}
        return _match(sent, outcomes, self._waiting)

    def settle(self) -> list[Answer]:
        """Send what waits, and again what is unanswered (the very same: no harm), and wait for the answer."""
        everything = {**self._sent, **self._waiting}
        if not everything:
            return []
        self._sent, self._waiting = {}, {}
        fault_point("before_commit")
        began = time.perf_counter()
        outcomes = self._group.commit_now({ticket.partition: commit for ticket, commit in everything.items()})
        self._metrics.commit_seconds.observe(time.perf_counter() - began)
        fault_point("after_commit")
        return _match(everything, outcomes, self._waiting)

    def _sent_by_partition(self) -> Mapping[int, Commit]:
        return {ticket.partition: commit for ticket, commit in self._sent.items()}


def _match(
    sent: dict[Ticket, Commit], outcomes: Mapping[int, ConsumerError | None], again: dict[Ticket, Commit]
) -> list[Answer]:
    answers = []
    for ticket, commit in sent.items():
        if ticket.partition in outcomes:
            answers.append(Answer(ticket, None, outcomes[ticket.partition]))
        else:
            again[ticket] = commit
    return answers
