"""What must come out of made-up traffic, known by whoever made it and not by judging it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, Self

import orjson


class Row(NamedTuple):
    """One row of zkp2p_payment_events, without where it came from."""

    user_id: int
    session_id: str
    event_type: str
    payment_method: str
    usd_cents: int
    buzz_amount: int
    error_message: str | None
    timestamp: int
    """Seconds since 1970, UTC."""


class Letter(NamedTuple):
    """One dead letter."""

    code: str
    field: str
    """`data.usdAmount`; empty where the value as a whole is wrong."""
    digest: str | None
    """`digest(value)` of the record; None for a record without a value."""


class Day(NamedTuple):
    """One row of zkp2p_daily_summary, without its date and method."""

    attempts: int
    successes: int
    errors: int
    abandons: int
    total_usd_cents: int
    unique_buyers: int


_COUNTS = ("produced", "inserted", "duplicates", "ignored", "expired", "key_mismatches", "rejected_by_code")


def digest(value: bytes) -> str:
    return blake2b(value, digest_size=16).hexdigest()


@dataclass(slots=True)
class Truth:
    """Counts of what was produced so far. produced = inserted + duplicates + rejected + ignored + expired."""

    produced: int = 0
    inserted: int = 0
    duplicates: int = 0
    ignored: int = 0
    expired: int = 0
    key_mismatches: int = 0
    """Payments, copies and expired ones included, whose key is not their sessionId."""
    rejected_by_code: Counter[str] = field(default_factory=Counter)
    rows: list[Row] = field(default_factory=list)
    """Every row that has to be in the table, once; in the order of production."""
    letters: list[Letter] = field(default_factory=list)
    """Every record that has to be in the dead-letter topic."""

    @property
    def rejected(self) -> int:
        return self.rejected_by_code.total()

    def line(self) -> str:
        return (
            f"produced {self.produced} = inserted {self.inserted} + duplicates {self.duplicates} + "
            f"rejected {self.rejected} + ignored {self.ignored} + expired {self.expired}"
        )

    def summary(self) -> dict[tuple[str, str], Day]:
        """(date, method): what zkp2p_daily_summary has to say, from the rows."""
        counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        cents: Counter[tuple[str, str]] = Counter()
        buyers: dict[tuple[str, str], set[int]] = defaultdict(set)
        for row in self.rows:
            key = (datetime.fromtimestamp(row.timestamp, UTC).date().isoformat(), row.payment_method)
            counts[key][row.event_type] += 1
            if row.event_type == "success":
                cents[key] += row.usd_cents
                buyers[key].add(row.user_id)
        return {
            key: Day(n["attempt"], n["success"], n["error"], n["abandoned"], cents[key], len(buyers[key]))
            for key, n in sorted(counts.items())
        }

    def save(self, path: Path) -> None:
        """Writes JSON lines: the counts, then every row and letter as an array."""
        with path.open("wb") as file:
            file.writelines(self._lines())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `save` wrote."""
        with path.open("rb") as file:
            counts = orjson.loads(file.readline())
            counts["rejected_by_code"] = Counter(counts["rejected_by_code"])
            truth = cls(**counts)
            for line in file:
                values = orjson.loads(line)
                if len(values) == len(Row._fields):
                    truth.rows.append(Row(*values))
                else:
                    truth.letters.append(Letter(*values))
        return truth

    def _lines(self) -> Iterator[bytes]:
        counts = {name: getattr(self, name) for name in _COUNTS}
        yield orjson.dumps(counts, option=orjson.OPT_APPEND_NEWLINE)
        for values in (*self.rows, *self.letters):
            yield orjson.dumps(list(values), option=orjson.OPT_APPEND_NEWLINE)
