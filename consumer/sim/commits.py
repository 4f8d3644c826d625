"""A client library's way of committing: several partitions in one call, one call after the other.

The library stamps a commit with the generation it knows when it sends it, and may sit on it for a while. Calls of one
process stay in order; an answer that never comes leaves open whether a commit was, or will be, applied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumer.core.effects import Commit
from consumer.core.errors import Fenced, Retryable
from consumer.sim import faults

if TYPE_CHECKING:
    from consumer.sim.member import Process, Slot

COMMIT_SECONDS = 6.0
"""How long a caller waits for the answer."""

Item = tuple["Slot", Commit]


class CommitChannel:
    def __init__(self, process: Process) -> None:
        self.process = process
        self.world = process.world
        self.random = process.random
        self.hold_until = 0.0
        """The library keeps its commits to itself until then."""
        self._queue: list[Item] = []
        self._last_arrival = 0.0
        self._closed = False

    def add(self, slot: Slot, effect: Commit) -> None:
        self._queue.append((slot, effect))
        if len(self._queue) == 1:
            self.world.scheduler.after(self.random.random() * 0.05, self._call)

    def close(self) -> None:
        self._closed = True

    def _call(self) -> None:
        if self._closed or not self.process.awake(self._call):
            return
        items = [(s, e) for s, e in self._queue if s.alive and s.partition.waiting is e]
        self._queue.clear()
        if not items:
            return
        fate = self.world.faults.fate("Commit")
        if fate == faults.CRASH:
            self.process.kill()
            return
        for slot, effect in items:
            no_answer = Retryable("no answer", "timeout")
            self.world.scheduler.after(COMMIT_SECONDS, self.process.answer, slot, effect, no_answer)
        self.world.scheduler.at(self.hold_until, self._send, items, fate)

    def _send(self, items: list[Item], fate: str | None) -> None:
        if self._closed or not self.process.awake(self._send, items, fate):
            return
        process, now = self.process, self.world.scheduler.now
        if self.world.tracing:
            note = f" ({fate})" if fate else ""
            text = ", ".join(f"p{s.number} {e.offset} pass {e.note.pass_} D={e.note.deadline}" for s, e in items)
            process.trace(f"Commit {text}{note}")
        if fate == faults.LOST:
            return
        delay = 0.002 + self.random.random() * 0.05
        if fate in (faults.LATE, faults.CRASH_LATE, faults.SLOW):
            delay += self.random.random() * self.world.timing.lease
        self._last_arrival = max(self._last_arrival, now + delay)
        self.world.scheduler.at(self._last_arrival, self._arrive, items, fate, process.member_id, process.generation)
        if fate == faults.CRASH_LATE:
            process.kill()

    def _arrive(self, items: list[Item], fate: str | None, member_id: int, generation: int) -> None:
        result: Retryable | Fenced | None = None
        if fate == faults.ERROR or self.world.broker_is_down:
            result = Retryable("coordinator not available", "coordinator")
        else:
            offsets = {slot.number: (effect.offset, effect.note.dump()) for slot, effect in items}
            if fate == faults.ERROR_AFTER:
                # Some of them are applied, and the error doesn't say which.
                result = Retryable("some partitions failed", "partial")
                offsets = {p: o for p, o in offsets.items() if len(offsets) == 1 or self.random.random() < 0.5}
            try:
                self.process.group.commit(member_id, generation, offsets)
            except Fenced as error:
                result = error
        if fate in (faults.CRASH_AFTER, faults.CRASH_VIEW):
            self.process.kill()
        elif fate != faults.UNANSWERED:
            self.world.scheduler.after(self.random.random() * 0.05, self._answer, items, result)

    def _answer(self, items: list[Item], result: Retryable | Fenced | None) -> None:
        if self._closed or not self.process.awake(self._answer, items, result):
            return
        for slot, effect in items:
            self.process.answer(slot, effect, result)
