"""What a partition asks of the world, and what it tells about itself.

A partition has at most one `Effect` outstanding. Each is answered once: by its result, or by `Retryable`,
`LeaseOver` or `Fenced`. A `Fact` wants no answer: the shell logs and counts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consumer.core.batch import Batch, DeadLetter, Keys, LedgerRow, Rows
from consumer.core.dedupe import Scope
from consumer.core.lease import Note
from consumer.core.position import PassRange


class Effect:
    """Base of what needs an answer. The comment behind each says which."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ReadCommitted(Effect):  # -> Committed
    """The group's committed offset and its metadata."""


@dataclass(frozen=True, slots=True)
class ReadLog(Effect):  # -> Log
    """The topic's id and the log's bounds."""


@dataclass(frozen=True, slots=True)
class Touched(Effect):  # -> bool
    """Do table or ledger hold anything of this partition, of whatever topic id?"""


@dataclass(frozen=True, slots=True)
class Quiet(Effect):  # -> bool
    """True when the server runs no write of this partition, whatever the topic id."""


@dataclass(frozen=True, slots=True)
class ReadSink(Effect):  # -> Landed
    """The ledger's passes of this partition and the rows that no ledger row covers."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A row whose batch never got its ledger row."""

    topic_id: str
    offset: int
    seconds: int
    """Event time."""


@dataclass(frozen=True, slots=True)
class Landed:
    """The answer to `ReadSink`."""

    passes: Sequence[PassRange]
    orphans: Sequence[Orphan]


@dataclass(frozen=True, slots=True)
class Mend(Effect):  # -> int, days mended
    """Bring the summary of these days of this partition in line with the table; all young days when None."""

    topic_id: str
    days: tuple[int, ...] | None
    deadline: int


@dataclass(frozen=True, slots=True)
class Hydrate(Effect):  # -> list[tuple[Scope, int, Keys]]
    """The keys that the table holds for these days."""

    topic_id: str
    wanted: tuple[tuple[Scope, int], ...]


@dataclass(frozen=True, slots=True)
class SendDeadLetters(Effect):  # -> None, once all are acknowledged
    letters: Sequence[DeadLetter]


@dataclass(frozen=True, slots=True)
class Insert(Effect):  # -> None
    """All rows of one calendar month of a batch: one block, one part, all or nothing."""

    topic_id: str
    rows: Sequence[Rows]
    month: int
    token: str
    deadline: int
    span: tuple[int, int]


@dataclass(frozen=True, slots=True)
class WriteLedger(Effect):  # -> None
    row: LedgerRow
    deadline: int


@dataclass(frozen=True, slots=True)
class Commit(Effect):  # -> None
    """Commit `offset` with the note; the shell may send several partitions' commits in one call."""

    offset: int
    note: Note


@dataclass(frozen=True, slots=True)
class Seek(Effect):  # -> None; from now on records come from `offset` on
    offset: int


@dataclass(frozen=True, slots=True)
class Sleep(Effect):
    """Answered by the partition itself when its time has come."""

    until: float


@dataclass(frozen=True, slots=True)
class Fill(Effect):
    """Answered by the partition itself: with runs when a batch is full or old enough, with None when idle."""


class Fact:
    """Base of what needs no answer."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Recovered(Fact):
    kind: str
    """clean | waited | orphans | reread"""
    offset: int
    number: int
    why: str
    waited_seconds: float
    orphans: int


@dataclass(frozen=True, slots=True)
class BatchLanded(Fact):
    batch: Batch
    reason: str
    seconds: float
    """From the moment the batch was full to its ledger row."""


@dataclass(frozen=True, slots=True)
class Retried(Fact):
    step: str
    cause: str
    message: str
    pause_seconds: float


@dataclass(frozen=True, slots=True)
class StartedOver(Fact):
    """The partition goes through recovery again."""

    cause: str


@dataclass(frozen=True, slots=True)
class Mended(Fact):
    topic_id: str
    days: int


@dataclass(frozen=True, slots=True)
class LeaseHeld(Fact):
    until: int


@dataclass(frozen=True, slots=True)
class Released(Fact):
    """The partition needs nothing more: it may be given away."""

    clean: bool
    """True when the last commit says so: the next owner waits for nothing."""


Output = Effect | Fact
KeysOfDay = tuple[Scope, int, Keys]
