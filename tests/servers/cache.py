"""Downloads, once: whole or not at all, and one process at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.base import Unavailable

PROJECT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("ZKP2P_TEST_CACHE", PROJECT / ".cache"))
"""Git-ignored. ZKP2P_TEST_CACHE lets several checkouts share one."""


def say(text: str) -> None:
    """Progress for a person: to the terminal even while pytest captures output."""
    print(f"  {text}", file=sys.__stderr__, flush=True)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Holds .cache/NAME.lock against other processes and threads; the system releases it with the process."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{name}: waiting for another process that fetches it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def once(name: str, what: str, fill: Callable[[Path], None]) -> Path:
    """.cache/NAME, made by `fill(folder)` the first time.

    `fill` works in a folder beside it that gets the name only when it is complete, so that a download
    which broke off never counts. `name` holds the version: another version is another folder.
    """
    wanted = CACHE / name
    if wanted.is_dir():
        return wanted
    with locked(name):
        if wanted.is_dir():
            return wanted
        for left in CACHE.glob(f"{name}.part-*"):
            shutil.rmtree(left, ignore_errors=True)
        started = time.monotonic()
        say(f"{what}: fetching, once ...")
        part = Path(tempfile.mkdtemp(prefix=f"{name}.part-", dir=CACHE))
        try:
            fill(part)
            part.rename(wanted)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        say(f"{what}: fetched in {time.monotonic() - started:.0f} s")
    return wanted


def run(*command: str, cwd: Path, timeout_seconds: float) -> str:
    """Runs a package manager and returns what it printed; raises Unavailable with its last lines if it fails."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except FileNotFoundError:
        raise Unavailable(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[0]} did not finish in {timeout_seconds:.0f} s") from None
    if done.returncode:
        last = " | ".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise Unavailable(f"{command[0]} failed ({done.returncode}): {last}")
    return done.stdout


def need(*commands: str) -> None:
    """Raises Unavailable naming every command that is not on PATH."""
    if missing := [command for command in commands if shutil.which(command) is None]:
        raise Unavailable(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed")
