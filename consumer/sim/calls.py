"""Requests of a member to the store, the log and the dead-letter topic, on a network that loses and holds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from consumer.core.dedupe import SHARED
from consumer.core.effects import (
    Effect,
    Hydrate,
    Insert,
    Mend,
    Quiet,
    ReadCommitted,
    ReadLog,
    ReadSink,
    SendDeadLetters,
    Touched,
    WriteLedger,
)
from consumer.core.errors import LeaseOver, Retryable
from consumer.sim import faults
from consumer.sim.records import keys_of
from consumer.sim.store import Query, Refused

if TYPE_CHECKING:
    from consumer.sim.member import Process, Slot

READ_SECONDS = 5.0
"""Time-out of a request that writes nothing."""

Reply = Callable[[Any], None]


class Calls:
    def __init__(self, process: Process) -> None:
        self.process = process
        self.world = process.world
        self.random = process.random
        self._serve: dict[type, Callable[[Slot, Any, str | None, Reply], None]] = {
            ReadCommitted: self._read_committed,
            ReadLog: self._read_log,
            Touched: self._touched,
            Quiet: self._quiet,
            ReadSink: self._read_sink,
            Hydrate: self._hydrate,
            SendDeadLetters: self._send_dead_letters,
            Insert: self._insert,
            WriteLedger: self._write_ledger,
            Mend: self._mend,
        }

    def start(self, slot: Slot, effect: Effect) -> None:
        """A thread takes the request; it will send it even if the partition is given away meanwhile."""
        fate = self.world.faults.fate(type(effect).__name__)
        if fate == faults.CRASH:
            self.process.kill()
            return
        self.world.scheduler.after(self.random.random() * 0.02, self._send, slot, effect, fate)

    def _send(self, slot: Slot, effect: Effect, fate: str | None) -> None:
        if not self.process.awake(self._send, slot, effect, fate):
            return
        if self.world.tracing:
            note = f" ({fate})" if fate else ""
            self.process.trace(f"p{slot.number} {describe(effect)}{note}")
        deadline = getattr(effect, "deadline", None)
        seconds = READ_SECONDS if deadline is None else self.world.timing.write
        after = self.world.scheduler.after
        after(seconds, self.process.answer, slot, effect, Retryable("no answer", "timeout"))
        if fate == faults.LOST:
            return
        delay = 0.002 + self.random.random() * 0.05
        if fate == faults.LATE:
            delay += self.random.random() * self.world.timing.lease * 1.5
        elif fate == faults.CRASH_LATE:
            left = self.world.timing.lease if deadline is None else deadline + 1.5 - self.world.server_clock()
            delay += self.random.random() * max(0.0, left)
            self.process.kill()
        after(delay, self._arrive, slot, effect, fate)

    def _arrive(self, slot: Slot, effect: Effect, fate: str | None) -> None:
        def reply(result: Any) -> None:
            if fate == faults.CRASH_AFTER:
                self.process.kill()
            elif fate != faults.UNANSWERED:
                answer = Retryable("error after all", "network") if fate == faults.ERROR_AFTER else result
                self.world.scheduler.after(self.random.random() * 0.05, self.process.answer, slot, effect, answer)

        if fate == faults.ERROR or self.world.is_down(effect):
            reply(Retryable("out of order", "network"))
        else:
            self._serve[type(effect)](slot, effect, fate, reply)

    # Reads

    def _read_committed(self, slot: Slot, _effect: ReadCommitted, _fate: str | None, reply: Reply) -> None:
        reply(self.world.controls.seen(self.world.broker.committed(self.process.group.name, slot.number)))

    def _read_log(self, slot: Slot, _effect: ReadLog, _fate: str | None, reply: Reply) -> None:
        reply(self.world.broker.bounds(slot.number))

    def _touched(self, slot: Slot, _effect: Touched, _fate: str | None, reply: Reply) -> None:
        reply(self.world.controls.touched and self.world.store.touched(slot.number))

    def _quiet(self, slot: Slot, _effect: Quiet, _fate: str | None, reply: Reply) -> None:
        reply(self.world.store.quiet(slot.number))

    def _read_sink(self, slot: Slot, _effect: ReadSink, _fate: str | None, reply: Reply) -> None:
        reply(self.world.store.read_sink(slot.number))

    def _hydrate(self, _slot: Slot, effect: Hydrate, _fate: str | None, reply: Reply) -> None:
        rows = self.world.store.rows_of_day
        reply([
            (scope, day, keys_of(rows(day, partition=None if scope == SHARED else scope, topic_id=effect.topic_id)))
            for scope, day in effect.wanted
        ])  # fmt: skip

    # Writes

    def _send_dead_letters(self, slot: Slot, effect: SendDeadLetters, _fate: str | None, reply: Reply) -> None:
        for letter in effect.letters:
            self.world.dead_letters.add((slot.partition.topic_id, slot.number, letter.offset))
        reply(None)

    def _insert(self, slot: Slot, effect: Insert, fate: str | None, reply: Reply) -> None:
        store = self.world.store
        records = [record for rows in effect.rows for record in rows.records]
        steps: list[Callable[[], None]] = [
            lambda: store.check(effect.deadline),
            lambda: store.land_table(effect, records),
        ]
        if fate in (faults.VIEW, faults.CRASH_VIEW):
            steps.append(lambda: _fail("the view threw"))
        steps.append(lambda: store.land_view(effect, records))
        self._write(slot, steps, fate, reply)

    def _write_ledger(self, slot: Slot, effect: WriteLedger, fate: str | None, reply: Reply) -> None:
        store = self.world.store
        self._write(slot, [lambda: store.check(effect.deadline), lambda: store.land_ledger(effect)], fate, reply)

    def _mend(self, slot: Slot, effect: Mend, fate: str | None, reply: Reply) -> None:
        """Its query reads both tables in one instant and adds the difference in a later one."""
        store = self.world.store
        found: dict[Any, tuple[int, int]] = {}
        self._write(
            slot,
            [
                lambda: store.check(effect.deadline),
                lambda: found.update(store.difference(effect, slot.number)),
                lambda: store.apply(found),
            ],
            fate,
            lambda result: reply(len(found) if result is None else result),
        )

    def _write(self, slot: Slot, steps: list[Callable[[], None]], fate: str | None, reply: Reply) -> None:
        query = self.world.store.begin(slot.number)
        self._step(query, steps, fate, reply)

    def _step(self, query: Query, steps: list[Callable[[], None]], fate: str | None, reply: Reply) -> None:
        """The server works on a query that was begun: all at once, or step by step."""
        store = self.world.store
        while steps:
            if not query.alive:
                reply(Retryable("connection reset", "network"))
                return
            try:
                steps.pop(0)()
            except Refused:
                store.end(query)
                reply(LeaseOver("refused"))
                return
            except ViewThrew as error:
                store.end(query)
                if fate == faults.CRASH_VIEW:
                    self.process.kill()
                else:
                    reply(Retryable(str(error), "view"))
                return
            if fate in (faults.SLOW, faults.CRASH_LATE) and steps:
                pause = self.random.random() ** 2 * self.world.timing.lease
                self.world.scheduler.after(pause, self._step, query, steps, fate, reply)
                return
        store.end(query)
        reply(None)


class ViewThrew(Exception):
    """The table's part has landed, the view's has not."""


def _fail(message: str) -> None:
    raise ViewThrew(message)


def describe(effect: Effect) -> str:
    """An effect as a trace shows it."""
    if isinstance(effect, Insert):
        offsets = [record.offset for rows in effect.rows for record in rows.records]
        return f"Insert {effect.topic_id} {effect.span} month {effect.month} offsets {offsets} D={effect.deadline}"
    if isinstance(effect, SendDeadLetters):
        return f"SendDeadLetters {[letter.offset for letter in effect.letters]}"
    return repr(effect)
