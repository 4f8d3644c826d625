"""`run` as people run it: a separate process between a real Kafka and a real ClickHouse."""

from __future__ import annotations

import http.client
import platform
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.integration.conftest import produce
from tests.integration.truths import assert_truth
from tests.process import ConsumerProcess, run_command
from tests.servers import ClickHouse, Kafka
from tests.servers.process import free_port

pytestmark = [pytest.mark.servers]

EVENTS = 200_000


def landed(clickhouse: ClickHouse, settings: Mapping[str, str]) -> int:
    """Offsets that the ledger knows."""
    table = f"{settings['CLICKHOUSE__DATABASE']}.zkp2p_ingest_ledger"
    return int(clickhouse.query(f"SELECT sum(lastOffset - firstOffset + 1) FROM {table} FINAL").strip() or 0)


@pytest.mark.slow
def test_the_table_equals_the_truth_also_with_a_stop_in_the_middle(
    kafka: Kafka, clickhouse: ClickHouse, settings: dict[str, str], tmp_path: Path
) -> None:
    truth = produce(settings, tmp_path, EVENTS, "--seed", "11", "--rate", "400", "--broken", "0.02")
    migrated = run_command("migrate", settings=settings)
    assert (migrated.returncode, migrated.stderr) == (0, "")
    slow = {**settings, "BATCH__MAX_ROWS": "5000"}
    with ConsumerProcess(tmp_path, slow) as consumer:
        consumer.wait_for(lambda: landed(clickhouse, settings) > EVENTS // 10, 90)
        assert consumer.stop() == 0, consumer.text[-2000:]
    at_stop = landed(clickhouse, settings)
    assert EVENTS // 10 < at_stop < EVENTS, "the stop was not in the middle"
    with ConsumerProcess(tmp_path, settings) as consumer:
        consumer.wait_for(lambda: landed(clickhouse, settings) >= EVENTS, 90)
        assert {e["kind"] for e in consumer.events if e["event"] == "partition ready"} == {"clean"}
        consumer.wait_for(lambda: sum(o for o, _ in committed(kafka, settings).values()) == EVENTS)
        assert consumer.stop() == 0, consumer.text[-2000:]
    assert_truth(truth, clickhouse, settings["CLICKHOUSE__DATABASE"], kafka, settings["KAFKA__DLQ_TOPIC"])
    with ConsumerProcess(tmp_path, settings) as consumer:
        for partition in range(4):
            consumer.wait_for_event("partition ready", partition=partition)
        assert consumer.stop() == 0
    assert_truth(truth, clickhouse, settings["CLICKHOUSE__DATABASE"], kafka, settings["KAFKA__DLQ_TOPIC"])


def committed(kafka: Kafka, settings: Mapping[str, str]) -> dict[int, tuple[int, str | None]]:
    return kafka.committed(settings["KAFKA__GROUP_ID"], settings["KAFKA__TOPIC"])


ARENA_BYTES = 64 << 20
"""At multiples of it glibc puts the arenas of threads (HEAP_MAX_SIZE of its malloc)."""


def thread_arenas(pid: int) -> int:
    """Pieces of memory that are mapped from nowhere and begin where only an arena does."""
    lines = [line.split() for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    starts = [int(fields[0].split("-")[0], 16) for fields in lines if len(fields) == 5 and fields[1] == "rw-p"]
    return sum(start % ARENA_BYTES == 0 for start in starts)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
def test_its_many_threads_have_two_arenas_at_most(
    kafka: Kafka, clickhouse: ClickHouse, settings: dict[str, str], tmp_path: Path
) -> None:
    """Each keeps the most it ever held. A client made before the limit was set once had one for every thread."""
    produce(settings, tmp_path, 2_000, "--broken", "0.02")
    assert run_command("migrate", settings=settings).returncode == 0
    with ConsumerProcess(tmp_path, settings) as consumer:
        consumer.wait_for(lambda: landed(clickhouse, settings) >= 2_000)
        assert len(list(Path(f"/proc/{consumer.pid}/task").iterdir())) > 10, "threads there are"
        assert thread_arenas(consumer.pid) <= 2, thread_arenas(consumer.pid)
        assert consumer.stop() == 0, consumer.text[-2000:]


def test_without_tables_it_ends_with_the_remedy(settings: dict[str, str]) -> None:
    done = run_command("run", settings={**settings, "HTTP__PORT": "0"})
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert "zkp2p-consumer migrate" in last


def test_a_wrong_password_ends_it_without_showing_it(settings: dict[str, str]) -> None:
    done = run_command("run", settings={**settings, "HTTP__PORT": "0", "CLICKHOUSE__PASSWORD": "wrong-horse"})
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert "CLICKHOUSE__PASSWORD" in last
    assert "wrong-horse" not in done.stderr


def test_servers_and_a_topic_that_come_later_are_picked_up(
    kafka: Kafka, clickhouse: ClickHouse, settings: dict[str, str], tmp_path: Path
) -> None:
    assert run_command("migrate", settings=settings).returncode == 0
    late = {**settings, "KAFKA__TOPIC": f"{settings['KAFKA__TOPIC']}-late"}
    with ConsumerProcess(tmp_path, late) as consumer:
        said = consumer.wait_for_event("waiting")
        assert late["KAFKA__TOPIC"] in said["error"]
        truth = produce(late, tmp_path, 500, "--broken", "0")
        consumer.wait_for(lambda: landed(clickhouse, settings) >= 500)
        assert consumer.stop() == 0
    kafka.delete_topic(late["KAFKA__TOPIC"])
    database = settings["CLICKHOUSE__DATABASE"]
    assert int(clickhouse.query(f"SELECT count() FROM {database}.zkp2p_payment_events")) == truth.inserted


def probe(consumer: ConsumerProcess, name: str) -> int:
    port = consumer.wait_for_event("starting")["http_port"]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", f"/{name}")
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("what", ["KAFKA__BOOTSTRAP_SERVERS", "CLICKHOUSE__URL"])
def test_an_unreachable_server_is_waited_for(what: str, settings: dict[str, str], tmp_path: Path) -> None:
    assert run_command("migrate", settings=settings).returncode == 0
    nowhere = f"127.0.0.1:{free_port()}"
    wrong = {**settings, what: nowhere if what.startswith("KAFKA") else f"http://{nowhere}"}
    with ConsumerProcess(tmp_path, wrong) as consumer:
        said = consumer.wait_for_event("waiting")
        assert nowhere.rpartition(":")[2] in said["error"] or "Kafka" in said["error"]
        consumer.wait_for(lambda: probe(consumer, "readyz") == 200)  # an outage blocks no rollout
        assert probe(consumer, "livez") == 200  # and gets nobody killed
        assert consumer.stop() == 0
        assert "Traceback" not in consumer.text
        # Said by us, now and then, and not by a library at every try.
        warnings = [event for event in consumer.events if event["level"] == "warning"]
        assert {event["logger"] for event in warnings} <= {"service", "partition", "kafka", "librdkafka"}


def test_the_second_process_of_an_instance_id_ends_the_first(settings: dict[str, str], tmp_path: Path) -> None:
    assert run_command("migrate", settings=settings).returncode == 0
    taken = {**settings, "KAFKA__INSTANCE_ID": "one"}
    with ConsumerProcess(tmp_path, taken, "first") as first:
        first.wait_for_event("partition ready")
        with ConsumerProcess(tmp_path, taken, "second") as second:
            assert first.wait() == 1
            assert "restart the process" in first.text.splitlines()[-1]
            second.wait_for_event("partition ready")
            assert second.stop() == 0
