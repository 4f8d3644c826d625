"""Look-ups outlive connections that are reset at any moment: what broke with the admin client's way to the coordinator."""

from __future__ import annotations

import threading
import time
from random import Random

import pytest
from confluent_kafka import Consumer, TopicPartition

from consumer.adapters.lookup import Lookup
from consumer.core.errors import Retryable
from consumer.settings import KafkaSettings
from tests.servers import KafkaServer

pytestmark = pytest.mark.servers

TOPIC, GROUP = "events", "group"


def test_committed_offsets_can_be_read_after_any_reset(kafka_process: KafkaServer) -> None:
    kafka_process.create_topic(TOPIC, 4)
    places = [TopicPartition(TOPIC, partition, 7) for partition in range(4)]
    consumer = Consumer({**kafka_process.client_config, "group.id": GROUP, "enable.auto.commit": False})
    consumer.commit(offsets=places, asynchronous=False)
    consumer.close()
    bootstrap = kafka_process.proxied_bootstrap
    lookup = Lookup(KafkaSettings(bootstrap_servers=bootstrap, topic=TOPIC, group_id=GROUP))
    answered = [0] * 4
    stopping = threading.Event()

    def ask(partition: int) -> None:
        while not stopping.is_set():
            try:
                assert lookup.committed(partition, 5.0).offset == 7
                answered[partition] += 1
            except Retryable:
                pass
            stopping.wait(0.02)  # calls take turns, and not in order

    threads = [threading.Thread(target=ask, args=(partition,)) for partition in range(4)]
    for thread in threads:
        thread.start()
    try:
        random = Random(1)
        for _ in range(12):
            kafka_process.proxy.reset(random.choice(("up", "down")), random.choice((0, random.randrange(1, 2000))))
            stopping.wait(random.random() * 0.5)
            kafka_process.proxy.release()
            before = list(answered)
            deadline = time.monotonic() + 30
            while any(now <= then for now, then in zip(answered, before, strict=True)):
                assert time.monotonic() < deadline, f"no answers any more: {before}, {answered}"
                stopping.wait(0.05)
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
