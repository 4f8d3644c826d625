"""What the process tells its allocators; each in a process of its own, for there is no way back."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

ARENAS_OF_MANY_THREADS = """
import ctypes, sys, threading
from consumer.tuning import tune
if "tuned" in sys.argv:
    tune()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.fopen.restype, libc.fopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_char_p]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fflush.argtypes = [ctypes.c_void_p]
together = threading.Barrier(8)
def work():
    together.wait()
    held = libc.malloc(50_000)
    together.wait()
    libc.free(held)
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
out = libc.fopen(b"/dev/stdout", b"w")
libc.malloc_info(0, out)
libc.fflush(out)
"""


def arenas(*arguments: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", ARENAS_OF_MANY_THREADS, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
def test_many_threads_share_two_arenas() -> None:
    assert arenas() > 2, "without a limit each thread has its own: what is counted is what grows"
    assert arenas("tuned") == 2
