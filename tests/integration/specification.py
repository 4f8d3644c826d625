"""The specification's own statements, to the letter, in database `civitai`."""

from __future__ import annotations

DDL = (
    """
CREATE TABLE civitai.zkp2p_payment_events
(
    `userId` UInt32,
    `sessionId` String,
    `eventType` Enum8(
        'attempt' = 1,      -- User clicked payment button
        'success' = 2,      -- Payment completed successfully
        'error' = 3,        -- Payment failed with error
        'abandoned' = 4     -- User left without completing
    ),
    `paymentMethod` Enum8(
        'venmo' = 1,
        'cashapp' = 2,
        'paypal' = 3,
        'zelle' = 4,
        'wise' = 5,
        'revolut' = 6
    ),
    `usdAmount` Decimal(10, 2),
    `buzzAmount` UInt32,
    `errorMessage` Nullable(String),
    `timestamp` DateTime DEFAULT now()
) ENGINE = MergeTree()
ORDER BY (timestamp, userId)
PARTITION BY toYYYYMM(timestamp)
TTL timestamp + INTERVAL 90 DAY
""",
    """
CREATE MATERIALIZED VIEW civitai.zkp2p_daily_summary
ENGINE = SummingMergeTree()
ORDER BY (date, paymentMethod)
AS
SELECT
    toDate(timestamp) as date,
    paymentMethod,
    countIf(eventType = 'attempt') as attempts,
    countIf(eventType = 'success') as successes,
    countIf(eventType = 'error') as errors,
    countIf(eventType = 'abandoned') as abandons,
    sumIf(usdAmount, eventType = 'success') as total_usd,
    uniqIf(userId, eventType = 'success') as unique_buyers
FROM civitai.zkp2p_payment_events
GROUP BY date, paymentMethod
""",
)

QUERIES = (
    """
SELECT
    date,
    sum(attempts) as total_attempts,
    sum(unique_buyers) as unique_users
FROM civitai.zkp2p_daily_summary
WHERE date >= today() - 7
GROUP BY date
ORDER BY date DESC
""",
    """
SELECT
    paymentMethod,
    sum(attempts) as total_attempts,
    sum(attempts) * 100.0 / sum(sum(attempts)) OVER () as percentage
FROM civitai.zkp2p_daily_summary
WHERE date >= today() - 30
GROUP BY paymentMethod
ORDER BY total_attempts DESC
""",
    """
SELECT
    paymentMethod,
    sum(attempts) as attempts,
    sum(successes) as successes,
    sum(errors) as errors,
    sum(abandons) as abandons,
    sum(successes) * 100.0 / sum(attempts) as success_rate,
    sum(errors) * 100.0 / sum(attempts) as error_rate,
    sum(abandons) * 100.0 / sum(attempts) as abandon_rate
FROM civitai.zkp2p_daily_summary
WHERE date >= today() - 7
GROUP BY paymentMethod
""",
    """
SELECT
    date,
    paymentMethod,
    attempts,
    successes,
    errors,
    abandons,
    total_usd,
    unique_buyers,
    successes::Float64 / attempts as success_rate
FROM civitai.zkp2p_daily_summary
WHERE date >= today() - 30
ORDER BY date DESC, attempts DESC
""",
)


def literal(statement: str, database: str) -> str:
    """A statement for another database, else untouched."""
    return statement.replace("civitai.", f"{database}.")
