"""The 128-bit hash of (sessionId, eventType) that stands for an event in the duplicate index.

Multilinear hashing (Lemire and Kaser, "Strongly universal string hashing is fast", 2014): a string is a vector s of
32-bit words, its head (length and event type) and then its bytes, and each 32 bits of the hash are the upper half of
m[0] + sum(m[i] * s[i]) modulo 2**64, with random multipliers m drawn anew by every process. Four of them make a key.

**How likely is it that two events are confused?** Any two different ones have the same hash with a probability of
2**-128: that is a theorem about the random multipliers, whatever the strings are and whoever chose them, and no
assumption about a mixing function. So among n keys the probability of any confusion is below n**2 / 2**129: for
10**9 events in the three days around a record 1.5e-21. Two processes never compare hashes; the multipliers die
with their process.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from consumer.core.batch import Keys

WORD = 4
"""Bytes a word of a string."""
WORDS_MAX = 128
"""Words of the longest sessionId: 128 characters of 4 bytes in UTF-8. The table may hold longer ones of other origin."""
CHUNK = 8_192
"""Strings hashed together, so that their words stay in the core's own cache."""

Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]

_SECRET = os.urandom(32)
_ADDED, _OF_HEAD, _OF_WORDS = np.split(
    np.frombuffer(os.urandom(4 * (2 + WORDS_MAX) * 8), dtype=np.uint64).reshape(4, -1), [1, 2], axis=1
)
"""m[0], the head's multiplier and the words', a row for each quarter of the hash."""

_KEPT_BYTES = np.array([0xFFFFFFFF, 0xFF, 0xFFFF, 0xFFFFFF], dtype=np.uint32)
"""What a string's last word keeps, by its length modulo 4: the bytes after it are the next string's."""
_UPPER = np.uint64(0xFFFFFFFF00000000)
_HALF = np.uint64(32)
_SPREAD = np.uint64(0xD6E8FEB86659FD93)


def hash_keys(session_ids: pa.Array | pa.ChunkedArray, event_codes: npt.NDArray[np.uint8]) -> Keys:
    """(n, 2) uint64 hashes of `session_ids` (strings or binary, small or large offsets, no nulls) and `event_codes`.

    The codes are Enum8 values of `eventType`, from ClickHouse as from a record. Equal pairs have equal hashes
    throughout this process and in no other. Thread-safe.
    """
    if isinstance(session_ids, pa.ChunkedArray):
        session_ids = session_ids.combine_chunks()
    if len(session_ids) != len(event_codes):
        raise ValueError(f"{len(session_ids)} sessionIds and {len(event_codes)} event types")
    if session_ids.null_count:
        raise ValueError("a sessionId is null")
    if not (pa.types.is_large_string(session_ids.type) or pa.types.is_large_binary(session_ids.type)):
        session_ids = session_ids.cast(pa.binary())  # of a string: the same buffers
    offsets, data = _buffers(session_ids)
    keys = np.empty((2, len(session_ids)), dtype=np.uint64)
    for start in range(0, len(session_ids), CHUNK):
        ends = offsets[start : start + CHUNK + 1]
        codes = event_codes[start : start + CHUNK].astype(np.uint64)
        _hash_chunk(ends[:-1], np.diff(ends), codes, data, keys[:, start : start + CHUNK])
    return keys.T


def hash_rows(rows: pa.RecordBatch) -> Keys:
    """The hashes of payments by `consumer.core.batch.ROWS_SCHEMA`, whose enum codes count from 0."""
    codes = rows.column("eventType").indices.to_numpy().astype(np.uint8) + np.uint8(1)
    return hash_keys(rows.column("sessionId"), codes)


def _buffers(strings: pa.Array) -> tuple[npt.NDArray[np.int64], Bytes]:
    """Where each string starts and ends, and the bytes of all, a word longer than they are."""
    large = pa.types.is_large_string(strings.type) or pa.types.is_large_binary(strings.type)
    width = np.dtype(np.int64 if large else np.int32)
    _, offset_buffer, data_buffer = strings.buffers()
    if not len(strings):
        return np.zeros(1, dtype=np.int64), np.zeros(WORD, dtype=np.uint8)
    ends = np.frombuffer(offset_buffer, dtype=width, count=len(strings) + 1, offset=strings.offset * width.itemsize)
    data = np.zeros(int(ends[-1] - ends[0]) + WORD, dtype=np.uint8)
    if len(data) > WORD:
        data[:-WORD] = np.frombuffer(data_buffer, dtype=np.uint8)[ends[0] : ends[-1]]
    return (ends - ends[0]).astype(np.int64), data


def _hash_chunk(
    begin: npt.NDArray[np.int64], length: npt.NDArray[np.int64], codes: Words, data: Bytes, keys: npt.NDArray[np.uint64]
) -> None:
    head = (length.astype(np.uint64) << np.uint64(8)) | codes
    sums = _OF_HEAD * head
    sums += _ADDED
    for count, which in _by_words((length + (WORD - 1)) // WORD):
        words = _words(begin[which], length[which], count, data)
        sums[:, which] += _OF_WORDS[:, :count] @ words
    for half in (0, 1):
        joined = (sums[2 * half] & _UPPER) | (sums[2 * half + 1] >> _HALF)
        # A bijection, so it confuses nothing; it spreads keys that differ by steps over the buckets of a set.
        joined ^= joined >> _HALF
        joined *= _SPREAD
        joined ^= joined >> _HALF
        keys[half] = joined
    for i in np.flatnonzero(length > WORDS_MAX * WORD):
        keys[:, i] = _hash_long(data[begin[i] : begin[i] + length[i]].tobytes(), int(codes[i]))


def _by_words(counts: npt.NDArray[np.int64]) -> Iterator[tuple[int, slice | npt.NDArray[np.int64]]]:
    """Each number of words there is, but 0, and which strings have so many. Mostly one: a sessionId is a UUID."""
    most = int(counts.max())
    if 0 < most == counts.min() <= WORDS_MAX:
        yield most, slice(None)
        return
    for count in range(1, min(most, WORDS_MAX) + 1):
        which = np.flatnonzero(counts == count)
        if len(which):
            yield count, which


def _words(begin: npt.NDArray[np.int64], length: npt.NDArray[np.int64], count: int, data: Bytes) -> Words:
    """(count, n) words of n strings that have so many, filled up with zero bytes."""
    size = count * WORD
    # Every `size` bytes in a row there are, as a view.
    windows: Bytes = np.ndarray((len(data) - size + 1, size), dtype=np.uint8, buffer=data, strides=(1, 1))
    words = windows[begin].view(np.uint32)
    words[:, -1] &= _KEPT_BYTES[length % WORD]
    return words.T.astype(np.uint64)


def _hash_long(string: bytes, code: int) -> Words:
    """For strings no valid record has (rows of other origin): a keyed cryptographic hash, one at a time."""
    digest = hashlib.blake2b(bytes([code]) + string, digest_size=16, key=_SECRET).digest()
    return np.frombuffer(digest, dtype=np.uint64)
