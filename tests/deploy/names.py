"""Which metrics a PromQL expression names, and which there are."""

from __future__ import annotations

import re

from consumer.adapters.metrics import Metrics

OTHERS = {
    # prometheus_client's own collector, exposed with ours
    *("process_resident_memory_bytes", "process_start_time_seconds", "process_cpu_seconds_total"),
    # kube-state-metrics
    *("kube_job_status_failed", "kube_cronjob_status_last_successful_time", "kube_cronjob_created"),
    "kube_pod_container_status_restarts_total",
}


def exposed() -> set[str]:
    """Every series name of ours: a histogram has three."""
    names = set()
    for metric in Metrics().described:
        names |= (
            {metric.name + suffix for suffix in ("_bucket", "_count", "_sum")}
            if metric.kind == "histogram"
            else {metric.name}
        )
    return names


def named(expression: str) -> set[str]:
    """Names of series in an expression; those with colons are recording rules."""
    without_strings = re.sub(r'"[^"]*"', '""', expression)
    without_labels = re.sub(r"\b(by|on|without|group_left|ignoring)\s*\([^)]*\)", "", without_strings)
    without_matchers = re.sub(r"\{[^}]*\}", "", without_labels)
    return set(re.findall(r"\b(?:zkp2p_consumer|process|kube)_[a-z0-9_]+|[a-z_]+:[a-z0-9_:]+", without_matchers))
