"""What came out, held against the truth of what was produced. Nothing here knows how the consumer works."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

from consumer.demo.truth import Day, Letter, Row, Truth, digest
from consumer.operate.letters import read_letter
from tests.chaos.stage import DATABASE, TOPIC, Stage

Findings = list[str]


def verify(stage: Stage, rejects: Sequence[Letter] = (), gone: int = 0) -> tuple[Findings, Truth]:
    """Everything that differs; to be called when all is caught up. `rejects` were produced beside the traffic, and
    the dead letters of the first `gone` of them were deleted."""
    truth = Truth.load(stage.truth_file)
    truth.produced += len(rejects)
    truth.letters += rejects[gone:]
    truth.rejected_by_code.update(letter.code for letter in rejects)
    return [
        *_table(stage, truth),
        *_summary(stage, truth),
        *_ledger(stage, truth),
        *_letters(stage, truth),
        *_offsets(stage),
    ], truth


def _table(stage: Stage, truth: Truth) -> Findings:
    columns = (
        "userId, sessionId, eventType, paymentMethod, toInt64(usdAmount * 100)::Int32, buzzAmount, errorMessage,"
        " toUnixTimestamp(timestamp)"
    )
    rows = stage.rows(f"SELECT {columns} FROM {DATABASE}.zkp2p_payment_events")
    found = Counter(Row(*row) for row in rows)  # type: ignore[arg-type]
    wanted = Counter(truth.rows)
    findings = _difference("table: lost", wanted - found) + _difference("table: doubled or invented", found - wanted)
    twice = stage.rows(
        f"SELECT kafkaPartition, kafkaOffset FROM {DATABASE}.zkp2p_payment_events"
        " GROUP BY kafkaTopicId, kafkaPartition, kafkaOffset HAVING count() > 1"
    )
    return findings + [f"table: {len(twice)} offsets have several rows: {twice[:5]}"] * bool(twice)


def _difference(what: str, rows: Counter[Row]) -> Findings:
    return [f"{what}: {rows.total()} rows, for example {list(rows)[:3]}"] if rows else []


def _summary(stage: Stage, truth: Truth) -> Findings:
    sql = (
        "SELECT toString(date), toString(paymentMethod), attempts::Int32, successes::Int32, errors::Int32,"
        f" abandons::Int32, toInt64(total_usd * 100)::Int32, unique_buyers::Int32 FROM {DATABASE}.zkp2p_daily_summary"
    )
    found = {(str(row[0]), str(row[1])): Day(*row[2:]) for row in stage.rows(sql)}  # type: ignore[arg-type]
    wanted = truth.summary()
    return [
        f"summary: {key} is {found.get(key)} and should be {wanted.get(key)}"
        for key in sorted(found.keys() | wanted.keys())
        if found.get(key) != wanted.get(key)
    ]


def _ledger(stage: Stage, truth: Truth) -> Findings:
    """In each pass no gap and no overlap; all passes together every offset; counts that agree."""
    kinds = ("inserted", "duplicates", "rejected", "ignored", "expired", "missing")
    sql = (
        "SELECT kafkaPartition, pass, firstOffset::UInt32, lastOffset::UInt32, "
        + ", ".join(f"{kind}::UInt32" for kind in kinds)
        + f" FROM {DATABASE}.zkp2p_ingest_ledger FINAL ORDER BY kafkaPartition, pass, firstOffset"
    )
    passes: defaultdict[tuple[int, int], list[list[int]]] = defaultdict(list)
    findings = []
    totals: Counter[str] = Counter()
    for partition, number, *row in stage.rows(sql):
        first, last, *counts = (int(str(value)) for value in row)
        passes[int(str(partition)), int(str(number))].append([first, last])
        totals.update(dict(zip(kinds, counts, strict=True)))
        if sum(counts) != last - first + 1:
            findings.append(f"ledger: partition {partition}, [{first}, {last}]: counts sum to {sum(counts)}")
    for (partition, number), ranges in passes.items():
        for (_, last), (first, _) in pairwise(ranges):
            if first != last + 1:
                findings.append(f"ledger: partition {partition}, pass {number}: {last} is followed by {first}")
    for partition, end in stage.kafka.end_offsets(TOPIC).items():
        reached = 0
        for first, last in sorted(r for (p, _), ranges in passes.items() if p == partition for r in ranges):
            if first > reached:
                break
            reached = max(reached, last + 1)
        if reached != end:
            findings.append(f"ledger: partition {partition} is covered up to {reached} of {end}")
    if totals["inserted"] != truth.inserted:  # however often an offset was read, its row was inserted once
        findings.append(f"ledger: inserted {totals['inserted']}, and the truth is {truth.inserted}")
    if totals["missing"]:
        findings.append(f"ledger: {totals['missing']} missing, but the log has everything")
    wanted = {
        "duplicates": truth.duplicates, "rejected": truth.rejected, "ignored": truth.ignored, "expired": truth.expired,
    }  # fmt: skip
    read_once = all(number == 0 for _, number in passes)
    for kind, count in wanted.items():
        if totals[kind] < count or (read_once and totals[kind] != count):
            findings.append(f"ledger: {kind} {totals[kind]}, and the truth is {count}")
    return findings


def _letters(stage: Stage, truth: Truth) -> Findings:
    """Every reject at least once, nothing else; what was sent twice counts once."""
    found: dict[tuple[int | None, int | None], tuple[str, str | None, str]] = {}
    findings = []
    for message in stage.kafka.read(f"{TOPIC}.dlq"):
        letter, value = read_letter(message), message.value()
        content = letter.code, None if value is None else digest(value), letter.message
        place = letter.source_partition, letter.source_offset
        if found.setdefault(place, content) != content:
            findings.append(f"dead letters: {place} was sent as {found[place]} and as {content}")
    fields: defaultdict[tuple[str, str | None], set[str]] = defaultdict(set)
    for wanted in truth.letters:
        fields[wanted.code, wanted.digest].add(wanted.field)
    for code, value_digest, text in found.values():
        named = fields.get((code, value_digest), set())
        if not any(field.rpartition(".")[2] in text for field in named):
            findings.append(f"dead letters: {code} {text!r} should name {named or 'nothing: nobody sent this'}")
    counts = Counter((code, value_digest) for code, value_digest, _ in found.values())
    truths = Counter((letter.code, letter.digest) for letter in truth.letters)
    if counts != truths:
        findings.append(f"dead letters: lacking {truths - counts}, too many {counts - truths}")
    return findings


def _offsets(stage: Stage) -> Findings:
    ends = {p: end for p, end in stage.kafka.end_offsets(TOPIC).items() if end}
    committed = stage.committed()
    findings = []
    for partition, end in ends.items():
        offset, metadata = committed.get(partition, (-1, None))
        if offset != end or not metadata:
            findings.append(f"offsets: partition {partition} is committed at {offset} of {end}, metadata {metadata!r}")
    return findings
