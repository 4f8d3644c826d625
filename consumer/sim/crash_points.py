"""A fixed set of single faults: each effect, before or after it happens, the member dies, hears an error, or nothing.

The world around them is calm and always the same: a member dies in the middle of its work, so that the next one has
orphans to find, a summary to mend and, after a reset, ledger rows to close; then the fault strikes once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from consumer.core.buffer import Limits
from consumer.sim import faults
from consumer.sim.controls import Controls
from consumer.sim.records import Mix
from consumer.sim.run import Outcome, run_seed
from consumer.sim.world import Plan

EFFECTS = (
    "ReadCommitted", "Touched", "Quiet", "ReadSink", "ReadLog", "Mend", "Hydrate", "SendDeadLetters", "Insert",
    "WriteLedger", "Commit",
)  # fmt: skip
BEFORE = (faults.CRASH, faults.ERROR, faults.LOST)
AFTER = (faults.CRASH_AFTER, faults.ERROR_AFTER, faults.UNANSWERED)
BETWEEN = (faults.LATE, faults.SLOW, faults.CRASH_LATE, faults.VIEW, faults.CRASH_VIEW)
TIMES = (1, 2, 3, 5, 8)
"""At the how-manieth of its kind; the first ones are the first member's, most later ones a recovery's."""
COURSES: dict[str, tuple[str, ...]] = {
    "restart": (),
    "reset": ("move",),
    "recreate": ("recreate",),
    "other group": ("other_group",),
}
"""What an operator does halfway, once the group is empty."""
FIRST_MIDNIGHT = 1_796_083_200
"""2026-12-01T00:00:00Z: batches on either side of it land in two months."""


@dataclass(slots=True)
class CrashPoint:
    course: str
    effect: str
    fate: str
    time: int

    def __str__(self) -> str:
        return f"{self.course}: {self.effect} no. {self.time} {self.fate}"


class Script:
    """The fates of one world: a first death that leaves orphans, then the crash point."""

    def __init__(self, point: CrashPoint) -> None:
        self.point = point
        self.seen: Counter[str] = Counter()
        self.struck = False

    def __call__(self, kind: str) -> str | None:
        self.seen[kind] += 1
        if kind == self.point.effect and self.seen[kind] == self.point.time:
            self.struck = True
            return self.point.fate
        return faults.CRASH_VIEW if kind == "Insert" and self.seen[kind] == 3 else None


def crash_points() -> Iterator[CrashPoint]:
    for course in COURSES:
        for effect in EFFECTS:
            for fate in (*BEFORE, *AFTER, *BETWEEN):
                if fate in (faults.VIEW, faults.CRASH_VIEW) and effect != "Insert":
                    continue
                for time in TIMES:
                    yield CrashPoint(course, effect, fate, time)


def plan_of(point: CrashPoint) -> Plan:
    return Plan(
        partitions=1,
        members=1,
        static=True,
        session_ms=6_000,
        limits=Limits(3, 100_000, 1.0),
        fetch_max=3,
        records=24,
        span=60.0,
        start=FIRST_MIDNIGHT - 40,
        mix=Mix(reject=0.15, foreign=0.05, control=0.1, copy=0.2, old=0.0, distant=0.0),
        operate_at=30.0 if COURSES[point.course] else None,
        operate=COURSES[point.course],
    )


def run_point(point: CrashPoint, controls: Controls | None = None) -> tuple[Outcome, bool]:
    """The outcome, and whether the point was reached."""
    script = Script(point)
    return run_seed(1, controls, plan=plan_of(point), script=script), script.struck
