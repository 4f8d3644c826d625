"""A backup taken under load, a server lost, and the operator's guide followed to the letter: nothing lost, nothing twice."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.demo.truth import Truth
from tests.integration.conftest import consume_all, produce, reset
from tests.integration.truths import rows, summary
from tests.process import ConsumerProcess, run_command
from tests.servers import ClickHouse, ClickHouseServer, Kafka
from tests.servers.cache import PROJECT
from tests.servers.fixtures import clickhouse_of_its_own

pytestmark = [pytest.mark.servers, pytest.mark.slow]

EVENTS = 2000
GUIDE = (PROJECT / "docs" / "operations.md").read_text()


@pytest.fixture
def server() -> Iterator[ClickHouseServer]:
    config = "<backups><allowed_path>{folder}/backups</allowed_path></backups>"
    with clickhouse_of_its_own(config=config) as running:
        yield running


def statements(verb: str, database: str) -> list[str]:
    """BACKUP or RESTORE, in the guide's order; a file takes the part of its disk."""
    found = re.findall(rf"^ *({verb} TABLE civitai\..*);$", GUIDE, re.MULTILINE)
    assert len(found) == 3
    return [re.sub(r"Disk\('backups', 'D/(\w+)'\)", r"File('\1')", s).replace("civitai", database) for s in found]


def ends_of_the_ledger(clickhouse: ClickHouse, settings: dict[str, str]) -> dict[int, int]:
    """By the guide's own query."""
    query = re.search(r'clickhouse-client --query "\n(.+?)" > offsets\.csv', GUIDE, re.DOTALL)
    assert query is not None
    text = query[1].replace("civitai.", f"{settings['CLICKHOUSE__DATABASE']}.")
    text = text.replace("'zkp2p-clickhouse'", f"'{settings['KAFKA__GROUP_ID']}'")
    text = text.replace("'zkp2p-events'", f"'{settings['KAFKA__TOPIC']}'")
    lines = [line.split(",") for line in clickhouse.query(text).splitlines()]
    assert {line[0] for line in lines} == {f'"{settings["KAFKA__TOPIC"]}"'}
    return {int(partition): int(offset) for _, partition, offset in lines}


def test_a_restored_backup(kafka: Kafka, server: ClickHouseServer, settings: dict[str, str], tmp_path: Path) -> None:
    """Going on from the ledger's end; the guide's other way, from the topic's start, is `test_replay`'s."""
    settings["CLICKHOUSE__URL"], database = server.url, settings["CLICKHOUSE__DATABASE"]
    settings["KAFKA__EXTRA"] = '{"session.timeout.ms": 6000}'
    truths = [produce(settings, tmp_path, EVENTS, "--seed", "21")]
    assert run_command("migrate", settings=settings).returncode == 0
    ledger = f"SELECT sum(lastOffset - firstOffset + 1) FROM {database}.zkp2p_ingest_ledger FINAL"
    with ConsumerProcess(tmp_path, settings) as consumer:
        consumer.wait_for(lambda: int(server.query(ledger)) >= EVENTS, 60)
        for statement in statements("BACKUP", database):
            server.query(statement)
            if "zkp2p_ingest_ledger" in statement:  # the others hold what landed after it
                landed = int(server.query(ledger))
                truths.append(produce(settings, tmp_path, EVENTS, "--seed", "22"))
                consumer.wait_for(lambda so_far=landed: int(server.query(ledger)) > so_far, 60)  # type: ignore[misc]
        assert consumer.stop() == 0, consumer.text[-2000:]
    truths.append(produce(settings, tmp_path, EVENTS, "--seed", "23"))
    consume_all(kafka, settings, tmp_path)

    server.query(f"DROP DATABASE {database} SYNC")
    assert run_command("migrate", settings=settings).returncode == 0
    for statement in statements("RESTORE", database):
        server.query(statement)

    with ConsumerProcess(tmp_path, settings) as consumer:
        assert consumer.wait() == 1, "to go on from what is committed would leave a hole"
        assert "Stop the consumers and reset the group to" in consumer.text
    reset(kafka, settings, ends_of_the_ledger(server, settings))
    consume_all(kafka, settings, tmp_path)
    audited = run_command("audit", "--repair", settings=settings)
    assert audited.returncode == 0, audited.stdout
    truth = Truth(rows=[row for part in truths for row in part.rows])
    assert rows(server, database) == Counter(truth.rows)
    assert summary(server, database) == truth.summary()
