-- Where each row came from. This is what makes the table the log of truth: what has landed can be told from what
-- has not without asking anybody else. Rows from before have the topic id '' and belong to no Kafka partition.
--
-- The index is for the scan after a restart, which asks for the rows of one partition at or beyond an offset. The
-- table is ordered by time and partitions differ in their offsets, so the least and greatest offset of a granule
-- say little; the set of (topic id, partition, run of 65,536 offsets) in it says all, and is a handful of values.
ALTER TABLE {database}.zkp2p_payment_events {on_cluster}
    ADD COLUMN IF NOT EXISTS `kafkaTopicId` LowCardinality(String) DEFAULT '',
    ADD COLUMN IF NOT EXISTS `kafkaPartition` UInt32 DEFAULT 0,
    ADD COLUMN IF NOT EXISTS `kafkaOffset` UInt64 DEFAULT 0,
    ADD INDEX IF NOT EXISTS kafkaLineage (kafkaTopicId, kafkaPartition, bitShiftRight(kafkaOffset, 16)) TYPE set(0) GRANULARITY 4
