"""Made-up traffic holds what its truth says: checked against the judge, the duplicate rule and itself."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path

import pytest

from consumer.core.payment import judge
from consumer.demo.broken import BROKEN, MIB, OVERSIZED
from consumer.demo.traffic import DAY_MS, METHODS, Mix, Record, Traffic, started_ago
from consumer.demo.truth import Row, Truth, digest

RATE = 500.0
RICH = Mix(broken=0.05, copies=0.05, late=0.1, expired=0.01, again=0.02, unusual=0.1, miskeyed=0.02)


def made(count: int, seed: int = 1, mix: Mix | None = RICH) -> tuple[list[Record], Truth]:
    traffic = Traffic(seed, start_ms=started_ago(count, RATE), rate=RATE, mix=mix)
    return list(traffic.records(count)), traffic.truth


def judged_rows(records: list[Record]) -> tuple[list[Row], list[tuple[str, str, str | None]], int, int]:
    verdict = judge(
        [record.value for record in records],
        [record.key for record in records],
        [record.timestamp_ms for record in records],
        range(len(records)),
    )
    columns = verdict.rows.to_pydict()
    rows = [
        Row(user, session, kind, method, int(Decimal(usd) * 100), buzz, message, seconds)
        for user, session, kind, method, usd, buzz, message, seconds in zip(
            columns["userId"],
            columns["sessionId"],
            columns["eventType"],
            columns["paymentMethod"],
            columns["usdAmount"],
            columns["buzzAmount"],
            columns["errorMessage"],
            columns["timestamp"],
            strict=True,
        )
    ]
    letters = []
    for reject in verdict.rejects:
        value = records[reject.index].value
        letters.append((reject.code, reject.path, None if value is None else digest(value)))
    return rows, letters, verdict.ignored, verdict.key_mismatches


@pytest.mark.parametrize("seed", [1, 2])
def test_the_judge_and_the_duplicate_rule_find_what_the_truth_says(seed: int) -> None:
    records, truth = made(20_000, seed)
    rows, letters, ignored, mismatches = judged_rows(records)
    today = int(time.time()) // 86_400
    days: dict[tuple[str, str], list[int]] = defaultdict(list)
    inserted, duplicates, expired = [], 0, 0
    for row in rows:
        day = row.timestamp // 86_400
        seen = days[row.session_id, row.event_type]
        if day < today - 88:
            expired += 1
        elif any(abs(day - other) <= 1 for other in seen):
            duplicates += 1
        else:
            seen.append(day)
            inserted.append(row)
    assert inserted == truth.rows
    assert letters == [tuple(letter) for letter in truth.letters]
    found = (len(inserted), duplicates, ignored, expired, mismatches)
    assert found == (truth.inserted, truth.duplicates, truth.ignored, truth.expired, truth.key_mismatches)
    assert min(found) > 0


def test_the_figures_add_up_and_the_same_seed_gives_the_same_records() -> None:
    start_ms = started_ago(5_000, RATE)
    streams = [list(Traffic(seed, start_ms=start_ms, mix=RICH).records(5_000)) for seed in (7, 7, 8)]
    assert streams[0] == streams[1] != streams[2]
    records, truth = made(5_000)
    assert len(records) == truth.produced == 5_000
    spent = truth.inserted + truth.duplicates + truth.rejected + truth.ignored + truth.expired
    assert spent == truth.produced
    assert truth.line() == (
        f"produced 5000 = inserted {truth.inserted} + duplicates {truth.duplicates} + rejected {truth.rejected} + "
        f"ignored {truth.ignored} + expired {truth.expired}"
    )


def test_timestamps_never_go_back_and_never_lie_in_the_future() -> None:
    records, _ = made(20_000)
    stamps = [record.timestamp_ms for record in records]
    assert stamps == sorted(stamps)
    assert stamps[-1] < time.time() * 1000


def test_every_way_to_be_broken_turns_up_and_earns_its_code() -> None:
    _, truth = made(10_000)
    assert {(letter.code, letter.field) for letter in truth.letters} == {(kind.code, kind.field) for kind in BROKEN}
    codes = {kind.code for kind in (*BROKEN, *OVERSIZED)}
    contract = "too_large empty not_json not_an_object missing_field wrong_type not_in_enum bad_timestamp out_of_range"
    assert codes == set(contract.split())


def test_oversized_values_come_only_when_asked_for() -> None:
    records, _ = made(5_000)
    assert max(len(record.value or b"") for record in records) < MIB
    records, truth = made(300, mix=Mix(oversized=0.05))
    large = [record for record in records if len(record.value or b"") > MIB]
    assert len(large) == truth.rejected_by_code["too_large"] >= len(OVERSIZED)
    _, letters, _, _ = judged_rows(records)
    assert letters == [tuple(letter) for letter in truth.letters]


def test_what_is_not_asked_for_does_not_come() -> None:
    none = Mix(foreign=0, broken=0, expired=0, copies=0, late=0, again=0, unusual=0)
    records, truth = made(5_000, mix=none)
    assert truth.inserted == 5_000
    assert truth.key_mismatches == 0
    assert all(record.timestamp_ms // 1000 == row.timestamp for record, row in zip(records, truth.rows, strict=True))


def test_sessions_end_as_often_as_their_method_says() -> None:
    _, truth = made(50_000, mix=Mix(broken=0, foreign=0, again=0))
    counts = Counter((row.payment_method, row.event_type) for row in truth.rows)
    for method in METHODS:
        attempts = counts[method.name, "attempt"]
        for ending, chance in (("success", method.success), ("error", method.error), ("abandoned", method.abandoned)):
            spread = 5 * math.sqrt(chance * (1 - chance) / attempts) + 0.01
            assert counts[method.name, ending] / attempts == pytest.approx(chance, abs=spread)


def test_a_stream_without_end_counts_what_was_handed_out() -> None:
    traffic = Traffic(3, start_ms=started_ago(1_000, RATE), mix=RICH)
    stream = traffic.records()
    for _ in range(700):
        next(stream)
    assert traffic.truth.produced == 700


def test_truth_survives_a_file_and_adds_up_by_day(tmp_path: Path) -> None:
    _, truth = made(5_000)
    truth.save(tmp_path / "truth.jsonl")
    assert Truth.load(tmp_path / "truth.jsonl") == truth
    summary = truth.summary()
    assert sum(day.attempts + day.successes + day.errors + day.abandons for day in summary.values()) == truth.inserted
    cents = sum(row.usd_cents for row in truth.rows if row.event_type == "success")
    assert sum(day.total_usd_cents for day in summary.values()) == cents
    assert len({date for date, _ in summary}) > 5
    assert min(row.timestamp for row in truth.rows) > time.time() - 12 * DAY_MS / 1000
