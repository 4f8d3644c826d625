"""Passwords that change while `run` is at work: it ends and says which one, and its successor reads the new file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.integration.conftest import clickhouse_users, payment, set_scram_password
from tests.process import ConsumerProcess, run_command
from tests.servers import ClickHouseServer, KafkaServer, Unavailable
from tests.servers.fixtures import missing
from tests.servers.process import free_port

pytestmark = [pytest.mark.servers, pytest.mark.slow]

TOPIC, USER = "zkp2p-events", "zkp2p"
OLD, NEW = "old-horse-battery", "new-donkey-staple"


class Guarded:
    """A Kafka and a ClickHouse that ask for a password, and the files from which the consumer has its own."""

    def __init__(self, folder: Path, kafka: KafkaServer, sasl: str, clickhouse: ClickHouseServer) -> None:
        self.kafka = kafka
        self.clickhouse = clickhouse
        self.secrets = {name: folder / name for name in ("KAFKA__SASL_PASSWORD", "CLICKHOUSE__PASSWORD")}
        for file in self.secrets.values():
            file.write_text(OLD + "\n")
        self.settings = {
            "KAFKA__BOOTSTRAP_SERVERS": sasl,
            "KAFKA__TOPIC": TOPIC,
            "KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA__SASL_USERNAME": USER,
            "KAFKA__EXTRA": '{"session.timeout.ms": 6000}',  # leases, and so waits, are short
            "CLICKHOUSE__URL": clickhouse.url,
            "CLICKHOUSE__USERNAME": USER,
            "BATCH__MAX_SECONDS": "0.2",
            **{f"{name}_FILE": str(file) for name, file in self.secrets.items()},
        }
        self._produced = 0

    def change_kafka(self, password: str) -> None:
        """Connections that are open stay so: the broker starts anew."""
        set_scram_password(self.kafka, USER, password)
        self.kafka.stop()
        self.kafka.start()

    def change_clickhouse(self, password: str) -> None:
        self.clickhouse.stop()
        self.clickhouse.write_users(clickhouse_users(USER, password))
        self.clickhouse.password = password
        self.clickhouse.start()

    def prepare(self) -> None:
        set_scram_password(self.kafka, USER, OLD)
        self.kafka.create_topic(TOPIC, partitions=1)
        done = run_command("migrate", settings=self.settings)
        assert done.returncode == 0, done.stderr

    def produce(self, count: int) -> None:
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap})
        for number in range(self._produced, self._produced + count):
            producer.produce(TOPIC, payment(number))
        assert producer.flush(30) == 0
        self._produced += count

    def all_landed(self) -> bool:
        return int(self.clickhouse.query("SELECT count() FROM civitai.zkp2p_payment_events")) == self._produced


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    sasl, controller = free_port(), free_port()
    listeners = f"PLAINTEXT://127.0.0.1:{{port}},SASL://127.0.0.1:{sasl}"
    properties = {
        "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": listeners,
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT",
        "listener.name.sasl.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.sasl.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
    }
    try:
        with KafkaServer(properties=properties) as kafka:
            with ClickHouseServer(users=clickhouse_users(USER, OLD), username=USER, password=OLD) as clickhouse:
                found = Guarded(tmp_path, kafka, f"127.0.0.1:{sasl}", clickhouse)
                found.prepare()
                yield found
    except Unavailable as reason:
        missing("a Kafka and a ClickHouse with passwords", reason)


@pytest.mark.parametrize("setting", ["CLICKHOUSE__PASSWORD", "KAFKA__SASL_PASSWORD"])
def test_a_password_that_changed_ends_the_process_and_the_next_one_goes_on(
    guarded: Guarded, setting: str, tmp_path: Path
) -> None:
    guarded.produce(500)
    with ConsumerProcess(tmp_path, guarded.settings) as consumer:
        consumer.wait_for(guarded.all_landed)
        change = {"CLICKHOUSE__PASSWORD": guarded.change_clickhouse, "KAFKA__SASL_PASSWORD": guarded.change_kafka}
        change[setting](NEW)
        guarded.produce(500)
        assert consumer.wait(90) == 1, consumer.text[-3000:]
    errors = [line for line in consumer.text.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, consumer.text[-3000:]
    assert setting in errors[0]

    guarded.secrets[setting].write_text(NEW + "\n")
    with ConsumerProcess(tmp_path, guarded.settings) as successor:
        successor.wait_for(guarded.all_landed)
        assert successor.stop() == 0, successor.text[-3000:]
    assert guarded.clickhouse.query("SELECT sum(inserted) FROM civitai.zkp2p_ingest_ledger FINAL").strip() == "1000"
    for secret in (OLD, NEW):
        assert secret not in consumer.text + successor.text
