"""`dlq` against a real broker: what is listed, what is shown, what is sent back and how."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from confluent_kafka import Message, Producer

from consumer.adapters.dead_letters import DeadLetters
from consumer.core.batch import DeadLetter
from consumer.core.letter import REPLAY_COUNT
from consumer.operate.letters import as_bytes, own_headers
from consumer.settings import KafkaSettings
from tests.command import Done, command
from tests.servers import Kafka

pytestmark = pytest.mark.servers

HOUR_MS = 3_600_000
NOW_MS = int(time.time() * 1000)
BROKEN = b'{"event": "zkp2p_payment", '


class Bin:
    """A topic with its dead-letter topic, filled by the code that `run` uses."""

    def __init__(self, kafka: Kafka, topic: str, letters: str) -> None:
        self.kafka, self.topic, self.letters = kafka, topic, letters
        self.settings = KafkaSettings(bootstrap_servers=kafka.bootstrap, topic=topic, dlq_topic=letters)

    def reject(self, source_partition: int, offset: int, code: str, **fields: Any) -> None:
        letter = DeadLetter(
            key=fields.get("key", b"session-1"),
            value=fields.get("value", BROKEN),
            headers=fields.get("headers", ()),
            offset=offset,
            timestamp_ms=fields.get("timestamp_ms", NOW_MS - HOUR_MS),
            code=code,
            message=f"data is {code}",
        )
        if "at_ms" not in fields:
            adapter = DeadLetters(self.settings)
            adapter.send(source_partition, [letter])
            adapter.close()
            return
        producer = Producer(self.kafka.client_config)
        producer.produce(
            self.letters,
            key=letter.key,
            value=letter.value,
            headers=[
                *letter.headers,
                ("zkp2p.error.code", letter.code),
                ("zkp2p.error.message", letter.message),
                ("zkp2p.source.topic", fields.get("source", self.topic)),
                ("zkp2p.source.partition", str(source_partition)),
                ("zkp2p.source.offset", str(letter.offset)),
                ("zkp2p.source.timestamp", str(letter.timestamp_ms)),
                ("zkp2p.consumer.version", "1.2.3"),
            ],
            timestamp=fields["at_ms"],
            partition=fields.get("partition", 0),
        )
        assert producer.flush(30) == 0

    def run(self, *arguments: str) -> Done:
        names = {"KAFKA__TOPIC": self.topic, "KAFKA__DLQ_TOPIC": self.letters}
        settings = {"KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap, **names}
        return command("dlq", *arguments, settings=settings)

    def json(self, *arguments: str) -> Any:
        process = self.run(*arguments, "--format", "json")
        assert (process.returncode, process.stderr) == (0, "")
        return orjson.loads(process.stdout)

    def places(self, *arguments: str) -> list[tuple[int, int]]:
        return [(found["partition"], found["offset"]) for found in self.json("list", *arguments)]

    def failed(self, *arguments: str) -> str:
        process = self.run(*arguments)
        assert process.stdout == ""
        return process.line(1)

    def replayed(self) -> list[Message]:
        return self.kafka.read(self.topic)


@pytest.fixture
def letters(kafka: Kafka, topic: str) -> Iterator[Bin]:
    name = f"{topic}.dlq"
    kafka.create_topic(name, partitions=2)
    yield Bin(kafka, topic, name)
    kafka.delete_topic(name)


@pytest.fixture
def filled(letters: Bin) -> Bin:
    """Six of three codes, 6 h to 1 h old, in two partitions by turns."""
    codes = ["not_json", "out_of_range", "not_json", "missing_field", "out_of_range", "not_json"]
    for age, code in zip(range(6, 0, -1), codes, strict=True):
        letters.reject(age % 4, 100 + age, code, at_ms=NOW_MS - age * HOUR_MS, partition=age % 2)
    return letters


def headers(message: Message) -> dict[str, bytes]:
    return {name: as_bytes(value) or b"" for name, value in own_headers(message)}


# list


def test_the_newest_first_across_partitions(filled: Bin) -> None:
    found = filled.json("list")
    assert [entry["source_offset"] for entry in found] == [101, 102, 103, 104, 105, 106]
    assert found[0]["code"] == "not_json"
    assert found[0]["source_topic"] == filled.topic
    assert (found[0]["source_partition"], found[0]["partition"], found[0]["replays"]) == (1, 1, 0)


def test_filters_and_limit(filled: Bin) -> None:
    assert filled.places("--limit", "2") == [(1, 2), (0, 2)]
    assert filled.places("--code", "out_of_range") == [(0, 2), (1, 0)]
    assert filled.places("--code", "out_of_range", "--code", "missing_field") == [(0, 2), (1, 1), (1, 0)]
    assert filled.places("--since", "150m") == [(1, 2), (0, 2)]
    assert filled.places("--until", "270m", "--since", "400m") == [(1, 0), (0, 0)]
    assert filled.places("--partition", "0") == [(0, 2), (0, 1), (0, 0)]
    assert filled.places("--since", "1m") == []


def test_the_table_has_a_line_a_letter(filled: Bin) -> None:
    process = filled.run("list", "--limit", "1")
    assert process.returncode == 0
    header, line = process.stdout.splitlines()
    assert header.split() == ["time", "partition", "offset", "code", "message", "source"]
    assert line.split() == [line.split()[0], "1", "2", "not_json", "data", "is", "not_json", filled.topic, "1/101"]


def test_what_is_no_dead_letter_is_listed_too(letters: Bin) -> None:
    producer = Producer(letters.kafka.client_config)
    producer.produce(letters.letters, value=b"stray")
    assert producer.flush(30) == 0
    (found,) = letters.json("list")
    assert (found["code"], found["source_topic"]) == ("", "")


def test_an_empty_bin_lists_nothing(letters: Bin) -> None:
    assert letters.json("list") == []


def test_more_letters_than_one_block(letters: Bin) -> None:
    producer = Producer(letters.kafka.client_config)
    for number in range(1000):
        code = b"empty" if number == 3 else b"not_json"
        producer.produce(letters.letters, value=b"x", headers=[("zkp2p.error.code", code)], partition=0)
    assert producer.flush(30) == 0
    assert letters.places("--code", "empty") == [(0, 3)]
    assert letters.places("--limit", "950") == [(0, offset) for offset in range(999, 49, -1)]


def test_what_is_not_there_is_named(letters: Bin) -> None:
    assert "has no partition 7" in letters.failed("list", "--partition", "7")
    assert "there is no dead letter at 0/99" in letters.failed("show", "0/99")
    assert "has no partition 7" in letters.failed("show", "7/0")
    letters.letters = f"{letters.topic}.nothing"
    assert f"there is no dead-letter topic {letters.letters}" in letters.failed("show", "0/0")


def test_before_the_first_dead_letter_there_are_none(letters: Bin) -> None:
    letters.letters = f"{letters.topic}.nothing"
    process = letters.run("list", "--format", "json")
    assert (process.returncode, process.stdout) == (0, "[]\n")
    process = letters.run("list")
    assert (process.returncode, len(process.stdout.splitlines())) == (0, 1), "the head of the table"
    assert f"there is no dead-letter topic {letters.letters}" in process.stderr


def test_looking_leaves_no_trace_in_the_group(filled: Bin) -> None:
    filled.json("list")
    filled.json("show", "0/0")
    assert filled.kafka.committed("zkp2p-clickhouse", filled.letters) == {}


# show


def test_a_letter_is_shown_whole(letters: Bin) -> None:
    letters.reject(2, 7, "not_json", at_ms=NOW_MS, headers=(("trace", b"\x00\xff"),))
    process = letters.run("show", "0/0")
    assert process.returncode == 0
    lines = process.stdout.splitlines()
    assert "code     not_json" in lines
    assert "message  data is not_json" in lines
    assert any(line.startswith(f"source   {letters.topic} 2/7, time ") for line in lines)
    assert "header   trace: 0x00ff" in lines
    assert BROKEN.decode() in lines
    assert "session-1" in lines


def test_bytes_that_are_no_text_are_shown_in_hex(letters: Bin) -> None:
    letters.reject(0, 0, "not_json", at_ms=NOW_MS, value=b"\x1b[2J\xff" * 4, key=None)
    process = letters.run("show", "0/0")
    assert "\x1b" not in process.stdout
    assert "00000000  1b 5b 32 4a ff 1b 5b 32 4a ff 1b 5b 32 4a ff 1b  .[2J..[2J..[2J.." in process.stdout
    assert "key      none" in process.stdout
    shown = letters.json("show", "0/0")
    assert (shown["value"], shown["key"]) == ({"hex": (b"\x1b[2J\xff" * 4).hex()}, None)


def test_control_characters_in_headers_do_not_reach_the_terminal(letters: Bin) -> None:
    letters.reject(0, 0, "not_json", at_ms=NOW_MS, headers=(("a\x1bb", b"\x1b[31m"),))
    assert "\x1b" not in letters.run("show", "0/0").stdout
    assert "\x1b" not in letters.run("list").stdout


# replay


def test_a_letter_goes_back_as_it_was(letters: Bin) -> None:
    letters.reject(3, 7, "not_json", timestamp_ms=NOW_MS - 5000, headers=(("trace", b"t"),))
    (place,) = letters.places()
    process = letters.run("replay", f"{place[0]}/{place[1]}")
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout == f"sent 1 dead letter to {letters.topic}, not_json 1\n"
    (message,) = letters.replayed()
    assert (message.key(), message.value()) == (b"session-1", BROKEN)
    assert (message.partition(), message.timestamp()[1]) == (3, NOW_MS - 5000)
    assert headers(message) == {"trace": b"t", REPLAY_COUNT: b"1"}


def test_a_tombstone_and_a_missing_key_stay_what_they_are(letters: Bin) -> None:
    letters.reject(0, 0, "empty", at_ms=NOW_MS, value=None, key=None)
    letters.run("replay", "0/0")
    (message,) = letters.replayed()
    assert (message.key(), message.value()) == (None, None)


def test_a_second_failure_can_be_counted(letters: Bin) -> None:
    letters.reject(1, 7, "not_json", headers=((REPLAY_COUNT, b"1"),))
    (place,) = letters.places()
    assert letters.json("list")[0]["replays"] == 1
    letters.run("replay", f"{place[0]}/{place[1]}")
    (message,) = letters.replayed()
    assert headers(message) == {REPLAY_COUNT: b"2"}


def test_filters_choose(filled: Bin) -> None:
    done = filled.json("replay", "--code", "out_of_range", "--since", "270m")
    assert (done["sent"], done["by_code"], done["failed"]) == (1, {"out_of_range": 1}, 0)
    assert len(filled.replayed()) == 1
    assert filled.json("replay", "--all")["sent"] == 6
    assert len(filled.replayed()) == 7


def test_a_dry_run_sends_nothing(filled: Bin) -> None:
    process = filled.run("replay", "--code", "not_json", "--dry-run")
    assert process.returncode == 0
    assert process.stdout.splitlines()[-1] == f"would send 3 dead letters to {filled.topic}, not_json 3"
    assert len(process.stdout.splitlines()) == 5
    assert filled.replayed() == []


def test_without_a_choice_nothing_is_sent(filled: Bin) -> None:
    process = filled.run("replay")
    assert process.returncode == 2
    assert "--all" in process.stderr
    assert filled.replayed() == []


def test_a_wrong_place_among_them_and_none_is_sent(filled: Bin) -> None:
    assert "0/99" in filled.failed("replay", "0/0", "0/99")
    filled.reject(0, 0, "empty", at_ms=NOW_MS, source="another-topic", partition=0)
    assert "0/3 comes from another-topic 0/0" in filled.failed("replay", "0/0", "0/3")
    assert filled.replayed() == []


def test_only_what_came_from_the_topic_goes_back_to_it(filled: Bin) -> None:
    filled.reject(0, 0, "empty", at_ms=NOW_MS, source="another-topic", partition=0)
    done = filled.json("replay", "--all")
    assert (done["sent"], done["foreign"]) == (6, 1)


def test_a_partition_that_is_no_more_is_chosen_by_key(letters: Bin) -> None:
    letters.reject(17, 7, "not_json", at_ms=NOW_MS)
    assert letters.json("replay", "0/0")["sent"] == 1
    assert len(letters.replayed()) == 1


def test_what_the_topic_refuses_is_counted(kafka: Kafka, letters: Bin) -> None:
    letters.topic = f"{letters.topic}-small"
    kafka.create_topic(letters.topic, partitions=1, config={"max.message.bytes": "2000"})
    try:
        letters.reject(0, 0, "not_json", at_ms=NOW_MS, value=b"x" * 5000)
        letters.reject(0, 1, "empty", at_ms=NOW_MS)
        process = letters.run("replay", "--all")
        assert process.returncode == 1
        assert process.stdout == f"sent 1 dead letter to {letters.topic}, empty 1\n"
        assert "1 of the chosen were refused, the first with: " in process.stderr
    finally:
        kafka.delete_topic(letters.topic)


def test_a_replay_older_than_the_topic_keeps_says_so(kafka: Kafka, letters: Bin) -> None:
    letters.topic = f"{letters.topic}-short"
    kafka.create_topic(letters.topic, partitions=1, config={"retention.ms": "3600000"})
    try:
        letters.reject(0, 0, "not_json", at_ms=NOW_MS, timestamp_ms=NOW_MS - 2 * HOUR_MS)
        assert letters.json("replay", "--all", "--dry-run")["outdated"] == 1
    finally:
        kafka.delete_topic(letters.topic)


def test_a_topic_that_is_not_there(filled: Bin) -> None:
    filled.topic = f"{filled.topic}-nothing"
    assert f"there is no topic {filled.topic}" in filled.failed("replay", "--all")
