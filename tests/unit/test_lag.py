"""Lag that neither hides an outage nor makes one up."""

from __future__ import annotations

import pytest

from consumer.lag import Lag


def at(now: float, lag: Lag, position: int, high: int, age: float | None = None, *, reading: bool = True) -> float:
    oldest_ms = 0 if age is None else int((now - age) * 1000)
    records, seconds = lag.measure(now, position=position, high=high, oldest_ms=oldest_ms, reading=reading)
    assert records == (max(0, high - position) if position >= 0 else 0)
    return seconds


def test_a_partition_that_has_landed_everything_has_none() -> None:
    lag = Lag(1000.0)
    assert at(1001.0, lag, 50, 50) == 0
    assert at(5000.0, lag, 50, 50) == 0


def test_it_is_the_age_of_the_oldest_record_that_has_not_landed() -> None:
    lag = Lag(1000.0)
    assert at(1001.0, lag, 50, 90, age=3600) == pytest.approx(3600)
    assert at(1002.0, lag, 60, 90, age=7) == pytest.approx(7)


def test_what_nobody_has_read_yet_is_behind_since_that_was_seen() -> None:
    lag = Lag(1000.0)
    assert at(1010.0, lag, 50, 50) == 0
    assert at(1011.0, lag, 50, 60) == pytest.approx(1)
    assert at(1015.0, lag, 50, 60) == pytest.approx(5)
    assert at(1016.0, lag, 55, 60) == 0  # it moves


def test_a_recovery_that_takes_long_shows() -> None:
    lag = Lag(1000.0)
    assert at(1300.0, lag, -1, 0, reading=False) == pytest.approx(300)
    assert at(1301.0, lag, 50, 50) == 0


def test_a_partition_that_is_recovered_again_sees_nothing_of_what_arrives() -> None:
    lag = Lag(1000.0)
    assert at(1001.0, lag, 50, 50) == 0
    assert at(2000.0, lag, 50, 50, reading=False) == 0
    assert at(2600.0, lag, 50, 50, reading=False) == pytest.approx(600)


def test_a_batch_that_is_begun_again_is_as_old_as_it_was() -> None:
    """Two hours of work, always a second behind; then the buffer is thrown away."""
    lag = Lag(0.0)
    for second in range(100, 7201):
        assert at(float(second), lag, second * 10, second * 10 + 10, age=1) == pytest.approx(1)
    assert at(7205.0, lag, 72_000, 72_060, reading=False) == pytest.approx(6)
    assert at(7210.0, lag, 72_000, 72_110) == pytest.approx(11)
