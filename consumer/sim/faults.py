"""What goes wrong, and how often: drawn from the seed too, so that some worlds are calm but for one kind of trouble."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from random import Random

# What may become of one request. Those before LATE have no effect.
LOST = "lost"  # never arrives, never answered
ERROR = "error"  # answered by an error, without effect
CRASH = "crash"  # the member dies before it is sent
LATE = "late"  # arrives long after its sender has given up, perhaps after its deadline
UNANSWERED = "unanswered"  # done, but nobody hears of it
ERROR_AFTER = "error_after"  # done, and answered by an error
VIEW = "view"  # an insert lands in the table, its view throws
SLOW = "slow"  # the server takes its time, between any two of its steps
CRASH_AFTER = "crash_after"  # done, but the member dies before it hears of it
CRASH_LATE = "crash_late"  # the member dies, what it had sent arrives at the last moment
CRASH_VIEW = "crash_view"  # an insert lands in the table only, and the member dies

REQUEST_FATES = (LOST, ERROR, LATE, UNANSWERED, ERROR_AFTER, VIEW, SLOW, CRASH, CRASH_AFTER, CRASH_LATE, CRASH_VIEW)


@dataclass(slots=True)
class Rates:
    """Probabilities a request (first block) and mean seconds between events (second block; 0 means never)."""

    lost: float = 0
    error: float = 0
    late: float = 0
    unanswered: float = 0
    error_after: float = 0
    view: float = 0
    slow: float = 0
    crash: float = 0
    crash_after: float = 0
    crash_late: float = 0
    crash_view: float = 0

    kill: float = 0
    """A member is killed and comes back."""
    pause: float = 0
    """A member is stopped for a while and wakes as a zombie."""
    restart: float = 0
    """A clean stop and a start, sometimes as another number of members."""
    rebalance: float = 0
    store_restart: float = 0
    store_down: float = 0
    broker_down: float = 0
    dead_letters_down: float = 0
    clock: float = 0
    retention: float = 0
    compaction: float = 0
    foreign_commit: float = 0
    """Somebody who owns nothing commits an old offset."""
    hold_commits: float = 0
    """A client library keeps its commits to itself for a while."""
    reset: float = 0
    """All members stop; an operator moves the offsets, wipes them, makes the topic anew, starts another group."""
    recreate: float = 0
    """The topic is made anew under the members' feet."""


_REQUEST = set(REQUEST_FATES)
_WRITES = {"Insert", "WriteLedger", "Mend", "Commit", "SendDeadLetters"}
_SELDOM = {"reset": 60.0, "recreate": 60.0, "retention": 60.0, "compaction": 60.0}
"""Mean seconds between events of a kind are at least 30, or these."""


THEMES = (
    Rates(crash_view=0.15, crash_late=0.1, reset=40),
    Rates(crash_view=0.15, crash_late=0.1, reset=60, recreate=60),
    Rates(late=0.2, slow=0.2, crash_late=0.1, unanswered=0.1, pause=30),
    Rates(late=0.1, slow=0.1, crash_late=0.1, restart=25, reset=50),
    Rates(unanswered=0.1, late=0.1, crash_late=0.15, hold_commits=20, rebalance=20, kill=40),
)
"""Kinds of trouble that make each other worse."""


def draw_rates(random: Random, span: float) -> Rates:
    """Few kinds of trouble in most worlds, so that each can reach deep; many in some; a third have a theme."""
    if random.random() < 0.3:
        return random.choice(THEMES)
    rates = Rates()
    events = [field.name for field in fields(Rates) if field.name not in _REQUEST]
    for name in random.sample(REQUEST_FATES, random.choice((0, 1, 2, 2, 3, 4, 8))):
        heavy = 0.15 if name.startswith("crash") else 0.3
        setattr(rates, name, heavy * random.random() ** 2)
    for name in random.sample(events, random.choice((1, 2, 2, 3, 4, 8))):
        setattr(rates, name, max(_SELDOM.get(name, 30.0), span * random.uniform(0.1, 1.0)))
    return rates


@dataclass(slots=True)
class Faults:
    """Decides what becomes of each request. `script`, when given, decides alone."""

    random: Random
    rates: Rates
    script: Callable[[str], str | None] | None = None
    healed: bool = False

    def fate(self, kind: str) -> str | None:
        if self.script is not None:
            return self.script(kind)
        if self.healed:
            return None
        chance = self.random.random()
        if kind not in _WRITES:
            chance *= 3  # trouble with reads is simpler, and wears the world out
        rates = self.rates
        for name in REQUEST_FATES:
            rate = getattr(rates, name)
            if chance < rate:
                return name
            chance -= rate
        return None
