"""Records no consumer may take for a payment: every code of the contract, many ways to earn it.

Each breaks one thing of an otherwise good event, so that its code and field are beyond doubt.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson

Event = dict[str, Any]
Spoil = Callable[[Event, int], bytes | None]
"""From a good event (its to change) and the record's timestamp in ms to the broken value."""

MIB = 1024 * 1024
_PLACE = "\x01literal\x01"


class Broken(NamedTuple):
    """One way to be wrong."""

    code: str
    field: str
    spoil: Spoil


def _holder(event: Event, field: str) -> tuple[Event, str]:
    *above, name = field.split(".")
    return (event[above[0]] if above else event), name


def _missing(field: str) -> Broken:
    def spoil(event: Event, now_ms: int) -> bytes:
        holder, name = _holder(event, field)
        del holder[name]
        return orjson.dumps(event)

    return Broken("missing_field", field, spoil)


def _value(code: str, field: str, value: object) -> Broken:
    def spoil(event: Event, now_ms: int) -> bytes:
        holder, name = _holder(event, field)
        holder[name] = value
        return orjson.dumps(event)

    return Broken(code, field, spoil)


def _literal(code: str, field: str, text: str) -> Broken:
    """As `_value`, for what only JSON's own spelling can say: 5.0, 1e400."""

    def spoil(event: Event, now_ms: int) -> bytes:
        holder, name = _holder(event, field)
        holder[name] = _PLACE
        return orjson.dumps(event).replace(orjson.dumps(_PLACE), text.encode())

    return Broken(code, field, spoil)


def _stamp(shift: timedelta) -> Broken:
    def spoil(event: Event, now_ms: int) -> bytes:
        event["timestamp"] = (datetime.fromtimestamp(now_ms / 1000, UTC) + shift).isoformat()
        return orjson.dumps(event)

    return Broken("bad_timestamp", "timestamp", spoil)


def _bytes(code: str, change: Callable[[bytes], bytes | None]) -> Broken:
    return Broken(code, "", lambda event, now_ms: change(orjson.dumps(event)))


def _padded(value: bytes) -> bytes:
    return value[:-1] + b',"padding":"' + b"x" * (MIB + 1) + b'"}'


OVERSIZED = (
    _bytes("too_large", _padded),
    _bytes("too_large", lambda value: b'{"event":"page_view","html":"' + b"x" * MIB + b'"}'),
    _bytes("too_large", lambda value: b" " * (MIB + 1)),
)
"""Kept apart: a producer, a topic and the dead-letter topic have to allow for their size."""

BROKEN = (
    _bytes("empty", lambda value: None),
    _bytes("empty", lambda value: b""),
    _bytes("not_json", lambda value: value[:-1]),
    _bytes("not_json", lambda value: value[: len(value) // 2]),
    _bytes("not_json", lambda value: value + b"}"),
    _bytes("not_json", lambda value: value + value),
    _bytes("not_json", lambda value: b"\xef\xbb\xbf" + value),
    _bytes("not_json", lambda value: b"   "),
    _bytes("not_json", lambda value: b"payment from venmo"),
    _bytes("not_json", lambda value: value.replace(b'"', b"'")),
    _bytes("not_json", lambda value: value[:-1] + b",}"),
    _bytes("not_json", lambda value: value[:-1] + b',"note":"caf\xe9"}'),
    _bytes("not_json", lambda value: value[:-1] + b',"note":"\\ud83d"}'),
    _bytes("not_json", lambda value: value[:-1] + b',"note":"two\nlines"}'),
    _bytes("not_json", lambda value: value[:-1] + b',"score":NaN}'),
    _bytes("not_json", lambda value: value[:-1] + b',"score":01}'),
    _bytes("not_json", lambda value: value[:-1] + b',"deep":' + b"[" * 70 + b"]" * 70 + b"}"),
    _bytes("not_json", lambda value: value.decode().encode("utf-16")),
    _bytes("not_an_object", lambda value: b"[" + value + b"]"),
    _bytes("not_an_object", lambda value: orjson.dumps(value.decode())),
    _bytes("not_an_object", lambda value: b"42"),
    _bytes("not_an_object", lambda value: b"null"),
    _bytes("not_an_object", lambda value: b"true"),
    _missing("event"),
    _missing("userId"),
    _missing("data"),
    _missing("data.eventType"),
    _missing("data.paymentMethod"),
    _missing("data.usdAmount"),
    _missing("data.buzzAmount"),
    _missing("data.sessionId"),
    _value("wrong_type", "event", 7),
    _value("wrong_type", "event", None),
    _value("wrong_type", "userId", "42"),
    _value("wrong_type", "userId", None),
    _value("wrong_type", "userId", True),
    _literal("wrong_type", "userId", "5.0"),
    _literal("wrong_type", "userId", "1e3"),
    _value("wrong_type", "timestamp", 1_790_000_000),
    _value("wrong_type", "data", None),
    _value("wrong_type", "data", []),
    _value("wrong_type", "data", "none"),
    _value("wrong_type", "data.eventType", None),
    _value("wrong_type", "data.eventType", 1),
    _value("wrong_type", "data.paymentMethod", ["venmo"]),
    _value("wrong_type", "data.usdAmount", "25.00"),
    _value("wrong_type", "data.usdAmount", None),
    _value("wrong_type", "data.buzzAmount", 2.5),
    _literal("wrong_type", "data.buzzAmount", "25000.0"),
    _value("wrong_type", "data.sessionId", 12345),
    _value("wrong_type", "data.errorMessage", {"code": 4}),
    _value("wrong_type", "data.errorMessage", False),
    _value("not_in_enum", "data.eventType", "refund"),
    _value("not_in_enum", "data.eventType", "Success"),
    _value("not_in_enum", "data.eventType", ""),
    _value("not_in_enum", "data.paymentMethod", "bitcoin"),
    _value("not_in_enum", "data.paymentMethod", "venmo "),
    _value("bad_timestamp", "timestamp", ""),
    _value("bad_timestamp", "timestamp", "yesterday"),
    _value("bad_timestamp", "timestamp", "2026-11-23"),
    _value("bad_timestamp", "timestamp", "2026-11-23T17:00:00"),
    _value("bad_timestamp", "timestamp", "2026-11-23 17:00:00Z"),
    _value("bad_timestamp", "timestamp", "2026-11-23T17:00Z"),
    _value("bad_timestamp", "timestamp", "2026-11-23T17:00:00+0100"),
    _value("bad_timestamp", "timestamp", "2026-11-23T17:00:60Z"),
    _value("bad_timestamp", "timestamp", "2026-02-30T17:00:00Z"),
    _value("bad_timestamp", "timestamp", "0001-01-01T00:00:00Z"),
    _value("bad_timestamp", "timestamp", "9999-12-31T23:59:59Z"),
    _stamp(timedelta(days=1, minutes=1)),
    _stamp(timedelta(days=-90, minutes=-1)),
    _stamp(timedelta(days=-400)),
    _value("out_of_range", "userId", 0),
    _value("out_of_range", "userId", -1),
    _value("out_of_range", "userId", 2**32),
    _literal("out_of_range", "userId", "99999999999999999999999"),
    _value("out_of_range", "data.usdAmount", -0.01),
    _value("out_of_range", "data.usdAmount", 100_000_000),
    _value("out_of_range", "data.usdAmount", 25.001),
    _literal("out_of_range", "data.usdAmount", "1e400"),
    _value("out_of_range", "data.buzzAmount", -1),
    _value("out_of_range", "data.buzzAmount", 2**32),
    _value("out_of_range", "data.sessionId", ""),
    _value("out_of_range", "data.sessionId", "s" * 129),
    _value("out_of_range", "data.sessionId", "line\nbreak"),
    _value("out_of_range", "data.sessionId", "next\x85line"),
)
