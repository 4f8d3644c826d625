"""Does the table hold what the ledger says was inserted, row for row of lineage?

Compared are the finest ranges of offsets that can be: between two places where the cuts of all passes meet. With one
pass that is each batch; a batch and its re-read together are one range, whose `inserted` are added up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import groupby, pairwise
from typing import NamedTuple

from consumer.adapters import lineage
from consumer.adapters.sql import quoted
from consumer.operate.audit.ledger import offsets
from consumer.operate.audit.scope import FINDINGS_MAX, Scope
from consumer.operate.audit.values import Finding, Kind, Pass

NAMED_MAX = 20
"""Offsets that a message names one by one."""
LOOKED_INTO_MAX = 100
"""Ranges of a partition whose single offsets are looked at."""

Doubled = Mapping[tuple[str, int], Collection[int]]
"""(topic id, partition) -> offsets known to have several rows."""


class Range(NamedTuple):
    """Offsets [first, last] of which ledger and table don't seem to agree."""

    topic_id: str
    partition: int
    first: int
    last: int
    inserted: int
    """By the ledger, all passes together."""
    aged: bool
    """Retention may have taken rows of it."""


def compare(scope: Scope, found: Iterable[Pass], doubled: Doubled, only: frozenset[int] | None) -> list[Finding]:
    """Lost, uncounted and doubled rows, by topic id and partition."""
    findings: list[Finding] = []
    by_log = sorted(found, key=lambda p: (p.topic_id, p.partition, p.first, p.end))
    for (topic_id, partition), group in groupby(by_log, key=lambda p: (p.topic_id, p.partition)):
        passes = list(group)
        if (only is not None and partition not in only) or not topic_id:
            continue
        # Doubled rows can make up for lost ones in a count, so their ranges are looked into in any case.
        known = doubled.get((topic_id, partition), ())
        for range_ in _differing(scope, topic_id, partition, _ranges(scope, passes), known):
            findings += _look_into(scope, range_)
    return findings


def _ranges(scope: Scope, passes: list[Pass]) -> str:
    """A query for first, last, inserted and the oldest row of each comparable range of a partition."""
    p = passes[0]
    rows = (
        f"SELECT firstOffset, lastOffset, inserted, minTimestamp, maxTimestamp, landedAt FROM {scope.ledger}"
        f" AND kafkaTopicId = {quoted(p.topic_id)} AND kafkaPartition = {p.partition}"
    )
    disjoint = all(a.end <= b.first for a, b in pairwise(passes))
    if not disjoint or not all(p.whole for p in passes):
        # A range begins with a row that no earlier row reaches into.
        # (Of equal rows, as two groups write them, one begins it: the second sort may put them in another order.)
        rows = f"""
            SELECT
                min(firstOffset) AS firstOffset, max(lastOffset) AS lastOffset, sum(r.inserted) AS inserted,
                minIf(r.minTimestamp, r.inserted > 0) AS minTimestamp, max(r.maxTimestamp) AS maxTimestamp,
                max(r.landedAt) AS landedAt
            FROM
            (
                SELECT *, sum(cut) OVER (ORDER BY firstOffset, lastOffset, cut DESC ROWS UNBOUNDED PRECEDING) AS range
                FROM
                (
                    SELECT *, firstOffset >= max(lastOffset + 1) OVER (ORDER BY firstOffset, lastOffset
                        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS cut
                    FROM ({rows})
                )
            ) AS r
            GROUP BY range
        """
    since = f"toDateTime({scope.since_seconds})"
    return (
        f"SELECT firstOffset AS first, lastOffset AS last, inserted,"
        f" inserted > 0 AND minTimestamp < toDateTime({scope.whole_seconds}) AS aged,"
        f" if(inserted > 0, minTimestamp, toDateTime(4294967295)) AS oldest"
        f" FROM ({rows}) WHERE maxTimestamp >= {since} OR landedAt >= {since}"
    )


def _differing(scope: Scope, topic_id: str, partition: int, ranges: str, known: Collection[int]) -> list[Range]:
    """The ranges where the two differ, and those of known offsets."""
    also = ""
    if known:
        some = ", ".join(map(str, sorted(known)[:FINDINGS_MAX]))
        also = f" OR arrayExists(o -> o >= first AND o <= any(last), [{some}])"
    since = ""
    if scope.since > scope.whole:  # the table is ordered by time, so a short audit reads little of it
        since = f" AND timestamp >= (SELECT min(oldest) FROM ({ranges}))"
    rows = scope.ask(
        f"""
        SELECT first, any(last), sum(expected), max(old)
        FROM
        (
            SELECT r.first AS first, r.last AS last, 0 AS expected, 1 AS found, 0 AS old
            FROM
            (
                SELECT kafkaOffset, kafkaPartition AS p FROM {scope.events}
                WHERE kafkaTopicId = {quoted(topic_id)} AND kafkaPartition = {partition}{since}
            ) AS e
            ASOF JOIN (SELECT first, last, toUInt32({partition}) AS p FROM ({ranges})) AS r
            ON e.p = r.p AND e.kafkaOffset >= r.first
            WHERE e.kafkaOffset <= r.last
            UNION ALL
            SELECT first, last, inserted, 0, aged FROM ({ranges})
        )
        GROUP BY first
        HAVING (sum(found) != sum(expected) AND NOT (max(old) AND sum(found) < sum(expected))){also}
        ORDER BY first LIMIT {LOOKED_INTO_MAX}
        """
    )
    return [Range(topic_id, partition, first, last, inserted, bool(aged)) for first, last, inserted, aged in rows]


def _look_into(scope: Scope, range_: Range) -> list[Finding]:
    """Name the offsets of one range."""
    topic_id, partition, first, last, inserted, aged = range_
    within = lineage.between(first, last + 1)
    rows = scope.ask(
        f"SELECT kafkaOffset, count() FROM {scope.events} WHERE kafkaTopicId = {quoted(topic_id)}"
        f" AND kafkaPartition = {partition} AND ({within}) GROUP BY kafkaOffset ORDER BY kafkaOffset"
    )
    findings = [
        Finding(
            Kind.DOUBLED, topic_id, partition, offset, offset,
            f"partition {partition}: offset {offset} has {copies} rows in the table",
        )
        for offset, copies in rows
        if copies > 1
    ][:FINDINGS_MAX]  # fmt: skip
    present = len(rows)
    where = f"partition {partition}: {offsets(first, last)}"
    counted = f"the ledger counts {inserted} inserted, the table has {present}"
    if present < inserted and not aged:
        absent = _absent(first, last, {offset for offset, _ in rows})
        low, high = (absent[0], absent[-1]) if len(absent) == inserted - present else (first, last)
        text = f"{where}: {counted}; {_naming(absent, inserted - present)}"
        findings.append(Finding(Kind.LOST, topic_id, partition, low, high, text))
    elif present > inserted:
        text = f"{where}: {counted}"
        findings.append(Finding(Kind.UNCOUNTED, topic_id, partition, first, last, text))
    return findings


def _absent(first: int, last: int, present: set[int]) -> list[int]:
    return [offset for offset in range(first, last + 1) if offset not in present]


def _naming(absent: list[int], lost: int) -> str:
    """The lost offsets, or those among which they are: duplicates and the like have no rows either."""
    names = ", ".join(map(str, absent[:NAMED_MAX])) + (", …" if len(absent) > NAMED_MAX else "")
    if len(absent) == lost:
        return f"lost: {names}"
    return f"{lost} of these {len(absent)} are lost: {names}"


def uncovered(scope: Scope, partitions: Iterable[int], only: frozenset[int] | None) -> list[Finding]:
    """Rows without a ledger row, in runs of consecutive offsets."""
    findings = []
    for partition in sorted(set(partitions) if only is None else only):
        ranges = lineage.ledger_ranges(scope.client, scope.database, partition)
        found = lineage.orphans(scope.client, scope.database, partition, ranges)
        # Within a run, offset minus position stays the same.
        numbered = enumerate(dict.fromkeys((o.topic_id, o.offset) for o in found))
        for (topic_id, _), run in groupby(numbered, key=lambda x: (x[1][0], x[1][1] - x[0])):
            members = [offset for _, (_, offset) in run]
            first, last = members[0], members[-1]
            text = (
                f"partition {partition}: {offsets(first, last)} have rows and no ledger row; the next start closes this"
            )
            findings.append(Finding(Kind.UNCOVERED, topic_id, partition, first, last, text))
    return findings[:FINDINGS_MAX]
