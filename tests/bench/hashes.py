"""Hashes of a column of strings that the keys could be made by; each gives 128 bits a string."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import import_module

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from consumer.core.hashing import hash_keys

Hashes = npt.NDArray[np.uint64]


def multilinear(strings: pa.Array) -> Hashes:
    return hash_keys(strings, np.ones(len(strings), np.uint8))


def polars_hash(strings: pa.Array) -> Hashes:
    pl = import_module("polars")

    column = pl.Series(pl.from_arrow(strings))
    return np.stack([column.hash(seed).to_numpy() for seed in (1, 2)], axis=1)


def pandas_hash_array(strings: pa.Array) -> Hashes:
    hash_array = import_module("pandas.util").hash_array

    objects = strings.to_numpy(zero_copy_only=False)
    keys = ("0123456789abcdef", "fedcba9876543210")
    return np.stack([hash_array(objects, hash_key=key, categorize=False) for key in keys], axis=1)


def xxh3_128(strings: pa.Array) -> Hashes:
    digest = import_module("xxhash").xxh3_128_digest

    digests = b"".join([digest(string, 7) for string in strings.cast(pa.binary()).to_pylist()])
    return np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)


def blake2b(strings: pa.Array) -> Hashes:
    digests = b"".join(
        [hashlib.blake2b(string, digest_size=16, key=b"k").digest() for string in strings.cast(pa.binary()).to_pylist()]
    )
    return np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)


CANDIDATES: dict[str, tuple[Callable[[pa.Array], Hashes], str]] = {
    "hash_keys (multilinear, numpy)": (multilinear, "2**-128 a pair proven; random per process"),
    "polars hash, two seeds": (polars_hash, "nothing promised; another 100 MB to install"),
    "pandas hash_array, two keys": (pandas_hash_array, "SipHash 64; objects a string each"),
    "xxh3_128 in a loop": (xxh3_128, "nothing promised against chosen strings"),
    "blake2b in a loop": (blake2b, "cryptographic"),
}
