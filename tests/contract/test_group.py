"""What the delivery protocol takes for granted of a group's commits, held against the simulation's coordinator and a
real one."""

from __future__ import annotations

import pytest

from consumer.core.errors import Fenced, Stop
from tests.contract.groups import Coordinator


def test_there_is_no_offset_before_a_commit(coordinator: Coordinator) -> None:
    coordinator.join()
    coordinator.settle()
    assert coordinator.committed() is None


def test_metadata_is_kept_beside_the_offset_and_survives_the_member(coordinator: Coordinator) -> None:
    member = coordinator.join()
    coordinator.settle()
    member.commit(5, '{"v":1,"d":7}')
    assert coordinator.committed() == (5, '{"v":1,"d":7}')
    member.leave()
    assert coordinator.committed() == (5, '{"v":1,"d":7}')


def test_a_commit_may_go_back(coordinator: Coordinator) -> None:
    member = coordinator.join()
    coordinator.settle()
    member.commit(5, "later")
    member.commit(2, "earlier")
    assert coordinator.committed() == (2, "earlier")


def test_an_operators_reset_wipes_the_metadata(coordinator: Coordinator) -> None:
    member = coordinator.join()
    coordinator.settle()
    member.commit(5, "note")
    member.leave()
    coordinator.reset(3)
    assert coordinator.committed() == (3, "")


@pytest.mark.parametrize("characters", [4000, 4095])
def test_metadata_up_to_the_brokers_limit_is_taken(coordinator: Coordinator, characters: int) -> None:
    member = coordinator.join()
    coordinator.settle()
    member.commit(5, "x" * characters)
    assert coordinator.committed() == (5, "x" * characters)


def test_metadata_beyond_the_brokers_limit_is_refused_with_its_commit(coordinator: Coordinator) -> None:
    member = coordinator.join()
    coordinator.settle()
    with pytest.raises(Stop):
        member.commit(5, "x" * 4096)
    assert coordinator.committed() is None


def test_a_member_that_owns_nothing_can_commit_all_the_same(coordinator: Coordinator) -> None:
    members = [coordinator.join(), coordinator.join()]
    coordinator.settle()
    (owner,) = (member for member in members if member.owns)
    (idle,) = (member for member in members if not member.owns)
    owner.commit(9, "owner")
    idle.commit(4, "idle")
    assert coordinator.committed() == (4, "idle"), "the broker fences members, not partitions"


def test_a_member_that_missed_a_rebalance_is_refused(coordinator: Coordinator) -> None:
    stale = coordinator.join()
    coordinator.settle()
    stale.commit(3, "in time")
    stale.silent = True
    fresh = coordinator.join()
    coordinator.settle()
    assert fresh.owns
    fresh.commit(8, "fresh")
    with pytest.raises(Fenced):
        stale.commit(4, "stale")
    assert coordinator.committed() == (8, "fresh")
