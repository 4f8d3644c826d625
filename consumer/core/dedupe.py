"""Which payments are duplicates: exact, bounded in memory, with no state of its own.

A payment is a duplicate when the table holds one with the same (sessionId, eventType) on the same UTC day, the day
before or the day after. The index is a cache of the table's keys by scope and day: days are read into it (`hydrate`)
when a batch first needs them, grow by what lands, and leave least recently used first when the memory budget is
exceeded; the table has them still. What it says is as exact as 128-bit hashes are: see `consumer.core.hashing`.

The life of one partition is strictly sequential, so one batch at a time is asked about:

    to_hydrate -> hydrate each -> duplicates -> (the batch lands) -> landed

Call it from one thread; only `hash_keys` may run elsewhere.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import numpy as np
import numpy.typing as npt

from consumer.core.batch import I64, Keys
from consumer.core.hashing import hash_keys, hash_rows
from consumer.core.keyset import KeySet
from consumer.core.repeats import repeats

__all__ = ["SHARED", "KeyIndex", "Scope", "hash_keys", "hash_rows"]

Scope = int
"""Whose rows: a partition's number for its rows of the topic as it is now, or SHARED."""
SHARED: Final[Scope] = -1
"""The rows of all other topic ids (the topic was made anew, or mirrored), whatever their partition: one index for
the process, because the copy of an event may have been in another partition there."""

DAY_OVERHEAD_BYTES = 700
"""What a day costs without a single key: the set, its empty arrays, its place in the index."""

Entry = tuple[Scope, int]
"""A scope and a day: UTC days since 1970."""


class KeyIndex:
    """The keys of landed rows, by scope and UTC day."""

    def __init__(self, memory_bytes: int) -> None:
        """Hold at most `memory_bytes`, or what the batches being decided need where that is more."""
        self.memory_bytes = memory_bytes
        self.shared_topic_id = ""
        """The topic id that SHARED leaves out. Who finds another here must start over: its SHARED is not this one."""
        self.shared_version = 0
        """Raised whenever SHARED was forgotten: an answer to a question of before must not be given any more."""
        self.evictions = 0
        """Days that left to make room."""
        self.hits = 0
        """Duplicates found."""
        self._days: OrderedDict[Entry, KeySet] = OrderedDict()  # the least recently used first
        self._bytes = 0
        self._in_use: dict[int, set[Entry]] = {}

    @property
    def keys(self) -> int:
        """Keys held, of all scopes and days."""
        return sum(len(held) for held in self._days.values())

    @property
    def bytes(self) -> int:
        """Memory held."""
        return self._bytes

    def to_hydrate(self, partition: int, days: I64) -> list[Entry]:
        """What a batch with payments on `days` needs and is not here: read each from the table and `hydrate` it.

        From now until `landed` or `forget`, what the batch needs stays; what its last one needed may go.
        """
        needed = [(scope, day) for scope in (partition, SHARED) for day in _with_neighbours(days)]
        self._in_use[partition] = set(needed)
        self._evict()
        return [entry for entry in needed if not self._touch(entry)]

    def hydrate(self, scope: Scope, day: int, keys: Keys) -> None:
        """`keys` are all that the table holds of this scope and day, in one call: the day counts as known after it.

        They are merged with what is here, so an answer that took long takes nothing back. One that nobody waits for
        any more (its partition was forgotten) is dropped: who knows what has landed since. An answer to a question of
        before a `forget` must not be given after the question was asked again.
        """
        if any((scope, day) in in_use for in_use in self._in_use.values()):
            self._add((scope, day), keys)
            self._evict()

    def duplicates(self, partition: int, keys: Keys, days: I64) -> npt.NDArray[np.bool_]:
        """True for each payment, in offset order, that is a duplicate of a landed row or of an earlier payment of
        this batch that is none itself (the same key on three days in a row: the first and the third are kept).

        Raises KeyError if a day is needed that was not hydrated.
        """
        found = np.zeros(len(keys), dtype=np.bool_)
        present = np.unique(days)
        for day in present.tolist():
            which = slice(None) if len(present) == 1 else np.flatnonzero(days == day)
            found[which] = self._landed_near(partition, day, keys[which])
        # Only what the table doesn't hold can be kept, and only what is kept has duplicates in the batch.
        left = np.flatnonzero(~found)
        found[left] = repeats(keys[left], days[left])
        self.hits += int(np.count_nonzero(found))
        return found

    def landed(self, partition: int, keys: Keys, days: I64) -> None:
        """The kept payments are rows of the table now, and what the batch had in use is free to leave.

        Days that are not here stay so: they are read from the table when next needed.
        """
        present = np.unique(days)
        for day in present.tolist():
            if (partition, day) in self._days:
                self._add((partition, day), keys if len(present) == 1 else keys[days == day], new=True)
        self._in_use.pop(partition, None)
        self._evict()

    def forget(self, scope: Scope) -> None:
        """Drop all that is known of a partition: it was revoked, or is recovered because the outcome of a write is
        unknown. SHARED is to be forgotten when the topic was made anew: its old rows are other topic ids' from then on.
        """
        self._in_use.pop(scope, None)
        for entry in [entry for entry in self._days if entry[0] == scope]:
            self._drop(entry)
        self._evict()

    def _landed_near(self, partition: int, day: int, keys: Keys) -> npt.NDArray[np.bool_]:
        """Whether the key of each is on `day` or next to it. Most duplicates are copies, so the day itself comes first."""
        found = np.zeros(len(keys), dtype=np.bool_)
        left = np.arange(len(keys))
        for entry in [(scope, near) for near in (day, day - 1, day + 1) for scope in (partition, SHARED)]:
            held = self._days[entry]
            if len(held) and len(left):
                here = held.contains(keys if len(left) == len(keys) else keys[left])
                if here.any():
                    found[left[here]] = True
                    left = left[~here]
        return found

    def _add(self, entry: Entry, keys: Keys, *, new: bool = False) -> None:
        held = self._days.get(entry)
        if held is None:
            held = self._days[entry] = KeySet()
            self._bytes += DAY_OVERHEAD_BYTES
        before = held.nbytes
        if new:  # what is kept was not here and does not repeat: `duplicates` has just looked
            held.add_new(keys)
        else:
            held.add(keys)
        self._bytes += held.nbytes - before
        self._days.move_to_end(entry)

    def _touch(self, entry: Entry) -> bool:
        """Mark as used just now; False if it is not here."""
        if entry not in self._days:
            return False
        self._days.move_to_end(entry)
        return True

    def _drop(self, entry: Entry) -> None:
        self._bytes -= self._days.pop(entry).nbytes + DAY_OVERHEAD_BYTES

    def _evict(self) -> None:
        if self._bytes <= self.memory_bytes:
            return
        in_use = set().union(*self._in_use.values())
        for entry in [entry for entry in self._days if entry not in in_use]:
            self._drop(entry)
            self.evictions += 1
            if self._bytes <= self.memory_bytes:
                return


def _with_neighbours(days: I64) -> list[int]:
    """The days, the days before and the days after, in order."""
    present = np.unique(days)
    near: list[int] = np.unique(np.concatenate((present - 1, present, present + 1))).tolist()
    return near
