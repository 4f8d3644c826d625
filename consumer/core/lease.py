"""How long a partition's owner may write, and what it tells the next owner.

A commit proves to us that we were a member when the coordinator took it. Its metadata carries a deadline D:
until then, and no longer, we may have inserts on their way to ClickHouse. The server refuses what comes later
(`throwIf(nowInBlock() > D)`), and whoever gets the partition next waits for D before it looks at what landed.
All times are seconds since 1970 by the ClickHouse server's clock.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import msgspec

METADATA_CHARACTERS_MAX = 4000
"""Kafka's own limit is 4096 (`offset.metadata.max.bytes`); one that is longer is refused with the whole commit."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Every deadline of the protocol, in seconds; all follow from the group's session timeout."""

    lease: float
    """L: how long a commit allows writing. Well under the session timeout, so that a partition given away
    because its owner fell silent has a dead lease already."""
    margin: float
    """Waited beyond D: a second because DateTime has no finer grain, the rest for clocks that differ."""
    write: float
    """Time-out of one request to ClickHouse that writes; shorter than the lease."""
    revoke: float
    """How long a batch in flight may take to land once its partition is being taken away."""
    fenced: bool = True
    """False for the embedded engine: one process, so there is nobody to wait for."""

    @classmethod
    def of_session(cls, session_timeout_ms: int, *, fenced: bool = True) -> Timing:
        """>>> Timing.of_session(45_000).lease
        15.0
        """
        session = session_timeout_ms / 1000
        lease = float(max(2, int(session / 3)))
        return cls(lease=lease, margin=2.0, write=lease * 0.9, revoke=session / 3, fenced=fenced)

    @property
    def renew_below(self) -> float:
        """A write starts only with at least this much of the lease left."""
        return self.lease / 3


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """What every commit of ours carries as its metadata."""

    topic_id: str = msgspec.field(name="t")
    group: str = msgspec.field(name="g")
    pass_: int = msgspec.field(name="p")
    """Numbers the deliberate readings of the topic: a reset of the offsets begins a new one."""
    deadline: int = msgspec.field(name="d")
    """D; 0 when nothing is on its way (a clean stop)."""
    version: int = msgspec.field(name="v", default=1)

    def dump(self) -> str:
        """ASCII whatever the names are: the metadata is a Kafka string that other tools print."""
        return json.dumps(msgspec.to_builtins(self), separators=(",", ":"))


_NOTE = msgspec.json.Decoder(Note)


def read_note(metadata: str | None) -> Note | None:
    """The note in a commit's metadata; None where somebody else wrote the commit (an operator's tool)."""
    if not metadata:
        return None
    try:
        note = _NOTE.decode(metadata)
    except (msgspec.DecodeError, UnicodeError):
        return None
    return note if note.version == 1 else None
