"""deploy/prometheus: rules that Prometheus accepts, that name metrics we have, and that do what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from consumer.adapters.metrics import Metrics
from tests.deploy import names, tools

PROMETHEUS = tools.DEPLOY / "prometheus"
RULES = ("slo.rules.yml", "alerts.rules.yml")
OPERATIONS = tools.PROJECT / "docs" / "operations.md"


def rules() -> list[dict[str, Any]]:
    return [
        rule for file in RULES for group in tools.yaml_document(PROMETHEUS / file)["groups"] for rule in group["rules"]
    ]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def test_promtool_accepts_the_rules_and_the_configuration() -> None:
    promtool = tools.prometheus_program("promtool")
    tools.run(promtool, "check", "rules", *(str(PROMETHEUS / file) for file in RULES))
    tools.run(promtool, "check", "config", str(PROMETHEUS / "prometheus.yml"))


def test_every_alert_fires_when_it_should_and_only_then() -> None:
    promtool = tools.prometheus_program("promtool")
    tools.run(promtool, "test", "rules", "alerts.test.yml", "slow.test.yml", cwd=PROMETHEUS / "tests")


def test_promtool_has_nothing_new_to_say_about_our_names(tmp_path: Path) -> None:
    metrics = Metrics()
    metrics.initialise("zkp2p-events", 0)
    metrics.set_build_info("1", "2", "3")
    exposition = tmp_path / "metrics.txt"
    exposition.write_bytes(generate_latest(metrics.registry))
    promtool = tools.prometheus_program("promtool")
    said = tools.run("sh", "-c", f'"{promtool}" check metrics < "{exposition}" 2>&1 || true')
    remarks = [line for line in said.splitlines() if line.startswith("zkp2p_consumer_")]
    # The summary is the daily summary, no metric of that type, and days are what it counts, no unit of time.
    assert remarks == [
        "zkp2p_consumer_summary_mended_days_total metric name should not include type 'summary'",
        'zkp2p_consumer_summary_mended_days_total use base unit "seconds" instead of "days"',
    ]


def test_every_metric_in_a_rule_exists() -> None:
    known = names.exposed() | names.OTHERS | {rule["record"] for rule in rules() if "record" in rule}
    for rule in rules():
        found = names.named(rule["expr"])
        assert found, rule
        assert found <= known, (rule.get("alert", rule.get("record")), found - known)
        assert not names.unknown_labels(rule["expr"]), rule


def test_every_alert_says_what_to_do() -> None:
    sections = set(re.findall(r"^#+ (Alert: .+)$", OPERATIONS.read_text(), re.MULTILINE))
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in sections}
    wanted = set()
    for alert in alerts():
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}
        notes = alert["annotations"]
        assert set(notes) == {"summary", "description", "runbook_url"}
        page, _, anchor = notes["runbook_url"].partition("#")
        assert page.endswith("/docs/operations.md"), alert["alert"]
        wanted.add(anchor)
    assert wanted == anchors, "one section an alert, one alert a section"


def test_every_alert_is_tested() -> None:
    files = (PROMETHEUS / "tests").glob("*.test.yml")
    tested = {name for file in files for name in re.findall(r'alertname="(\w+)"', file.read_text())}
    assert tested == {alert["alert"] for alert in alerts()}


def test_every_label_in_a_description_survives_the_expression() -> None:
    for alert in alerts():
        grouped = re.search(r"by \(([^)]*)\)", alert["expr"])
        text = alert["annotations"]["description"] + alert["annotations"]["summary"]
        used = set(re.findall(r"\$labels\.(\w+)", text))
        if grouped:
            assert used <= {label.strip() for label in grouped[1].split(",")}, alert["alert"]
        elif alert["expr"].startswith("namespace_topic:"):
            assert used <= {"namespace", "topic"}, alert["alert"]


@pytest.mark.parametrize("expression", ["up", "zkp2p_consumer_no_such_total"])
def test_the_check_of_names_has_teeth(expression: str) -> None:
    assert not names.named(expression) or not names.named(expression) <= names.exposed()
