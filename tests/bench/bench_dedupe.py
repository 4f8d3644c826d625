"""The duplicate index in figures, as Markdown tables.

    python -m tests.bench.bench_dedupe [--keys 10000000] [--lookups 100000000] [--hydrate 5000000]
                                       [--only sets hashes batches lookups hydrate]

    sets      what a set of 128-bit keys costs: memory by RSS, building, lookups in batches of 50,000
    hashes    what the hash of a sessionId costs
    batches   what a batch of 50,000 payments costs against three days of keys: decision and landing
    lookups   100,000,000 lookups with known truth
    hydrate   5,000,000 keys of a day read from a real ClickHouse through the consumer's own store

Times are CPU time of one core, the best of several, because the machine may be shared; `hydrate` is wall time.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import psutil
import pyarrow as pa

from consumer.adapters.store import Store
from consumer.core.batch import Keys
from consumer.core.dedupe import KeyIndex
from consumer.core.effects import Hydrate
from consumer.core.keyset import KeySet
from consumer.operate.migrations import migrate
from consumer.settings import ClickHouseSettings
from tests.bench import hashes, sets
from tests.servers import ClickHouse, clickhouse_server
from tests.servers.cache import PROJECT

BATCH = 50_000
DAY = 20_780
clock = time.process_time


def random_keys(count: int, seed: int) -> Keys:
    return np.random.default_rng(seed).integers(0, 2**64, size=(count, 2), dtype=np.uint64)


def best(times: int, work: Callable[[], object]) -> float:
    """Seconds of the fastest of `times`."""
    seconds = []
    for _ in range(times):
        began = clock()
        work()
        seconds.append(clock() - began)
    return min(seconds)


def row(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def heading(*cells: str) -> None:
    print()
    row(*cells)
    row("---", *("---:" for _ in cells[1:]))


# A set


def measure_set(name: str, count: int) -> dict[str, float]:
    """In a process of its own, whose memory nothing else has used."""
    keys, process = random_keys(count, 1), psutil.Process()
    gc.collect()
    before, began = process.memory_info().rss, clock()
    ask = sets.CANDIDATES[name].build(keys)
    built = clock() - began
    gc.collect()
    size = process.memory_info().rss - before
    chosen = np.random.default_rng(2).integers(0, count, size=BATCH)
    present, absent = keys[chosen], random_keys(BATCH, 3)
    assert ask(present).all()
    assert not ask(absent[:1_000]).any()
    slow = best(1, lambda: ask(absent[:1_000])) > 0.3
    fewer = absent[:1_000] if slow else absent
    return {
        "bytes": size / count,
        "build": built / count * 1e9,
        "present": best(2 if slow else 12, lambda: ask(present)) / BATCH * 1e9,
        "absent": best(2 if slow else 12, lambda: ask(fewer)) / len(fewer) * 1e9,
    }


def bench_sets(count: int) -> None:
    heading(
        "set", "keys", "bytes a key (RSS)", "build ns a key", "lookup ns: present", "absent", "million lookups/s", ""
    )
    for name, candidate in sets.CANDIDATES.items():
        command = [sys.executable, "-m", "tests.bench.bench_dedupe", "--keys", str(count), "--one-set", name]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        if done.returncode:
            row(name, f"not measured: {done.stderr.strip().splitlines()[-1]}")
            continue
        m = json.loads(done.stdout)
        rate = 2000 / (m["present"] + m["absent"])
        costs = f"{m['bytes']:.1f}", f"{m['build']:.0f}", f"{m['present']:,.0f}", f"{m['absent']:,.0f}"
        row(name, *costs, f"{rate:.2g}", candidate.note)


# A hash


def session_ids(count: int) -> pa.Array:
    text = np.random.default_rng(5).bytes(16 * count).hex()
    cuts = (0, 8), (8, 12), (12, 16), (16, 20), (20, 32)
    return pa.array(["-".join(text[at + a : at + b] for a, b in cuts) for at in range(0, 32 * count, 32)])


def bench_hashes() -> None:
    strings = session_ids(200_000)
    heading("hash of a UUID in text, 128 bits", "ns a string", "")
    for name, (work, note) in hashes.CANDIDATES.items():
        try:
            cost = best(5, partial(work, strings)) / len(strings) * 1e9
        except ImportError as missing:
            row(name, "-", f"not measured: {missing}")
            continue
        row(name, f"{cost:.0f}", note)


# A batch


def bench_batches() -> None:
    heading("50,000 payments of one day", "keys in each of three days", "duplicates() us a payment", "landed()")
    for count in (100_000, 1_000_000, 3_000_000):
        for share, what in ((0.0, "all new"), (0.03, "3% copies in the batch"), (1.0, "all landed before: a replay")):
            decided, landed = measure_batch(count, share)
            row(what, f"{count:,}", f"{decided:.3f}", f"{landed:.3f}")


def measure_batch(count: int, share: float) -> tuple[float, float]:
    index, days = KeyIndex(1 << 32), np.full(BATCH, DAY)
    held = {day: random_keys(count, day) for day in (DAY - 1, DAY, DAY + 1)}
    for scope, day in index.to_hydrate(0, days):
        index.hydrate(scope, day, held[day] if scope == 0 else held[day][:0])
    decided, landed = [], []
    for number in range(9):
        keys = random_keys(BATCH, number) if share < 1 else held[DAY][:BATCH]
        copies = np.random.default_rng(number).integers(0, BATCH, size=(2, int(BATCH * share) if share < 1 else 0))
        keys[copies[0]] = keys[copies[1]]
        began = clock()
        index.to_hydrate(0, days)
        keep = ~index.duplicates(0, keys, days)
        then = clock()
        index.landed(0, keys[keep], days[keep])
        decided.append(then - began)
        landed.append(clock() - then)
    # The mean of landing, because now and then the set grows; but its first has to, the days being packed tight.
    return min(decided) / BATCH * 1e6, sum(landed[1:]) / len(landed[1:]) / BATCH * 1e6


# Known truth


def bench_lookups(count: int, lookups: int) -> None:
    """Half of the keys are in; every lookup knows what it has to say, and halves of two keys are asked for too."""
    keys = random_keys(count, 8)
    held = KeySet()
    held.add(keys[::2])
    wrong, asked, began = 0, 0, clock()
    for start in range(0, lookups, 4 * BATCH):
        batch = keys.take(np.arange(start, start + 2 * BATCH), axis=0, mode="wrap")
        wrong += int(np.count_nonzero(held.contains(batch) != (np.arange(start, start + 2 * BATCH) % count % 2 == 0)))
        mixed = np.column_stack((batch[:BATCH, 0], batch[BATCH:, 1]))
        wrong += int(np.count_nonzero(held.contains(mixed)))
        wrong += int(np.count_nonzero(held.contains(random_keys(BATCH, start + 100))))
        asked += 4 * BATCH
    heading("lookups with known truth", "keys", "wrong", "seconds with making them")
    row(f"{asked:,}", f"{len(held):,}", wrong, f"{clock() - began:.1f}")
    if wrong:
        sys.exit(1)


# Reading a day


def bench_hydrate(clickhouse: ClickHouse, count: int) -> None:
    database, topic = "bench_hydrate", "bench"
    settings = ClickHouseSettings(
        url=clickhouse.url, database=database, username=clickhouse.username, password=clickhouse.password or None
    )
    with clickhouse.client() as client:
        migrate(client, database, None)
    try:
        clickhouse.query(
            f"INSERT INTO {database}.zkp2p_payment_events"
            " (userId, sessionId, eventType, paymentMethod, usdAmount, buzzAmount, timestamp, kafkaTopicId,"
            f" kafkaPartition, kafkaOffset) SELECT number, toString(generateUUIDv4()), 1 + number % 4, 1 + number % 6, 1,"
            f" 1, (toUInt32(today()) - 1) * 86400 + number % 86400, '{topic}', 0, number FROM numbers({count})"
        )
        day = int(clickhouse.query("SELECT toUInt32(today()) - 1"))
        store, index = Store(settings, "bench", write_seconds=60), KeyIndex(1 << 32)
        began, cpu = time.perf_counter(), clock()
        wanted = index.to_hydrate(0, np.array([day]))
        answer = store.hydrate(0, Hydrate(topic, tuple(wanted)))
        read = time.perf_counter()
        for scope, of_day, keys in answer:
            index.hydrate(scope, of_day, keys)
        done, spent = time.perf_counter(), clock() - cpu
        store.close()
        if index.keys != count:
            raise RuntimeError(f"{index.keys} keys of {count}")
        heading("keys of one day from ClickHouse", "seconds", "of that read and hashed", "into the set", "our CPU")
        row(f"{count:,}", f"{done - began:.2f}", f"{read - began:.2f}", f"{done - read:.2f}", f"{spent:.2f}")
    finally:
        clickhouse.query(f"DROP DATABASE {database} SYNC")


def main() -> None:
    parts = ("sets", "hashes", "batches", "lookups", "hydrate")
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_dedupe")
    parser.add_argument("--keys", type=int, default=10_000_000, help="in a set (%(default)s)")
    parser.add_argument("--lookups", type=int, default=100_000_000, help="with known truth (%(default)s)")
    parser.add_argument("--hydrate", type=int, default=5_000_000, help="rows of the day to read (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="some of it")
    parser.add_argument("--one-set", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one_set:
        print(json.dumps(measure_set(asked.one_set, asked.keys)))
        return
    if "sets" in asked.only:
        bench_sets(asked.keys)
    if "hashes" in asked.only:
        bench_hashes()
    if "batches" in asked.only:
        bench_batches()
    if "lookups" in asked.only:
        bench_lookups(asked.keys, asked.lookups)
    if "hydrate" in asked.only:
        with clickhouse_server() as clickhouse:
            bench_hydrate(clickhouse, asked.hydrate)


if __name__ == "__main__":
    main()
