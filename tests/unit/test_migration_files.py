"""The files of sql/, as text: what a server alone can't show here is shown on the statements."""

from __future__ import annotations

import re

import pytest

from consumer import resources
from consumer.core.errors import UsageError
from consumer.operate.migrations import load

PLAIN = load("pay")
CLUSTER = load("pay", "main")


@pytest.mark.parametrize("migration", [*PLAIN, *CLUSTER], ids=lambda m: m.name)
def test_one_statement_with_the_why_on_top(migration: object) -> None:
    text = resources.path("sql").joinpath(migration.name).read_text()  # type: ignore[attr-defined]
    statement = migration.statement  # type: ignore[attr-defined]
    assert text.startswith("-- ")
    assert ";" not in statement
    assert not re.search(r"[{}]", statement), "a placeholder is left"
    assert not re.search(r" $", statement, re.MULTILINE)


def test_without_a_cluster_nothing_speaks_of_one() -> None:
    assert not any(re.search(r"ON CLUSTER|Replicated|Distributed|_all\b", m.statement) for m in PLAIN)


def test_on_a_cluster_every_definition_is_everywhere_and_every_table_replicated() -> None:
    for m in CLUSTER:
        if re.match(r"CREATE|ALTER", m.statement):
            assert "ON CLUSTER main" in m.statement, m.name
        engine = re.search(r"ENGINE = (\w+)", m.statement)
        if engine:
            assert engine[1].startswith("Replicated") or engine[1] == "Distributed", m.name
    text = {m.name: m.statement for m in CLUSTER}
    for name in ("0005_payment_events_window.sql", "0007_daily_summary_state.sql"):
        assert "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800" in text[name]
        assert "non_replicated" not in text[name]
    tables = ("payment_events", "daily_summary_state", "ingest_ledger")
    for table, number in zip(tables, (10, 11, 12), strict=True):
        statement = text[f"00{number}_{table}_all.cluster.sql"]
        assert f"CREATE TABLE IF NOT EXISTS pay.zkp2p_{table}_all ON CLUSTER main" in statement
        assert f"ENGINE = Distributed(main, pay, zkp2p_{table})" in statement
    assert "FROM pay.zkp2p_daily_summary_state_all AS s" in text["0013_daily_summary.sql"]
    assert "FROM pay.zkp2p_payment_events_all AS e" in text["0014_session_outcomes.sql"]
    assert "FROM pay.zkp2p_payment_events\n" in text["0008_daily_summary_mv.sql"]  # a shard sums up its own rows


def test_the_checksum_does_not_depend_on_names() -> None:
    other = {m.name: m.checksum for m in load("elsewhere", "main")}
    assert all(other[m.name] == m.checksum for m in PLAIN)


@pytest.mark.parametrize("cluster", ["eu-west", "{cluster}"])
def test_a_cluster_may_be_called_what_an_identifier_can_not_and_be_a_macro(cluster: str) -> None:
    text = {m.name: m.statement for m in load("pay", cluster)}
    assert f"zkp2p_ingest_ledger ON CLUSTER '{cluster}'\n" in text["0006_ingest_ledger.sql"]
    assert f"ENGINE = Distributed('{cluster}', pay, zkp2p_ingest_ledger)" in text["0012_ingest_ledger_all.cluster.sql"]


@pytest.mark.parametrize("name", ["", "a-b", "x; DROP DATABASE y", "1st", "a.b"])
def test_names_that_can_not_be(name: str) -> None:
    with pytest.raises(UsageError, match="can't be a database here"):
        load(name)
