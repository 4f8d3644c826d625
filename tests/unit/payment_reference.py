"""The contract once more, as plainly as can be: the judge that the real one is held against.

Slow, written a character at a time, and sharing nothing with `consumer.core`: it has its own JSON parser, calendar
and arithmetic.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from fractions import Fraction
from typing import Any

EVENT_TYPES = ["attempt", "success", "error", "abandoned"]
METHODS = ["venmo", "cashapp", "paypal", "zelle", "wise", "revolut"]
UINT32_MAX = 2**32 - 1
DAY = 86_400
ABSENT = object()
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}

Verdict = tuple[Any, ...]
"""("ignored",), ("reject", code, path) or ("payment", row)."""


class Wrong(Exception):  # a verdict, no error
    """Arguments: code and path."""


class Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


class Parser:
    """RFC 8259 by recursive descent, at most 64 levels deep."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def document(self) -> Any:
        value = self.value()
        if self.at < len(self.text):
            raise Wrong("not_json", "")
        return value

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self, expected: str) -> None:
        if not self.text.startswith(expected, self.at):
            raise Wrong("not_json", "")
        self.at += len(expected)

    def space(self) -> None:
        while self.peek() and self.peek() in " \t\r\n":
            self.at += 1

    def value(self) -> Any:
        self.space()
        result: Any = None
        first = self.peek()
        if first == "{":
            result = {}
            self.items("{", "}", lambda: self.member(result))
        elif first == "[":
            result = []
            self.items("[", "]", lambda: result.append(self.value()))
        elif first == '"':
            result = self.string()
        elif first in ("t", "f", "n"):
            word, result = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}[first]
            self.take(word)
        else:
            found = NUMBER.match(self.text, self.at)
            if found is None:
                raise Wrong("not_json", "")
            result = Number(found[0])
            self.at = found.end()
        self.space()
        return result

    def items(self, opening: str, closing: str, item: Callable[[], None]) -> None:
        self.depth += 1
        if self.depth > 64:
            raise Wrong("not_json", "")
        self.take(opening)
        self.space()
        if self.peek() != closing:
            item()
            while self.peek() == ",":
                self.take(",")
                item()
        self.take(closing)
        self.depth -= 1

    def member(self, members: dict[str, Any]) -> None:
        self.space()
        name = self.string()
        self.space()
        self.take(":")
        members[name] = self.value()

    def string(self) -> str:
        self.take('"')
        units: list[int] = []
        while self.peek() != '"':
            character = self.peek()
            if not character or ord(character) < 0x20:
                raise Wrong("not_json", "")
            self.at += 1
            if character == "\\":
                units.append(self.escape())
            else:
                units.append(ord(character))
        self.take('"')
        return self.join_surrogates(units)

    def escape(self) -> int:
        kind = self.peek()
        self.at += 1
        if kind == "u":
            digits = self.text[self.at : self.at + 4]
            if re.fullmatch("[0-9A-Fa-f]{4}", digits) is None:
                raise Wrong("not_json", "")
            self.at += 4
            return int(digits, 16)
        if kind not in ESCAPES:
            raise Wrong("not_json", "")
        return ord(ESCAPES[kind])

    def join_surrogates(self, units: list[int]) -> str:
        characters = []
        rest = iter(units)
        for unit in rest:
            character = unit
            if 0xD800 <= unit <= 0xDBFF:
                low = next(rest, 0)
                if not 0xDC00 <= low <= 0xDFFF:
                    raise Wrong("not_json", "")
                character = 0x10000 + (unit - 0xD800) * 0x400 + (low - 0xDC00)
            elif 0xDC00 <= unit <= 0xDFFF:
                raise Wrong("not_json", "")
            characters.append(chr(character))
        return "".join(characters)


def judge(value: bytes | None, kafka_ms: int) -> Verdict:
    """The verdict on one record."""
    try:
        return judge_value(value, kafka_ms)
    except Wrong as wrong:
        return ("reject", *wrong.args)


def judge_value(value: bytes | None, kafka_ms: int) -> Verdict:
    if value is not None and len(value) > 1024 * 1024:
        raise Wrong("too_large", "")
    if not value:
        raise Wrong("empty", "")
    try:
        document = Parser(value.decode("utf-8")).document()
    except UnicodeDecodeError:
        raise Wrong("not_json", "") from None
    if not isinstance(document, dict):
        raise Wrong("not_an_object", "")
    if string(document, "event") != "zkp2p_payment":
        return ("ignored",)
    user_id = integer(document, "userId", 1)
    timestamp = document.get("timestamp")
    if timestamp is None:
        seconds = kafka_ms // 1000
        if kafka_ms < 0 or seconds > UINT32_MAX:
            raise Wrong("bad_timestamp", "timestamp")
    else:
        seconds = instant(string(document, "timestamp"), kafka_ms)
    data = present(document, "data")
    if not isinstance(data, dict):
        raise Wrong("wrong_type", "data")
    return "payment", {
        "userId": user_id,
        "eventType": choice(data, "eventType", EVENT_TYPES),
        "paymentMethod": choice(data, "paymentMethod", METHODS),
        "usdAmount": amount(data),
        "buzzAmount": integer(data, "buzzAmount", 0, "data."),
        "sessionId": session(data),
        "errorMessage": error_message(data),
        "timestamp": seconds,
    }


def present(where: dict[str, Any], name: str, parent: str = "") -> Any:
    if name not in where:
        raise Wrong("missing_field", parent + name)
    return where[name]


def string(where: dict[str, Any], name: str, parent: str = "") -> str:
    value = present(where, name, parent)
    if type(value) is not str:
        raise Wrong("wrong_type", parent + name)
    return value


def integer(where: dict[str, Any], name: str, lowest: int, parent: str = "") -> int:
    value = present(where, name, parent)
    if type(value) is not Number or set(value) & set(".eE"):
        raise Wrong("wrong_type", parent + name)
    if len(value) > 20 or not lowest <= int(value) <= UINT32_MAX:
        raise Wrong("out_of_range", parent + name)
    return int(value)


def choice(data: dict[str, Any], name: str, choices: list[str]) -> str:
    value = string(data, name, "data.")
    if value not in choices:
        raise Wrong("not_in_enum", f"data.{name}")
    return value


def amount(data: dict[str, Any]) -> str:
    value = present(data, "usdAmount", "data.")
    if type(value) is not Number:
        raise Wrong("wrong_type", "data.usdAmount")
    double = float(value)
    if not 0 <= double <= 99999999.99:
        raise Wrong("out_of_range", "data.usdAmount")
    dollars = Fraction(repr(double))
    cents = round(dollars * 100)
    if abs(dollars - Fraction(cents, 100)) >= Fraction(1, 1_000_000):
        raise Wrong("out_of_range", "data.usdAmount")
    return f"{cents // 100}.{cents % 100:02}"


def session(data: dict[str, Any]) -> str:
    value = string(data, "sessionId", "data.")
    controls = any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in value)
    if controls or not 1 <= len(value) <= 128:
        raise Wrong("out_of_range", "data.sessionId")
    return value


def error_message(data: dict[str, Any]) -> str | None:
    if data.get("errorMessage") is None:
        return None
    return string(data, "errorMessage", "data.")[:4096]


def instant(written: str, kafka_ms: int) -> int:
    """Seconds since 1970, by counting."""
    bad = Wrong("bad_timestamp", "timestamp")
    form = "".join("0" if character in "0123456789" else character for character in written)
    zone = "Z" if written.endswith("Z") else written[-6:]
    fraction = written[19 : len(written) - len(zone)]
    if not form.startswith("0000-00-00T00:00:00"):
        raise bad
    if zone != "Z" and form[-6:] not in ("+00:00", "-00:00"):
        raise bad
    if len(written) < 19 + len(zone) or (fraction and (fraction[0] != "." or set(form[20 : -len(zone)]) != {"0"})):
        raise bad
    year, month, day = int(written[:4]), int(written[5:7]), int(written[8:10])
    hour, minute, second = int(written[11:13]), int(written[14:16]), int(written[17:19])
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= monthrange(year, month)[1]:
        raise bad
    if hour > 23 or minute > 59 or second > 59:
        raise bad
    offset = 0
    if zone != "Z":
        if int(zone[1:3]) > 23 or int(zone[4:6]) > 59:
            raise bad
        offset = (int(zone[1:3]) * 3600 + int(zone[4:6]) * 60) * (-1 if zone[0] == "-" else 1)
    earlier = year - 1
    days = earlier * 365 + earlier // 4 - earlier // 100 + earlier // 400 - 719_162
    days += sum(monthrange(year, each)[1] for each in range(1, month)) + day - 1
    seconds = days * DAY + hour * 3600 + minute * 60 + second - offset
    exact = seconds + (Fraction("0" + fraction) if fraction else 0)
    kafka = Fraction(kafka_ms, 1000)
    if not 0 <= seconds <= UINT32_MAX or kafka_ms < 0 or not kafka - 90 * DAY <= exact <= kafka + DAY:
        raise bad
    return seconds
