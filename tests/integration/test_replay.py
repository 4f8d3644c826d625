"""The whole topic once more: after a reset by hand, under a new group, out of a topic made anew. Not one row more."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.integration.conftest import consume_all, produce, reset
from tests.integration.truths import rows, summary
from tests.process import run_command, until
from tests.servers import ClickHouse, Kafka

pytestmark = [pytest.mark.servers, pytest.mark.slow]

EVENTS = int(os.environ.get("ZKP2P_TEST_REPLAY_EVENTS", "20000"))


def test_a_replay_adds_not_one_row(
    kafka: Kafka, clickhouse: ClickHouse, settings: dict[str, str], tmp_path: Path
) -> None:
    # A shorter session time-out: whoever finds rows of somebody else's waits for a third of it.
    settings["KAFKA__EXTRA"] = '{"session.timeout.ms": 15000}'
    database = settings["CLICKHOUSE__DATABASE"]
    start = ["--seed", "3", "--start-ms", str(int(time.time() * 1000) - 3 * 86_400_000)]
    start += ["--rate", str(EVENTS / 2 / 86_400)]
    truth = produce(settings, tmp_path, EVENTS, *start)
    assert run_command("migrate", settings=settings).returncode == 0
    consume_all(kafka, settings, tmp_path)

    def unchanged() -> None:
        assert rows(clickhouse, database).total() == truth.inserted
        assert summary(clickhouse, database) == truth.summary()
        audited = run_command("audit", settings=settings)
        assert audited.returncode == 0, audited.stdout
        assert "clean" in audited.stdout.splitlines()[-1]

    unchanged()
    reset(kafka, settings, dict.fromkeys(range(4), 0))
    assert consume_all(kafka, settings, tmp_path)[:4] == ["reread"] * 4
    unchanged()

    settings["KAFKA__GROUP_ID"] += "-second"
    assert consume_all(kafka, settings, tmp_path)[:4] == ["reread"] * 4
    unchanged()

    topic = settings["KAFKA__TOPIC"]
    kafka.delete_topic(topic)
    until(lambda: not kafka.partitions(topic), 30)
    kafka.create_topic(topic, partitions=4)
    again = produce(settings, tmp_path, EVENTS, *start)
    assert again.rows == truth.rows
    consume_all(kafka, settings, tmp_path)
    unchanged()
