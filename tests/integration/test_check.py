"""`check` against real servers: what is right is said to be, and each thing that is wrong is found and mended as told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson
import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, Producer

from consumer.core.errors import Stop
from consumer.operate import canary
from consumer.operate.migrations import migrate
from consumer.operate.sample import spread
from tests.command import Done, command
from tests.servers import ClickHouse, ClickHouseServer, Kafka
from tests.servers.fixtures import clickhouse_of_its_own

pytestmark = pytest.mark.servers

SPARE_BYTES = 64 * 1024


@dataclass
class Setup:
    """Everything `run` needs, and the settings that lead there."""

    kafka: Kafka
    topic: str
    letters: str
    client: Client
    database: str
    settings: dict[str, str] = field(default_factory=dict)

    def check(self, *arguments: str, **settings: str) -> Done:
        return command("check", *arguments, settings={**self.settings, **settings})

    def findings(self, *arguments: str, **settings: str) -> list[tuple[str, str, str]]:
        """(status, name, detail) of every line."""
        done = self.check(*arguments, **settings)
        assert done.stderr == ""
        found = [(line[:4].strip(), line[6:18].strip(), line[19:]) for line in done.stdout.splitlines()]
        assert done.returncode == (1 if any(status == "FAIL" for status, _, _ in found) else 0)
        return found

    def about(self, name: str, **settings: str) -> list[tuple[str, str]]:
        return [(status, detail) for status, of, detail in self.findings(**settings) if of == name]

    def run(self, sql: str) -> None:
        self.client.command(sql.replace("{db}", self.database))


@pytest.fixture
def setup(kafka: Kafka, topic: str, clickhouse: ClickHouse, database: str) -> Iterator[Setup]:
    client = clickhouse.client()
    migrate(client, database)
    letters = f"{topic}.dlq"
    kafka.create_topic(letters, config={"max.message.bytes": str(1_048_588 + SPARE_BYTES)})
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap,
        "KAFKA__TOPIC": topic,
        "KAFKA__DLQ_TOPIC": letters,
        "KAFKA__GROUP_ID": f"group-{topic}",
        "CLICKHOUSE__URL": clickhouse.url,
        "CLICKHOUSE__USERNAME": clickhouse.username,
        "CLICKHOUSE__PASSWORD": clickhouse.password,
        "CLICKHOUSE__DATABASE": database,
    }
    yield Setup(kafka, topic, letters, client, database, settings)
    client.close()
    kafka.delete_topic(letters)


def test_all_is_well(setup: Setup) -> None:
    found = setup.findings()
    assert {status for status, _, _ in found} == {"ok"}, found
    names = [name for _, name, _ in found]
    assert names == [
        "settings", "broker", "topic", "dead letters", "group",
        "clickhouse", "clock", "schema", "dedup window", "canary", "grants", "writers",
    ]  # fmt: skip
    assert setup.kafka.bootstrap in dict(zip(names, [detail for _, _, detail in found], strict=True))["broker"]


def test_nothing_is_left_behind(setup: Setup) -> None:
    tables = f"SELECT name FROM system.tables WHERE database = '{setup.database}' ORDER BY name"
    before = setup.client.query(tables).result_rows
    setup.findings()
    assert setup.client.query(tables).result_rows == before
    assert setup.kafka.committed(setup.settings["KAFKA__GROUP_ID"], setup.topic) == {}


# Kafka


def test_the_topic_is_missing(setup: Setup) -> None:
    ((status, detail),) = setup.about("topic", KAFKA__TOPIC="no-such-topic")
    assert status == "FAIL"
    assert "there is no topic no-such-topic" in detail
    assert "kafka-topics.sh" in detail


def test_the_dead_letter_topic_will_be_made(setup: Setup) -> None:
    ((status, detail),) = setup.about("dead letters", KAFKA__DLQ_TOPIC=f"{setup.topic}.none")
    assert (status, detail) == ("ok", f"{setup.topic}.none is missing: the first dead letter will make it")
    assert setup.kafka.partitions(f"{setup.topic}.none") == []


def test_the_dead_letter_topic_takes_too_little(setup: Setup, kafka: Kafka) -> None:
    small = f"{setup.topic}.small"
    kafka.create_topic(small)
    try:
        ((status, detail),) = setup.about("dead letters", KAFKA__DLQ_TOPIC=small)
        assert status == "FAIL"
        assert f"--add-config max.message.bytes={1_048_588 + SPARE_BYTES}" in detail
    finally:
        kafka.delete_topic(small)


def test_a_compacted_dead_letter_topic(setup: Setup, kafka: Kafka) -> None:
    compacted = f"{setup.topic}.compacted"
    kafka.create_topic(compacted, config={"cleanup.policy": "compact", "max.message.bytes": "2000000"})
    try:
        ((status, detail),) = setup.about("dead letters", KAFKA__DLQ_TOPIC=compacted)
        assert (status, "compacted" in detail) == ("FAIL", True)
        warnings = [found for found in setup.about("topic", KAFKA__TOPIC=compacted) if found[0] == "warn"]
        assert "cleanup.policy=delete" in warnings[0][1]
    finally:
        kafka.delete_topic(compacted)


def test_a_group_that_reads_another_topic_too(setup: Setup) -> None:
    group = setup.settings["KAFKA__GROUP_ID"]
    with_others = Consumer({**setup.kafka.client_config, "group.id": group, "enable.auto.commit": False})
    with_others.subscribe([setup.letters])
    try:
        deadline = time.monotonic() + 60
        while not with_others.assignment():
            with_others.poll(0.1)
            assert time.monotonic() < deadline
        found = setup.about("group")
    finally:
        with_others.close()
    assert found[0] == ("ok", f"{group}: stable, 1 members")
    assert found[1][0] == "FAIL"
    assert f"also reads {setup.letters}" in found[1][1]


def test_a_broker_that_is_not_there(setup: Setup) -> None:
    found = setup.findings(KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    ((status, _, detail),) = [finding for finding in found if finding[1] == "broker"]
    assert (status, "127.0.0.1:1" in detail, "ZKP2P_KAFKA__BOOTSTRAP_SERVERS" in detail) == ("FAIL", True, True)
    assert "canary" in [name for _, name, _ in found], "ClickHouse is looked at all the same"


# ClickHouse


def test_a_server_that_is_not_there(setup: Setup) -> None:
    status, name, detail = setup.findings(CLICKHOUSE__URL="http://127.0.0.1:1")[-1]
    assert (status, name) == ("FAIL", "clickhouse")
    assert "ZKP2P_CLICKHOUSE__URL" in detail


def test_tables_that_are_missing(setup: Setup) -> None:
    status, name, detail = setup.findings(CLICKHOUSE__DATABASE="no_such_database")[-1]
    assert (status, name) == ("FAIL", "schema")
    assert "zkp2p-consumer migrate" in detail


@pytest.mark.parametrize("window", [0, 5])
def test_windows_that_differ(setup: Setup, window: int) -> None:
    setup.run(
        f"ALTER TABLE {{db}}.zkp2p_daily_summary_state MODIFY SETTING non_replicated_deduplication_window = {window}"
    )
    ((status, detail),) = setup.about("dedup window")
    assert status == "FAIL"
    assert f"zkp2p_daily_summary_state {window}" in detail


def test_another_group_writes_here(setup: Setup) -> None:
    row = "INSERT INTO {db}.zkp2p_ingest_ledger (kafkaTopicId, groupId, landedAt) VALUES"
    setup.run(f"{row} ('t', 'old-group', now64(3) - INTERVAL 1 DAY)")
    ((status, detail),) = setup.about("writers")
    assert (status, detail.startswith("group old-group has written here too")) == ("ok", True)
    setup.run(f"{row} ('t', 'young-group', now64(3) - INTERVAL 1 MINUTE)")
    assert setup.about("writers")[0][0] == "warn"


def test_another_group_writes_here_now(setup: Setup) -> None:
    group = f"other-{setup.topic}"
    setup.run(f"INSERT INTO {{db}}.zkp2p_ingest_ledger (kafkaTopicId, groupId) VALUES ('t', '{group}')")
    member = Consumer({**setup.kafka.client_config, "group.id": group, "enable.auto.commit": False})
    member.subscribe([setup.topic])
    try:
        deadline = time.monotonic() + 60
        while not member.assignment():
            member.poll(0.1)
            assert time.monotonic() < deadline
        ((status, detail),) = setup.about("writers")
    finally:
        member.close()
    assert (status, detail.startswith(f"group {group} writes the same table (1 members)")) == ("FAIL", True)


USERS = """
<profiles><default/><off><deduplicate_insert>disable</deduplicate_insert><insert_deduplicate>0</insert_deduplicate>
  <constraints><deduplicate_insert><const/></deduplicate_insert><insert_deduplicate><const/></insert_deduplicate>
  </constraints></off></profiles>
<quotas><default/></quotas>
<users>
  <default><password></password><profile>default</profile><quota>default</quota></default>
  <writer><password>pw</password><profile>default</profile><quota>default</quota>
    <grants><query>GRANT SELECT, INSERT ON *.*</query></grants></writer>
  <reader><password>pw</password><profile>default</profile><quota>default</quota>
    <grants><query>GRANT SELECT ON *.*</query></grants></reader>
</users>
"""


@pytest.fixture(scope="module")
def guarded() -> Iterator[ClickHouseServer]:
    """A server with users of few rights."""
    with clickhouse_of_its_own(users=USERS) as server:
        client = server.client()
        migrate(client, "civitai")
        client.close()
        yield server


def as_user(setup: Setup, server: ClickHouseServer, user: str) -> dict[str, tuple[str, str]]:
    found = setup.findings(
        CLICKHOUSE__URL=server.url,
        CLICKHOUSE__DATABASE="civitai",
        CLICKHOUSE__USERNAME=user,
        CLICKHOUSE__PASSWORD="pw",
    )
    return {name: (status, detail) for status, name, detail in found}


def test_rights_that_are_just_enough(setup: Setup, guarded: ClickHouseServer) -> None:
    found = as_user(setup, guarded, "writer")
    assert found["grants"][0] == "ok"
    assert found["canary"] == ("ok", "not tried: this user may not make tables, as it should be for `run`")


def test_rights_that_are_missing(setup: Setup, guarded: ClickHouseServer) -> None:
    status, detail = as_user(setup, guarded, "reader")["grants"]
    assert status == "FAIL"
    assert "INSERT ON civitai.zkp2p_payment_events" in detail
    assert detail.endswith("TO reader")


def test_a_wrong_password(setup: Setup, guarded: ClickHouseServer) -> None:
    status, detail = as_user(setup, guarded, "nobody")["clickhouse"]
    assert status == "FAIL"
    assert "CLICKHOUSE__PASSWORD" in detail
    assert "pw" not in detail.split()


# The canary


def test_the_canary_sees_a_table_that_forgets(clickhouse: ClickHouse, database: str) -> None:
    """Its own proof: without a window the same insert lands twice, and it says so."""
    client = clickhouse.client()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canary, "_engine", lambda *_: "MergeTree ORDER BY x")
        with pytest.raises(Stop, match="left 6 rows in the table instead of 3"):
            canary.prove(client, database)
    canary.prove(client, database)
    assert client.query(f"SELECT count() FROM system.tables WHERE database = '{database}'").result_rows == [(0,)]
    client.close()


def test_the_canary_sees_a_deadline_that_is_not_kept(clickhouse: ClickHouse, database: str) -> None:
    client = clickhouse.client()
    with pytest.MonkeyPatch.context() as patch:
        later = time.time() + 7200
        patch.setattr("consumer.operate.canary.time.time", lambda: later)
        with pytest.raises(Stop, match="after its deadline was not refused"):
            canary.prove(client, database)
    client.close()


# --sample


def payment(session: str, **changes: object) -> bytes:
    data = {
        "eventType": "attempt",
        "paymentMethod": "venmo",
        "usdAmount": 25.0,
        "buzzAmount": 25000,
        "sessionId": session,
        **changes,
    }
    return orjson.dumps({"event": "zkp2p_payment", "userId": 42, "data": data})


def test_a_sample_tells_a_producer_what_is_wrong(setup: Setup) -> None:
    producer = Producer(setup.kafka.client_config)
    for number in range(16):
        producer.produce(setup.topic, key=f"s{number}", value=payment(f"s{number}"), partition=number % 4)
    producer.produce(setup.topic, key="x", value=payment("s", paymentMethod="cash"), partition=2)
    producer.produce(setup.topic, key="x", value=b'{"event": "page_view"}', partition=1)
    producer.produce(setup.topic, key="wrong", value=payment("s99"), partition=0)
    producer.produce(setup.topic, key="x", value=b"{", partition=3)
    assert producer.flush(30) == 0
    found = [(status, detail) for status, name, detail in setup.findings("--sample", "1000") if name == "sample"]
    assert found[0] == ("warn", "20 records: valid 17 (85.00%), rejected 2 (10.00%), other events 1 (5.00%)")
    by_code = {detail.split(" ")[0]: detail for _, detail in found[1:-1]}
    assert set(by_code) == {"not_in_enum", "not_json"}
    assert "not_in_enum 1 (5.00%), for example 2/4: " in by_code["not_in_enum"]
    assert "data.paymentMethod" in by_code["not_in_enum"]
    assert found[-1] == ("warn", "key is not the sessionId in 1 (5.88%) of the valid: key records by data.sessionId")


def test_a_sample_takes_the_last_records_only(setup: Setup) -> None:
    producer = Producer(setup.kafka.client_config)
    for partition in range(4):
        producer.produce(setup.topic, key="x", value=b"{", partition=partition)
        for number in range(5):
            producer.produce(setup.topic, key=f"s{number}", value=payment(f"s{number}"), partition=partition)
    assert producer.flush(30) == 0
    found = [(status, detail) for status, name, detail in setup.findings("--sample", "20") if name == "sample"]
    assert found[0] == ("ok", "20 records: valid 20 (100.00%), rejected 0 (0.00%), other events 0 (0.00%)")
    assert setup.kafka.committed(setup.settings["KAFKA__GROUP_ID"], setup.topic) == {}


def test_the_sample_is_spread_as_far_as_partitions_reach() -> None:
    assert spread(100, {0: 1000, 1: 1000}) == {0: 50, 1: 50}
    assert spread(100, {0: 10, 1: 1000, 2: 0}) == {2: 0, 0: 10, 1: 90}
    assert spread(100, {0: 10, 1: 20}) == {0: 10, 1: 20}
    assert spread(3, {0: 9, 1: 9, 2: 9, 3: 9}) == {0: 1, 1: 1, 2: 1, 3: 0}
    assert spread(5, {}) == {}


def test_the_embedded_engine_is_proven_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    """In a process of its own: an engine keeps its folder for as long as its process lives."""
    import subprocess
    import sys

    folder = tmp_path_factory.mktemp("chdb")
    code = (
        "from consumer.adapters.clickhouse import connect\n"
        "from consumer.operate.canary import prove\n"
        "from consumer.settings import ClickHouseSettings\n"
        f"client = connect(ClickHouseSettings(url='chdb://{folder}'), database=None)\n"
        "client.command('CREATE DATABASE canary')\n"
        "prove(client, 'canary', embedded=True)\n"
        "print('proven', client.query(\"SELECT count() FROM system.tables WHERE database = 'canary'\").result_rows)\n"
    )
    pytest.importorskip("chdb")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "proven [(0,)]", done.stderr
