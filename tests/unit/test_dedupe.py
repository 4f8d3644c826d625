"""The duplicate index: what is a duplicate, what has to be read from the table, what leaves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from consumer.core.batch import I64, ROWS_SCHEMA, Keys
from consumer.core.dedupe import DAY_OVERHEAD_BYTES, SHARED, KeyIndex, hash_keys, hash_rows

ATTEMPT, SUCCESS = 1, 2
DAY = 20_781
PLENTY = 1 << 30


def keys_of(*sessions: str, code: int = ATTEMPT) -> Keys:
    return hash_keys(pa.array(sessions, pa.string()), np.full(len(sessions), code, dtype=np.uint8))


def days_of(*days: int) -> I64:
    return np.array(days, dtype=np.int64)


def decide(
    index: KeyIndex, partition: int, keys: Keys, days: I64, table: dict[tuple[int, int], Keys] | None = None
) -> list[bool]:
    """A batch as far as the decision, with what the table holds by scope and day."""
    for scope, day in index.to_hydrate(partition, days):
        index.hydrate(scope, day, (table or {}).get((scope, day), keys[:0]))
    return list(index.duplicates(partition, keys, days))


def land(index: KeyIndex, partition: int, keys: Keys, days: I64) -> None:
    """A batch of which every payment is new."""
    assert decide(index, partition, keys, days) == [False] * len(keys)
    index.landed(partition, keys, days)


def test_a_copy_within_the_batch_is_a_duplicate_and_the_first_is_kept() -> None:
    days = days_of(DAY, DAY, DAY, DAY)
    assert decide(KeyIndex(PLENTY), 0, keys_of("a", "b", "a", "a"), days) == [False, False, True, True]


def test_within_a_batch_only_what_is_kept_has_duplicates() -> None:
    days = days_of(DAY, DAY + 1, DAY + 2, DAY + 3, DAY + 1)
    assert decide(KeyIndex(PLENTY), 0, keys_of(*"aaaaa"), days) == [False, True, False, True, True]


def test_days_out_of_order_are_judged_in_offset_order() -> None:
    days = days_of(DAY + 2, DAY, DAY + 1, DAY + 2)
    assert decide(KeyIndex(PLENTY), 0, keys_of(*"aaaa"), days) == [False, False, True, True]


def test_another_event_type_is_another_event() -> None:
    keys = np.concatenate((keys_of("a", code=ATTEMPT), keys_of("a", code=SUCCESS), keys_of("a", code=ATTEMPT)))
    assert decide(KeyIndex(PLENTY), 0, keys, days_of(DAY, DAY, DAY)) == [False, False, True]


@pytest.mark.parametrize(("apart", "duplicate"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_landed_row_counts_on_its_day_and_the_neighbours(apart: int, duplicate: bool) -> None:
    index = KeyIndex(PLENTY)
    land(index, 0, keys_of("a"), days_of(DAY))
    assert decide(index, 0, keys_of("a"), days_of(DAY + apart)) == [duplicate]


@pytest.mark.parametrize(("apart", "duplicate"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
@pytest.mark.parametrize("scope", [0, SHARED])
def test_a_hydrated_row_counts_on_its_day_and_the_neighbours(scope: int, apart: int, duplicate: bool) -> None:
    table = {(scope, DAY + apart): keys_of("a")}
    assert decide(KeyIndex(PLENTY), 0, keys_of("a"), days_of(DAY), table) == [duplicate]


def test_a_duplicate_of_a_landed_row_is_not_kept_and_so_has_no_duplicates_itself() -> None:
    index = KeyIndex(PLENTY)
    land(index, 0, keys_of("a"), days_of(DAY))
    assert decide(index, 0, keys_of("a", "a", "a"), days_of(DAY + 1, DAY + 2, DAY + 3)) == [True, False, True]


def test_rows_of_another_partition_are_its_own_and_shared_ones_everybodys() -> None:
    index = KeyIndex(PLENTY)
    land(index, 0, keys_of("a"), days_of(DAY))
    table = {(SHARED, DAY): keys_of("b")}
    index.forget(SHARED)
    assert decide(index, 1, keys_of("a", "b"), days_of(DAY, DAY), table) == [False, True]
    assert decide(index, 0, keys_of("a", "b"), days_of(DAY, DAY), table) == [True, True]


def test_asked_for_are_the_days_of_the_batch_and_their_neighbours_that_are_not_here() -> None:
    index = KeyIndex(PLENTY)
    asked = index.to_hydrate(3, days_of(DAY, DAY + 1, DAY))
    assert asked == [(scope, day) for scope in (3, SHARED) for day in range(DAY - 1, DAY + 3)]
    for scope, day in asked:
        index.hydrate(scope, day, keys_of())
    assert index.to_hydrate(3, days_of(DAY + 1, DAY + 2)) == [(3, DAY + 3), (SHARED, DAY + 3)]
    assert index.to_hydrate(4, days_of(DAY)) == [(4, day) for day in range(DAY - 1, DAY + 2)]


def test_an_empty_batch_asks_for_nothing() -> None:
    index = KeyIndex(PLENTY)
    assert index.to_hydrate(0, days_of()) == []
    assert list(index.duplicates(0, keys_of(), days_of())) == []
    index.landed(0, keys_of(), days_of())


def test_deciding_without_having_read_a_day_is_an_error() -> None:
    index = KeyIndex(PLENTY)
    index.to_hydrate(0, days_of(DAY))
    with pytest.raises(KeyError):
        index.duplicates(0, keys_of("a"), days_of(DAY))


def test_landed_rows_of_days_that_are_not_here_are_left_to_the_table() -> None:
    index = KeyIndex(PLENTY)
    index.landed(0, keys_of("a"), days_of(DAY))
    assert (index.keys, index.bytes) == (0, 0)
    assert decide(index, 0, keys_of("a"), days_of(DAY), {(0, DAY): keys_of("a")}) == [True]


def test_what_landed_meanwhile_is_not_taken_back_by_a_late_answer() -> None:
    index = KeyIndex(PLENTY)
    days = days_of(DAY)
    for scope, day in index.to_hydrate(0, days):
        index.hydrate(scope, day, keys_of())
    index.landed(0, keys_of("a"), days)
    index.to_hydrate(0, days)
    index.hydrate(0, DAY, keys_of("b"))
    assert list(index.duplicates(0, keys_of("a", "b"), days_of(DAY, DAY))) == [True, True]


def test_forgetting_drops_one_partition_and_its_days_are_asked_for_again() -> None:
    index = KeyIndex(PLENTY)
    for partition in (0, 1):
        land(index, partition, keys_of("a"), days_of(DAY))
    index.forget(0)
    assert index.to_hydrate(0, days_of(DAY)) == [(0, day) for day in range(DAY - 1, DAY + 2)]
    assert index.to_hydrate(1, days_of(DAY)) == []


def test_an_answer_for_a_forgotten_partition_is_dropped() -> None:
    index = KeyIndex(PLENTY)
    asked = index.to_hydrate(0, days_of(DAY))
    index.forget(0)
    for scope, day in asked:
        index.hydrate(scope, day, keys_of("a"))
    assert (index.keys, index.bytes) == (0, 0)
    assert index.to_hydrate(0, days_of(DAY)) == asked


def distinct(n: int, seed: int) -> Keys:
    return np.random.default_rng(seed).integers(1, 2**64, size=(n, 2), dtype=np.uint64)


def same_day(keys: Keys, day: int = DAY) -> I64:
    return np.full(len(keys), day, dtype=np.int64)


def test_memory_stays_under_the_budget_while_a_replay_walks_through_90_days() -> None:
    budget = 1_000_000
    index = KeyIndex(budget)
    for day in range(DAY, DAY + 90):
        keys = distinct(5_000, day)
        land(index, 0, keys, same_day(keys, day))
        assert index.bytes <= budget
    assert index.evictions > 50
    assert index.keys > 20_000  # and what fits is held


def test_the_least_recently_used_day_leaves_first() -> None:
    index = KeyIndex(PLENTY)
    for partition in (0, 1, 2):
        keys = distinct(1_000, partition)
        land(index, partition, keys, same_day(keys))
    land(index, 0, keys_of("a"), days_of(DAY))
    index.memory_bytes = index.bytes - 1
    land(index, 0, keys_of("b"), days_of(DAY))
    assert len(index.to_hydrate(1, days_of(DAY))) == 1  # the oldest of partition 1's three days
    assert index.to_hydrate(0, days_of(DAY)) == []
    assert index.to_hydrate(2, days_of(DAY)) == []
    assert index.evictions == 1


def test_days_in_use_stay_whatever_the_budget_is_and_leave_when_the_batch_has_landed() -> None:
    index = KeyIndex(0)
    keys = distinct(1_000, 1)
    assert decide(index, 0, keys, same_day(keys), {(0, DAY): keys}) == [True] * 1_000
    assert decide(index, 1, keys, same_day(keys)) == [False] * 1_000  # evicts nothing of 0's
    assert index.keys == 1_000
    index.landed(0, keys[:0], days_of())
    assert len(index.to_hydrate(0, days_of(DAY))) == 3
    assert index.to_hydrate(1, days_of(DAY)) == []
    index.landed(0, keys[:0], days_of())
    index.forget(1)
    assert (index.keys, index.bytes) == (0, 0)


def test_bytes_and_keys_are_those_of_the_days_held() -> None:
    index = KeyIndex(PLENTY)
    keys = distinct(10_000, 1)
    land(index, 0, keys, same_day(keys))
    assert index.keys == 10_000
    assert index.bytes == sum(held.nbytes + DAY_OVERHEAD_BYTES for held in index._days.values())
    assert 10_000 * 16 < index.bytes < 10_000 * 40
    index.forget(0)
    index.forget(SHARED)
    assert (index.keys, index.bytes) == (0, 0)


def test_an_empty_day_costs_almost_nothing() -> None:
    index = KeyIndex(PLENTY)
    index.to_hydrate(0, np.arange(DAY, DAY + 90))
    for day in range(DAY - 1, DAY + 91):
        index.hydrate(0, day, keys_of())
    assert index.bytes < 100_000


def test_hits_count_duplicates_of_the_table_and_of_the_batch() -> None:
    index = KeyIndex(PLENTY)
    land(index, 0, keys_of("a"), days_of(DAY))
    decide(index, 0, keys_of("a", "b", "b"), days_of(DAY, DAY, DAY))
    assert index.hits == 2


def test_payments_by_the_rows_schema_hash_like_rows_of_the_table() -> None:
    sessions = pa.array(["a", "b", "c"])
    codes = pa.array([0, 3, 1], pa.int8())
    columns = {name: pa.nulls(3, ROWS_SCHEMA.field(name).type) for name in ROWS_SCHEMA.names}
    columns["sessionId"] = sessions
    columns["eventType"] = pa.DictionaryArray.from_arrays(codes, ["attempt", "success", "error", "abandoned"])
    rows = pa.RecordBatch.from_pydict(columns)
    assert np.array_equal(hash_rows(rows), hash_keys(sessions, np.array([1, 4, 2], dtype=np.uint8)))
    assert np.array_equal(hash_rows(rows[1:]), hash_keys(sessions[1:], np.array([4, 2], dtype=np.uint8)))


def sequential(keys: Keys, days: I64) -> npt.NDArray[np.bool_]:
    """What a batch's own copies are, told one payment at a time."""
    kept: dict[tuple[int, int], set[int]] = {}
    dropped = []
    for (low, high), day in zip(keys.tolist(), days.tolist(), strict=True):
        mine = kept.setdefault((low, high), set())
        dropped.append(any(day + apart in mine for apart in (-1, 0, 1)))
        if not dropped[-1]:
            mine.add(day)
    return np.array(dropped, dtype=np.bool_)


@pytest.mark.parametrize("distinct_keys", [1, 10, 5_000])
@pytest.mark.parametrize("distinct_days", [1, 2, 7])
def test_a_large_batch_is_decided_as_if_one_by_one(distinct_keys: int, distinct_days: int) -> None:
    random = np.random.default_rng(distinct_keys * 10 + distinct_days)
    keys = distinct(distinct_keys, 5)[random.integers(0, distinct_keys, 20_000)]
    keys[:, 0] &= np.uint64(0xFFFFFFFFFFFFFF00)  # keys that share their low half
    days = DAY + random.integers(0, distinct_days, 20_000)
    assert decide(KeyIndex(PLENTY), 0, keys, days) == list(sequential(keys, days))
