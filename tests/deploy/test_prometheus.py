"""A real Prometheus scrapes our endpoint, evaluates our rules and answers for them."""

from __future__ import annotations

import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from consumer.adapters.health import Health
from consumer.adapters.http import HttpServer
from consumer.adapters.metrics import Metrics
from tests.deploy import tools

CONFIG = """
global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}
rule_files: [{rules}/slo.rules.yml, {rules}/alerts.rules.yml]
scrape_configs:
  - job_name: zkp2p-consumer
    static_configs: [{{targets: ['127.0.0.1:{port}']}}]
"""


@dataclass(frozen=True)
class Scraped:
    metrics: Metrics
    prometheus: tools.PrometheusServer

    def get(self, path: str, **query: str) -> Any:
        url = f"http://127.0.0.1:{self.prometheus.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return orjson.loads(answer.read())["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        return [(row["metric"], float(row["value"][1])) for row in self.get("query", query=expression)["result"]]

    def until(self, expression: str, wanted: float) -> None:
        """Waits for the next scrapes to bring a value."""
        found: list[tuple[dict[str, str], float]] = []
        for _ in range(300):
            found = self.query(expression)
            if [value for _, value in found] == [wanted]:
                return
            time.sleep(0.1)
        pytest.fail(f"{expression} is {found} and not {wanted}")


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    folder = tmp_path_factory.mktemp("rules")
    for name in ("slo.rules.yml", "alerts.rules.yml"):
        text = (tools.DEPLOY / "prometheus" / name).read_text()
        (folder / name).write_text(text.replace("interval: 30s", "interval: 500ms"))  # nobody should wait for it
    metrics = Metrics()
    metrics.set_build_info("1.2.3", "2.16.0", "26.7.2")
    with HttpServer("127.0.0.1", 0, metrics.registry, Health(10.0)) as http:
        config = CONFIG.format(rules=folder, port=http.port)
        with tools.PrometheusServer(config) as prometheus:
            yield Scraped(metrics, prometheus)


def test_the_target_is_up_and_every_known_series_arrives(scraped: Scraped) -> None:
    scraped.metrics.initialise("zkp2p-events", 0)
    scraped.until("up", 1)
    scraped.until('zkp2p_consumer_partition_lag_records{topic="zkp2p-events", partition="0"}', 0)
    arrived = {labels["__name__"] for labels, _ in scraped.query('{__name__=~"zkp2p_consumer_.*"}')}
    for metric in scraped.metrics.described:
        wanted = metric.name + ("_count" if metric.kind == "histogram" else "")
        assert wanted in arrived, metric.name
    assert not [name for name in arrived if name.endswith("_created")]


def test_types_and_help_texts_arrive(scraped: Scraped) -> None:
    scraped.until("up", 1)
    known = scraped.get("metadata")
    for metric in scraped.metrics.described:
        # Prometheus asks for OpenMetrics, where the family of a counter or an info has no suffix.
        (found,) = known[metric.name.removesuffix("_total").removesuffix("_info")]
        assert found["type"] == metric.kind, metric.name
        assert found["help"] == metric.help


def test_counts_latencies_and_rules_can_be_queried(scraped: Scraped) -> None:
    metrics = scraped.metrics
    metrics.initialise("zkp2p-events", 1)
    metrics.records_consumed_total.labels("zkp2p-events", 1).inc(100)
    metrics.records_rejected_total.labels("zkp2p-events", 1, "wrong_type").inc(30)
    metrics.partition_lag_seconds.labels("zkp2p-events", 1).set(90)
    metrics.event_latency_seconds.labels("kafka").observe_many([0.2] * 99 + [40.0])
    scraped.until('sum(zkp2p_consumer_records_consumed_total{partition="1"})', 100)
    scraped.until('zkp2p_consumer_records_rejected_total{partition="1", code="wrong_type"}', 30)
    scraped.until(
        "round(histogram_quantile(0.5, sum by (le) (zkp2p_consumer_event_latency_seconds_bucket"
        '{stage="kafka"})), 0.01)',
        0.18,
    )
    scraped.until('namespace_topic:zkp2p_consumer_stale:max{topic="zkp2p-events"}', 1)
    states = {rule["name"]: rule["health"] for group in scraped.get("rules")["groups"] for rule in group["rules"]}
    assert states
    assert set(states.values()) == {"ok"}


def test_a_revoked_partition_is_gone_with_the_next_scrape(scraped: Scraped) -> None:
    scraped.metrics.initialise("zkp2p-events", 9)
    scraped.until('count({partition="9"}) > bool 0', 1)
    scraped.metrics.forget_partition("zkp2p-events", 9)
    for _ in range(300):
        if not scraped.query('{partition="9"}'):
            return
        time.sleep(0.1)
    pytest.fail("the series of partition 9 are still there")
