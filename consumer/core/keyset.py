"""A set of 128-bit keys in two numpy arrays, built and asked for whole batches at once.

A Swiss table turned sideways. Slots are grouped in buckets of eight, and every bucket has one 64-bit word of tags:
a byte of each of its keys, 0 for a free slot. A key's home bucket is its low half scaled to the number of buckets
(which so need not be a power of two); it lives in the first bucket from there on that had room. Buckets fill from
the left and nothing is ever removed (a day leaves the index as a whole), so a bucket with a free last slot ends
every search. To ask for a batch is one gather of tag words and a few operations on 64-bit integers a round; the
keys themselves, 16 bytes, are read only where a tag agrees: for those that are here and 2% of those that aren't.

Keys are put in sorted by their low half, which is the order of their homes: those that want one bucket stand
together and get its slots by their rank, and memory is written from front to back.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from consumer.core.batch import Keys

Words = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]
Found = npt.NDArray[np.bool_]

BUCKET = 8
"""Slots a bucket: the bytes of a word of tags."""
LOAD_MAX = 0.7
"""Keys a slot. At 0.7 one bucket in four is full and sends its searches on to the next, at 0.8 nearly every second."""
GROWTH = 1.6
"""A set that is full becomes so much larger: 24 to 39 bytes a key, and each key moves once or twice."""
CHUNK = 32_768
"""Keys handled together, so that what is computed for them stays in the core's own cache."""
MAPPED_BYTES_MIN = 8_192
"""Smaller arrays come from the allocator: a mapping takes whole pages and a call to the system. Larger ones would leave
a hole in its heap whenever a set outgrows them: sets of days that a few late events reach stay small for long."""
HUGE_PAGE = 1 << 21
"""Arrays of at least two of these are aligned to them: a lookup that misses no page table is a fifth faster."""

_EACH_BYTE = np.uint64(0x0101010101010101)
_TOP_BITS = np.uint64(0x8080808080808080)
_LOW_BITS = np.uint64(0x7F7F7F7F7F7F7F7F)
_ONE, _THREE, _HALF, _LAST_SLOT, _TAG = (np.uint64(n) for n in (1, 3, 32, 56, 0xFF))


class KeySet:
    """Set of keys, the rows of (n, 2) uint64 arrays.

    The low half (column 0) should be spread evenly, as a hash is; else the set is slow, though right.
    """

    __slots__ = ("_buckets", "_count", "_keys", "_tags")

    def __init__(self) -> None:
        """An empty set owns no memory worth counting."""
        self._count = 0
        self._allocate(0)

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes of the two arrays."""
        return self._tags.nbytes + self._keys.nbytes

    def contains(self, keys: Keys) -> Found:
        """For each row of `keys` whether it is in the set."""
        found = np.zeros(len(keys), dtype=np.bool_)
        if self._count:
            for start, low, high in _chunks(keys):
                self._find(low, high, found[start : start + CHUNK])
        return found

    def add(self, keys: Keys) -> int:
        """Add the rows of `keys`, which may repeat or be here already; returns how many were new."""
        before = self._count
        if not before:
            self._reserve(len(keys))
        for _, low, high in _chunks(keys):
            self._place(*self._absent(*_sorted_distinct(low, high)))
        return self._count - before

    def add_new(self, keys: Keys) -> None:
        """Add rows of which none is here yet and none occurs twice: half the price of `add`. (One that is not new
        would be held twice, which takes room and confuses nothing.)"""
        self._reserve(self._count + len(keys))
        for _, low, high in _chunks(keys):
            order = np.argsort(low)
            self._place(low[order], high[order])

    def _absent(self, low: Words, high: Words) -> tuple[Words, Words]:
        """Those that are not here yet; makes room for them."""
        found = np.zeros(len(low), dtype=np.bool_)
        if self._count:
            self._find(low, high, found)
        new = np.flatnonzero(~found)
        self._reserve(self._count + len(new))
        return low[new], high[new]

    def _allocate(self, buckets: int) -> None:
        self._buckets = buckets
        self._tags = _zeroed(buckets)
        self._keys = _zeroed(buckets * BUCKET * 2)

    def _reserve(self, count: int) -> None:
        """Move to larger arrays if there is no room for `count` keys; to much larger ones if the set has been growing."""
        if count <= self._buckets * BUCKET * LOAD_MAX:
            return
        tags, keys = self._tags, self._keys
        self._allocate(max(int(count / LOAD_MAX / BUCKET) + 1, int(self._buckets * GROWTH)))
        self._count = 0
        for start in range(0, len(tags), CHUNK // BUCKET):
            slots = tags[start : start + CHUNK // BUCKET].view(np.uint8)
            at = (np.flatnonzero(slots) + start * BUCKET) * 2
            # Nearly in order already; only a key's neighbours may be on the wrong side of it.
            self._place(*_sorted_distinct(keys.take(at), keys.take(at + 1)))

    def _home(self, low: Words) -> Indices:
        """`low / 2**64 * buckets` by the low half's upper 32 bits, in integers."""
        return (((low >> _HALF) * np.uint64(self._buckets)) >> _HALF).view(np.int64)

    def _next(self, bucket: Indices) -> Indices:
        bucket = bucket + 1
        bucket[bucket == self._buckets] = 0
        return bucket

    def _find(self, low: Words, high: Words, found: Found) -> None:
        """Set `found` where the key is here."""
        bucket, tag = self._home(low), _tag(low)
        left = np.arange(len(low))
        while len(left):
            tags = self._tags[bucket]
            here = self._agree(tags, bucket, tag, low, high)
            found[left[here]] = True
            full = (tags >> _LAST_SLOT) != 0
            full[here] = False
            on = np.flatnonzero(full)
            left, low, high, tag, bucket = left[on], low[on], high[on], tag[on], self._next(bucket[on])

    def _agree(self, tags: Words, bucket: Indices, tag: Words, low: Words, high: Words) -> Indices:
        """Which of the keys are in their `bucket`, whose words of tags are `tags`."""
        odd = tags ^ (tag * _EACH_BYTE)
        # The top bit of each byte that is 0, and now and then of one that isn't: only the key itself decides.
        match = (odd - _EACH_BYTE) & ~odd & _TOP_BITS
        who = np.flatnonzero(match)
        match = match[who]
        here = who[:0]
        while len(who):
            below = match - _ONE
            column = np.bitwise_count(below & ~match) >> 3
            at = (bucket[who] * BUCKET + column) * 2
            same = (self._keys[at] == low[who]) & (self._keys[at + 1] == high[who])
            if not low.all():  # an empty slot looks like the key of zeroes; its tag tells them apart
                same &= ((tags[who] >> (column.astype(np.uint64) << _THREE)) & _TAG) != 0
            here = np.concatenate((here, who[same]))
            match &= below
            on = np.flatnonzero((match != 0) & ~same)
            who, match = who[on], match[on]
        return here

    def _place(self, low: Words, high: Words) -> None:
        """Put in keys that are sorted by `low`, distinct and not here yet."""
        self._count += len(low)
        bucket, tag = self._home(low), _tag(low)
        while len(bucket):
            # Runs of keys that want the same bucket; all move on by one together, so they stay runs.
            first = np.flatnonzero(np.diff(bucket, prepend=-1))
            size = np.diff(first, append=len(bucket))
            wanted = bucket[first]
            tags = self._tags[wanted]
            taken = np.bitwise_count((((tags & _LOW_BITS) + _LOW_BITS) | tags) & _TOP_BITS)
            column = np.arange(len(bucket)) - np.repeat(first - taken, size)
            fits = column < BUCKET
            at = (bucket * BUCKET + column)[fits] * 2
            self._keys[at] = low[fits]
            self._keys[at + 1] = high[fits]
            byte = tag << (column.view(np.uint64) << _THREE)
            byte[~fits] = 0
            self._tags[wanted] = tags | np.bitwise_or.reduceat(byte, first)
            on = np.flatnonzero(~fits)
            low, high, tag, bucket = low[on], high[on], tag[on], self._next(bucket[on])


def _zeroed(words: int) -> Words:
    """Zeros straight from the system and back to it: what no key has touched yet costs nothing, and what a larger set
    replaces is gone. An allocator keeps freed arrays of this size for later ones, and a growing set never fits in."""
    size = words * 8
    if size < MAPPED_BYTES_MIN:
        return np.zeros(words, dtype=np.uint64)
    slack = HUGE_PAGE if size >= 2 * HUGE_PAGE else 0
    memory = mmap.mmap(-1, size + slack, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if not slack:
        return np.frombuffer(memory, np.uint64)
    address: int = np.frombuffer(memory, np.uint8).ctypes.data
    start = -address % HUGE_PAGE
    if hasattr(mmap, "MADV_HUGEPAGE"):
        # Without the end: a page that reaches beyond it would be there as a whole, and count for nobody.
        memory.madvise(mmap.MADV_HUGEPAGE, start, size // HUGE_PAGE * HUGE_PAGE)
    return np.frombuffer(memory, np.uint64, words, start)


def _tag(low: Words) -> Words:
    """A byte of the low half that its home has no part in; never 0."""
    tag: Words = np.maximum(low & _TAG, _ONE)
    return tag


def _chunks(keys: Keys) -> Iterator[tuple[int, Words, Words]]:
    """Pieces of `keys` with the two halves each in one run of memory, and where they start."""
    for start in range(0, len(keys), CHUNK):
        piece = keys[start : start + CHUNK]
        yield start, np.ascontiguousarray(piece[:, 0]), np.ascontiguousarray(piece[:, 1])


def _sorted_distinct(low: Words, high: Words) -> tuple[Words, Words]:
    """The keys by ascending `low`, each once."""
    order = np.argsort(low)
    low, high = low[order], high[order]
    if (low[1:] == low[:-1]).any():
        low, high = np.unique(np.stack((low, high), axis=1), axis=0).T.copy()
    return low, high
