"""The servers themselves: they come back with their data, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.servers import ClickHouse, ClickHouseServer, Kafka, KafkaServer, cache
from tests.servers.base import Unavailable
from tests.servers.clickhouse import library
from tests.servers.fixtures import missing


@pytest.fixture
def library_here() -> None:
    """Skips, or fails where servers are required, unless ClickHouse can be a process of our own."""
    try:
        library()
    except Unavailable as reason:
        missing("ClickHouse of its own", reason)


def put(kafka: Kafka, topic: str, *values: bytes, bootstrap: str | None = None) -> None:
    producer = Producer({**kafka.client_config, **({"bootstrap.servers": bootstrap} if bootstrap else {})})
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(30) == 0


def alive(pid: int) -> bool:
    """Not a zombie either."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_a_topic_is_fresh_and_holds_what_is_put_into_it(kafka: Kafka, topic: str) -> None:
    assert kafka.partitions(topic) == [0, 1, 2, 3]
    assert kafka.end_offsets(topic) == {0: 0, 1: 0, 2: 0, 3: 0}
    assert kafka.read(topic) == []
    put(kafka, topic, b"one", b"two")
    assert [message.value() for message in kafka.read(topic)] == [b"one", b"two"]


def test_a_topic_made_again_has_another_id(kafka: Kafka, topic: str) -> None:
    before = kafka.topic_id(topic)
    kafka.delete_topic(topic)
    kafka.create_topic(topic, partitions=4)
    assert kafka.topic_id(topic) != before


def test_a_database_is_fresh_and_in_utc(clickhouse: ClickHouse, database: str) -> None:
    assert clickhouse.query(f"SHOW TABLES FROM {database}") == ""
    assert clickhouse.query("SELECT timezone()") == "UTC\n"
    with pytest.raises(ValueError, match="UNKNOWN_TABLE"):
        clickhouse.query(f"SELECT * FROM {database}.nothing")


def test_a_killed_kafka_comes_back_with_its_records(kafka_process: KafkaServer) -> None:
    kafka_process.create_topic("t", partitions=1)
    topic_id = kafka_process.topic_id("t")
    put(kafka_process, "t", b"before", bootstrap=kafka_process.proxied_bootstrap)
    assert kafka_process.proxy.connections > 0
    bootstrap = kafka_process.bootstrap
    kafka_process.kill()
    assert not kafka_process.running
    kafka_process.start()
    assert kafka_process.bootstrap == bootstrap
    assert kafka_process.topic_id("t") == topic_id
    put(kafka_process, "t", b"after")
    assert [message.value() for message in kafka_process.read("t")] == [b"before", b"after"]


def test_a_killed_clickhouse_comes_back_with_its_rows(clickhouse_process: ClickHouseServer) -> None:
    server = clickhouse_process
    server.query("CREATE TABLE default.t (n UInt32) ENGINE = MergeTree ORDER BY n")
    server.query("INSERT INTO default.t SELECT number FROM numbers(1000)")
    url, pid = server.url, server.pid
    server.kill()
    server.start()
    assert (server.url, server.query("SELECT count() FROM default.t")) == (url, "1000\n")
    assert server.pid != pid
    server.restart()
    assert server.query("SELECT sum(n) FROM default.t") == "499500\n"


@pytest.mark.usefixtures("library_here")
def test_clickhouse_takes_a_time_zone_users_and_grants() -> None:
    users = """
      <profiles><default/><reader><readonly>2</readonly></reader></profiles><quotas><default/></quotas>
      <users>
        <default><password/><networks><ip>::/0</ip></networks>
          <profile>default</profile><quota>default</quota></default>
        <reader><password>other</password><networks><ip>::/0</ip></networks>
          <profile>reader</profile><quota>default</quota><grants><query>GRANT SELECT ON default.*</query></grants></reader>
      </users>"""
    server = ClickHouseServer(timezone="Asia/Tokyo", users=users)
    with server:
        assert server.query("SELECT timezone()") == "Asia/Tokyo\n"
        server.query("CREATE TABLE default.t (n UInt32) ENGINE = MergeTree ORDER BY n")
        server.username, server.password = "reader", "other"
        assert server.query("SELECT count() FROM default.t") == "0\n"
        with pytest.raises(ValueError, match=r"ACCESS_DENIED|READONLY"):
            server.query("INSERT INTO default.t VALUES (1)")
        server.password = "wrong"
        with pytest.raises(ValueError, match="Code: 516"):
            server.query("SELECT 1")


def test_a_paused_clickhouse_answers_after_it_is_resumed(clickhouse_process: ClickHouseServer) -> None:
    clickhouse_process.pause()
    assert clickhouse_process.running
    clickhouse_process.resume()
    assert clickhouse_process.query("SELECT 1") == "1\n"


@pytest.mark.usefixtures("library_here")
def test_a_server_that_does_not_come_up_shows_the_end_of_its_log() -> None:
    server = ClickHouseServer(config="<not closed>")
    with pytest.raises(Unavailable, match=r"(?s)clickhouse ended with 1 .*\.log ends with:.*SAXParseException"), server:
        pass
    server.close()
    assert not server.folder.exists()
    assert server.log.exists()


CHILD = """
from tests.servers import ClickHouseServer
with ClickHouseServer() as server:
    print(server.pid, server.folder, flush=True)
    input()
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, None])
@pytest.mark.usefixtures("library_here")
def test_no_server_outlives_the_process_that_started_it(ending: signal.Signals | None) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], cwd=cache.PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        pid, folder = child.stdout.readline().split()
        assert alive(int(pid))
        if ending is None:
            child.communicate("\n", timeout=30)
            assert not Path(folder).exists()
        else:
            child.send_signal(ending)
            child.wait(30)
    deadline = time.monotonic() + 30
    while alive(int(pid)):
        assert time.monotonic() < deadline, "the server outlived its parent"
        time.sleep(0.02)
    with ClickHouseServer():
        assert not Path(folder).exists(), "what a dead process left is swept by the next server"


def test_a_download_that_breaks_off_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cache, "CACHE", tmp_path)

    def half(folder: Path) -> None:
        (folder / "first").touch()
        raise Unavailable("the line went dead")

    with pytest.raises(Unavailable):
        cache.once("thing-1", "a thing", half)
    assert [path.name for path in tmp_path.iterdir()] == ["thing-1.lock"]
    calls = []

    def whole(folder: Path) -> None:
        calls.append(folder)
        (folder / "first").touch()

    for _ in range(2):
        assert (cache.once("thing-1", "a thing", whole) / "first").exists()
    assert len(calls) == 1


FETCH = """
import time
from tests.servers import cache
def fill(folder):
    with (cache.CACHE / "calls").open("a") as calls: calls.write("x")
    time.sleep(0.3)
    (folder / "whole").touch()
print((cache.once("thing-1", "a thing", fill) / "whole").exists())
"""


def test_processes_that_fetch_at_once_fetch_once(tmp_path: Path) -> None:
    environment = {**os.environ, "ZKP2P_TEST_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", FETCH]
    running = [
        subprocess.Popen(
            command, cwd=cache.PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    assert [process.communicate(timeout=60)[0] for process in running] == ["True\n"] * 3
    assert (tmp_path / "calls").read_text() == "x"


def test_a_command_that_is_missing_is_named() -> None:
    with pytest.raises(Unavailable, match="no-such-tool and no-other are not installed"):
        cache.need("no-such-tool", "no-other", "sh")
