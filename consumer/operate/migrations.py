"""`migrate`: brings the database to what sql/ says; `verify`: is it there?

A migration is one file of sql/ and one statement. The files run in the order of their numbers, each at most once as
far as zkp2p_schema_migrations knows; and because that record comes after the statement, every statement is written
so that running it again, or twice at the same time, does no harm.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from consumer import resources
from consumer.adapters.clickhouse import one_line
from consumer.adapters.sql import cluster_named
from consumer.core.errors import Stop, UsageError
from consumer.operate import predecessor

TRIES = 5
BUSY_CODES = (517, 473, 159, 999)
"""CANNOT_ASSIGN_ALTER, DEADLOCK_AVOIDED, TIMEOUT_EXCEEDED, KEEPER_EXCEPTION: another one is altering the same table."""
BEATEN_CODES = (57, 60)
"""TABLE_ALREADY_EXISTS, UNKNOWN_TABLE: of a renaming, that another migration has done it meanwhile."""

_NAME = re.compile(r"(\d{4})_(\w+?)(\.cluster)?\.sql")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COMMENT = re.compile(r"\A(?:\s*--[^\n]*\n)+")

RECORD = "zkp2p_schema_migrations"
RECORD_VERSION = 2
"""The migration that makes the record; what runs before it is recorded right after it."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of sql/, ready to run."""

    version: int
    name: str
    """The file's name."""
    checksum: str
    """SHA-256 of the file as it is in the package, before names are filled in; "" for a step that is no file."""
    why: str
    """First sentence of its comment."""
    statement: str


def migrate(
    client: Client, database: str, cluster: str | None = None, *, plan: bool = False, folder: Path | None = None
) -> list[Migration]:
    """Apply what has not been applied, in order; with `plan` only say what that would be.

    `client` must not depend on `database`, which may not exist yet. A table that was made by hand from the
    specification keeps its rows, and they enter the summary; nothing may be writing to it meanwhile.

    Returns the migrations applied (or to apply), [] when there was nothing to do. Raises `Stop` when a file was
    changed after it had been applied, or when the server refuses a statement, naming the file.
    """
    migrations = load(database, cluster, folder)
    applied = _applied(client, database)
    _refuse_changed(migrations, applied or {})
    todo = [m for m in migrations if m.version not in (applied or {})]
    todo = _without_database(client, database, _with_predecessor(client, database, cluster, todo))
    if plan:
        return todo
    unrecorded = []
    for migration in todo:
        _run(client, migration)
        if migration.checksum:
            unrecorded.append(migration)
        if migration.version >= RECORD_VERSION:
            _record(client, database, unrecorded)
            unrecorded.clear()
    return todo


def verify(client: Client, database: str) -> None:
    """Raise `Stop`, with the remedy, unless every migration of this version has been applied to `database`.

    Migrations of a newer version are no hindrance: a rolling upgrade migrates first.
    """
    applied = _applied(client, database)
    remedy = "run zkp2p-consumer migrate"
    if applied is None:
        if not _may_read(client, f"{database}.{RECORD}"):
            remedy = "give the user the grants in sql/grants; if the tables don't exist yet, run zkp2p-consumer migrate"
            raise Stop(f"ClickHouse: this user sees no {database}.{RECORD}, and may not: {remedy}")
        raise Stop(f"database {database} has no {RECORD}: {remedy}")
    wanted = [m for m in load(database, "cluster") if not m.name.endswith(".cluster.sql")]
    _refuse_changed(wanted, applied)
    missing = [m.name for m in wanted if m.version not in applied]
    if missing:
        raise Stop(f"database {database} lacks {', '.join(missing)}: {remedy}")


def load(database: str, cluster: str | None = None, folder: Path | None = None) -> list[Migration]:
    """All migrations for this kind of server, in order, with the names filled in."""
    if not _IDENTIFIER.fullmatch(database):
        raise UsageError(f"{database!r} can't be a database here: use letters, digits and underscores")
    found = []
    for path in sorted((folder or resources.path("sql")).glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if not match:
            raise Stop(f"{path.name} in sql/ is not named NNNN_what.sql")
        if match[3] and not cluster:
            continue
        text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
        found.append(_migration(int(match[1]), path.name, text, database, cluster))
    versions = [m.version for m in found]
    if len(set(versions)) != len(versions):
        raise Stop("two files of sql/ have the same number")
    return found


def _migration(version: int, name: str, text: str, database: str, cluster: str | None) -> Migration:
    comment = _COMMENT.match(text)
    why = _first_sentence(comment[0]) if comment else ""
    body = text[comment.end() :] if comment else text
    checksum = hashlib.sha256(text.encode()).hexdigest()
    return Migration(version, name, checksum, why, fill(body, database, cluster).strip().rstrip(";"))


def _first_sentence(comment: str) -> str:
    words = " ".join(line.strip(" -") for line in comment.splitlines())
    return re.split(r"(?<=\.)\s", words.strip(), maxsplit=1)[0]


def fill(text: str, database: str, cluster: str | None = None) -> str:
    """Put the names and what depends on the kind of server into a statement of sql/."""
    plain = {
        "on_cluster": "",
        "replicated": "",
        "all": "",
        "cluster": "",
        "deduplication_window": "non_replicated_deduplication_window = 10000",
        "no_deduplication_window": "non_replicated_deduplication_window = 0",
    }
    replicated = {
        "on_cluster": f"ON CLUSTER {cluster_named(cluster or '')}",
        "replicated": "Replicated",
        "all": "_all",
        "cluster": cluster_named(cluster or ""),
        # Count and age: whichever is reached first forgets a token, so both are generous. 604,800 s are 7 days.
        "deduplication_window": "replicated_deduplication_window = 10000, "
        "replicated_deduplication_window_seconds = 604800",
        "no_deduplication_window": "replicated_deduplication_window = 0",
    }
    values = {"database": database} | (replicated if cluster else plain)

    def value_of(found: re.Match[str]) -> str:
        value, ends_line = values[found[2]], text.startswith("\n", found.end())
        return "" if ends_line and not value else found[1] + value

    # All at once: what is filled in may be a macro of the server's, which looks the same.
    return re.sub(rf"( ?)\{{({'|'.join(values)})\}}", value_of, text)


def _with_predecessor(client: Client, database: str, cluster: str | None, todo: list[Migration]) -> list[Migration]:
    """Clear the name that the summary needs, right before it is made."""
    at = next((i for i, m in enumerate(todo) if m.name.endswith("_daily_summary.sql")), None)
    if at is None:
        return todo
    steps = predecessor.set_aside(client, database, cluster)
    cleared = [Migration(todo[at].version, "set aside zkp2p_daily_summary", "", why, sql) for sql, why in steps]
    return [*todo[:at], *cleared, *todo[at:]]


def _without_database(client: Client, database: str, todo: list[Migration]) -> list[Migration]:
    """Where an administrator has made the database, the migrator needs no right to make databases."""
    if not todo or todo[0].version != 1:
        return todo
    query = "SELECT count() FROM system.databases WHERE name = {d:String}"
    exists = client.query(query, parameters={"d": database}).result_rows[0][0]
    return [replace(todo[0], statement=""), *todo[1:]] if exists else todo


def _refuse_changed(migrations: Sequence[Migration], applied: dict[int, tuple[str, str]]) -> None:
    for m in migrations:
        if m.version in applied and applied[m.version][1] != m.checksum:
            raise Stop(
                f"sql/{m.name} was changed after it had been applied as {applied[m.version][0]}: "
                "restore the file and put the change into a new one"
            )


def _applied(client: Client, database: str) -> dict[int, tuple[str, str]] | None:
    """Version -> (file name, checksum); None where there is no record yet."""
    exists = client.query(
        "SELECT count() FROM system.tables WHERE database = {d:String} AND name = {t:String}",
        parameters={"d": database, "t": RECORD},
    ).result_rows[0][0]
    if not exists:
        return None
    rows = client.query(f"SELECT version, name, checksum FROM {database}.{RECORD} FINAL").result_rows
    return {version: (name, checksum) for version, name, checksum in rows}


def _may_read(client: Client, table: str) -> bool:
    """False only where the server says so: to somebody without rights a table looks as if it were not there."""
    try:
        return bool(client.query(f"CHECK GRANT SELECT ON {table}").result_rows[0][0])
    except DatabaseError as error:
        if _code(error) is None:
            raise
        return True  # a server that knows no such question


def _run(client: Client, migration: Migration) -> None:
    if not migration.statement:
        return
    settings: dict[str, Any] = {}
    if migration.statement.startswith("INSERT"):
        settings = {
            "insert_deduplication_token": f"migration/{migration.name}/{migration.checksum}",
            "insert_deduplicate": 1,
            "max_insert_threads": 1,
        }
    for attempt in range(1, TRIES + 1):
        try:
            client.command(migration.statement, settings=settings)
        except DatabaseError as error:
            code = _code(error)
            if code is None:
                raise  # no answer of the server's: an outage
            if not migration.checksum and code in BEATEN_CODES:
                return
            if attempt == TRIES or code not in BUSY_CODES:
                name = f"sql/{migration.name}" if migration.checksum else migration.name
                raise Stop(f"{name} was refused: {one_line(str(error), 600)}") from error
            time.sleep(0.5 * attempt)
        else:
            return


def _code(error: DatabaseError) -> int | None:
    found = re.search(r"\bCode: (\d+)", str(error))
    return int(found[1]) if found else None


def _record(client: Client, database: str, migrations: Sequence[Migration]) -> None:
    for m in migrations:
        client.command(
            f"INSERT INTO {database}.{RECORD} (version, name, checksum) "
            f"VALUES ({m.version}, '{m.name}', '{m.checksum}')"
        )
