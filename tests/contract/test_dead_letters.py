"""Dead letters on their way to a real broker: where they go, and what becomes of those that it refuses."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from consumer import __version__
from consumer.adapters.dead_letters import DeadLetters
from consumer.core.batch import DeadLetter
from consumer.core.errors import Retryable, Stop
from consumer.settings import KafkaSettings
from tests.servers import Kafka

pytestmark = pytest.mark.servers

KAFKA_MS = 1_795_453_200_000
MESSAGE = "value is not JSON: it ends too early"


def letter(offset: int, value: bytes | None = b"{", **more: object) -> DeadLetter:
    fields = {"key": None, "headers": (), **more}
    return DeadLetter(
        value=value,
        offset=offset,
        timestamp_ms=KAFKA_MS,
        code="not_json",
        message=MESSAGE,
        **fields,  # type: ignore[arg-type]
    )


@pytest.fixture
def settings(kafka: Kafka, topic: str) -> Iterator[KafkaSettings]:
    found = KafkaSettings(bootstrap_servers=kafka.bootstrap, topic=topic, dlq_topic=f"{topic}.letters")
    yield found
    kafka.delete_topic(found.dlq_topic)


@pytest.fixture
def dead_letters(settings: KafkaSettings) -> Iterator[DeadLetters]:
    found = DeadLetters(settings)
    yield found
    found.close()


def test_a_missing_topic_is_made_like_its_source(
    kafka: Kafka, settings: KafkaSettings, dead_letters: DeadLetters
) -> None:
    dead_letters.send(3, [letter(7, None, key=b"key")])
    (message,) = kafka.read(settings.dlq_topic)
    assert len(kafka.partitions(settings.dlq_topic)) == len(kafka.partitions(settings.topic)) == 4
    assert (message.partition(), message.key(), message.value()) == (3, b"key", None)


def test_bytes_are_untouched_and_one_set_of_headers_is_ours(
    kafka: Kafka, settings: KafkaSettings, dead_letters: DeadLetters
) -> None:
    ours: list[tuple[str, bytes | None]] = [
        ("zkp2p.error.code", b"not_json"),
        ("zkp2p.error.message", MESSAGE.encode()),
        ("zkp2p.source.topic", settings.topic.encode()),
        ("zkp2p.source.partition", b"2"),
        ("zkp2p.source.offset", b"5"),
        ("zkp2p.source.timestamp", b"%d" % KAFKA_MS),
        ("zkp2p.consumer.version", __version__.encode()),
    ]
    own: list[tuple[str, bytes | None]] = [("trace", b"\xff\x00"), ("trace", None), ("zkp2p.replayed", b"1")]
    stale: list[tuple[str, bytes | None]] = [(name, b"of the first time") for name, _ in ours]
    value = bytes(range(256))
    dead_letters.send(2, [letter(5, value, headers=(*own[:1], *stale, *own[1:]))])
    (message,) = kafka.read(settings.dlq_topic)
    assert message.value() == value
    assert message.headers() == own + ours


def test_letters_lie_where_their_records_did_and_in_their_order(
    kafka: Kafka, settings: KafkaSettings, dead_letters: DeadLetters
) -> None:
    kafka.create_topic(settings.dlq_topic, partitions=3)
    sent = {partition: [letter(offset, b"%d" % offset) for offset in range(500)] for partition in range(5)}
    for partition, letters in sent.items():
        dead_letters.send(partition, letters)

    found: dict[int, list[bytes | None]] = {}
    for message in kafka.read(settings.dlq_topic):
        source = int(dict(message.headers() or [])["zkp2p.source.partition"] or -1)
        assert message.partition() == source % 3
        found.setdefault(source, []).append(message.value())
    assert found == {partition: [one.value for one in letters] for partition, letters in sent.items()}


def test_more_letters_than_the_client_holds(kafka: Kafka, settings: KafkaSettings, dead_letters: DeadLetters) -> None:
    count = 130_000  # its queue takes 100,000
    dead_letters.send(0, [letter(offset) for offset in range(count)])
    assert kafka.end_offsets(settings.dlq_topic)[0] == count


def test_without_its_source_no_topic_is_made(kafka: Kafka, topic: str) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap, topic=f"{topic}.none", dlq_topic=f"{topic}.none.dlq")
    with pytest.raises(Retryable, match=f"there is no topic '{topic}.none'"):
        DeadLetters(settings).send(0, [letter(0)])


def test_one_too_large_stops_and_leaves_nothing_to_the_next(
    kafka: Kafka, settings: KafkaSettings, dead_letters: DeadLetters
) -> None:
    kafka.create_topic(settings.dlq_topic, partitions=4, config={"max.message.bytes": "2000"})
    with pytest.raises(Stop, match=r"set its max\.message\.bytes to that of"):
        dead_letters.send(0, [letter(0), letter(1, os.urandom(5000))])
    before = sum(kafka.end_offsets(settings.dlq_topic).values())
    dead_letters.send(0, [letter(2)])
    assert sum(kafka.end_offsets(settings.dlq_topic).values()) == before + 1


def test_a_topic_made_anew_with_fewer_partitions(
    kafka: Kafka, settings: KafkaSettings, dead_letters: DeadLetters
) -> None:
    kafka.create_topic(settings.dlq_topic, partitions=4)
    dead_letters.send(3, [letter(0)])
    kafka.delete_topic(settings.dlq_topic)
    kafka.create_topic(settings.dlq_topic, partitions=1)
    for _ in range(5):  # the client hears of it at once, or by a refusal
        try:
            dead_letters.send(3, [letter(1)])
            break
        except Retryable:
            continue
    assert kafka.end_offsets(settings.dlq_topic) == {0: 1}
