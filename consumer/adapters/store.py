"""What a partition asks of ClickHouse, statement by statement.

Every write carries its deadline into the server: `WHERE NOT throwIf(nowInBlock() > D)` is evaluated when the data
are processed (`now()` would be when the query began), so what a paused or cut-off owner sends late is refused. A
query id names the partition, so that the next owner can see in `system.processes` what is still running.
The embedded engine has one process and so nobody to fence out: there the same writes go without a deadline.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
from clickhouse_connect.driver.client import Client

from consumer.adapters import lineage
from consumer.adapters.clickhouse import LEASE_OVER, TROUBLE, connect, translate
from consumer.adapters.rows import INPUT_STRUCTURE, RECORD_COLUMNS, arrow_stream, one_batch
from consumer.adapters.sql import quoted
from consumer.core.batch import SECONDS_A_DAY, Keys, LedgerRow
from consumer.core.dedupe import SHARED, Scope, hash_keys
from consumer.core.effects import Hydrate, Insert, KeysOfDay, Landed, Mend, WriteLedger
from consumer.operate import migrations
from consumer.operate.summary import mend_sql
from consumer.settings import ClickHouseSettings

_INSERT_SETTINGS = {
    "async_insert": 0,  # on by default since 26.3
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "max_insert_threads": 1,
    "input_format_parallel_parsing": 0,
    # One block whatever its size: two blocks would be two parts that can land apart.
    "min_insert_block_size_rows": 2_000_000,
    "min_insert_block_size_bytes": 0,
}
_WRITE_SETTINGS = {"wait_end_of_query": 1}
"""No answer before the end: an error can't hide behind a status 200 that was sent already."""


class Store:
    """One database. Its methods block and may be called from several threads at once."""

    def __init__(self, settings: ClickHouseSettings, topic: str, *, write_seconds: float) -> None:
        """Raises Retryable while the server can't be reached, Stop when it won't have us."""
        self._settings = settings
        self._topic = topic
        self._db = settings.database
        self.embedded = settings.embedded
        self._reader = connect(settings)
        # Two clients, as a time-out belongs to a client: writes must be given up before their lease is over.
        self._writer = self._reader if self.embedded else connect(settings, send_receive_timeout=write_seconds)
        self.version, self.zone = self._ask("version", "SELECT version(), timezone()")[0]
        self._insert_settings: dict[str, str | int] = dict(_INSERT_SETTINGS)
        if self._ask("settings", "SELECT count() FROM system.settings WHERE name = 'deduplicate_insert'")[0][0]:
            self._insert_settings["deduplicate_insert"] = "enable"  # 26.2+, overrides the older switches

    def close(self) -> None:
        self._reader.close()
        if self._writer is not self._reader:
            self._writer.close()

    def verify(self) -> None:
        """Raises Stop, naming the remedy, when the tables are not what this version needs."""
        try:
            migrations.verify(self._reader, self._db)
        except TROUBLE as error:
            raise translate(error, "look at the schema", self._settings) from None

    def server_time(self) -> float:
        """Seconds since 1970 by the server's clock."""
        if self.embedded:
            return time.time()
        return float(self._ask("clock", "SELECT toUnixTimestamp64Milli(now64(3))")[0][0]) / 1000

    def _ask(self, what: str, sql: str, client: Client | None = None) -> Sequence[Sequence[Any]]:
        try:
            return (client or self._reader).query(sql).result_rows
        except TROUBLE as error:
            raise translate(error, what, self._settings) from None

    def _write(self, what: str, partition: int, sql: str) -> None:
        settings = {} if self.embedded else {**_WRITE_SETTINGS, "query_id": self._query_id(partition, what)}
        try:
            self._writer.command(sql, settings=settings)
        except TROUBLE as error:
            raise translate(error, what, self._settings) from None

    def _query_id(self, partition: int, what: str) -> str:
        return f"zkp2p/{self._db}/{self._topic}/{partition}/{what}/{uuid.uuid4().hex[:12]}"

    def _in_time(self, deadline: int) -> str:
        """The condition that makes a write fail once its deadline is over."""
        if self.embedded:
            return "1"
        return f"NOT throwIf(nowInBlock() > toDateTime({deadline}, 'UTC'), {quoted(LEASE_OVER)})"

    # Recovery

    def touched(self, partition: int) -> bool:
        """Does table or ledger hold anything of this partition?"""
        sql = (
            f"SELECT (SELECT count() FROM (SELECT 1 FROM {self._db}.zkp2p_ingest_ledger"
            f" WHERE kafkaPartition = {partition} LIMIT 1))"
            f" + (SELECT count() FROM (SELECT 1 FROM {self._db}.zkp2p_payment_events"
            f" WHERE kafkaPartition = {partition} AND kafkaTopicId != '' LIMIT 1))"
        )
        return bool(self._ask("look at the partition", sql)[0][0])

    def quiet(self, partition: int) -> bool:
        """Does the server run no write of this partition, whatever the topic id?"""
        start = f"zkp2p/{self._db}/{self._topic}/{partition}/"
        cluster = self._settings.cluster
        processes = f"clusterAllReplicas({quoted(cluster)}, system.processes)" if cluster else "system.processes"
        sql = f"SELECT count() FROM {processes} WHERE startsWith(query_id, {quoted(start)})"
        return not self._ask("look for running inserts", sql)[0][0]

    def landed(self, partition: int) -> Landed:
        try:
            return lineage.landed(self._reader, self._db, partition)
        except TROUBLE as error:
            raise translate(error, "look for what landed", self._settings) from None

    def mend(self, partition: int, mend: Mend) -> int:
        """Returns the number of days looked at; 0 for all young days."""
        sql = mend_sql(self._db, mend.topic_id, partition, mend.days, self._in_time(mend.deadline))
        self._write("mend", partition, sql)
        return len(mend.days) if mend.days is not None else 0

    # Duplicates

    def hydrate(self, partition: int, hydrate: Hydrate) -> list[KeysOfDay]:
        found: list[KeysOfDay] = []
        for scope in dict.fromkeys(scope for scope, _ in hydrate.wanted):
            days = sorted(day for of, day in hydrate.wanted if of == scope)
            found += self._keys_of(scope, days, partition, hydrate.topic_id)
        return found

    def _keys_of(self, scope: Scope, days: list[int], partition: int, topic_id: str) -> list[KeysOfDay]:
        """Keys by day, streamed and hashed block by block: the strings of millions of rows never lie side by side."""
        ours = f"kafkaTopicId = {quoted(topic_id)} AND kafkaPartition = {partition}"
        where = f"kafkaTopicId != {quoted(topic_id)}" if scope == SHARED else ours
        sql = (
            "SELECT intDiv(toUInt32(timestamp), 86400)::UInt32 AS day, sessionId,"
            " (CAST(eventType AS Int8) - 1)::UInt8 AS code"
            f" FROM {self._db}.zkp2p_payment_events WHERE {where}"
            f" AND timestamp >= toDateTime({days[0] * SECONDS_A_DAY}, 'UTC')"
            f" AND timestamp < toDateTime({(days[-1] + 1) * SECONDS_A_DAY}, 'UTC')"
            + ("" if days[-1] - days[0] + 1 == len(days) else f" AND day IN ({', '.join(map(str, days))})")
        )
        by_day: dict[int, list[Keys]] = {day: [] for day in days}
        try:
            with self._reader.query_arrow_stream(sql, use_strings=True) as blocks:
                for block in blocks:
                    _sort_in(block, by_day)
        except TROUBLE as error:
            raise translate(error, "hydrate the duplicate index", self._settings) from None
        empty = np.empty((0, 2), np.uint64)
        return [(scope, day, np.concatenate(keys) if keys else empty) for day, keys in by_day.items()]

    # A batch

    def insert(self, partition: int, insert: Insert) -> None:
        """One block, one part, in table and view alike, or an error."""
        constants = f"{quoted(insert.topic_id)} AS kafkaTopicId, {partition} AS kafkaPartition"
        settings = {**self._insert_settings, "insert_deduplication_token": insert.token}
        try:
            if self.embedded:
                self._insert_embedded(partition, insert, settings)
                return
            body, encoding = arrow_stream(insert.rows, self._settings.compression)
            self._writer.raw_insert(
                f"{self._db}.zkp2p_payment_events ({RECORD_COLUMNS}, kafkaTopicId, kafkaPartition)"
                f" SELECT {RECORD_COLUMNS}, {constants} FROM input({quoted(INPUT_STRUCTURE)})"
                f" WHERE {self._in_time(insert.deadline)}",
                insert_block=body,
                fmt="ArrowStream",
                compression=encoding,
                settings={**settings, **_WRITE_SETTINGS, "query_id": self._query_id(partition, "insert")},
            )
        except TROUBLE as error:
            raise translate(error, "insert", self._settings) from None

    def _insert_embedded(self, partition: int, insert: Insert, settings: dict[str, Any]) -> None:
        import pyarrow as pa

        batch = one_batch(insert.rows)
        table = pa.Table.from_batches([batch])
        count = batch.num_rows
        table = table.append_column("kafkaTopicId", pa.repeat(insert.topic_id, count))
        table = table.append_column("kafkaPartition", pa.repeat(pa.scalar(partition, pa.uint32()), count))
        self._writer.insert_arrow("zkp2p_payment_events", table, database=self._db, settings=settings)

    def write_ledger(self, write: WriteLedger) -> None:
        """Writing a row twice is harmless: the table replaces it by its key."""
        row = write.row
        self._write("ledger", row.partition, self._ledger_sql(row, self._in_time(write.deadline)))

    def _ledger_sql(self, row: LedgerRow, condition: str) -> str:
        values = {
            "kafkaTopicId": quoted(row.topic_id),
            "kafkaPartition": row.partition,
            "groupId": quoted(row.group),
            "pass": row.number,
            "firstOffset": row.first,
            "lastOffset": row.last,
            "minTimestamp": f"toDateTime({row.min_timestamp}, 'UTC')",
            "maxTimestamp": f"toDateTime({row.max_timestamp}, 'UTC')",
            "inserted": row.inserted,
            "duplicates": row.duplicates,
            "rejected": row.rejected,
            "ignored": row.ignored,
            "expired": row.expired,
            "missing": row.missing,
        }
        return (
            f"INSERT INTO {self._db}.zkp2p_ingest_ledger ({', '.join(values)})"
            f" SELECT {', '.join(map(str, values.values()))} WHERE {condition}"
        )


def _sort_in(block: Any, by_day: dict[int, list[Keys]]) -> None:
    """Hash a block's keys and hand them to their days."""
    sessions = block.column("sessionId")
    if hasattr(sessions, "combine_chunks"):
        sessions = sessions.combine_chunks()
    keys = hash_keys(sessions, block.column("code").to_numpy())
    days = block.column("day").to_numpy()
    for day in np.unique(days).tolist():
        by_day[day].append(keys[days == day])
