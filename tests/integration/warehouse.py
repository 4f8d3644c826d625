"""A database with some landed batches, and ways to damage it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from clickhouse_connect.driver.client import Client

from consumer.operate.migrations import migrate

DAY = 86_400
TOPIC_ID = "topic-one"
GROUP = "zkp2p-clickhouse"

TRUTH = """
    SELECT toDate(timestamp, 'UTC') AS date, toString(paymentMethod) AS paymentMethod,
        countIf(eventType = 'attempt') AS attempts, countIf(eventType = 'success') AS successes,
        countIf(eventType = 'error') AS errors, countIf(eventType = 'abandoned') AS abandons,
        sumIf(usdAmount, eventType = 'success') AS total_usd,
        uniqExactIf(userId, eventType = 'success') AS unique_buyers
    FROM {database}.zkp2p_payment_events GROUP BY date, paymentMethod ORDER BY date, paymentMethod
"""
"""The specification's own select, over the raw events and with exact buyers."""


def noon(days_ago: int) -> int:
    """Noon UTC of a day, in seconds: far from both ends of it."""
    return int(datetime.now(UTC).timestamp()) // DAY * DAY - days_ago * DAY + DAY // 2


class Warehouse:
    """What lands is made by the server out of offsets: event type, method, user and amount follow from them."""

    def __init__(self, client: Client, database: str) -> None:
        self.client = client
        self.database = database
        migrate(client, database)

    def run(self, sql: str) -> None:
        self.client.command(sql.replace("{db}", self.database))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        found = self.client.query(sql.replace("{db}", self.database)).result_rows
        return [tuple(row) for row in found]

    def land(
        self,
        partition: int,
        first: int,
        count: int,
        *,
        at: int | None = None,
        number: int = 0,
        group: str = GROUP,
        topic_id: str = TOPIC_ID,
        inserted: bool = True,
        session: str = "session",
        landed_ago: int = 0,
    ) -> None:
        """A batch of `count` records, one a second from `at` on; with `inserted` False all are duplicates."""
        at = noon(1) if at is None else at
        if inserted:
            self.insert(partition, first, count, at=at, topic_id=topic_id, session=session)
        counts = (count, 0) if inserted else (0, count)
        times = (at, at + count - 1) if inserted else (0, 0)
        self.ledger_row(
            partition, first, first + count - 1, counts, times,
            number=number, group=group, topic_id=topic_id, landed_ago=landed_ago,
        )  # fmt: skip

    def land_alike(self, *, partitions: int, batches: int, records: int, at: int, landed_ago: int) -> None:
        """The same batches in each partition, a second apart, by few statements."""
        for partition in range(partitions):
            self.insert(partition, 0, batches * records, at=at)
        self.run(
            "INSERT INTO {db}.zkp2p_ingest_ledger (kafkaTopicId, kafkaPartition, groupId, firstOffset, lastOffset,"
            f" minTimestamp, maxTimestamp, inserted, landedAt) SELECT '{TOPIC_ID}', number % {partitions}, '{GROUP}',"
            f" intDiv(number, {partitions}) * {records} AS first, first + {records - 1} AS last, {at} + first, {at} + last,"
            f" {records}, now64(3) - {landed_ago} + intDiv(number, {partitions}) FROM numbers({partitions * batches})"
        )

    def insert(
        self, partition: int, first: int, count: int, *, at: int, topic_id: str = TOPIC_ID, session: str = "session"
    ) -> None:
        self.run(
            "INSERT INTO {db}.zkp2p_payment_events SELECT 1 + intDiv(o, 3) % 40,"
            f" concat('{session}-{partition}-', toString(o)), 1 + o % 4, 1 + intDiv(o, 4) % 6,"
            f" 10 + o % 7 / 4, 1000, if(o % 4 = 2, 'declined', NULL), toDateTime({at} + o - {first}),"
            f" '{topic_id}', {partition}, o FROM (SELECT number + {first} AS o FROM numbers({count}))"
        )

    def ledger_row(
        self,
        partition: int,
        first: int,
        last: int,
        counts: tuple[int, int],
        times: tuple[int, int],
        *,
        number: int = 0,
        group: str = GROUP,
        topic_id: str = TOPIC_ID,
        landed_ago: int = 0,
    ) -> None:
        self.run(
            "INSERT INTO {db}.zkp2p_ingest_ledger (kafkaTopicId, kafkaPartition, groupId, pass, firstOffset, lastOffset,"
            " minTimestamp, maxTimestamp, inserted, duplicates, landedAt)"
            f" SELECT '{topic_id}', {partition}, '{group}', {number}, {first}, {last}, {times[0]}, {times[1]},"
            f" {counts[0]}, {counts[1]}, now64(3) - {landed_ago}"
        )

    def delete(self, table: str, where: str) -> None:
        self.client.command(f"ALTER TABLE {self.database}.{table} DELETE WHERE {where}", settings={"mutations_sync": 2})

    def truth(self) -> list[tuple[Any, ...]]:
        return self.rows(TRUTH.replace("{database}", self.database))

    def summary(self) -> list[tuple[Any, ...]]:
        return self.rows(
            "SELECT date, toString(paymentMethod), * EXCEPT (date, paymentMethod) FROM {db}.zkp2p_daily_summary"
            " ORDER BY date, paymentMethod::String"
        )
