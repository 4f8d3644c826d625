from __future__ import annotations

from consumer.adapters.health import Health


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_live_as_long_as_the_loop_turns() -> None:
    clock = Clock()
    health = Health(30.0, clock)
    clock.now += 30
    assert health.livez().ok
    clock.now += 1
    verdict = health.livez()
    assert not verdict.ok
    assert "31 s" in verdict.why
    assert "deadline 30 s" in verdict.why
    health.tick()
    assert health.livez().ok


def test_a_clock_that_steps_back_kills_nobody() -> None:
    clock = Clock()
    health = Health(30.0, clock)
    clock.now -= 1000
    assert health.livez().ok


def test_a_fatal_error_stays_and_names_its_first_reason() -> None:
    health = Health(30.0, Clock())
    health.fatal("instance id is in use")
    health.fatal("consequence")
    health.tick()
    verdict = health.livez()
    assert not verdict.ok
    assert verdict.why == "fatal: instance id is in use"


def test_ready_after_the_first_poll_and_for_good() -> None:
    clock = Clock()
    health = Health(1.0, clock)
    assert not health.readyz().ok
    health.ready()
    clock.now += 1000
    health.fatal("anything")
    assert health.readyz().ok
