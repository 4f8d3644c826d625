-- One row a batch landed: the offsets firstOffset to lastOffset (inclusive) of one pass, and how they were spent.
-- inserted + duplicates + rejected + ignored + expired + missing = lastOffset - firstOffset + 1.
-- Read it FINAL: a row that was written twice is one row. No TTL: the proof that nothing was lost starts at the
-- first offset; sorted and delta-coded a row takes a few bytes.
CREATE TABLE IF NOT EXISTS {database}.zkp2p_ingest_ledger {on_cluster}
(
    `kafkaTopicId` LowCardinality(String),
    `kafkaPartition` UInt32,
    `groupId` LowCardinality(String),
    `pass` UInt32,
    `firstOffset` UInt64 CODEC(DoubleDelta, ZSTD),
    `lastOffset` UInt64 CODEC(DoubleDelta, ZSTD),
    `minTimestamp` DateTime('UTC') CODEC(Delta, ZSTD),
    `maxTimestamp` DateTime('UTC') CODEC(Delta, ZSTD),
    `inserted` UInt64 CODEC(T64, ZSTD),
    `duplicates` UInt64 CODEC(T64, ZSTD),
    `rejected` UInt64 CODEC(T64, ZSTD),
    `ignored` UInt64 CODEC(T64, ZSTD),
    `expired` UInt64 CODEC(T64, ZSTD),
    `missing` UInt64 CODEC(T64, ZSTD),
    `landedAt` DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta, ZSTD)
)
ENGINE = {replicated}ReplacingMergeTree()
ORDER BY (kafkaTopicId, kafkaPartition, groupId, pass, firstOffset)
SETTINGS {no_deduplication_window}
