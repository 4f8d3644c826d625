"""The consumer's own core in simulated worlds. `make sim SEED=n` replays a seed that fails here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consumer.sim.controls import CAUGHT, without
from consumer.sim.crash_points import COURSES, EFFECTS, crash_points, run_point
from consumer.sim.run import run_seed
from consumer.sim.world import draw_plan


@pytest.mark.parametrize("start", range(0, 2_000, 200))
def test_no_seed_fails(start: int) -> None:
    failed = {seed: found for seed in range(start, start + 200) if (found := run_seed(seed).findings)}
    assert not failed


def test_no_seed_fails_with_the_real_index() -> None:
    failed = {}
    for seed in range(5_000, 5_050):
        outcome = run_seed(seed, plan=replace(draw_plan(seed), real_index=True))
        if outcome.findings:
            failed[seed] = outcome.findings
    assert not failed


@pytest.mark.parametrize("course", COURSES)
def test_no_crash_point_fails(course: str) -> None:
    failed, reached = {}, set()
    for point in crash_points():
        if point.course != course:
            continue
        outcome, struck = run_point(point)
        if struck:
            reached.add(point.effect)
        if outcome.findings:
            failed[str(point)] = outcome.findings
    assert not failed
    assert reached == set(EFFECTS), "the fixed world must reach every effect"


@pytest.mark.parametrize("name", CAUGHT)
def test_the_oracle_notices_when_a_mechanism_is_off(name: str) -> None:
    """Each is caught by itself; the seeds are those where it shows within a bounded search."""
    controls = without(name)
    assert any(run_seed(seed, controls).findings for seed in range(1_000)), f"nobody misses {name}"


def test_a_seed_is_a_world() -> None:
    first: list[str] = []
    again: list[str] = []
    assert run_seed(7, print_trace=first.append).counts == run_seed(7, print_trace=again.append).counts
    assert first
    assert first == again


def test_every_kind_of_recovery_happens() -> None:
    counts = sum((run_seed(seed).counts for seed in range(100)), start=run_seed(100).counts)
    for kind in ("clean", "waited", "orphans", "reread"):
        assert counts[f"recovered {kind}"] > 0
    assert counts["days mended"] > 0
    assert counts["late writes refused"] > 0
    assert counts["tokens dropped a block"] > 0
