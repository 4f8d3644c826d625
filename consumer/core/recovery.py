"""What recovery makes of the rows that landed without a ledger row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from consumer.core.batch import SECONDS_A_DAY, LedgerRow
from consumer.core.effects import Landed, Orphan
from consumer.core.position import PassRange, Place


def is_reread(place: Place, passes: Iterable[PassRange], topic_id: str) -> bool:
    """Is what we are about to read covered by a ledger row already, of whatever pass or group?"""
    return any(p.end > place.offset for p in passes if p.topic_id == topic_id)


def days_to_mend(
    landed: Landed, topic_id: str, *, clean: bool, reread: bool, moved: bool
) -> dict[str, tuple[int, ...] | None]:
    """The days whose summary may lack rows, by topic id; None stands for all that are young enough.

    Those of the orphans. But a ledger row of an older pass hides the orphans of a newer one, so when a write may
    have broken off (not `clean`) more is mended: in a re-read (`reread`) all of this topic, and if somebody moved the
    offsets since (`moved`: the commit tells us nothing of the pass that broke off) all of every topic known here.
    """
    days: defaultdict[str, set[int]] = defaultdict(set)
    for orphan in landed.orphans:
        days[orphan.topic_id].add(orphan.seconds // SECONDS_A_DAY)
    mend: dict[str, tuple[int, ...] | None] = {topic: tuple(sorted(found)) for topic, found in days.items()}
    if not clean and reread:
        mend[topic_id] = None
    if not clean and moved:
        mend.update(dict.fromkeys({*mend, *(p.topic_id for p in landed.passes)}))
    return mend


def _is_unread(orphan: Orphan, topic_id: str, place: Place) -> bool:
    """Will reading on come across it? Not where the log was cut: its offsets may mean other records by now."""
    return orphan.topic_id == topic_id and orphan.offset >= place.offset and not place.beyond_log


def unread_orphans(orphans: Iterable[Orphan], topic_id: str, place: Place) -> dict[int, int]:
    """Those that reading on will come across: offset -> event time in seconds."""
    return {o.offset: o.seconds for o in orphans if _is_unread(o, topic_id, place)}


def closing_rows(landed: Landed, topic_id: str, partition: int, group: str, place: Place) -> list[LedgerRow]:
    """Ledger rows for orphans that reading on can't reach: those of another topic id, and those that an operator's
    reset went past. Each goes on where a pass of its topic ended, so that the pass stays without a gap."""
    unreachable: defaultdict[str, list[Orphan]] = defaultdict(list)
    for orphan in landed.orphans:
        if not _is_unread(orphan, topic_id, place):
            unreachable[orphan.topic_id].append(orphan)
    return [_closing_row(found, landed.passes, partition, group) for found in unreachable.values()]


def beside_closed(place: Place, passes: Iterable[PassRange], closing: Iterable[LedgerRow], topic_id: str) -> Place:
    """The place, in a pass of its own if a closing row would leave a gap in the one it is in."""
    closed = [row for row in closing if row.topic_id == topic_id]
    if not any(row.number == place.number and row.last + 1 != place.offset for row in closed):
        return place
    group = closed[0].group
    numbers = [row.number for row in closed] + [p.number for p in passes if (p.topic_id, p.group) == (topic_id, group)]
    return replace(place, number=max(numbers) + 1)


def _closing_row(orphans: Sequence[Orphan], passes: Iterable[PassRange], partition: int, group: str) -> LedgerRow:
    topic_id = orphans[0].topic_id
    first = min(o.offset for o in orphans)
    last = max(o.offset for o in orphans)
    ours = [p for p in passes if p.topic_id == topic_id and p.group == group]
    # The pass that broke off there: none reaches nearer to the first orphan. If none ends before it, a pass of its own.
    before = max((p for p in ours if p.end <= first), key=lambda p: (p.end, p.number), default=None)
    if before is not None:
        first, number = before.end, before.number
    else:
        number = max((p.number + 1 for p in ours), default=0)
    seconds = [o.seconds for o in orphans]
    return LedgerRow(
        topic_id=topic_id,
        partition=partition,
        group=group,
        number=number,
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
