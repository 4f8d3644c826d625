"""`check --sample N`: the last records of the topic, judged as `run` would, for producers who try a change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Message

from consumer.core.payment import judge
from consumer.operate.check import OK, WARN, Finding
from consumer.operate.kafka_log import KafkaLog
from consumer.operate.letters import as_bytes

JUDGED_TOGETHER = 1000


@dataclass(slots=True)
class Tally:
    """What became of the records of the sample."""

    records: int = 0
    valid: int = 0
    ignored: int = 0
    key_mismatches: int = 0
    by_code: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    """Code -> place and message of the last one seen."""

    def add(self, partition: int, messages: Sequence[Message]) -> None:
        """Judge consecutive records of one partition."""
        offsets = [message.offset() or 0 for message in messages]
        judged = judge(
            [as_bytes(message.value()) for message in messages],
            [as_bytes(message.key()) for message in messages],
            [message.timestamp()[1] for message in messages],
            offsets,
        )
        self.records += len(messages)
        self.valid += len(judged.index)
        self.ignored += judged.ignored
        self.key_mismatches += judged.key_mismatches
        for reject in judged.rejects:
            self.by_code[reject.code] += 1
            self.examples[reject.code] = f"{partition}/{offsets[reject.index]}: {reject.message}"


def findings(log: KafkaLog, topic: str, count: int) -> Iterator[Finding]:
    """One line for the whole, one for the keys, one a code of rejects with an example."""
    tally = take(log, topic, count)
    if not tally.records:
        yield Finding(WARN, "sample", f"{topic} holds no records")
        return
    rejected = tally.by_code.total()
    parts = {"valid": tally.valid, "rejected": rejected, "other events": tally.ignored}
    shares = ", ".join(f"{name} {_share(number, tally.records)}" for name, number in parts.items())
    yield Finding(WARN if rejected else OK, "sample", f"{tally.records} records: {shares}")
    for code, number in tally.by_code.most_common():
        detail = f"{code} {_share(number, tally.records)}, for example {tally.examples[code]}"
        yield Finding(WARN, "sample", detail)
    if tally.valid:
        remedy = ": key records by data.sessionId" if tally.key_mismatches else ""
        detail = f"key is not the sessionId in {_share(tally.key_mismatches, tally.valid)} of the valid{remedy}"
        yield Finding(WARN if tally.key_mismatches else OK, "sample", detail)


def take(log: KafkaLog, topic: str, count: int) -> Tally:
    """Judge the last `count` records, spread evenly over the partitions as far as they reach."""
    bounds = log.all_bounds(topic, log.partitions(topic))
    wanted = spread(count, {partition: high - low for partition, (low, high) in bounds.items()})
    tally = Tally()
    for partition, number in wanted.items():
        if not number:
            continue
        high = bounds[partition][1]
        block: list[Message] = []
        for message in log.read(topic, partition, high - number, high):
            block.append(message)
            if len(block) == JUDGED_TOGETHER:
                tally.add(partition, block)
                block = []
        if block:
            tally.add(partition, block)
    return tally


def spread(count: int, sizes: Mapping[int, int]) -> dict[int, int]:
    """How many of each: equal shares; what a small one can't give, the larger ones do."""
    shares: dict[int, int] = {}
    for position, (partition, size) in enumerate(sorted(sizes.items(), key=lambda item: item[1])):
        share = -(-count // (len(sizes) - position))
        shares[partition] = min(size, share)
        count -= shares[partition]
    return shares


def _share(number: int, of: int) -> str:
    return f"{number} ({100 * number / of:.2f}%)"
