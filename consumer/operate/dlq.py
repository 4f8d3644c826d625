"""`dlq list` and `dlq show`: looks into the dead-letter topic, newest first, without joining a group."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice
from typing import Any

import orjson
from confluent_kafka import Message

from consumer import console
from consumer.core.errors import Stop
from consumer.operate.kafka_log import Bounds, KafkaLog
from consumer.operate.letters import Filter, Letter, as_bytes, iso, own_headers, read_letter
from consumer.settings import Settings

NO_TOPIC = "nothing was rejected yet, or ZKP2P_KAFKA__DLQ_TOPIC names another"
COLUMNS = ("time", "partition", "offset", "code", "message", "source")


def show_list(settings: Settings, chosen: Filter, limit: int, output_format: str) -> None:
    """Prints the newest `limit` dead letters that match; none where nothing was ever rejected."""
    settings.require_kafka()
    topic = settings.kafka.dlq_topic
    with KafkaLog(settings.kafka) as log:
        known = bool(log.partitions(topic))
        letters = list(newest(log, topic, chosen, limit)) if known else []
    if not known:
        console.note(f"there is no dead-letter topic {topic} at {settings.kafka.bootstrap_servers}: {NO_TOPIC}")
    if output_format == "json":
        _print_json([as_json(letter) for letter in letters])
        return
    console.table(COLUMNS, [row(letter) for letter in letters])


def newest(log: KafkaLog, topic: str, chosen: Filter, limit: int) -> Iterator[Letter]:
    """Matching letters of all partitions, the newest first; reads no further back than it must."""
    sources = []
    for partition, stretch in stretches(log, topic, chosen).items():
        backwards = log.newest_first(topic, partition, stretch, max(100, limit), read_letter)
        sources.append(letter for letter in backwards if chosen.matches(letter))
    merged = heapq.merge(*sources, key=lambda letter: (-letter.timestamp_ms, letter.partition, -letter.offset))
    return islice(merged, limit)


def partitions(log: KafkaLog, topic: str, chosen: Filter) -> list[int]:
    """The partitions to look into; Stop when the topic or the partition isn't there."""
    found = log.partitions(topic)
    if not found:
        raise Stop(f"there is no dead-letter topic {topic} at {log.servers}: {NO_TOPIC}")
    if chosen.partition is None:
        return found
    if chosen.partition not in found:
        raise Stop(f"{topic} has no partition {chosen.partition}: it has 0 to {found[-1]}")
    return [chosen.partition]


def stretches(log: KafkaLog, topic: str, chosen: Filter) -> dict[int, Bounds]:
    """By partition the offsets that can match: everything before the first record since `since` is older."""
    found = log.all_bounds(topic, partitions(log, topic, chosen))
    if chosen.since_ms is not None:
        for partition, (low, high) in found.items():
            first = log.first_since(topic, partition, chosen.since_ms)
            found[partition] = (high if first is None else max(low, first)), high
    return {partition: (low, high) for partition, (low, high) in found.items() if low < high}


def find(log: KafkaLog, topic: str, place: tuple[int, int]) -> Message:
    """The one dead letter at partition/offset; Stop when there is none."""
    partition, offset = place
    if partition not in partitions(log, topic, Filter()):
        raise Stop(f"there is no dead letter at {partition}/{offset}: {topic} has no partition {partition}")
    low, high = log.bounds(topic, partition)
    if low <= offset < high:
        for message in log.read(topic, partition, offset, offset + 1):
            return message
    held = f"offsets {low} to {high - 1}" if high > low else "no records"
    raise Stop(f"there is no dead letter at {partition}/{offset}: partition {partition} of {topic} holds {held}")


def show_one(settings: Settings, place: tuple[int, int], output_format: str) -> None:
    """Prints one dead letter whole, payload included: it was asked for by its place."""
    settings.require_kafka()
    topic = settings.kafka.dlq_topic
    with KafkaLog(settings.kafka) as log:
        message = find(log, topic, place)
    letter = read_letter(message)
    headers = [(name, as_bytes(content)) for name, content in own_headers(message)]
    key, value = as_bytes(message.key()), as_bytes(message.value())
    if output_format == "json":
        shown = {name: _encoded(content) for name, content in headers}
        _print_json({**as_json(letter), "headers": shown, "key": _encoded(key), "value": _encoded(value)})
        return
    for name, text in _about(topic, letter):
        console.say(f"{name:<9}{console.printable(text)}")
    for name, content in headers:
        console.say(f"header   {console.printable(name)}: {console.printable(_text(content) or _hex(content))}")
    for name, content in (("key", key), ("value", value)):
        console.say(f"{name:<9}{'none' if content is None else f'{len(content)} bytes'}")
        if content:
            console.say(_text(content) or _dump(content))


def _about(topic: str, letter: Letter) -> list[tuple[str, str]]:
    source = letter.source if letter.source == "-" else f"{letter.source}, time {iso(letter.source_timestamp_ms)}"
    return [
        ("place", f"{topic} {letter.place}, time {iso(letter.timestamp_ms)}"),
        ("code", letter.code or "-"),
        ("message", letter.message or "-"),
        ("source", source),
        ("replays", str(letter.replays)),
        ("version", letter.version or "-"),
    ]


def row(letter: Letter) -> tuple[str, ...]:
    """A letter as a row of the table."""
    time = iso(letter.timestamp_ms)
    code, message = letter.code or "-", letter.message or "-"
    return time, str(letter.partition), str(letter.offset), code, message, letter.source


def as_json(letter: Letter) -> dict[str, Any]:
    """A letter as an object, times in RFC 3339."""
    known = {**letter._asdict(), "time": iso(letter.timestamp_ms)}
    if letter.source_timestamp_ms is not None:
        known["source_time"] = iso(letter.source_timestamp_ms)
    return known


def _print_json(document: object) -> None:
    console.say(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


def _text(content: bytes | None) -> str | None:
    """The bytes as text if a terminal can show them unharmed: printable but for line ends and tabs."""
    try:
        text = (content or b"").decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\n\t" for c in text) else None


def _hex(content: bytes | None) -> str:
    return "" if content is None else f"0x{content.hex()}"


def _dump(content: bytes) -> str:
    """Offset, 16 bytes in hex, the same as ASCII; one line after the other."""
    lines = []
    for start in range(0, len(content), 16):
        part = content[start : start + 16]
        ascii_part = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{start:08x}  {part.hex(' '):<47}  {ascii_part}")
    return "\n".join(lines)


def _encoded(content: bytes | None) -> dict[str, str] | None:
    """JSON has no bytes: text where the bytes are UTF-8, hex where not."""
    if content is None:
        return None
    try:
        return {"text": content.decode("utf-8")}
    except UnicodeDecodeError:
        return {"hex": content.hex()}
