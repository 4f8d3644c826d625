-- What the summary is made of. Counts are signed and summed, so that a correction is an insert of differences;
-- buyers are exact sets, so that a buyer counted twice is one. Kafka's topic id and partition are part of the key
-- because a partition has one writer: it alone, with nothing on its way, can correct its share while others write.
--
-- No TTL: the events go after 90 days, their daily figures stay. (A day takes some 4 bytes a buyer; user ids are in
-- it, so where those must go too, an ALTER ... MODIFY TTL date + INTERVAL ... is all it takes: days older than the
-- events' retention are never compared with the table.) No PARTITION BY either: an insert must be one block here.
CREATE TABLE IF NOT EXISTS {database}.zkp2p_daily_summary_state {on_cluster}
(
    `date` Date,
    `paymentMethod` Enum8('venmo' = 1, 'cashapp' = 2, 'paypal' = 3, 'zelle' = 4, 'wise' = 5, 'revolut' = 6),
    `kafkaTopicId` LowCardinality(String),
    `kafkaPartition` UInt32,
    `attempts` SimpleAggregateFunction(sum, Int64),
    `successes` SimpleAggregateFunction(sum, Int64),
    `errors` SimpleAggregateFunction(sum, Int64),
    `abandons` SimpleAggregateFunction(sum, Int64),
    `total_usd` SimpleAggregateFunction(sum, Decimal(38, 2)),
    `buyers` AggregateFunction(uniqExact, UInt32)
)
ENGINE = {replicated}AggregatingMergeTree()
ORDER BY (date, paymentMethod, kafkaTopicId, kafkaPartition)
SETTINGS {deduplication_window}
