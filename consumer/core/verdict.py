"""The exact judge of one record, in the order of the contract: the first rule that fails gives the code.

Slow next to `consumer.core.payment` (which asks it about everything unusual) and complete: whatever the
columns accept, this accepts with the same values. Raises nothing for bad data.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, NamedTuple

from consumer.core import strict_json, timestamps
from consumer.core.batch import Reject
from consumer.core.contract import (
    AGE_MS_MAX,
    AHEAD_MS_MAX,
    EVENT,
    EVENT_TYPES,
    PAYMENT_METHODS,
    SESSION_ID_LENGTH_MAX,
    UINT32_MAX,
    USD_MAX,
    USD_NOISE,
    VALUE_BYTES_MAX,
    Payment,
    PaymentData,
)

_ABSENT: Final = object()
_QUOTE_LENGTH_MAX = 40
_CONTROL = frozenset(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
_CENT = Decimal("0.01")
_NOISE = Decimal(repr(USD_NOISE))
_SURELY_FINE = 0.97 * USD_NOISE
_INFINITY = float("inf")
_USD_EXPECTED = f"a number 0..{USD_MAX:.2f} in whole cents"
_SESSION_ID_EXPECTED = f"1..{SESSION_ID_LENGTH_MAX} characters, none of them a control character"
_KINDS = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


class Accepted(NamedTuple):
    """A payment with what its types don't show: the amount in cents and the event's second since 1970."""

    payment: Payment
    cents: int
    seconds: int


class _RefusedError(Exception):
    """Carries code, path and message out of the rule that failed."""


def verdict(value: bytes | None, kafka_ms: int, index: int = 0) -> Accepted | Reject | None:
    """Judge one record's value; None: another event, to be ignored.

    `kafka_ms` is the Kafka record's timestamp in milliseconds since 1970, negative where it has none;
    `index` is for the reject only.
    """
    try:
        return _judge_event(_document(value), kafka_ms)
    except _RefusedError as refused:
        return Reject(index, *refused.args)
    except strict_json.NotJsonError as error:
        return Reject(index, "not_json", "", f"value {error}")


def settle(payment: Payment, kafka_ms: int, index: int) -> Accepted | Reject:
    """Judge a decoded payment by what its types don't say, in the same order."""
    data = payment.data
    try:
        seconds = _seconds(payment.timestamp, kafka_ms)
        cents = _cents(data.usd_amount)
        _session_id(data.session_id)
    except _RefusedError as refused:
        return Reject(index, *refused.args)
    return Accepted(payment, cents, seconds)


def _document(value: bytes | None) -> dict[str, Any]:
    if value is None:
        raise _RefusedError("empty", "", "value is null (a tombstone), expected a JSON object")
    if len(value) > VALUE_BYTES_MAX:
        raise _RefusedError("too_large", "", f"value is {len(value)} bytes, expected at most {VALUE_BYTES_MAX}")
    if not value:
        raise _RefusedError("empty", "", "value has no bytes, expected a JSON object")
    document = strict_json.parse(value)
    if type(document) is not dict:
        raise _RefusedError("not_an_object", "", f"value is {_kind(document)}, expected a JSON object")
    return document


def _judge_event(document: dict[str, Any], kafka_ms: int) -> Accepted | None:
    event = document.get("event", _ABSENT)
    if type(event) is not str:
        raise _wrong_type("event", event, f'the string "{EVENT}" or the name of another event')
    if event != EVENT:
        return None
    user_id = _integer("userId", document.get("userId", _ABSENT), 1)
    timestamp = document.get("timestamp")
    seconds = _seconds(timestamp, kafka_ms)
    data = document.get("data", _ABSENT)
    if type(data) is not dict:
        raise _wrong_type("data", data, "an object with the fields of the payment")
    payment, cents = _judge_data(data)
    return Accepted(Payment(EVENT, user_id, payment, timestamp), cents, seconds)


def _judge_data(data: dict[str, Any]) -> tuple[PaymentData, int]:
    event_type = _choice("data.eventType", data.get("eventType", _ABSENT), EVENT_TYPES)
    method = _choice("data.paymentMethod", data.get("paymentMethod", _ABSENT), PAYMENT_METHODS)
    usd = data.get("usdAmount", _ABSENT)
    cents = _cents(usd)
    buzz = _integer("data.buzzAmount", data.get("buzzAmount", _ABSENT), 0)
    session_id = _session_id(data.get("sessionId", _ABSENT))
    message = data.get("errorMessage")
    if message is not None and type(message) is not str:
        raise _wrong_type("data.errorMessage", message, "a string, null or nothing")
    return PaymentData(event_type, method, float(usd), buzz, session_id, message), cents


def _integer(path: str, value: object, lowest: int) -> int:
    if type(value) is int and lowest <= value <= UINT32_MAX:
        return value
    expected = f"an integer {lowest}..{UINT32_MAX}, written without fraction or exponent"
    if type(value) is int:
        raise _wrong("out_of_range", path, value, expected)
    raise _wrong_type(path, value, expected)


def _choice(path: str, value: Any, choices: tuple[str, ...]) -> Any:
    if value in choices:
        return value
    expected = "one of " + ", ".join(choices)
    if type(value) is str:
        raise _wrong("not_in_enum", path, value, expected)
    raise _wrong_type(path, value, expected)


def _session_id(value: object) -> str:
    path, expected = "data.sessionId", _SESSION_ID_EXPECTED
    if type(value) is not str:
        raise _wrong_type(path, value, f"a string of {expected}")
    if not 1 <= len(value) <= SESSION_ID_LENGTH_MAX:
        raise _RefusedError("out_of_range", path, f"{path} has {len(value)} characters, expected {expected}")
    if (value.isascii() and value.isprintable()) or _CONTROL.isdisjoint(value):
        return value
    at, control = next((at, character) for at, character in enumerate(value) if character in _CONTROL)
    found = f"the control character U+{ord(control):04X} at {at}"
    raise _RefusedError("out_of_range", path, f"{path} has {found}, expected {expected}")


def _cents(value: Any) -> int:
    """Whole cents of an amount.

    Judged is the shortest decimal that stands for the same double, as nearly every producer's JSON library
    writes it: 0.30000000000000004 is 30 cents and noise, 25.000001 is a millionth too much.
    """
    path, expected = "data.usdAmount", _USD_EXPECTED
    if type(value) is not float and type(value) is not int:
        raise _wrong_type(path, value, expected)
    if not 0 <= value <= USD_MAX:
        raise _wrong("out_of_range", path, value, expected)
    cents = round(value * 100)
    if abs(value - cents / 100) < _SURELY_FINE:
        return cents
    amount = Decimal(repr(value))
    rounded = amount.quantize(_CENT)
    if abs(amount - rounded) >= _NOISE:
        raise _wrong("out_of_range", path, value, expected)
    return int(rounded * 100)


def _seconds(timestamp: object, kafka_ms: int) -> int:
    """Second of an event: its own timestamp's, or the Kafka record's where it leaves its time to that."""
    if timestamp is not None:
        return _own_seconds(timestamp, kafka_ms)
    if kafka_ms < 0:
        raise _bad_timestamp("is missing, and the Kafka record has none either")
    if kafka_ms // 1000 > UINT32_MAX:
        raise _bad_timestamp("is missing, and that of the Kafka record lies after 2106-02-07T06:28:15Z")
    return kafka_ms // 1000


def _own_seconds(timestamp: object, kafka_ms: int) -> int:
    if type(timestamp) is not str:
        raise _wrong_type("timestamp", timestamp, "an RFC 3339 string, null or nothing")
    try:
        seconds = timestamps.parse(timestamp)
    except timestamps.TimestampError as error:
        raise _bad_timestamp(str(error), timestamp) from None
    if not 0 <= seconds <= UINT32_MAX:
        raise _bad_timestamp("lies outside 1970-01-01T00:00:00Z..2106-02-07T06:28:15Z", timestamp)
    if kafka_ms < 0:
        raise _bad_timestamp("can't be checked: the Kafka record has no timestamp to hold it against", timestamp)
    after_ms = seconds * 1000 - kafka_ms
    if -AGE_MS_MAX <= after_ms < AHEAD_MS_MAX - 1000:
        return seconds
    # Near either end the digits after the point decide: three by number, the others by being there.
    digits = timestamps.fraction(timestamp)
    after_ms += int(digits[:3].ljust(3, "0"))
    if after_ms < -AGE_MS_MAX:
        raise _bad_timestamp("lies more than 90 days before the timestamp of the Kafka record", timestamp)
    if after_ms > AHEAD_MS_MAX or (after_ms == AHEAD_MS_MAX and digits[3:].strip("0")):
        raise _bad_timestamp("lies more than 1 day after the timestamp of the Kafka record", timestamp)
    return seconds


def _bad_timestamp(problem: str, value: str | None = None) -> _RefusedError:
    shown = "" if value is None else f" {_quote(value)}"
    return _RefusedError("bad_timestamp", "timestamp", f"timestamp{shown} {problem}")


def _wrong(code: str, path: str, value: object, expected: str) -> _RefusedError:
    return _RefusedError(code, path, f"{path} is {_quote(value)}, expected {expected}")


def _wrong_type(path: str, value: object, expected: str) -> _RefusedError:
    """A field that is missing or of another type."""
    if value is _ABSENT:
        return _RefusedError("missing_field", path, f"{path} is missing, expected {expected}")
    return _RefusedError("wrong_type", path, f"{path} is {_kind(value)}, expected {expected}")


def _kind(value: object) -> str:
    return _KINDS.get(type(value)) or f"the number {_quote(value)}"


def _quote(value: object) -> str:
    """A short scalar for a message: printable ASCII, cut."""
    if type(value) is str:
        cut = value[:_QUOTE_LENGTH_MAX]
        text = cut if cut.isascii() and cut.isprintable() else ascii(cut)[1:-1][:_QUOTE_LENGTH_MAX]
        return f'"{text}"' if cut == value else f'"{text}..."'
    if value in (_INFINITY, -_INFINITY):
        return "too large for a double"
    text = str(value)
    return text if len(text) <= _QUOTE_LENGTH_MAX else f"{text[:_QUOTE_LENGTH_MAX]}..."
