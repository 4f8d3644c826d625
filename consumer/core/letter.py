"""The names of the contract that are about rejected records: codes, and the headers of a dead letter."""

from __future__ import annotations

CODES = (
    "too_large",
    "empty",
    "not_json",
    "not_an_object",
    "missing_field",
    "wrong_type",
    "not_in_enum",
    "bad_timestamp",
    "out_of_range",
)

CODE = "zkp2p.error.code"
MESSAGE = "zkp2p.error.message"
SOURCE_TOPIC = "zkp2p.source.topic"
SOURCE_PARTITION = "zkp2p.source.partition"
SOURCE_OFFSET = "zkp2p.source.offset"
SOURCE_TIMESTAMP = "zkp2p.source.timestamp"
CONSUMER_VERSION = "zkp2p.consumer.version"
HEADERS = frozenset({CODE, MESSAGE, SOURCE_TOPIC, SOURCE_PARTITION, SOURCE_OFFSET, SOURCE_TIMESTAMP, CONSUMER_VERSION})
"""What a dead letter has beside the record's own headers."""
REPLAY_COUNT = "zkp2p.replay.count"
"""A record's own: how often it was sent back to the topic."""
