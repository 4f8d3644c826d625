"""What partitions tell of themselves, as metrics and log lines. Nothing here changes what happens."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import structlog

from consumer.adapters.group import Group
from consumer.adapters.logs import Summary
from consumer.adapters.metrics import Metrics
from consumer.core.batch import Batch
from consumer.core.dedupe import KeyIndex
from consumer.core.effects import (
    BatchLanded,
    Fact,
    LeaseHeld,
    Mended,
    Output,
    Recovered,
    Released,
    Retried,
    StartedOver,
)
from consumer.core.partition import Partition
from consumer.lag import Lag

if TYPE_CHECKING:
    from consumer.worker import Owned

log = structlog.get_logger("partition")

LOOK_SECONDS = 1.0
QUIET_SECONDS = 30.0
"""The same trouble of the same step of a partition is logged at most this often."""


class Telemetry:
    """One for the process; called by the loop thread only."""

    def __init__(self, metrics: Metrics, topic: str, summary: Summary | None = None) -> None:
        self.metrics = metrics
        self._topic = topic
        self._summary = summary or Summary()
        self._looked_at = 0.0
        self._said: dict[tuple[int, str, str], float] = {}
        self._lags: dict[int, Lag] = {}
        self._log_ends: dict[int, int] = {}
        self._clock_ahead = 0.0
        self._hits = self._evictions = 0

    def rebalanced(self) -> None:
        self.metrics.rebalances_total.inc()

    def assigned(self, number: int) -> None:
        self.metrics.initialise(self._topic, number)
        log.info("partition assigned", topic=self._topic, partition=number)

    def gone(self, number: int) -> None:
        self.metrics.forget_partition(self._topic, number)
        self._lags.pop(number, None)
        self._log_ends.pop(number, None)
        log.info("partition released", topic=self._topic, partition=number)

    def log_ends(self, ends: Mapping[int, int]) -> None:
        """Of partitions that are not being read, by which a fetch would tell."""
        self._log_ends.update(ends)

    def went_back(self, partition: Partition, offset: int) -> None:
        """The client delivers what was read already; it has to be sent forward again."""
        self.metrics.retries_total.labels("seek", "went_back").inc()
        log.warning(
            "the client went back", topic=self._topic, partition=partition.number, offset=offset,
            next_offset=partition.next_offset,
        )  # fmt: skip

    def fact(self, partition: Partition, fact: Output) -> None:
        number = partition.number
        match fact:
            case BatchLanded():
                self._landed(number, fact)
            case Recovered():
                self._recovered(number, fact)
            case Retried():
                self.metrics.retries_total.labels(fact.step, fact.cause).inc()
                self._say_once("waiting", partition, fact.step, fact.cause, error=fact.message)
            case StartedOver():
                self._say_once("starting over", partition, "recover", fact.cause)
            case Mended():
                self.metrics.summary_mended_days_total.inc(fact.days)
                log.info("summary mended", topic=self._topic, partition=number, days=fact.days or "all young ones")
            case LeaseHeld():
                pass
            case Released():
                log.debug("partition let go", topic=self._topic, partition=number, clean=fact.clean)
            case Fact():
                raise AssertionError(f"nobody tells of {fact!r}")

    def _landed(self, number: int, fact: BatchLanded) -> None:
        batch, metrics, labels = fact.batch, self.metrics, (self._topic, number)
        metrics.records_consumed_total.labels(*labels).inc(batch.consumed)
        metrics.rows_inserted_total.labels(*labels).inc(batch.inserted)
        metrics.records_duplicate_total.labels(*labels).inc(batch.duplicates)
        metrics.records_ignored_total.labels(*labels).inc(batch.ignored)
        metrics.records_expired_total.labels(*labels).inc(batch.expired)
        metrics.offsets_missing_total.labels(*labels).inc(batch.missing)
        metrics.records_key_mismatch_total.inc(batch.key_mismatches)
        for code, count in Counter([letter.code for letter in batch.letters]).items():
            metrics.records_rejected_total.labels(*labels, code).inc(count)
        metrics.batch_rows.observe(batch.inserted)
        metrics.batch_bytes.observe(batch.size_bytes)
        metrics.batch_close_total.labels(fact.reason).inc()
        metrics.flush_seconds.observe(fact.seconds)
        self._latencies(batch)
        if batch.missing:
            log.warning(
                "offsets missing from the log", topic=self._topic, partition=number, first_offset=batch.first,
                end_offset=batch.end, missing=batch.missing,
            )  # fmt: skip
        counts = {name: getattr(batch, name) for name in Summary.COUNTS}
        self._summary.batch(
            self._topic, number, batch.first, batch.end - 1, reason=fact.reason, seconds=fact.seconds, counts=counts
        )

    def _latencies(self, batch: Batch) -> None:
        now = time.time() + self._clock_ahead
        if batch.to_insert:
            self.metrics.last_insert_timestamp_seconds.set(time.time())
            self.metrics.event_latency_seconds.labels("event").observe_many(np.maximum(now - batch.seconds, 0.0))
        times_ms = batch.times_ms[batch.times_ms >= 0]
        if len(times_ms):
            self.metrics.event_latency_seconds.labels("kafka").observe_many(np.maximum(now - times_ms / 1000, 0.0))

    def _recovered(self, number: int, fact: Recovered) -> None:
        self._log_ends.pop(number, None)  # it may have been that of a topic that is gone
        self.metrics.recoveries_total.labels(fact.kind).inc()
        log.info(
            "partition ready", topic=self._topic, partition=number, offset=fact.offset, kind=fact.kind,
            reading_pass=fact.number, waited_seconds=round(fact.waited_seconds, 1), orphans=fact.orphans, why=fact.why,
        )  # fmt: skip

    def _say_once(self, event: str, partition: Partition, step: str, cause: str, **fields: object) -> None:
        now, what = time.monotonic(), (partition.number, step, cause)
        if now - self._said.get(what, -QUIET_SECONDS) >= QUIET_SECONDS:
            self._said[what] = now
            place = {"topic": self._topic, "partition": partition.number, "offset": partition.position}
            log.warning(event, **place, step=step, cause=cause, **fields)

    def look(self, now: float, owned: Iterable[Owned], group: Group, index: KeyIndex) -> None:
        """The gauges, once a second; `now` by the server's clock."""
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        self._clock_ahead = now - time.time()
        everything = list(owned)
        metrics = self.metrics
        lags = [self._lag(now, o.partition, group) for o in everything]
        metrics.assigned_partitions.set(len(everything))
        metrics.paused_partitions.set(sum(o.paused for o in everything))
        metrics.buffer_bytes.set(sum(o.partition.buffered_bytes for o in everything))
        metrics.inflight_batches.set(sum(o.partition.inflight is not None for o in everything))
        metrics.dedup_keys.set(index.keys)
        metrics.dedup_bytes.set(index.bytes)
        metrics.dedup_hits_total.inc(index.hits - self._hits)
        metrics.dedup_evictions_total.inc(index.evictions - self._evictions)
        self._hits, self._evictions = index.hits, index.evictions
        if self._summary.due():
            records = sum(lag for lag, _ in lags)
            oldest = max((seconds for _, seconds in lags), default=0.0)
            self._summary.write(partitions=len(everything), lag_records=records, lag_seconds=oldest)

    def _lag(self, now: float, partition: Partition, group: Group) -> tuple[int, float]:
        """Records and seconds by which what has landed is behind the log's end."""
        labels = (self._topic, partition.number)
        lag = self._lags.setdefault(partition.number, Lag(now))
        records, seconds = lag.measure(
            now,
            position=partition.position,
            high=max(group.log_end(partition.number) or 0, partition.log_high, self._log_ends.get(partition.number, 0)),
            oldest_ms=partition.oldest_ms,
            reading=partition.reading,
        )
        self.metrics.partition_lag_records.labels(*labels).set(records)
        self.metrics.partition_lag_seconds.labels(*labels).set(seconds)
        self.metrics.lease_seconds.labels(*labels).set(max(0.0, partition.lease_until - now))
        return records, seconds
