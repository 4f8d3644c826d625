"""Produces made-up traffic to a topic: `python -m consumer.demo.produce --help`."""

from __future__ import annotations

import argparse
import gc
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from consumer.core.errors import ConsumerError, Retryable, UsageError
from consumer.demo.traffic import Mix, Traffic, started_ago

RECORD_BYTES_MAX = 4 * 1024 * 1024
PRODUCER: dict[str, Any] = {
    "log_level": 0,  # what matters is said by delivery reports
    "enable.idempotence": True,
    "compression.type": "lz4",
    "linger.ms": 20,
    "message.max.bytes": RECORD_BYTES_MAX,
    "queue.buffering.max.messages": 200_000,
}


def make_topic(bootstrap: str, topic: str, partitions: int) -> None:
    """Creates it unless it is there, or comes to be when named (the broker in the process has no CreateTopics).

    Raises UsageError where it has another number of partitions, KafkaException where the broker doesn't answer.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    found = len(admin.list_topics(topic, timeout=10).topics[topic].partitions)
    if not found:
        new = NewTopic(topic, num_partitions=partitions, config={"max.message.bytes": str(RECORD_BYTES_MAX)})
        admin.create_topics([new], request_timeout=20)[topic].result()
    elif found != partitions:
        raise UsageError(f"topic {topic} has {found} partitions, not {partitions}")


def produce(bootstrap: str, topic: str, traffic: Traffic, events: int, *, per_second: float | None = None) -> None:
    """Hands `events` records to the broker and returns when all are acknowledged.

    The partition is that of the key's hash, as a client with default settings chooses it. `per_second` paces
    the sending, not the records' timestamps. Raises Retryable where one was not acknowledged.
    """
    producer = Producer({**PRODUCER, "bootstrap.servers": bootstrap})
    failed: list[str] = []

    def landed(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error.str())

    started = time.monotonic()
    for number, record in enumerate(traffic.records(events)):
        while True:
            try:
                producer.produce(topic, record.value, record.key, timestamp=record.timestamp_ms, on_delivery=landed)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
        if per_second and (ahead := started + number / per_second - time.monotonic()) > 0.01:
            producer.poll(ahead)
    left = producer.flush(120)
    if failed or left:
        raise Retryable(f"{len(failed) + left} records were not acknowledged: {failed[0] if failed else 'no answer'}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m consumer.demo.produce", description=__doc__)
    parser.add_argument("--bootstrap", required=True, help="host:port")
    parser.add_argument("--topic", default="zkp2p-events", help="made if it is missing (%(default)s)")
    parser.add_argument("--events", type=int, default=10_000, help="records to produce (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed and start give the same records (%(default)s)"
    )
    parser.add_argument("--partitions", type=int, default=4, help="of the topic (%(default)s)")
    parser.add_argument("--rate", type=float, default=500.0, help="events a second in the timestamps (%(default)s)")
    parser.add_argument("--per-second", type=float, help="records sent a second; as fast as possible without")
    parser.add_argument("--start-ms", type=int, help="first timestamp; by default the last one lies shortly before now")
    parser.add_argument("--truth", type=Path, metavar="FILE", help="write there what must come out, as JSON lines")
    for share in fields(Mix):
        parser.add_argument(f"--{share.name}", type=float, default=share.default, help="share of it (%(default)s)")
    return parser.parse_args()


def main() -> None:
    """Exit codes as the consumer's: 0 done, 1 not all acknowledged, 2 wrong usage."""
    asked = arguments()
    gc.disable()  # millions of rows and not one cycle
    mix = Mix(**{share.name: getattr(asked, share.name) for share in fields(Mix)})
    start_ms = started_ago(asked.events, asked.rate) if asked.start_ms is None else asked.start_ms
    traffic = Traffic(asked.seed, start_ms=start_ms, rate=asked.rate, mix=mix)
    try:
        make_topic(asked.bootstrap, asked.topic, asked.partitions)
        produce(asked.bootstrap, asked.topic, traffic, asked.events, per_second=asked.per_second)
    except ConsumerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KafkaException as error:
        print(f"error: {asked.bootstrap}: {error.args[0].str()}", file=sys.stderr)
        sys.exit(1)
    if asked.truth is not None:
        traffic.truth.save(asked.truth)
    print(traffic.truth.line())


if __name__ == "__main__":
    main()
