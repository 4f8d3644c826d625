"""`demo`: the very code of `run`, fed with made-up traffic, and the proof that every record was spent once."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from clickhouse_connect.driver.client import Client

from consumer import console
from consumer.adapters import logs
from consumer.adapters.clickhouse import connect
from consumer.adapters.health import Health
from consumer.adapters.http import HttpServer
from consumer.adapters.metrics import Metrics
from consumer.core.errors import Stop
from consumer.demo.broker import broker
from consumer.demo.live import Live
from consumer.demo.producing import Producing
from consumer.demo.progress import Progress, Watch
from consumer.demo.traffic import Traffic
from consumer.demo.truth import Truth
from consumer.operate.kafka_log import KafkaLog
from consumer.service import LOOP_DEADLINE_SECONDS, consume
from consumer.settings import KafkaSettings, Settings, load

BATCH_SECONDS = 1
SEED = 20261123
THINK_SECONDS = 2.0
"""Mean time from an attempt to its end: quick buyers, so that a short demo sees how sessions end."""
REPORT_DAYS = 1


def run(seconds: float | None, rate: float, port: int) -> int:
    """Produce `rate` events a second for `seconds` (or until Ctrl-C), consume them, answer the questions.

    Returns 0 when what came out is what went in, else 1.
    """
    logs.configure("error", "console")
    console.note("starting: a Kafka broker and a ClickHouse engine inside this process")
    topics = KafkaSettings()
    made = broker(topics.topic, topics.dlq_topic)
    with tempfile.TemporaryDirectory(prefix="zkp2p-demo-") as folder, made as address:
        settings = _settings(address, Path(folder))
        client = _database(settings)
        metrics, health = Metrics(), Health(LOOP_DEADLINE_SECONDS)
        with HttpServer("127.0.0.1", port, metrics.registry, health) as http, _until_signal() as interrupted:
            watch = Watch(client, settings.clickhouse.database)
            traffic = Traffic(SEED, start_ms=int(time.time() * 1000), rate=rate, think_seconds=THINK_SECONDS)
            producing = Producing(
                address, settings.kafka.topic, traffic, seconds=seconds, watch=watch, interrupted=interrupted
            )
            with Live(watch, producing, http.port):
                consume(settings, metrics, health, lambda: _finished(producing, watch), has_topic_ids=False)
        producing.join()
        watch.look()
        return _prove(client, settings, producing.truth, watch.progress)


def _settings(address: str, folder: Path) -> Settings:
    return load(
        None,
        {
            "ZKP2P_KAFKA__BOOTSTRAP_SERVERS": address,
            "ZKP2P_CLICKHOUSE__URL": f"chdb://{folder}",
            "ZKP2P_BATCH__MAX_SECONDS": str(BATCH_SECONDS),
        },
    )


def _database(settings: Settings) -> Client:
    from consumer.operate.migrations import migrate

    with connect(settings.clickhouse, database=None) as client:
        migrate(client, settings.clickhouse.database)
    return connect(settings.clickhouse)


def _finished(producing: Producing, watch: Watch) -> bool:
    """All that was produced has landed, or nothing has moved for so long that it never will."""
    producing.begin()
    watch.look_now_and_then()
    if producing.failed is not None:
        raise producing.failed
    if not producing.done:
        return False
    return watch.progress.consumed >= producing.truth.produced or watch.stuck


def _prove(client: Client, settings: Settings, truth: Truth, found: Progress) -> int:
    from consumer.operate import report

    letters = _letters(settings)
    report.run(client, settings.clickhouse.database, None, days=REPORT_DAYS, format="table", output=None)
    proof = (
        f"proof: produced {truth.produced} = inserted {found.inserted} + duplicates {found.duplicates} + "
        f"rejected {letters} + ignored {found.ignored} + expired {found.expired}"
    )
    client.close()
    console.say(proof)
    expected = f"proof: {truth.line()}"
    if proof != expected:
        raise Stop(f"that is not what was produced: {expected}")
    return 0


def _letters(settings: Settings) -> int:
    """Records that are in the dead-letter topic."""
    topic = settings.kafka.dlq_topic
    with KafkaLog(settings.kafka) as log:
        return sum(
            sum(1 for _ in log.read(topic, partition, *bounds))
            for partition in log.partitions(topic)
            if (bounds := log.bounds(topic, partition))[1] > bounds[0]
        )


@contextmanager
def _until_signal() -> Iterator[threading.Event]:
    """Set by Ctrl-C or SIGTERM: no more traffic, then the end as usual. A second one ends at once."""
    interrupted = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if interrupted.is_set():
            sys.exit(1)
        interrupted.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
