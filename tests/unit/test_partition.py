"""The driver of a partition's life: what it answers itself, and how a partition is let go."""

from __future__ import annotations

from typing import Any

import numpy as np

from consumer.core.batch import Run
from consumer.core.buffer import Limits
from consumer.core.dedupe import KeyIndex
from consumer.core.effects import (
    BatchLanded,
    Commit,
    Effect,
    Hydrate,
    Insert,
    Landed,
    Output,
    Quiet,
    ReadCommitted,
    ReadLog,
    ReadSink,
    Released,
    Seek,
    Touched,
    WriteLedger,
)
from consumer.core.errors import Fenced, Retryable
from consumer.core.lease import Timing
from consumer.core.months import Months
from consumer.core.partition import Partition
from consumer.core.position import Committed, Log
from consumer.core.tenure import Setup

NOW = 1_795_500_000.0


class Rows:
    """Rows that nobody looks into."""

    num_rows = 1

    def take(self, _chosen: Any) -> Rows:
        return self


def run(first: int, end: int) -> Run:
    """One payment at `first`; the rest of the offsets are missing from the log."""
    return Run(
        first=first,
        end=end,
        offsets=np.array([first]),
        rows=Rows(),
        valid_offsets=np.array([first]),
        seconds=np.array([int(NOW)]),
        keys=np.array([[first, 1]], np.uint64),
        letters=[],
        ignored=0,
        key_mismatches=0,
        size_bytes=100,
        times_ms=np.array([int(NOW * 1000)]),
    )


ANSWERS: dict[type[Effect], Any] = {
    ReadCommitted: Committed(None),
    Touched: False,
    Quiet: True,
    ReadSink: Landed([], []),
    ReadLog: Log("topic", 0, 100),
    Seek: None,
    Insert: None,
    WriteLedger: None,
    Commit: None,
}


class Driver:
    """Answers effects at once, keeps everything that came out."""

    def __init__(self) -> None:
        setup = Setup("cluster", "group", Timing.of_session(45_000), Limits(10, 10_000, 2.0), Months())
        index = KeyIndex(1 << 20)
        self.partition = Partition(0, setup, index)
        self.seen: list[Output] = []
        self.now = NOW

    def until(self, kind: type[Effect] | None, outputs: list[Output]) -> Effect | None:
        """Answer effect after effect; stop at the first of `kind`, unanswered."""
        while True:
            self.seen += outputs
            effects = [o for o in outputs if isinstance(o, Effect)]
            if not effects:
                assert kind is None, f"no {kind} came"
                return None
            (effect,) = effects
            if kind is not None and isinstance(effect, kind):
                return effect
            outputs = self.partition.answered(self.answer(effect), self.now)

    def answer(self, effect: Effect) -> Any:
        if isinstance(effect, Hydrate):
            return [(scope, day, np.empty((0, 2), np.uint64)) for scope, day in effect.wanted]
        return ANSWERS[type(effect)]

    def ready(self) -> Driver:
        self.until(None, self.partition.start(self.now))
        assert self.partition.reading
        return self

    def one_batch_until(self, kind: type[Effect]) -> Effect | None:
        self.partition.records(run(0, 10), self.now)
        self.now += 2
        return self.until(kind, self.partition.tick(self.now))


def test_a_batch_goes_lease_insert_ledger_commit() -> None:
    driver = Driver().ready()
    driver.seen.clear()
    driver.partition.records(run(0, 10), driver.now)
    driver.now += 2
    driver.until(None, driver.partition.tick(driver.now))
    steps = [type(o) for o in driver.seen if isinstance(o, Effect)]
    assert steps == [Hydrate, Commit, Insert, WriteLedger, Commit]
    (landed,) = [o for o in driver.seen if isinstance(o, BatchLanded)]
    assert (landed.batch.inserted, landed.batch.missing, landed.reason) == (1, 9, "age")
    assert driver.partition.position == 10


def test_one_that_leaves_with_a_batch_in_flight_lets_it_land_and_is_released() -> None:
    driver = Driver().ready()
    driver.one_batch_until(Insert)
    assert driver.partition.leave(driver.now) == []
    driver.until(None, driver.partition.answered(None, driver.now))
    commit = [o for o in driver.seen if isinstance(o, Commit)][-1]
    assert (commit.offset, commit.note.deadline) == (10, 0)
    assert driver.partition.released
    assert driver.seen[-1] == Released(clean=True)


def test_one_that_leaves_after_its_commit_was_sent_is_released_too() -> None:
    """The commit on its way renews the lease; another one has to give it up."""
    driver = Driver().ready()
    driver.one_batch_until(WriteLedger)
    sent = driver.until(Commit, driver.partition.answered(None, driver.now))
    assert isinstance(sent, Commit)
    assert sent.note.deadline > driver.now
    driver.partition.leave(driver.now)
    driver.until(None, driver.partition.answered(None, driver.now))
    commit = [o for o in driver.seen if isinstance(o, Commit)][-1]
    assert (commit.offset, commit.note.deadline) == (10, 0)
    assert driver.partition.released


def test_one_that_leaves_with_an_insert_nobody_knows_of_keeps_its_lease_in_the_commit() -> None:
    driver = Driver().ready()
    insert = driver.one_batch_until(Insert)
    assert isinstance(insert, Insert)
    driver.partition.failed(Retryable("no answer", "timeout"), driver.now)
    driver.partition.leave(driver.now)
    driver.now += 1
    again = driver.until(Insert, driver.partition.tick(driver.now))
    assert isinstance(again, Insert)
    assert again.token == insert.token
    driver.until(None, driver.partition.answered(None, driver.now))
    commit = [o for o in driver.seen if isinstance(o, Commit)][-1]
    assert commit.note.deadline >= insert.deadline, "the first insert may still arrive"
    assert driver.partition.released


def test_a_commit_is_open_until_it_is_answered() -> None:
    driver = Driver().ready()
    driver.one_batch_until(WriteLedger)
    driver.until(Commit, driver.partition.answered(None, driver.now))
    assert driver.partition.commit_open
    driver.partition.failed(Retryable("no answer", "timeout"), driver.now)
    assert driver.partition.commit_open, "it may still be applied"
    driver.now += 1
    driver.until(Commit, driver.partition.tick(driver.now))
    driver.until(None, driver.partition.answered(None, driver.now))
    assert not driver.partition.commit_open


def test_a_commit_that_was_refused_is_not_open() -> None:
    driver = Driver().ready()
    driver.one_batch_until(WriteLedger)
    driver.until(Commit, driver.partition.answered(None, driver.now))
    driver.partition.failed(Fenced("another generation"), driver.now)
    assert not driver.partition.commit_open
