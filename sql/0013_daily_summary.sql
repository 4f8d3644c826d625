-- The specification's columns, one row a day and method at every moment, merged or not: its queries run on this.
CREATE OR REPLACE VIEW {database}.zkp2p_daily_summary {on_cluster}
AS
SELECT
    s.date AS date,
    s.paymentMethod AS paymentMethod,
    toUInt64(greatest(sum(s.attempts), 0)) AS attempts,
    toUInt64(greatest(sum(s.successes), 0)) AS successes,
    toUInt64(greatest(sum(s.errors), 0)) AS errors,
    toUInt64(greatest(sum(s.abandons), 0)) AS abandons,
    sum(s.total_usd) AS total_usd,
    uniqExactMerge(s.buyers) AS unique_buyers
FROM {database}.zkp2p_daily_summary_state{all} AS s
GROUP BY s.date, s.paymentMethod
HAVING sum(s.attempts) > 0 OR sum(s.successes) > 0 OR sum(s.errors) > 0 OR sum(s.abandons) > 0
