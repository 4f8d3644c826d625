-- How many times are people trying to use it?
-- unique_users are the buyers of a day: one who pays by two methods is one, which the specification's sum over the
-- methods counts twice.
SELECT
    s.date AS date,
    toUInt64(greatest(sum(s.attempts), 0)) AS total_attempts,
    uniqExactMerge(s.buyers) AS unique_users
FROM {database}.zkp2p_daily_summary_state{all} AS s
WHERE s.date >= toDate(now(), 'UTC') - {days}
GROUP BY s.date
HAVING count() > 0
ORDER BY s.date DESC
