-- The figures on top of the page: the whole time in one row, each buyer once.
SELECT
    toUInt64(greatest(sum(s.attempts), 0)) AS attempts,
    toUInt64(greatest(sum(s.successes), 0)) AS successes,
    toUInt64(greatest(sum(s.errors), 0)) AS errors,
    toUInt64(greatest(sum(s.abandons), 0)) AS abandons,
    sum(s.total_usd) AS total_usd,
    uniqExactMerge(s.buyers) AS unique_buyers,
    toDate(now(), 'UTC') - {days} AS since,
    toDate(now(), 'UTC') AS today
FROM {database}.zkp2p_daily_summary_state{all} AS s
WHERE s.date >= toDate(now(), 'UTC') - {days}
