"""What the interpreter and the allocators are told once, before a long run."""

from __future__ import annotations

import ctypes
import gc
import sys

import pyarrow as pa

M_ARENA_MAX = -8
"""Of glibc's <malloc.h>."""

ARENAS = 2
"""One for the loop, one for all others: each thread that ever lands a batch has, by default, an arena of its own (up
to eight a core), and each keeps the most that it ever held."""


def tune() -> None:
    """Call it first of all."""
    # The loop lets go of the interpreter at every poll, which is enough for threads that want it for moments; those
    # that write dead letters want it all, and changing turns more often costs both a fifth of their speed.
    sys.setswitchinterval(0.02)
    # A poll makes 10,000 messages that all die young; looking for cycles among them every 700 allocations, and in
    # all of the program now and then, would be a tenth of the work.
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)
    # Arrow's own allocator keeps what each thread that lands batches once had: 10 MiB that go on growing for hours.
    pa.set_memory_pool(pa.system_memory_pool())
    _limit_arenas()


def _limit_arenas() -> None:
    """Only glibc has arenas and the call. What is made already stays and goes from thread to thread, so this is of use
    before any library has started threads: a client made before, and closed at once, leaves four."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)
