"""`zkp2p-consumer` as its own process, for tests: started, watched through its log, stopped by its pid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from tests.servers.cache import PROJECT

COMMAND = (sys.executable, "-m", "consumer")


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Ours without any ZKP2P_ name, and `settings` (names without the prefix)."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ZKP2P_")}
    return {**inherited, "PYTHONPATH": str(PROJECT), **{f"ZKP2P_{name}": value for name, value in settings.items()}}


def run_command(*arguments: str, settings: Mapping[str, str], timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """One command from start to end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class ConsumerProcess:
    """`run`, with its log in a file. Killed at the end of the block if it is still there."""

    def __init__(self, folder: Path, settings: Mapping[str, str], name: str = "consumer") -> None:
        self.log_file = folder / f"{name}.{time.time_ns()}.log"
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [*COMMAND, "run"],
                env=environment({"HTTP__HOST": "127.0.0.1", "HTTP__PORT": "0", "LOG__LEVEL": "debug", **settings}),
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=folder,
            )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait(30)

    @property
    def text(self) -> str:
        return self.log_file.read_text(errors="replace")

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of its log, parsed; those that are no JSON are left out."""
        return [orjson.loads(line) for line in self.log_file.read_bytes().splitlines() if line.startswith(b"{")]

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self, timeout: float = 60) -> int:
        """SIGTERM, then its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def wait(self, timeout: float = 60) -> int:
        return self._process.wait(timeout)

    def wait_for(self, what: Callable[[], object], timeout: float = 60) -> None:
        """Until `what` is true; fails with the end of the log when it never is or the process ends before."""
        until(what, timeout, lambda: self.text[-3000:], lambda: self._process.poll() is None)

    def wait_for_event(self, name: str, timeout: float = 60, **fields: object) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def logged() -> bool:
            found[:] = [e for e in self.events if e["event"] == name and fields.items() <= e.items()]
            return bool(found)

        self.wait_for(logged, timeout)
        return found[0]


def until(
    what: Callable[[], object],
    timeout: float,
    explain: Callable[[], str] = lambda: "",
    alive: Callable[[], bool] = lambda: True,
) -> None:
    deadline = time.monotonic() + timeout
    while not what():
        if not alive() and not what():
            raise AssertionError(f"the process ended: {explain()}")
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {explain()}")
        time.sleep(0.1)
