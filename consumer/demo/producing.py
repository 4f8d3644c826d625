"""Sends the made-up traffic at its pace, from a thread of its own."""

from __future__ import annotations

import threading
import time

from confluent_kafka import KafkaError, Message, Producer

from consumer.core.errors import Stop
from consumer.demo.broker import PARTITIONS
from consumer.demo.progress import Watch
from consumer.demo.traffic import Traffic
from consumer.demo.truth import Truth

OPEN_RECORDS_MAX = 8_000 * PARTITIONS
"""Produced and not yet landed. The broker in this process forgets what is beyond 5 MiB of a partition."""


class Producing:
    """Begins with `begin`, ends after `seconds` or when interrupted; then `done` is true and `truth` final."""

    def __init__(
        self,
        address: str,
        topic: str,
        traffic: Traffic,
        *,
        seconds: float | None,
        watch: Watch,
        interrupted: threading.Event,
    ) -> None:
        self._producer = Producer(
            {"bootstrap.servers": address, "linger.ms": 20, "enable.idempotence": True, "log_level": 0}
        )
        self._topic = topic
        self._traffic = traffic
        self._seconds = seconds
        self._watch = watch
        self._interrupted = interrupted
        self._thread = threading.Thread(target=self._run, name="producing", daemon=True)
        self._begun = False
        self.done = False
        self.failed: Exception | None = None

    @property
    def truth(self) -> Truth:
        return self._traffic.truth

    def begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            self._send_all()
        except Exception as error:  # noqa: BLE001 - raised again by the consuming thread, which ends the demo
            self.failed = error
        if self._producer.flush(30):
            self.failed = self.failed or Stop("the demo's broker did not take all of the traffic")
        self.done = True

    def _send_all(self) -> None:
        ends_at = time.time() + self._seconds if self._seconds is not None else float("inf")
        for record in self._traffic.records():
            self._producer.produce(
                self._topic, record.value, record.key, timestamp=record.timestamp_ms, on_delivery=self._delivered
            )
            self._producer.poll(0)
            if self._interrupted.is_set() or time.time() >= ends_at:
                return
            self._keep_pace(record.timestamp_ms / 1000, ends_at)

    def _keep_pace(self, due: float, ends_at: float) -> None:
        """No faster than the clock, and no faster than the consumer where that is slower."""
        while not self._interrupted.is_set() and time.time() < ends_at:
            ahead = due - time.time()
            full = self.truth.produced - self._watch.progress.consumed > OPEN_RECORDS_MAX
            if ahead <= 0 and not full:
                return
            time.sleep(0.02 if full else min(ahead, 0.05))

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self.failed = Stop(f"the demo's broker refused a record: {error.str()}")
