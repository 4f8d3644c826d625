-- Dashboards: the summary and the sessions, with what buyers were told when something went wrong; not where rows came
-- from. A view reads with the rights of who asks, so the columns behind it are named too.
GRANT SELECT ON {database}.zkp2p_daily_summary TO {user};
GRANT SELECT ON {database}.zkp2p_daily_summary_state TO {user};
GRANT SELECT(sessionId, outcome, inferredAbandoned, userId, paymentMethod, usdAmount, buzzAmount, errorMessage, firstEvent, lastEvent, events) ON {database}.zkp2p_session_outcomes TO {user};
GRANT SELECT(sessionId, eventType, userId, paymentMethod, usdAmount, buzzAmount, errorMessage, timestamp) ON {database}.zkp2p_payment_events TO {user};
