-- For reading over all shards. Writers write to the shard they are given, never through this.
CREATE TABLE IF NOT EXISTS {database}.zkp2p_ingest_ledger_all {on_cluster}
AS {database}.zkp2p_ingest_ledger
ENGINE = Distributed({cluster}, {database}, zkp2p_ingest_ledger)
