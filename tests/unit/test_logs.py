from __future__ import annotations

import importlib
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import confluent_kafka
import pytest
import structlog

from consumer.adapters import logs
from consumer.adapters.kafka import client_config
from consumer.settings import KafkaSettings


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    asyncio = logging.getLogger("asyncio").level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("asyncio").setLevel(asyncio)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_one_json_object_a_line_with_its_fields() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)
    structlog.get_logger("worker").info("partition assigned", topic="t", partition=3, offset=42)
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "partition assigned",
        "level": "info",
        "logger": "worker",
        "topic": "t",
        "partition": 3,
        "offset": 42,
    }


def test_the_level_holds_for_ours_and_for_libraries() -> None:
    stream = io.StringIO()
    logs.configure("warning", stream=stream)
    structlog.get_logger("a").info("no")
    logs.librdkafka_logger().info("no")
    structlog.get_logger("a").warning("yes")
    logs.librdkafka_logger().warning("%s [%s]", "FAIL", "rdkafka#consumer-1")
    assert [(line["event"], line["logger"]) for line in lines(stream)] == [
        ("yes", "a"),
        ("FAIL [rdkafka#consumer-1]", "librdkafka"),
    ]


def test_configuring_twice_writes_once() -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.configure(stream=first)
    logs.configure(stream=second)
    structlog.get_logger("a").info("x")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1


@pytest.mark.parametrize("style", ["json", "console"])
def test_secrets_are_masked_wherever_they_turn_up(style: logs.Format) -> None:
    stream = io.StringIO()
    logs.configure("debug", style, secrets=["hunter2", "hunter2-longer", "", 'quo"te'], stream=stream)
    log = structlog.get_logger("a")
    log.info("login with hunter2 failed", url="http://u:hunter2-longer@h", nested={"a": ["x hunter2"]})
    log.info("quoted", value='a quo"te b', error=ValueError("bad hunter2"))
    logging.getLogger("library").error("password %s", "hunter2")
    try:
        int("secret is hunter2")
    except ValueError:
        log.exception("failed")
        logging.getLogger("library").exception("failed too")
    text = stream.getvalue()
    assert "hunter2" not in text
    assert "quo" not in text.replace("quoted", "")
    assert "longer" not in text
    assert text.count(logs.MASK) >= 7
    assert text.count("invalid literal") >= 2, "the exceptions themselves are still told"


def test_a_traceback_stays_one_line_of_json_and_shows_no_locals() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)

    def work() -> None:
        password = "in-a-local-variable"
        raise RuntimeError(f"broke after {len(password)}")

    try:
        work()
    except RuntimeError:
        structlog.get_logger("a").exception("failed")
    (line,) = lines(stream)
    assert "broke after 19" in line["exception"]
    assert "in-a-local-variable" not in line["exception"].replace('password = "in-a-local-variable"', "")


def test_console_is_for_people_without_colours_in_a_file() -> None:
    stream = io.StringIO()
    logs.configure(style="console", stream=stream)
    structlog.get_logger("a").info("batch landed", partition=3)
    assert "batch landed" in stream.getvalue()
    assert "partition=3" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_on_a_terminal_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain = _Terminal(), _Terminal()
    logs.configure(style="console", stream=coloured)
    structlog.get_logger("a").info("x")
    monkeypatch.setenv("NO_COLOR", "1")
    logs.configure(style="console", stream=plain)
    structlog.get_logger("a").info("x")
    assert "\x1b" in coloured.getvalue()
    assert "\x1b" not in plain.getvalue()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_summary_adds_batches_up_and_starts_over() -> None:
    stream, clock = io.StringIO(), Clock()
    logs.configure("debug", stream=stream)
    summary = logs.Summary(interval_seconds=30, clock=clock)
    counts = {"inserted": 8, "duplicates": 1, "rejected": 1, "missing": 2}
    summary.batch("t", 0, 0, 11, reason="age", seconds=0.1234, counts=counts)
    summary.batch("t", 1, 5, 5, reason="rows", seconds=1, counts={"ignored": 1})
    clock.now = 29.9
    assert not summary.due()
    clock.now = 30
    assert summary.due()
    summary.write(partitions=2, lag_records=7, lag_seconds=1.26)
    assert not summary.due()
    clock.now = 60
    summary.write(partitions=2, lag_records=0, lag_seconds=0)
    batch, _, first, second = lines(stream)
    assert (batch["level"], batch["topic"], batch["partition"]) == ("debug", "t", 0)
    assert (batch["first_offset"], batch["last_offset"], batch["seconds"]) == (0, 11, 0.123)
    assert first["level"] == "info"
    assert {k: first[k] for k in ("batches", "consumed", "inserted", "duplicates", "rejected", "ignored")} == {
        "batches": 2,
        "consumed": 11,
        "inserted": 8,
        "duplicates": 1,
        "rejected": 1,
        "ignored": 1,
    }
    assert (first["missing"], first["lag_records"], first["lag_seconds"]) == (2, 7, 1.3)
    assert first["records_per_second"] == round(11 / 30, 1)
    assert (second["batches"], second["consumed"], second["seconds"]) == (0, 0, 30.0)


@pytest.mark.parametrize(("level", "tells"), [("debug", True), ("info", False)])
def test_librdkafka_writes_through_our_log_for_who_debugs(level: str, tells: bool) -> None:
    stream = io.StringIO()
    logs.configure(level, stream=stream)
    config = client_config(KafkaSettings(bootstrap_servers="127.0.0.1:9"))
    producer = confluent_kafka.Producer(config, logger=logs.librdkafka_logger())
    for _ in range(40):
        producer.poll(0.05)
        if stream.getvalue():
            break
    found = lines(stream)
    assert bool(found) is tells
    assert all(line["logger"] == "librdkafka" for line in found)


def test_what_is_raised_anyway_is_not_logged_by_the_library_too() -> None:
    stream = io.StringIO()
    logs.configure("debug", stream=stream)
    importlib.import_module("consumer.adapters.clickhouse")  # its driver sets levels too, when it is imported
    logging.getLogger("urllib3.connectionpool").warning("Retrying (Retry(total=0)) after connection broken")
    assert stream.getvalue() == ""
