"""migrate, insert, mend, audit, repair and report on the embedded engine; run by test_summary.py."""

from __future__ import annotations

import io
import sys

import clickhouse_connect

from consumer.adapters import lineage
from consumer.adapters.store import Store
from consumer.operate.audit import Kind, audit, repair
from consumer.operate.migrations import migrate, verify
from consumer.operate.report import run_report
from consumer.settings import ClickHouseSettings
from tests.integration.blocks import block, send
from tests.integration.warehouse import Warehouse, noon


def main(path: str) -> None:
    client = clickhouse_connect.get_client(interface="chdb", path=path)
    house = Warehouse(client, "embedded")
    assert migrate(client, "embedded") == []
    verify(client, "embedded")
    store = Store(ClickHouseSettings(url=f"chdb://{path}", database="embedded"), "zkp2p-events", write_seconds=30)
    rows = block(0, [noon(1) + n for n in range(100)])
    for _ in range(2):
        send(store, 0, rows, "token-a")
    assert house.rows("SELECT count() FROM {db}.zkp2p_payment_events") == [(100,)]
    assert house.summary() == house.truth()
    send(store, 0, block(100, [noon(1)] * 5), "token-b", ledger=False)
    assert [o.offset for o in lineage.landed(client, "embedded", 0).orphans] == [100, 101, 102, 103, 104]
    house.run("TRUNCATE TABLE {db}.zkp2p_daily_summary_state")
    report = audit(client, "embedded", pauses=())
    assert [(f.kind, f.first, f.last) for f in report.findings] == [(Kind.UNCOVERED, 100, 104), (Kind.DRIFT, -1, -1)]
    assert repair(client, "embedded", report, active=()) == 1
    assert house.summary() == house.truth()
    out = io.StringIO()
    run_report(client, "embedded", None, 30, "json", out)
    assert '"total_attempts": 27' in out.getvalue(), out.getvalue()
    sys.stdout.write("embedded: all as on a server\n")


if __name__ == "__main__":
    main(sys.argv[1])
