-- How often are they succeeding, failing, abandoning?
-- The specification's query names its sums like the columns they are made of, which ClickHouse takes for aggregates
-- of aggregates (ILLEGAL_AGGREGATION), and divides by zero where nobody tried: here that is no rate. no_end is what
-- is left of the attempts: still under way, or gone without a word (zkp2p_session_outcomes tells which).
SELECT
    o.paymentMethod AS paymentMethod,
    sum(o.attempts) AS attempts,
    sum(o.successes) AS successes,
    sum(o.errors) AS errors,
    sum(o.abandons) AS abandons,
    if(sum(o.attempts) = 0, NULL, round(sum(o.successes) * 100.0 / sum(o.attempts), 2)) AS success_rate,
    if(sum(o.attempts) = 0, NULL, round(sum(o.errors) * 100.0 / sum(o.attempts), 2)) AS error_rate,
    if(sum(o.attempts) = 0, NULL, round(sum(o.abandons) * 100.0 / sum(o.attempts), 2)) AS abandon_rate,
    toUInt64(greatest(toInt64(sum(o.attempts)) - toInt64(sum(o.successes) + sum(o.errors) + sum(o.abandons)), 0)) AS no_end
FROM {database}.zkp2p_daily_summary AS o
WHERE o.date >= toDate(now(), 'UTC') - {days}
GROUP BY o.paymentMethod
ORDER BY sum(o.attempts) DESC, paymentMethod
