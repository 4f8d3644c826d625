"""Each role with the rights of sql/grants and no other, on a server with users: all it must do, and nothing else."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from consumer import resources
from consumer.adapters.clickhouse import connect
from consumer.adapters.store import Store
from consumer.core.effects import Mend
from consumer.core.errors import Stop
from consumer.operate.audit import audit, repair
from consumer.operate.migrations import migrate
from consumer.operate.report import answers
from consumer.settings import ClickHouseSettings
from tests.deploy.test_dashboards import FOLDER, load, sql, targets
from tests.integration.blocks import block, send
from tests.integration.warehouse import Warehouse, noon
from tests.servers import ClickHouseServer
from tests.servers.fixtures import clickhouse_of_its_own

DATABASE = "civitai"
ROLES = ("writer", "migrator", "auditor", "dashboard")


def users() -> str:
    """users.xml made of the files: there, a grant names no user."""

    def user(name: str, grants: list[str]) -> str:
        queries = "".join(f"<query>{grant}</query>" for grant in grants)
        rights = f"<grants>{queries}</grants>" if grants else "<access_management>1</access_management>"
        networks = "<networks><ip>::/0</ip></networks>"
        password = f"<password>{name if grants else ''}</password>"
        return f"<{name}>{password}{networks}<profile>default</profile><quota>default</quota>{rights}</{name}>"

    parts = [user("default", [])]
    for role in ROLES:
        text = resources.path(f"sql/grants/{role}.sql").read_text()
        statements = [s.strip() for s in re.sub(r"^--.*\n", "", text, flags=re.MULTILINE).split(";") if s.strip()]
        assert all(s.startswith("GRANT ") and s.endswith(" TO {user}") for s in statements)
        parts.append(user(role, [s.replace("{database}", DATABASE).removesuffix(" TO {user}") for s in statements]))
    return f"<profiles><default/></profiles><quotas><default/></quotas><users>{''.join(parts)}</users>"


@pytest.fixture(scope="module")
def server() -> Iterator[ClickHouseServer]:
    with clickhouse_of_its_own(users=users()) as running:
        with login(running, "migrator", database=None) as client:
            assert len(migrate(client, DATABASE)) > 5
        yield running


def settings_of(server: ClickHouseServer, role: str) -> ClickHouseSettings:
    return ClickHouseSettings(url=server.url, database=DATABASE, username=role, password=role)


def login(server: ClickHouseServer, role: str, *, database: str | None = "as settings") -> Client:
    return connect(settings_of(server, role), database=database)


def refused(client: Client, sql: str) -> None:
    with pytest.raises(DatabaseError, match="ACCESS_DENIED"):
        client.command(sql)


def test_the_writer_does_all_that_run_does_and_no_more(server: ClickHouseServer) -> None:
    store = Store(settings_of(server, "writer"), "zkp2p-events", write_seconds=30)
    store.verify()
    assert not store.touched(0)
    send(store, 0, block(0, [noon(1) + n for n in range(50)]), "token-w")
    send(store, 0, block(50, [noon(1) + n for n in range(50)]), "token-x", ledger=False)
    deadline = time.monotonic() + 30
    while not store.quiet(0):  # a query is listed a moment longer than its answer takes
        assert time.monotonic() < deadline
        time.sleep(0.05)
    landed = store.landed(0)
    assert (len(landed.orphans), [p.end for p in landed.passes]) == (50, [50])
    store.mend(0, Mend("topic-one", None, int(store.server_time()) + 60))
    store.close()
    with login(server, "writer") as client:
        for table in ("zkp2p_payment_events", "zkp2p_ingest_ledger", "zkp2p_daily_summary_state"):
            refused(client, f"ALTER TABLE {DATABASE}.{table} DELETE WHERE 1")
            refused(client, f"DROP TABLE {DATABASE}.{table}")
            refused(client, f"TRUNCATE TABLE {DATABASE}.{table}")
        refused(client, f"CREATE TABLE {DATABASE}.x (x UInt8) ENGINE = Memory")
        refused(client, f"INSERT INTO {DATABASE}.zkp2p_schema_migrations (version) VALUES (99)")
    with login(server, "auditor") as client:
        assert client.query("SELECT sum(attempts) + sum(successes) FROM zkp2p_daily_summary").result_rows == [(50,)]


def test_the_auditor_reads_and_the_migrator_repairs(server: ClickHouseServer) -> None:
    with login(server, "migrator") as migrator, login(server, "auditor") as auditor:
        house = Warehouse(migrator, DATABASE)
        house.land(2, 0, 10, at=noon(4))
        house.run(
            "INSERT INTO {db}.zkp2p_daily_summary_state (date, paymentMethod, kafkaTopicId, kafkaPartition, buyers)"
            f" SELECT toDate({noon(4)}), 'wise', 'topic-one', 2, uniqExactState(toUInt32(4000000))"
        )
        report = audit(auditor, DATABASE, pauses=())
        drifted = [f for f in report.findings if f.partition == 2]
        assert [f.rebuild for f in drifted] == [True]
        report.findings = drifted
        with pytest.raises(DatabaseError, match="ACCESS_DENIED"):
            repair(auditor, DATABASE, report, active=())
        assert repair(migrator, DATABASE, report, active=()) == 1
        assert [f for f in audit(auditor, DATABASE, pauses=()).findings if f.partition == 2] == []
        refused(auditor, f"INSERT INTO {DATABASE}.zkp2p_schema_migrations (version) VALUES (99)")
        with pytest.raises(Stop, match="refused"):
            migrate(auditor, f"{DATABASE}2")
        refused(migrator, "CREATE DATABASE other")


def test_a_dashboard_answers_every_question_and_not_where_a_row_came_from(server: ClickHouseServer) -> None:
    with login(server, "dashboard") as client:
        for question in ("attempts", "methods", "outcomes", "dashboard", "totals"):
            answers.answer(client, DATABASE, question, 30)
        client.query("SELECT sessionId, outcome, inferredAbandoned, lastEvent FROM zkp2p_session_outcomes LIMIT 1")
        for _, target in targets(load(FOLDER / "payments.json")):
            client.query(sql(target, DATABASE))
        refused(client, f"SELECT kafkaOffset FROM {DATABASE}.zkp2p_payment_events")
        refused(client, f"SELECT * FROM {DATABASE}.zkp2p_ingest_ledger")
        refused(client, f"INSERT INTO {DATABASE}.zkp2p_payment_events (userId) VALUES (1)")
    with pytest.raises(Stop, match=r"this user sees no .* give the user the grants in sql/grants"):
        Store(settings_of(server, "dashboard"), "zkp2p-events", write_seconds=30).verify()
