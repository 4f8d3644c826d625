"""How long the partitions of a killed member stand still: restarted under its instance id, or taken over."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.chaos.driver import Say
from tests.chaos.member import Member, until
from tests.chaos.stage import PARTITIONS, Stage

ROUNDS = 3


def measure(session_ms: int, *, say: Say = print) -> Iterator[str]:
    """One line for each way. Measured to the moment when something has landed that was produced after the SIGKILL, in
    every partition the dead member owned; the start of the new process is part of it."""
    with Stage(session_ms=session_ms) as stage:
        members = [stage.add_member(f"m{number}", static=True) for number in range(2)]
        for member in members:
            member.start()
        stage.start_traffic(seed=1, per_second=400)
        for way in ("restart under the same instance id", "take-over by the other member"):
            seconds = []
            for number in range(ROUNDS):
                _until_shared(stage, members)
                seconds.append(_stand_still(stage, members[number % 2], restart=way.startswith("restart")))
                say(f"{way}, session {session_ms / 1000:g} s: {seconds[-1]:.1f} s")
            spread = f"{min(seconds):.1f}-{max(seconds):.1f} s"
            yield f"SIGKILL to flowing again, {way}, session.timeout.ms={session_ms}: {spread} ({ROUNDS} tries)"


def _until_shared(stage: Stage, members: list[Member]) -> None:
    """Both run, each has its half, and records land."""
    for member in members:
        if not member.running:
            member.start()
    until("each member owns two partitions", lambda: all(len(m.partitions()) == PARTITIONS // 2 for m in members), 90)
    stage.wait_until_landing(range(PARTITIONS), 90)


def _stand_still(stage: Stage, member: Member, *, restart: bool) -> float:
    partitions = member.partitions()
    member.kill()
    began = time.monotonic()
    if restart:
        member.start()
    stage.wait_until_landing(partitions, 150)
    return time.monotonic() - began
