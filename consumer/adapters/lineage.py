"""What landed of a partition, by the lineage columns of the events and by the ledger.

Rows with the topic id '' are from before we wrote ids: nobody's orphans.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from clickhouse_connect.driver.client import Client

from consumer.adapters.sql import quoted
from consumer.core.effects import Landed, Orphan
from consumer.core.position import PassRange

Ranges = Mapping[str, Sequence[tuple[int, int]]]
"""By topic id: offsets [first, end) that a ledger row covers, merged and in order."""

RUN_BITS = 16
"""The lineage index knows offsets by runs of 2**16 (sql/0004)."""

TILES = "sum(cityHash64(firstOffset)) - cityHash64(min(firstOffset)) = sum(cityHash64(lastOffset + 1)) - cityHash64(max(lastOffset) + 1)"
"""Do the ledger rows of one pass tile it, that is, does each but the first begin where another ends?

Then all begins but the least and all ends but the greatest are the same numbers, and so are the sums of their
hashes (modulo 2**64). As no two rows of a pass begin alike, nothing else has equal sums but by an accident of
2**-64. That takes no sorting: milliseconds for what window functions take seconds for.
"""


def landed(client: Client, database: str, partition: int) -> Landed:
    """All that recovery wants to know of a partition."""
    found = orphans(client, database, partition, ledger_ranges(client, database, partition))
    return Landed(passes(client, database, partition), found)


def passes(client: Client, database: str, partition: int) -> list[PassRange]:
    """What each group's passes cover, of every topic id."""
    return [found for found, _ in _passes(client, database, partition)]


def _passes(client: Client, database: str, partition: int) -> list[tuple[PassRange, bool]]:
    """Each pass, and whether it is without a gap."""
    sql = (
        f"SELECT kafkaTopicId, groupId, pass, min(firstOffset), max(lastOffset) + 1, {TILES}"
        f" FROM {database}.zkp2p_ingest_ledger FINAL WHERE kafkaPartition = {partition}"
        " GROUP BY kafkaTopicId, groupId, pass ORDER BY kafkaTopicId, groupId, pass"
    )
    return [(PassRange(*row[:5]), bool(row[5])) for row in client.query(sql).result_rows]


def ledger_ranges(client: Client, database: str, partition: int) -> dict[str, list[tuple[int, int]]]:
    """Offsets covered by a ledger row of whatever group and pass: rows that touch or overlap are merged."""
    found = _passes(client, database, partition)
    broken = sorted({p.topic_id for p, whole in found if not whole})
    ranges: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for p, _ in found:
        if p.topic_id not in broken:
            ranges[p.topic_id].append((p.first, p.end))
    if broken:
        for topic_id, first, end in client.query(_islands(database, partition, broken)).result_rows:
            ranges[topic_id].append((first, end))
    return {topic_id: merged(found) for topic_id, found in ranges.items()}


def _islands(database: str, partition: int, topic_ids: Iterable[str]) -> str:
    # The last end seen before each row tells whether a new island begins there.
    return (
        "SELECT kafkaTopicId, min(firstOffset), max(lastOffset) + 1 FROM ("
        "SELECT kafkaTopicId, firstOffset, lastOffset, sum(begins) OVER (PARTITION BY kafkaTopicId"
        " ORDER BY firstOffset, lastOffset ROWS UNBOUNDED PRECEDING) AS island FROM ("
        "SELECT kafkaTopicId, firstOffset, lastOffset, firstOffset > max(lastOffset + 1) OVER ("
        "PARTITION BY kafkaTopicId ORDER BY firstOffset, lastOffset"
        " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS begins"
        f" FROM {database}.zkp2p_ingest_ledger FINAL WHERE kafkaPartition = {partition}"
        f" AND kafkaTopicId IN ({', '.join(map(quoted, topic_ids))})))"
        " GROUP BY kafkaTopicId, island"
    )


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Half-open ranges in order, those that touch or overlap made one.

    >>> merged([(5, 7), (0, 3), (3, 4)])
    [(0, 4), (5, 7)]
    """
    islands: list[tuple[int, int]] = []
    for first, end in sorted(ranges):
        if islands and first <= islands[-1][1]:
            islands[-1] = (islands[-1][0], max(end, islands[-1][1]))
        else:
            islands.append((first, end))
    return islands


def orphans(client: Client, database: str, partition: int, ranges: Ranges) -> list[Orphan]:
    """Rows that none of the ranges covers, of every topic id."""
    sql = (
        "SELECT kafkaTopicId, kafkaOffset, toUnixTimestamp(timestamp)"
        f" FROM {database}.zkp2p_payment_events WHERE kafkaPartition = {partition} AND ({outside(ranges)})"
        " ORDER BY kafkaTopicId, kafkaOffset"
    )
    return [Orphan(*row) for row in client.query(sql).result_rows]


def outside(ranges: Ranges) -> str:
    """A condition for rows that none of the ranges covers, in terms that the lineage index understands."""
    conditions = ["kafkaTopicId NOT IN (" + ", ".join(map(quoted, ["", *ranges])) + ")"]
    for topic_id, covered in ranges.items():
        holes = " OR ".join(f"({between(first, end)})" for first, end in gaps(covered))
        conditions.append(f"(kafkaTopicId = {quoted(topic_id)} AND ({holes}))")
    return " OR ".join(conditions)


def gaps(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int | None]]:
    """What lies before, between and behind ranges in order.

    >>> gaps([(2, 4), (5, 7)])
    [(0, 2), (4, 5), (7, None)]
    """
    found: list[tuple[int, int | None]] = []
    at = 0
    for first, end in ranges:
        if first > at:
            found.append((at, first))
        at = end
    return [*found, (at, None)]


def between(first: int, end: int | None) -> str:
    """A condition for offsets of [first, end), without an end when None, that the lineage index understands."""
    run = f"bitShiftRight(kafkaOffset, {RUN_BITS})"
    condition = f"{run} >= {first >> RUN_BITS} AND kafkaOffset >= {first}"
    if end is not None:
        condition += f" AND {run} <= {(end - 1) >> RUN_BITS} AND kafkaOffset < {end}"
    return condition
