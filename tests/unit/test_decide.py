"""How a batch spends its records, whatever the broker hands out: new, known, overlapping, older, with holes."""

from __future__ import annotations

import numpy as np
import pytest

from consumer.core.batch import SECONDS_A_DAY, Batch
from consumer.core.decide import KEPT_DAYS, days_to_know, decide
from consumer.core.months import Months
from consumer.sim.index import DictIndex
from consumer.sim.records import FOREIGN, REJECT, VALID, Event, Record, SimRows, make_run

TODAY = 20_788
NOON = TODAY * SECONDS_A_DAY + SECONDS_A_DAY // 2


def record(offset: int, key: int | None = None, kind: str = VALID, day: int = TODAY) -> Record:
    event = Event(0, offset if key is None else key, day, 1) if kind == VALID else None
    return Record(0, offset, kind, event, NOON + (day - TODAY) * SECONDS_A_DAY, NOON)


def spend(
    *runs: tuple[int, int, list[Record]], known: tuple[tuple[int, int], ...] = (), orphans: dict[int, int] | None = None
) -> Batch:
    """`known` are (key, day) of landed rows."""
    made = [make_run(*run) for run in runs]
    index = DictIndex(1000)
    for scope, day in index.to_hydrate(0, days_to_know(made, TODAY)):
        keys = np.array([[k, k] for k, d in known if (scope, d) == (0, day)], np.uint64).reshape(-1, 2)
        index.hydrate(scope, day, keys)
    return decide(made, partition=0, index=index, orphans=orphans or {}, today=TODAY, months_of=Months())


def offsets(batch: Batch) -> list[int]:
    return [r.offset for _, rows in batch.months for part in rows for r in part.records]


def check_spent(batch: Batch) -> None:
    spent = batch.inserted + batch.duplicates + batch.rejected + batch.ignored + batch.expired + batch.missing
    assert spent == batch.end - batch.first


def test_all_new() -> None:
    batch = spend((0, 3, [record(0), record(1), record(2)]))
    assert offsets(batch) == [0, 1, 2]
    assert (batch.inserted, batch.missing) == (3, 0)
    check_spent(batch)


def test_every_record_read_tells_its_time_whatever_it_is() -> None:
    batch = spend((0, 2, [record(0), record(1, kind=REJECT)]), (2, 5, []), (5, 6, [record(5, kind=FOREIGN)]))
    assert batch.times_ms.tolist() == [NOON * 1000] * 3
    assert batch.oldest_ms == NOON * 1000


def test_the_same_again() -> None:
    """What landed is a duplicate of itself; the range still gets its ledger row."""
    batch = spend((0, 2, [record(0), record(1)]), known=((0, TODAY), (1, TODAY)))
    assert batch.months == []
    assert (batch.duplicates, batch.min_timestamp) == (2, 0)
    check_spent(batch)


@pytest.mark.parametrize("landed", [{0, 1}, {2, 3}, {1, 2}])
def test_a_part_of_it_landed_before(landed: set[int]) -> None:
    """Contained at its start, its end, in the middle: the rest is inserted, under another token."""
    records = [record(offset) for offset in range(4)]
    whole = spend((0, 4, records))
    batch = spend((0, 4, records), known=tuple((key, TODAY) for key in landed))
    assert set(offsets(batch)) == {0, 1, 2, 3} - landed
    assert batch.digest != whole.digest
    check_spent(batch)


def test_orphans_count_as_inserted_not_as_duplicates() -> None:
    records = [record(offset) for offset in range(4)]
    batch = spend((0, 4, records), known=((1, TODAY), (2, TODAY)), orphans={1: NOON, 2: NOON})
    assert offsets(batch) == [0, 3]
    assert (batch.inserted, batch.duplicates) == (4, 0)
    check_spent(batch)


def test_an_orphan_that_the_log_no_longer_shows_is_not_missing() -> None:
    batch = spend((0, 4, [record(0), record(3)]), orphans={1: NOON - 5})
    assert (batch.inserted, batch.missing) == (3, 1)
    assert batch.min_timestamp == NOON - 5
    check_spent(batch)


def test_orphans_beyond_the_batch_wait() -> None:
    batch = spend((0, 1, [record(0)]), orphans={7: NOON})
    assert batch.inserted == 1


def test_an_orphan_keeps_its_copies_out() -> None:
    batch = spend((0, 2, [record(0, key=5), record(1, key=5)]), known=((5, TODAY),), orphans={0: NOON})
    assert (offsets(batch), batch.inserted, batch.duplicates) == ([], 1, 1)
    check_spent(batch)


def test_holes_are_missing() -> None:
    """Before, between and after the records: compacted, aged out, control records."""
    batch = spend((10, 20, [record(12), record(15)]), (20, 22, []))
    assert (batch.first, batch.end, batch.inserted, batch.missing) == (10, 22, 2, 10)
    check_spent(batch)


def test_a_range_without_any_record() -> None:
    batch = spend((5, 9, []))
    assert (batch.missing, batch.months, batch.oldest_ms) == (4, [], 0)
    check_spent(batch)


def test_copies_within_a_batch_across_runs() -> None:
    batch = spend((0, 1, [record(0, key=5)]), (1, 3, [record(1, key=5), record(2, key=6)]))
    assert (offsets(batch), batch.duplicates) == ([0, 2], 1)


def test_neighbour_days_are_copies_days_farther_are_not() -> None:
    known = ((5, TODAY - 3),)
    batch = spend((0, 2, [record(0, key=5, day=TODAY - 2), record(1, key=5, day=TODAY)]), known=known)
    assert (offsets(batch), batch.duplicates) == ([1], 1)


def test_older_records_expire_at_the_day() -> None:
    batch = spend((0, 2, [record(0, day=TODAY - KEPT_DAYS), record(1, day=TODAY - KEPT_DAYS - 1)]))
    assert (offsets(batch), batch.expired) == ([0], 1)
    check_spent(batch)


def test_an_expired_orphan_counts_as_inserted() -> None:
    old = TODAY - KEPT_DAYS - 1
    batch = spend((0, 1, [record(0, day=old)]), orphans={0: NOON})
    assert (batch.inserted, batch.expired) == (1, 0)
    check_spent(batch)


def test_rejects_and_strangers() -> None:
    batch = spend((0, 3, [record(0, kind=REJECT), record(1, kind=FOREIGN), record(2)]))
    assert (batch.rejected, batch.ignored, batch.inserted) == (1, 1, 1)
    assert [letter.offset for letter in batch.letters] == [0]
    check_spent(batch)


def test_one_insert_a_month() -> None:
    batch = spend((0, 3, [record(0), record(1, day=TODAY - 40), record(2)]))
    assert [month for month, _ in batch.months] == [202610, 202612]
    assert all(isinstance(part, SimRows) for _, parts in batch.months for part in parts)
    assert sorted(offsets(batch)) == [0, 1, 2]
