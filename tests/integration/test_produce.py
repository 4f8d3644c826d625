"""Traffic produced by a separate process arrives as its truth file says, on both kinds of broker."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from zlib import crc32

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from consumer.demo.broker import PARTITIONS, broker
from consumer.demo.truth import Truth, digest
from tests.servers import Kafka
from tests.servers.cache import PROJECT
from tests.servers.process import free_port


def produce(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "consumer.demo.produce", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)


def test_a_separate_process_fills_a_topic_and_says_what_must_come_out(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    truth_file = tmp_path / "truth.jsonl"
    done = produce(
        *("--bootstrap", kafka.bootstrap, "--topic", topic, "--events", "3000", "--seed", "5"),
        *("--broken", "0.05", "--truth", str(truth_file)),
    )
    assert (done.returncode, done.stderr) == (0, "")
    truth = Truth.load(truth_file)
    assert done.stdout == f"{truth.line()}\n"
    messages = kafka.read(topic)
    assert len(messages) == truth.produced == 3000
    values = {digest(value) for message in messages if (value := message.value()) is not None}
    assert {letter.digest for letter in truth.letters if letter.digest is not None} <= values
    by_key: dict[bytes, set[int | None]] = {}
    for message in messages:
        if (key := message.key()) is not None:
            by_key.setdefault(key, set()).add(message.partition())
    assert all(partitions == {crc32(key) % 4} for key, partitions in by_key.items())


def test_a_topic_is_made_with_room_for_the_largest_records(kafka: Kafka, tmp_path: Path) -> None:
    topic = f"made-{time.time_ns()}"
    done = produce(
        *("--bootstrap", kafka.bootstrap, "--topic", topic, "--events", "300", "--partitions", "2"),
        *("--oversized", "0.02", "--truth", str(tmp_path / "truth")),
    )
    try:
        assert (done.returncode, done.stderr) == (0, "")
        assert kafka.partitions(topic) == [0, 1]
        assert Truth.load(tmp_path / "truth").rejected_by_code["too_large"] > 0
        assert sum(kafka.end_offsets(topic).values()) == 300
        again = produce("--bootstrap", kafka.bootstrap, "--topic", topic, "--events", "10", "--partitions", "3")
        assert (again.returncode, again.stderr) == (2, f"error: topic {topic} has 2 partitions, not 3\n")
    finally:
        kafka.delete_topic(topic)


def test_a_broker_that_is_not_there_is_one_line_on_stderr() -> None:
    address = f"127.0.0.1:{free_port()}"
    done = produce("--bootstrap", address, "--events", "10")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {address}: ")
    assert done.stderr.count("\n") == 1


def test_the_broker_in_the_process_takes_and_gives_records() -> None:
    with broker() as bootstrap:
        done = produce("--bootstrap", bootstrap, "--topic", "events", "--events", "2000")
        assert (done.returncode, done.stderr) == (0, "")
        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "g", "enable.partition.eof": True})
        try:
            consumer.assign([TopicPartition("events", partition, 0) for partition in range(PARTITIONS)])
            read, ended = 0, 0
            deadline = time.monotonic() + 60
            while ended < PARTITIONS:
                assert time.monotonic() < deadline, f"{read} records read"
                for message in consumer.consume(1000, 0.2):
                    error = message.error()
                    if error is None:
                        read += 1
                    elif error.code() == KafkaError._PARTITION_EOF:
                        ended += 1
                    else:
                        raise KafkaException(error)
        finally:
            consumer.close()
    assert read == 2000
