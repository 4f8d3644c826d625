"""The exact judge of one record, in the order of the contract: the first rule that fails gives the code.

Slow next to `consumer.core.payment` (which asks it about everything unusual) and complete: whatever the
columns accept, this accepts with the same values. Raises nothing for bad data.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import msgspec

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
    LooseData,
    LoosePayment,
    Payment,
    PaymentData,
)
from consumer.core.problems import ABSENT, INFINITY, Problem, kind, quote, wrong, wrong_type

_decode = msgspec.json.Decoder(LoosePayment, float_hook=float).decode
"""With the hook, as in `strict_json`, 1e400 is infinity and no error."""
_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f]")
_NOISE = Decimal(repr(USD_NOISE))
_SURELY_FINE, _SURELY_WRONG = 0.97 * USD_NOISE, 1.03 * USD_NOISE
"""Doubles near 100 million are 1.5e-8 apart: between these two bounds only decimals can tell."""
_EVENT_TYPE_EXPECTED = "one of " + ", ".join(EVENT_TYPES)
_METHOD_EXPECTED = "one of " + ", ".join(PAYMENT_METHODS)
_NAMES = tuple(zip(LoosePayment.__struct_fields__, LoosePayment.__struct_encode_fields__, strict=True))
_NAMES_OF_DATA = tuple(zip(LooseData.__struct_fields__, LooseData.__struct_encode_fields__, strict=True))
_USD_EXPECTED = f"a number 0..{USD_MAX:.2f} in whole cents"
_SESSION_ID_EXPECTED = f"1..{SESSION_ID_LENGTH_MAX} characters, none of them a control character"


def verdict(value: bytes | None, kafka_ms: int, index: int = 0) -> Payment | Reject | None:
    """Judge one record's value; None: another event, to be ignored.

    `kafka_ms` is the Kafka record's timestamp in milliseconds since 1970, negative where it has none;
    `index` is for the reject only.
    """
    event = _read(value)
    if isinstance(event, tuple):
        return Reject(index, *event)
    name = event.event
    if name != EVENT and type(name) is str:
        return None
    problem = _check(event, kafka_ms)
    return Reject(index, *problem) if problem else _payment(event)


def settle(payment: Payment, kafka_ms: int, index: int, seconds: int | None = None) -> tuple[int, int] | Reject:
    """Judge what the types of a decoded payment don't say, in the same order.

    Gives its amount in cents and its second since 1970; `seconds` is the latter where it is known already.
    """
    if seconds is None:
        judged = _seconds(payment.timestamp, kafka_ms)
        if isinstance(judged, tuple):
            return Reject(index, *judged)
        seconds = judged
    data = payment.data
    cents = _cents(data.usd_amount)
    if isinstance(cents, tuple):
        return Reject(index, *cents)
    problem = _check_session_id(data.session_id)
    return Reject(index, *problem) if problem else (cents, seconds)


def _read(value: bytes | None) -> LoosePayment | Problem:
    if not value:
        found = "is null (a tombstone)" if value is None else "has no bytes"
        return "empty", "", f"value {found}, expected a JSON object"
    if len(value) > VALUE_BYTES_MAX:
        return "too_large", "", f"value is {len(value)} bytes, expected at most {VALUE_BYTES_MAX}"
    try:
        if not value.isascii():
            value.decode()  # of what it skips, msgspec checks all but this
        event = _decode(value)
    except msgspec.ValidationError:
        return _read_unusual(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return "not_json", "", f"value {strict_json.explain(value, error)}"
    if strict_json.too_deep(value):
        return "not_json", "", f"value {strict_json.TOO_DEEP}"
    return event


def _read_unusual(value: bytes) -> LoosePayment | Problem:
    """No object, or `data` is none, or an integer is too long."""
    document = strict_json.parse(value)
    if type(document) is strict_json.NotJson:
        return "not_json", "", f"value {document}"
    if type(document) is not dict:
        return "not_an_object", "", f"value is {kind(document)}, expected a JSON object"
    data: Any = document.get("data", ABSENT)
    if type(data) is dict:
        data = LooseData(**{name: data[key] for name, key in _NAMES_OF_DATA if key in data})
    fields = {name: document[key] for name, key in _NAMES if key in document}
    return LoosePayment(**{**fields, "data": data})


def _check(event: LoosePayment, kafka_ms: int) -> Problem | None:
    if event.event != EVENT:
        return wrong_type("event", event.event, f'the string "{EVENT}" or the name of another event')
    # What is right is told without a call: a topic may be full of records with one thing wrong.
    user_id = event.user_id
    if type(user_id) is not int or not 1 <= user_id <= UINT32_MAX:
        return _wrong_integer("userId", user_id, 1)
    seconds = _seconds(event.timestamp, kafka_ms)
    if isinstance(seconds, tuple):
        return seconds
    data = event.data
    if type(data) is not LooseData:
        return wrong_type("data", data, "an object with the fields of the payment")
    if data.event_type not in EVENT_TYPES:
        return _wrong_choice("data.eventType", data.event_type, _EVENT_TYPE_EXPECTED)
    if data.payment_method not in PAYMENT_METHODS:
        return _wrong_choice("data.paymentMethod", data.payment_method, _METHOD_EXPECTED)
    problem = _check_usd(data.usd_amount)
    if problem is not None:
        return problem
    buzz = data.buzz_amount
    if type(buzz) is not int or not 0 <= buzz <= UINT32_MAX:
        return _wrong_integer("data.buzzAmount", buzz, 0)
    return _check_session_id(data.session_id) or _check_error_message(data.error_message)


def _payment(event: LoosePayment) -> Payment:
    """Of an event without a problem."""
    data: Any = event.data
    return Payment(
        EVENT,
        event.user_id,
        PaymentData(
            data.event_type,
            data.payment_method,
            float(data.usd_amount),
            data.buzz_amount,
            data.session_id,
            data.error_message,
        ),
        event.timestamp,
    )


def _wrong_integer(path: str, value: object, lowest: int) -> Problem:
    expected = f"an integer {lowest}..{UINT32_MAX}, written without fraction or exponent"
    if type(value) is int:
        return wrong("out_of_range", path, value, expected)
    return wrong_type(path, value, expected)


def _wrong_choice(path: str, value: object, expected: str) -> Problem:
    if type(value) is str:
        return wrong("not_in_enum", path, value, expected)
    return wrong_type(path, value, expected)


def _check_usd(value: object) -> Problem | None:
    if type(value) is not float and type(value) is not int:
        return wrong_type("data.usdAmount", value, _USD_EXPECTED)
    try:
        cents = _cents(float(value))
    except OverflowError:  # an integer of more than 308 digits
        cents = _cents(INFINITY if value > 0 else -INFINITY)
    return cents if isinstance(cents, tuple) else None


def _cents(usd: float) -> int | Problem:
    """Whole cents of an amount.

    Judged is the shortest decimal that stands for the same double, as nearly every producer's JSON library
    writes it: 0.30000000000000004 is 30 cents and noise, 25.000001 is a millionth too much.
    """
    if 0 <= usd <= USD_MAX:
        cents = round(usd * 100)
        noise = abs(usd - cents / 100)
        if noise < _SURELY_FINE:
            return cents
        if noise < _SURELY_WRONG and abs(Decimal(repr(usd)) - Decimal(cents).scaleb(-2)) < _NOISE:
            return cents
    return wrong("out_of_range", "data.usdAmount", usd, _USD_EXPECTED)


def _check_session_id(value: object) -> Problem | None:
    path = "data.sessionId"
    if type(value) is not str:
        return wrong_type(path, value, f"a string of {_SESSION_ID_EXPECTED}")
    if not 1 <= len(value) <= SESSION_ID_LENGTH_MAX:
        return "out_of_range", path, f"{path} has {len(value)} characters, expected {_SESSION_ID_EXPECTED}"
    control = _CONTROL.search(value)
    if control is None:
        return None
    found = f"the control character U+{ord(control[0]):04X} at {control.start()}"
    return "out_of_range", path, f"{path} has {found}, expected {_SESSION_ID_EXPECTED}"


def _check_error_message(value: object) -> Problem | None:
    if value is None or type(value) is str:
        return None
    return wrong_type("data.errorMessage", value, "a string, null or nothing")


def _seconds(timestamp: object, kafka_ms: int) -> int | Problem:
    """Second of an event: its own timestamp's, or the Kafka record's where it leaves its time to that."""
    if type(timestamp) is str:
        seconds = timestamps.parse(timestamp)
        if isinstance(seconds, str):
            return _bad_timestamp(seconds, timestamp)
        problem = _misplaced(timestamp, seconds, kafka_ms)
        return _bad_timestamp(problem, timestamp) if problem else seconds
    if timestamp is not None:
        return wrong_type("timestamp", timestamp, "an RFC 3339 string, null or nothing")
    if kafka_ms < 0:
        return _bad_timestamp("is missing, and the Kafka record has none either")
    if kafka_ms // 1000 > UINT32_MAX:
        return _bad_timestamp("is missing, and that of the Kafka record lies after 2106-02-07T06:28:15Z")
    return kafka_ms // 1000


def _misplaced(timestamp: str, seconds: int, kafka_ms: int) -> str | None:
    """What is wrong with where an event's own timestamp lies."""
    if not 0 <= seconds <= UINT32_MAX:
        return "lies outside 1970-01-01T00:00:00Z..2106-02-07T06:28:15Z"
    if kafka_ms < 0:
        return "can't be checked: the Kafka record has no timestamp to hold it against"
    after_ms = seconds * 1000 - kafka_ms
    if -AGE_MS_MAX <= after_ms < AHEAD_MS_MAX - 1000:
        return None
    # Near either end the digits after the point decide: three by number, the others by being there.
    digits = timestamps.fraction(timestamp)
    after_ms += int(digits[:3].ljust(3, "0"))
    if after_ms < -AGE_MS_MAX:
        return "lies more than 90 days before the timestamp of the Kafka record"
    if after_ms > AHEAD_MS_MAX or (after_ms == AHEAD_MS_MAX and digits[3:].strip("0")):
        return "lies more than 1 day after the timestamp of the Kafka record"
    return None


def _bad_timestamp(problem: str, value: str | None = None) -> Problem:
    shown = "" if value is None else f" {quote(value)}"
    return "bad_timestamp", "timestamp", f"timestamp{shown} {problem}"
