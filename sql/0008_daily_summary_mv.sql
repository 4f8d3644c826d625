-- Feeds the state with every insert. Days are UTC days, whatever the server's time zone.
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.zkp2p_daily_summary_mv {on_cluster}
TO {database}.zkp2p_daily_summary_state
AS
SELECT
    toDate(timestamp, 'UTC') AS date,
    paymentMethod,
    kafkaTopicId,
    kafkaPartition,
    toInt64(countIf(eventType = 'attempt')) AS attempts,
    toInt64(countIf(eventType = 'success')) AS successes,
    toInt64(countIf(eventType = 'error')) AS errors,
    toInt64(countIf(eventType = 'abandoned')) AS abandons,
    sumIf(usdAmount, eventType = 'success') AS total_usd,
    uniqExactStateIf(userId, eventType = 'success') AS buyers
FROM {database}.zkp2p_payment_events
GROUP BY date, paymentMethod, kafkaTopicId, kafkaPartition
