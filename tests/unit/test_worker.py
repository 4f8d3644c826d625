"""The loop's own business: how it bounds memory without ever turning deaf."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from consumer import worker as module
from consumer.adapters.group import Fetched
from consumer.adapters.health import Health
from consumer.core.dedupe import KeyIndex
from consumer.performer import Answer, Ticket
from consumer.worker import Owned, Room, Watched, Worker


class Group:
    """Counts what the loop asks of it."""

    def __init__(self) -> None:
        self.polls: list[int] = []
        self.paused: set[int] = set()
        self.leaving = False
        self.sought: list[tuple[int, int]] = []

    def seek(self, partition: int, offset: int) -> None:
        self.sought.append((partition, offset))

    def leave_soon(self) -> None:
        self.leaving = True

    def poll(self, records_max: int, _timeout: float) -> dict[int, Any]:
        self.polls.append(records_max)
        return {}

    def pause(self, partitions: list[int]) -> None:
        self.paused |= set(partitions)

    def resume(self, partitions: list[int]) -> None:
        self.paused -= set(partitions)


def make(group: Group, **partitions: Any) -> Worker:
    worker = Worker(
        setup=cast("Any", None),
        index=KeyIndex(1 << 20),
        room=Room(bytes_max=1000, rows_max=10),
        clock=lambda: 0.0,
        telemetry=cast("Any", None),
        health=Health(60),
    )
    worker._group = cast("Any", group)
    worker._performer = cast("Any", SimpleNamespace(answers=lambda _timeout: []))
    worker._committer = cast("Any", SimpleNamespace(answers=list, send=lambda: None))
    for number, state in enumerate(partitions.values()):
        fields = {"buffered_bytes": 0, "buffered_rows": 0, "wake_at": float("inf"), "inflight": None, **state}
        worker._owned[number] = Owned(cast("Any", SimpleNamespace(**fields)), cast("Any", None))
    return worker


def test_a_full_loop_still_polls_because_commits_are_answered_by_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", 0.05)
    group = Group()
    worker = make(group, full={"reading": True, "full": True})
    worker._bound_memory()
    assert group.polls
    assert set(group.polls) == {1}, "no more than a record at a time while there is no room"
    assert group.paused == {0}


def test_a_partition_in_recovery_reads_nothing() -> None:
    group = Group()
    worker = make(group, recovering={"reading": False, "full": False}, reading={"reading": True, "full": False})
    worker._bound_memory()
    assert group.paused == {0}
    assert worker._owned[0].paused
    assert not worker._owned[1].paused


@pytest.mark.parametrize("unanswered", [True, False])
def test_who_gives_a_partition_away_with_an_unanswered_commit_leaves_the_group(unanswered: bool) -> None:
    """Or the commit might be applied after the new owner's own."""
    group = Group()
    worker = make(group, moving={"commit_open": unanswered, "released": False, "number": 0, "leave": lambda _now: []})
    worker._setup = cast("Any", SimpleNamespace(timing=SimpleNamespace(revoke=0.0)))
    worker._telemetry = cast("Any", SimpleNamespace(rebalanced=lambda: None, gone=lambda _number: None))
    worker.release([0])
    assert worker.owned == []
    assert group.leaving == unanswered


def test_a_look_that_hangs_is_not_begun_again_and_holds_up_no_other() -> None:
    begun: list[tuple[int, Any]] = []
    worker = make(Group(), reading={}, paused={})
    worker._owned[1].paused = True
    telemetry = SimpleNamespace(look=lambda *_: None, log_ends=lambda ends: begun.append((9, ends)))
    worker._telemetry = cast("Any", telemetry)
    worker._performer = cast(
        "Any", SimpleNamespace(background=lambda ticket, call: begun.append((ticket.epoch, call.args)))
    )
    worker._looks = (lambda _: None, lambda _: None)
    for _ in range(2):
        worker._watched_at = -100.0
        worker._look_around()
    assert begun == [(0, ([1],)), (1, ([1],))], "they are told which partitions nobody reads"
    worker._owned.clear()
    worker._watched(Answer(Ticket(-1, 0), Watched("id", {1: 70}), None))
    worker._watched_at = -100.0
    worker._look_around()
    assert begun[2:] == [(9, {1: 70}), (0, ([],))]


@pytest.mark.parametrize(
    ("offsets", "eof", "sought"),
    [
        (range(10), None, [(0, 50)]),
        ([48, 49], None, []),
        ([47, 48], None, [(0, 50)]),
        ([47, 48], 50, []),  # behind the last record is nothing but markers
    ],
)
def test_a_client_that_went_back_is_sent_forward(
    offsets: Sequence[int], eof: int | None, sought: list[tuple[int, int]]
) -> None:
    """Or it would read all of the log once more, and nobody would see more than a growing lag."""
    group, told = Group(), list[int]()
    worker = make(group, reading={"reading": True, "number": 0, "next_offset": 50})
    worker._owned[0].paused = True
    worker._telemetry = cast("Any", SimpleNamespace(went_back=lambda _partition, offset: told.append(offset)))
    messages = [cast("Any", SimpleNamespace(offset=lambda at=at: at)) for at in offsets]
    worker._take({0: Fetched(messages, eof)})
    assert group.sought == sought
    assert told == [offsets[-1]] * len(sought)
    assert worker._owned[0].paused == (not sought)
