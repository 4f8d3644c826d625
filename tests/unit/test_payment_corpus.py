"""Every record of the corpus is judged as it was classified by hand: alone, together, and by the exact judge."""

from __future__ import annotations

import base64
import json
import random
from collections import Counter
from typing import Any, NamedTuple

from consumer.core.batch import Judged, Reject
from consumer.core.contract import Payment
from consumer.core.payment import judge
from consumer.core.verdict import verdict
from tests.data import make_corpus
from tests.unit import payment_reference
from tests.unit.payments import FIRST_OFFSET, verdicts


class Record(NamedTuple):
    value: bytes | None
    key: bytes | None
    kafka_ms: int
    expected: dict[str, Any]


def read(line: str) -> Record:
    case = json.loads(line)
    value = None if case["value"] is None else base64.b64decode(case["value"])
    if value is not None and "padTo" in case:
        value = value.ljust(case["padTo"])
    key = None if case["key"] is None else base64.b64decode(case["key"])
    return Record(value, key, case["kafkaTimestampMs"], case)


CORPUS = [read(line) for line in make_corpus.FILE.read_text(encoding="ascii").splitlines()]


def judge_records(records: list[Record]) -> Judged:
    return judge(
        [record.value for record in records],
        [record.key for record in records],
        [record.kafka_ms for record in records],
        range(FIRST_OFFSET, FIRST_OFFSET + len(records)),
    )


def expected(record: Record) -> tuple[Any, ...]:
    case = record.expected
    if case["verdict"] == "payment":
        return "payment", case["row"]
    return ("reject", case["code"], case["path"]) if case["verdict"] == "reject" else ("ignored",)


def test_each_record_alone() -> None:
    wrong = {}
    for record in CORPUS:
        judged = judge_records([record])
        found = [*verdicts(judged, 1), judged.key_mismatches]
        wanted = [expected(record), int(record.expected.get("keyMatches") is False)]
        if found != wanted:
            wrong[record.expected["name"]] = (found, wanted)
    assert wrong == {}


def test_the_exact_judge_by_itself() -> None:
    kinds = {Payment: "payment", Reject: "reject", type(None): "ignored"}
    for record in CORPUS:
        exact = verdict(record.value, record.kafka_ms)
        assert kinds[type(exact)] == record.expected["verdict"], record.expected["name"]
        if isinstance(exact, Reject):
            assert ("reject", exact.code, exact.path) == expected(record), record.expected["name"]


def test_the_reference_that_other_tests_use() -> None:
    for record in CORPUS:
        if len(record.value or b"") <= 50_000:
            assert payment_reference.judge(record.value, record.kafka_ms) == expected(record), record.expected["name"]


def test_all_records_at_once_in_any_order() -> None:
    for seed in range(5):
        records = CORPUS.copy()
        random.Random(seed).shuffle(records)
        judged = judge_records(records)
        assert verdicts(judged, len(records)) == [expected(record) for record in records]
        assert judged.key_mismatches == sum(record.expected.get("keyMatches") is False for record in records)
        assert judged.rejects == [
            exact
            for at, record in enumerate(records)
            if isinstance(exact := verdict(record.value, record.kafka_ms, at), Reject)
        ], "to the letter of the message, a record is refused alike whoever its neighbours are"


def test_runs_of_one_kind_change_nothing() -> None:
    """Long runs of rejects, of other events and of payments with new fields are each read in a way of their own."""
    records = sorted(CORPUS, key=lambda record: (record.expected["verdict"], record.expected["name"]))
    records = records + records[::-1]
    assert verdicts(judge_records(records), len(records)) == [expected(record) for record in records]


def test_two_runs_agree_to_the_letter() -> None:
    first, second = judge_records(CORPUS), judge_records(CORPUS)
    assert first.rejects == second.rejects
    assert first.rows.equals(second.rows)


def test_the_file_holds_what_its_maker_says() -> None:
    assert make_corpus.FILE.read_text(encoding="ascii") == make_corpus.corpus()


def test_the_corpus_is_large_and_names_each_record_once() -> None:
    names = Counter(record.expected["name"] for record in CORPUS)
    assert len(CORPUS) >= 300
    assert [name for name, count in names.items() if count > 1] == []
    codes = {record.expected.get("code") for record in CORPUS}
    assert codes == {
        None,
        *("too_large", "empty", "not_json", "not_an_object"),
        *("missing_field", "wrong_type", "not_in_enum", "bad_timestamp", "out_of_range"),
    }


def test_messages_say_the_field_and_never_what_is_private() -> None:
    for record, reject in ((CORPUS[reject.index], reject) for reject in judge_records(CORPUS).rejects):
        assert reject.message.startswith(reject.path or "value"), reject
        assert reject.message.isascii(), reject
        assert reject.message.isprintable(), reject
        assert len(reject.message) <= 300, reject
        assert make_corpus.SESSION not in reject.message, (record, reject)
        assert "declined" not in reject.message, (record, reject)
