"""One `zkp2p-consumer run` in a process of its own, and what it says of itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from tests.servers.process import _LEASH, _SPAWNER, free_port

Samples = dict[str, float]
"""A metric with its labels as /metrics prints it, without the prefix: `recoveries_total{kind="clean"}`."""

_SAMPLE = re.compile(r"^(?:zkp2p_consumer_)?(\S+(?: [^{}]*\})?) (\S+)$")


@dataclass(frozen=True, slots=True)
class Said:
    """A line of a member's log."""

    member: str
    life: int
    """Counts the processes that ran under this member's name."""
    at: float
    """Seconds since 1970."""
    event: str
    fields: Mapping[str, Any]


class Member:
    """A place in the group in which one process after the other runs."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.folder = folder
        self.fault_file = folder / f"{name}.fault"
        self.lives = 0
        self.paused = False
        self.static = "ZKP2P_KAFKA__INSTANCE_ID" in environment
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def start(self, *, armed: str = "") -> None:
        """Begins and does not wait. `armed`: a step and what happens there, as `after_insert:kill`."""
        assert not self.running
        self.lives += 1
        self.paused = False
        self._port = free_port()
        self.arm(armed)
        environment = {
            **os.environ,
            **self._environment,
            "ZKP2P_HTTP__HOST": "127.0.0.1",
            "ZKP2P_HTTP__PORT": str(self._port),
            "ZKP2P_TEST_FAULT": f"@{self.fault_file}",
        }
        with self._log(self.lives).open("wb") as log:
            command = [sys.executable, "-S", "-c", _LEASH, str(os.getpid()), sys.executable, "-m", "consumer", "run"]
            self._process = _SPAWNER.submit(
                subprocess.Popen,
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ).result()

    # Harm

    def arm(self, fault: str) -> None:
        """Strike once at a step: `before_ledger:stop`. Empty: no more."""
        self.fault_file.unlink(missing_ok=True)
        if fault:
            draft = self.fault_file.with_suffix(".draft")
            draft.write_text(fault)
            draft.rename(self.fault_file)

    @property
    def armed(self) -> bool:
        return self.fault_file.exists()

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self.wait(20)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def pause(self) -> None:
        self.paused = True
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.paused = False
        self._signal(signal.SIGCONT)

    def detach(self) -> subprocess.Popen[bytes]:
        """Hands its process over, dead or alive; from now on it is the caller's to look after."""
        assert self._process is not None
        process, self._process = self._process, None
        return process

    def wait(self, timeout_seconds: float) -> int:
        """The exit code. Raises TimeoutExpired."""
        assert self._process is not None
        return self._process.wait(timeout_seconds)

    def close(self) -> None:
        if self.running:
            self.kill()

    # State

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Of the process that ran last, negative for a signal; None while it runs."""
        return self._process.poll() if self._process is not None else None

    @property
    def stopped(self) -> bool:
        """Does it stand still, by SIGSTOP?"""
        assert self._process is not None
        try:
            return Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
        except FileNotFoundError:
            return False

    @property
    def rss_bytes(self) -> int:
        assert self._process is not None
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def metrics(self) -> Samples:
        """Empty while it doesn't answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=2) as answer:
                text = answer.read().decode()
        except OSError:
            return {}
        found = (_SAMPLE.match(line) for line in text.splitlines() if not line.startswith("#"))
        return {match[1]: float(match[2]) for match in found if match}

    def partitions(self) -> list[int]:
        """What it is assigned."""
        numbers = (re.search(r'^lease_seconds\{.*partition="(\d+)"', name) for name in self.metrics())
        return sorted(int(number[1]) for number in numbers if number)

    def said(self) -> Iterator[Said]:
        """Everything all its processes logged."""
        for life in range(1, self.lives + 1):
            for line in self._log(life).read_bytes().splitlines():
                try:
                    fields = orjson.loads(line)
                    at = datetime.fromisoformat(fields["timestamp"]).timestamp()
                except (orjson.JSONDecodeError, KeyError, TypeError):
                    continue  # a line that a SIGKILL cut off
                yield Said(self.name, life, at, fields["event"], fields)

    def tail(self, lines: int = 15) -> str:
        """The end of the last process's log, for a message."""
        return "\n    ".join(
            [
                f"{self._log(self.lives)} ends with:",
                *self._log(self.lives).read_text(errors="replace").splitlines()[-lines:],
            ]
        )

    def _log(self, life: int) -> Path:
        return self.folder / f"{self.name}-{life}.log"

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)


def until(
    what: str,
    condition: Callable[[], bool],
    timeout_seconds: float,
    every_seconds: float = 0.1,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Returns once the condition is true. Raises TimeoutError."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_seconds:.0f} s: {what}")
        meanwhile()
        time.sleep(every_seconds)
