"""`run`: wires the parts together, waits for the outside world, stops on a signal."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from types import FrameType
from typing import TypeVar

import structlog
from confluent_kafka import libversion

from consumer import __version__
from consumer.adapters.clock import Clock
from consumer.adapters.coverage import Coverage
from consumer.adapters.dead_letters import DeadLetters
from consumer.adapters.group import Group
from consumer.adapters.health import Health
from consumer.adapters.http import HttpServer
from consumer.adapters.kafka import check_properties
from consumer.adapters.lookup import Lookup
from consumer.adapters.membership import Membership
from consumer.adapters.metrics import Metrics
from consumer.adapters.store import Store
from consumer.core.buffer import Limits
from consumer.core.dedupe import KeyIndex
from consumer.core.errors import Retryable
from consumer.core.lease import Timing
from consumer.core.months import Months
from consumer.core.tenure import Setup
from consumer.performer import Performer
from consumer.settings import Settings
from consumer.telemetry import Telemetry
from consumer.tuning import tune
from consumer.worker import Room, Watched, Worker

log = structlog.get_logger("service")

WAIT_SECONDS = 2.0
SAY_AGAIN_SECONDS = 30.0
LOOP_DEADLINE_SECONDS = 60.0
"""A loop that has not turned for so long is stuck: /livez says so and the orchestrator restarts the process."""

T = TypeVar("T")


def run(settings: Settings) -> int:
    """Consume until SIGTERM or SIGINT; returns the exit code. Raises Stop where waiting won't help, UsageError for
    properties that the client refuses."""
    stopping = _stop_on_signals()
    tune()
    check_properties(settings.kafka)
    metrics, health = Metrics(), Health(LOOP_DEADLINE_SECONDS)
    with HttpServer(settings.http.host, settings.http.port, metrics.registry, health) as http:
        log.info("starting", version=__version__, http_port=http.port, topic=settings.kafka.topic)
        consume(settings, metrics, health, stopping.is_set)
    log.info("stopped")
    return 0


def consume(
    settings: Settings,
    metrics: Metrics,
    health: Health,
    stopping: Callable[[], bool],
    *,
    has_topic_ids: bool = True,
    store: Store | None = None,
) -> None:
    """The whole job in this thread, until `stopping`. The demo calls it too, with a broker that has no topic ids."""
    timing = Timing.of_session(settings.kafka.session_timeout_ms, fenced=not settings.clickhouse.embedded)
    with ExitStack() as stack:
        found = store or _patiently(lambda: _open_store(settings, timing), health, metrics, stopping)
        if found is None:
            return
        if store is None:
            stack.callback(found.close)
        lookup = Lookup(settings.kafka, has_ids=has_topic_ids)
        if _patiently(lookup.identify, health, metrics, stopping) is None:
            return
        clock = _patiently(lambda: Clock(found.server_time), health, metrics, stopping)
        if clock is None:
            return
        metrics.set_build_info(__version__, libversion()[0], found.version)
        worker = Worker(
            setup=_setup(settings, timing, lookup.cluster_id, found.zone),
            index=KeyIndex(settings.dedup.memory_bytes),
            room=Room(settings.batch.buffer_bytes, settings.batch.max_rows),
            clock=clock.now,
            telemetry=Telemetry(metrics, settings.kafka.topic),
            health=health,
        )
        group = Group(settings.kafka, on_assign=worker.assigned, on_revoke=worker.release, on_lost=worker.lost)
        stack.callback(group.close)
        dead_letters = DeadLetters(settings.kafka)
        stack.callback(dead_letters.close)
        performer = Performer(lookup, found, dead_letters, metrics)
        stack.callback(performer.close)

        coverage, membership = Coverage(settings.kafka), Membership(settings.kafka)

        def look_at_topic(unread: Sequence[int]) -> Watched:
            membership.check()
            if has_topic_ids and coverage.needs(group.member_id):
                log.warning("a partition is assigned to nobody: joining the group again")
                group.rejoin_soon()
            return Watched(lookup.identify(), lookup.ends(unread))

        def look_at_clock(_unread: Sequence[int]) -> None:
            clock.measure()

        try:
            worker.run(group, performer, (look_at_topic, look_at_clock), stopping)
        except BaseException as error:
            health.fatal(type(error).__name__)
            worker.lost(worker.owned)  # what was on its way is for the next owner to find
            raise


def _open_store(settings: Settings, timing: Timing) -> Store:
    store = Store(settings.clickhouse, settings.kafka.topic, write_seconds=timing.write)
    store.verify()
    return store


def _setup(settings: Settings, timing: Timing, cluster_id: str, zone: str) -> Setup:
    batch = settings.batch
    return Setup(
        cluster_id=cluster_id,
        group=settings.kafka.group_id,
        timing=timing,
        limits=Limits(batch.max_rows, batch.max_bytes, batch.max_seconds),
        months_of=Months(zone),
        jitter=lambda: random.uniform(0.8, 1.2),  # noqa: S311 - no secret
    )


def _patiently(attempt: Callable[[], T], health: Health, metrics: Metrics, stopping: Callable[[], bool]) -> T | None:
    """The result of the first attempt that meets no outage; None when we are to stop before.

    An outage at the start is no reason to restart us: the start counts as over, and we say once what we wait for.
    """
    said_at, said = -SAY_AGAIN_SECONDS, ""
    while not stopping():
        outcome = _in_a_thread(attempt)
        if not _wait(outcome.done, health, stopping):
            return None
        try:
            return outcome.result()
        except Retryable as error:
            metrics.retries_total.labels("start", error.cause).inc()
            now = time.monotonic()
            if str(error) != said or now - said_at >= SAY_AGAIN_SECONDS:
                said, said_at = str(error), now
                log.warning("waiting", error=said, cause=error.cause)
            health.ready()
        _pause(health, stopping)
    return None


def _in_a_thread(attempt: Callable[[], T]) -> Future[T]:
    """An attempt may hang for as long as its time-out, and meanwhile we are alive and may be stopped."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(attempt())
        except BaseException as error:  # noqa: BLE001 - it is raised by who waits
            future.set_exception(error)

    threading.Thread(target=work, name="start", daemon=True).start()
    return future


def _pause(health: Health, stopping: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_SECONDS
    _wait(lambda: time.monotonic() >= until, health, stopping)


def _wait(done: Callable[[], bool], health: Health, stopping: Callable[[], bool]) -> bool:
    """False when we are to stop before it is done."""
    began = time.monotonic()
    while not done():
        health.tick()
        if stopping():
            return False
        if time.monotonic() - began > WAIT_SECONDS:
            health.ready()
        time.sleep(0.02)
    return True


def _stop_on_signals() -> threading.Event:
    """SIGTERM and SIGINT: the first stops cleanly, the second at once."""
    stopping = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stopping.is_set():
            os._exit(1)
        stopping.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stopping
