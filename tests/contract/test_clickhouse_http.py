"""What only a real server has: connections that stall and answers that break off. The simulation knows requests that
come late or not at all; that a late one is refused is in test_sink, for both."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from consumer.adapters.clickhouse import TROUBLE
from consumer.core.effects import Hydrate, Insert
from consumer.core.errors import ConsumerError, LeaseOver, Retryable
from consumer.core.position import PassRange
from tests.contract.sinks import GROUP, TOPIC_ID, RealSink, ledger_row, rows_of, today
from tests.servers import ClickHouse, Proxy

pytestmark = pytest.mark.servers


@pytest.fixture
def proxy(clickhouse: ClickHouse) -> Iterator[Proxy]:
    port = int(clickhouse.url.rpartition(":")[2])
    with Proxy(port) as proxy:
        yield proxy


@pytest.fixture
def sink(clickhouse: ClickHouse, database: str, proxy: Proxy) -> Iterator[RealSink]:
    """Behind the proxy; its requests are given up after some seconds."""
    sink = RealSink(clickhouse, database, proxy.url, write_seconds=30.0)
    yield sink
    sink.close()


def _wait_until_over(sink: RealSink, deadline: int, clickhouse: ClickHouse) -> None:
    """By the server's clock, which is asked past the proxy."""
    while int(clickhouse.query("SELECT toUnixTimestamp(now())")) <= deadline + 1:
        time.sleep(0.1)


@pytest.mark.parametrize("bytes_let_through", [40, 1500, 8000], ids=["in the header", "at the body", "in the body"])
def test_a_stalled_insert_is_refused_once_its_deadline_is_over(
    sink: RealSink, proxy: Proxy, clickhouse: ClickHouse, bytes_let_through: int
) -> None:
    outcome: list[ConsumerError | None] = []
    deadline = int(sink.now()) + 2
    rows = rows_of(range(500), today(sink))

    def send() -> None:
        try:
            sink.store.insert(0, Insert(TOPIC_ID, [rows], 0, "token", deadline, (0, 500)))
            outcome.append(None)
        except ConsumerError as error:
            outcome.append(error)

    proxy.hold("up", bytes_let_through)
    thread = threading.Thread(target=send)
    thread.start()
    _wait_until_over(sink, deadline, clickhouse)
    assert not outcome, "it hangs"
    proxy.release()
    thread.join(60)
    assert isinstance(outcome[0], LeaseOver), outcome
    assert not sink.table()
    assert not sink.summary()


def test_a_running_insert_can_be_seen_by_its_partition(sink: RealSink, proxy: Proxy, clickhouse: ClickHouse) -> None:
    rows = rows_of(range(20_000), today(sink))
    deadline = int(sink.now()) + 600
    proxy.hold("up", 400_000)
    thread = threading.Thread(
        target=lambda: sink.store.insert(5, Insert(TOPIC_ID, [rows], 0, "token", deadline, (0, 20_000)))
    )
    thread.start()
    direct = RealSink(clickhouse, sink.database)
    try:
        give_up = time.monotonic() + 30
        while direct.store.quiet(5):
            assert time.monotonic() < give_up, "the server shows no insert"
            time.sleep(0.02)
        assert direct.store.quiet(4)
        proxy.release()
        thread.join(60)
        while not direct.store.quiet(5):  # the answer may come before the list of processes knows
            assert time.monotonic() < give_up, "the insert is shown for ever"
            time.sleep(0.02)
    finally:
        proxy.release()
        thread.join(60)
        direct.close()


@pytest.mark.parametrize("fault", ["cut", "reset"])
def test_an_answer_that_breaks_off_is_no_answer(sink: RealSink, proxy: Proxy, fault: str) -> None:
    """Wherever it does: in the first line, in the header (where Python's http.client takes it for the header's end),
    between two blocks."""
    day, count = today(sink), 3000
    sink.insert(0, range(count), "0-3000", day=day, deadline=sink.now() + 600)
    sink.write_ledger(ledger_row(0, 0, 0), sink.now() + 600)
    hydrate = Hydrate(TOPIC_ID, ((0, day),))
    broken = 0
    for after_bytes in (1, 16, 40, 120, 250, 330, 480, 700, 900, 1000, 1200, 9000, 30_000):
        getattr(proxy, fault)("down", after_bytes)
        for _ in range(2):  # on a kept-alive connection and on a new one
            try:
                assert len(sink.store.hydrate(0, hydrate)[0][2]) == count
            except Retryable:
                broken += 1
            try:
                landed = sink.landed(0)
            except Retryable:
                broken += 1
            else:
                assert landed.passes == [PassRange(TOPIC_ID, GROUP, 0, 0, 1)]
                assert len(landed.orphans) == count - 1
            try:
                assert sink.touched(0)
            except Retryable:
                broken += 1
        proxy.release()
    assert broken > 20
    assert len(sink.store.hydrate(0, hydrate)[0][2]) == count


def test_an_exception_behind_a_status_of_200_is_an_error(sink: RealSink) -> None:
    """The server has begun its answer when the query fails: nothing but the end of the body says so."""
    rows = 3_000_000
    sql = f"SELECT number, throwIf(number = {rows - 1}, 'late trouble') FROM numbers({rows})"
    settings = {"max_block_size": 1000, "http_response_buffer_size": 0, "wait_end_of_query": 0}
    reader = sink.store._reader
    with pytest.raises(TROUBLE):
        assert reader.query(sql, settings=settings).result_rows
    with pytest.raises(TROUBLE), reader.query_arrow_stream(sql, settings=settings) as blocks:
        assert sum(block.num_rows for block in blocks)
