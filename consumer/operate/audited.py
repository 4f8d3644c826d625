"""The command `audit`: looks, repairs when asked to, looks again, and says what it found."""

from __future__ import annotations

import sys

from consumer import console
from consumer.adapters.membership import live_members
from consumer.operate.audit import AuditReport, audit, render
from consumer.operate.audit import repair as mend
from consumer.operate.commits import read_commits
from consumer.operate.migrations import verify
from consumer.operate.opened import opened
from consumer.settings import KafkaSettings, Settings


def run(settings: Settings, *, days: int, repair: bool) -> int:
    """1 if anything is wrong (after the repair), else 0. Without brokers in the settings Kafka is left out."""
    database, commits = settings.clickhouse.database, None
    if settings.kafka.bootstrap_servers:
        settings.require_kafka()
        # Commits before the ledger: one that comes in between must not look as if it were ahead.
        commits = read_commits(settings.kafka)
    with opened(settings.clickhouse) as client:
        verify(client, database)

        def look() -> AuditReport:
            return audit(
                client,
                database,
                days=days,
                committed=commits.offsets if commits else None,
                topic_id=commits.topic_id if commits else None,
                group=settings.kafka.group_id if commits else None,
            )

        report = look()
        if repair and any(finding.mendable for finding in report.findings):
            mended = mend(client, database, report, idle_groups=_idle_groups(settings.kafka))
            console.say(f"repair: {mended} days of the summary mended")
            report = look()
    render(report, sys.stdout)
    return 0 if report.clean else 1


def _idle_groups(kafka: KafkaSettings) -> list[str]:
    """Our group, if the broker says that nobody is in it."""
    return [kafka.group_id] if kafka.bootstrap_servers and live_members(kafka, kafka.group_id) == 0 else []
