"""Rows without a ledger row: what is mended, what is closed, what is left to reading on."""

from __future__ import annotations

from consumer.core.batch import SECONDS_A_DAY
from consumer.core.effects import Landed, Orphan
from consumer.core.position import PassRange, Place
from consumer.core.recovery import beside_closed, closing_rows, days_to_mend, is_reread, unread_orphans

DAY = 20_000


def orphan(offset: int, topic: str = "T", day: int = DAY) -> Orphan:
    return Orphan(topic, offset, day * SECONDS_A_DAY + offset)


def landed(*orphans: Orphan, passes: tuple[PassRange, ...] = ()) -> Landed:
    return Landed(passes, orphans)


def ledger(first: int, end: int, number: int = 0, topic: str = "T", group: str = "g") -> PassRange:
    return PassRange(topic, group, number, first, end)


# What to mend


def test_a_clean_stop_needs_no_mending() -> None:
    known = landed(passes=(ledger(0, 50),))
    assert days_to_mend(known, "T", clean=True, reread=True, moved=True) == {}


def test_orphans_days_are_mended_by_topic() -> None:
    known = landed(orphan(1), orphan(2, day=DAY + 1), orphan(3), orphan(9, topic="old"))
    mend = days_to_mend(known, "T", clean=False, reread=False, moved=False)
    assert mend == {"T": (DAY, DAY + 1), "old": (DAY,)}


def test_in_a_reread_all_days_are_mended() -> None:
    mend = days_to_mend(landed(orphan(1)), "T", clean=False, reread=True, moved=False)
    assert mend == {"T": None}


def test_when_the_offsets_were_moved_all_that_is_known_is_mended() -> None:
    """The pass that broke off may have been a re-read, and nothing says which."""
    known = landed(orphan(7, topic="older"), passes=(ledger(0, 50), ledger(0, 9, topic="old")))
    mend = days_to_mend(known, "T", clean=False, reread=False, moved=True)
    assert mend == {"T": None, "old": None, "older": None}


def test_rereads_are_seen_whatever_pass_or_group_was_there() -> None:
    assert is_reread(Place(10, 1), [ledger(0, 50, group="other")], "T")
    assert not is_reread(Place(50, 0), [ledger(0, 50)], "T")
    assert not is_reread(Place(10, 0), [ledger(0, 50, topic="old")], "T")


# What reading on comes across


def test_orphans_ahead_are_left_to_reading_on() -> None:
    known = [orphan(4), orphan(5), orphan(6, topic="old")]
    assert list(unread_orphans(known, "T", Place(5, 0))) == [5]
    assert [r.topic_id for r in closing_rows(landed(*known), "T", 0, "g", Place(5, 0))] == ["T", "old"]


def test_orphans_of_a_log_that_was_cut_are_closed() -> None:
    """Their offsets may mean other records by now, which must not pass for landed."""
    place = Place(0, 1, beyond_log=True)
    known = landed(orphan(50), passes=(ledger(0, 50),))
    assert unread_orphans(known.orphans, "T", place) == {}
    (row,) = closing_rows(known, "T", 0, "g", place)
    assert (row.number, row.first, row.last, row.inserted) == (0, 50, 50, 1)


# Closing rows


def test_a_closing_row_goes_on_where_its_pass_broke_off() -> None:
    known = landed(orphan(22), orphan(24), passes=(ledger(0, 20),))
    (row,) = closing_rows(known, "T", 3, "g", Place(90, 1))
    assert (row.partition, row.number, row.first, row.last) == (3, 0, 20, 24)
    assert (row.inserted, row.missing) == (2, 3)
    assert (row.min_timestamp, row.max_timestamp) == (orphan(22).seconds, orphan(24).seconds)


def test_a_closing_row_joins_the_pass_that_reached_nearest() -> None:
    """Not the latest: that one may be a re-read far behind."""
    known = landed(orphan(100), passes=(ledger(0, 100), ledger(20, 40, number=1)))
    (row,) = closing_rows(known, "T", 0, "g", Place(200, 2))
    assert (row.number, row.first, row.last) == (0, 100, 100)


def test_a_closing_row_before_all_passes_is_a_pass_of_its_own() -> None:
    known = landed(orphan(5), passes=(ledger(40, 60, number=3),))
    (row,) = closing_rows(known, "T", 0, "g", Place(60, 3))
    assert (row.number, row.first, row.last) == (4, 5, 5)


def test_reading_goes_on_beside_a_closed_first_pass() -> None:
    """A crash in the very first batch, then a reset forward: both would be pass 0."""
    known = landed(orphan(0), orphan(2))
    place = Place(7, 0)
    closing = closing_rows(known, "T", 0, "g", place)
    assert [(r.number, r.first, r.last) for r in closing] == [(0, 0, 2)]
    assert beside_closed(place, known.passes, closing, "T").number == 1


def test_reading_goes_on_in_a_pass_that_was_closed_up_to_it() -> None:
    known = landed(orphan(20), passes=(ledger(0, 20),))
    place = Place(21, 0)
    assert beside_closed(place, known.passes, closing_rows(known, "T", 0, "g", place), "T") == place


def test_closing_an_older_topic_does_not_concern_the_pass() -> None:
    known = landed(orphan(3, topic="old"))
    place = Place(0, 0)
    assert beside_closed(place, known.passes, closing_rows(known, "T", 0, "g", place), "T") == place
