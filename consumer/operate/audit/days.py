"""What is compared day by day: copies of an event, and the summary with the events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from consumer.core.batch import SECONDS_A_DAY
from consumer.operate.audit.scope import FINDINGS_MAX, Scope, day_of
from consumer.operate.audit.values import Finding, Kind
from consumer.operate.summary import COUNTS, differences


class Census(NamedTuple):
    """What the table holds of the days that are compared."""

    rows_of_day: dict[int, int]
    partitions: frozenset[int]
    adopted: bool
    """Some rows are from before we wrote to the table."""


def census(scope: Scope) -> Census:
    rows = scope.ask(
        "SELECT toUInt32(toUInt16(toDate(timestamp, 'UTC'))) AS day, count(),"
        " groupUniqArrayIf(kafkaPartition, kafkaTopicId != ''), countIf(kafkaTopicId = '')"
        f" FROM {scope.events} WHERE timestamp >= toDateTime({scope.since_seconds}) GROUP BY day"
    )
    partitions = frozenset(partition for row in rows for partition in row[2])
    return Census({row[0]: row[1] for row in rows}, partitions, any(row[3] for row in rows))


class Copy(NamedTuple):
    """One row of an event that has several."""

    day: int
    topic_id: str
    partition: int
    offset: int


def copies(scope: Scope, first_day: int, last_day: int, *, adopted: bool) -> tuple[list[Finding], int]:
    """Copies whose earlier row is on one of these days, and how many keys could not be looked at.

    `adopted`: the table holds rows from before we wrote to it; those count only as copies of ours.
    Grouped are 64-bit hashes; what is in a group by accident is sorted out with the strings.
    """
    where = f"timestamp >= toDateTime({first_day * SECONDS_A_DAY}) AND timestamp < toDateTime({(last_day + 2) * SECONDS_A_DAY})"
    [(many, hashes)] = scope.ask(
        f"""
        SELECT count(), groupArray({FINDINGS_MAX})(key)
        FROM
        (
            SELECT cityHash64(sessionId, eventType) AS key FROM {scope.events} WHERE {where}
            GROUP BY key HAVING count() > 1{" AND max(kafkaTopicId != '')" if adopted else ""}
        )
        """
    )
    if not many:
        return [], 0
    rows = scope.ask(
        f"""
        SELECT sessionId, eventType, groupArray((toUInt32(toUInt16(toDate(timestamp, 'UTC'))), kafkaTopicId,
            kafkaPartition, kafkaOffset))
        FROM {scope.events}
        WHERE {where} AND cityHash64(sessionId, eventType) IN ({", ".join(map(str, hashes))})
        GROUP BY sessionId, eventType HAVING count() > 1
        """
    )
    findings = [f for session, event, found in rows for f in judge_copies(session, event, [Copy(*c) for c in found])]
    return findings, many - len(hashes)


def judge_copies(session: str, event: str, found: Sequence[Copy]) -> list[Finding]:
    """What is wrong about the rows of one (sessionId, eventType), if anything.

    Rows of one Kafka record are DOUBLED wherever they lie; rows of different records are a DUPLICATE when two
    follow each other within the window: the same UTC day or the next. The later record is the copy.
    """
    findings = []
    ordered = sorted(found)
    records = []
    for record, group in groupby(sorted(ordered, key=lambda c: c[1:]), key=lambda c: c[1:]):
        same = list(group)
        records.append(min(same))
        topic_id, partition, offset = record
        if len(same) > 1 and topic_id:
            text = f"partition {partition}: offset {offset} has {len(same)} rows in the table ({event} of session {session})"
            findings.append(Finding(Kind.DOUBLED, topic_id, partition, offset, offset, text, day_of(same[0].day)))
    for a, b in pairwise(sorted(records)):
        if b.day - a.day > 1 or not (a.topic_id or b.topic_id):
            continue
        first, copy = (a, b) if b.topic_id else (b, a)
        text = (
            f"partition {copy.partition}: offset {copy.offset} repeats {event} of session {session},"
            f" which is at {_place(first, copy)} already"
        )
        kind = Kind.DUPLICATE
        findings.append(Finding(kind, copy.topic_id, copy.partition, copy.offset, copy.offset, text, day_of(copy.day)))
    return findings


def _place(row: Copy, seen_from: Copy) -> str:
    if not row.topic_id:
        return "a row from before"
    elsewhere = "" if row.topic_id == seen_from.topic_id else f" of topic id {row.topic_id}"
    return f"partition {row.partition} offset {row.offset}{elsewhere}"


def doubled_offsets(found: Iterable[Finding]) -> dict[tuple[str, int], set[int]]:
    offsets: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    for f in found:
        if f.kind is Kind.DOUBLED:
            offsets[f.topic_id, f.partition].add(f.first)
    return offsets


def drift(scope: Scope, days: Sequence[int], only: frozenset[int] | None) -> list[Finding]:
    """The summary days that are not what the events say, one finding a day, topic id and partition."""
    condition = "1" if only is None else f"kafkaPartition IN ({', '.join(map(str, sorted(only)))})"
    keys = ", kafkaTopicId, kafkaPartition"
    inside = differences(scope.database, condition, list(days), keys)
    wrong = " OR ".join(f"sum(d.{name}) != 0" for name in COUNTS)
    sides = ", ".join(f"sumIf(d.{name}, d.side = 0), -sumIf(d.{name}, d.side = 1)" for name in COUNTS)
    rows = scope.ask(
        f"""
        SELECT toUInt32(toUInt16(date)), kafkaTopicId, kafkaPartition, toString(paymentMethod), {sides},
            uniqExactMerge(d.there), uniqExactMerge(d.known), uniqExactMerge(d.both)
        FROM ({inside}) AS d
        GROUP BY date, paymentMethod{keys}
        HAVING {wrong} OR uniqExactMerge(d.there) != uniqExactMerge(d.both)
            OR uniqExactMerge(d.known) != uniqExactMerge(d.both)
        ORDER BY date, kafkaTopicId, kafkaPartition, paymentMethod LIMIT {FINDINGS_MAX * 6}
        """
    )
    return [
        _drifted(day, topic_id, partition, [row[3:] for row in methods])
        for (day, topic_id, partition), methods in groupby(rows, key=lambda row: tuple(row[:3]))
    ]


def _drifted(day: int, topic_id: str, partition: int, methods: Sequence[Sequence[object]]) -> Finding:
    parts, rebuild = [], False
    for method, *figures in methods:
        *pairs, there, known, both = figures
        for name, true, shown in zip(COUNTS, pairs[0::2], pairs[1::2], strict=True):
            if true != shown:
                parts.append(f"{method} {name} {shown} instead of {true}")
        if known != both or there != both:
            parts.append(f"{method} buyers {known} instead of {there}")
        rebuild = rebuild or there != both
    where = f"partition {partition}" if topic_id else "rows from before"
    text = f"{where}: summary of {day_of(day)} is not what the events say: {', '.join(parts)}"
    return Finding(Kind.DRIFT, topic_id, partition, -1, -1, text, day_of(day), rebuild)
