"""`audit --repair`: sets drifted summary days right, or says why it would not be safe."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from clickhouse_connect.driver.client import Client

from consumer.adapters.sql import quoted
from consumer.core.errors import Stop
from consumer.operate.audit.scope import EPOCH
from consumer.operate.audit.values import AuditReport, Finding, Kind
from consumer.operate.summary import STATE, mend_sql

QUIET_SECONDS = 60
"""A partition whose last batch landed longer ago is quiet enough to be mended: a lease is shorter."""


def repair(
    client: Client,
    database: str,
    report: AuditReport,
    *,
    active: Collection[int] | None = None,
    idle_groups: Collection[str] = (),
) -> int:
    """Mend what `report` found drifted; returns how many days of a partition were mended.

    A mending adds table minus summary, so a batch of the same partition that has landed in one and not yet in the
    other would be counted twice. Therefore a partition that is being written is refused: `active` names those (of
    a group with members, for example); without it, those where a batch landed lately or a write is running. Batches
    of `idle_groups`, which are known to have no member now, don't count.

    Where the summary knows buyers that the events do not, the day is taken out and put in again. Broken off in
    between it is short, which the next audit sees and mends.

    Raises `Stop` when a partition can't be mended now; others have been.
    """
    found: defaultdict[tuple[str, int], list[Finding]] = defaultdict(list)
    for finding in report.findings:
        if finding.kind is Kind.DRIFT and finding.day:
            found[finding.topic_id, finding.partition].append(finding)
    refused = []
    mended = 0
    for (topic_id, partition), drifts in sorted(found.items()):
        busy = (
            partition in active
            if active is not None
            else bool(topic_id) and _busy(client, database, partition, idle_groups)
        )
        if busy:
            refused.append(partition)
            continue
        rebuild = [(f.day - EPOCH).days for f in drifts if f.rebuild and f.day]
        days = [(f.day - EPOCH).days for f in drifts if f.day]
        if rebuild:
            _take_out(client, database, topic_id, partition, rebuild)
        client.command(mend_sql(database, topic_id, partition, days))
        mended += len(days)
    if refused:
        names = ", ".join(map(str, sorted(set(refused))))
        raise Stop(
            f"mended {mended} days; partition {names} is being written, or was a minute ago: stop the consumers and"
            " repair again"
        )
    return mended


def _busy(client: Client, database: str, partition: int, idle_groups: Collection[str]) -> bool:
    others = "".join(f" AND groupId != {quoted(group)}" for group in idle_groups)
    lately = (
        f"SELECT count() FROM {database}.zkp2p_ingest_ledger WHERE kafkaPartition = {partition}"
        f" AND landedAt > now() - INTERVAL {QUIET_SECONDS} SECOND{others}"
    )
    # The writer's query ids are zkp2p/database/topic/partition/what/...
    running = (
        "SELECT count() FROM system.processes"
        f" WHERE match(query_id, {quoted(f'^zkp2p/{database}/.*/{partition}/[^/]+/[^/]+$')})"
    )
    return any(client.query(sql).result_rows[0][0] for sql in (lately, running))


def _take_out(client: Client, database: str, topic_id: str, partition: int, days: list[int]) -> None:
    numbers = ", ".join(map(str, sorted(days)))
    client.command(
        f"ALTER TABLE {database}.{STATE} DELETE WHERE toUInt16(date) IN ({numbers})"
        f" AND kafkaTopicId = {quoted(topic_id)} AND kafkaPartition = {partition}",
        settings={"mutations_sync": 2},
    )
