"""The summary is what the events say at every moment; the specification's own is not."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from consumer.adapters.store import Store
from consumer.core.errors import LeaseOver
from consumer.operate.audit import audit
from consumer.operate.summary import first_whole_day, mend_sql
from consumer.settings import ClickHouseSettings
from tests.integration.blocks import block, send
from tests.integration.specification import DDL, QUERIES, literal
from tests.integration.warehouse import DAY, Warehouse, noon
from tests.servers import ClickHouse, ClickHouseServer
from tests.servers.cache import PROJECT
from tests.servers.fixtures import clickhouse_of_its_own


@pytest.fixture
def house(clickhouse: ClickHouse, database: str) -> Iterator[Warehouse]:
    with clickhouse.client() as client:
        yield Warehouse(client, database)


@pytest.fixture
def store(clickhouse: ClickHouse, house: Warehouse) -> Iterator[Store]:
    store = store_of(clickhouse, house.database)
    yield store
    store.close()


def store_of(clickhouse: ClickHouse, database: str) -> Store:
    settings = ClickHouseSettings(url=clickhouse.url, database=database, username=clickhouse.username)
    return Store(settings, "zkp2p-events", write_seconds=30)


def last_month_border() -> int:
    """The first second of this month, UTC."""
    return int(datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp())


def test_a_block_sent_again_counts_once_in_table_and_view(house: Warehouse, store: Store) -> None:
    rows = block(0, [noon(1) + n for n in range(100)])
    for _ in range(3):
        send(store, 3, rows, "token-a")
    assert house.rows("SELECT count() FROM {db}.zkp2p_payment_events") == [(100,)]
    assert house.summary() == house.truth()
    with pytest.raises(LeaseOver):
        send(store, 3, block(100, [noon(1)]), "token-b", lease=-5)
    send(store, 3, block(100, [noon(1)]), "token-b")  # what was refused may come again
    assert house.rows("SELECT count() FROM {db}.zkp2p_payment_events") == [(101,)]
    assert house.summary() == house.truth()
    assert audit(house.client, house.database, pauses=()).findings == []


def test_merged_or_not_and_over_a_month_border(house: Warehouse, store: Store) -> None:
    border = last_month_border()
    for batch in range(6):
        rows = block(100 * batch, [border - 50 + n for n in range(100)])  # half in the month before
        for month in (0, 1):
            send(store, batch % 2, rows.slice(50 * month, 50), f"t{batch}-{month}", ledger=False)
        assert house.summary() == house.truth()
    assert len({row[0] for row in house.summary()}) == 2
    assert (
        len(house.rows("SELECT name FROM system.parts WHERE database = '{db}' AND table LIKE '%state' AND active")) > 1
    )
    for table in ("zkp2p_payment_events", "zkp2p_daily_summary_state"):
        house.run(f"OPTIMIZE TABLE {{db}}.{table} FINAL")
        assert house.summary() == house.truth()
    send(store, 1, block(500, [border - 50]), "t5-0", ledger=False)  # its token is still known
    assert house.summary() == house.truth()


@pytest.fixture
def western() -> Iterator[ClickHouseServer]:
    with clickhouse_of_its_own(timezone="America/Los_Angeles") as running:
        yield running


def test_days_are_utc_days_elsewhere_and_a_restart_changes_nothing(western: ClickHouseServer) -> None:
    midnight = noon(1) - DAY // 2
    with western.client() as client:
        house = Warehouse(client, "west")
        assert house.rows("SELECT timezone()") == [("America/Los_Angeles",)]
        store = store_of(western, "west")
        rows = block(0, [midnight - 30 + n for n in range(60)])
        send(store, 0, rows, "over-midnight")
        store.close()
        before = house.truth()
        assert [row[0].day for row in before] == sorted(
            [datetime.fromtimestamp(midnight - 1, UTC).day] * 6 + [datetime.fromtimestamp(midnight, UTC).day] * 6,
            key=lambda day: day != datetime.fromtimestamp(midnight - 1, UTC).day,
        )
        assert house.summary() == before
    western.kill()
    western.start()
    with western.client() as client:
        house = Warehouse(client, "west")
        store = store_of(western, "west")
        send(store, 0, rows, "over-midnight")  # nobody knows whether it landed: it is sent again
        store.close()
        assert house.summary() == house.truth() == before
        assert audit(client, "west", pauses=()).findings == []


def test_the_specifications_view_goes_wrong_where_ours_stays_right(house: Warehouse, clickhouse: ClickHouse) -> None:
    """One buyer pays twice, in two inserts."""
    theirs = f"{house.database}_spec"
    house.client.command(f"CREATE DATABASE {theirs}")
    try:
        for statement in DDL:
            house.client.command(literal(statement, theirs))
        for session in ("a", "b"):
            for name in (theirs, house.database):
                house.client.command(
                    f"INSERT INTO {name}.zkp2p_payment_events (userId, sessionId, eventType, paymentMethod, usdAmount,"
                    f" buzzAmount, timestamp) VALUES (7, '{session}', 'success', 'venmo', 5, 500, {noon(1)})"
                )
        select = "SELECT successes, total_usd, unique_buyers FROM {name}.zkp2p_daily_summary"
        ours = house.client.query(select.format(name=house.database)).result_rows
        spec = house.client.query(select.format(name=theirs)).result_rows
        assert [(row[0], float(row[1]), row[2]) for row in ours] == [(2, 10.0, 1)]
        assert len(spec) == 2  # a row an insert, until a merge comes along
        house.client.command(f"OPTIMIZE TABLE {theirs}.zkp2p_daily_summary FINAL")
        assert house.client.query(select.format(name=theirs)).result_rows[0][2] == 2  # and then two buyers
    finally:
        house.client.command(f"DROP DATABASE {theirs} SYNC")


def test_the_specifications_queries_run_on_it(house: Warehouse) -> None:
    house.land(0, 0, 240, at=noon(1))
    house.land(0, 240, 240, at=noon(2))
    attempts, methods, outcomes, dashboard = (literal(query, house.database) for query in QUERIES)
    assert [row[1] for row in house.rows(attempts)] == [60, 60]
    assert [row[1:] for row in house.rows(methods)] == [(20, pytest.approx(100 / 6))] * 6
    assert len(house.rows(dashboard)) == 12
    with pytest.raises(DatabaseError, match="ILLEGAL_AGGREGATION"):
        house.rows(outcomes)


def test_what_is_known_of_a_session(house: Warehouse) -> None:
    now = int(time.time())
    events = [
        ("paid", "attempt", now - 9000), ("paid", "error", now - 8900), ("paid", "success", now - 8800),
        ("late", "success", now - 8800), ("late", "abandoned", now - 8700),
        ("failed", "error", now - 60), ("failed", "abandoned", now - 50), ("failed", "attempt", now - 70),
        ("left", "attempt", now - 99), ("left", "abandoned", now - 9),
        ("silent", "attempt", now - 1900),
        ("busy", "attempt", now - 1700),
    ]  # fmt: skip
    for session, event, at in events:
        message = "'declined'" if event == "error" else "NULL"
        house.run(
            "INSERT INTO {db}.zkp2p_payment_events (userId, sessionId, eventType, paymentMethod, usdAmount, buzzAmount,"
            f" errorMessage, timestamp) VALUES (7, '{session}', '{event}', 'wise', 5.25, 500,"
            f" {message}, {at})"
        )
    rows = house.rows(
        "SELECT sessionId, outcome, inferredAbandoned, events, errorMessage, toUnixTimestamp(firstEvent)"
        " FROM {db}.zkp2p_session_outcomes ORDER BY sessionId"
    )
    assert rows == [
        ("busy", "attempt", 0, 1, None, now - 1700),
        ("failed", "error", 0, 3, "declined", now - 70),
        ("late", "success", 0, 2, None, now - 8800),
        ("left", "abandoned", 0, 2, None, now - 99),
        ("paid", "success", 0, 3, "declined", now - 9000),
        ("silent", "attempt", 1, 1, None, now - 1900),
    ]


def test_mending_adds_the_difference_and_nothing_when_there_is_none(house: Warehouse) -> None:
    house.land(0, 0, 300, at=noon(1))
    house.land(1, 0, 300, at=noon(2))
    mend = [mend_sql(house.database, "topic-one", partition, None) for partition in (0, 1)]
    parts = "SELECT sum(rows) FROM system.parts WHERE database = '{db}' AND table LIKE '%state' AND active"
    before = house.rows(parts)
    house.run(mend[0])
    assert house.rows(parts) == before
    for _ in range(2):  # the very same difference twice: no deduplication may swallow the second
        house.run("TRUNCATE TABLE {db}.zkp2p_daily_summary_state")
        for sql in mend:
            house.run(sql)
        assert house.summary() == house.truth()
    house.run("INSERT INTO {db}.zkp2p_daily_summary_state SELECT * FROM {db}.zkp2p_daily_summary_state")
    assert house.summary() != house.truth()
    house.run(mend_sql(house.database, "topic-one", 0, [noon(1) // DAY, noon(5) // DAY]))
    house.run(mend_sql(house.database, "topic-one", 1, [noon(1) // DAY]))  # another day: nothing of partition 1
    assert [row for row in house.summary() if row not in house.truth()] == [
        row for row in house.summary() if row[0] == datetime.fromtimestamp(noon(2), UTC).date()
    ]
    house.run(mend_sql(house.database, "topic-one", 1, [noon(2) // DAY]))
    assert house.summary() == house.truth()
    house.run(mend_sql(house.database, "topic-one", 1, []))
    assert house.summary() == house.truth()


def test_mending_leaves_alone_what_retention_eats(house: Warehouse) -> None:
    oldest = first_whole_day(house.client)
    assert noon(89) // DAY <= oldest <= noon(88) // DAY
    for day in (oldest, oldest - 1):
        house.run(
            "INSERT INTO {db}.zkp2p_daily_summary_state (date, paymentMethod, kafkaTopicId, kafkaPartition, attempts)"
            f" SELECT toDate({day}), 'wise', 'topic-one', 0, 5"
        )
    house.run(mend_sql(house.database, "topic-one", 0, None))
    house.run(mend_sql(house.database, "topic-one", 0, [oldest, oldest - 1]))
    assert house.rows("SELECT toUInt16(date)::UInt32, attempts FROM {db}.zkp2p_daily_summary") == [(oldest - 1, 5)]


def test_a_mending_that_comes_late_is_refused_when_its_sums_are_there(house: Warehouse) -> None:
    """The deadline passes while the server is summing up."""
    house.land(0, 0, 300, at=noon(1))
    house.run("TRUNCATE TABLE {db}.zkp2p_daily_summary_state")
    condition = f"NOT throwIf(nowInBlock() > toDateTime({int(time.time()) + 1}, 'UTC'), 'too late')"
    sql = mend_sql(house.database, "topic-one", 0, None, condition)
    slow = re.sub(r"(zkp2p_payment_events\s+WHERE )", r"\1NOT sleepEachRow(0.009) AND ", sql)
    assert slow != sql
    with pytest.raises(DatabaseError, match="too late"):
        house.run(slow)
    assert house.summary() == []


def test_the_embedded_engine_does_the_same(tmp_path: Path) -> None:
    """In a process of its own: one engine a process."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(Path(__file__).with_name("embedded_sink.py")), str(tmp_path / "db")],
        cwd=PROJECT,
        env={"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["embedded: all as on a server"]), done.stderr
