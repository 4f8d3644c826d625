"""A stage of its own for each module that asks for one, with its truth at the end whatever its tests did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.chaos.stage import Stage
from tests.servers import Unavailable
from tests.servers.fixtures import missing

OpenStage = Callable[..., AbstractContextManager[Stage]]


@contextmanager
def _open_stage(*, session_ms: int) -> Iterator[Stage]:
    try:
        stage = Stage(session_ms=session_ms)
        stage.__enter__()
    except Unavailable as reason:
        missing("Kafka and ClickHouse of our own", reason)
        raise
    try:
        yield stage
    finally:
        stage.__exit__(None, None, None)


@pytest.fixture(scope="module")
def open_stage() -> OpenStage:
    return _open_stage
