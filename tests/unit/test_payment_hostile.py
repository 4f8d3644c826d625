"""Input made to hurt: each is judged, none hangs, and none touches its neighbours."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from consumer.core import columns, payment, strict_json, timestamps
from consumer.core.batch import ROWS_SCHEMA, Reject
from consumer.core.contract import EVENT_TYPES, PAYMENT_METHODS, VALUE_BYTES_MAX, ClosedPayment, Payment
from consumer.core.payment import judge
from consumer.core.verdict import verdict
from tests.unit import payment_reference
from tests.unit.payments import KAFKA_MS, USUAL, judge_values, verdicts

MIB = 1 << 20


def with_more(fragment: bytes) -> bytes:
    return USUAL[:-1] + b',"new":' + fragment + b"}"


def only(value: bytes | None) -> tuple[object, ...]:
    """Its verdict between good neighbours, which stay good."""
    before, judged, after = verdicts(judge_values([USUAL, value, USUAL]), 3)
    assert before[0] == after[0] == "payment"
    return judged


# Each is up to 1 MiB of something that a careless parser takes quadratic time, memory or stack for. The time limit of
# the test run (in pyproject.toml) is what a hang would hit; linear work here is milliseconds.
HUGE: dict[str, tuple[Callable[[int], bytes], str]] = {
    "digits of userId": (lambda n: USUAL.replace(b"42", b"4" * n, 1), "out_of_range"),
    "digits of usdAmount": (lambda n: USUAL.replace(b"25.00", b"4" * n), "out_of_range"),
    "digits after the point": (lambda n: USUAL.replace(b"25.00", b"25." + b"0" * n), "payment"),
    "digits of an exponent": (lambda n: USUAL.replace(b"25.00", b"1e" + b"9" * n), "out_of_range"),
    "digits of a negative exponent": (lambda n: USUAL.replace(b"25.00", b"1e-" + b"9" * n), "payment"),
    "zeros before a number": (lambda n: USUAL.replace(b"42", b"0" * n + b"42", 1), "not_json"),
    "digits of a second": (lambda n: USUAL.replace(b".123Z", b"." + b"1" * n + b"Z"), "payment"),
    "a timestamp of dashes": (lambda n: USUAL.replace(b".123Z", b"-" * n), "bad_timestamp"),
    "a timestamp of digits": (lambda n: USUAL.replace(b"2026-11-23T", b"2" * n), "bad_timestamp"),
    "sessionId": (lambda n: USUAL.replace(b"3b241101", b"s" * n), "out_of_range"),
    "sessionId of controls": (lambda n: USUAL.replace(b"3b241101", b"\\u0000" * (n // 6)), "out_of_range"),
    "paymentMethod": (lambda n: USUAL.replace(b"venmo", b"v" * n), "not_in_enum"),
    "event": (lambda n: USUAL.replace(b"zkp2p_payment", b"z" * n), "ignored"),
    "errorMessage": (lambda n: USUAL.replace(b"declined", b"d" * n), "payment"),
    "open brackets": (lambda n: b"[" * n, "not_json"),
    "open objects": (lambda n: b'{"a":' * (n // 5), "not_json"),
    "closing brackets": (lambda n: b"]" * n, "not_json"),
    "quotes": (lambda n: b'"' * n, "not_json"),
    "escaped quotes, never closed": (lambda n: b'"' + b'\\"' * (n // 2 - 1), "not_json"),
    "backslashes": (lambda n: b'"' + b"\\" * (n - 1), "not_json"),
    "spaces": (lambda n: b" " * n, "not_json"),
    "zero bytes": (lambda n: b"\0" * n, "not_json"),
    "0xff": (lambda n: b"\xff" * n, "not_json"),
    "empty arrays": (lambda n: with_more(b"[" + b"[]," * (n // 3 - 1) + b"0]"), "payment"),
    "empty objects": (lambda n: with_more(b"[" + b"{}," * (n // 3 - 1) + b"0]"), "payment"),
    "integers": (lambda n: with_more(b"[" + b"1," * (n // 2 - 1) + b"1]"), "payment"),
    "a new integer of as many digits": (lambda n: with_more(b"1" * n), "payment"),
    "many integers of 5000 digits": (lambda n: with_more(b"[" + (b"1" * 5000 + b",") * (n // 5001) + b"1]"), "payment"),
    "brackets in a string": (lambda n: with_more(b'"' + b"[" * n + b'"'), "payment"),
    "escaped quotes and brackets": (lambda n: with_more(b'"' + b'\\"[' * (n // 3) + b'"'), "payment"),
    "surrogate pairs": (lambda n: with_more(b'"' + b"\\ud83d\\ude00" * (n // 12) + b'"'), "payment"),
    "duplicate keys": (lambda n: with_more(b"0" + b',"new":0' * (n // 8)), "payment"),
    "keys": (lambda n: with_more(b"0" + b"".join(b',"%d":0' % at for at in range(n // 11))), "payment"),
}


@pytest.mark.parametrize("kind", HUGE)
def test_a_mebibyte_of(kind: str) -> None:
    make, expected = HUGE[kind]
    value = make(MIB - 700)
    assert MIB // 4 < len(value) <= VALUE_BYTES_MAX
    judged = only(value)
    assert expected in judged, (judged[:1], expected)


def test_size_is_judged_before_anything_else() -> None:
    assert only(USUAL + b" " * (MIB - len(USUAL))) == only(USUAL)
    for filler in (b" ", b"[", b"\xff", b"\0"):
        value = USUAL + filler * (MIB + 1 - len(USUAL))
        assert only(value) == ("reject", "too_large", "")
    assert only(USUAL.replace(b"zkp2p_payment", b"x") + b" " * MIB) == ("reject", "too_large", "")


def test_a_hundred_mebibytes_are_refused_by_their_length_alone() -> None:
    value = bytes(100 * MIB)
    tracemalloc.start()
    try:
        assert only(value) == ("reject", "too_large", "")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MIB


def test_a_deep_stack_changes_no_verdict() -> None:
    """Nesting is counted, not left to the interpreter's recursion limit, which depends on who calls."""
    values = [with_more(b"[" * depth + b"]" * depth) for depth in (62, 63, 64, 300, 20_000)]
    expected = ["payment", "payment", "reject", "reject", "reject"]

    def at_depth(levels: int) -> list[object]:
        if levels:
            return at_depth(levels - 1)
        return [judged[0] for judged in verdicts(judge_values(values), len(values))]

    assert at_depth(0) == expected
    assert at_depth(sys.getrecursionlimit() // 2) == expected


@pytest.mark.parametrize("limit", [0, 640, 4300])
def test_the_interpreter_s_limit_on_digits_changes_no_verdict(limit: int) -> None:
    usual = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(limit)
    try:
        for digits in (100, 639, 641, 4299, 4301, 6000):
            assert only(USUAL.replace(b"42", b"4" * digits, 1)) == ("reject", "out_of_range", "userId")
            assert only(with_more(b"-" + b"4" * digits)) == only(USUAL)
            assert only(with_more(b"0" + b"4" * digits)) == ("reject", "not_json", "")
    finally:
        sys.set_int_max_str_digits(usual)


def test_neighbours_cannot_complete_each_other() -> None:
    half = len(USUAL) // 2
    values = [USUAL[:half], USUAL[half:], b"\xc3", b"\xa9", b'"\\ud83d', b'\\ude00"', b"[", b"]"]
    assert verdicts(judge_values(values), len(values)) == [("reject", "not_json", "")] * len(values)


def test_every_single_byte_and_every_single_bit() -> None:
    """The usual record with each byte replaced by a telling one, and with each bit flipped."""
    values = [
        USUAL[:at] + bytes([byte]) + USUAL[at + 1 :]
        for at in range(len(USUAL))
        for byte in b'\0\n "\\{}[],:.-0e\x7f\x80\xff'
    ]
    values += [
        USUAL[:at] + bytes([USUAL[at] ^ (1 << bit)]) + USUAL[at + 1 :] for at in range(len(USUAL)) for bit in range(8)
    ]
    expected = [payment_reference.judge(value, KAFKA_MS) for value in values]
    assert verdicts(judge_values(values), len(values)) == expected
    assert {each[1] for each in expected if each[0] == "reject"} > {"not_json", "missing_field", "wrong_type"}


def test_every_prefix_and_every_suffix() -> None:
    values = [USUAL[:at] for at in range(len(USUAL))] + [USUAL[at:] for at in range(1, len(USUAL) + 1)]
    expected = [payment_reference.judge(value, KAFKA_MS) for value in values]
    assert verdicts(judge_values(values), len(values)) == expected
    assert {each[:2] for each in expected} == {
        ("reject", "not_json"),
        ("reject", "empty"),
    }


def test_every_control_character_as_sessionid() -> None:
    characters = [chr(code) for code in [*range(0xC0), 0x2028, 0xFEFF, 0xFFFF, 0x10FFFF]]
    for escaped in (True, False):
        for template in ("{}", "{}x", "x{}", "é{}", "{}é", "\u00c2{}", "{}\u00c2"):
            texts = [template.format(character) for character in characters]
            values = [
                USUAL.replace(
                    b'"3b241101-e2bb-4255-8caf-4136c566a962"', json.dumps(text, ensure_ascii=escaped).encode()
                )
                for text in texts
            ]
            expected = [payment_reference.judge(value, KAFKA_MS) for value in values]
            assert verdicts(judge_values(values), len(values)) == expected


def test_no_records_at_all() -> None:
    judged = judge([], [], [], [])
    assert verdicts(judged, 0) == []
    assert (judged.key_mismatches, judged.ignored, len(judged.index)) == (0, 0, 0)


@pytest.mark.parametrize("values", [[None], [b""], [b"x"], [USUAL.replace(b"zkp2p_payment", b"x")], [None] * 100])
def test_no_payment_at_all(values: list[bytes | None]) -> None:
    judged = judge_values(values)
    assert judged.rows.num_rows == 0
    assert judged.rows.schema.equals(ROWS_SCHEMA)
    assert judged.ignored + len(judged.rejects) == len(values)


def test_columns_given_as_arrays_are_taken_like_lists() -> None:
    values = [USUAL, None, USUAL.replace(b"25.00", b"1.001"), USUAL]
    keys = [b"k"] * 4
    lists = judge(values, keys, [KAFKA_MS] * 4, [5, 6, 8, 9])
    arrays = judge(values, keys, np.full(4, KAFKA_MS), np.array([5, 6, 8, 9]))
    assert lists.rows.equals(arrays.rows)
    assert lists.rejects == arrays.rejects
    assert lists.rows["kafkaOffset"].to_pylist() == [5, 9]


def test_dictionaries_are_the_whole_enum_in_its_order() -> None:
    """So that code + 1 is the Enum8 value whatever a batch holds."""
    for method in PAYMENT_METHODS:
        for event_type in EVENT_TYPES:
            rows = judge_values(
                [USUAL.replace(b"venmo", method.encode()).replace(b'"error"', f'"{event_type}"'.encode())]
            ).rows
            assert rows["eventType"].dictionary.to_pylist() == list(EVENT_TYPES)
            assert rows["paymentMethod"].dictionary.to_pylist() == list(PAYMENT_METHODS)
            assert rows["eventType"].indices.to_pylist() == [EVENT_TYPES.index(event_type)]
            assert rows["paymentMethod"].indices.to_pylist() == [PAYMENT_METHODS.index(method)]


# Where msgspec alone would be too lenient. Should one of these fail after an upgrade, a guard can go; should another
# leniency appear, the comparison with the reference finds it.


def test_msgspec_skips_bad_utf8_in_unknown_fields_and_so_is_guarded() -> None:
    value = with_more(b'"\xff"')
    assert isinstance(msgspec.json.decode(value, type=Payment), Payment)
    assert only(value) == ("reject", "not_json", "")


def test_msgspec_nests_deeper_than_we_do_and_so_is_guarded() -> None:
    value = with_more(b"[" * 100 + b"]" * 100)
    assert isinstance(msgspec.json.decode(value, type=Payment), Payment)
    assert only(value) == ("reject", "not_json", "")


def test_closed_payments_take_no_field_we_do_not_know() -> None:
    """What makes the fast path safe: no byte is skipped."""
    for value in (with_more(b"1"), USUAL.replace(b'"eventType"', b'"x":1,"eventType"')):
        with pytest.raises(msgspec.ValidationError, match="unknown field"):
            msgspec.json.decode(value, type=ClosedPayment)


def test_arrow_takes_timestamps_that_are_none_and_so_is_not_asked() -> None:
    texts = ["2026-11-23T17:00Z", "2026-11-23 17:00:00Z", "2026-11-23T17:00:00+0000"]
    assert pa.array(texts).cast(pa.timestamp("us", "UTC")).null_count == 0
    assert all(isinstance(timestamps.parse(text), str) for text in texts)
    _, known = timestamps.parse_column(pa.array(texts, pa.string()))
    assert not known.any()


def test_the_column_of_timestamps_agrees_with_the_single_one() -> None:
    """Whatever mix of lengths and zones, and from any slice of an array."""
    texts = [
        f"{year}-{month:02}-{day:02}T{clock}{fraction}{zone}"
        for year in (1970, 2000, 2024, 2026, 2100, 2105)
        for month in (0, 1, 2, 4, 11, 12, 13)
        for day in (0, 1, 28, 29, 30, 31, 32)
        for clock, fraction, zone in (
            ("00:00:00", "", "Z"),
            ("23:59:59", ".9", "Z"),
            ("23:59:59", ".123456789", "-23:59"),
            ("00:00:00", "", "+23:59"),
            ("24:00:00", ".000", "Z"),
            ("12:60:00", ".12", "+00:00"),
            ("12:00:60", ".12", "+00:00"),
            ("12:00:00", ".1", ",01:00"),
            ("12:00:00", ".", "Z"),
        )
    ]
    for column in (pa.array(texts), pa.array(["x", "y", *texts])[2:], *(pa.array([text]) for text in texts[::50])):
        ms, known = timestamps.parse_column(column)
        for text, each_ms, each_known in zip(column.to_pylist(), ms.tolist(), known.tolist(), strict=True):
            seconds = timestamps.parse(text)
            assert each_known == isinstance(seconds, int), text
            if isinstance(seconds, int):
                digits = timestamps.fraction(text)[:3].ljust(3, "0")
                assert each_ms == seconds * 1000 + int(digits), text


def test_strict_json_reads_what_json_reads() -> None:
    for text in ('{"a":[1,-0,2.5,"x",null,true,false,{}]}', "[]", '"\\u00e9"', "18446744073709551616", "-0.0"):
        assert strict_json.parse(text.encode()) == json.loads(text)
    assert strict_json.parse(b"[1e400,-1e400]") == [float("inf"), float("-inf")]
    assert isinstance(strict_json.parse(b'"not"x'), strict_json.NotJson)
    assert not isinstance(strict_json.parse(b'"is not JSON"'), strict_json.NotJson)


def test_decimals_are_built_right_from_cents() -> None:
    cents = np.array([0, 1, 99, 100, 2500, 9_999_999_999], np.int64)
    assert [str(value) for value in columns._decimals(cents).to_pylist()] == [
        *("0.00", "0.01", "0.99", "1.00", "25.00", "99999999.99"),
    ]


def test_new_fields_and_other_events_never_cost_an_exact_judgement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Producers may add fields first, and share the topic: neither may make the consumer slow.

    What to try before the exact judge is chosen by msgspec's messages; should they change, this fails.
    """

    def never(value: bytes | None, kafka_ms: int, index: int = 0) -> None:
        raise AssertionError(value)

    monkeypatch.setattr(payment, "verdict", never)
    new_in_data = USUAL.replace(b'"eventType"', b'"new":{"a":["b"]},"eventType"')
    foreign = USUAL.replace(b"zkp2p_payment", b"page_view")
    values = [USUAL, with_more(b'["x"]'), new_in_data, foreign, USUAL, foreign, with_more('"é"'.encode()), foreign]
    judged = judge_values(values)
    assert (judged.index.tolist(), judged.ignored, judged.rejects) == ([0, 1, 2, 4, 6], 3, [])


def test_after_a_run_of_rejects_good_records_are_cheap_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(value: bytes | None, kafka_ms: int, index: int = 0) -> Payment | Reject | None:
        asked.append(index)
        return verdict(value, kafka_ms, index)

    monkeypatch.setattr(payment, "verdict", counted)
    judged = judge_values([USUAL, *[b"x"] * 20, *[USUAL] * 50, *[b"x"] * 20])
    assert judged.index.tolist() == [0, *range(21, 71)]
    assert asked == [*range(1, 22), *range(71, 91)], "one good record too many is asked about, to end the run"


@pytest.mark.parametrize(
    ("session_ids", "keys", "mismatches"),
    [
        (["ab", "cd"], [b"ab", b"cd"], 0),
        (["ab", "c"], [b"ab", b"c"], 0),
        (["ab", "c"], [b"a", b"bc"], 2),  # the same bytes when joined
        (["ab", "cd"], [b"abc", b"d"], 2),
        (["ab", "cd"], [b"ab", None], 1),
        (["ab", "cd"], [b"", b"abcd"], 2),
        (["\u00e9", "z"], ["\u00e9".encode(), b"z"], 0),
        (["\u00e9", "z"], [b"\xe9", b"z"], 1),
    ],
)
def test_a_key_is_the_bytes_of_its_session_id(
    session_ids: list[str], keys: list[bytes | None], mismatches: int
) -> None:
    values = [USUAL.replace(b"3b241101-e2bb-4255-8caf-4136c566a962", each.encode()) for each in session_ids]
    judged = judge(values, keys, [KAFKA_MS] * len(keys), list(range(len(keys))))
    assert judged.rows.num_rows == len(keys)
    assert judged.key_mismatches == mismatches
