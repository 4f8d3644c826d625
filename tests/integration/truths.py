"""What came out, read back independently of the consumer, to be held against the truth of the traffic."""

from __future__ import annotations

from collections import Counter

from consumer.demo.truth import Day, Letter, Row, Truth, digest
from tests.servers import ClickHouse, Kafka


def rows(clickhouse: ClickHouse, database: str) -> Counter[Row]:
    """All rows of the table, with how often each is there."""
    found = clickhouse.client(database).query(
        "SELECT userId, sessionId, toString(eventType), toString(paymentMethod), toInt64(usdAmount * 100),"
        " buzzAmount, errorMessage, toUnixTimestamp(timestamp) FROM zkp2p_payment_events"
    )
    return Counter(Row(*row) for row in found.result_rows)


def summary(clickhouse: ClickHouse, database: str) -> dict[tuple[str, str], Day]:
    found = clickhouse.client(database).query(
        "SELECT toString(date), toString(paymentMethod), attempts, successes, errors, abandons,"
        " toInt64(total_usd * 100), unique_buyers FROM zkp2p_daily_summary ORDER BY date, toString(paymentMethod)"
    )
    return {(row[0], row[1]): Day(*row[2:]) for row in found.result_rows}


def spent(clickhouse: ClickHouse, database: str) -> dict[str, int]:
    """The ledger's sums."""
    names = ("inserted", "duplicates", "rejected", "ignored", "expired", "missing")
    sums = ", ".join(f"sum({name})" for name in names)
    found = clickhouse.client(database).query(f"SELECT {sums} FROM zkp2p_ingest_ledger FINAL")
    return dict(zip(names, found.result_rows[0], strict=True))


def letters(kafka: Kafka, topic: str) -> Counter[Letter]:
    found: Counter[Letter] = Counter()
    for message in kafka.read(topic):
        headers = dict(message.headers() or [])
        value, code = message.value(), headers["zkp2p.error.code"]
        assert isinstance(code, bytes)
        found[Letter(code.decode(), "", None if value is None else digest(value))] += 1
    return found


def assert_truth(truth: Truth, clickhouse: ClickHouse, database: str, kafka: Kafka, dlq_topic: str) -> None:
    """Table, summary, ledger and dead letters are exactly what was produced."""
    expected, found = Counter(truth.rows), rows(clickhouse, database)
    assert found - expected == Counter(), "rows that nobody produced, or twice"
    assert expected - found == Counter(), "rows lost"
    assert summary(clickhouse, database) == truth.summary()
    assert spent(clickhouse, database) == {
        "inserted": truth.inserted,
        "duplicates": truth.duplicates,
        "rejected": truth.rejected,
        "ignored": truth.ignored,
        "expired": truth.expired,
        "missing": 0,
    }
    assert letters(kafka, dlq_topic) == Counter(letter._replace(field="") for letter in truth.letters)
