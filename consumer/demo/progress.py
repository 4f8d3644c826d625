"""What ClickHouse says of the job, asked a few times a second."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from clickhouse_connect.driver.client import Client

LOOK_SECONDS = 0.5
STUCK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Rows of the table, and how the ledger says that the other records were spent."""

    inserted: int = 0
    duplicates: int = 0
    rejected: int = 0
    ignored: int = 0
    expired: int = 0
    methods: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)
    """Method -> attempts, successes, errors, abandons of the summary."""

    @property
    def consumed(self) -> int:
        return self.inserted + self.duplicates + self.rejected + self.ignored + self.expired


class Watch:
    """Looks are made by the consuming thread; others read `progress`."""

    def __init__(self, client: Client, database: str) -> None:
        self._client = client
        self._database = database
        self.progress = Progress()
        self._looked_at = 0.0
        self._moved_at = time.monotonic()

    @property
    def stuck(self) -> bool:
        return time.monotonic() - self._moved_at > STUCK_SECONDS

    def look_now_and_then(self) -> None:
        if time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self.look()

    def look(self) -> None:
        self._looked_at = time.monotonic()
        table, ledger, summary = (
            f"{self._database}.{name}"
            for name in ("zkp2p_payment_events", "zkp2p_ingest_ledger", "zkp2p_daily_summary")
        )
        rows = self._client.query(f"SELECT count() FROM {table}").result_rows[0][0]
        spent = self._client.query(
            f"SELECT sum(duplicates), sum(rejected), sum(ignored), sum(expired) FROM {ledger} FINAL"
        ).result_rows[0]
        methods = self._client.query(
            "SELECT toString(paymentMethod), sum(attempts), sum(successes), sum(errors), sum(abandons)"
            f" FROM {summary} GROUP BY paymentMethod ORDER BY 2 DESC"
        ).result_rows
        duplicates, rejected, ignored, expired = spent
        by_method = {name: (a, s, e, b) for name, a, s, e, b in methods}
        found = Progress(rows, duplicates, rejected, ignored, expired, by_method)
        if found.consumed > self.progress.consumed:
            self._moved_at = self._looked_at
        self.progress = found
