"""What `check` asks ClickHouse: version, clock, schema, deduplication, rights, and who else writes here."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from consumer.adapters.clickhouse import one_line
from consumer.adapters.membership import live_members
from consumer.core.errors import Stop
from consumer.operate import canary, migrations
from consumer.operate.check import FAIL, OK, WARN, Finding
from consumer.operate.opened import opened
from consumer.settings import Settings

SILENCE_SECONDS = 12
CLOCK_SECONDS_MAX = 2.0
"""The margin that a new owner of a partition waits beyond the old one's deadline."""
RECENT_SECONDS = 15 * 60
NO_RIGHT = 497
"""ClickHouse's ACCESS_DENIED."""
WINDOW = re.compile(r"\b(?:non_replicated|replicated)_deduplication_window = (\d+)")
NEEDED = {
    "zkp2p_payment_events": ("SELECT", "INSERT"),
    "zkp2p_ingest_ledger": ("SELECT", "INSERT"),
    "zkp2p_daily_summary_state": ("SELECT", "INSERT"),
    "zkp2p_schema_migrations": ("SELECT",),
    "system.processes": ("SELECT",),  # is a write of the former owner still running?
}


def findings(settings: Settings) -> Iterator[Finding]:
    """All about ClickHouse; ends with an error where it can't be reached or won't have us."""
    with opened(settings.clickhouse, before_database=True, silence_seconds=SILENCE_SECONDS) as client:
        yield from _server(client, settings)
        try:
            migrations.verify(client, settings.clickhouse.database)
        except Stop as stop:
            yield Finding(FAIL, "schema", str(stop))
            return
        yield Finding(OK, "schema", f"database {settings.clickhouse.database} is up to date")
        yield from _windows(client, settings)
        yield _canary(client, settings)
        yield from _rights(client, settings)
        yield from _writers(client, settings)


def _server(client: Client, settings: Settings) -> Iterator[Finding]:
    before = time.time()
    version, zone, now = client.query("SELECT version(), timezone(), toUnixTimestamp64Milli(now64(3))").result_rows[0]
    after = time.time()
    yield Finding(OK, "clickhouse", f"{settings.clickhouse.url}: version {version}, time zone {zone}")
    if settings.clickhouse.embedded:
        return
    offset = now / 1000 - (before + after) / 2
    remedy = ": synchronise the clocks (NTP)" if abs(offset) > CLOCK_SECONDS_MAX else ""
    status = WARN if remedy else OK
    yield Finding(status, "clock", f"the server's is {abs(offset):.3f} s {'ahead' if offset > 0 else 'behind'}{remedy}")


def _windows(client: Client, settings: Settings) -> Iterator[Finding]:
    """Table and summary must remember tokens, and equally many: else a repeated block lands in one of them."""
    database = settings.clickhouse.database
    sizes = {}
    for table in ("zkp2p_payment_events", "zkp2p_daily_summary_state"):
        query = "SELECT engine_full FROM system.tables WHERE database = {d:String} AND name = {t:String}"
        rows = client.query(query, parameters={"d": database, "t": table}).result_rows
        match = WINDOW.search(rows[0][0]) if rows else None
        sizes[table] = int(match[1]) if match else 0
    smallest, largest = min(sizes.values()), max(sizes.values())
    if not smallest or smallest != largest:
        found = ", ".join(f"{table} {size}" for table, size in sizes.items())
        remedy = "set both alike with ALTER TABLE ... MODIFY SETTING, as sql/ does"
        yield Finding(FAIL, "dedup window", f"tables remember unequal numbers of inserts, or none ({found}): {remedy}")
    else:
        yield Finding(OK, "dedup window", f"table and summary remember the last {smallest} inserts")


def _canary(client: Client, settings: Settings) -> Finding:
    chosen = settings.clickhouse
    try:
        canary.prove(client, chosen.database, chosen.cluster, embedded=chosen.embedded)
    except Stop as stop:
        return Finding(FAIL, "canary", str(stop))
    except ClickHouseError as error:
        text = one_line(str(error))
        if f"Code: {NO_RIGHT}" in text:
            return Finding(OK, "canary", "not tried: this user may not make tables, as it should be for `run`")
        return Finding(WARN, "canary", f"not tried: {text}")
    late = "" if chosen.embedded else ", and one after its deadline was refused"
    return Finding(OK, "canary", f"an insert sent twice landed once, behind a view too{late}")


def _rights(client: Client, settings: Settings) -> Iterator[Finding]:
    database = settings.clickhouse.database
    missing = []
    for table, rights in NEEDED.items():
        name = table if "." in table else f"{database}.{table}"
        for right in rights:
            try:
                granted = client.query(f"CHECK GRANT {right} ON {name}").result_rows[0][0]
            except ClickHouseError as error:
                yield Finding(WARN, "grants", f"the server can't say: {one_line(str(error))}")
                return
            if not granted:
                missing.append(f"{right} ON {name}")
    if missing:
        user = settings.clickhouse.username
        yield Finding(FAIL, "grants", f"{user} lacks: GRANT {', '.join(missing)} TO {user}")
    else:
        yield Finding(OK, "grants", f"{settings.clickhouse.username} may read and write all it must")


def _writers(client: Client, settings: Settings) -> Iterator[Finding]:
    """Two groups that write one table at a time double every event, each in its own partitions' order."""
    query = (
        "SELECT groupId, toUnixTimestamp(now()) - toUnixTimestamp(max(landedAt)) AS age"
        f" FROM {settings.clickhouse.database}.zkp2p_ingest_ledger WHERE groupId != {{g:String}}"
        " GROUP BY groupId ORDER BY age LIMIT 10"
    )
    others = client.query(query, parameters={"g": settings.kafka.group_id}).result_rows
    for group, age in others:
        members = live_members(settings.kafka, group) if settings.kafka.bootstrap_servers else None
        ago = f"it last wrote {age // 60} minutes ago"
        if members:
            remedy = "stop one of the two, or give it a database of its own"
            yield Finding(FAIL, "writers", f"group {group} writes the same table ({members} members): {remedy}")
        elif age < RECENT_SECONDS:
            yield Finding(WARN, "writers", f"group {group} has written the same table: {ago}; see that it is stopped")
        else:
            yield Finding(OK, "writers", f"group {group} has written here too, and is gone: {ago}")
    if not others:
        yield Finding(OK, "writers", f"no group but {settings.kafka.group_id} has written here")
