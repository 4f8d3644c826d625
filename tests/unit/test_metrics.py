from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from consumer.adapters import metrics as m
from consumer.adapters.metrics import Metrics
from consumer.core import letter


def series(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = generate_latest(metrics.registry).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return series(metrics)["zkp2p_consumer_" + name, tuple(sorted(labels.items()))]


def test_every_metric_is_named_by_the_conventions_and_explained() -> None:
    described = Metrics().described
    assert len({d.name for d in described}) == len(described)
    for d in described:
        assert re.fullmatch(r"zkp2p_consumer_[a-z0-9_]+", d.name), d.name
        assert d.name.endswith("_total") == (d.kind == "counter"), d.name
        assert len(d.help) > 15, d.name
        assert d.help.endswith("."), d.name
        assert set(d.labels) <= {
            *("topic", "partition", "code", "reason", "stage", "step", "cause", "kind"),
            *("version", "librdkafka", "clickhouse"),
        }, d.name


def test_every_described_metric_is_an_attribute_and_is_exposed() -> None:
    metrics = Metrics()
    metrics.initialise("t", 0)
    metrics.set_build_info("1.0", "2.16", "26.7")
    exposed = {re.sub(r"_(bucket|count|sum)$", "", name) for name, _ in series(metrics)}
    for d in metrics.described:
        assert hasattr(metrics, d.name.removeprefix(m.PREFIX)), d.name
        assert d.name in exposed, d.name


def test_known_series_start_at_zero() -> None:
    metrics = Metrics()
    for reason in m.CLOSE_REASONS:
        assert value(metrics, "batch_close_total", reason=reason) == 0
    for kind in m.RECOVERY_KINDS:
        assert value(metrics, "recoveries_total", kind=kind) == 0
    for step in m.STEPS:
        assert value(metrics, "retries_total", step=step, cause="timeout") == 0
    for stage in m.STAGES:
        assert value(metrics, "event_latency_seconds_count", stage=stage) == 0
    metrics.initialise("t", 7)
    for code in letter.CODES:
        assert value(metrics, "records_rejected_total", topic="t", partition="7", code=code) == 0
    assert value(metrics, "partition_lag_records", topic="t", partition="7") == 0


def test_initialise_keeps_what_was_counted() -> None:
    metrics = Metrics()
    metrics.rows_inserted_total.labels("t", 1).inc(5)
    metrics.initialise("t", 1)
    assert value(metrics, "rows_inserted_total", topic="t", partition="1") == 5


def test_a_revoked_partition_leaves_nothing_behind_and_its_neighbours_stay() -> None:
    metrics = Metrics()
    before = set(series(metrics))
    metrics.initialise("t", 0)
    metrics.initialise("t", 10)
    metrics.records_rejected_total.labels("t", 0, "empty").inc()
    metrics.forget_partition("t", 0)
    left = {labels for _, labels in set(series(metrics)) - before}
    assert left
    assert all(("partition", "10") in labels for labels in left)
    metrics.forget_partition("t", 0)
    metrics.forget_partition("t", 10)
    assert set(series(metrics)) == before


def test_cardinality_is_what_the_partitions_make_it() -> None:
    """Partitions that come and go add nothing in the end."""
    metrics = Metrics()
    sizes = []
    for _ in range(3):
        for partition in range(20):
            metrics.initialise("t", partition)
        sizes.append(len(series(metrics)))
        for partition in range(20):
            metrics.forget_partition("t", partition)
    assert len(set(sizes)) == 1
    assert sizes[0] < 1000


def test_no_created_series() -> None:
    metrics = Metrics()
    metrics.initialise("t", 0)
    assert not [name for name, _ in series(metrics) if name.endswith("_created")]


def test_two_instances_do_not_collide() -> None:
    one, two = Metrics(), Metrics(CollectorRegistry())
    one.rebalances_total.inc()
    assert (value(one, "rebalances_total"), value(two, "rebalances_total")) == (1, 0)


def test_latency_counts_a_batch_as_prometheus_counts_one_by_one() -> None:
    metrics = Metrics()
    values = np.concatenate([np.array(m.LATENCY), np.random.default_rng(7).exponential(20, 1000), [1e9]])
    metrics.event_latency_seconds.labels("kafka").observe_many(values)
    metrics.event_latency_seconds.labels("kafka").observe_many([])
    metrics.event_latency_seconds.labels("kafka").observe(0.3)
    values = np.append(values, 0.3)
    for bound in m.LATENCY:
        got = value(metrics, "event_latency_seconds_bucket", stage="kafka", le=str(bound))
        assert got == (values <= bound).sum(), bound
    assert value(metrics, "event_latency_seconds_bucket", stage="kafka", le="+Inf") == len(values)
    assert value(metrics, "event_latency_seconds_sum", stage="kafka") == pytest.approx(values.sum())
    assert value(metrics, "event_latency_seconds_count", stage="event") == 0


def test_only_known_stages() -> None:
    with pytest.raises(KeyError):
        Metrics().event_latency_seconds.labels("other")


def test_the_steps_are_those_of_the_life_of_a_partition() -> None:
    core = Path(m.__file__).parents[1] / "core"
    source = (core / "life.py").read_text() + (core / "tenure.py").read_text()
    named = set(re.findall(r"_until_done\(\s*\"([a-z_]+)\"", source))
    assert named | {"start"} == set(m.STEPS)
