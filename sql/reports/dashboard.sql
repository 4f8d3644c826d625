-- One query to answer all questions: every day and method.
SELECT
    date,
    paymentMethod,
    attempts,
    successes,
    errors,
    abandons,
    total_usd,
    unique_buyers,
    if(attempts = 0, NULL, round(successes / attempts, 4)) AS success_rate
FROM {database}.zkp2p_daily_summary
WHERE date >= toDate(now(), 'UTC') - {days}
ORDER BY date DESC, attempts DESC, paymentMethod
