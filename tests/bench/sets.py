"""Sets of 128-bit keys that the duplicate index could stand on, each in the way that suits it best.

Each is built from (n, 2) uint64 keys and then asked in batches. The packages that the project does not depend on are
measured where they are installed: `pip install polars hirola borghash`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from consumer.core.batch import Keys
from consumer.core.keyset import KeySet

Found = npt.NDArray[np.bool_]
Ask = Callable[[Keys], Found]


class Candidate(NamedTuple):
    build: Callable[[Keys], Ask]
    note: str


def table_in_numpy(keys: Keys) -> Ask:
    held = KeySet()
    held.add(keys)
    return held.contains


def sorted_run(keys: Keys) -> Ask:
    order = np.argsort(keys[:, 0])
    low, high = keys[order, 0], keys[order, 1]
    del order

    def ask(batch: Keys) -> Found:
        at = np.minimum(np.searchsorted(low, batch[:, 0]), len(low) - 1)
        found: Found = (low[at] == batch[:, 0]) & (high[at] == batch[:, 1])
        return found

    return ask


def sorted_run_asked_in_order(keys: Keys) -> Ask:
    ask_unordered = sorted_run(keys)

    def ask(batch: Keys) -> Found:
        order = np.argsort(batch[:, 0])
        found = np.empty(len(batch), np.bool_)
        found[order] = ask_unordered(batch[order])
        return found

    return ask


def arrow_is_in(keys: Keys) -> Ask:
    held = _fixed(keys)
    return lambda batch: np.asarray(pc.is_in(_fixed(batch), value_set=held))


def _fixed(keys: Keys) -> Any:
    data = pa.py_buffer(np.ascontiguousarray(keys))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(keys), [None, data])


def python_set(keys: Keys) -> Ask:
    held = set(_as_bytes(keys))
    return lambda batch: np.fromiter((key in held for key in _as_bytes(batch)), np.bool_, len(batch))


def _as_bytes(keys: Keys) -> list[bytes]:
    data = np.ascontiguousarray(keys).tobytes()
    return [data[at : at + 16] for at in range(0, len(data), 16)]


def polars_semi_join(keys: Keys) -> Ask:
    pl = import_module("polars")

    held = pl.DataFrame({"low": keys[:, 0], "high": keys[:, 1]})

    def ask(batch: Keys) -> Found:
        asked = pl.DataFrame({"low": batch[:, 0], "high": batch[:, 1], "at": np.arange(len(batch))})
        found = np.zeros(len(batch), np.bool_)
        found[asked.join(held, on=["low", "high"], how="semi")["at"].to_numpy()] = True
        return found

    return ask


def hirola_table(keys: Keys) -> Ask:
    hirola = import_module("hirola")

    held = hirola.HashTable(int(len(keys) * 1.4), np.dtype((np.uint64, 2)))
    held.add(np.ascontiguousarray(keys))
    return lambda batch: np.asarray(held.contains(np.ascontiguousarray(batch)))


def borghash_table(keys: Keys) -> Ask:
    borghash = import_module("borghash")

    held = borghash.HashTable(key_size=16, value_size=4)
    for key in _as_bytes(keys):
        held[key] = b"\0\0\0\0"
    return lambda batch: np.fromiter((key in held for key in _as_bytes(batch)), np.bool_, len(batch))


CANDIDATES = {
    "KeySet (Swiss table in numpy)": Candidate(table_in_numpy, ""),
    "numpy sorted + searchsorted": Candidate(sorted_run, "no insertion"),
    "the same, batch sorted first": Candidate(sorted_run_asked_in_order, "no insertion"),
    "pyarrow is_in": Candidate(arrow_is_in, "hashes the set anew every call"),
    "polars semi join": Candidate(polars_semi_join, "hashes the set anew every call"),
    "hirola 0.3": Candidate(hirola_table, "of one size; very slow when 90% full; not kept up since 2023"),
    "borghash 0.2": Candidate(borghash_table, "one call a key"),
    "Python set of bytes": Candidate(python_set, "one call a key"),
}
