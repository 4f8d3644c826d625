-- What payment methods are they trying to use?
SELECT
    m.paymentMethod AS paymentMethod,
    sum(m.attempts) AS total_attempts,
    if(sum(total_attempts) OVER () = 0, NULL, round(total_attempts * 100.0 / sum(total_attempts) OVER (), 2)) AS percentage
FROM {database}.zkp2p_daily_summary AS m
WHERE m.date >= toDate(now(), 'UTC') - {days}
GROUP BY m.paymentMethod
ORDER BY total_attempts DESC, paymentMethod
