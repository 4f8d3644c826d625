"""How the members met what happened to them, from their logs and their last metrics."""

from __future__ import annotations

import re
import threading
from collections import Counter
from types import TracebackType
from typing import Self

from tests.chaos.member import Member, Said, Samples
from tests.chaos.stage import Stage

WENT_BACK = "the client went back"
"""Nothing is lost by it, as it is sent forward again; but it costs time, and we know of no way left that leads there."""
KINDS = ("clean", "waited", "orphans", "reread")


def history(members: list[Member]) -> Counter[str]:
    """How often: each kind of recovery, partitions taken over by another member, mended summaries and days,
    recoveries that began anew in a running process, by cause."""
    said = sorted((line for member in members for line in member.said()), key=lambda line: line.at)
    counts: Counter[str] = Counter({f"recovery {kind}": 0 for kind in KINDS})
    owners: dict[int, Said] = {}
    for line in said:
        match line.event:
            case "partition ready":
                counts[f"recovery {line.fields['kind']}"] += 1
                if "ledger is ahead" in line.fields["why"]:
                    counts["ledger ahead of the commit"] += 1
                before = owners.get(line.fields["partition"])
                if before is not None and before.member != line.member:
                    counts["takeovers"] += 1
                elif before is not None and before.life != line.life:
                    counts["came back to the same member"] += 1
                owners[line.fields["partition"]] = line
            case "summary mended":
                counts["summaries mended"] += 1
                days = line.fields["days"]
                counts["mended days"] += days if isinstance(days, int) else 0
            case "starting over":
                counts[f"starting over: {line.fields['cause']}"] += 1
            case "the client went back":
                counts[WENT_BACK] += 1
            case "partition left with a batch in flight":
                counts["left with a batch in flight"] += 1
    return counts


class Watcher:
    """Reads the members' /metrics all along, as a SIGKILL takes them with it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._last: dict[tuple[str, int], Samples] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def total(self, pattern: str) -> float:
        """Sum of all counters whose name matches, over all processes; at most a second old when one was killed."""
        samples = [sample for found in self._last.values() for sample in found.items()]
        return sum(value for name, value in samples if re.match(pattern, name))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(1.0):
            for member in self._stage.members:
                life = member.lives
                if member.running and not member.paused and (found := member.metrics()):
                    self._last[member.name, life] = found
