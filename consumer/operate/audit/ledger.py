"""Does the ledger account for every offset, once a pass? And does the group's commit agree with it?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from consumer.adapters.lineage import TILES, gaps, merged
from consumer.adapters.sql import quoted
from consumer.core.lease import read_note
from consumer.operate.audit.scope import FINDINGS_MAX, Scope, utc
from consumer.operate.audit.values import Finding, Kind, Pass

SPENT = "inserted + duplicates + rejected + ignored + expired + missing"
TWO_WRITERS_SECONDS = 600
"""A group that writes again, less than this after another group did, writes at the same time as that one. New groups one
after the other are an operator's re-reads."""

Commits = Mapping[int, tuple[int, str | None]]
"""Partition -> committed offset and its metadata."""


def passes(scope: Scope) -> list[Pass]:
    """All there are, old topic ids included, in the order in which they began."""
    rows = scope.ask(
        f"""
        SELECT
            kafkaTopicId, kafkaPartition, groupId, pass, min(firstOffset), max(lastOffset) + 1, count(),
            sum(inserted), sum(duplicates), sum(rejected), sum(ignored), sum(expired), sum(missing),
            min(landedAt), max(landedAt), {TILES}, countIf({SPENT} != lastOffset + 1 - firstOffset),
            sumIf(inserted, inserted > 0 AND minTimestamp < toDateTime({scope.whole_seconds}))
        FROM {scope.ledger}
        GROUP BY kafkaTopicId, kafkaPartition, groupId, pass
        ORDER BY kafkaPartition, min(landedAt), pass
        """
    )
    return [Pass(*row) for row in ((*r[:13], utc(r[13]), utc(r[14]), bool(r[15]), *r[16:]) for r in rows)]


def broken(scope: Scope, found: Iterable[Pass]) -> list[Finding]:
    """Gaps, overlaps and counts that don't add up, inside single passes."""
    findings: list[Finding] = []
    for p in found:
        if not p.whole:
            findings += _gaps_and_overlaps(scope, p)
        if p.unbalanced:
            findings += _unbalanced(scope, p)
    return findings


def _of(p: Pass) -> str:
    return (
        f"kafkaTopicId = {quoted(p.topic_id)} AND kafkaPartition = {p.partition} AND groupId = {quoted(p.group)}"
        f" AND pass = {p.number}"
    )


def _gaps_and_overlaps(scope: Scope, p: Pass) -> list[Finding]:
    rows = scope.ask(
        f"""
        SELECT firstOffset, lastOffset, before
        FROM
        (
            SELECT firstOffset, lastOffset, max(lastOffset + 1) OVER (ORDER BY firstOffset
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
            FROM {scope.ledger} AND {_of(p)}
        )
        WHERE firstOffset != before AND firstOffset != {p.first}
        ORDER BY firstOffset LIMIT {FINDINGS_MAX}
        """
    )
    findings = []
    for first, last, before in rows:
        if before < first:
            where = offsets(before, first - 1)
            text = f"partition {p.partition}: the ledger has no row for {where} (pass {p.number} of {p.group})"
            findings.append(Finding(Kind.GAP, p.topic_id, p.partition, before, first - 1, text))
        else:
            end = min(before - 1, last)
            where = offsets(first, end)
            text = f"partition {p.partition}: the ledger has {where} twice (pass {p.number} of {p.group})"
            findings.append(Finding(Kind.OVERLAP, p.topic_id, p.partition, first, end, text))
    return findings


def _unbalanced(scope: Scope, p: Pass) -> list[Finding]:
    rows = scope.ask(
        f"SELECT firstOffset, lastOffset, {SPENT} FROM {scope.ledger} AND {_of(p)}"
        f" AND {SPENT} != lastOffset + 1 - firstOffset ORDER BY firstOffset LIMIT {FINDINGS_MAX}"
    )
    return [
        Finding(
            Kind.UNBALANCED, p.topic_id, p.partition, first, last,
            f"partition {p.partition}: the ledger row of {offsets(first, last)} accounts for {spent} records"
            f" of {last + 1 - first}",
        )
        for first, last, spent in rows
    ]  # fmt: skip


def skipped(found: Iterable[Pass]) -> list[Finding]:
    """What lies between passes and is in none, of whatever group: a reset went past it."""
    ranges: defaultdict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    for p in found:
        ranges[p.topic_id, p.partition].append((p.first, p.end))
    findings = []
    for (topic_id, partition), covered in ranges.items():
        islands = merged(covered)
        for first, end in gaps(islands):
            if end is None or first < islands[0][0]:
                continue
            text = f"partition {partition}: {offsets(first, end - 1)} were skipped by a reset and never read; reset the group to {first} to read them"
            findings.append(Finding(Kind.SKIPPED, topic_id, partition, first, end - 1, text))
    return findings


def two_writers(scope: Scope, found: Iterable[Pass]) -> list[Finding]:
    """Groups whose batches of one partition alternate in time."""
    groups: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
    for p in found:
        groups[p.topic_id, p.partition].add(p.group)
    return [
        finding
        for (topic_id, partition), names in groups.items()
        if len(names) > 1
        for finding in _alternations(scope, topic_id, partition)
    ]


def _alternations(scope: Scope, topic_id: str, partition: int) -> list[Finding]:
    [(returns, names, first, last, began, ended)] = scope.ask(
        f"""
        SELECT count(), arraySort(groupUniqArrayArray([groupId, before])), min(firstOffset), max(lastOffset),
            toString(toDateTime(min(landedAt))), toString(toDateTime(max(landedAt)))
        FROM
        (
            SELECT firstOffset, lastOffset, groupId, landedAt,
                lagInFrame(groupId) OVER w AS before, lagInFrame(landedAt) OVER w AS landed_before,
                min(landedAt) OVER (PARTITION BY groupId) AS group_began
            FROM {scope.ledger} AND kafkaTopicId = {quoted(topic_id)} AND kafkaPartition = {partition}
                AND landedAt >= toDateTime({scope.since_seconds})
            WINDOW w AS (ORDER BY landedAt, groupId, firstOffset ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
        )
        WHERE groupId != before AND group_began < landed_before
            AND landedAt <= landed_before + INTERVAL {TWO_WRITERS_SECONDS} SECOND
        """
    )
    if not returns:
        return []
    text = (
        f"partition {partition}: groups {' and '.join(names)} wrote at the same time, {offsets(first, last)},"
        f" {began} to {ended} UTC: stop one of them"
    )
    return [Finding(Kind.TWO_WRITERS, topic_id, partition, first, last, text)]


def disagreements(
    found: Sequence[Pass], committed: Commits, topic_id: str | None, group: str | None
) -> tuple[list[Finding], list[str]]:
    """Findings and notes about committed offsets, which must have been read before the ledger was.

    A commit of our own ahead of the ledger went past what has landed. One behind it is a crash between the ledger
    row and the commit, or a batch just landing: the consumer goes on from the ledger. A commit that is not ours is
    somebody's reset, which the next start turns into a new pass; only one that would skip records is a finding.
    """
    findings, notes = [], []
    for partition, (offset, metadata) in sorted(committed.items()):
        newest = _newest(found, partition, topic_id, group)
        if newest is None or offset < 0:
            continue
        note = read_note(metadata)
        ours = note is not None and (note.topic_id, note.group) == (newest.topic_id, newest.group)
        where = f"partition {partition}: {newest.group} has committed {offset}, the ledger ends at {newest.end}"
        if ours and offset > newest.end:
            text = f"{where}: no ledger row for {offsets(newest.end, offset - 1)}"
            findings.append(Finding(Kind.COMMITTED, newest.topic_id, partition, newest.end, offset - 1, text))
        elif ours and offset < newest.end:
            notes.append(f"{where}: the consumer goes on from {newest.end}")
        elif offset > newest.end:
            skipped = offsets(newest.end, offset - 1)
            text = f"{where}: an offset reset; the next start reads on from {offset} and would skip {skipped}"
            findings.append(Finding(Kind.COMMITTED, newest.topic_id, partition, newest.end, offset - 1, text))
        elif offset < newest.end and not ours:
            notes.append(f"{where}: an offset reset; the next start reads on from {offset} as a new pass")
    return findings, notes


def _newest(found: Iterable[Pass], partition: int, topic_id: str | None, group: str | None) -> Pass | None:
    """The pass that a commit of this partition belongs to; without names, the one that was written last."""
    candidates = [
        p for p in found if p.partition == partition and topic_id in (None, p.topic_id) and group in (None, p.group)
    ]
    last = max(candidates, key=lambda p: p.landed_last, default=None)
    same = [p for p in candidates if last and (p.topic_id, p.group) == (last.topic_id, last.group)]
    return max(same, key=lambda p: p.number, default=None)


def offsets(first: int, last: int) -> str:
    """A range, both ends included, in words.

    >>> offsets(3, 3), offsets(3, 5)
    ('offset 3', 'offsets 3-5')
    """
    return f"offset {first}" if first == last else f"offsets {first}-{last}"
