"""Settings for a run of its own, and traffic for it from a separate process."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it exports them, but not by __all__
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from consumer.demo.truth import Truth
from tests.process import ConsumerProcess
from tests.servers import ClickHouse, Kafka
from tests.servers.cache import PROJECT


@pytest.fixture
def settings(kafka: Kafka, clickhouse: ClickHouse, topic: str) -> Iterator[dict[str, str]]:
    """Names without the prefix; a database that does not exist yet, and a dead-letter topic that does not either."""
    database = f"test_{uuid.uuid4().hex}"
    yield {
        "KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap,
        "KAFKA__TOPIC": topic,
        "KAFKA__DLQ_TOPIC": f"{topic}.dlq",
        "KAFKA__GROUP_ID": f"group-{topic}",
        "CLICKHOUSE__URL": clickhouse.url,
        "CLICKHOUSE__DATABASE": database,
        "BATCH__MAX_SECONDS": "0.5",
    }
    clickhouse.query(f"DROP DATABASE IF EXISTS {database} SYNC")
    if kafka.partitions(f"{topic}.dlq"):
        kafka.delete_topic(f"{topic}.dlq")


def produce(settings: Mapping[str, str], folder: Path, events: int, *arguments: str) -> Truth:
    truth_file = folder / "truth.jsonl"
    command = [sys.executable, "-m", "consumer.demo.produce", "--bootstrap", settings["KAFKA__BOOTSTRAP_SERVERS"]]
    command += ["--topic", settings["KAFKA__TOPIC"], "--events", str(events), "--truth", str(truth_file), *arguments]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, timeout=120)
    return Truth.load(truth_file)


def payment(number: int) -> bytes:
    """An event of a session of its own."""
    data = {
        "eventType": "attempt",
        "paymentMethod": "venmo",
        "usdAmount": 5,
        "buzzAmount": 1,
        "sessionId": f"s{number}",
    }
    return orjson.dumps({"event": "zkp2p_payment", "userId": 7, "data": data})


def clickhouse_users(user: str, password: str) -> str:
    """users.xml with one who needs a password; the launcher's own query runs as `default`, from here."""
    return f"""
<profiles><default/></profiles>
<quotas><default/></quotas>
<users>
  <{user}><password>{password}</password><networks><ip>127.0.0.1</ip></networks>
    <profile>default</profile><quota>default</quota></{user}>
  <default><password></password><profile>default</profile><quota>default</quota></default>
</users>
"""


def set_scram_password(kafka: Kafka, user: str, password: str) -> None:
    """For new connections; those that are open stay so."""
    credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    upsert = UserScramCredentialUpsertion(user, credential, password.encode())
    kafka.admin.alter_user_scram_credentials([upsert])[user].result(30)


def consume_all(kafka: Kafka, settings: Mapping[str, str], folder: Path) -> list[str]:
    """Run until the group has committed the log's end; returns how the partitions were recovered."""
    topic, group = settings["KAFKA__TOPIC"], settings["KAFKA__GROUP_ID"]
    ends = kafka.end_offsets(topic)
    with ConsumerProcess(folder, settings) as consumer:
        consumer.wait_for(
            lambda: {partition: offset for partition, (offset, _) in kafka.committed(group, topic).items()} == ends,
            90 + sum(ends.values()) / 5000,
        )
        kinds = [event["kind"] for event in consumer.events if event["event"] == "partition ready"]
        assert consumer.stop() == 0, consumer.text[-2000:]
    return kinds


def reset(kafka: Kafka, settings: Mapping[str, str], offsets: Mapping[int, int]) -> None:
    """Of the group, that is without members."""
    group = settings["KAFKA__GROUP_ID"]
    places = [TopicPartition(settings["KAFKA__TOPIC"], partition, offset) for partition, offset in offsets.items()]
    kafka.admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)])[group].result()
