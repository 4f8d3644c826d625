"""Where to go on reading a partition: what the group committed, held against what the ledger says has landed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from consumer.core.lease import Note


@dataclass(frozen=True, slots=True)
class Committed:
    """A partition's committed offset; None when the group has none. `note` is None on a commit not of our making."""

    offset: int | None
    note: Note | None = None


@dataclass(frozen=True, slots=True)
class PassRange:
    """What the ledger holds of one pass of one group over one topic: offsets [first, end)."""

    topic_id: str
    group: str
    number: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Log:
    """A partition's log at the broker: offsets [low, high)."""

    topic_id: str
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Place:
    """Go on at `offset` in pass `number`. `why` is for the log; empty when it is the ordinary case."""

    offset: int
    number: int
    why: str = ""
    beyond_log: bool = False
    """The log seems to end before what we have read of it."""
    lost: bool = False
    """The ledger knew more when the group committed: nobody can go on from here without being told where."""


def own_note(committed: Committed, topic_id: str, group: str) -> Note | None:
    """The commit's note if it speaks of this very topic and group."""
    note = committed.note
    return note if note and note.topic_id == topic_id and note.group == group else None


def locate(
    committed: Committed,
    group: str,
    passes: Sequence[PassRange],
    log: Log,
    orphan_topics: Collection[str] = (),
) -> Place:
    """The ledger wins over a commit that fell behind it, and must not itself be behind one of ours; an offset that is
    neither ours nor the ledger's end is an operator's will and begins a new pass; a topic made anew is read from its
    start.

    `orphan_topics` are the topic ids of rows without a ledger row.
    """
    ours = [p for p in passes if p.topic_id == log.topic_id and p.group == group]
    place = _ordinary_place(committed, group, passes, log, ours, orphan_topics)
    if place.offset <= log.high:
        return place
    # The log ends before what we have read of it: it was cut, or made anew under a name that hides it.
    number = max([place.number, *(p.number for p in ours)]) + 1
    why = f"the log ends at {log.high}, before our position {place.offset}: read again from its start"
    return Place(log.low, number, why, beyond_log=True)


def _ordinary_place(
    committed: Committed,
    group: str,
    passes: Sequence[PassRange],
    log: Log,
    ours: Sequence[PassRange],
    orphan_topics: Collection[str],
) -> Place:
    note = committed.note
    last = max(ours, key=lambda p: p.number, default=None)
    if committed.offset is None or (note is not None and note.topic_id != log.topic_id):
        # A note that speaks of another topic is ours, not an operator's: Kafka may keep an offset by the topic's
        # name although the topic was deleted and made again.
        found = "no committed offset" if committed.offset is None else "the topic was made anew"
        if last is not None:
            return Place(last.end, last.number, f"{found}: the ledger's end")
        return Place(log.low, 0, f"{found}: the log's start")
    if own_note(committed, log.topic_id, group) is not None and note is not None:
        return _own_place(committed.offset, note.pass_, ours)
    if _made_anew(passes, orphan_topics, log):
        return Place(log.low, 0, "the topic was made anew: its log's start")
    if last is None:
        return Place(committed.offset, 0, "an offset set by hand: a first pass from there")
    if committed.offset == last.end:
        return Place(last.end, last.number)
    why = f"an offset set by hand, not the ledger's end {last.end}: a new pass"
    return Place(committed.offset, last.number + 1, why)


def _own_place(offset: int, number: int, ours: Sequence[PassRange]) -> Place:
    """A commit follows its ledger row, so it is never ahead of the ledger of its pass, as long as that keeps its rows:
    a restored backup or a server that lost power has lost some, and with them the events of the same moments."""
    end = next((p.end for p in ours if p.number == number), offset)
    if end < offset:
        why = (
            f"the group has committed {offset}, but the ledger ends at {end}: what had landed in between is gone, as"
            f" after restoring a backup. Stop the consumers and reset the group to {end} to read it again (or to"
            f" {offset} by hand, to go on without it)"
        )
        return Place(end, number, why, lost=True)
    return Place(end, number, "the ledger is ahead of the commit" if end > offset else "")


def _made_anew(passes: Sequence[PassRange], orphan_topics: Collection[str], log: Log) -> bool:
    """Does the sink know this partition under other topic ids only? Then an offset without a note was kept by the
    topic's name."""
    known = {p.topic_id for p in passes}
    return log.topic_id not in known and bool(known | set(orphan_topics) - {log.topic_id})
