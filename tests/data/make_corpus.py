"""Writes corpus.jsonl: records classified by hand, each with what the contract says about it.

    python -m tests.data.make_corpus

The verdicts below are written down from the contract, never computed by the code they test. What a line of the
file holds is said in tests/data/README.md.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("corpus.jsonl")
KAFKA = "2026-11-23T17:00:01.500"
SESSION = "3b241101-e2bb-4255-8caf-4136c566a962"
TOP = {"event": '"zkp2p_payment"', "userId": "42", "timestamp": '"2026-11-23T17:00:00.123Z"'}
DATA = {
    "eventType": '"error"',
    "paymentMethod": '"venmo"',
    "usdAmount": "25.00",
    "buzzAmount": "25000",
    "sessionId": f'"{SESSION}"',
    "errorMessage": '"declined"',
}
ROW: dict[str, Any] = {
    "userId": 42,
    "sessionId": SESSION,
    "eventType": "error",
    "paymentMethod": "venmo",
    "usdAmount": "25.00",
    "buzzAmount": 25000,
    "errorMessage": "declined",
    "timestamp": "2026-11-23T17:00:00",
}


@dataclass
class Case:
    name: str
    value: bytes | None
    verdict: str
    code: str | None = None
    path: str | None = None
    row: dict[str, Any] = field(default_factory=dict)
    """What differs from ROW."""
    key: bytes | str | None = "sessionId"
    """The word sessionId stands for the row's own (or the usual one)."""
    kafka: str | int = KAFKA
    pad_to: int | None = None


def text(drop: str = "", more: str = "", more_data: str = "", **changed: str) -> bytes:
    """The usual record as JSON text, fields given as JSON text themselves."""
    data = ",".join(f'"{name}":{changed.get(name, usual)}' for name, usual in DATA.items() if name != drop)
    top = [f'"{name}":{changed.get(name, usual)}' for name, usual in TOP.items() if name != drop]
    if drop != "data":
        top.append(f'"data":{changed.get("data", "{" + data + more_data + "}")}')
    return ("{" + ",".join(top) + more + "}").encode("utf-8", "surrogatepass")


def pay(name: str, value: bytes, **row: Any) -> Case:
    return Case(name, value, "payment", row=row)


def reject(name: str, value: bytes | None, code: str, path: str = "") -> Case:
    return Case(name, value, "reject", code, path)


def ignore(name: str, value: bytes) -> Case:
    return Case(name, value, "ignored")


def short(fragment: str) -> str:
    return fragment if len(fragment) < 48 else f"{fragment[:30]}... ({len(fragment)} characters)"


def each(path: str, code: str, *fragments: str) -> Iterator[Case]:
    """The usual record with one field spelled in ways that are all refused alike."""
    name = path.removeprefix("data.")
    for fragment in fragments:
        where = "" if code == "not_json" else path
        yield reject(f"{path} = {short(fragment)}", text(**{name: fragment}), code, where)


def structure() -> Iterator[Case]:
    usual = text()
    yield pay("the usual record", usual)
    yield reject("tombstone", None, "empty")
    yield reject("no bytes", b"", "empty")
    for name, value in {
        "a space": b" ",
        "a NUL byte": b"\0",
        "plain text": b"hello",
        "undefined": b"undefined",
        "an open brace": b"{",
        "cut short": usual[:-1],
        "cut in the middle": usual[:100],
        "one brace too many": usual + b"}",
        "trailing word": usual + b" x",
        "trailing NUL": usual + b"\0",
        "two objects": usual + usual,
        "two objects on two lines": usual + b"\n" + usual,
        "trailing comma in the object": text(more=","),
        "trailing comma in data": text(more_data=","),
        "leading comma": b"{," + usual[1:],
        "two commas": usual.replace(b",", b",,", 1),
        "no comma": usual.replace(b',"userId"', b' "userId"'),
        "no colon": usual.replace(b'"userId":', b'"userId" '),
        "key without quotes": usual.replace(b'"userId"', b"userId"),
        "single quotes": usual.replace(b'"', b"'"),
        "a comment": usual.replace(b",", b", /* who */", 1),
        "byte order mark": b"\xef\xbb\xbf" + usual,
        "UTF-16 with a byte order mark": usual.decode().encode("utf-16"),
        "UTF-16 little endian": usual.decode().encode("utf-16-le"),
        "UTF-32 big endian": usual.decode().encode("utf-32-be"),
        "gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + usual,
        "schema registry prefix": b"\0\0\0\0\1" + usual,
        "form feed before": b"\f" + usual,
        "no-break space before": b"\xc2\xa0" + usual,
        "vertical tab between": usual.replace(b",", b",\v", 1),
        "line separator between": usual.replace(b",", b",\xe2\x80\xa8", 1),
        "True": text(more=',"new":True'),
        "NULL": text(more=',"new":NULL'),
        "nul": text(more=',"new":nul'),
        "base64 of the record": base64.b64encode(usual),
        "record as a string of a string, cut": json.dumps(usual.decode()).encode()[:-1],
        "mismatched brackets": text(more=',"new":[}'),
        "unclosed array": text(more=',"new":[1'),
    }.items():
        yield reject(name, value, "not_json")
    for name, value in {
        "null": b"null",
        "true": b"true",
        "an integer": b"1",
        "a fraction": b"1.5",
        "1e400": b"1e400",
        "a string": b'"zkp2p_payment"',
        "the record in a string": json.dumps(usual.decode()).encode(),
        "an empty array": b"[]",
        "the record in an array": b"[" + usual + b"]",
        "an integer of 5000 digits": b"7" * 5000,
    }.items():
        yield reject(f"{name} for a value", value, "not_an_object")
    yield pay("whitespace all around", b" \t\r\n" + usual + b" \t\r\n")
    yield pay("pretty-printed", json.dumps(json.loads(usual), indent=4).encode())
    yield pay("fields in another order", json.dumps(dict(reversed(json.loads(usual).items()))).encode())
    yield pay("every character of every key and string escaped", escaped_all(usual))
    yield Case("exactly 1 MiB", usual, "payment", pad_to=1 << 20)
    yield Case("1 MiB and a byte", usual, "reject", "too_large", "", pad_to=(1 << 20) + 1)
    yield Case("2 MiB of another event", text(event='"page_view"'), "reject", "too_large", "", pad_to=2 << 20)
    yield Case("1 MiB and a byte of no JSON", b"{", "reject", "too_large", "", pad_to=(1 << 20) + 1)
    yield Case("1 MiB of no JSON", b"{", "reject", "not_json", "", pad_to=1 << 20)


def escaped_all(value: bytes) -> bytes:
    """The same JSON with every string written in escapes."""

    def write(item: Any) -> str:
        if isinstance(item, dict):
            return "{" + ",".join(f"{write(key)}:{write(inner)}" for key, inner in item.items()) + "}"
        return '"' + "".join(f"\\u{ord(c):04x}" for c in item) + '"' if isinstance(item, str) else str(item)

    return write(json.loads(value)).encode()


def encoding() -> Iterator[Case]:
    bad = {
        "0xff": b"\xff",
        "a lone continuation byte": b"\x80",
        "an overlong slash": b"\xc0\xaf",
        "an overlong NUL": b"\xc0\x80",
        "a surrogate in UTF-8": b"\xed\xa0\x80",
        "a surrogate pair in UTF-8 (CESU-8)": b"\xed\xa0\xbd\xed\xb8\x80",
        "beyond U+10FFFF": b"\xf4\x90\x80\x80",
        "a character cut short": b"\xe2\x82",
        "Latin-1": b"caf\xe9",
    }
    for name, value in bad.items():
        mark = text(sessionId='"@"')
        yield reject(f"sessionId holds {name}", mark.replace(b"@", value), "not_json")
    for place, mark in {
        "errorMessage": text(errorMessage='"@"'),
        "paymentMethod": text(paymentMethod='"@"'),
        "timestamp": text(timestamp='"@"'),
        "event": text(event='"@"'),
        "a new field": text(more=',"new":"@"'),
        "a new field of data": text(more_data=',"new":"@"'),
        "a new field's name": text(more=',"@":1'),
        "an array in a new field": text(more=',"new":[["@"]]'),
        "another event": text(event='"page_view"', more=',"new":"@"'),
        "a value that a duplicate key replaces": text(more=',"new":"@","new":1'),
    }.items():
        yield reject(f"invalid UTF-8 in {place}", mark.replace(b"@", b"\xff"), "not_json")
        yield reject(f"a lone surrogate in {place}", mark.replace(b"@", b"\\ud800"), "not_json")
    for escape in (r"\udc00", r"\ud800\ud800", r"\udc00\ud800", r"\uD83Dx", r"\ud83d\u0041", r"\ud83d\n", r"\uDFFF"):
        yield reject(f"sessionId holds {escape}", text(sessionId=f'"{escape}"'), "not_json")
    for escape in (r"\x41", r"\u12", r"\u 123", r"\u00g0", r"\U00000041", "\\", r"\a", r"\'", r"\0"):
        yield reject(f"sessionId holds the escape {escape}", text(sessionId=f'"{escape}"'), "not_json")
    for raw in ("\0", "\x01", "\t", "\n", "\r", "\x1f"):
        yield reject(f"a raw U+{ord(raw):04X} in sessionId", text(sessionId=f'"a{raw}b"'), "not_json")
        yield reject(f"a raw U+{ord(raw):04X} in a new field", text(more=f',"new":"a{raw}b"'), "not_json")
    yield pay("a surrogate pair in escapes", text(sessionId=r'"\ud83d\ude00"'), sessionId="😀")
    yield pay("a surrogate pair in capitals", text(sessionId=r'"\uD83D\uDE00"'), sessionId="😀")
    yield pay("the letters of a surrogate escape", text(sessionId=r'"\\ud800"'), sessionId=r"\ud800")
    yield pay("a raw DEL in errorMessage", text(errorMessage='"a\x7fb"'), errorMessage="a\x7fb")


def nesting() -> Iterator[Case]:
    def deep(levels: int) -> str:
        return "[" * levels + "]" * levels

    def deep_objects(levels: int) -> str:
        return '{"a":' * levels + "1" + "}" * levels

    yield pay("64 levels", text(more=f',"new":{deep(63)}'))
    yield reject("65 levels", text(more=f',"new":{deep(64)}'), "not_json")
    yield pay("64 levels of objects", text(more=f',"new":{deep_objects(63)}'))
    yield reject("65 levels of objects", text(more=f',"new":{deep_objects(64)}'), "not_json")
    yield pay("64 levels in data", text(more_data=f',"new":{deep(62)}'))
    yield reject("65 levels in data", text(more_data=f',"new":{deep(63)}'), "not_json")
    yield reject("65 levels that a duplicate key replaces", text(more=f',"new":{deep(64)},"new":1'), "not_json")
    yield reject("10,000 levels", text(more=f',"new":{deep(10_000)}'), "not_json")
    yield reject("10,000 open brackets", b"[" * 10_000, "not_json")
    yield reject("10,000 open objects", b'{"a":' * 10_000, "not_json")
    yield reject("an array of 65 levels", deep(65).encode(), "not_json")
    yield reject("an array of 64 levels", deep(64).encode(), "not_an_object")
    yield ignore("another event of 64 levels", text(event='"page_view"', more=f',"new":{deep(63)}'))
    yield reject("another event of 65 levels", text(event='"page_view"', more=f',"new":{deep(64)}'), "not_json")
    yield pay("200 brackets side by side", text(more=f',"new":[{",".join(["[]"] * 200)}]'))
    yield pay("200 brackets in a string", text(more=f',"new":"{"[" * 200}"'))
    yield pay("200 brackets in an errorMessage", text(errorMessage=f'"{"{[" * 100}"'), errorMessage="{[" * 100)
    yield pay("brackets after an escaped quote", text(more=r',"new":"\"' + "[" * 200 + '"'))
    yield pay("brackets after an escaped backslash", text(more=r',"new":"\\",' + f'"newer":{deep(63)}'))


def event() -> Iterator[Case]:
    yield reject("no event", text(drop="event"), "missing_field", "event")
    yield reject("an empty object", b"{}", "missing_field", "event")
    yield reject("Event in a capital", text(drop="event", more=',"Event":"zkp2p_payment"'), "missing_field", "event")
    yield from each("event", "wrong_type", "null", "1", "1e400", "true", "[]", '["zkp2p_payment"]', "{}")
    for name in ("page_view", "", "ZKP2P_PAYMENT", "zkp2p_payment ", "zkp2p_payments", "zkp2p", "оплата", r"\u0000"):
        yield ignore(f'event "{name}"', text(event=f'"{name}"'))
    yield ignore("another event, nothing else", b'{"event":"x"}')
    yield ignore("another event, all fields wrong", b'{"event":"x","userId":null,"timestamp":1,"data":[1e400]}')
    yield ignore("another event with numbers of any size", b'{"event":"x","a":' + b"9" * 5000 + b',"b":-1E999}')
    yield ignore("another event in Chinese", '{"event":"付款","data":"你好"}'.encode())
    yield ignore("another event with a duplicate event before", text(more=',"event":"x"'))
    yield reject("another event cut short", b'{"event":"x","a":1', "not_json")
    yield reject("another event with NaN", b'{"event":"x","a":NaN}', "not_json")
    yield reject("another event with 01", b'{"event":"x","a":01}', "not_json")
    yield pay("event in escapes", text(event=r'"zkp2p\u005fpayment"'))


def user_id() -> Iterator[Case]:
    for number in (1, 2, 4294967295):
        yield pay(f"userId {number}", text(userId=str(number)), userId=number)
    yield reject("no userId", text(drop="userId"), "missing_field", "userId")
    yield reject("UserId in a capital", text(drop="userId", more=',"UserId":42'), "missing_field", "userId")
    yield reject("userId inside data", text(drop="userId", more_data=',"userId":42'), "missing_field", "userId")
    yield from each("userId", "wrong_type", "null", "true", "false", '"42"', '""', "[42]", "{}")
    yield from each("userId", "wrong_type", "42.0", "1e3", "1E3", "4.2e1", "42e0", "-0.0", "1.5", "1e400", "-1e400")
    yield from each("userId", "out_of_range", "0", "-0", "-1", "4294967296", "-4294967296")
    yield from each("userId", "out_of_range", "9223372036854775807", "9223372036854775808", "-9223372036854775809")
    yield from each("userId", "out_of_range", "18446744073709551615", "18446744073709551616", "4294967338")
    yield from each("userId", "out_of_range", "1" + "0" * 30, "9" * 400, "9" * 5000, "-" + "9" * 5000)
    yield from each("userId", "not_json", "042", "00", "+42", "42.", ".42", "0x2A", "4_2", "42n", "1e", "1e+", "--42")
    yield from each(
        "userId", "not_json", "NaN", "Infinity", "-Infinity", "- 42", "٤٢", "4２", "42 42", "", "-", "0" * 5000
    )


def timestamp() -> Iterator[Case]:
    own = {
        "2026-11-23T17:00:00Z": "2026-11-23T17:00:00",
        "2026-11-23T17:00:00.0Z": "2026-11-23T17:00:00",
        "2026-11-23T17:00:00.9Z": "2026-11-23T17:00:00",
        "2026-11-23T17:00:00.999Z": "2026-11-23T17:00:00",
        "2026-11-23T17:00:00.999999Z": "2026-11-23T17:00:00",
        "2026-11-23T17:00:00.999999999Z": "2026-11-23T17:00:00",
        "2026-11-23T17:00:00.9999999999999999999999Z": "2026-11-23T17:00:00",
        f"2026-11-23T17:00:00.{'9' * 400}Z": "2026-11-23T17:00:00",
        "2026-11-23T00:00:00Z": "2026-11-23T00:00:00",
        "2026-11-23T23:59:59Z": "2026-11-23T23:59:59",
        "2026-11-23T17:00:00+00:00": "2026-11-23T17:00:00",
        "2026-11-23T17:00:00-00:00": "2026-11-23T17:00:00",
        "2026-11-23T17:00:00.123456+00:00": "2026-11-23T17:00:00",
        "2026-11-24T07:00:00+14:00": "2026-11-23T17:00:00",
        "2026-11-23T05:00:00-12:00": "2026-11-23T17:00:00",
        "2026-11-23T22:30:00.5+05:30": "2026-11-23T17:00:00",
        "2026-11-23T12:15:00-04:45": "2026-11-23T17:00:00",
        "2026-11-24T16:59:00+23:59": "2026-11-23T17:00:00",
        "2026-11-22T17:01:00-23:59": "2026-11-23T17:00:00",
        "2026-11-01T00:00:00+01:00": "2026-10-31T23:00:00",
        "2026-10-31T23:59:59-01:00": "2026-11-01T00:59:59",
    }
    for written, utc in own.items():
        yield pay(f"timestamp {short(written)}", text(timestamp=f'"{written}"'), timestamp=utc)
    yield pay("timestamp in escapes", text(timestamp=r'"2026-11-23\u005417:00:00Z"'))
    yield pay("no timestamp", text(drop="timestamp"), timestamp="2026-11-23T17:00:01")
    yield pay("null timestamp", text(timestamp="null"), timestamp="2026-11-23T17:00:01")
    yield from each(
        "timestamp", "wrong_type", "1795453200", "1795453200.5", "true", "[]", '["2026-11-23T17:00:00Z"]', "{}"
    )
    for written in (
        *("", " ", "now", "null", "1795453200", "2026-11-23", "2026-11-23T17", "2026-11-23T17Z", "2026-11-23T17:00Z"),
        *("2026-11-23T17:00:00", "2026-11-23T17:00:00.123", "2026-11-23 17:00:00Z", "2026-11-23t17:00:00Z"),
        *("2026-11-23T17:00:00z", "2026-11-23T17:00:00 Z", "2026-11-23T17:00:00UTC", "2026-11-23T17:00:00ZZ"),
        *("2026-11-23T17:00:00+0000", "2026-11-23T17:00:00+00", "2026-11-23T17:00:00+0:00", "2026-11-23T17:00:00+1:00"),
        *(
            "2026-11-23T17:00:00+24:00",
            "2026-11-23T17:00:00-24:00",
            "2026-11-23T17:00:00+14:60",
            "2026-11-23T17:00:00+99:99",
        ),
        *(
            "2026-11-23T17:00:00,00:00",
            "2026-11-23T17:00:00+00:00Z",
            "2026-11-23T17:00:00Z+00:00",
            "2026-11-23T17:00:00+00:00:00",
        ),
        *(
            "2026-11-23T17:00:00.Z",
            "2026-11-23T17:00:00.+00:00",
            "2026-11-23T17:00:00,123Z",
            "2026-11-23T17:00:00.12a3Z",
        ),
        *("2026-11-23T17:00:00.1.2Z", "2026-11-23T17:00:00.-1Z", "2026-11-23T17:00:60Z", "2026-11-23T23:59:60Z"),
        *("2026-11-23T17:00:61Z", "2026-11-23T17:60:00Z", "2026-11-23T24:00:00Z", "2026-11-23T25:00:00Z"),
        *(
            "2026-11-31T17:00:00Z",
            "2026-11-00T17:00:00Z",
            "2026-13-23T17:00:00Z",
            "2026-00-23T17:00:00Z",
            "2026-02-29T17:00:00Z",
        ),
        *(
            "2026-11-23T7:00:00Z",
            "2026-1-23T17:00:00Z",
            "26-11-23T17:00:00Z",
            "02026-11-23T17:00:00Z",
            "+2026-11-23T17:00:00Z",
        ),
        *(
            "-2026-11-23T17:00:00Z",
            "20261123T170000Z",
            "2026-W48-1T17:00:00Z",
            "2026-327T17:00:00Z",
            "2026/11/23T17:00:00Z",
        ),
        *(" 2026-11-23T17:00:00Z", "2026-11-23T17:00:00Z ", r"2026-11-23T17:00:00Z\n", r"2026-11-23T17:00:00Z\u0000"),
        *("２０２６-11-23T17:00:00Z", "٢٠٢٦-11-23T17:00:00Z", "2026‐11‐23T17:00:00Z", "2026-11-23T17:00:00−01:00"),
        *("Mon, 23 Nov 2026 17:00:00 GMT", "2026-11-23T17:00:00[UTC]", "2026-11-23T17:00:00+01:00[Europe/Paris]"),
        *(
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2106-02-07T06:28:16Z",
        ),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2025-11-23T17:00:00Z", "2027-11-23T17:00:00Z"),
        "2" * 1000,
    ):
        yield reject(f'timestamp "{short(written)}"', text(timestamp=f'"{written}"'), "bad_timestamp", "timestamp")


def window() -> Iterator[Case]:
    """Against a Kafka record of 2026-11-23T17:00:01.500Z."""
    for name, written, utc in (
        ("90 days before", "2026-08-25T17:00:01.500Z", "2026-08-25T17:00:01"),
        ("90 days before and digits more", "2026-08-25T17:00:01.5000001Z", "2026-08-25T17:00:01"),
        ("90 days before less a millisecond", "2026-08-25T17:00:01.501Z", "2026-08-25T17:00:01"),
        ("1 day after", "2026-11-24T17:00:01.5Z", "2026-11-24T17:00:01"),
        ("1 day after in another zone", "2026-11-25T07:00:01.50+14:00", "2026-11-24T17:00:01"),
        ("1 day after and zeros more", "2026-11-24T17:00:01.500000000000Z", "2026-11-24T17:00:01"),
        ("1 day after less a nanosecond", "2026-11-24T17:00:01.499999999Z", "2026-11-24T17:00:01"),
        ("1 day after less a second", "2026-11-24T17:00:00.9Z", "2026-11-24T17:00:00"),
    ):
        yield pay(name, text(timestamp=f'"{written}"'), timestamp=utc)
    for name, written in (
        ("90 days and a millisecond before", "2026-08-25T17:00:01.499Z"),
        ("90 days and a nanosecond before", "2026-08-25T17:00:01.499999999Z"),
        ("90 days and a second before", "2026-08-25T17:00:00Z"),
        ("1 day and a millisecond after", "2026-11-24T17:00:01.501Z"),
        ("1 day and a nanosecond after", "2026-11-24T17:00:01.500000001Z"),
        ("1 day and 1e-30 s after", "2026-11-24T17:00:01.500000000000000000000000000001Z"),
        ("1 day and a second after", "2026-11-24T17:00:03Z"),
    ):
        yield reject(name, text(timestamp=f'"{written}"'), "bad_timestamp", "timestamp")
    for name, kafka, written, second in (
        ("the first second there is", 0, "1970-01-01T00:00:00Z", 0),
        ("the first second in another zone", 0, "1969-12-31T23:00:00-01:00", 0),
        ("the last second there is", 4294967295999, "2106-02-07T06:28:15.999Z", 4294967295),
        ("a leap day", "2028-02-29T12:00:00", "2028-02-29T12:00:00Z", 1835438400),
        ("a leap day of a century", "2000-02-29T12:00:00", "2000-02-29T12:00:00.5Z", 951825600),
        ("the last second of a year", "2026-12-31T23:59:59", "2026-12-31T23:59:59Z", 1798761599),
    ):
        yield Case(name, text(timestamp=f'"{written}"'), "payment", row={"timestamp": second}, kafka=kafka)
    for name, kafka, written in (
        ("a second before there are any", 0, "1969-12-31T23:59:59Z"),
        ("a fraction before there are any", 0, "1969-12-31T23:59:59.999999Z"),
        ("before there are any by its zone", 0, "1970-01-01T00:00:00+00:01"),
        ("a second after the last", 4294967295999, "2106-02-07T06:28:16Z"),
        ("no leap day in 2100", "2100-02-28T12:00:00", "2100-02-29T12:00:00Z"),
        ("no leap day in 2027", "2027-02-28T12:00:00", "2027-02-29T12:00:00Z"),
        ("a Kafka record without a timestamp", -1, "2026-11-23T17:00:00Z"),
        ("a Kafka record without a timestamp, an event of 1970", -1, "1970-01-01T00:00:00Z"),
        ("a Kafka record from long ago", 0, "2026-11-23T17:00:00Z"),
        ("a Kafka record of the far future", (1 << 63) - 1, "2026-11-23T17:00:00Z"),
    ):
        value = text(timestamp=f'"{written}"')
        yield Case(name, value, "reject", "bad_timestamp", "timestamp", kafka=kafka)
    for kafka, second in ((0, 0), (999, 0), (1000, 1), (4294967295999, 4294967295)):
        value = text(drop="timestamp")
        yield Case(f"no timestamp, Kafka's is {kafka} ms", value, "payment", row={"timestamp": second}, kafka=kafka)
    for kafka in (-1, 4294967296000, (1 << 63) - 1):
        for spelled, value in (("no", text(drop="timestamp")), ("null", text(timestamp="null"))):
            name = f"{spelled} timestamp, Kafka's is {kafka} ms"
            yield Case(name, value, "reject", "bad_timestamp", "timestamp", kafka=kafka)


def data() -> Iterator[Case]:
    yield reject("no data", text(drop="data"), "missing_field", "data")
    yield from each("data", "wrong_type", "null", "[]", '"{}"', "1", "false", "[{}]")
    yield reject("empty data", text(data="{}"), "missing_field", "data.eventType")
    flat = ",".join(f'"{name}":{usual}' for name, usual in {**TOP, **DATA}.items())
    yield reject("fields not in data", b"{" + flat.encode() + b"}", "missing_field", "data")
    for name in DATA:
        if name != "errorMessage":
            yield reject(f"no {name}", text(drop=name), "missing_field", f"data.{name}")
    for choice in ("attempt", "success", "error", "abandoned"):
        yield pay(f"eventType {choice}", text(eventType=f'"{choice}"'), eventType=choice)
    yield pay("eventType in escapes", text(eventType=r'"\u0061ttempt"'), eventType="attempt")
    yield from each("data.eventType", "wrong_type", "null", "1", "true", '["error"]', "{}", "1e400")
    yield from each(
        "data.eventType", "not_in_enum", '""', '"Error"', '"ERROR"', '"errors"', '"err"', '" error"', '"error "'
    )
    yield from each(
        "data.eventType", "not_in_enum", '"failed"', '"abandon"', r'"error\u0000"', '"érror"', f'"{"e" * 1000}"'
    )
    for choice in ("venmo", "cashapp", "paypal", "zelle", "wise", "revolut"):
        yield pay(f"paymentMethod {choice}", text(paymentMethod=f'"{choice}"'), paymentMethod=choice)
    yield pay("paymentMethod in escapes", text(paymentMethod=r'"\u0076\u0065nmo"'))
    yield from each("data.paymentMethod", "wrong_type", "null", "2", "false", "[]", '{"venmo":1}', "0.0")
    yield from each(
        "data.paymentMethod", "not_in_enum", '""', '"Venmo"', '"cash_app"', '"CashApp"', '"bitcoin"', r'"zelle\n"'
    )


def amounts() -> Iterator[Case]:
    for written, usd in (
        *(
            ("25", "25.00"),
            ("25.0", "25.00"),
            ("25.000000", "25.00"),
            ("0", "0.00"),
            ("0.00", "0.00"),
            ("0.01", "0.01"),
        ),
        *(
            ("-0", "0.00"),
            ("-0.0", "0.00"),
            ("0e5", "0.00"),
            ("0e999999", "0.00"),
            ("1e2", "100.00"),
            ("1E2", "100.00"),
        ),
        *(("1.0E+3", "1000.00"), ("1e-2", "0.01"), ("2.5e1", "25.00"), ("2500e-2", "25.00"), ("0.00025e5", "25.00")),
        *(
            ("33.33", "33.33"),
            ("70.07", "70.07"),
            ("4.35", "4.35"),
            ("1.1", "1.10"),
            ("8.2", "8.20"),
            ("1234567.89", "1234567.89"),
        ),
        *(("99999999.99", "99999999.99"), ("99999999.98", "99999999.98"), ("9.999999999e7", "99999999.99")),
        *(("0.30000000000000004", "0.30"), ("19.990000000000002", "19.99"), ("19.989999999999998", "19.99")),
        *(
            ("0.1000000000000000055511151231257827", "0.10"),
            ("25.0000009", "25.00"),
            ("24.9999991", "25.00"),
            ("1e-7", "0.00"),
        ),
        *(("99999998.9900001", "99999998.99"), ("12345678.1200000004", "12345678.12"), ("25." + "0" * 5000, "25.00")),
    ):
        yield pay(f"usdAmount {short(written)}", text(usdAmount=written), usdAmount=usd)
    yield from each("data.usdAmount", "wrong_type", "null", '"25.00"', '""', "true", "[25]", '{"usd":25}')
    yield from each("data.usdAmount", "out_of_range", "-0.01", "-1", "-25.00", "-1e-7", "-99999999.99", "100000000")
    yield from each(
        "data.usdAmount", "out_of_range", "99999999.991", "99999999.995", "99999999.9900009", "1e8", "1e300"
    )
    yield from each(
        "data.usdAmount", "out_of_range", "1e400", "-1e400", "1E+999999", "1" + "0" * 400, "9" * 5000, "1e308"
    )
    yield from each("data.usdAmount", "out_of_range", "9223372036854775808", "18446744073709551616", "4294967296.5e9")
    yield from each(
        "data.usdAmount", "out_of_range", "19.999", "0.001", "0.005", "1.005", "1e-3", "25.000001", "24.999999"
    )
    yield from each(
        "data.usdAmount", "out_of_range", "25.0000011", "1e-6", "0.015", "33.333333333333336", "99999999.985"
    )
    yield from each(
        "data.usdAmount", "not_json", "25.", ".25", "025", "+25", "25,00", "$25", "1e", "1.0E+", "1e2.5", "2 5"
    )
    yield from each(
        "data.usdAmount",
        "not_json",
        "NaN",
        "-NaN",
        "Infinity",
        "-Infinity",
        "inf",
        "25f",
        "0x19",
        "1_000",
        "-.5",
        "00.5",
    )
    for number in (0, 1, 4294967295):
        yield pay(f"buzzAmount {number}", text(buzzAmount=str(number)), buzzAmount=number)
    yield pay("buzzAmount -0", text(buzzAmount="-0"), buzzAmount=0)
    yield from each(
        "data.buzzAmount", "wrong_type", "null", '"25000"', "true", "[]", "{}", "5.0", "1e3", "25000.5", "0.0", "1e400"
    )
    yield from each(
        "data.buzzAmount", "out_of_range", "-1", "4294967296", "9223372036854775808", "18446744073709551616"
    )
    yield from each("data.buzzAmount", "out_of_range", "1" * 400, "7" * 5000, "-9223372036854775808", "4294992296")
    yield from each("data.buzzAmount", "not_json", "007", "25_000", "25,000", "1.", "+5", "NaN", "2５")


def strings() -> Iterator[Case]:
    for name, written, session in (
        ("one character", "x", "x"),
        ("a space", " ", " "),
        ("128 characters", "a" * 128, "a" * 128),
        ("128 characters of 2 bytes", "é" * 128, "é" * 128),
        ("128 characters of 4 bytes", "😀" * 128, "😀" * 128),
        ("128 characters in escapes", r"\ud83d\ude00" * 128, "😀" * 128),
        ("a no-break space", "\u00a0", "\u00a0"),
        ("a line separator", "\u2028", "\u2028"),
        ("a byte order mark", "\ufeff", "\ufeff"),
        ("a noncharacter", "\uffff", "\uffff"),
        ("U+00C2 twice", "\u00c2\u00c2", "\u00c2\u00c2"),
        ("a tilde", "~", "~"),
        ("a slash in an escape", r"\/", "/"),
        ("quotes and backslashes", r"\"\\", '"\\'),
        ("combining marks", "e\u0301" * 64, "e\u0301" * 64),
    ):
        yield pay(f"sessionId of {name}", text(sessionId=f'"{written}"'), sessionId=session)
    yield from each("data.sessionId", "wrong_type", "null", "1", "true", "[]", "{}", "1.5")
    yield from each("data.sessionId", "out_of_range", '""', f'"{"a" * 129}"', f'"{"é" * 129}"', f'"{"😀" * 129}"')
    yield from each(
        "data.sessionId", "out_of_range", f'"{"a" * 10_000}"', r'"\u0000"', r'"\u0001"', r'"a\tb"', r'"a\n"'
    )
    yield from each(
        "data.sessionId", "out_of_range", r'"\r"', r'"\b"', r'"\f"', r'"\u001f"', r'"\u001F"', r'"\u007f"', '"a\x7f"'
    )
    yield from each(
        "data.sessionId", "out_of_range", r'"\u0080"', '"\x80"', '"a\x85b"', r'"\u009f"', '"\x9f"', f'"{"é" * 127}\x80"'
    )
    for name, written, message in (
        ("empty", '""', ""),
        ("null", "null", None),
        ("with control characters", r'"a\u0000\u0007\nb\u0085"', "a\0\a\nb\x85"),
        ("of 4096 characters", f'"{"m" * 4096}"', "m" * 4096),
        ("of 4097 characters", f'"{"m" * 4096}n"', "m" * 4096),
        ("of 4096 characters of 4 bytes", f'"{"😀" * 4096}"', "😀" * 4096),
        ("of 4097 characters of 2 bytes", f'"{"é" * 4097}"', "é" * 4096),
        ("of 5000 characters", f'"{"abcde" * 1000}"', ("abcde" * 1000)[:4096]),
        ("in Arabic", '"مرفوض"', "مرفوض"),
    ):
        yield pay(f"errorMessage {name}", text(errorMessage=written), errorMessage=message)
    yield pay("no errorMessage", text(drop="errorMessage"), errorMessage=None)
    for choice in ("attempt", "success", "abandoned"):
        yield pay(f"errorMessage of {choice}", text(eventType=f'"{choice}"'), eventType=choice)
    yield from each("data.errorMessage", "wrong_type", "1", "false", "[]", "{}", '["declined"]', "1e400")


def unknown_fields() -> Iterator[Case]:
    for name, more in {
        "a string": ',"new":"x"',
        "null": ',"new":null',
        "an object": ',"new":{"a":[1,2,{"b":null}]}',
        "1e400": ',"new":1e400',
        "an integer of 400 digits": f',"new":{"9" * 400}',
        "an integer of 5000 digits": f',"new":{"9" * 5000}',
        "a fraction of 5000 digits": f',"new":0.{"9" * 5000}',
        "-0": ',"new":-0',
        "a string of 5,000 characters": f',"new":"{"x" * 5_000}"',
        "unicode": ',"नया":"नमस्ते 😀"',
        "an empty name": ',"":""',
        "escapes": r',"new":"\"\\\/\b\f\n\r\t\u0041\ud83d\ude00"',
        "the name of a field of data": ',"usdAmount":"?"',
    }.items():
        yield pay(f"a new field: {name}", text(more=more))
        if "usdAmount" not in more:
            yield pay(f"a new field of data: {name}", text(more_data=more))
    yield pay("a hundred new fields", text(more="".join(f',"n{number}":{number}' for number in range(100))))
    yield pay("a new field and an integer of 5000 digits in capitals", text(more=f',"N":[{"1" * 5000},-{"2" * 5000}]'))
    for name, more in {
        "NaN": "NaN",
        "Infinity": "[-Infinity]",
        "a leading zero": "01",
        "a bare point": "1.",
        "a bad escape": r'"\x"',
        "a bad constant": "nil",
        "an unclosed string": '"x',
        "a leading zero and 5000 digits": "0" + "1" * 5000,
        "5000 digits and a bad escape": "1" * 5000 + r',"newer":"\x"',
    }.items():
        yield reject(f"a new field: {name}", text(more=f',"new":{more}'), "not_json")
        yield reject(f"a new field of data: {name}", text(more_data=f',"new":{more}'), "not_json")
    yield reject("a new field, userId wrong", text(userId="0", more=',"new":1'), "out_of_range", "userId")
    yield reject(
        "a new field, cents broken", text(usdAmount="1.001", more=',"new":1'), "out_of_range", "data.usdAmount"
    )


def duplicates() -> Iterator[Case]:
    yield pay("userId twice", text(more=',"userId":43'), userId=43)
    yield pay("userId wrong, then right", text(userId='"x"', more=',"userId":43'), userId=43)
    yield reject("userId right, then wrong", text(more=',"userId":"x"'), "wrong_type", "userId")
    yield reject("userId right, then null", text(more=',"userId":null'), "wrong_type", "userId")
    yield pay("userId twice, once in escapes", text(more=r',"user\u0049d":43'), userId=43)
    yield pay("timestamp, then null", text(more=',"timestamp":null'), timestamp="2026-11-23T17:00:01")
    yield pay(
        "timestamp null, then given",
        text(timestamp="null", more=',"timestamp":"2026-11-23T16:00:00Z"'),
        timestamp="2026-11-23T16:00:00",
    )
    yield pay("another event, then a payment", text(event='"x"', more=',"event":"zkp2p_payment"'))
    yield ignore("a payment, then another event", text(more=',"event":"x"'))
    yield reject("a payment, then no string", text(more=',"event":7'), "wrong_type", "event")
    yield pay("data null, then given", text(data="null", more=',"data":' + json.dumps(json.loads(text())["data"])))
    yield reject("data, then null", text(more=',"data":null'), "wrong_type", "data")
    yield reject(
        "data, then half of it", text(more=',"data":{"eventType":"error"}'), "missing_field", "data.paymentMethod"
    )
    yield pay("usdAmount broken, then whole", text(usdAmount="1.001", more_data=',"usdAmount":7'), usdAmount="7.00")
    yield reject("usdAmount whole, then broken", text(more_data=',"usdAmount":7.001'), "out_of_range", "data.usdAmount")
    yield pay(
        "sessionId with a control character, then without",
        text(sessionId=r'"\u0007"', more_data=',"sessionId":"s"'),
        sessionId="s",
    )
    yield pay("errorMessage, then null", text(more_data=',"errorMessage":null'), errorMessage=None)
    yield pay(
        "errorMessage wrong, then right",
        text(errorMessage="[]", more_data=',"errorMessage":"late"'),
        errorMessage="late",
    )


def order() -> Iterator[Case]:
    """The first rule that fails gives the code."""
    everything = dict.fromkeys(DATA, "[]")
    yield reject("all wrong", text(event="1", userId="-1", timestamp='""', **everything), "wrong_type", "event")
    yield reject("all wrong but event", text(userId="-1", timestamp='""', **everything), "out_of_range", "userId")
    yield reject(
        "userId missing, the rest wrong", text(drop="userId", timestamp='""', data="1"), "missing_field", "userId"
    )
    yield reject("timestamp and data wrong", text(timestamp='"x"', data="null"), "bad_timestamp", "timestamp")
    yield reject(
        "timestamp outside, data missing",
        text(timestamp='"2020-01-01T00:00:00Z"', drop="data"),
        "bad_timestamp",
        "timestamp",
    )
    for at, name in enumerate(DATA):
        wrong_from_here = dict.fromkeys(list(DATA)[at:], "{}")
        yield reject(f"wrong from {name} on", text(**wrong_from_here), "wrong_type", f"data.{name}")
    yield reject(
        "method unknown, amounts wrong",
        text(paymentMethod='"x"', usdAmount="-1", buzzAmount="-1"),
        "not_in_enum",
        "data.paymentMethod",
    )
    yield reject(
        "usdAmount broken, sessionId empty", text(usdAmount="0.001", sessionId='""'), "out_of_range", "data.usdAmount"
    )
    yield reject(
        "buzzAmount and sessionId wrong", text(buzzAmount="-1", sessionId='""'), "out_of_range", "data.buzzAmount"
    )
    yield reject("wrong fields in no JSON", text(userId="-1", usdAmount="NaN"), "not_json")
    yield reject(
        "wrong fields before bad UTF-8", text(userId="-1", errorMessage='"@"').replace(b"@", b"\xff"), "not_json"
    )


def keys() -> Iterator[Case]:
    yield Case("another key", text(), "payment", key=b"another")
    yield Case("no key", text(), "payment", key=None)
    yield Case("an empty key", text(), "payment", key=b"")
    yield Case("a key in capitals", text(), "payment", key=SESSION.upper().encode())
    yield Case("a key that is no UTF-8", text(), "payment", key=b"\xff\xfe")
    yield Case("a key in quotes", text(), "payment", key=f'"{SESSION}"'.encode())
    yield Case("a key with a zero byte", text(), "payment", key=SESSION.encode() + b"\0")
    yield Case(
        "a key composed otherwise", text(sessionId='"é"'), "payment", row={"sessionId": "é"}, key="e\u0301".encode()
    )
    yield Case("a key in Latin-1", text(sessionId='"é"'), "payment", row={"sessionId": "é"}, key=b"\xe9")
    yield Case("a tombstone with a key", None, "reject", "empty", "")
    yield Case("another event with another key", text(event='"x"'), "ignored", key=b"another")


def cases() -> list[Case]:
    makers = (
        *(structure, encoding, nesting, event, user_id, timestamp, window),
        *(data, amounts, strings, unknown_fields, duplicates, order, keys),
    )
    return [case for maker in makers for case in maker()]


def milliseconds(when: str | int) -> int:
    if isinstance(when, int):
        return when
    return round(datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp() * 1000)


def line(case: Case) -> dict[str, Any]:
    row = {**ROW, **case.row}
    if isinstance(row["timestamp"], str):
        row["timestamp"] = milliseconds(row["timestamp"]) // 1000
    key = row["sessionId"].encode() if isinstance(case.key, str) else case.key
    written: dict[str, Any] = {
        "name": case.name,
        "value": None if case.value is None else base64.b64encode(case.value).decode(),
        "padTo": case.pad_to,
        "key": None if key is None else base64.b64encode(key).decode(),
        "kafkaTimestampMs": milliseconds(case.kafka),
        "verdict": case.verdict,
        "code": case.code,
        "path": case.path,
        "row": row if case.verdict == "payment" else None,
        "keyMatches": key == row["sessionId"].encode() if case.verdict == "payment" else None,
    }
    return {name: item for name, item in written.items() if item is not None or name in ("value", "key")}


def corpus() -> str:
    return "".join(json.dumps(line(case)) + "\n" for case in cases())


if __name__ == "__main__":
    FILE.write_text(corpus(), encoding="ascii")
