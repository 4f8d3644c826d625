"""What landed of a partition, by the lineage columns of the events and by the ledger.

Rows with the topic id '' are from before we wrote ids: nobody's orphans.
"""

from __future__ import annotations

from collections import defaultdict

from clickhouse_connect.driver.client import Client

from consumer.adapters.sql import quoted
from consumer.core.effects import Landed, Orphan
from consumer.core.position import PassRange

Ranges = dict[str, list[tuple[int, int]]]
"""By topic id: offsets [first, end) that a ledger row covers, merged and in order."""


def landed(client: Client, database: str, partition: int, topic_id: str = "") -> Landed:
    """All that recovery wants to know of a partition."""
    found = orphans(client, database, partition, ledger_ranges(client, database, partition))
    return Landed(passes(client, database, partition), found, other_topic_ids(client, database) > 1)


def passes(client: Client, database: str, partition: int) -> list[PassRange]:
    """What each group's passes cover, of every topic id."""
    sql = (
        "SELECT kafkaTopicId, groupId, pass, min(firstOffset), max(lastOffset) + 1"
        f" FROM {database}.zkp2p_ingest_ledger FINAL WHERE kafkaPartition = {partition}"
        " GROUP BY kafkaTopicId, groupId, pass ORDER BY kafkaTopicId, groupId, pass"
    )
    return [PassRange(*row) for row in client.query(sql).result_rows]


def ledger_ranges(client: Client, database: str, partition: int) -> Ranges:
    """Offsets covered by a ledger row of whatever group and pass: rows that touch or overlap are merged."""
    # The last end seen before each row tells whether a new island begins there.
    sql = (
        "SELECT kafkaTopicId, min(firstOffset), max(lastOffset) + 1 FROM ("
        "SELECT kafkaTopicId, firstOffset, lastOffset, sum(begins) OVER (PARTITION BY kafkaTopicId"
        " ORDER BY firstOffset, lastOffset ROWS UNBOUNDED PRECEDING) AS island FROM ("
        "SELECT kafkaTopicId, firstOffset, lastOffset, firstOffset > max(lastOffset + 1) OVER ("
        "PARTITION BY kafkaTopicId ORDER BY firstOffset, lastOffset"
        " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS begins"
        f" FROM {database}.zkp2p_ingest_ledger FINAL WHERE kafkaPartition = {partition}))"
        " GROUP BY kafkaTopicId, island ORDER BY kafkaTopicId, 2"
    )
    ranges: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for topic_id, first, end in client.query(sql).result_rows:
        ranges[topic_id].append((first, end))
    return dict(ranges)


def orphans(client: Client, database: str, partition: int, ranges: Ranges) -> list[Orphan]:
    """Rows that none of the ranges covers, of every topic id."""
    uncovered = ["kafkaTopicId NOT IN (" + ", ".join(map(quoted, ["", *ranges])) + ")"]
    for topic_id, covered in ranges.items():
        outside = [f"kafkaOffset < {covered[0][0]}"] if covered[0][0] else []
        outside += [f"(kafkaOffset >= {a} AND kafkaOffset < {b})" for (_, a), (b, _) in zip(covered, covered[1:])]
        outside.append(f"kafkaOffset >= {covered[-1][1]}")
        uncovered.append(f"(kafkaTopicId = {quoted(topic_id)} AND ({' OR '.join(outside)}))")
    sql = (
        "SELECT kafkaTopicId, kafkaOffset, toUnixTimestamp(timestamp)"
        f" FROM {database}.zkp2p_payment_events WHERE kafkaPartition = {partition} AND ({' OR '.join(uncovered)})"
        " ORDER BY kafkaTopicId, kafkaOffset"
    )
    return [Orphan(*row) for row in client.query(sql).result_rows]


def other_topic_ids(client: Client, database: str) -> int:
    """How many topic ids the table holds, '' included."""
    sql = f"SELECT uniqExact(kafkaTopicId) FROM {database}.zkp2p_payment_events"
    return int(client.query(sql).result_rows[0][0])
