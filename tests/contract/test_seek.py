"""A partition is read from where its recovery says, whatever the log has lost meanwhile."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import pytest
from confluent_kafka import Producer, TopicPartition

from consumer.adapters.group import Fetched, Group
from consumer.core.errors import Retryable
from consumer.settings import KafkaSettings
from tests.servers import Kafka, KafkaServer

pytestmark = pytest.mark.servers

RECORDS, LOG_START = 100, 50


def poll_until(group: Group, found: list[Fetched], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        found += group.poll(1000, 0.1).values()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_seek_leads_out_of_an_offset_that_the_log_does_not_have(kafka: Kafka, topic: str, protocol: str) -> None:
    producer = Producer(kafka.client_config)
    for number in range(RECORDS):
        producer.produce(topic, str(number), partition=0)
    producer.flush(30)
    kafka.admin.delete_records([TopicPartition(topic, 0, LOG_START)])[TopicPartition(topic, 0)].result(30)
    settings = KafkaSettings.model_validate(
        {
            "bootstrap_servers": kafka.bootstrap,
            "topic": topic,
            "group_id": f"g-{uuid.uuid4()}",
            "group_protocol": protocol,
        }
    )
    assigned: list[int] = []
    group = Group(settings, on_assign=assigned.extend, on_revoke=lambda _: None, on_lost=lambda _: None)
    group.subscribe()
    found: list[Fetched] = []
    try:
        poll_until(group, found, lambda: 0 in assigned)

        def seek(offset: int) -> None:
            deadline = time.monotonic() + 30
            while True:
                try:
                    group.seek(0, offset)
                    return
                except Retryable:
                    assert time.monotonic() < deadline, f"no seek to {offset}"
                    group.poll(1, 0.1)

        def offsets() -> list[int | None]:
            return [message.offset() for fetched in found for message in fetched.messages]

        assert not offsets(), "paused until somebody says where"
        for _ in range(2):
            found.clear()
            seek(10)
            poll_until(group, found, lambda: any(fetched.out_of_range for fetched in found))
            assert not offsets()
            seek(LOG_START)
            poll_until(group, found, lambda: len(offsets()) == RECORDS - LOG_START)
            assert offsets() == list(range(LOG_START, RECORDS))
            found.clear()
            seek(LOG_START + 7)
            poll_until(group, found, lambda: len(offsets()) == RECORDS - LOG_START - 7)
    finally:
        group.close()


def test_a_seek_is_not_undone_by_what_the_client_asked_before(kafka_process: KafkaServer) -> None:
    """Assigned at a logical offset ("the beginning"), the client looks that up; where the answer comes after a seek it
    asks again half a second later, and by this answer it goes back to the log's start (librdkafka#2256).

    So an answer is held back over the seek: the one to what it asks 500 ms after a pause outdated the first.
    """
    kafka_process.create_topic("events", partitions=1)
    producer = Producer(kafka_process.client_config)
    for number in range(RECORDS):
        producer.produce("events", str(number))
    assert producer.flush(30) == 0
    bootstrap, proxy = kafka_process.proxied_bootstrap, kafka_process.proxy
    settings = KafkaSettings(bootstrap_servers=bootstrap, topic="events", group_id="g")
    assigned_at: list[float] = []
    group = Group(
        settings,
        on_assign=lambda _: assigned_at.append(time.monotonic()),
        on_revoke=lambda _: None,
        on_lost=lambda _: None,
    )
    group.subscribe()
    found: list[Fetched] = []

    def poll_for(seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found.extend(group.poll(1000, 0.02).values())

    try:
        poll_until(group, found, lambda: bool(assigned_at))
        poll_for(0.35)
        proxy.hold("down")
        poll_for(0.35)
        group.seek(0, LOG_START)
        poll_for(0.3)
        proxy.release()
        poll_for(3.0)
    finally:
        proxy.release()
        group.close()
    offsets = [message.offset() for fetched in found for message in fetched.messages]
    assert offsets == list(range(LOG_START, RECORDS))
