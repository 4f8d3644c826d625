-- `migrate`, and `audit --repair`: owns the objects of the one database. `check` proves deduplication with it on tables
-- of its own. With ON CLUSTER it also needs: GRANT CLUSTER ON *.* TO {user}, and the same engines
-- with Replicated before their names, and Distributed.
-- The materialized view runs with this user's rights, so it must stay.
GRANT CREATE DATABASE, SHOW, SELECT, INSERT, ALTER, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW ON {database}.* TO {user};
GRANT TABLE ENGINE ON MergeTree, TABLE ENGINE ON ReplacingMergeTree, TABLE ENGINE ON AggregatingMergeTree TO {user};
-- A repair looks whether a consumer is writing just now.
GRANT SELECT ON system.processes TO {user};
