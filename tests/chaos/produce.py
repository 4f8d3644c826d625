"""Made-up traffic into a topic until SIGTERM, then its truth into a file: a process of its own, which nobody kills.

Its timestamps begin shortly before a month's end and run faster than the clock, and some events come days late: nearly
every batch holds several days, and many hold two months.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from confluent_kafka import KafkaError, Message, Producer

from consumer.demo.produce import PRODUCER
from consumer.demo.traffic import Mix, Traffic

TIMESTAMPS_A_SECOND = 20.0
"""Events a second by their timestamps: copies, which come within a minute, are some batches apart."""
MIX = Mix(broken=0.02, expired=0.002, copies=0.05, again=0.01, late=0.05)


def start_ms() -> int:
    """A quarter of an hour before the latest month's end that lies two days back at least."""
    first = (datetime.now(UTC) - timedelta(days=2)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return int((first - timedelta(minutes=15)).timestamp() * 1000)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.produce", description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--per-second", type=float, required=True)
    parser.add_argument("--events", type=int, default=0, help="stop after so many; 0: not before SIGTERM")
    parser.add_argument("--broken", type=float, default=MIX.broken, help="share of records that are rejected")
    parser.add_argument("--truth", type=Path, required=True)
    asked = parser.parse_args()
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    producer = Producer({**PRODUCER, "bootstrap.servers": asked.bootstrap, "message.timeout.ms": 600_000})
    failed: list[str] = []

    def landed(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error.str())

    traffic = Traffic(asked.seed, start_ms=start_ms(), rate=TIMESTAMPS_A_SECOND, mix=replace(MIX, broken=asked.broken))
    due = time.monotonic()
    for record in traffic.records(asked.events or None):
        producer.produce(asked.topic, record.value, record.key, timestamp=record.timestamp_ms, on_delivery=landed)
        due = max(due + 1 / asked.per_second, time.monotonic() - 1.0)  # what a pause of ours missed is not made up for
        producer.poll(max(0.0, due - time.monotonic()))
        if stopping or failed:
            break
    left = producer.flush(120)
    if failed or left:
        print(f"{len(failed) + left} records were not acknowledged: {failed[:1]}", file=sys.stderr)
        return 1
    traffic.truth.save(asked.truth)
    return 0


if __name__ == "__main__":
    sys.exit(main())
