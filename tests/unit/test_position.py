"""Where to go on reading: the situations that other exactly-once sinks test, in our terms."""

from __future__ import annotations

import pytest

from consumer.core.lease import Note
from consumer.core.position import Committed, Log, PassRange, Place, locate

LOG = Log("T", 0, 100)


def ours(offset: int, number: int = 0, topic: str = "T", group: str = "g") -> Committed:
    return Committed(offset, Note(topic_id=topic, group=group, pass_=number, deadline=5))


def by_hand(offset: int) -> Committed:
    return Committed(offset)


def ledger(first: int, end: int, number: int = 0, topic: str = "T", group: str = "g") -> PassRange:
    return PassRange(topic, group, number, first, end)


def place(committed: Committed, *passes: PassRange, log: Log = LOG) -> tuple[int, int]:
    found = locate(committed, "g", passes, log)
    return found.offset, found.number


# The commit speaks of this topic and group.


def test_all_new() -> None:
    assert place(Committed(None)) == (0, 0)
    assert place(Committed(None), log=Log("T", 30, 100)) == (30, 0), "offsets below 30 are gone"


def test_the_same_again() -> None:
    """The commit of a batch that landed was lost: it is not read again."""
    assert place(ours(10), ledger(0, 20)) == (20, 0)


def test_nothing_between_commit_and_ledger() -> None:
    found = locate(ours(20), "g", [ledger(0, 20)], LOG)
    assert found == Place(20, 0)


def test_a_commit_ahead_of_the_ledger_is_believed() -> None:
    """Retention or an empty range: the ledger of a pass may have no row yet."""
    assert place(ours(20)) == (20, 0)


def test_a_commit_ahead_of_its_ledger_ends_it() -> None:
    """A restored backup, a power failure: to go on from there would leave a hole, and to go back is for people to say."""
    found = locate(ours(30), "g", [ledger(0, 20)], LOG)
    assert (found.offset, found.lost) == (20, True)
    assert "reset the group to 20 to read it again" in found.why
    assert place(by_hand(20), ledger(0, 20)) == (20, 0), "what that reset does"
    assert place(by_hand(30), ledger(0, 20)) == (30, 1)
    assert not locate(ours(20), "g", [ledger(0, 20)], LOG).lost


def test_a_rewound_commit_of_ours_harms_nothing() -> None:
    assert place(ours(3), ledger(0, 20)) == (20, 0)


def test_passes_do_not_borrow_each_others_ends() -> None:
    """In a re-read the older pass reaches further; that is no progress of this one."""
    assert place(ours(5, number=1), ledger(0, 50), ledger(0, 8, number=1)) == (8, 1)
    assert place(ours(5, number=1), ledger(0, 50)) == (5, 1)


# An operator moved the offsets: no note.


@pytest.mark.parametrize("offset", [0, 7, 19, 21, 60])
def test_an_offset_set_by_hand_is_a_new_pass(offset: int) -> None:
    """Contained before, overlapping, after: back or forward, it is read again or gone past as told."""
    assert place(by_hand(offset), ledger(0, 20)) == (offset, 1)


def test_an_offset_set_to_where_we_are_is_no_new_pass() -> None:
    assert place(by_hand(20), ledger(0, 20)) == (20, 0)


def test_only_the_highest_pass_counts() -> None:
    assert place(by_hand(50), ledger(0, 50), ledger(0, 8, number=1)) == (50, 2)


def test_an_offset_set_before_the_first_start() -> None:
    assert place(by_hand(40)) == (40, 0)


def test_wiped_offsets_go_on_at_the_ledgers_end() -> None:
    assert place(Committed(None), ledger(0, 20)) == (20, 0)
    assert place(Committed(None), ledger(0, 50), ledger(0, 8, number=1)) == (8, 1)


# Other groups.


def test_another_group_reads_from_the_start() -> None:
    assert place(Committed(None), ledger(0, 50, group="other")) == (0, 0)


def test_a_note_copied_from_another_group_is_an_offset_set_by_hand() -> None:
    assert place(ours(30, number=4, group="other"), ledger(0, 20)) == (30, 1)


# The topic was deleted and made again.


def test_deleted_topic_offsets_gone() -> None:
    assert place(Committed(None), ledger(0, 50, topic="old")) == (0, 0)


def test_deleted_topic_offsets_kept_by_name() -> None:
    assert place(by_hand(50), ledger(0, 50, topic="old")) == (0, 0)
    assert place(ours(50, topic="old"), ledger(0, 50, topic="old")) == (0, 0)
    assert place(ours(50, topic="old")) == (0, 0), "the note alone tells"


def test_deleted_topic_known_by_its_orphans_only() -> None:
    found = locate(by_hand(1), "g", [], LOG, orphan_topics={"old"})
    assert (found.offset, found.number) == (0, 0)


def test_a_late_commit_of_the_old_topic_does_not_move_the_new_one() -> None:
    assert place(ours(70, topic="old"), ledger(0, 90, topic="old"), ledger(0, 20)) == (20, 0)


def test_a_reset_on_the_new_topic_is_heard() -> None:
    assert place(by_hand(10), ledger(0, 90, topic="old"), ledger(0, 20)) == (10, 1)


# The log.


def test_a_log_that_ends_before_us_is_read_again_from_its_start() -> None:
    found = locate(ours(200), "g", [ledger(0, 200)], Log("T", 3, 100))
    assert found.beyond_log
    assert (found.offset, found.number) == (3, 1)
    assert not locate(ours(100), "g", [ledger(0, 100)], LOG).beyond_log, "its very end is where we belong"


def test_a_log_that_starts_behind_us_keeps_the_position() -> None:
    """What retention took is counted as missing by the batch that spans it."""
    assert place(ours(10), log=Log("T", 40, 100)) == (10, 0)
