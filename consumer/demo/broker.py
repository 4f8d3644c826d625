"""A Kafka broker inside this process: librdkafka's own, made for its tests, on a real TCP port.

Good for a demo and quick tests, never for a measurement. What it lacks:

- a partition keeps 5 MiB or 100,000 messages; older ones vanish without a word
- every topic exists as soon as it is named, with 4 partitions; there is no CreateTopics
- topics have no ids
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Producer

PARTITIONS = 4
"""Of every topic."""
MESSAGES_MAX = 100_000
"""A partition holds; the rest is forgotten from the front."""
BYTES_MAX = 5 * 1024 * 1024
"""As above; whichever is reached first."""


@contextmanager
def broker(*topics: str) -> Iterator[str]:
    """Its address ("127.0.0.1:port") for as long as the block runs; topics and groups end with it.

    `topics` exist from the start.
    """
    host = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    try:
        brokers = host.list_topics(timeout=30).brokers.values()
        for topic in topics:
            host.list_topics(topic, timeout=30)  # to name it is to make it
        yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    finally:
        host.flush(5)
        del host  # the cluster lives in this handle
