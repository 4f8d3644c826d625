"""The summary held against the table: where they differ, and the one insert that makes up for it.

The state's counts are signed and summed and its buyers are sets, so table minus state is all that has to be added,
for one partition of one topic id at a time, while others go on writing. Only this partition itself must be quiet.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from clickhouse_connect.driver.client import Client

from consumer.adapters.sql import quoted
from consumer.core.batch import SECONDS_A_DAY

STATE = "zkp2p_daily_summary_state"
EVENTS = "zkp2p_payment_events"

FIRST_WHOLE_DAY = "(toDate(now() + 7200, 'UTC') - 89)"
"""The oldest UTC day of which retention (90 days) has taken nothing, by the server's clock when the query runs.
Two hours early: the table's TTL counts days in the server's zone, whose clock may have been put forward since."""

COUNTS = ("attempts", "successes", "errors", "abandons", "total_usd")


def first_whole_day(client: Client) -> int:
    """`FIRST_WHOLE_DAY` as a day number since 1970. For what is shown: statements ask the server themselves."""
    return int(client.query(f"SELECT toUInt32(toUInt16({FIRST_WHOLE_DAY}))").result_rows[0][0])


def mend_sql(database: str, topic_id: str, partition: int, days: Iterable[int] | None, condition: str = "1") -> str:
    """The statement that inserts what the summary lacks, or has too much, of these days of this partition.

    `days` are day numbers since 1970, UTC; None for all. Days that retention is eating are left out. Nothing is
    inserted where nothing differs. `condition` is evaluated when the sums are there, right before they are inserted:
    a `throwIf` in it makes the server refuse a mending that comes too late.

    Nothing of this partition may be on its way: rows that have landed in the table and not yet in the summary would
    be counted twice. A buyer too many stays, as sets can't be subtracted: that takes `rebuild_sql`.

    The token is new each time: the same differences may rightly be inserted twice, and a table with a deduplication
    window would otherwise drop the second as a copy of the first.
    """
    lineage = f"kafkaTopicId = {quoted(topic_id)} AND kafkaPartition = {partition:d}"
    sums = ", ".join(f"sum(d.{name}) AS delta_{name}" for name in COUNTS)
    drifted = " OR ".join(f"delta_{name} != 0" for name in COUNTS)
    return f"""
        INSERT INTO {database}.{STATE}
            (date, paymentMethod, kafkaTopicId, kafkaPartition, {", ".join(COUNTS)}, buyers)
        SELECT date, paymentMethod, {quoted(topic_id)}, {partition:d}, {", ".join(f"delta_{n}" for n in COUNTS)}, buyers
        FROM
        (
            SELECT date, paymentMethod, {sums}, uniqExactMergeState(d.there) AS buyers
            FROM ({differences(database, lineage, None if days is None else sorted(set(days)))}) AS d
            GROUP BY date, paymentMethod
            HAVING {drifted} OR uniqExactMerge(d.both) != uniqExactMerge(d.known)
        )
        WHERE {condition}
        SETTINGS insert_deduplication_token = 'mend/{uuid.uuid4()}', max_insert_threads = 1,
            query_plan_filter_push_down = 0, enable_optimize_predicate_expression = 0
    """


def differences(database: str, condition: str, days: list[int] | None, keys: str = "") -> str:
    """Two rows for each (date, method): what the table holds, and what the state holds, negative.

    `there` are the table's buyers, `known` the state's, `both` either's; `side` is 0 and 1. `keys` are further columns to group by,
    each with a comma before it.
    """
    young = f"date >= {FIRST_WHOLE_DAY}"
    if days is not None:
        young += f" AND toUInt16(date) IN ({', '.join(map(str, days))})" if days else " AND 0"
    since = f"timestamp >= toDateTime({FIRST_WHOLE_DAY}, 'UTC')"
    if days:
        since += f" AND timestamp >= toDateTime({days[0] * SECONDS_A_DAY}, 'UTC')"
        since += f" AND timestamp < toDateTime({(days[-1] + 1) * SECONDS_A_DAY}, 'UTC')"
    negative = ", ".join(f"-sum(s.{name}) AS {name}" for name in COUNTS)
    return f"""
        SELECT
            toDate(timestamp, 'UTC') AS date, paymentMethod{keys},
            toInt64(countIf(eventType = 'attempt')) AS attempts,
            toInt64(countIf(eventType = 'success')) AS successes,
            toInt64(countIf(eventType = 'error')) AS errors,
            toInt64(countIf(eventType = 'abandoned')) AS abandons,
            sumIf(usdAmount, eventType = 'success') AS total_usd,
            uniqExactStateIf(userId, eventType = 'success') AS there,
            uniqExactStateIf(userId, 0) AS known,
            there AS both,
            0 AS side
        FROM {database}.{EVENTS}
        WHERE {condition} AND {since} AND {young}
        GROUP BY date, paymentMethod{keys}
        UNION ALL
        SELECT
            date, paymentMethod{keys}, {negative},
            uniqExactStateIf(toUInt32(0), 0) AS there, uniqExactMergeState(s.buyers) AS known, known AS both, 1 AS side
        FROM {database}.{STATE} AS s
        WHERE {condition} AND {young}
        GROUP BY date, paymentMethod{keys}
    """
