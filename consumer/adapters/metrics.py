"""Every metric of the process: `Metrics.__init__` is the one list, in the order of docs/operations.md.

Conventions (prometheus.io/docs/practices/naming): prefix `zkp2p_consumer_`, base units, `_total` for counters,
no `_created` series. Labels are bounded: the topic we read, the partitions we own, and words from the tuples
below. What is known beforehand starts at 0, since a rate needs a first value; a partition's series begin with
`initialise` at its assignment and end with `forget_partition` at its revocation, else the last lag of a
partition that moved away would be alerted on for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics import MetricWrapperBase

from consumer.adapters.bulk_histogram import BulkHistogram
from consumer.core import letter

disable_created_metrics()  # type: ignore[no-untyped-call]

PREFIX = "zkp2p_consumer_"
PARTITION = ("topic", "partition")

CLOSE_REASONS = ("rows", "bytes", "age", "idle", "revoke", "shutdown")
RECOVERY_KINDS = ("clean", "waited", "orphans", "reread")
STAGES = ("event", "kafka")
STEPS = (
    "start",  # reaching ClickHouse, topic and broker before anything else
    *("committed", "log", "touched", "quiet", "sink", "mend", "seek"),  # taking a partition over
    *("hydrate", "dead_letters", "insert", "ledger", "commit"),  # landing a batch
)
"""What `retries_total` calls the steps of `consumer.service` and `consumer.core.life`."""
CAUSES = ("network", "timeout")
"""The causes known beforehand; an adapter may name others, each a word of a fixed set."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LATENCY = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86400.0)
ROWS = (1, 10, 100, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000)
BYTES = tuple(1024 * 4**n for n in range(9))

_M = TypeVar("_M", bound=MetricWrapperBase)


@dataclass(frozen=True, slots=True)
class Described:
    """One metric as documentation, rules and dashboards may name it."""

    name: str
    """In full, with the prefix and a counter's `_total`."""
    kind: str
    """counter, gauge, histogram or info."""
    labels: tuple[str, ...]
    help: str


class Metrics:
    """All metrics, each an attribute named like its metric without the prefix.

    `registry` belongs to this instance; without one a new registry is made. The process's own series
    (`process_resident_memory_bytes`, `process_start_time_seconds`, ...) are in it too.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self.described: list[Described] = []
        self._by_partition: list[MetricWrapperBase] = []
        ProcessCollector(registry=self.registry)

        # How far behind, measured to what has landed in ClickHouse, not to what was fetched.
        self.partition_lag_records = self._gauge(
            "partition_lag_records", "Log end minus the first offset that has not landed.", PARTITION
        )
        self.partition_lag_seconds = self._gauge(
            "partition_lag_seconds",
            "Age by Kafka timestamp of the oldest record that has not landed; 0 when caught up.",
            PARTITION,
        )
        self.last_insert_timestamp_seconds = self._gauge(
            "last_insert_timestamp_seconds", "Unix time of the last insert that landed; 0 before the first."
        )

        # How every record was spent: consumed = inserted + duplicate + ignored + expired + rejected.
        self.records_consumed_total = self._counter(
            "records_consumed_total", "Records whose batch has landed, however they were spent.", PARTITION
        )
        self.rows_inserted_total = self._counter(
            "rows_inserted_total", "Payment events that became a row in ClickHouse.", PARTITION
        )
        self.records_duplicate_total = self._counter(
            "records_duplicate_total", "Payment events dropped because their row exists already.", PARTITION
        )
        self.records_ignored_total = self._counter(
            "records_ignored_total", "Records of other events on the same topic.", PARTITION
        )
        self.records_expired_total = self._counter(
            "records_expired_total", "Payment events too old for the table's 90 days, not inserted.", PARTITION
        )
        self.records_rejected_total = self._counter(
            "records_rejected_total",
            "Records that are no valid payment event, sent to the dead-letter topic, by code.",
            (*PARTITION, "code"),
        )
        self.offsets_missing_total = self._counter(
            "offsets_missing_total",
            "Offsets the log no longer holds or never held: compacted, aged out, control records.",
            PARTITION,
        )
        self.records_key_mismatch_total = self._counter(
            "records_key_mismatch_total", "Valid payment events whose Kafka key is not their sessionId."
        )

        # Batches.
        self.batch_rows = self._histogram("batch_rows", "Rows of a batch that landed.", ROWS)
        self.batch_bytes = self._histogram("batch_bytes", "Bytes of the records of a batch that landed.", BYTES)
        self.batch_close_total = self._counter("batch_close_total", "Batches closed, by what closed them.", ("reason",))

        # How long the steps take.
        self.insert_seconds = self._histogram("insert_seconds", "One insert into ClickHouse.", SECONDS)
        self.commit_seconds = self._histogram("commit_seconds", "One commit of offsets to Kafka.", SECONDS)
        self.flush_seconds = self._histogram(
            "flush_seconds",
            "One batch from its close until it has landed, its ledger row included; retries count, the commit does not.",
            SECONDS,
        )
        self.hydrate_seconds = self._histogram(
            "hydrate_seconds", "Loading one day of the duplicate index from ClickHouse.", SECONDS
        )
        self.event_latency_seconds = BulkHistogram(
            PREFIX + "event_latency_seconds",
            "From the event's (stage=event) or the Kafka record's (stage=kafka) timestamp to landed.",
            "stage",
            STAGES,
            buckets=LATENCY,
            registry=self.registry,
        )
        self._describe(
            "event_latency_seconds",
            "histogram",
            ("stage",),
            "From the event's (stage=event) or the Kafka record's (stage=kafka) timestamp to landed.",
        )

        # Trouble and how it was met.
        self.retries_total = self._counter(
            "retries_total", "Steps tried again after an outage, by step and cause.", ("step", "cause")
        )
        self.recoveries_total = self._counter(
            "recoveries_total",
            "Partitions taken over: clean, waited for an old lease, found orphans, or a deliberate re-read.",
            ("kind",),
        )
        self.lease_seconds = self._gauge(
            "lease_seconds", "Seconds until the lease to write this partition ends.", PARTITION
        )
        self.summary_mended_days_total = self._counter(
            "summary_mended_days_total", "Days of the daily summary that a recovery had to mend."
        )

        # The group and the buffers.
        self.rebalances_total = self._counter("rebalances_total", "Assignments and revocations seen.")
        self.assigned_partitions = self._gauge("assigned_partitions", "Partitions this process owns.")
        self.paused_partitions = self._gauge("paused_partitions", "Owned partitions paused by a limit or an outage.")
        self.buffer_bytes = self._gauge("buffer_bytes", "Bytes of records fetched and not yet in a closed batch.")
        self.inflight_batches = self._gauge("inflight_batches", "Batches closed and not yet committed.")
        self.dedup_keys = self._gauge("dedup_keys", "Keys in the duplicate index.")
        self.dedup_bytes = self._gauge("dedup_bytes", "Memory of the duplicate index.")
        self.dedup_hits_total = self._counter("dedup_hits_total", "Duplicates that the index found.")
        self.dedup_evictions_total = self._counter(
            "dedup_evictions_total", "Days that left the duplicate index to make room; read again when needed."
        )

        self._describe("build_info", "info", ("version", "librdkafka", "clickhouse"), "Versions, constant 1.")
        self.build_info = Info(PREFIX + "build", "Versions, constant 1.", registry=self.registry)

        for reason in CLOSE_REASONS:
            self.batch_close_total.labels(reason)
        for kind in RECOVERY_KINDS:
            self.recoveries_total.labels(kind)
        for step in STEPS:
            for cause in CAUSES:
                self.retries_total.labels(step, cause)

    def initialise(self, topic: str, partition: int) -> None:
        """At assignment: the partition's series start at 0; those that exist keep their value."""
        for metric in self._by_partition:
            if metric is not self.records_rejected_total:
                metric.labels(topic, partition)
        for code in letter.CODES:
            self.records_rejected_total.labels(topic, partition, code)

    def forget_partition(self, topic: str, partition: int) -> None:
        """At revocation: the partition's series vanish; harmless for a partition that has none."""
        labels = {"topic": topic, "partition": str(partition)}
        for metric in self._by_partition:
            metric.remove_by_labels(labels)

    def set_build_info(self, version: str, librdkafka: str, clickhouse: str) -> None:
        """Versions of this program, of librdkafka and of the ClickHouse server (empty while unknown)."""
        self.build_info.info({"version": version, "librdkafka": librdkafka, "clickhouse": clickhouse})

    def _counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        self._describe(name, "counter", labels, text)
        return self._keep(labels, Counter(PREFIX + name, text, labels, registry=self.registry))

    def _gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        self._describe(name, "gauge", labels, text)
        return self._keep(labels, Gauge(PREFIX + name, text, labels, registry=self.registry))

    def _histogram(self, name: str, text: str, buckets: Sequence[float]) -> Histogram:
        self._describe(name, "histogram", (), text)
        return Histogram(PREFIX + name, text, buckets=buckets, registry=self.registry)

    def _keep(self, labels: Sequence[str], metric: _M) -> _M:
        if "partition" in labels:
            self._by_partition.append(metric)
        return metric

    def _describe(self, name: str, kind: str, labels: Sequence[str], text: str) -> None:
        self.described.append(Described(PREFIX + name, kind, tuple(labels), text))
