"""From a topic into a table: this consumer, ClickHouse's own Kafka engine, and the limit of reading alone.

    python -m tests.bench.bench_pipeline [--events 2000000] [--rounds 1]

One run on one topic (4 partitions, lz4, valid events of the traffic's usual shape with copies among them):

    raw      confluent-kafka's consume(), records thrown away
    engine   ClickHouse's Kafka table engine, one consumer, into a plain MergeTree: no deduplication, no dead
             letters, no summary, at-least-once
    run      `zkp2p-consumer run` with everything on; stopped by SIGTERM, its rows held against the truth

Rates and CPU count from the first rows that are seen to 95% of all, so that nobody's start-up or joining counts, nor
how long a last batch waits to be full; the rest must land all the same. The same system moves by a quarter between
runs on a shared machine: compare within one run only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from consumer.demo.truth import Truth
from tests.bench.meter import Measured, forget_peak, watch
from tests.process import ConsumerProcess, run_command
from tests.servers import ClickHouse, Kafka, Server, Unavailable, clickhouse_server, kafka_server
from tests.servers.cache import PROJECT

TOPIC = "bench-events"
TIMEOUT = 900.0
ROLES = ("client", "clickhouse", "broker")

PLAIN_TABLE = """
CREATE TABLE bench_engine.rows (
    userId UInt32, sessionId String,
    eventType Enum8('attempt' = 1, 'success' = 2, 'error' = 3, 'abandoned' = 4),
    paymentMethod Enum8('venmo' = 1, 'cashapp' = 2, 'paypal' = 3, 'zelle' = 4, 'wise' = 5, 'revolut' = 6),
    usdAmount Decimal(10, 2), buzzAmount UInt32, errorMessage Nullable(String), timestamp DateTime
) ENGINE = MergeTree ORDER BY (timestamp, userId) PARTITION BY toYYYYMM(timestamp)"""
ENGINE_TABLE = """
CREATE TABLE bench_engine.queue (
    event String, userId UInt32, timestamp String,
    data Tuple(eventType String, paymentMethod String, usdAmount Decimal(10, 2), buzzAmount UInt32,
               sessionId String, errorMessage Nullable(String))
) ENGINE = Kafka SETTINGS kafka_broker_list = '{bootstrap}', kafka_topic_list = '{topic}',
    kafka_group_name = 'engine-{round}', kafka_format = 'JSONEachRow', kafka_num_consumers = 1"""
ENGINE_VIEW = """
CREATE MATERIALIZED VIEW bench_engine.feed TO bench_engine.rows AS
SELECT userId, data.sessionId AS sessionId, data.eventType AS eventType, data.paymentMethod AS paymentMethod,
    data.usdAmount AS usdAmount, data.buzzAmount AS buzzAmount, data.errorMessage AS errorMessage,
    parseDateTimeBestEffort(timestamp, 'UTC') AS timestamp
FROM bench_engine.queue"""


@dataclass(frozen=True, slots=True)
class Bench:
    """The servers, the topic that is full already, and what must come out of it."""

    kafka: Kafka
    clickhouse: ClickHouse
    truth: Truth
    folder: Path

    @property
    def servers(self) -> dict[str, int | None]:
        return {"clickhouse": pid_of(self.clickhouse), "broker": pid_of(self.kafka)}

    def count(self, what: str) -> int:
        return int(self.clickhouse.query(f"SELECT {what}").strip() or 0)


def pid_of(server: Server) -> int | None:
    """None for a server that somebody else runs: its CPU is not ours to see."""
    try:
        return server.pid
    except Unavailable:
        return None


def produce(kafka: Kafka, events: int, folder: Path) -> Truth:
    """Fills the topic from a separate process, with nothing in it that the engine would choke on."""
    truth = folder / "truth.jsonl"
    command = [sys.executable, "-m", "consumer.demo.produce", "--bootstrap", kafka.bootstrap, "--topic", TOPIC]
    command += ["--events", str(events), "--rate", "500", "--seed", "1", "--truth", str(truth)]
    command += [word for share in ("foreign", "broken", "expired", "unusual") for word in (f"--{share}", "0")]
    subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
    return Truth.load(truth)


def raw(bench: Bench, _round: int) -> Measured:
    command = [sys.executable, "-m", "tests.bench.raw_consume", bench.kafka.bootstrap, TOPIC]
    done = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True, timeout=TIMEOUT)
    said = json.loads(done.stdout)
    return Measured(said["rows"], said["seconds"], {"client": said["cpu"]}, {"client": said["peak"]})


def engine(bench: Bench, number: int) -> Measured:
    query = bench.clickhouse.query
    query("DROP DATABASE IF EXISTS bench_engine SYNC")
    query("CREATE DATABASE bench_engine")
    try:
        query(PLAIN_TABLE)
        query(ENGINE_TABLE.format(bootstrap=bench.kafka.bootstrap, topic=TOPIC, round=number))
        query(ENGINE_VIEW)
        progress = "count() FROM bench_engine.rows"
        return watch(lambda: bench.count(progress), bench.truth.produced, bench.servers, TIMEOUT)
    finally:
        query("DROP DATABASE bench_engine SYNC")


def run(bench: Bench, number: int) -> Measured:
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": bench.kafka.bootstrap,
        "KAFKA__TOPIC": TOPIC,
        "KAFKA__DLQ_TOPIC": f"{TOPIC}.dlq",
        "KAFKA__GROUP_ID": f"run-{number}",
        "CLICKHOUSE__URL": bench.clickhouse.url,
        "CLICKHOUSE__DATABASE": "bench_run",
        "LOG__LEVEL": "info",
    }
    if bench.clickhouse.password:
        settings |= {
            "CLICKHOUSE__USERNAME": bench.clickhouse.username,
            "CLICKHOUSE__PASSWORD": bench.clickhouse.password,
        }
    bench.clickhouse.query("DROP DATABASE IF EXISTS bench_run SYNC")
    migrated = run_command("migrate", settings=settings)
    if migrated.returncode:
        raise RuntimeError(migrated.stderr)
    progress = "sum(lastOffset - firstOffset + 1) FROM bench_run.zkp2p_ingest_ledger FINAL"
    try:
        with ConsumerProcess(bench.folder, settings) as process:
            pids = {"client": process.pid, **bench.servers}
            measured = watch(lambda: bench.count(progress), bench.truth.produced, pids, TIMEOUT)
            if process.stop():
                raise RuntimeError(process.text[-3000:])
        check_rows(bench)
        return measured
    finally:
        bench.clickhouse.query("DROP DATABASE bench_run SYNC")


def check_rows(bench: Bench) -> None:
    """A fast wrong answer is no result."""
    rows = "count(), uniqExact(kafkaPartition, kafkaOffset) FROM bench_run.zkp2p_payment_events"
    landed = bench.clickhouse.query(f"SELECT {rows}").split()
    if landed != [str(bench.truth.inserted)] * 2:
        raise RuntimeError(f"{landed} rows and distinct coordinates landed, not {bench.truth.inserted}")


SYSTEMS = {"raw": raw, "engine": engine, "run": run}
NAMES = {"raw": "consume() alone", "engine": "ClickHouse's Kafka engine", "run": "zkp2p-consumer run"}


def table(rounds: list[dict[str, Measured]]) -> Iterator[str]:
    """A Markdown table; ratios are to the Kafka engine of the same round."""
    yield "| | rows/s | x engine | CPU us a row: client | ClickHouse | client + ClickHouse | broker | peak RSS MiB |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for results in rounds:
        for system, measured in results.items():
            cpu = {role: measured.cpu_us_a_row(role) for role in ROLES}
            base = results.get("engine")
            ratio = f"{measured.rows_per_second / base.rows_per_second:.2f}" if base else "-"
            peak = " + ".join(f"{role} {size >> 20}" for role, size in measured.peak_bytes.items() if role != "broker")
            together = sum(spent for role in ("client", "clickhouse") if (spent := cpu[role]) is not None)
            cells = [NAMES[system], f"{measured.rows_per_second:,.0f}", ratio, shown(cpu["client"])]
            cells += [shown(cpu["clickhouse"]), f"{together:.2f}", shown(cpu["broker"]), peak]
            yield f"| {' | '.join(cells)} |"


def shown(cpu: float | None) -> str:
    return "-" if cpu is None else f"{cpu:.2f}"


@contextmanager
def prepared(events: int) -> Iterator[Bench]:
    with kafka_server(quick=False) as kafka, clickhouse_server() as clickhouse, tempfile.TemporaryDirectory() as folder:
        print(f"producing {events:,} events", file=sys.stderr)
        kafka.create_topic(TOPIC, partitions=4, config={"compression.type": "producer"})
        try:
            truth = produce(kafka, events, Path(folder))
            yield Bench(kafka, clickhouse, truth, Path(folder))
        finally:
            kafka.delete_topic(TOPIC)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_pipeline")
    parser.add_argument("--events", type=int, default=2_000_000, help="in the topic (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="measure everything so often (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="some of it")
    asked = parser.parse_args(arguments)
    rounds: list[dict[str, Measured]] = []
    with prepared(asked.events) as bench:
        for number in range(asked.rounds):
            rounds.append({})
            for system in asked.only:
                print(f"round {number + 1}: {NAMES[system]}", file=sys.stderr)
                forget_peak(pid_of(bench.clickhouse))
                rounds[-1][system] = SYSTEMS[system](bench, number)
    print(f"\n{asked.events:,} events, {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("\n".join(table(rounds)))


if __name__ == "__main__":
    main()
