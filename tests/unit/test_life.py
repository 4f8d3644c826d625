"""Turns in a partition's life that the simulation found to be dangerous, each at its smallest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from consumer.core.buffer import Limits
from consumer.core.dedupe import SHARED
from consumer.core.effects import (
    Commit,
    Effect,
    Fill,
    Hydrate,
    Insert,
    Landed,
    Output,
    Quiet,
    ReadCommitted,
    ReadLog,
    ReadSink,
    Released,
    Retried,
    Seek,
    Sleep,
    StartedOver,
    Touched,
)
from consumer.core.errors import ConsumerError, Fenced, LeaseOver, Retryable, Stop
from consumer.core.lease import Note, Timing
from consumer.core.life import LOOKS_AT_A_SHORT_LEDGER
from consumer.core.months import Months
from consumer.core.partition import Partition
from consumer.core.position import Committed, Log, PassRange
from consumer.core.tenure import Setup
from consumer.sim.index import DictIndex
from consumer.sim.records import VALID, Event, Record, keys_of, make_run

NOW = 1_796_000_000.0
TIMING = Timing.of_session(45_000)


class World:
    """Answers every effect at once, with what `answers` says of it; time passes only while the partition sleeps."""

    def __init__(self, **answers: Any) -> None:
        setup = Setup("cluster", "g", TIMING, Limits(1, 10_000, 1.0), Months())
        index = DictIndex(100)
        self.partition = Partition(0, setup, index)
        self.now = NOW
        self.seen: list[Output] = []
        self.answers: dict[type[Effect], Any] = {
            ReadCommitted: Committed(None),
            Touched: False,
            Quiet: True,
            ReadSink: Landed([], []),
            ReadLog: Log("T", 0, 100),
        }
        self.answers.update({kind: answers[kind.__name__] for kind in self.answers if kind.__name__ in answers})
        self.intercept: Callable[[Effect], Any] = lambda _: None

    def start(self) -> World:
        return self.go(self.partition.start(self.now))

    def record(self, offset: int) -> World:
        event = Event(0, offset, 0, 1)
        record = Record(0, offset, VALID, event, int(NOW), int(NOW))
        return self.go(self.partition.records(make_run(offset, offset + 1, [record]), self.now))

    def go(self, outputs: list[Output]) -> World:
        """Until the partition wants records, is released, or has slept and wants nothing."""
        for _ in range(200):
            self.seen += outputs
            effect = next((o for o in outputs if isinstance(o, Effect)), None)
            if effect is not None:
                result = self.intercept(effect)
                outputs = self._give(self._answer(effect) if result is None else result)
            elif isinstance(self.partition.waiting, Sleep):
                self.now = self.partition.waiting.until
                outputs = self.partition.tick(self.now)
            else:
                assert self.partition.released or isinstance(self.partition.waiting, Fill)
                return self
        raise AssertionError("it never comes to rest")

    def _answer(self, effect: Effect) -> Any:
        if isinstance(effect, Hydrate):
            return [(scope, day, keys_of([])) for scope, day in effect.wanted]
        return self.answers.get(type(effect))

    def _give(self, result: Any) -> list[Output]:
        if isinstance(result, ConsumerError):
            assert isinstance(result, Retryable | LeaseOver | Fenced)
            return self.partition.failed(result, self.now)
        return self.partition.answered(result, self.now)

    def all(self, kind: type[Any]) -> list[Any]:
        return [o for o in self.seen if isinstance(o, kind)]


def note(deadline: int, topic: str = "T", number: int = 0) -> Note:
    return Note(topic_id=topic, group="g", pass_=number, deadline=deadline)


def once(kind: type[Effect], *results: Any) -> Callable[[Effect], Any]:
    """The first effects of this kind get these answers."""
    left = list(results)
    return lambda effect: left.pop(0) if left and isinstance(effect, kind) else None


# Waiting


def test_a_clean_stop_is_not_waited_for() -> None:
    assert World(ReadCommitted=Committed(5, note(0))).start().now == NOW


def test_a_lease_is_waited_for() -> None:
    world = World(ReadCommitted=Committed(5, note(int(NOW) + 9))).start()
    assert world.now == NOW + 9 + TIMING.margin


def test_nobody_is_waited_for_where_nobody_has_been() -> None:
    assert World().start().now == NOW


def test_offsets_set_by_hand_are_no_proof_that_nobody_has_been() -> None:
    """The first write of whoever was here may still be on its way."""
    world = World(ReadCommitted=Committed(5)).start()
    assert world.now == NOW + TIMING.lease + TIMING.margin


# The topic


def test_an_offset_read_of_the_topic_before_is_not_used_for_the_new_one() -> None:
    """Made anew while we waited for a lease: the offset was one of the old topic."""
    world = World(ReadLog=Log("new", 0, 100))
    world.answers[ReadCommitted] = Committed(None)
    log, committed = once(ReadLog, Log("old", 0, 100)), once(ReadCommitted, Committed(7))
    world.intercept = lambda effect: log(effect) or committed(effect)
    world.start()
    assert [fact.cause for fact in world.all(StartedOver)] == ["topic_changed"]
    assert world.partition.position == 0
    assert {(c.offset, c.note.topic_id) for c in world.all(Commit)} == {(0, "new")}


def test_one_that_leaves_while_the_topic_changes_does_not_commit_an_old_position_for_it() -> None:
    world = World().start()
    world.record(0).record(1)
    world.answers[ReadLog] = Log("new", 0, 100)

    def leave(effect: Effect) -> None:
        if isinstance(effect, ReadSink):
            world.seen += world.partition.leave(world.now)

    world.intercept = leave
    world.seen.clear()
    world.go(world.partition.out_of_range(world.now))
    assert world.partition.released
    assert all(commit.note.topic_id == "T" for commit in world.all(Commit))


def test_a_write_that_does_not_end_is_waited_for_and_said_now_and_then() -> None:
    world = World()
    world.intercept = lambda effect: False if isinstance(effect, Quiet) and world.now < NOW + 12 else None
    world.start()
    assert [(fact.step, fact.cause) for fact in world.all(Retried)] == [("quiet", "still_running")] * 3
    assert len(world.all(Quiet)) > 20
    assert world.all(Seek)


def test_a_ledger_that_ends_before_our_commit_is_read_again_and_then_ends_it() -> None:
    """A replica may be behind for a moment; rows that stay away are lost, and to go on would leave a hole."""
    world = World(ReadCommitted=Committed(50, note(0)), ReadSink=Landed([PassRange("T", "g", 0, 0, 40)], []))
    with pytest.raises(Stop, match="partition 0: the group has committed 50, but the ledger ends at 40"):
        world.start()
    assert [fact.cause for fact in world.all(StartedOver)] == ["ledger_behind"] * LOOKS_AT_A_SHORT_LEDGER
    assert not world.all(Seek)

    late = World(ReadCommitted=Committed(50, note(0)), ReadSink=Landed([PassRange("T", "g", 0, 0, 40)], []))

    def catches_up(effect: Effect) -> None:
        if isinstance(effect, ReadSink) and late.all(StartedOver):
            late.answers[ReadSink] = Landed([PassRange("T", "g", 0, 0, 50)], [])

    late.intercept = catches_up
    late.start()
    assert [seek.offset for seek in late.all(Seek)] == [50]


# Commits and leases


def test_wiped_offsets_are_committed_again_at_once() -> None:
    landed = Landed([PassRange("T", "g", 2, 0, 40)], [])
    world = World(ReadSink=landed, Touched=True).start()
    (commit,) = world.all(Commit)
    assert (commit.offset, commit.note.pass_) == (40, 2)


def test_an_offset_set_by_hand_gets_a_note_even_where_there_is_nothing_to_read() -> None:
    (commit,) = World(ReadCommitted=Committed(5)).start().all(Commit)
    assert (commit.offset, commit.note) == (5, note(0))


def test_a_commit_without_a_note_is_replaced_by_an_idle_owner() -> None:
    world = World(ReadCommitted=Committed(0, note(0))).start()
    world.answers[ReadCommitted] = Committed(0)
    world.now = world.partition.wake_at
    world.go(world.partition.tick(world.now))
    assert [c.offset for c in world.all(Commit)] == [0]


def test_a_lease_taken_back_is_gone_even_if_the_answer_says_otherwise() -> None:
    """D = 0 may have been applied: whoever reads it waits for nothing, so we must not write under the old lease."""
    world = World(ReadCommitted=Committed(0, note(0))).start()
    world.record(0)
    assert world.partition.lease_until > world.now
    world.answers[ReadCommitted] = Committed(1)  # somebody wiped the note: the owner commits again, with D = 0
    world.intercept = once(Commit, Retryable("no answer", "timeout"), Fenced("refused"))
    world.now = world.partition.wake_at
    world.answers[ReadSink] = Landed([PassRange("T", "g", 0, 0, 1)], [])
    world.go(world.partition.tick(world.now))
    assert "fenced" in [fact.cause for fact in world.all(StartedOver)]
    lease = world.all(Commit)[-1].note.deadline
    world.record(1)
    steps = [o for o in world.seen if isinstance(o, Commit | Insert | StartedOver)]
    began = max(i for i, step in enumerate(steps) if isinstance(step, StartedOver))
    insert = next(i for i, step in enumerate(steps) if i > began and isinstance(step, Insert))
    leases = [step for step in steps[began:insert] if isinstance(step, Commit)]
    landed = steps[insert]
    assert isinstance(landed, Insert)
    assert leases, f"an insert under {landed.deadline} that no commit after {lease} speaks of"
    assert leases[-1].note.deadline >= landed.deadline


def test_a_write_of_unknown_outcome_is_forgotten_once_its_deadline_is_past() -> None:
    world = World(ReadCommitted=Committed(0, note(0))).start()
    world.intercept = once(Insert, Retryable("no answer", "timeout"))
    world.record(0)
    assert not world.all(StartedOver), "the second try landed"
    world.answers[ReadCommitted] = Committed(1, note(0))
    world.now += TIMING.lease + TIMING.margin + 1
    world.go(world.partition.leave(world.now))
    assert world.all(Released) == [Released(clean=True)]
    assert world.all(Commit)[-1].note.deadline == 0


def test_until_then_no_commit_says_that_nothing_is_on_its_way() -> None:
    world = World(ReadCommitted=Committed(0, note(0))).start()
    world.intercept = once(Insert, Retryable("no answer", "timeout"))
    world.record(0)
    world.go(world.partition.leave(world.now))
    assert world.all(Released) == [Released(clean=False)]
    assert all(c.note.deadline for c in world.all(Commit)[-2:])


def test_reading_begins_where_the_seek_says() -> None:
    world = World(ReadLog=Log("T", 30, 100), ReadCommitted=Committed(10, note(0))).start()
    assert world.all(Seek) == [Seek(30)]
    assert world.partition.next_offset == 10, "what retention took is counted, not skipped"


# The index of other topic ids' rows


def test_what_the_old_topic_got_late_is_read_again() -> None:
    """Another partition had SHARED read for the new topic while our last batch of the old one was still landing."""
    world = World(ReadSink=Landed([PassRange("old", "g", 0, 0, 4)], []), Touched=True)
    index = world.partition._life._index
    index.shared_topic_id = "T"
    entries = index.to_hydrate(1, np.array([20_000]))
    for scope, day in entries:
        index.hydrate(scope, day, keys_of([]))
    assert not index.to_hydrate(1, np.array([20_000]))
    world.start()
    assert {scope for scope, _ in index.to_hydrate(1, np.array([20_000]))} == {SHARED}


def test_an_answer_of_before_is_not_taken_for_what_is_asked_again() -> None:
    world = World(ReadCommitted=Committed(0, note(0))).start()
    index = world.partition._life._index
    asked: list[Hydrate] = []

    def forget_meanwhile(effect: Effect) -> None:
        if isinstance(effect, Hydrate):
            asked.append(effect)
            if len(asked) == 1:  # as another partition's recovery does
                index.forget(SHARED)
                index.shared_version += 1

    world.intercept = forget_meanwhile
    world.record(0)
    assert len(asked) == 2
    assert {scope for scope, _ in asked[1].wanted} == {SHARED}
