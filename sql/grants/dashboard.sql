-- Dashboards: the summary and, without error messages and raw rows' origin, the sessions. A view reads with the rights
-- of who asks, so the columns behind it are named too.
GRANT SELECT ON {database}.zkp2p_daily_summary TO {user};
GRANT SELECT ON {database}.zkp2p_daily_summary_state TO {user};
GRANT SELECT(sessionId, outcome, inferredAbandoned, userId, paymentMethod, usdAmount, buzzAmount, firstEvent, lastEvent, events) ON {database}.zkp2p_session_outcomes TO {user};
GRANT SELECT(sessionId, eventType, userId, paymentMethod, usdAmount, buzzAmount, errorMessage, timestamp) ON {database}.zkp2p_payment_events TO {user};
