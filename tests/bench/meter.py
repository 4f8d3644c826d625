"""What a stretch of work costs: wall time, CPU of the processes that had a part in it, peak memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

STEADY = 0.95
"""Share of all rows at which the stretch ends."""
POLL_SECONDS = 0.1
"""Asking for progress costs ClickHouse a millisecond; ten times a second is within the noise."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The steady stretch from the first progress seen to `STEADY`, so that nobody's start-up counts, nor how long a
    last batch waits for records that don't come."""

    rows: int
    seconds: float
    cpu_seconds: Mapping[str, float]
    """Of each process by its role, user and system."""
    peak_bytes: Mapping[str, int]
    """Largest resident set of each, of all its life or since `forget_peak`."""

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds

    def cpu_us_a_row(self, role: str) -> float | None:
        cpu = self.cpu_seconds.get(role)
        return None if cpu is None else cpu / self.rows * 1e6


def watch(progress: Callable[[], int], rows: int, pids: Mapping[str, int | None], timeout: float) -> Measured:
    """Measures until `progress` has reached `rows`; raises TimeoutError where it doesn't."""
    processes = {role: psutil.Process(pid) for role, pid in pids.items() if pid is not None}
    deadline = time.monotonic() + timeout
    while not (first := progress()):
        _wait(deadline, 0, rows)
    cpu, began = _cpu(processes), time.perf_counter()
    while (now := progress()) < STEADY * rows:
        _wait(deadline, now, rows)
    seconds, after = time.perf_counter() - began, _cpu(processes)
    if now == first:
        raise ValueError("all was there at the first look: too few events to measure anything")
    while (landed := progress()) < rows:
        _wait(deadline, landed, rows)
    spent = {role: after[role] - cpu[role] for role in processes}
    return Measured(now - first, seconds, spent, {role: _peak(process.pid) for role, process in processes.items()})


def forget_peak(pid: int | None) -> None:
    """Peak memory of a process counts from now on (Linux; elsewhere it stays that of all its life)."""
    if pid is not None:
        try:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        except OSError:
            return


def _wait(deadline: float, have: int, rows: int) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError(f"{have:,} of {rows:,} rows when time was up")
    time.sleep(POLL_SECONDS)


def _cpu(processes: Mapping[str, psutil.Process]) -> dict[str, float]:
    times = {role: process.cpu_times() for role, process in processes.items()}
    return {role: spent.user + spent.system for role, spent in times.items()}


def _peak(pid: int) -> int:
    """VmHWM; what is resident now where there is no /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return int(psutil.Process(pid).memory_info().rss)
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
