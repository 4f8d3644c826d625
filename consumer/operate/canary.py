"""Proof by trial that a server keeps what the delivery protocol rests on, in tables of its own that go again.

1. The same block under the same token, sent twice, is one block: in the table and behind a materialized view.
2. A block that comes after its deadline is refused.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from consumer.adapters.clickhouse import LEASE_OVER
from consumer.adapters.store import _INSERT_SETTINGS
from consumer.core.errors import Stop

ROWS = 3


def prove(client: Client, database: str, cluster: str | None = None, *, embedded: bool = False) -> None:
    """Stop when the server fails the trial; the driver's error where it doesn't let us make the tables."""
    with _tables(client, database, cluster) as table:
        token = uuid.uuid4().hex
        for _ in range(2):
            _insert(client, table, token, time.time() + 3600, embedded=embedded)
        for name in (table, f"{table}_seen"):
            found = client.query(f"SELECT count() FROM {name}").result_rows[0][0]
            if found != ROWS:
                where = "the table" if name == table else "the table behind a materialized view"
                raise Stop(
                    f"an insert repeated under its token left {found} rows in {where} instead of {ROWS}: "
                    "check the user's profile and the server's version (deduplication settings are overridden)"
                )
        if not embedded:
            _prove_deadline(client, table)


def _prove_deadline(client: Client, table: str) -> None:
    try:
        _insert(client, table, uuid.uuid4().hex, time.time() - 3600, embedded=False)
    except ClickHouseError as error:
        if LEASE_OVER in str(error):
            return
        raise
    raise Stop("an insert after its deadline was not refused: the server does not evaluate nowInBlock() as it must")


@contextmanager
def _tables(client: Client, database: str, cluster: str | None) -> Iterator[str]:
    table = f"{database}.zkp2p_canary_{uuid.uuid4().hex}"
    made: list[str] = []

    def make(name: str, statement: str) -> None:
        client.command(statement)
        made.append(name)

    try:
        for name in (table, f"{table}_seen"):
            make(name, f"CREATE TABLE {name} (x UInt64) ENGINE = {_engine(name, cluster)}")
        make(f"{table}_mv", f"CREATE MATERIALIZED VIEW {table}_mv TO {table}_seen AS SELECT x FROM {table}")
        yield table
    finally:
        for name in reversed(made):
            client.command(f"DROP TABLE IF EXISTS {name} SYNC")


def _engine(name: str, cluster: str | None) -> str:
    """As sql/ makes ours. A replicated one gets a path of its own, so that it depends on no macro."""
    if cluster:
        path = f"/zkp2p_canary/{name}"
        return f"ReplicatedMergeTree('{path}', 'check') ORDER BY x SETTINGS replicated_deduplication_window = 100"
    return "MergeTree ORDER BY x SETTINGS non_replicated_deduplication_window = 100"


def _insert(client: Client, table: str, token: str, deadline: float, *, embedded: bool) -> None:
    settings: dict[str, Any] = {**_INSERT_SETTINGS, "insert_deduplication_token": token}
    if _known(client, "deduplicate_insert"):
        settings["deduplicate_insert"] = "enable"
    if embedded:
        client.insert(table, [[x] for x in range(ROWS)], column_names=["x"], settings=settings)
        return
    client.raw_insert(
        f"{table} (x) SELECT x FROM input('x UInt64')"
        f" WHERE NOT throwIf(nowInBlock() > toDateTime({int(deadline)}, 'UTC'), '{LEASE_OVER}')",
        insert_block="".join(f"{x}\n" for x in range(ROWS)).encode(),
        fmt="TabSeparated",
        settings={**settings, "wait_end_of_query": 1},
    )


def _known(client: Client, setting: str) -> bool:
    query = "SELECT count() FROM system.settings WHERE name = {s:String}"
    return bool(client.query(query, parameters={"s": setting}).result_rows[0][0])
