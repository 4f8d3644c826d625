"""A fake Kafka: a topic's logs, and a group's committed offsets and members.

It holds to what was seen of the real broker: a commit is fenced by member and generation, not by partition; the
metadata is a string kept beside the offset; an operator's tools need a group without members; a topic made anew
has another id, and its offsets are gone, or kept by its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from consumer.core.errors import Stop
from consumer.core.lease import read_note
from consumer.core.position import Committed, Log
from consumer.sim.records import CONTROL, Record

METADATA_CHARACTERS_MAX = 4095
"""Kafka's `offset.metadata.max.bytes` is 4096, and 4096 characters are refused (seen)."""


@dataclass(slots=True)
class PartitionLog:
    """Offsets [low, high); what compaction took is None."""

    low: int = 0
    records: list[Record | None] = field(default_factory=list)
    """By offset, from 0 on."""

    @property
    def high(self) -> int:
        return len(self.records)


@dataclass(slots=True)
class GroupOffsets:
    offsets: dict[int, tuple[int, str | None]] = field(default_factory=dict)


class OutOfRange(Exception):
    """The log does not hold this offset, or the topic is another."""


class Broker:
    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.topics = 0
        self.logs: dict[str, list[PartitionLog]] = {}
        self.topic_id = ""
        self.groups: dict[str, GroupOffsets] = {}
        self.hidden = 0
        """A broker that has just started reports the log's end so many offsets too low."""
        self.recreate_topic()

    # The topic

    def recreate_topic(self) -> None:
        self.topics += 1
        self.topic_id = f"T{self.topics}"
        self.logs[self.topic_id] = [PartitionLog() for _ in range(self.partitions)]

    def log(self, partition: int) -> PartitionLog:
        return self.logs[self.topic_id][partition]

    def append(self, record: Record) -> None:
        record.topic_id = self.topic_id
        self.log(record.partition).records.append(record)

    def bounds(self, partition: int) -> Log:
        log = self.log(partition)
        return Log(self.topic_id, log.low, max(log.low, log.high - self.hidden))

    def fetch(self, topic_id: str, partition: int, offset: int, count: int) -> tuple[list[Record], int]:
        """At most `count` records from `offset` on and the offset after them; control records and holes are
        passed silently."""
        log = self.log(partition)
        if topic_id != self.topic_id or not log.low <= offset <= log.high:
            raise OutOfRange
        found: list[Record] = []
        while offset < log.high and len(found) < count:
            record = log.records[offset]
            offset += 1
            if record is not None and record.kind != CONTROL:
                found.append(record)
        return found, offset

    # Offsets

    def offsets(self, group: str) -> dict[int, tuple[int, str | None]]:
        """By partition: offset and metadata."""
        return self.groups.setdefault(group, GroupOffsets()).offsets

    def committed(self, group: str, partition: int) -> Committed:
        found = self.offsets(group).get(partition)
        return Committed(None) if found is None else Committed(found[0], read_note(found[1]))

    def store_offset(self, group: str, partition: int, offset: int, metadata: str | None) -> None:
        if metadata is not None and len(metadata) > METADATA_CHARACTERS_MAX:
            raise Stop("metadata too large")
        self.offsets(group)[partition] = offset, metadata

    def lag(self, group: str) -> int:
        offsets = self.offsets(group)
        return sum(self.log(p).high - offsets.get(p, (self.log(p).low, None))[0] for p in range(self.partitions))
