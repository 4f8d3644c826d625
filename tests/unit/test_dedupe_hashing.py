"""The hash of (sessionId, eventType): equal for equal pairs however they come, different for all others."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.core import hashing
from consumer.core.batch import Keys
from consumer.core.hashing import hash_keys

SESSIONS = st.text(max_size=128) | st.text(alphabet="ab\0", max_size=12)


def hashed(sessions: list[str], code: int = 1) -> list[tuple[int, int]]:
    return as_pairs(hash_keys(pa.array(sessions, pa.string()), np.full(len(sessions), code, dtype=np.uint8)))


def as_pairs(keys: Keys) -> list[tuple[int, int]]:
    return [(low, high) for low, high in keys.tolist()]


@settings(deadline=None)
@given(st.lists(st.tuples(SESSIONS, st.integers(1, 4)), max_size=50))
def test_hashes_are_equal_exactly_where_the_pairs_are(pairs: list[tuple[str, int]]) -> None:
    codes = np.array([code for _, code in pairs], dtype=np.uint8)
    keys = as_pairs(hash_keys(pa.array([session for session, _ in pairs], pa.string()), codes))
    assert len(set(keys)) == len(set(pairs))
    assert len(set(zip(keys, pairs, strict=True))) == len(set(pairs))


def every_shape(sessions: list[str]) -> Iterator[pa.Array | pa.ChunkedArray]:
    for kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
        values = [session.encode() for session in sessions]
        yield pa.array(values, pa.binary()).cast(kind)
        yield pa.array([b"before", *values, b"after"], pa.binary()).cast(kind)[1:-1]
        yield pa.chunked_array([pa.array(values[:2], kind), pa.array([], kind), pa.array(values[2:], kind)])


def test_one_hash_whatever_the_array_looks_like() -> None:
    sessions = ["", "a", "abcd", "ü" * 100, "\U0001f600" * 128, "x" * 513, str(uuid.UUID(int=7)), "a" * 128]
    expected = [hashed([session])[0] for session in sessions]
    codes = np.ones(len(sessions), dtype=np.uint8)
    for array in every_shape(sessions):
        assert as_pairs(hash_keys(array, codes)) == expected


def test_one_hash_whatever_the_neighbours_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "CHUNK", 16)
    sessions = ["s" * (i % 40) + str(i) for i in range(200)]
    expected = [hashed([session])[0] for session in sessions]
    assert hashed(sessions) == expected
    for start in (1, 15, 16, 17, 199):
        assert hashed(sessions[start:]) == expected[start:]


def test_a_change_anywhere_changes_both_halves() -> None:
    for length in (1, 3, 4, 5, 36, 127, 128, 512, 513, 600):
        base = "m" * length
        variants = [base[:i] + "n" + base[i + 1 :] for i in range(length)] + [base + "m", base + "\0", base[:-1]]
        (low, high), *others = hashed([base, *variants])
        assert low not in {other for other, _ in others}
        assert high not in {other for _, other in others}
        assert len(set(others)) == len(variants)


def test_event_types_never_share_a_hash() -> None:
    sessions = [str(uuid.UUID(int=i)) for i in range(1_000)]
    assert len(set().union(*(hashed(sessions, code) for code in range(1, 5)))) == 4_000


def test_nothing_to_hash() -> None:
    assert hashed([]) == []
    assert hash_keys(pa.array([], pa.string()), np.array([], dtype=np.uint8)).shape == (0, 2)
    assert len(set(hashed(["", "\0", "\0\0\0\0", "\0\0\0\0\0"]))) == 4


@pytest.mark.parametrize("sessions", [["a", None], ["a"], ["a", "b", "c"]], ids=["null", "fewer", "more"])
def test_what_makes_no_sense_is_refused(sessions: list[str | None]) -> None:
    with pytest.raises(ValueError, match=r"null|event types"):
        hash_keys(pa.array(sessions, pa.string()), np.array([1, 2], dtype=np.uint8))


def test_another_process_has_other_hashes() -> None:
    script = (
        "import numpy as np, pyarrow as pa; from consumer.core.hashing import hash_keys;"
        "print(hash_keys(pa.array(['a', 'x' * 600]), np.ones(2, np.uint8)).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    other = {tuple(key) for key in json.loads(done.stdout)}
    assert len(other) == 2
    assert other.isdisjoint(hashed(["a", "x" * 600]))


def numbered(start: int, count: int) -> pa.Array:
    """`session-<hexadecimal>` for consecutive numbers, built without a Python string each."""
    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
    text = np.empty((count, 16), dtype=np.uint8)
    text[:, :8] = np.frombuffer(b"session-", dtype=np.uint8)
    numbers = np.arange(start, start + count)
    for place in range(8):
        text[:, 15 - place] = digits[(numbers >> (4 * place)) & 15]
    offsets = np.arange(0, 16 * (count + 1), 16, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(text.tobytes()))


def test_ten_million_names_that_hardly_differ_never_collide() -> None:
    count, chunk = 10_000_000, 1_000_000
    assert numbered(0x1F, 1).to_pylist() == ["session-0000001f"]
    low = np.empty(count, dtype=np.uint64)
    for start in range(0, count, chunk):
        low[start : start + chunk] = hash_keys(numbered(start, chunk), np.ones(chunk, dtype=np.uint8))[:, 0]
    low.sort()
    assert (low[1:] != low[:-1]).all()  # 64 bits of the 128; by chance it fails once in 370,000 runs


def test_names_that_hardly_differ_spread_over_the_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(20_781)  # fixed multipliers, so that chance has no say
    monkeypatch.setattr(hashing, "_ADDED", random.integers(0, 2**64, (4, 1), dtype=np.uint64))
    monkeypatch.setattr(hashing, "_OF_HEAD", random.integers(0, 2**64, (4, 1), dtype=np.uint64))
    monkeypatch.setattr(hashing, "_OF_WORDS", random.integers(0, 2**64, (4, 128), dtype=np.uint64))
    keys = hash_keys(numbered(0, 1 << 20), np.ones(1 << 20, dtype=np.uint8))
    for half in (0, 1):
        for shift in (0, 52):
            sizes = np.bincount((keys[:, half] >> np.uint64(shift) & np.uint64(0xFFF)).astype(np.int64), minlength=4096)
            # 256 each on average; six standard deviations are 96.
            assert 160 < sizes.min() <= sizes.max() < 352
