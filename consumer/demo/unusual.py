"""Good events as only some producers write them. Each says what of the row it changes, if anything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson

from consumer.demo.truth import Row

Event = dict[str, Any]
Write = Callable[[Event, Row, int], tuple[bytes, Row]]
"""From an event (its to change), its row and the record's timestamp in ms to the value and its row."""


def _seconds(event: Event) -> datetime:
    return datetime.fromisoformat(event["timestamp"])


def without_timestamp(event: Event, row: Row, now_ms: int) -> tuple[bytes, Row]:
    del event["timestamp"]
    return orjson.dumps(event), row._replace(timestamp=now_ms // 1000)


def null_timestamp(event: Event, row: Row, now_ms: int) -> tuple[bytes, Row]:
    event["timestamp"] = None
    return orjson.dumps(event), row._replace(timestamp=now_ms // 1000)


def another_zone(event: Event, row: Row, now_ms: int) -> tuple[bytes, Row]:
    zone = timezone(timedelta(minutes=330 if row.user_id % 2 else -480))
    event["timestamp"] = _seconds(event).astimezone(zone).isoformat()
    return orjson.dumps(event), row


def nanoseconds(event: Event, row: Row, now_ms: int) -> tuple[bytes, Row]:
    event["timestamp"] = f"{_seconds(event).astimezone(UTC):%Y-%m-%dT%H:%M:%S}.999999999Z"
    return orjson.dumps(event), row


def whole_seconds(event: Event, row: Row, now_ms: int) -> tuple[bytes, Row]:
    event["timestamp"] = f"{_seconds(event).astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"
    return orjson.dumps(event), row


def new_fields(event: Event, row: Row, now_ms: int) -> tuple[bytes, Row]:
    event["data"]["currency"] = "USD"
    return orjson.dumps({"schema": {"version": 2, "tags": ["new", None, 1.5e3]}, **event, "data ": 0}), row


def spaced_out(event: Event, row: Row, now_ms: int) -> tuple[bytes, Row]:
    return b"\t" + orjson.dumps(event, option=orjson.OPT_INDENT_2) + b"\r\n", row


def repeated_key(event: Event, row: Row, now_ms: int) -> tuple[bytes, Row]:
    return orjson.dumps(event).replace(b'"userId":', b'"userId":null,"userId":', 1), row


def escaped(event: Event, row: Row, now_ms: int) -> tuple[bytes, Row]:
    """Every character of the session's id as an escape: another spelling of the same string."""
    spelled = "".join(f"\\u{ord(character):04x}" for character in row.session_id)
    return orjson.dumps(event).replace(orjson.dumps(row.session_id), f'"{spelled}"'.encode()), row


def float_noise(event: Event, row: Row, now_ms: int) -> tuple[bytes, Row]:
    noisy = f"{row.usd_cents // 100}.{row.usd_cents % 100:02d}0000000001"
    event["data"]["usdAmount"] = "\x01"
    return orjson.dumps(event).replace(b'"\\u0001"', noisy.encode()), row


def scientific(event: Event, row: Row, now_ms: int) -> tuple[bytes, Row]:
    event["data"]["usdAmount"] = "\x01"
    return orjson.dumps(event).replace(b'"\\u0001"', f"{row.usd_cents}E-2".encode()), row


def null_message(event: Event, row: Row, now_ms: int) -> tuple[bytes, Row]:
    event["data"]["errorMessage"] = None
    return orjson.dumps(event), row._replace(error_message=None)


def long_message(event: Event, row: Row, now_ms: int) -> tuple[bytes, Row]:
    message = "🙈 stack overflow\tat frame " * 200
    event["data"]["errorMessage"] = message
    return orjson.dumps(event), row._replace(error_message=message[:4096])


def empty_message(event: Event, row: Row, now_ms: int) -> tuple[bytes, Row]:
    event["data"]["errorMessage"] = ""
    return orjson.dumps(event), row._replace(error_message="")


UNUSUAL: tuple[Write, ...] = (
    without_timestamp,
    without_timestamp,
    without_timestamp,
    null_timestamp,
    another_zone,
    another_zone,
    nanoseconds,
    whole_seconds,
    new_fields,
    new_fields,
    spaced_out,
    repeated_key,
    escaped,
    float_noise,
    scientific,
    null_message,
    long_message,
    empty_message,
)
