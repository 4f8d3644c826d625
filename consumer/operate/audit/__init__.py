"""`audit`: proves that nothing was lost or doubled, or names what was.

    ledger   every offset of a pass is in exactly one ledger row, none lies between passes unread, counts add up
    commits  the group's committed offsets are where the ledger ends
    rows     the table holds the rows that the ledger counts as inserted, by topic id, partition and offset
    days     no (sessionId, eventType) twice within its window; each summary day is what its events say

Everything is worked out by the server, a run of days or a partition at a time, and only what is wrong comes back.
Consumers may be running. What retention has taken is aged out: not compared, no finding, never rebuilt.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from clickhouse_connect.driver.client import Client

from consumer.operate.audit import days as by_day
from consumer.operate.audit import ledger, rows
from consumer.operate.audit.ledger import Commits
from consumer.operate.audit.render import render
from consumer.operate.audit.repair import repair
from consumer.operate.audit.scope import Scope, begin, day_of, runs_of_days
from consumer.operate.audit.values import AuditReport, Finding, Kind, Pass

__all__ = ["AuditReport", "Finding", "Kind", "Pass", "audit", "render", "repair"]

PAUSES = (1.0, 3.0, 6.0)
"""Seconds before a finding is looked at again while batches are landing."""


def audit(
    client: Client,
    database: str,
    *,
    days: int = 90,
    committed: Commits | None = None,
    topic_id: str | None = None,
    group: str | None = None,
    pauses: Sequence[float] = PAUSES,
) -> AuditReport:
    """Audit the last `days` UTC days (the ledger's tiling: all of it).

    `committed`: partition -> (offset, metadata), read before this is called; left out where there is no Kafka.
    `topic_id` and `group` say whose commits these are; by default, of whoever wrote the partition last.
    """
    began = time.monotonic()
    scope = begin(client, database, days, pauses)
    report = AuditReport(database, day_of(scope.since), day_of(scope.whole))
    report.passes = ledger.passes(scope)
    report.findings += ledger.broken(scope, report.passes)
    report.findings += ledger.skipped(report.passes)
    report.findings += ledger.two_writers(scope, report.passes)
    if committed is not None:
        findings, notes = ledger.disagreements(report.passes, committed, topic_id, group)
        report.findings += findings
        report.notes += notes
    census = by_day.census(scope)
    of_days = _by_day(scope, census, report)
    report.findings += of_days
    doubled = by_day.doubled_offsets(of_days)
    of_rows = scope.lasting(lambda only: rows.compare(scope, report.passes, doubled, only))
    report.findings += [f for f in of_rows if f.kind is not Kind.DOUBLED or not _known(f, doubled)]
    partitions = census.partitions | {p.partition for p in report.passes}
    of_orphans = scope.lasting(lambda only: rows.uncovered(scope, partitions, only))
    report.findings += [f for f in of_orphans if not _within_gap(f, report.findings)]
    report.notes += _aged(report)
    report.findings.sort(key=lambda f: (list(Kind).index(f.kind), f))
    report.seconds = time.monotonic() - began
    return report


def _by_day(scope: Scope, census: by_day.Census, report: AuditReport) -> list[Finding]:
    report.events = sum(census.rows_of_day.values())
    every_day = dict.fromkeys(range(scope.since, scope.today + 2), 0) | census.rows_of_day
    found: set[Finding] = set()
    for first, last in runs_of_days(every_day):
        copies, not_looked_at = by_day.copies(scope, first, last, adopted=census.adopted)
        found.update(copies)
        if not_looked_at:
            report.notes.append(f"{not_looked_at} more events from {day_of(first)} on have copies than are listed")
        span = range(first, last + 1)
        found.update(scope.lasting(lambda only, span=span: by_day.drift(scope, span, only)))  # type: ignore[misc]
    return list(found)


def _known(finding: Finding, doubled: rows.Doubled) -> bool:
    return finding.first in doubled.get((finding.topic_id, finding.partition), ())


def _within_gap(finding: Finding, findings: Sequence[Finding]) -> bool:
    """A hole in the ledger is one finding, not also one for the rows that lie in it."""
    return any(
        g.kind is Kind.GAP
        and (g.topic_id, g.partition) == (finding.topic_id, finding.partition)
        and g.first <= finding.first <= finding.last <= g.last
        for g in findings
    )


def _aged(report: AuditReport) -> list[str]:
    return [
        f"partition {p.partition}: batches with {p.aged_inserted} rows of pass {p.number} of {p.group} reach back"
        f" before {report.whole_since}: aged out, or about to be, and not compared"
        for p in report.passes
        if p.aged_inserted
    ]
