"""What becomes of one poll's messages: whatever the client delivers, offsets only ever go up."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, cast

import pytest

from consumer.adapters.group import Fetched
from consumer.adapters.records import to_run
from tests.integration.conftest import payment


class Message:
    def __init__(self, offset: int) -> None:
        self._offset = offset

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return payment(self._offset)

    def key(self) -> bytes:
        return f"s{self._offset}".encode()

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_790_000_000_000

    def headers(self) -> None:
        return None


def fetched(offsets: Sequence[int], eof: int | None = None) -> Fetched:
    return Fetched([cast("Any", Message(offset)) for offset in offsets], eof)


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [
        (range(50, 60), range(50, 60)),
        ([50, 51, 55], [50, 51, 55]),  # a hole
        ([53, 54], [53, 54]),
        (range(45, 60), range(50, 60)),  # some once more
        ([*range(50, 60), *range(10)], range(50, 60)),  # and back to the log's start
        ([*range(50, 53), *range(70)], range(50, 70)),  # and all the way again
        ([*range(50, 53), 51, 52, 53, 53, 54], range(50, 55)),
        ([50, 10, 50, 53], [50, 53]),  # as many as from 50 to 53 without a hole
    ],
)
def test_every_offset_once_and_in_order(offsets: Sequence[int], expected: Sequence[int]) -> None:
    run = to_run(fetched(offsets), 50)
    assert run is not None
    assert (run.first, run.end) == (50, expected[-1] + 1)
    assert run.offsets.tolist() == run.valid_offsets.tolist() == list(expected)
    assert run.rows is not None
    assert run.rows.column("sessionId").to_pylist() == [f"s{offset}" for offset in expected]


@pytest.mark.parametrize("offsets", [range(10), range(40, 50), [*range(45, 50), *range(3)]])
def test_nothing_new_is_no_run(offsets: Sequence[int]) -> None:
    assert to_run(fetched(offsets), 50) is None
    assert to_run(fetched(offsets, eof=50), 50) is None


def test_the_logs_end_counts_the_offsets_that_hold_no_record() -> None:
    for offsets in (range(50, 60), [*range(45, 60)], [*chain(range(50, 60), range(5))]):
        run = to_run(fetched(offsets, eof=63), 50)
        assert run is not None
        assert (run.first, run.end, len(run.offsets)) == (50, 63, 10)
    run = to_run(fetched([], eof=63), 50)
    assert run is not None
    assert (run.first, run.end, len(run.offsets)) == (50, 63, 0)
