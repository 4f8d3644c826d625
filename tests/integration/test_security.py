"""TLS and passwords on real listeners: what is right works, what is wrong is one clear line without a secret."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from consumer.adapters.clickhouse import connect
from consumer.adapters.kafka import client_config
from consumer.core.errors import Stop
from consumer.settings import load
from tests.integration.conftest import clickhouse_users, payment, set_scram_password
from tests.integration.tls import Authority, TlsProxy
from tests.servers import ClickHouseServer, KafkaServer, Unavailable, cache
from tests.servers.fixtures import missing
from tests.servers.process import free_port

pytestmark = [pytest.mark.servers, pytest.mark.slow]

USER = "zkp2p"
PASSWORD = "correct-horse-battery"
WRONG = "wrong-donkey-staple"
TOPIC = "zkp2p-events"


@dataclass(frozen=True)
class World:
    """Servers whose listeners have certificates of a CA, and one listener with an expired certificate."""

    folder: Path
    kafka: KafkaServer
    tls: str
    sasl: str
    expired: str
    clickhouse: ClickHouseServer
    https: str
    https_expired: str
    ca: str
    other_ca: str

    def environment(self, **changes: str) -> dict[str, str]:
        """Settings with which everything works, and changes of them by their short names."""
        password = self.folder / "password"
        password.write_text(PASSWORD + "\n")
        settings = {
            "KAFKA__BOOTSTRAP_SERVERS": self.sasl,
            "KAFKA__TOPIC": TOPIC,
            "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA__SASL_USERNAME": USER,
            "KAFKA__SASL_PASSWORD_FILE": str(password),
            "KAFKA__SSL_CA_LOCATION": self.ca,
            "CLICKHOUSE__URL": self.https,
            "CLICKHOUSE__USERNAME": USER,
            "CLICKHOUSE__PASSWORD_FILE": str(password),
            "CLICKHOUSE__CA_LOCATION": self.ca,
            "KAFKA__EXTRA": '{"session.timeout.ms": 6000}',  # leases, and so waits, are short
            "HTTP__HOST": "127.0.0.1",
            "HTTP__PORT": str(free_port()),
            **changes,
        }
        for name in [name for name in changes if name.endswith("PASSWORD")]:
            del settings[name + "_FILE"]
        return {f"ZKP2P_{name}": value for name, value in settings.items() if value}

    def call(self, *arguments: str, **changes: str) -> tuple[int, str]:
        """Runs a command to its end: exit code, and all it said."""
        done = subprocess.run(
            [sys.executable, "-m", "consumer", *arguments],
            env=plain_environment() | self.environment(**changes),
            cwd=cache.PROJECT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        said = done.stdout + done.stderr
        assert PASSWORD not in said
        assert WRONG not in said
        assert "Traceback" not in said
        return done.returncode, said


def plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("ZKP2P_")}


def kafka_server(authority: Authority, expired: Path) -> tuple[KafkaServer, str, str, str]:
    tls, sasl, old, controller = free_port(), free_port(), free_port(), free_port()
    login = "org.apache.kafka.common.security.{0}LoginModule required{1};"
    ports = {"PLAINTEXT": "{port}", "TLS": tls, "SASL": sasl, "OLD": old}
    listeners = [f"{name}://127.0.0.1:{port}" for name, port in ports.items()]
    kafka = KafkaServer(
        properties={
            "listeners": ",".join([*listeners, f"CONTROLLER://127.0.0.1:{controller}"]),
            "advertised.listeners": ",".join(listeners),
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,SASL:SASL_SSL,OLD:SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(authority.issue("kafka")),
            "listener.name.old.ssl.keystore.type": "PEM",
            "listener.name.old.ssl.keystore.location": str(expired),
            "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "listener.name.sasl.plain.sasl.jaas.config": login.format("plain.Plain", f' user_{USER}="{PASSWORD}"'),
            "listener.name.sasl.scram-sha-512.sasl.jaas.config": login.format("scram.Scram", ""),
        }
    )
    return kafka, f"127.0.0.1:{tls}", f"127.0.0.1:{sasl}", f"127.0.0.1:{old}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("security")
    try:
        authority, stranger = Authority(folder / "ca", "Ours"), Authority(folder / "other", "Somebody else's")
        expired = authority.issue("expired", expired=True)
        kafka, tls, sasl, old = kafka_server(authority, expired)
        clickhouse = ClickHouseServer(users=clickhouse_users(USER, PASSWORD), username=USER, password=PASSWORD)
        with kafka, clickhouse, TlsProxy(clickhouse.http_port, authority.issue("clickhouse")) as good:
            with TlsProxy(clickhouse.http_port, expired) as bad:
                set_scram_password(kafka, USER, PASSWORD)
                kafka.create_topic(TOPIC, partitions=1)
                yield World(
                    *(folder, kafka, tls, sasl, old, clickhouse),
                    *(f"https://127.0.0.1:{good.port}", f"https://127.0.0.1:{bad.port}"),
                    *(str(authority.certificate), str(stranger.certificate)),
                )
    except Unavailable as reason:
        missing("Kafka and a ClickHouse with TLS", reason)


# Kafka.


def brokers(world: World, changes: Mapping[str, str], timeout: float = 30.0) -> int:
    """How many brokers a client with these settings sees; raises KafkaException where it is not let in."""
    settings = load(None, world.environment(**changes))
    admin = AdminClient({**client_config(settings.kafka), "log_level": 0})
    return len(admin.list_topics(timeout=timeout).brokers)


TLS_ALONE = {
    "KAFKA__SECURITY_PROTOCOL": "SSL",
    **dict.fromkeys(("KAFKA__SASL_MECHANISM", "KAFKA__SASL_USERNAME", "KAFKA__SASL_PASSWORD_FILE"), ""),
}


def test_kafka_by_tls(world: World) -> None:
    assert brokers(world, {**TLS_ALONE, "KAFKA__BOOTSTRAP_SERVERS": world.tls}) == 1


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_kafka_by_password(world: World, mechanism: str) -> None:
    assert brokers(world, {"KAFKA__SASL_MECHANISM": mechanism}) == 1


def test_kafka_is_not_open_to_those_who_do_not_encrypt(world: World) -> None:
    """So that what works above works because of TLS."""
    plain = {"KAFKA__SECURITY_PROTOCOL": "PLAINTEXT", "KAFKA__SSL_CA_LOCATION": ""}
    with pytest.raises(KafkaException):
        brokers(world, {**TLS_ALONE, **plain, "KAFKA__BOOTSTRAP_SERVERS": world.tls}, timeout=2.0)


def failed_line(said: str) -> str:
    """The one line of `check` that failed and ended its questions about that server."""
    lines = [line for line in said.splitlines() if "FAIL" in line]
    assert len(lines) == 1, said
    return lines[0]


def test_kafka_with_a_ca_that_did_not_sign(world: World) -> None:
    world_ca = {"KAFKA__SSL_CA_LOCATION": world.other_ca}
    code, said = world.call("check", **TLS_ALONE, **world_ca, KAFKA__BOOTSTRAP_SERVERS=world.tls)
    assert code == 1
    line = failed_line("\n".join(line for line in said.splitlines() if "schema" not in line))
    assert "certificate" in line
    assert "KAFKA__SSL_CA_LOCATION" in line


def test_kafka_with_an_expired_certificate(world: World) -> None:
    code, said = world.call("check", **TLS_ALONE, KAFKA__BOOTSTRAP_SERVERS=world.expired)
    assert code == 1
    line = failed_line("\n".join(line for line in said.splitlines() if "schema" not in line))
    assert "certificate" in line


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_kafka_with_a_wrong_password(world: World, mechanism: str) -> None:
    code, said = world.call("check", KAFKA__SASL_MECHANISM=mechanism, KAFKA__SASL_PASSWORD=WRONG)
    assert code == 1
    line = failed_line("\n".join(line for line in said.splitlines() if "schema" not in line))
    assert "KAFKA__SASL_PASSWORD" in line


# ClickHouse.


def select_one(world: World, **changes: str) -> Any:
    client = connect(load(None, world.environment(**changes)).clickhouse, database=None)
    try:
        return client.query("SELECT 1").result_rows
    finally:
        client.close()


def test_clickhouse_by_tls_and_password(world: World) -> None:
    assert select_one(world) == [(1,)]


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"CLICKHOUSE__CA_LOCATION": "other"}, "CLICKHOUSE__CA_LOCATION"),
        ({"CLICKHOUSE__CA_LOCATION": ""}, "CLICKHOUSE__CA_LOCATION"),
        ({"CLICKHOUSE__URL": "expired"}, "expired"),
        ({"CLICKHOUSE__PASSWORD": WRONG}, "CLICKHOUSE__PASSWORD"),
    ],
    ids=["another CA", "the system's CAs", "expired", "wrong password"],
)
def test_clickhouse_that_is_not_to_be_trusted_or_does_not_trust_us(
    world: World, changes: dict[str, str], remedy: str
) -> None:
    names = {"other": world.other_ca, "expired": world.https_expired}
    changes = {name: names.get(value, value) for name, value in changes.items()}
    with pytest.raises(Stop) as caught:
        select_one(world, **changes)
    said = str(caught.value)
    assert remedy in said
    assert "\n" not in said
    assert WRONG not in said
    code, said = world.call("migrate", **changes)
    assert code == 1
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, said
    assert remedy in errors[0]


def test_clickhouse_without_tls_on_that_port(world: World) -> None:
    with pytest.raises(Stop, match="does not speak TLS"):
        select_one(world, CLICKHOUSE__URL=world.clickhouse.url.replace("http://", "https://"))


# The whole program.


def test_run_encrypted_from_end_to_end(world: World) -> None:
    """SASL_SSL in, https out, secrets from files; and not one of them in the log, be it ever so talkative."""
    assert world.call("migrate")[0] == 0
    settings = load(None, world.environment())
    producer = Producer(client_config(settings.kafka))
    for number in range(500):
        producer.produce(TOPIC, key=f"s{number}", value=payment(number))
    assert producer.flush(30) == 0
    log = world.folder / "run.log"
    environment = plain_environment() | world.environment(LOG__LEVEL="debug", BATCH__MAX_SECONDS="0.2")
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "consumer", "run"], env=environment, cwd=cache.PROJECT, stdout=file, stderr=file
        )
    try:
        for _ in range(600):
            if world.clickhouse.query("SELECT count() FROM civitai.zkp2p_payment_events").strip() == "500":
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        else:
            pytest.fail(log.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    said = log.read_text()
    assert PASSWORD not in said
    assert world.clickhouse.query("SELECT sum(inserted) FROM civitai.zkp2p_ingest_ledger FINAL").strip() == "500"


@pytest.mark.parametrize("setting", ["CLICKHOUSE__PASSWORD", "KAFKA__SASL_PASSWORD"])
def test_run_with_a_wrong_password_ends_and_says_so(world: World, setting: str) -> None:
    assert world.call("migrate")[0] == 0
    code, said = world.call("run", **{setting: WRONG})
    assert code == 1, said
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, said
    assert setting in errors[0]


def test_config_masks_what_is_secret(world: World) -> None:
    code, said = world.call("config")
    assert code == 0
    assert "SASL_PASSWORD" in said.upper()
