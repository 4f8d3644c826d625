"""A topic of nothing but broken records next to a clean one: how much slower, and is every record kept once?

    python -m tests.bench.bench_garbage [--records 1000000] [--rounds 3]

The same consumer with everything on, on a topic of valid events and on one of equal parts of nine kinds of garbage.
Rates count from the first rows that are seen to 95%. Every broken record must be in the dead-letter topic, with its
source offset, once. What a dead letter costs beyond its verdict is producing it: seven headers, compression, and the
broker's own work for it; and all of that shares the machine with the consumer. In the first round the broker is cold,
and slow to take letters; the median counts.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from confluent_kafka import Producer

from tests.bench.bench_payment import KAFKA_MS, Records, inputs, valid_records
from tests.bench.meter import Measured, watch
from tests.process import ConsumerProcess, run_command
from tests.servers import ClickHouse, Kafka, clickhouse_server, kafka_server

TOPICS = {"clean": "valid", "garbage": "garbage: all kinds"}
TIMEOUT = 600.0


def fill(kafka: Kafka, topic: str, values: Records, keys: Records) -> None:
    kafka.create_topic(topic, partitions=4)
    producer = Producer({**kafka.client_config, "compression.type": "lz4", "linger.ms": 20})
    for key, value in zip(keys, values, strict=True):
        while True:
            try:
                producer.produce(topic, value, key, timestamp=KAFKA_MS)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0


def run(kafka: Kafka, clickhouse: ClickHouse, topic: str, letters: str, records: int, folder: Path) -> Measured:
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap,
        "KAFKA__TOPIC": topic,
        "KAFKA__DLQ_TOPIC": letters,
        "KAFKA__GROUP_ID": letters,
        "CLICKHOUSE__URL": clickhouse.url,
        "CLICKHOUSE__DATABASE": "bench_garbage",
    }
    clickhouse.query("DROP DATABASE IF EXISTS bench_garbage SYNC")
    migrated = run_command("migrate", settings=settings)
    if migrated.returncode:
        raise RuntimeError(migrated.stderr)
    spent = "SELECT sum(lastOffset - firstOffset + 1) FROM bench_garbage.zkp2p_ingest_ledger FINAL"
    try:
        with ConsumerProcess(folder, settings) as process:
            pids = {"client": process.pid}
            measured = watch(lambda: int(clickhouse.query(spent).strip() or 0), records, pids, TIMEOUT)
            if process.stop():
                raise RuntimeError(process.text[-3000:])
        return measured
    finally:
        clickhouse.query("DROP DATABASE bench_garbage SYNC")


def check_letters(kafka: Kafka, topic: str, letters: str, records: int) -> None:
    """Each record of the topic once, told by its source offset."""
    sources = set()
    written = 0
    for message in kafka.stream(letters, TIMEOUT):
        headers = dict(message.headers() or ())
        assert headers["zkp2p.source.topic"] == topic.encode()
        sources.add((headers["zkp2p.source.partition"], headers["zkp2p.source.offset"]))
        written += 1
    if not written == len(sources) == records:
        raise RuntimeError(f"{written} dead letters of {len(sources)} records, not {records}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_garbage")
    parser.add_argument("--records", type=int, default=1_000_000, help="in each topic (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args(arguments)
    values, keys = valid_records(asked.records)
    with kafka_server(quick=False) as kafka, clickhouse_server() as clickhouse, tempfile.TemporaryDirectory() as folder:
        for topic, kind in TOPICS.items():
            print(f"producing {asked.records:,} records: {kind}", file=sys.stderr)
            fill(kafka, topic, inputs(values)[kind], keys)
        print("| | records/s | of clean | CPU us a record: client |\n|---|---:|---:|---:|")
        shares: list[float] = []
        for number in range(asked.rounds):
            rates: list[float] = []
            for topic in TOPICS:
                letters = f"{topic}.dlq{number}"
                found = run(kafka, clickhouse, topic, letters, asked.records, Path(folder))
                rates.append(found.rows_per_second)
                cpu = found.cpu_us_a_row("client") or 0.0
                print(f"| {topic} | {rates[-1]:,.0f} | {rates[-1] / rates[0]:.2f} | {cpu:.2f} |", flush=True)
                if topic == "garbage":
                    check_letters(kafka, topic, letters, asked.records)
                    kafka.delete_topic(letters)
            shares.append(rates[1] / rates[0])
    print(f"\ngarbage runs at {statistics.median(shares):.2f} of a clean topic's speed (median)")


if __name__ == "__main__":
    main()
