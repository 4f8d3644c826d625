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


TARGET = {"namespace", "pod", "job", "instance"}
"""What the scrape adds to every series."""
_LABELS_OF_OTHERS = {"kube_job": {"job_name"}, "kube_cronjob": {"cronjob"}, "kube_pod": {"pod", "container"}}


def unknown_labels(expression: str) -> set[str]:
    """Labels that an expression asks for and none of its series has: nothing would ever match, or be told apart."""
    series = named(expression)
    known = TARGET | ({"le"} if any(name.endswith("_bucket") for name in series) else set())
    for metric in Metrics().described:
        if any(name == metric.name or name.removesuffix("_bucket") == metric.name for name in series):
            known |= set(metric.labels)
    for prefix, labels in _LABELS_OF_OTHERS.items():
        known |= labels if any(name.startswith(prefix) for name in series) else set()
    for name in series:
        known |= set(name.partition(":")[0].split("_")) if ":" in name else set()  # recording rules: labels first
    without_strings = re.sub(r'"[^"]*"', '""', expression)
    asked = ",".join(re.findall(r"\b(?:by|on|without|group_left|ignoring)\s*\(([^)]*)\)", without_strings))
    matched = re.findall(r"[{,]\s*([a-z_]+)\s*(?:=~|!~|!=|=)", without_strings)
    return ({label.strip() for label in asked.split(",")} | set(matched)) - known - {""}


def named(expression: str) -> set[str]:
    """Names of series in an expression; those with colons are recording rules."""
    without_strings = re.sub(r'"[^"]*"', '""', expression)
    without_labels = re.sub(r"\b(by|on|without|group_left|ignoring)\s*\([^)]*\)", "", without_strings)
    without_matchers = re.sub(r"\{[^}]*\}", "", without_labels)
    return set(re.findall(r"\b(?:zkp2p_consumer|process|kube)_[a-z0-9_]+|[a-z_]+:[a-z0-9_:]+", without_matchers))
