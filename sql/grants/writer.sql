-- `run`: appends to events and ledger, mends the summary's state, looks at what landed, and makes or changes no table.
-- The view that feeds the state runs with the rights of who made it (the migrator).
GRANT SELECT, INSERT ON {database}.zkp2p_payment_events TO {user};
GRANT SELECT, INSERT ON {database}.zkp2p_ingest_ledger TO {user};
GRANT SELECT, INSERT ON {database}.zkp2p_daily_summary_state TO {user};
GRANT SELECT ON {database}.zkp2p_schema_migrations TO {user};
-- Before it takes over a partition it looks whether a write of the former owner is still running.
-- (On a cluster it asks all replicas: GRANT REMOTE ON *.* TO {user}.)
GRANT SELECT ON system.processes TO {user};
