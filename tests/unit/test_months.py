"""Calendar months by the server's time zone."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.months import Months

ZONES = ["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin"]


@pytest.mark.parametrize("zone", ZONES)
@given(times=st.lists(st.integers(1_500_000_000, 2_200_000_000), max_size=20))
def test_months_are_the_calendars(zone: str, times: list[int]) -> None:
    months = Months(zone)
    for known in (times[: len(times) // 2], times):  # the second call widens what the first has learnt
        found = months(np.asarray(known, np.int64)).tolist()
        moments = [datetime.fromtimestamp(t, ZoneInfo(zone)) for t in known]
        assert found == [m.year * 100 + m.month for m in moments]


@pytest.mark.parametrize("zone", ZONES)
def test_a_month_turns_at_the_servers_midnight(zone: str) -> None:
    midnight = int(datetime(2026, 12, 1, tzinfo=ZoneInfo(zone)).timestamp())
    assert Months(zone)(np.array([midnight - 1, midnight])).tolist() == [202611, 202612]
