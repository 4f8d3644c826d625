"""usage: python -m tests.chaos --kills N --seed S [--members 3] [--events E], or --failover, or --soak MINUTES"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tests.chaos.failover import measure
from tests.chaos.run import Outcome, run
from tests.chaos.soak import soak
from tests.chaos.strikes import STEPS


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Kills, stalls and cuts on real servers."
    )
    parser.add_argument("--kills", type=int, default=100, help="SIGKILLs, of members and servers (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of traffic and strikes; timing is not seeded")
    parser.add_argument("--members", type=int, default=3, choices=(1, 2, 3))
    parser.add_argument("--events", type=int, default=0, help="end the traffic after so many; 0: it lasts")
    parser.add_argument("--per-second", type=float, default=300.0, help="events produced (%(default)s)")
    parser.add_argument("--failover", action="store_true", help="measure restart and take-over instead")
    parser.add_argument("--session-ms", type=int, default=6000, help="of --failover (%(default)s)")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="no strikes: does memory stay where it is?")
    asked = parser.parse_args()
    if asked.soak:
        lines = list(soak(asked.soak, asked.per_second, say=_say))
        print("\n".join(lines), flush=True)
        return int(any(line.startswith("FOUND") for line in lines))
    if asked.failover:
        for line in measure(asked.session_ms, say=_say):
            print(line, flush=True)
        return 0
    outcome = run(
        asked.seed,
        kills=asked.kills,
        members=asked.members,
        per_second=asked.per_second,
        events=asked.events,
        say=_say,
    )
    if asked.kills >= 100 and asked.members == 3:
        outcome.findings += _never(outcome)
    _print(outcome)
    for line in measure(6000, say=_say):
        print(line, flush=True)
    return 1 if outcome.findings else 0


def _never(outcome: Outcome) -> list[str]:
    """In a long run every step has to be struck and every kind of recovery has to be needed."""
    needed = [*(k for k in outcome.history if k.startswith("recovery ")), "takeovers", "mended days"]
    return [f"never: a kill at {step}" for step in STEPS if not outcome.struck[step]] + [
        f"never: {name}" for name in needed if not outcome.history[name]
    ]


def _print(outcome: Outcome) -> None:
    _table("what happened", outcome.struck)
    _table("nobody came by", outcome.missed)
    _table("how it was met", outcome.history)
    for finding in outcome.findings:
        print(f"FOUND {finding}")
    print(f"truth: {outcome.truth}")
    print(f"{outcome.kills} kills, {len(outcome.findings)} findings", flush=True)


def _table(title: str, counts: Counter[str]) -> None:
    if counts:
        print(f"\n{title}")
        for name, count in sorted(counts.items()):
            print(f"{count:>8,}  {name}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
