"""A server as a child process that never outlives this one."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from tests.servers.base import Server, Unavailable
from tests.servers.cache import CACHE

# The kernel kills the child when the *thread* that made it ends, so one thread that lives as long as the
# process makes them all.
_SPAWNER = ThreadPoolExecutor(1, thread_name_prefix="servers")

# Runs in the child: asks to be killed with its parent, looks whether that was too late, becomes the server.
_LEASH = """
import ctypes, os, sys
ctypes.CDLL(None, use_errno=True).prctl(1, 9)
os.getppid() == int(sys.argv[1]) or sys.exit("parent is gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""

_numbers = itertools.count(1)
_taken: set[int] = set()


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on.

    Chosen below the range the system gives to outgoing connections: while a server is down between kill
    and restart, a client could otherwise be given its port (or even connect to itself).
    """
    for _ in range(1000):
        port = random.SystemRandom().randrange(15_000, 32_000)
        if port in _taken:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _taken.add(port)
        return port
    raise Unavailable("no free port between 15000 and 32000")


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def scratch(name: str) -> Path:
    """A folder for one server's data, under .cache/run; what dead processes left there goes."""
    home = CACHE / "run"
    home.mkdir(parents=True, exist_ok=True)
    for old in home.iterdir():
        owner = old.name.split("-")[1]
        if not Path("/proc", owner).exists():
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{name}-{os.getpid()}-", dir=home))


class ProcessServer(Server):
    """A `Server` that is a child process. Subclasses say its command and when it is ready."""

    start_seconds = 60.0

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = scratch(name)
        logs = CACHE / "logs"
        logs.mkdir(exist_ok=True)
        for old in sorted(logs.iterdir(), key=lambda file: file.stat().st_mtime)[:-40]:
            old.unlink(missing_ok=True)
        self.log = logs / f"{name}-{os.getpid()}-{next(_numbers)}.log"
        """Everything the server printed, over all its starts; kept after `close`."""
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str]:
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        return {}

    def ready(self) -> bool:
        """Asked again and again after the start, until True."""
        raise NotImplementedError

    def start(self) -> Self:
        if self.running:
            raise RuntimeError(f"{self.name} runs already")
        if not self.folder.exists():
            raise RuntimeError(f"{self.name} was closed: its data is gone")
        with self.log.open("ab") as log:
            arguments = [sys.executable, "-S", "-c", _LEASH, str(os.getpid()), *self.command()]
            self._process = _SPAWNER.submit(
                subprocess.Popen,
                arguments,
                cwd=self.folder,
                env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests; they stop their servers themselves
            ).result()
        deadline = time.monotonic() + self.start_seconds
        while not self.ready():
            if self._process.poll() is not None:
                raise Unavailable(f"{self.name} ended with {self._process.returncode} at its start; {self.tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise Unavailable(f"{self.name} was not ready after {self.start_seconds:.0f} s; {self.tail()}")
            time.sleep(0.05)
        return self

    def tail(self, lines: int = 20) -> str:
        """The end of its log, for a message."""
        last = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n    ".join([f"{self.log} ends with:", *last])

    def stop(self) -> None:
        self._signal(signal.SIGTERM)
        assert self._process is not None
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(20)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        if self.running:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        if self._process is None or not self.running:
            raise Unavailable(f"{self.name} does not run")
        return self._process.pid

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or not self.running:
            raise RuntimeError(f"{self.name} does not run")
        self._process.send_signal(number)
