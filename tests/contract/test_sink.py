"""What the delivery protocol takes for granted of the sink, held against the simulation's store and a real server."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import pytest

from consumer.core.effects import Orphan
from consumer.core.errors import ConsumerError, LeaseOver, Retryable
from consumer.core.position import PassRange
from tests.contract.sinks import GROUP, TOPIC_ID, FakeSink, Sink, Where, ledger_row, today

HOUR = 3600


def places(partition: int, offsets: Iterable[int]) -> Counter[Where]:
    return Counter((partition, offset) for offset in offsets)


def insert(sink: Sink, partition: int, offsets: Iterable[int], token: str, *, days_ago: int = 1) -> None:
    sink.insert(partition, offsets, token, day=today(sink) - days_ago, deadline=sink.now() + HOUR)


def agree(sink: Sink) -> bool:
    """The summary counts what the table has."""
    rows: Counter[int] = Counter()
    for (partition, _), count in sink.table().items():
        rows[partition] += count
    return rows == sink.summary()


def test_a_token_drops_a_block_that_is_sent_again_in_table_and_view(sink: Sink) -> None:
    for _ in range(3):
        insert(sink, 0, range(5), "0-5")
    assert sink.table() == places(0, range(5))
    assert agree(sink)


def test_another_token_is_another_block(sink: Sink) -> None:
    insert(sink, 0, [7], "one")
    insert(sink, 0, [7], "two")
    assert sink.table() == Counter({(0, 7): 2})
    assert agree(sink)


def test_a_block_whose_view_threw_is_completed_under_its_token(sink: Sink) -> None:
    sink.break_view()
    for _ in range(2):
        with pytest.raises(ConsumerError):
            insert(sink, 0, range(5), "0-5")
        assert sink.table() == places(0, range(5)), "the table's part has landed, once"
        assert not sink.summary()
    sink.repair_view()
    insert(sink, 0, range(5), "0-5")
    assert sink.table() == places(0, range(5))
    assert agree(sink)


def test_months_of_a_batch_land_apart(sink: Sink) -> None:
    insert(sink, 0, [0, 2], "0-4/month before", days_ago=40)
    assert [o.offset for o in sink.landed(0).orphans] == [0, 2], "a crash here leaves half a batch"
    insert(sink, 0, [1, 3], "0-4/this month")
    insert(sink, 0, [0, 2], "0-4/month before", days_ago=40)
    assert sink.table() == places(0, range(4))
    assert agree(sink)


def test_tokens_beyond_the_window_are_forgotten(sink: Sink) -> None:
    sink.remember(3)
    for number in range(5):
        insert(sink, 0, [number], str(number))
    insert(sink, 0, [4], "4")
    assert sink.table() == places(0, range(5)), "the last is remembered"
    insert(sink, 0, [0], "0")
    assert sink.table()[0, 0] == 2, "the first is not"
    assert agree(sink)


def test_the_same_block_sent_by_many_at_once_lands_once(sink: Sink) -> None:
    failed: list[ConsumerError] = []

    def send() -> None:
        try:
            insert(sink, 0, range(50), "0-50")
        except ConsumerError as error:
            failed.append(error)

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(error, Retryable) for error in failed), failed
    insert(sink, 0, range(50), "0-50")
    assert sink.table() == places(0, range(50))
    assert agree(sink)


def test_a_write_after_its_deadline_is_refused(sink: Sink) -> None:
    late = sink.now() - 2
    with pytest.raises(LeaseOver):
        sink.insert(0, range(5), "0-5", day=today(sink), deadline=late)
    with pytest.raises(LeaseOver):
        sink.write_ledger(ledger_row(0, 0, 4), late)
    assert not sink.table()
    assert not sink.summary()
    assert not sink.landed(0).passes
    insert(sink, 0, range(5), "0-5")
    assert sink.table() == places(0, range(5)), "a refusal leaves no token behind"


def test_a_mending_after_its_deadline_is_refused(sink: Sink) -> None:
    sink.break_view()
    with pytest.raises(ConsumerError):
        insert(sink, 0, range(5), "0-5")
    sink.repair_view()
    with pytest.raises(LeaseOver):
        sink.mend(0, None, sink.now() - 2)
    assert not sink.summary()


def test_a_ledger_row_written_twice_reads_once(sink: Sink) -> None:
    for _ in range(2):
        sink.write_ledger(ledger_row(3, 0, 9), sink.now() + HOUR)
    sink.write_ledger(ledger_row(3, 10, 19), sink.now() + HOUR)
    assert list(sink.landed(3).passes) == [PassRange(TOPIC_ID, GROUP, 0, 0, 20)]
    assert not sink.landed(2).passes


def test_orphans_are_the_rows_that_no_ledger_row_covers(sink: Sink) -> None:
    insert(sink, 0, range(10), "0-10")
    insert(sink, 1, range(10), "another partition")
    sink.write_ledger(ledger_row(0, 0, 3), sink.now() + HOUR)
    sink.write_ledger(ledger_row(0, 6, 7), sink.now() + HOUR)
    day = (today(sink) - 1) * 86_400
    assert list(sink.landed(0).orphans) == [Orphan(TOPIC_ID, o, day + o) for o in (4, 5, 8, 9)]


def test_touched_tells_whether_anybody_was_there(sink: Sink) -> None:
    insert(sink, 0, [0], "0-1")
    sink.write_ledger(ledger_row(1, 0, 0), sink.now() + HOUR)
    assert [sink.touched(partition) for partition in range(3)] == [True, True, False]


def test_mending_adds_what_is_missing_and_nothing_twice(sink: Sink) -> None:
    insert(sink, 0, range(3), "0-3")
    sink.break_view()
    with pytest.raises(ConsumerError):
        insert(sink, 0, range(3, 8), "3-8")
    sink.repair_view()
    assert not agree(sink)
    for _ in range(2):
        sink.mend(0, [today(sink) - 1], sink.now() + HOUR)
        assert agree(sink)


def test_a_partition_is_mended_while_others_insert(sink: Sink) -> None:
    sink.break_view()
    with pytest.raises(ConsumerError):
        insert(sink, 0, range(5), "0-5")
    sink.repair_view()
    stopping = threading.Event()
    done: Counter[int] = Counter()
    # The fake does one thing at a time, as the simulation asks it to.
    turn: AbstractContextManager[object] = threading.Lock() if isinstance(sink, FakeSink) else nullcontext()

    def work(partition: int) -> None:
        while not stopping.is_set():
            offset = done[partition]
            with turn:
                insert(sink, partition, range(offset, offset + 5), f"{partition}/{offset}")
            done[partition] += 5

    threads = [threading.Thread(target=work, args=(partition,)) for partition in (1, 2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            with turn:
                sink.mend(0, None, sink.now() + HOUR)
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    assert sink.summary() == Counter({0: 5, 1: done[1], 2: done[2]}) & Counter(dict.fromkeys(range(3), 1 << 60))
    assert agree(sink)
