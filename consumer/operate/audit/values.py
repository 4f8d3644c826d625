"""What an audit finds, as values. A `Finding` is something wrong; a pass or a note is only shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum


class Kind(StrEnum):
    """What can be wrong, and what sets it right."""

    GAP = "gap"
    """Offsets inside a pass that no ledger row accounts for."""
    OVERLAP = "overlap"
    """Offsets that two ledger rows of one pass account for."""
    UNBALANCED = "unbalanced"
    """A ledger row whose counts don't add up to its offsets."""
    SKIPPED = "skipped"
    """Offsets between two passes that nobody has read: the group was reset past them."""
    TWO_WRITERS = "two writers"
    """Two groups wrote the same partition at the same time."""
    COMMITTED = "committed"
    """The group's committed offset is not where the ledger ends."""
    LOST = "lost"
    """Rows that the ledger counts as inserted and the table does not hold. A re-read brings them back."""
    UNCOUNTED = "uncounted"
    """Rows in the table under offsets of which the ledger counts fewer as inserted."""
    UNCOVERED = "uncovered"
    """Rows that no ledger row covers: a batch broke off. The next start of the consumer closes it."""
    DOUBLED = "doubled"
    """Several rows of one Kafka record."""
    DUPLICATE = "duplicate"
    """Several records of one (sessionId, eventType) within its window."""
    DRIFT = "drift"
    """A summary day of a partition that is not what the events say. `--repair` mends it."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is wrong, and where. Offsets are inclusive; -1 where it is about none."""

    kind: Kind
    topic_id: str
    partition: int
    first: int
    last: int
    message: str
    """One line that says it all, place included."""
    day: date | None = None
    rebuild: bool = field(default=False, compare=False)
    """A drift that an insert of differences can't mend, as the summary knows buyers that the events don't."""

    @property
    def mendable(self) -> bool:
        return self.kind is Kind.DRIFT


@dataclass(frozen=True, slots=True)
class Pass:
    """One reading of a partition by a group: offsets [first, end) and how they were spent."""

    topic_id: str
    partition: int
    group: str
    number: int
    first: int
    end: int
    rows: int
    """Ledger rows, that is batches."""
    inserted: int
    duplicates: int
    rejected: int
    ignored: int
    expired: int
    missing: int
    landed_first: datetime
    landed_last: datetime
    whole: bool
    """The ledger rows tile it: no gap, no overlap."""
    unbalanced: int
    """Ledger rows whose counts don't add up."""
    aged_inserted: int
    """Inserted by batches that hold rows from before `AuditReport.whole_since`."""


@dataclass(slots=True)
class AuditReport:
    """What was looked at, and what was found."""

    database: str
    since: date
    """The oldest UTC day that was compared."""
    whole_since: date
    """Retention has taken, or may have taken, rows of days before this one."""
    passes: list[Pass] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Worth knowing, and nothing wrong: one line each."""
    events: int = 0
    """Rows of the table that were compared."""
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        return not self.findings
