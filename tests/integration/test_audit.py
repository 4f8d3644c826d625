"""Each kind of damage, planted into a sound database: `audit` names it, and nothing else."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import pytest

from consumer.core.errors import Stop
from consumer.core.lease import Note
from consumer.operate.audit import AuditReport, Kind, audit, render, repair
from tests.integration.warehouse import DAY, GROUP, TOPIC_ID, Warehouse, noon
from tests.servers import ClickHouse

YESTERDAY = datetime.fromtimestamp(noon(1), UTC).date()


@pytest.fixture
def house(clickhouse: ClickHouse, database: str) -> Iterator[Warehouse]:
    """Partitions 0 to 2 of 3 batches of 100 events each, yesterday, landed ten minutes ago."""
    client = clickhouse.client()
    house = Warehouse(client, database)
    house.land_alike(partitions=3, batches=3, records=100, at=noon(1), landed_ago=600)
    yield house
    client.close()


def look(
    house: Warehouse, committed: Mapping[int, tuple[int, str | None]] | None = None, days: int = 90
) -> AuditReport:
    return audit(house.client, house.database, days=days, committed=committed, pauses=())


def found(report: AuditReport) -> list[tuple[Kind, int, int, int]]:
    return [(f.kind, f.partition, f.first, f.last) for f in report.findings]


def note(deadline: int = 0, group: str = GROUP) -> str:
    return Note(topic_id=TOPIC_ID, group=group, pass_=0, deadline=deadline).dump()


def test_nothing_wrong(house: Warehouse) -> None:
    committed = {p: (300, note()) for p in range(3)}
    report = look(house, committed)
    assert report.findings == []
    assert report.notes == []
    assert report.events == 900
    assert [(p.partition, p.number, p.first, p.end, p.inserted) for p in report.passes] == [
        (p, 0, 0, 300, 300) for p in range(3)
    ]
    assert repair(house.client, house.database, report) == 0


def test_a_lost_row(house: Warehouse) -> None:
    house.delete("zkp2p_payment_events", "kafkaPartition = 1 AND kafkaOffset = 157")
    report = look(house)
    assert found(report) == [(Kind.LOST, 1, 157, 157), (Kind.DRIFT, 1, -1, -1)]
    assert "offsets 100-199: the ledger counts 100 inserted, the table has 99; lost: 157" in report.findings[0].message
    assert report.findings[1].day == YESTERDAY
    assert repair(house.client, house.database, report) == 1  # the summary follows the table
    assert found(look(house)) == [(Kind.LOST, 1, 157, 157)]
    house.insert(1, 157, 1, at=noon(1) + 157)  # as a re-read would
    assert found(look(house)) == []


def test_a_lost_row_among_duplicates_is_narrowed_down(house: Warehouse) -> None:
    house.insert(0, 300, 3, at=noon(1))
    house.ledger_row(0, 300, 304, (4, 1), (noon(1), noon(1) + 4))
    report = look(house)
    assert found(report) == [(Kind.LOST, 0, 300, 304)]
    assert "1 of these 2 are lost: 303, 304" in report.findings[0].message


def test_a_doubled_row(house: Warehouse) -> None:
    house.run(
        "INSERT INTO {db}.zkp2p_payment_events SELECT * FROM {db}.zkp2p_payment_events"
        " WHERE kafkaPartition = 2 AND kafkaOffset = 42"
    )
    assert house.truth() == house.summary()
    assert found(look(house)) == [(Kind.DOUBLED, 2, 42, 42)]


def test_a_doubled_row_does_not_make_up_for_a_lost_one(house: Warehouse) -> None:
    house.run(
        "INSERT INTO {db}.zkp2p_payment_events SELECT * FROM {db}.zkp2p_payment_events"
        " WHERE kafkaPartition = 2 AND kafkaOffset = 42"
    )
    house.delete("zkp2p_payment_events", "kafkaPartition = 2 AND kafkaOffset = 43")
    report = look(house)
    assert found(report) == [(Kind.LOST, 2, 43, 43), (Kind.DOUBLED, 2, 42, 42), (Kind.DRIFT, 2, -1, -1)]


def test_another_event_under_coordinates_that_are_taken(house: Warehouse) -> None:
    house.insert(2, 42, 1, at=noon(1), session="other")
    assert found(look(house)) == [(Kind.DOUBLED, 2, 42, 42)]


def test_a_row_the_ledger_does_not_count(house: Warehouse) -> None:
    house.land(0, 300, 10, inserted=False, landed_ago=600)
    house.insert(0, 305, 1, at=noon(1))
    assert found(look(house)) == [(Kind.UNCOUNTED, 0, 300, 309)]


def test_a_hole_in_the_ledger(house: Warehouse) -> None:
    house.delete("zkp2p_ingest_ledger", "kafkaPartition = 0 AND firstOffset = 100")
    assert found(look(house)) == [(Kind.GAP, 0, 100, 199)]


def test_an_overlap_in_the_ledger(house: Warehouse) -> None:
    house.ledger_row(1, 150, 199, (0, 50), (0, 0))
    assert found(look(house)) == [(Kind.OVERLAP, 1, 150, 199)]


def test_a_gap_and_an_overlap_of_one_length(house: Warehouse) -> None:
    """Lengths and ends alone would add up."""
    house.delete("zkp2p_ingest_ledger", "kafkaPartition = 0 AND firstOffset = 100")
    house.ledger_row(0, 250, 299, (0, 50), (0, 0))
    house.ledger_row(0, 240, 289, (0, 50), (0, 0))
    kinds = found(look(house))
    assert kinds[0] == (Kind.GAP, 0, 100, 199)
    assert [k for k, *_ in kinds[1:]] == [Kind.OVERLAP, Kind.OVERLAP]


def test_a_ledger_row_that_does_not_add_up(house: Warehouse) -> None:
    house.ledger_row(0, 300, 309, (0, 9), (0, 0))
    report = look(house)
    assert found(report) == [(Kind.UNBALANCED, 0, 300, 309)]
    assert "accounts for 9 records of 10" in report.findings[0].message


def test_a_ledger_row_written_twice_is_one(house: Warehouse) -> None:
    house.ledger_row(0, 200, 299, (100, 0), (noon(1) + 200, noon(1) + 299), landed_ago=598)
    assert found(look(house)) == []


def test_rows_of_a_batch_that_broke_off(house: Warehouse) -> None:
    house.insert(1, 300, 20, at=noon(1))
    house.insert(1, 330, 1, at=noon(1))
    house.insert(3, 0, 5, at=noon(1))
    assert found(look(house)) == [
        (Kind.UNCOVERED, 1, 300, 319),
        (Kind.UNCOVERED, 1, 330, 330),
        (Kind.UNCOVERED, 3, 0, 4),
    ]


def test_a_drifted_day(house: Warehouse) -> None:
    house.run(
        "INSERT INTO {db}.zkp2p_daily_summary_state (date, paymentMethod, kafkaTopicId, kafkaPartition, attempts,"
        f" total_usd) VALUES ('{YESTERDAY}', 'zelle', '{TOPIC_ID}', 2, 5, -1.25)"
    )
    report = look(house)
    assert found(report) == [(Kind.DRIFT, 2, -1, -1)]
    assert report.findings[0].day == YESTERDAY
    assert "zelle attempts 17 instead of 12" in report.findings[0].message
    assert repair(house.client, house.database, report) == 1
    assert found(look(house)) == []
    assert house.summary() == house.truth()


def test_a_buyer_too_many_takes_a_rebuild(house: Warehouse) -> None:
    house.run(
        "INSERT INTO {db}.zkp2p_daily_summary_state (date, paymentMethod, kafkaTopicId, kafkaPartition, buyers)"
        f" SELECT '{YESTERDAY}', 'wise', '{TOPIC_ID}', 0, uniqExactState(toUInt32(4000000))"
    )
    report = look(house)
    assert found(report) == [(Kind.DRIFT, 0, -1, -1)]
    assert report.findings[0].rebuild
    assert repair(house.client, house.database, report) == 1
    assert found(look(house)) == []
    assert house.summary() == house.truth()


def test_summary_lost_altogether(house: Warehouse) -> None:
    house.run("TRUNCATE TABLE {db}.zkp2p_daily_summary_state")
    report = look(house)
    assert found(report) == [(Kind.DRIFT, p, -1, -1) for p in range(3)]
    assert repair(house.client, house.database, report) == 3
    assert house.summary() == house.truth()


def test_a_repair_is_refused_while_the_partition_is_written(house: Warehouse) -> None:
    house.run("TRUNCATE TABLE {db}.zkp2p_daily_summary_state")
    report = look(house)
    house.land(1, 300, 10)
    with pytest.raises(
        Stop, match="mended 2 days; partition 1 is being written, or was a minute ago: stop the consumers"
    ):
        repair(house.client, house.database, report)
    assert [f.partition for f in look(house).findings] == [1]
    with pytest.raises(Stop, match="mended 0 days; partition 1 "):
        repair(house.client, house.database, look(house), active={1})
    with pytest.raises(Stop, match="mended 0 days; partition 1 "):
        repair(house.client, house.database, look(house), idle_groups=["another"])
    assert repair(house.client, house.database, look(house), idle_groups=[GROUP]) == 1
    assert house.summary() == house.truth()


def test_an_offset_reset_and_the_pass_it_becomes(house: Warehouse) -> None:
    report = look(house, {0: (300, note()), 1: (120, None)})
    assert found(report) == []
    assert any("has committed 120, the ledger ends at 300: an offset reset" in text for text in report.notes)
    report = look(house, {0: (300, note()), 1: (420, None)})
    assert found(report) == [(Kind.COMMITTED, 1, 300, 419)]
    assert (
        "an offset reset; the next start reads on from 420 and would skip offsets 300-419" in report.findings[0].message
    )
    house.land(1, 120, 150, number=1, inserted=False)
    house.land(1, 270, 30, number=1, inserted=False)
    house.land(1, 300, 50, number=1)
    report = look(house, {0: (300, note()), 1: (350, note())})
    assert found(report) == []
    assert [(p.number, p.first, p.end, p.duplicates) for p in report.passes if p.partition == 1] == [
        (0, 0, 300, 0),
        (1, 120, 350, 180),
    ]


def test_a_row_lost_under_a_re_read(house: Warehouse) -> None:
    house.land(1, 120, 230, number=1, inserted=False)
    house.delete("zkp2p_payment_events", "kafkaPartition = 1 AND kafkaOffset = 299")
    assert found(look(house))[0][:2] == (Kind.LOST, 1)


def test_a_reset_past_unread_offsets(house: Warehouse) -> None:
    house.land(2, 400, 100, number=1)
    assert found(look(house)) == [(Kind.SKIPPED, 2, 300, 399)]
    house.land(2, 300, 200, number=2, inserted=False, at=noon(1))
    assert found(look(house)) == []


def test_a_commit_past_what_landed(house: Warehouse) -> None:
    assert found(look(house, {2: (305, note(deadline=99))})) == [(Kind.COMMITTED, 2, 300, 304)]


def test_a_commit_behind_is_shown_and_no_finding(house: Warehouse) -> None:
    report = look(house, {2: (200, note(deadline=99))})
    assert found(report) == []
    assert report.notes == [
        f"partition 2: {GROUP} has committed 200, the ledger ends at 300: the consumer goes on from 300"
    ]


def test_two_groups_at_once(house: Warehouse) -> None:
    for batch in range(3):
        house.land(0, 100 * batch, 100, group="second", inserted=False, landed_ago=590 - batch)
    assert found(look(house)) == []  # one after the other is a re-read
    for batch in range(3):
        house.land(1, 100 * batch, 100, group="second", inserted=False, landed_ago=590 - batch)
    house.land(1, 300, 100, landed_ago=300)  # and the first one goes on, whenever the test gets here
    report = look(house)
    assert [(k, p) for k, p, *_ in found(report)] == [(Kind.TWO_WRITERS, 1)]
    assert f"groups second and {GROUP} wrote at the same time" in report.findings[0].message


@pytest.mark.parametrize(("days_apart", "kinds"), [(0, [Kind.DUPLICATE]), (1, [Kind.DUPLICATE]), (2, [])])
def test_copies_in_two_partitions(house: Warehouse, days_apart: int, kinds: list[Kind]) -> None:
    house.land(4, 7, 1, at=noon(20), session="twin")
    house.run(
        "INSERT INTO {db}.zkp2p_payment_events SELECT * REPLACE (5 AS kafkaPartition, 70 AS kafkaOffset,"
        f" timestamp + {days_apart * DAY} AS timestamp) FROM (SELECT * FROM {{db}}.zkp2p_payment_events WHERE kafkaPartition = 4)"
    )
    house.ledger_row(5, 70, 70, (1, 0), (noon(20) + days_apart * DAY,) * 2)
    report = look(house)
    assert found(report) == [(kind, 5, 70, 70) for kind in kinds]
    if kinds:
        assert "repeats abandoned of session twin-4-7, which is at partition 4 offset 7 already" in str(report.findings)


def test_what_retention_took_is_no_finding(house: Warehouse) -> None:
    old = noon(95)
    house.ledger_row(0, 300, 399, (100, 0), (old, noon(60)))  # reaches from gone to kept
    house.insert(0, 360, 40, at=noon(60))
    house.ledger_row(0, 400, 499, (100, 0), (old, old + 99))  # all gone
    house.run(
        "INSERT INTO {db}.zkp2p_daily_summary_state (date, paymentMethod, kafkaTopicId, kafkaPartition, attempts)"
        f" VALUES (toDate({old}), 'zelle', '{TOPIC_ID}', 0, 25)"
    )
    report = look(house)
    assert found(report) == []
    assert [n for n in report.notes if "aged out" in n and "partition 0: batches with 200 rows" in n]
    assert repair(house.client, house.database, report) == 0
    assert (25,) in house.rows("SELECT attempts FROM {db}.zkp2p_daily_summary")  # its figures stay


def test_a_short_audit_compares_the_last_days_only(house: Warehouse) -> None:
    house.delete("zkp2p_payment_events", "kafkaPartition = 1 AND kafkaOffset = 157")
    house.land(0, 300, 10, at=noon(0))
    house.run("OPTIMIZE TABLE {db}.zkp2p_ingest_ledger FINAL")
    assert {k for k, *_ in found(look(house, days=2))} == {Kind.LOST, Kind.DRIFT}
    house.delete("zkp2p_daily_summary_state", "1")
    assert [f.day for f in look(house, days=1).findings if f.kind is Kind.DRIFT] == [
        datetime.fromtimestamp(noon(0), UTC).date()
    ]


def test_rows_from_before_are_nobodys(house: Warehouse) -> None:
    house.insert(0, 0, 50, at=noon(3), topic_id="")
    house.insert(0, 0, 50, at=noon(3), topic_id="")  # their own copies are not ours to judge
    assert found(look(house)) == []
    house.run(
        "INSERT INTO {db}.zkp2p_payment_events SELECT * REPLACE ('topic-one' AS kafkaTopicId, 6 AS kafkaPartition)"
        " FROM (SELECT * FROM {db}.zkp2p_payment_events WHERE kafkaTopicId = '' AND sessionId = 'session-0-9' LIMIT 1)"
    )
    house.ledger_row(6, 9, 9, (1, 0), (noon(3) + 9,) * 2)
    assert found(look(house)) == [(Kind.DUPLICATE, 6, 9, 9)]


def test_batches_landing_meanwhile_are_no_findings(house: Warehouse, clickhouse: ClickHouse) -> None:
    """Ledger row, view and table of a batch come one after the other: seen in between, nothing is wrong."""
    stop = threading.Event()
    batches: list[int] = []

    def write() -> None:
        with clickhouse.client() as client:
            other = Warehouse(client, house.database)
            while not stop.is_set():
                other.land(1, 300 + 500 * len(batches), 500, at=noon(0))
                batches.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        reports = [audit(house.client, house.database, pauses=(0.5, 1.0, 2.0)) for _ in range(3)]
    finally:
        stop.set()
        writer.join()
    assert [found(r) for r in reports] == [[], [], []]
    assert batches
    assert found(look(house)) == []


def test_piped_a_finding_is_one_line(house: Warehouse) -> None:
    house.delete("zkp2p_ingest_ledger", "kafkaPartition = 0 AND firstOffset = 100")
    report = look(house)
    out = io.StringIO()
    render(report, out)
    lines = out.getvalue().splitlines()
    assert lines[:-2] == [line for line in lines if line.startswith("pass: ")]
    assert lines[-2] == (
        f"finding: gap: partition 0: the ledger has no row for offsets 100-199 (pass 0 of {GROUP}) [topic id {TOPIC_ID}]"
    )
    assert lines[-1].startswith("audit: 1 finding, among 900 events and 8 ledger rows since ")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_there_is_a_table(house: Warehouse) -> None:
    out = Terminal()
    render(look(house), out)
    assert "Passes: each reading of a partition by a group" in out.getvalue()
    assert "nothing lost, nothing doubled" in out.getvalue()
