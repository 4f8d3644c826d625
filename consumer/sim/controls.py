"""Mechanisms that can be switched off, one at a time, to see that the oracle has teeth.

All are switched off on the side of the fakes or the shell; the core under test stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from consumer.core.position import Committed
from consumer.sim.store import Store


@dataclass(frozen=True, slots=True)
class Controls:
    """False: this mechanism does nothing."""

    fence: bool = True
    """The server refuses writes that come after their deadline."""
    wait: bool = True
    """A new owner learns until when its predecessor may write."""
    orphans: bool = True
    """Recovery sees rows that no ledger row covers."""
    mending: bool = True
    position: bool = True
    """Recovery sees how far the ledger's passes reach."""
    token: bool = True
    running: bool = True
    """Recovery sees what the server is still running."""
    ttl_margin: bool = True
    """The table keeps whole every day that we insert into or mend."""
    leave_when_unanswered: bool = True
    """A member that gives a partition away with an unanswered commit leaves the group first."""

    def apply(self, store: Store) -> None:
        switches = store.switches
        switches.deadlines = self.fence
        switches.tokens = self.token
        switches.orphans = self.orphans
        switches.pass_ends = self.position
        switches.mending = self.mending
        switches.running = self.running
        switches.ttl_days = 90 if self.ttl_margin else 88

    @property
    def touched(self) -> bool:
        return self.wait

    def seen(self, committed: Committed) -> Committed:
        if self.wait or committed.note is None or not committed.note.deadline:
            return committed
        note = committed.note
        dead = type(note)(topic_id=note.topic_id, group=note.group, pass_=note.pass_, deadline=1)
        return replace(committed, note=dead)


NAMES = tuple(Controls.__dataclass_fields__)
CAUGHT = tuple(name for name in NAMES if name != "leave_when_unanswered")
"""Those that random seeds catch, each switched off alone. A commit that is applied after its partition was given away
does harm only if the new owner then dies with a write on its way, so its rule stays without such a proof."""


def without(*names: str) -> Controls:
    return replace(Controls(), **dict.fromkeys(names, False))
