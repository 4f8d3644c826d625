"""Does what partitions ask for. Each effect is answered once, through one queue that the loop reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from prometheus_client import Histogram

from consumer.adapters.dead_letters import DeadLetters
from consumer.adapters.lookup import Lookup
from consumer.adapters.metrics import Metrics
from consumer.adapters.store import Store
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
from consumer.faults import fault_point


@dataclass(frozen=True, slots=True)
class Ticket:
    """Whose effect it is. The epoch tells an assignment from a later one of the same partition."""

    partition: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Answer:
    ticket: Ticket
    result: Any
    error: Exception | None


class Performer:
    """Threads for the blocking effects: ClickHouse, look-ups in Kafka, dead letters."""

    def __init__(self, lookup: Lookup, store: Store, dead_letters: DeadLetters, metrics: Metrics) -> None:
        self._how: dict[type[Effect], tuple[str, Callable[[int, Any], Any], Histogram | None]] = {
            ReadCommitted: ("committed", lambda p, _: lookup.committed(p), None),
            ReadLog: ("log", lambda p, _: lookup.bounds(p), None),
            Touched: ("touched", lambda p, _: store.touched(p), None),
            Quiet: ("quiet", lambda p, _: store.quiet(p), None),
            ReadSink: ("sink", lambda p, _: store.landed(p), None),
            Mend: ("mend", store.mend, None),
            Hydrate: ("hydrate", store.hydrate, metrics.hydrate_seconds),
            SendDeadLetters: ("dead_letters", lambda p, effect: dead_letters.send(p, effect.letters), None),
            Insert: ("insert", store.insert, metrics.insert_seconds),
            WriteLedger: ("ledger", lambda _, effect: store.write_ledger(effect), None),
        }
        self._answers: SimpleQueue[Answer] = SimpleQueue()
        self._pool = ThreadPoolExecutor(8, "effect")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def perform(self, ticket: Ticket, effect: Effect) -> None:
        """Begin an effect; its answer comes out of `answers`."""
        self._pool.submit(self._answer, ticket, self._call(ticket.partition, effect))

    def background(self, ticket: Ticket, call: Callable[[], Any]) -> None:
        """Anything else that may block; answered like an effect."""
        self._pool.submit(self._answer, ticket, call)

    def answers(self, timeout: float) -> Iterator[Answer]:
        """What has been answered; waits for a first one at most `timeout` seconds."""
        while True:
            try:
                answer = self._answers.get(timeout=timeout) if timeout > 0 else self._answers.get_nowait()
            except Empty:
                return
            timeout = 0.0
            yield answer

    def _answer(self, ticket: Ticket, call: Callable[[], Any]) -> None:
        try:
            answer = Answer(ticket, call(), None)
        except Exception as error:  # noqa: BLE001 - whatever it is, the loop has to know
            answer = Answer(ticket, None, error)
        self._answers.put(answer)

    def _call(self, partition: int, effect: Effect) -> Callable[[], Any]:
        step, call, seconds = self._how[type(effect)]

        def timed() -> Any:
            fault_point(f"before_{step}")
            began = time.perf_counter()
            result = call(partition, effect)
            if seconds is not None:
                seconds.observe(time.perf_counter() - began)
            fault_point(f"after_{step}")
            return result

        return timed
