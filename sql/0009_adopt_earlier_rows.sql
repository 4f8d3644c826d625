-- Rows that were in the table before the view was there are counted now: table minus state, so that a second run,
-- after a crash in between, adds nothing. Sent under a token of its own, so that two at the same time add it once.
-- Nothing may be writing to the table meanwhile. Days that retention is eating are left out (two hours early,
-- because the table's TTL counts in the server's zone, which may have moved its clocks).
INSERT INTO {database}.zkp2p_daily_summary_state
    (date, paymentMethod, kafkaTopicId, kafkaPartition, attempts, successes, errors, abandons, total_usd, buyers)
SELECT
    date,
    paymentMethod,
    kafkaTopicId,
    kafkaPartition,
    sum(t.attempts),
    sum(t.successes),
    sum(t.errors),
    sum(t.abandons),
    sum(t.total_usd),
    uniqExactMergeState(t.buyers_there)
FROM
(
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
        uniqExactStateIf(userId, eventType = 'success') AS buyers_there,
        uniqExactStateIf(userId, 0) AS buyers_known,
        buyers_there AS buyers_both
    FROM {database}.zkp2p_payment_events
    WHERE toDate(timestamp, 'UTC') >= toDate(now() + 7200, 'UTC') - 89
    GROUP BY date, paymentMethod, kafkaTopicId, kafkaPartition
    UNION ALL
    SELECT
        date,
        paymentMethod,
        kafkaTopicId,
        kafkaPartition,
        -sum(s.attempts),
        -sum(s.successes),
        -sum(s.errors),
        -sum(s.abandons),
        -sum(s.total_usd),
        uniqExactStateIf(toUInt32(0), 0),
        uniqExactMergeState(s.buyers) AS known,
        known
    FROM {database}.zkp2p_daily_summary_state AS s
    WHERE date >= toDate(now() + 7200, 'UTC') - 89
    GROUP BY date, paymentMethod, kafkaTopicId, kafkaPartition
) AS t
GROUP BY date, paymentMethod, kafkaTopicId, kafkaPartition
HAVING sum(t.attempts) != 0 OR sum(t.successes) != 0 OR sum(t.errors) != 0 OR sum(t.abandons) != 0
    OR sum(t.total_usd) != 0 OR uniqExactMerge(t.buyers_both) != uniqExactMerge(t.buyers_known)
