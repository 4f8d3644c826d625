"""What the tests of payments share: judging as a list of verdicts, and records to start from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from consumer.core.batch import ROWS_SCHEMA, Judged
from consumer.core.payment import judge

KAFKA_MS = 1_795_453_201_500
"""2026-11-23T17:00:01.500Z."""
FIRST_OFFSET = 1000

USUAL = (
    b'{"event":"zkp2p_payment","userId":42,"timestamp":"2026-11-23T17:00:00.123Z","data":{"eventType":"error",'
    b'"paymentMethod":"venmo","usdAmount":25.00,"buzzAmount":25000,'
    b'"sessionId":"3b241101-e2bb-4255-8caf-4136c566a962","errorMessage":"declined"}}'
)


def judge_values(values: Sequence[bytes | None], kafka_ms: int = KAFKA_MS) -> Judged:
    count = len(values)
    return judge(values, [b"key"] * count, [kafka_ms] * count, range(FIRST_OFFSET, FIRST_OFFSET + count))


def verdicts(judged: Judged, count: int) -> list[tuple[Any, ...]]:
    """One verdict a record: ("payment", row), ("reject", code, path) or ("ignored",); holds `judged` to its shape."""
    judged.rows.validate(full=True)
    assert judged.rows.schema.equals(ROWS_SCHEMA)
    found: dict[int, tuple[Any, ...]] = {}
    for at, row in zip(judged.index.tolist(), judged.rows.to_pylist(), strict=True):
        assert row.pop("kafkaOffset") == FIRST_OFFSET + at
        found[at] = ("payment", {**row, "usdAmount": str(row["usdAmount"])})
    for reject in judged.rejects:
        assert reject.index not in found
        found[reject.index] = ("reject", reject.code, reject.path)
    assert judged.ignored == count - len(found)
    assert judged.seconds.tolist() == judged.rows["timestamp"].to_pylist()
    assert judged.index.tolist() == sorted(judged.index.tolist())
    assert [reject.index for reject in judged.rejects] == sorted(reject.index for reject in judged.rejects)
    return [found.get(at, ("ignored",)) for at in range(count)]
