"""How long the 30-day dashboard takes over 30 million events, and an audit of them; what 90 days would take.

    python -m tests.bench.bench_dashboard [--days 30] [--events-a-day 1000000] [--rows-a-batch 50]

The server makes the data: 4 partitions, 300,000 users, sessions of two events, one ledger row a batch.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from clickhouse_connect.driver.client import Client

from consumer.operate.audit import audit
from consumer.operate.migrations import migrate
from consumer.operate.report.answers import answer
from tests.servers.ways import clickhouse_server

DATABASE = "bench_dashboard"
PARTITIONS = 4


def fill(client: Client, days: int, a_day: int, rows_a_batch: int) -> None:
    for day in range(days):
        client.command(
            f"INSERT INTO {DATABASE}.zkp2p_payment_events"
            " SELECT 1 + intHash32(intDiv(n, 3)) % 300000,"
            f" concat(lower(hex(intDiv(n, 8) * 4 + n % {PARTITIONS})), '-e2bb-4255-8caf-4136c566a962'),"
            " if(intDiv(n, 4) % 2 = 0, 1, 2 + intHash32(n) % 3), 1 + intHash32(intDiv(n, 8) * 4 + n % 4) % 6,"
            " 1 + intHash32(n) % 50000 / 100.0, 1000, NULL,"
            f" toDateTime(toStartOfDay(now('UTC'))) - {days - 1 - day} * 86400 + intDiv((n % {a_day}) * 86400, {a_day}),"
            f" 'topic-one', n % {PARTITIONS}, intDiv(n, {PARTITIONS})"
            f" FROM (SELECT number + {day * a_day} AS n FROM numbers({a_day}))"
        )
    batches = days * a_day // PARTITIONS // rows_a_batch
    client.command(
        f"INSERT INTO {DATABASE}.zkp2p_ingest_ledger (kafkaTopicId, kafkaPartition, groupId, firstOffset, lastOffset,"
        " minTimestamp, maxTimestamp, inserted, landedAt)"
        f" SELECT 'topic-one', number % {PARTITIONS}, 'zkp2p-clickhouse', intDiv(number, {PARTITIONS}) * {rows_a_batch} AS o,"
        f" o + {rows_a_batch} - 1, toStartOfDay(now('UTC')) - {days - 1} * 86400 + intDiv(o * {PARTITIONS} * 86400, {a_day}) AS t,"
        f" t, {rows_a_batch}, t FROM numbers({batches * PARTITIONS})"
    )


def milliseconds(work: Callable[[], object], times: int) -> list[float]:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return sorted(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--events-a-day", type=int, default=1_000_000)
    parser.add_argument("--rows-a-batch", type=int, default=50)
    asked = parser.parse_args()
    with clickhouse_server() as server, server.client(send_receive_timeout=600) as client:
        client.command(f"DROP DATABASE IF EXISTS {DATABASE} SYNC")
        migrate(client, DATABASE)
        fill(client, asked.days, asked.events_a_day, asked.rows_a_batch)
        for question in ("attempts", "methods", "outcomes", "dashboard"):
            taken = milliseconds(lambda q=question: answer(client, DATABASE, q, 30), 15)  # type: ignore[misc]
            print(
                f"{question:10} median {statistics.median(taken):6.0f} ms   best {taken[0]:6.0f}   worst {taken[-1]:6.0f}"
            )
        report = audit(client, DATABASE, pauses=())
        assert report.clean, report.findings
        ledger_rows = sum(p.rows for p in report.passes)
        print(f"audit      {report.seconds:.1f} s for {report.events:,} events and {ledger_rows:,} ledger rows")
        print(f"           90 days x 1,000,000 events: {report.seconds * 90e6 / report.events:.0f} s (extrapolated)")
        client.command(f"DROP DATABASE {DATABASE} SYNC")


if __name__ == "__main__":
    main()
