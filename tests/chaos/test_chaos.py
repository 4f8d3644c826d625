"""A bounded part of `make chaos`: a little of everything, and the truth afterwards."""

from __future__ import annotations

import pytest

from tests.chaos import strikes
from tests.chaos.run import run
from tests.servers import Unavailable
from tests.servers.fixtures import missing


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(400)  # bounds a hang; it takes about a minute
def test_nothing_is_lost_or_doubled() -> None:
    try:
        outcome = run(1, kills=0, members=2, chosen=lambda _: strikes.few())
    except Unavailable as reason:
        missing("Kafka and ClickHouse of our own", reason)
        raise
    print(outcome)
    assert not outcome.findings
    assert outcome.kills >= 7
    assert outcome.history["takeovers"] > 0
    assert outcome.history["mended days"] > 0
    assert outcome.history["recovery orphans"] > 0
