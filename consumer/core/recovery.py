"""What recovery makes of the rows that landed without a ledger row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from consumer.core.batch import SECONDS_A_DAY, LedgerRow
from consumer.core.effects import Landed, Orphan
from consumer.core.position import PassRange, Place


def is_reread(place: Place, passes: Iterable[PassRange], topic_id: str) -> bool:
    """Is what we are about to read covered by a ledger row already, of whatever pass or group?"""
    return any(p.end > place.offset for p in passes if p.topic_id == topic_id)


def days_by_topic(orphans: Iterable[Orphan]) -> dict[str, tuple[int, ...] | None]:
    """The days whose summary may lack rows, by topic id."""
    days: defaultdict[str, set[int]] = defaultdict(set)
    for orphan in orphans:
        days[orphan.topic_id].add(orphan.seconds // SECONDS_A_DAY)
    return {topic_id: tuple(sorted(found)) for topic_id, found in days.items()}


def unread_orphans(orphans: Iterable[Orphan], topic_id: str, place: Place) -> dict[int, int]:
    """Those that reading on will come across: offset -> event time in seconds."""
    return {o.offset: o.seconds for o in orphans if o.topic_id == topic_id and o.offset >= place.offset}


def closing_rows(landed: Landed, topic_id: str, partition: int, group: str, place: Place) -> list[LedgerRow]:
    """Ledger rows for orphans that reading on can't reach: those of another topic id, and those that an operator's
    reset went past. Each goes on where the last pass of its topic ended, so that the pass stays without a gap."""
    unreachable: defaultdict[str, list[Orphan]] = defaultdict(list)
    for orphan in landed.orphans:
        if orphan.topic_id != topic_id or orphan.offset < place.offset:
            unreachable[orphan.topic_id].append(orphan)
    return [_closing_row(found, landed.passes, partition, group) for found in unreachable.values()]


def _closing_row(orphans: Sequence[Orphan], passes: Iterable[PassRange], partition: int, group: str) -> LedgerRow:
    topic_id = orphans[0].topic_id
    first = min(o.offset for o in orphans)
    last = max(o.offset for o in orphans)
    ours = [p for p in passes if p.topic_id == topic_id and p.group == group]
    before = max(ours, key=lambda p: p.number, default=None)
    if before is not None and before.end <= first:
        first = before.end
    seconds = [o.seconds for o in orphans]
    return LedgerRow(
        topic_id=topic_id,
        partition=partition,
        group=group,
        number=before.number if before else 0,
        first=first,
        last=last,
        min_timestamp=min(seconds),
        max_timestamp=max(seconds),
        inserted=len(orphans),
        duplicates=0,
        rejected=0,
        ignored=0,
        expired=0,
        missing=last + 1 - first - len(orphans),
    )
