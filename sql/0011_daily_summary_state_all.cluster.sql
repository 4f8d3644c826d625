-- For reading over all shards. Writers write to the shard they are given, never through this.
CREATE TABLE IF NOT EXISTS {database}.zkp2p_daily_summary_state_all {on_cluster}
AS {database}.zkp2p_daily_summary_state
ENGINE = Distributed({cluster}, {database}, zkp2p_daily_summary_state)
