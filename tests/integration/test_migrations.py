"""Migrations on a real server: once, twice, together, broken off, and on tables that somebody made by hand."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from consumer import resources
from consumer.adapters.store import Store
from consumer.core.errors import Stop
from consumer.operate.audit import audit
from consumer.operate.migrations import load, migrate, verify
from consumer.operate.predecessor import KEPT_AS
from consumer.settings import ClickHouseSettings
from tests.integration.blocks import block, send
from tests.integration.specification import DDL, literal
from tests.integration.warehouse import Warehouse, noon
from tests.servers import ClickHouse

COUNT = len(load("x"))


@pytest.fixture
def client(clickhouse: ClickHouse) -> Iterator[Client]:
    with clickhouse.client() as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of sql/, to be changed."""
    return Path(shutil.copytree(resources.path("sql"), tmp_path / "sql"))


def recorded(client: Client, database: str) -> list[int]:
    sql = f"SELECT version FROM {database}.zkp2p_schema_migrations FINAL ORDER BY version"
    return [row[0] for row in client.query(sql).result_rows]


def by_hand(client: Client, database: str, *, rows: int) -> None:
    """The specification's table and view, and rows of somebody else's making."""
    for statement in DDL:
        client.command(literal(statement, database))
    client.command(
        f"INSERT INTO {database}.zkp2p_payment_events SELECT number % 50, toString(number), 1 + number % 4,"
        f" 1 + number % 6, 5.25, 500, NULL, toDateTime({noon(3)} + number * 600) FROM numbers({rows})"
    )


class Crash(Exception):
    pass


class Crashing:
    """A client whose process dies right after its `after`-th command."""

    def __init__(self, client: Client, after: int) -> None:
        self._client, self._left = client, after

    def query(self, *args: Any, **kwargs: Any) -> Any:
        return self._client.query(*args, **kwargs)

    def command(self, *args: Any, **kwargs: Any) -> Any:
        answer = self._client.command(*args, **kwargs)
        self._left -= 1
        if self._left == 0:
            raise Crash
        return answer


def test_once_and_twice_and_planned(client: Client, database: str) -> None:
    client.command(f"DROP DATABASE {database}")
    with pytest.raises(Stop, match="run zkp2p-consumer migrate"):
        verify(client, database)
    plan = migrate(client, database, plan=True)
    assert [m.name for m in plan] == [m.name for m in load(database)]
    assert all(m.statement and m.why.endswith(".") for m in plan)
    assert client.query(f"SELECT count() FROM system.databases WHERE name = '{database}'").result_rows == [(0,)]
    assert migrate(client, database) == plan
    verify(client, database)
    assert migrate(client, database) == []
    assert recorded(client, database) == [m.version for m in plan]


def test_a_file_changed_after_it_was_applied(client: Client, database: str, folder: Path) -> None:
    migrate(client, database, folder=folder)
    with (folder / "0006_ingest_ledger.sql").open("a") as file:
        file.write("-- afterthought\n")
    with pytest.raises(Stop, match=r"0006_ingest_ledger\.sql was changed after it had been applied"):
        migrate(client, database, folder=folder)


def test_a_refused_statement_names_its_file(client: Client, database: str, folder: Path) -> None:
    (folder / "0015_broken.sql").write_text("-- Nonsense.\nCREATE TABEL {database}.x\n")
    with pytest.raises(Stop, match=r"^sql/0015_broken\.sql was refused: .*Syntax error"):
        migrate(client, database, folder=folder)
    assert recorded(client, database)[-1] == 14


def test_rolled_back_an_old_version_works_on_the_newer_schema(
    clickhouse: ClickHouse, client: Client, database: str, folder: Path
) -> None:
    """A newer one only ever adds: its columns fill themselves, and its files are none of ours."""
    (folder / "0015_channel.sql").write_text(
        "-- What a later version might add.\nALTER TABLE {database}.zkp2p_payment_events {on_cluster}\n"
        "    ADD COLUMN IF NOT EXISTS `channel` LowCardinality(String) DEFAULT 'web'\n"
    )
    assert migrate(client, database, folder=folder)[-1].name == "0015_channel.sql"
    settings = ClickHouseSettings(url=clickhouse.url, database=database)
    store = Store(settings, "zkp2p-events", write_seconds=30)
    store.verify()
    send(store, 0, block(0, [noon(1) + n for n in range(40)]), "old-0")
    assert migrate(client, database) == []
    assert [p.end for p in store.landed(0).passes] == [40]
    store.close()
    house = Warehouse(client, database)
    assert house.rows("SELECT DISTINCT channel FROM {db}.zkp2p_payment_events") == [("web",)]
    assert house.summary() == house.truth()
    assert audit(client, database, pauses=()).findings == []


def test_missing_migrations_are_named(client: Client, database: str) -> None:
    migrate(client, database)
    client.command(
        f"ALTER TABLE {database}.zkp2p_schema_migrations DELETE WHERE version = 13", settings={"mutations_sync": 2}
    )
    with pytest.raises(Stop, match=r"lacks 0013_daily_summary\.sql: run zkp2p-consumer migrate"):
        verify(client, database)


@pytest.mark.parametrize("rows", [0, 600])
def test_two_at_once(clickhouse: ClickHouse, database: str, rows: int) -> None:
    with clickhouse.client() as client:
        if rows:
            by_hand(client, database, rows=rows)
        start = threading.Barrier(3)

        def one() -> None:
            with clickhouse.client() as own:
                start.wait()
                migrate(own, database)

        with ThreadPoolExecutor(3) as pool:
            for running in [pool.submit(one) for _ in range(3)]:
                running.result()
        assert len(recorded(client, database)) == COUNT
        verify(client, database)
        house = Warehouse(client, database)
        assert house.rows("SELECT count() FROM {db}.zkp2p_payment_events") == [(rows,)]
        assert house.summary() == house.truth()


def test_a_database_made_by_hand_keeps_its_rows(client: Client, database: str) -> None:
    by_hand(client, database, rows=600)
    theirs = client.query(f"SELECT * FROM {database}.zkp2p_daily_summary ORDER BY ALL").result_rows
    plan = [m.why for m in migrate(client, database, plan=True)]
    assert any(f"keeps its figures under the name {KEPT_AS}" in why for why in plan)
    house = Warehouse(client, database)
    assert house.rows("SELECT count(), uniqExact(kafkaTopicId) FROM {db}.zkp2p_payment_events") == [(600, 1)]
    assert house.truth()
    assert house.summary() == house.truth()
    assert house.rows(f"SELECT * FROM {{db}}.{KEPT_AS} ORDER BY ALL") == [tuple(row) for row in theirs]
    house.land(0, 0, 40, at=noon(3))
    assert house.summary() == house.truth()
    assert len(house.rows(f"SELECT * FROM {{db}}.{KEPT_AS}")) == len(theirs)  # fed no longer
    assert audit(client, database, pauses=()).findings == []
    fresh = f"{database}_fresh"
    migrate(client, fresh)
    try:
        tables = "SELECT create_table_query FROM system.tables WHERE database = '{}' AND name = 'zkp2p_payment_events'"
        ours, made = (client.query(tables.format(name)).result_rows[0][0] for name in (fresh, database))
        assert ours.replace(fresh, database) == made
    finally:
        client.command(f"DROP DATABASE {fresh} SYNC")


def test_broken_off_after_every_single_statement(client: Client, database: str) -> None:
    """Each time it gets one command further, and starts over."""
    by_hand(client, database, rows=600)
    crashes = 0
    while True:
        try:
            migrate(Crashing(client, after=1), database)  # type: ignore[arg-type]
            break
        except Crash:
            crashes += 1
            assert crashes < 200
        # A statement whose record was lost is run again; to get on, let every second start record one more.
        try:
            migrate(Crashing(client, after=2), database)  # type: ignore[arg-type]
            break
        except Crash:
            pass
    assert crashes >= COUNT
    verify(client, database)
    house = Warehouse(client, database)
    assert house.rows("SELECT count() FROM {db}.zkp2p_payment_events") == [(600,)]
    assert house.summary() == house.truth()


def test_a_view_made_anew_by_a_migration_loses_nothing(client: Client, database: str, folder: Path) -> None:
    house = Warehouse(client, database)
    house.land(0, 0, 300, at=noon(1))
    (folder / "0015_drop_mv.sql").write_text("-- Away.\nDROP VIEW IF EXISTS {database}.zkp2p_daily_summary_mv\n")
    migrate(client, database, folder=folder)
    house.insert(1, 0, 200, at=noon(2))  # while there is no view
    assert house.summary() != house.truth()
    shutil.copy(folder / "0008_daily_summary_mv.sql", folder / "0016_mv.sql")
    shutil.copy(folder / "0009_adopt_earlier_rows.sql", folder / "0017_adopt.sql")
    assert [m.version for m in migrate(client, database, folder=folder)] == [16, 17]
    house.insert(1, 200, 100, at=noon(2))
    assert house.summary() == house.truth()


def test_an_unknown_table_in_the_way_is_left_alone(client: Client, database: str) -> None:
    client.command(f"CREATE TABLE {database}.zkp2p_daily_summary (x UInt8) ENGINE = Memory")
    with pytest.raises(Stop, match=r"is a table \(Memory\) that migrate doesn't know: rename it"):
        migrate(client, database)
