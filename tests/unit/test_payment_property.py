"""Made-up records, from valid to hostile: our verdict against a JSON Schema validator's and against the reference.

Records are judged many at once, so that whatever one does to its neighbours would show.
"""

from __future__ import annotations

import base64
import json
import math
import os
import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from consumer import resources
from consumer.core.payment import judge
from tests.data import make_corpus
from tests.unit import payment_reference
from tests.unit.payments import FIRST_OFFSET, KAFKA_MS, USUAL, judge_values, verdicts

# Derandomized, so that a run repeats the one before it. What hypothesis makes is few and easy to shrink; the mutations of
# the corpus below are many, and ZKP2P_TEST_FUZZ_SEED and ZKP2P_TEST_FUZZ_RECORDS ask for others and for more.
many = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)

SCHEMA = Draft202012Validator(
    json.loads(resources.path("schemas").joinpath("zkp2p_payment.v1.json").read_text("utf-8"))
)

# Fragments of JSON text. A field can be right, nearly right, or anything; a record has at most two that are not right.

characters = st.characters(codec="utf-8")
quoted = st.text(characters, max_size=20).map(lambda text: json.dumps(text, ensure_ascii=False))
escaped = st.text(st.characters(), max_size=10).map(json.dumps)  # lone surrogates too
integers = st.integers(-2, 2**65).map(str)
spelled = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-"]),
    st.sampled_from(["0", "1", "5", "25", "00", "07", "4294967295", "4294967296", "99999999", "1" * 25, ""]),
    st.sampled_from(["", "", ".0", ".00", ".5", ".50", ".001", ".99", ".9999999", ".", ".0000001", ".000001"]),
    st.sampled_from(["", "", "", "e0", "E2", "e+2", "e-2", "e400", "e-400", "e", "E+", "e5.0"]),
)
json_values = st.recursive(
    st.one_of(
        st.sampled_from(["null", "true", "false", "NaN", "Infinity", "-", "[]", "{}", '""']), spelled, quoted, escaped
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + "]"),
        st.lists(st.tuples(quoted, inner), max_size=3).map(
            lambda items: "{" + ",".join(f"{name}:{value}" for name, value in items) + "}"
        ),
    ),
    max_leaves=5,
)


def words(*choices: str) -> st.SearchStrategy[str]:
    return st.sampled_from(choices).map(json.dumps)


two = st.integers(0, 65).map("{:02}".format)
timestamps = st.builds(
    '"{}-{}-{}T{}:{}:{}{}{}"'.format,
    st.sampled_from(["2026", "2026", "2026", "2027", "1970", "2106", "0001", "9999", "0000"]),
    st.sampled_from(["11", "11", "11", "08", "02", "12", "13", "00"]),
    st.sampled_from(["23", "23", "24", "25", "01", "28", "29", "30", "31", "32", "00"]),
    st.sampled_from(["17", "17", "16", "00", "23", "24"]),
    st.sampled_from(["00", "00", "59", "60"]),
    st.sampled_from(["01", "00", "59", "60", "61"]),
    st.sampled_from(["", ".5", ".500", ".501", ".499", ".4999999", ".5000001", ".50000000000", ".", ",5"]),
    st.sampled_from(["Z", "Z", "Z", "+00:00", "-00:00", "+14:00", "-12:00", "+23:59", "+24:00", "+0000", "", "z"]),
)
fields = {
    "event": (words("zkp2p_payment"), words("page_view", "ZKP2P_PAYMENT", "")),
    "userId": (st.integers(1, 2**32 - 1).map(str), spelled | integers),
    "timestamp": (words("2026-11-23T17:00:00.123Z") | st.just("null"), timestamps),
    "eventType": (words("attempt", "success", "error", "abandoned"), words("Attempt", "", "errors")),
    "paymentMethod": (
        words("venmo", "cashapp", "paypal", "zelle", "wise", "revolut"),
        words("bitcoin", "venmo ", "Wise"),
    ),
    "usdAmount": (st.integers(0, 10_000).map(lambda cents: f"{cents / 100}"), spelled | st.floats(-1, 1e9).map(repr)),
    "buzzAmount": (st.integers(0, 2**32 - 1).map(str), spelled | integers),
    "sessionId": (st.uuids().map('"{}"'.format), quoted | escaped | words("a" * 128, "é" * 128, "😀" * 129)),
    "errorMessage": (st.just("null") | quoted, escaped | words("m" * 4097)),
}
TOP = ("event", "userId", "timestamp")


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """The text of one record: fields in any order, some missing, some twice, some new."""
    names = draw(st.permutations(list(fields)))
    dropped = draw(st.sets(st.sampled_from(names), max_size=1)) if draw(st.integers(0, 7)) == 0 else set()
    members: dict[bool, list[str]] = {True: [], False: []}
    not_right = draw(st.lists(st.sampled_from(names), max_size=2))
    for name in names:
        right, near = fields[name]
        if name not in dropped:
            members[name in TOP].append(f'"{name}":{draw((near | near | json_values) if name in not_right else right)}')
    if draw(st.integers(0, 3)) == 0:
        name = draw(st.sampled_from([*fields, "data", "new", "nëw"]))
        members[draw(st.booleans())].append(f'"{name}":{draw(json_values)}')
    data = "{" + ",".join(members[False]) + "}" if draw(st.integers(0, 30)) else draw(json_values)
    members[True].insert(draw(st.integers(0, len(members[True]))), f'"data":{data}')
    space = draw(st.sampled_from(["", "", "", " ", "\n", "\t\r\n "]))
    return f"{space}{{{f',{space}'.join(members[True])}}}{space}".encode("utf-8", "surrogatepass")


kafka_times = st.sampled_from([KAFKA_MS] * 15 + [-1, 0, 999, 2**32 * 1000, 2**63 - 1])
batches = st.lists(st.tuples(records(), kafka_times), min_size=1, max_size=20)


@many
@given(batches)
def test_verdicts_are_the_reference_s(batch: list[tuple[bytes, int]]) -> None:
    values, kafka_ms = [value for value, _ in batch], [ms for _, ms in batch]
    judged = judge(values, [None] * len(batch), kafka_ms, range(FIRST_OFFSET, FIRST_OFFSET + len(batch)))
    assert verdicts(judged, len(batch)) == [payment_reference.judge(value, ms) for value, ms in batch]
    assert judged.key_mismatches == judged.rows.num_rows


@many
@given(st.lists(records(), min_size=1, max_size=20))
def test_verdicts_are_the_schema_s_but_for_what_a_schema_cannot_say(values: list[bytes]) -> None:
    hold_against_the_schema(values, verdicts(judge_values(values), len(values)))


def hold_against_the_schema(values: list[bytes], judged: list[tuple[Any, ...]]) -> None:
    for value, verdict in zip(values, judged, strict=True):
        document = lenient(value)
        if verdict[0] == "ignored":
            assert document["event"] != "zkp2p_payment"
        elif verdict[0] == "payment":
            assert SCHEMA.is_valid(document), value
        elif SCHEMA.is_valid(document):
            assert beyond_a_schema(verdict[1], verdict[2], value, document), (value, verdict)


def lenient(value: bytes) -> Any:
    """As a producer's usual JSON library reads it; None for what even that refuses."""
    try:
        return json.loads(value.decode("utf-8", "surrogatepass"))
    except ValueError:
        return None


def beyond_a_schema(code: str, path: str, value: bytes, document: Any) -> bool:
    """THE list of differences: whether this reject is for something a schema can't say."""
    match code, path:
        case "not_json", "":
            # The parser's rules: lone surrogates, UTF-8, NaN and Infinity, depth. Size is one more (too_large).
            return payment_reference.judge(value, KAFKA_MS) == ("reject", "not_json", "")
        case "wrong_type", "userId":
            return spelled_like_a_fraction(document["userId"])
        case "wrong_type", "data.buzzAmount":
            return spelled_like_a_fraction(document["data"]["buzzAmount"])
        case "bad_timestamp", "timestamp":
            # The calendar, DateTime's range and the window around the Kafka record's timestamp; the form is the schema's.
            return True
        case "out_of_range", "data.usdAmount":
            cents = document["data"]["usdAmount"] * 100
            return not math.isclose(cents, round(cents), rel_tol=0, abs_tol=0.9e-4)
    return False


def spelled_like_a_fraction(number: Any) -> bool:
    """A whole number with a fraction or an exponent, which JSON Schema counts as an integer."""
    return type(number) is float and number.is_integer()


@many
@given(
    st.lists(st.binary(max_size=40) | json_values.map(lambda text: text.encode("utf-8", "surrogatepass")), max_size=20)
)
def test_any_bytes_at_all(values: list[bytes]) -> None:
    assert verdicts(judge_values(values), len(values)) == [payment_reference.judge(each, KAFKA_MS) for each in values]


@many
@given(st.floats(0, 99_999_999.99), st.integers(0, 9_999_999_999), st.floats(-2e-6, 2e-6))
def test_amounts_on_either_side_of_a_cent(anywhere: float, cents: int, noise: float) -> None:
    template = (
        '{{"event":"zkp2p_payment","userId":1,"data":{{"eventType":"attempt","paymentMethod":"wise",'
        '"usdAmount":{},"buzzAmount":0,"sessionId":"s"}}}}'
    )
    near = [cents / 100, cents / 100 + noise, cents / 100 + 1e-6, cents / 100 - 1e-6, math.nextafter(cents / 100, 0)]
    values = [template.format(repr(usd)).encode() for usd in (anywhere, *near)]
    assert verdicts(judge_values(values), len(values)) == [payment_reference.judge(each, KAFKA_MS) for each in values]


# Mutations of the corpus: what a bit flip, a lost byte, a stray token or two records run together make of it.

SEED = int(os.environ.get("ZKP2P_TEST_FUZZ_SEED", "1"))
RECORDS = int(os.environ.get("ZKP2P_TEST_FUZZ_RECORDS", "6000"))
TOKENS = (
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'"',
        b"\\",
        b"\0",
        b"\x1f",
        b"\x7f",
        b"\xc2\x85",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
    ),
    *(
        b"0",
        b"1",
        b"9",
        b"-",
        b"+",
        b".",
        b"e",
        b"E",
        b".0",
        b"e3",
        b"e-2",
        b"e400",
        b"00",
        b"9" * 30,
        b" ",
        b"\n",
        b"\t",
        b"Z",
    ),
    *(
        b"\\u0000",
        b"\\u00e9",
        b"\\ud800",
        b"\\ud83d\\ude00",
        b"\\udc00",
        b"\\n",
        b"\\x",
        b"null",
        b"true",
        b"NaN",
        b"1e400",
        b"-0",
    ),
    *(
        b"0.1",
        b"25.001",
        b"4294967296",
        b"9223372036854775808",
        b'"a":',
        b'"new":1,',
        b',"new":[[]]',
        b"+14:00",
        b":60",
        b"-02-30",
    ),
    *(
        b'"event":"x",',
        b'"userId":7,',
        b'"timestamp":null,',
        b'"sessionId":"s",',
        b'"usdAmount":1.005,',
        b"/**/",
        "é😀".encode(),
    ),
)


def mutate(rng: random.Random, seeds: list[bytes]) -> bytes:
    value = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(value) + 1)
        match rng.randrange(7):
            case 0 if at < len(value):
                value[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(value):
                value[at] = rng.randrange(256)
            case 2:
                del value[at : at + rng.choice((1, 1, 1, 2, 5, 20))]
            case 3:
                value = value[: at + 1] + value[at : at + rng.randrange(1, 30)] + value[at + 1 :]
            case 4:
                other = rng.choice(seeds)
                value = value[:at] + other[rng.randrange(len(other) + 1) :]
            case _:
                value[at:at] = rng.choice(TOKENS)
    return bytes(value)


def test_mutations_of_the_corpus() -> None:
    lines = map(json.loads, make_corpus.FILE.read_text("ascii").splitlines())
    seeds = [base64.b64decode(case["value"]) for case in lines if case["value"]]
    seeds = [seed for seed in seeds if len(seed) < 600]
    seeds += [USUAL] * (len(seeds) // 2)
    rng = random.Random(SEED)
    for done in range(0, RECORDS, 500):
        values = [mutate(rng, seeds) for _ in range(500)]
        judged = verdicts(judge_values(values), len(values))
        for value, verdict in zip(values, judged, strict=True):
            expected = payment_reference.judge(value, KAFKA_MS)
            assert verdict == expected, f"seed {SEED}, after {done} records: {value!r}"
        hold_against_the_schema(values, judged)
