"""deploy/grafana: dashboards that load anywhere, name metrics we have, and ask ClickHouse what it can answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.deploy import names, tools

FOLDER = tools.DEPLOY / "grafana" / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))


REQUIRED = {
    "stat": "colorMode graphMode justifyMode textMode wideLayout showPercentChange percentChangeColorMode orientation",
    "timeseries": "legend.showLegend legend.calcs legend.displayMode legend.placement tooltip.mode tooltip.sort",
    "piechart": "legend.showLegend legend.calcs legend.displayMode legend.placement tooltip.mode tooltip.sort orientation",
    "table": "showHeader frameIndex",
}
"""Options that Grafana's own schema of a panel requires: without them a board depends on who reads it."""


def load(path: Path) -> dict[str, Any]:
    board: dict[str, Any] = orjson.loads(path.read_bytes())
    return board


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def targets(board: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for panel in panels(board):
        for target in panel["targets"]:
            yield panel["title"], target


def test_there_are_two() -> None:
    assert [path.stem for path in FILES] == ["operations", "payments"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_loads_into_any_grafana(path: Path) -> None:
    text = path.read_text()
    board = load(path)
    assert board["id"] is None
    assert re.fullmatch(r"[a-z0-9-]{1,40}", board["uid"])
    assert "__inputs" not in board
    assert "${DS_" not in text
    (datasource,) = [v for v in board["templating"]["list"] if v["type"] == "datasource"]
    assert datasource["name"] == "datasource"
    for panel in panels(board):
        assert panel["datasource"] == {"type": datasource["query"], "uid": "${datasource}"}, panel["title"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_its_panels_leave_no_option_to_chance(path: Path) -> None:
    for panel in panels(load(path)):
        for name in REQUIRED[panel["type"]].split():
            found = panel["options"]
            for part in name.split("."):
                assert part in found, (panel["title"], name)
                found = found[part]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_panel_lies_on_another(path: Path) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in load(path)["panels"]:
        where = panel["gridPos"]
        assert where["x"] + where["w"] <= 24, panel["title"]
        for x in range(where["x"], where["x"] + where["w"]):
            for y in range(where["y"], where["y"] + where["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_every_metric_on_the_board_exists_and_every_metric_is_on_the_board() -> None:
    board = load(FOLDER / "operations.json")
    known = names.exposed() | names.OTHERS
    recorded = {
        rule["record"]
        for group in tools.yaml_document(tools.DEPLOY / "prometheus" / "slo.rules.yml")["groups"]
        for rule in group["rules"]
    }
    shown = set()
    for title, target in targets(board):
        found = names.named(target["expr"])
        assert found, title
        assert found <= known | recorded, (title, found - known - recorded)
        assert not names.unknown_labels(target["expr"]), title
        shown |= found
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            assert names.named(variable["definition"]) <= known
    ours = {re.sub(r"_(bucket|count|sum)$", "", name) for name in names.exposed()}
    missing = ours - {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown}
    assert not missing


def test_promtool_parses_every_query_of_the_board(tmp_path: Path) -> None:
    promtool = tools.prometheus_program("promtool")
    rules = []
    for number, (_, target) in enumerate(targets(load(FOLDER / "operations.json"))):
        expression = target["expr"].replace("$__rate_interval", "1m")
        rules.append({"record": f"panel:query:{number}", "expr": expression})
    file = tmp_path / "rules.json"  # YAML is a superset of JSON
    file.write_bytes(orjson.dumps({"groups": [{"name": "board", "rules": rules}]}))
    tools.run(promtool, "check", "rules", str(file))


def sql(target: dict[str, Any], database: str) -> str:
    """The query as Grafana sends it for the last 30 days and all methods."""
    methods = "'venmo','cashapp','paypal','zelle','wise','revolut'"
    text: str = target["rawSql"]
    text = text.replace("${database}", database).replace("${method:singlequote}", methods)
    text = text.replace("${state}", "zkp2p_daily_summary_state")
    text = text.replace("$__fromTime", "toDateTime(now() - INTERVAL 30 DAY)").replace("$__toTime", "toDateTime(now())")
    assert "$" not in text, text
    return text


@pytest.mark.servers
def test_clickhouse_answers_every_query_of_the_payments_board(clickhouse: Any, database: str) -> None:
    from consumer.operate.migrations import migrate

    client = clickhouse.client(database)
    try:
        migrate(client, database, None)
        client.command(f"""
            INSERT INTO {database}.zkp2p_payment_events
                (userId, sessionId, eventType, paymentMethod, usdAmount, buzzAmount, errorMessage, timestamp)
            VALUES (1, 's1', 'attempt', 'venmo', 25, 25000, NULL, now() - 60),
                   (1, 's1', 'success', 'venmo', 25, 25000, NULL, now() - 30),
                   (2, 's2', 'attempt', 'wise', 10, 10000, NULL, now() - 60),
                   (2, 's2', 'error', 'wise', 10, 10000, 'declined', now() - 30),
                   (1, 's3', 'attempt', 'paypal', 5, 5000, NULL, now() - 60),
                   (1, 's3', 'success', 'paypal', 5, 5000, NULL, now() - 30)""")
        answers = {
            title: client.query(sql(target, database)).result_rows
            for title, target in targets(load(FOLDER / "payments.json"))
        }
        assert all(answers.values()), [title for title, rows in answers.items() if not rows]
        assert answers["Attempts"] == [(3,)]
        assert answers["Success rate"] == [(2 / 3,)]
        assert sum(buyers for _, _, buyers in answers["Attempts and buyers a day"]) == 1, "by two methods, and one"
        (variable,) = [v for v in load(FOLDER / "payments.json")["templating"]["list"] if v["name"] == "state"]
        state = client.query(variable["query"].replace("${database}", database)).result_rows
        assert state == [("zkp2p_daily_summary_state",)]
        assert [row[:3] for row in answers["What goes wrong"]] == [("wise", "declined", 1)]
        assert sorted(answers["Outcomes of sessions"]) == [("error", 1), ("success", 2)]
        assert {row[0]: row[2:] for row in answers["Rates by method"]} == {
            "venmo": (1.0, 0.0, 0.0),
            "paypal": (1.0, 0.0, 0.0),
            "wise": (0.0, 1.0, 0.0),
        }
        empty = [
            client.query(sql(target, database).replace("'venmo',", "").replace("'wise',", "")).result_rows
            for _, target in targets(load(FOLDER / "payments.json"))
        ]
        assert len(empty) == len(answers)
    finally:
        client.close()
