-- Which file was applied when, and its checksum, so that a file changed after the fact is noticed.
-- Replacing: two migrations at the same time both write the row, and one remains.
CREATE TABLE IF NOT EXISTS {database}.zkp2p_schema_migrations {on_cluster}
(
    `version` UInt32,
    `name` String,
    `checksum` String,
    `appliedAt` DateTime('UTC') DEFAULT now()
)
ENGINE = {replicated}ReplacingMergeTree()
ORDER BY version
