-- For reading over all shards. Writers write to the shard they are given, never through this.
CREATE TABLE IF NOT EXISTS {database}.zkp2p_payment_events_all {on_cluster}
AS {database}.zkp2p_payment_events
ENGINE = Distributed({cluster}, {database}, zkp2p_payment_events)
