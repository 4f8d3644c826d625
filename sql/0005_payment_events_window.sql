-- An insert that is sent again under its token must be recognised, and on a plain MergeTree the window is 0, that
-- is off. It must outlast every insert that can happen between a first try and its last repetition, and be the same
-- on the summary's table: with unequal windows a block is dropped here and added there.
ALTER TABLE {database}.zkp2p_payment_events {on_cluster}
    MODIFY SETTING {deduplication_window}
