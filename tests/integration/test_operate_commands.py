"""`migrate`, `audit` and `report` as commands: their exit codes, what they print, and what an outage does to them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Consumer, TopicPartition

from consumer.adapters.kafka import REQUEST_SECONDS
from consumer.adapters.lookup import Lookup
from consumer.core.errors import Retryable
from consumer.core.lease import Note
from consumer.operate.opened import SILENCE_SECONDS, opened
from consumer.settings import ClickHouseSettings, KafkaSettings
from tests.command import Done, command
from tests.integration.warehouse import GROUP, TOPIC_ID, Warehouse, noon
from tests.servers import ClickHouse, ClickHouseServer, Kafka

pytestmark = pytest.mark.servers

ALL_QUESTIONS = {"attempts", "methods", "outcomes", "dashboard"}


class House(Warehouse):
    """The warehouse, and commands on it."""

    settings: dict[str, str]

    def command(self, *arguments: str, **settings: str) -> Done:
        return command(*arguments, settings={**self.settings, **settings})


@pytest.fixture
def settings(clickhouse: ClickHouse, database: str) -> dict[str, str]:
    return {
        "CLICKHOUSE__URL": clickhouse.url,
        "CLICKHOUSE__USERNAME": clickhouse.username,
        "CLICKHOUSE__PASSWORD": clickhouse.password,
        "CLICKHOUSE__DATABASE": database,
    }


@pytest.fixture
def house(clickhouse: ClickHouse, database: str, settings: dict[str, str]) -> Iterator[House]:
    """One partition with one batch of 100 events, yesterday, landed ten minutes ago."""
    client = clickhouse.client()
    house = House(client, database)
    house.settings = settings
    house.land(0, 0, 100, landed_ago=600)
    yield house
    client.close()


# migrate


def test_migrate_says_what_it_does_and_does_it_once(settings: dict[str, str]) -> None:
    planned = command("migrate", "--plan", settings=settings)
    assert (planned.returncode, planned.stderr) == (0, "")
    assert "CREATE TABLE IF NOT EXISTS" in planned.stdout
    done = command("migrate", settings=settings)
    assert done.returncode == 0
    assert "applied 0003_payment_events.sql\n" in done.stdout
    names = [line.removeprefix("applied ") for line in done.stdout.splitlines()]
    assert [line[3:].partition(":")[0] for line in planned.stdout.splitlines() if line.startswith("-- 0")] == names
    again = command("migrate", settings=settings)
    database = settings["CLICKHOUSE__DATABASE"]
    assert (again.returncode, again.stdout) == (0, f"nothing to do: {database} is up to date\n")


# audit


def test_audit_finds_nothing_wrong(house: House) -> None:
    done = house.command("audit")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("audit: clean: ")


def test_audit_finds_and_repairs_a_drifted_day(house: House) -> None:
    yesterday = datetime.fromtimestamp(noon(1), UTC).date()
    house.run(
        "INSERT INTO {db}.zkp2p_daily_summary_state (date, paymentMethod, kafkaTopicId, kafkaPartition, attempts)"
        f" VALUES ('{yesterday}', 'zelle', '{TOPIC_ID}', 0, 5)"
    )
    found = house.command("audit", "--days", "3")
    assert found.returncode == 1
    assert "finding: drift: " in found.stdout
    repaired = house.command("audit", "--repair")
    assert repaired.returncode == 0
    assert repaired.stdout.splitlines()[0] == "repair: 1 days of the summary mended"
    assert house.summary() == house.truth()


def test_audit_finds_what_it_cannot_repair(house: House) -> None:
    house.delete("zkp2p_payment_events", "kafkaOffset = 42")
    done = house.command("audit", "--repair")
    assert done.returncode == 1
    assert "finding: lost: " in done.stdout


def test_audit_holds_commits_against_the_ledger(house: House, kafka: Kafka, topic: str) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap, topic=topic, group_id=f"{GROUP}-{topic}")
    names = {
        "KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap,
        "KAFKA__TOPIC": topic,
        "KAFKA__GROUP_ID": settings.group_id,
    }
    topic_id = Lookup(settings).identify()
    house.land(1, 0, 50, topic_id=topic_id, group=settings.group_id, session="other", landed_ago=600)
    assert house.command("audit", **names).returncode == 0
    note = Note(topic_id=topic_id, group=settings.group_id, pass_=0, deadline=0).dump()
    member = Consumer({**kafka.client_config, "group.id": settings.group_id, "enable.auto.commit": False})
    member.commit(offsets=[TopicPartition(topic, 1, 60, metadata=note)], asynchronous=False)
    member.close()
    done = house.command("audit", **names)
    assert done.returncode == 1
    assert "finding: committed: " in done.stdout


def test_audit_without_tables_says_what_to_run(settings: dict[str, str]) -> None:
    assert "run zkp2p-consumer migrate" in command("audit", settings=settings).line(1)


# report


def test_report_answers(house: House, tmp_path: Path) -> None:
    done = house.command("report", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert set(orjson.loads(done.stdout)) == ALL_QUESTIONS
    one = house.command("report", "attempts", "--days", "3", "--format", "json")
    assert set(orjson.loads(one.stdout)) == {"attempts"}
    written = house.command("report", "--format", "csv", "--output", str(tmp_path / "report.csv"))
    assert (written.returncode, written.stdout) == (0, "")
    assert "venmo" in (tmp_path / "report.csv").read_text()


def test_report_that_cannot_be_written(house: House, tmp_path: Path) -> None:
    assert "can't be written" in house.command("report", "--output", str(tmp_path / "no" / "x")).line(1)


def test_report_without_tables_says_what_to_run(settings: dict[str, str]) -> None:
    assert "zkp2p-consumer migrate" in command("report", settings=settings).line(1)


# Outages


@pytest.mark.parametrize("arguments", [["migrate"], ["audit"], ["report"]])
def test_a_server_that_is_not_there(arguments: list[str]) -> None:
    line = command(*arguments, settings={"CLICKHOUSE__URL": "http://127.0.0.1:1"}).line(1)
    assert "127.0.0.1:1" in line
    assert "ZKP2P_CLICKHOUSE__URL" in line


def test_a_server_that_falls_silent_is_given_up(clickhouse_process: ClickHouseServer) -> None:
    settings = ClickHouseSettings(url=clickhouse_process.url)
    assert SILENCE_SECONDS < 30
    clickhouse_process.pause()
    try:
        with pytest.raises(Retryable, match="no answer in time") as caught, opened(settings, silence_seconds=2):
            pass
    finally:
        clickhouse_process.resume()
    assert "ZKP2P_CLICKHOUSE__URL" in str(caught.value)


def test_a_broker_that_falls_silent_is_given_up(
    house: House, kafka_process: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert REQUEST_SECONDS < 30
    monkeypatch.setattr("consumer.operate.kafka_log.REQUEST_SECONDS", 2)
    kafka_process.pause()
    try:
        done = house.command("audit", KAFKA__BOOTSTRAP_SERVERS=kafka_process.bootstrap)
    finally:
        kafka_process.resume()
    assert kafka_process.bootstrap in done.line(1)
