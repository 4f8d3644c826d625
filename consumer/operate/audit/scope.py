"""What one audit looks at: fixed when it begins, so that a running consumer changes nothing about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from clickhouse_connect.driver.client import Client

from consumer.core.batch import SECONDS_A_DAY
from consumer.operate.audit.values import Finding
from consumer.operate.summary import FIRST_WHOLE_DAY

EPOCH = date(1970, 1, 1)
FINDINGS_MAX = 1000
"""Of one kind; who has more needs no longer list."""
ACTIVE_SECONDS = 120
"""A table whose last batch landed longer ago is hardly being written to, so one second look is enough."""
ROWS_A_CHUNK = 4_000_000
"""Events are looked at by runs of days with about so many rows: that bounds the server's memory."""


@dataclass(frozen=True, slots=True)
class Scope:
    client: Client
    database: str
    whole: int
    """First UTC day, since 1970, of which retention has taken nothing."""
    since: int
    """First day that is compared; not before `whole`."""
    today: int
    now: str
    """By the server's clock, when the audit began. A ledger row from before has its events in the table."""
    pauses: Sequence[float]
    """Seconds to wait before a finding is looked at again, while batches are landing."""

    def ask(self, sql: str) -> Sequence[Sequence[Any]]:
        return self.client.query(sql).result_rows

    @property
    def events(self) -> str:
        return f"{self.database}.zkp2p_payment_events"

    @property
    def ledger(self) -> str:
        """The ledger rows of this audit, to be followed by AND conditions or GROUP BY."""
        return f"{self.database}.zkp2p_ingest_ledger FINAL WHERE landedAt <= toDateTime64('{self.now}', 3, 'UTC')"

    @property
    def whole_seconds(self) -> int:
        return self.whole * SECONDS_A_DAY

    @property
    def since_seconds(self) -> int:
        return self.since * SECONDS_A_DAY

    def lasting(self, check: Callable[[frozenset[int] | None], Iterable[Finding]]) -> list[Finding]:
        """What `check` finds of all partitions (None), and still finds there when asked again.

        Between the steps of a batch that is landing, table, view and ledger rightly differ for a moment.
        """
        found = set(check(None))
        for pause in self.pauses if found else ():
            time.sleep(pause)
            found &= set(check(frozenset(f.partition for f in found)))
            if not found:
                break
        return sorted(found)


def begin(client: Client, database: str, days: int, pauses: Sequence[float]) -> Scope:
    """Ask the server for its time and the days that are whole."""
    table = f"{database}.zkp2p_ingest_ledger"
    [(now, today, whole, idle)] = client.query(
        f"SELECT toString(now64(3, 'UTC')), toUInt32(toUInt16(toDate(now(), 'UTC'))), toUInt32(toUInt16({FIRST_WHOLE_DAY})),"
        f" if(count() = 0, 0, toUnixTimestamp(now()) - toUnixTimestamp(max(landedAt))) FROM {table}"
    ).result_rows
    since = max(int(whole), int(today) - days + 1)
    return Scope(
        client, database, int(whole), since, int(today), str(now), pauses if idle < ACTIVE_SECONDS else pauses[:1]
    )


def day_of(number: int) -> date:
    return EPOCH + timedelta(days=number)


def runs_of_days(rows_of_day: dict[int, int], rows_max: int = ROWS_A_CHUNK) -> list[tuple[int, int]]:
    """First and last day of runs of days with at most `rows_max` rows, or of one day that has more.

    >>> runs_of_days({1: 5, 2: 5, 4: 5, 9: 30}, 10)
    [(1, 2), (4, 4), (9, 9)]
    """
    runs: list[tuple[int, int]] = []
    rows = 0
    for day in sorted(rows_of_day):
        if runs and rows + rows_of_day[day] <= rows_max:
            runs[-1] = (runs[-1][0], day)
            rows += rows_of_day[day]
        else:
            runs.append((day, day))
            rows = rows_of_day[day]
    return runs


def utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
