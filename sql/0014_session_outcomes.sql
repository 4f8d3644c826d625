-- One row a session. Events come late and out of order, so the outcome is the best that was ever reported:
-- success > error > abandoned > attempt. inferredAbandoned marks a session of which nothing was heard for 30 minutes
-- after its attempt: a browser that closes often reports nothing. It never changes `outcome`, which is as reported.
CREATE OR REPLACE VIEW {database}.zkp2p_session_outcomes {on_cluster}
AS
SELECT
    e.sessionId AS sessionId,
    multiIf(countIf(e.eventType = 'success') > 0, 'success', countIf(e.eventType = 'error') > 0, 'error',
            countIf(e.eventType = 'abandoned') > 0, 'abandoned', 'attempt')
        ::Enum8('attempt' = 1, 'success' = 2, 'error' = 3, 'abandoned' = 4) AS outcome,
    countIf(e.eventType != 'attempt') = 0 AND max(e.timestamp) < now() - INTERVAL 30 MINUTE AS inferredAbandoned,
    argMin(e.userId, (e.timestamp, e.eventType)) AS userId,
    argMin(e.paymentMethod, (e.timestamp, e.eventType)) AS paymentMethod,
    argMax(e.usdAmount, (e.eventType = 'success', e.timestamp)) AS usdAmount,
    argMax(e.buzzAmount, (e.eventType = 'success', e.timestamp)) AS buzzAmount,
    argMaxIf(e.errorMessage, e.timestamp, e.eventType = 'error') AS errorMessage,
    min(e.timestamp) AS firstEvent,
    max(e.timestamp) AS lastEvent,
    count() AS events
FROM {database}.zkp2p_payment_events{all} AS e
GROUP BY e.sessionId
