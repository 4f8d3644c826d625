"""Processes that go and come back, under load: what they wait for, what moves, and what survives an operator's ALTER."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.chaos.conftest import OpenStage
from tests.chaos.member import Member, until
from tests.chaos.stage import PARTITIONS, Stage
from tests.chaos.verify import verify

pytestmark = [pytest.mark.slow, pytest.mark.chaos]

SESSION_MS = 45_000
"""The default, and longer than a process takes to start on a busy machine."""


@pytest.fixture(scope="module")
def stage(open_stage: OpenStage) -> Iterator[Stage]:
    """Three members under load. In the end everything has to be in its place."""
    with open_stage(session_ms=SESSION_MS) as stage:
        for number in range(3):
            stage.add_member(f"m{number}", static=True).start()
        stage.start_traffic(seed=5, per_second=200)
        until("every member has a share", lambda: all(m.partitions() for m in stage.members), 60)
        stage.wait_until_landing(range(PARTITIONS), 60)
        yield stage
        stage.stop_traffic()
        stage.wait_until_caught_up(60)
        findings, _ = verify(stage)
        assert not findings


def recoveries(member: Member) -> Counter[str]:
    """Of its last process, by kind."""
    life = member.lives
    return Counter(
        line.fields["kind"] for line in member.said() if line.life == life and line.event == "partition ready"
    )


def stop_and_start(member: Member) -> None:
    partitions = member.partitions()
    member.terminate()
    assert member.wait(30) == 0
    member.start()
    until(f"{member.name} has its share again", lambda: recoveries(member).total() == len(partitions), 60)
    assert member.partitions() == partitions


def test_a_restart_after_a_clean_stop_waits_for_nothing(stage: Stage) -> None:
    member = stage.members[0]
    count = len(member.partitions())
    stop_and_start(member)
    assert recoveries(member) == {"clean": count}


def test_a_rolling_restart_moves_nothing(stage: Stage) -> None:
    lives = {member.name: member.lives for member in stage.members}
    for member in stage.members:
        stop_and_start(member)
    stage.wait_until_landing(range(PARTITIONS), 60)
    moves: Counter[int] = Counter()
    for member in stage.members:
        assert recoveries(member).keys() == {"clean"}
        moves.update(
            line.fields["partition"]
            for line in member.said()
            if line.life == lives[member.name] + 1 and line.event == "partition assigned"
        )
    # Each came back to whom it was with, so each was assigned once: to its member's new process.
    assert moves == dict.fromkeys(range(PARTITIONS), 1)


def test_a_kill_and_a_restart_with_the_tokens_forgotten_in_between(stage: Stage) -> None:
    member = stage.members[1]
    partitions = member.partitions()
    member.arm("after_insert:kill")
    assert member.wait(60) == -9
    stage.empty_deduplication_windows()
    member.start()
    stage.wait_until_landing(partitions, 90)
    assert recoveries(member)["orphans"] >= 1
