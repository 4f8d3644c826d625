"""`dlq replay`: sends chosen dead letters back to their topic, each as it was, and counts how often."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from confluent_kafka import KafkaError, Message, Producer

from consumer import console
from consumer.adapters.kafka import client_config
from consumer.adapters.logs import librdkafka_logger
from consumer.core.errors import Retryable, Stop, UsageError
from consumer.core.letter import HEADERS, REPLAY_COUNT
from consumer.operate import dlq
from consumer.operate.kafka_log import KafkaLog
from consumer.operate.kafka_topic import TopicView
from consumer.operate.letters import Filter, Headers, Letter, own_headers, read_letter
from consumer.settings import KafkaSettings, Settings

SEND_SECONDS = 25.0
BATCH_BYTES_MAX = 1_000_000
"""librdkafka's default of `batch.size`."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to send back: single letters by their places, or all that a filter matches."""

    places: tuple[tuple[int, int], ...]
    filter: Filter

    @classmethod
    def of(cls, places: list[tuple[int, int]], chosen: Filter, everything: bool) -> Choice:
        """UsageError unless exactly one of the three says what is meant."""
        if places and (chosen.chooses or everything):
            raise UsageError("name places or filters, not both")
        if everything and chosen.chooses:
            raise UsageError("--all sends everything: leave the filters out, or leave --all out")
        if not (places or chosen.chooses or everything):
            raise UsageError("nothing is chosen: name places (0/17), filters (--code, --since, ...), or --all")
        return cls(tuple(dict.fromkeys(places)), chosen)


@dataclass(slots=True)
class Tally:
    """How it went."""

    by_code: Counter[str] = field(default_factory=Counter)
    """Acknowledged ones; in a dry run, those that would be sent."""
    outdated: int = 0
    """Chosen ones whose original time is before what the topic keeps."""
    foreign: int = 0
    """Records that are no dead letters of this topic."""
    failed: int = 0
    first_failure: str = ""

    def acknowledged(self, code: str, error: KafkaError | None) -> None:
        """What the broker said to one record."""
        if error is None:
            self.by_code[code] += 1
        else:
            self.failed += 1
            self.first_failure = self.first_failure or error.str()


def run(settings: Settings, choice: Choice, *, dry_run: bool, output_format: str) -> None:
    """Sends and waits for every acknowledgement. Stop when some were refused, Retryable when none came."""
    settings.require_kafka()
    topic = settings.kafka.topic
    tally = Tally()
    with KafkaLog(settings.kafka) as log:
        count = len(log.partitions(topic))
        if not count:
            raise Stop(f"there is no topic {topic} at {log.servers} to send to: create it, or set ZKP2P_KAFKA__TOPIC")
        chosen = _ours(_chosen(log, settings.kafka.dlq_topic, choice), topic, tally, strict=bool(choice.places))
        if choice.places:
            chosen = iter(list(chosen))  # a wrong one among them, and none is sent
        found = TopicView(log, topic).settings() or {}
        chosen = _aged(chosen, _kept_since_ms(found), tally)
        if dry_run:
            _preview([letter for letter, _ in chosen], tally, output_format)
        else:
            size_max = int(found.get("max.message.bytes", BATCH_BYTES_MAX))
            Sender(settings.kafka, count, size_max, tally).send_all(chosen)
    _summary(topic, tally, dry_run=dry_run, output_format=output_format)
    if tally.failed:
        raise Stop(f"{tally.failed} of the chosen were refused, the first with: {tally.first_failure}")


def _chosen(log: KafkaLog, topic: str, choice: Choice) -> Iterator[tuple[Letter, Message]]:
    """Up to the log's end of now: what fails again meanwhile is not sent twice."""
    if choice.places:
        for place in choice.places:
            message = dlq.find(log, topic, place)
            yield read_letter(message), message
        return
    for partition, (low, high) in dlq.stretches(log, topic, choice.filter).items():
        for message in log.read(topic, partition, low, high):
            letter = read_letter(message)
            if choice.filter.matches(letter):
                yield letter, message


def _ours(
    chosen: Iterator[tuple[Letter, Message]], topic: str, tally: Tally, *, strict: bool
) -> Iterator[tuple[Letter, Message]]:
    """Only what was rejected from this topic goes back to it."""
    for letter, message in chosen:
        if letter.source_topic == topic:
            yield letter, message
        elif strict:
            origin = f"comes from {letter.source}" if letter.source_topic else "is no dead letter of this consumer"
            raise Stop(f"{letter.place} {origin}, not from {topic}: set ZKP2P_KAFKA__TOPIC to its topic")
        else:
            tally.foreign += 1


def _aged(
    chosen: Iterator[tuple[Letter, Message]], kept_since_ms: float, tally: Tally
) -> Iterator[tuple[Letter, Message]]:
    for letter, message in chosen:
        if letter.source_timestamp_ms is not None and letter.source_timestamp_ms < kept_since_ms:
            tally.outdated += 1
        yield letter, message


def _kept_since_ms(topic_settings: Mapping[str, str]) -> float:
    """Records with an older timestamp are the broker's to delete at its next look at the topic's retention."""
    retention_ms = int(topic_settings.get("retention.ms", -1))
    return time.time() * 1000 - retention_ms if retention_ms >= 0 else 0


class Sender:
    """Sends letters back and keeps count of what the broker says to each."""

    def __init__(self, settings: KafkaSettings, partition_count: int, size_max: int, tally: Tally) -> None:
        """`size_max` is what the topic takes; it counts whole batches, so that one too large takes others with it."""
        self._settings = settings
        self._partition_count = partition_count
        self._tally = tally
        self._producer = Producer(
            client_config(settings)
            | {
                "enable.idempotence": True,
                "acks": "all",
                "message.timeout.ms": int(SEND_SECONDS * 1000),
                "message.max.bytes": 1_000_000_000,  # what is too large is the broker's to say, and alone
                "batch.size": min(BATCH_BYTES_MAX, size_max),
                "queue.buffering.max.kbytes": 65_536,
                "linger.ms": 20,
            },
            logger=librdkafka_logger(),
        )

    def send_all(self, chosen: Iterator[tuple[Letter, Message]]) -> None:
        """Retryable when the broker fell silent: what it has is counted, the rest can be sent again."""
        try:
            for letter, message in chosen:
                self._send(letter, message)
                self._producer.poll(0)
        finally:
            left = self._producer.flush(SEND_SECONDS + 1)
        if left:
            servers = self._settings.bootstrap_servers
            raise Retryable(f"{left} of the records were not acknowledged by {servers}: replay them again")

    def _send(self, letter: Letter, message: Message) -> None:
        """To the partition it came from: a session's events, and what is known of them, are there."""
        where: dict[str, Any] = {}
        if letter.source_partition is not None and letter.source_partition < self._partition_count:
            where["partition"] = letter.source_partition
        if letter.source_timestamp_ms is not None:
            where["timestamp"] = letter.source_timestamp_ms

        def answered(error: KafkaError | None, _message: Message) -> None:
            self._tally.acknowledged(letter.code, error)

        headers = replay_headers(own_headers(message), letter.replays + 1)
        while True:
            try:
                self._producer.produce(
                    self._settings.topic,
                    value=message.value(),
                    key=message.key(),
                    headers=headers,
                    on_delivery=answered,
                    **where,
                )
            except BufferError:
                self._producer.poll(0.5)
            else:
                return


def replay_headers(headers: Headers, replays: int) -> Headers:
    """The record's own headers, without what the rejection added, and how often it has been sent back."""
    kept = [(name, value) for name, value in headers if name != REPLAY_COUNT and name not in HEADERS]
    return [*kept, (REPLAY_COUNT, str(replays).encode())]


def _preview(letters: list[Letter], tally: Tally, output_format: str) -> None:
    tally.by_code.update(letter.code for letter in letters)
    if output_format == "table" and letters:
        console.table(dlq.COLUMNS, [dlq.row(letter) for letter in letters])


def _summary(topic: str, tally: Tally, *, dry_run: bool, output_format: str) -> None:
    total = tally.by_code.total()
    if output_format == "json":
        document = {
            "topic": topic,
            "dry_run": dry_run,
            "sent": 0 if dry_run else total,
            "chosen": total + tally.failed,
            "by_code": dict(tally.by_code),
            "failed": tally.failed,
            "foreign": tally.foreign,
            "outdated": tally.outdated,
        }
        console.say(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
        return
    codes = "".join(f", {code} {number}" for code, number in sorted(tally.by_code.items()))
    verb = "would send" if dry_run else "sent"
    skipped = f"; left out {tally.foreign} that did not come from {topic}" if tally.foreign else ""
    if tally.outdated:
        console.say(f"{tally.outdated} of them are older than {topic} keeps records: see that `run` reads them at once")
    console.say(f"{verb} {total} dead letter{'' if total == 1 else 's'} to {topic}{codes}{skipped}")
