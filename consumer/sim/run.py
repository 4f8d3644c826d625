"""A world's course: production and trouble, healing, a clean stop, judgement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from consumer.core.errors import Stop
from consumer.core.partition import IDLE_SECONDS
from consumer.sim.controls import Controls
from consumer.sim.trouble import Trouble
from consumer.sim.world import Plan, World

HEALING_SESSIONS = 30
"""Session time-outs that a healed world may take to reach lag 0."""


@dataclass(frozen=True, slots=True)
class Outcome:
    seed: int
    findings: list[str]
    counts: Counter[str]


def run_seed(
    seed: int,
    controls: Controls | None = None,
    *,
    plan: Plan | None = None,
    script: Callable[[str], str | None] | None = None,
    print_trace: Callable[[str], None] | None = None,
) -> Outcome:
    return run(World(seed, plan, controls, script=script, print_trace=print_trace), seed)


def run(world: World, seed: int) -> Outcome:
    try:
        _course(world)
        world.oracle.judge()
    except Stop as stop:  # nothing that befalls a world here is beyond mending
        world.oracle.found(f"a member ended: {stop}")
    store = world.store
    world.counts["worlds"] += 1
    world.counts["rows"] += len(store.history)
    world.counts["tokens dropped a block"] += store.dropped
    world.counts["late writes refused"] += store.refused
    world.counts["rebalances"] += world.group.rebalances
    return Outcome(seed, world.oracle.findings, world.counts)


def _course(world: World) -> None:
    scheduler, plan = world.scheduler, world.plan
    Trouble(world).schedule()
    for _ in range(plan.records):
        scheduler.at(world.random.random() * plan.span, world.produce, world.random.randrange(plan.partitions))
    world.start_all()
    scheduler.run_until(plan.span)
    _heal(world)
    _settle(world)


def _heal(world: World) -> None:
    """Faults stop; members come back. Lag must reach 0 in bounded time."""
    scheduler = world.scheduler
    world.trace("* healing begins")
    world.faults.script = None
    world.faults.healed = True
    world.broker.hidden = 0
    world.store_down_until = world.broker_down_until = world.dead_letters_down_until = 0.0
    for process in list(world.processes):
        process.wake()
    deadline = scheduler.now + HEALING_SESSIONS * world.session + 100
    while scheduler.now < deadline:
        scheduler.run_until(scheduler.now + 1.0)
        if not world.all_stopping:
            world.ensure_members()
            if world.broker.lag(world.group.name) == 0 and world.is_calm():
                return
    world.oracle.found(f"lag is still {world.broker.lag(world.group.name)} long after the faults have stopped")


def _settle(world: World) -> None:
    """Whatever was held on the network arrives, idle owners have a look round; then everybody stops cleanly."""
    scheduler = world.scheduler
    scheduler.run_until(scheduler.now + max(3 * world.timing.lease, IDLE_SECONDS + 5))
    world.stopped_at = world.server_clock()
    world.trace("* all stop")
    world.all_stopping = True
    for process in list(world.processes):
        process.stop()
    scheduler.run_until(scheduler.now + world.session + world.timing.revoke)
    if any(process.alive for process in world.processes):
        world.oracle.found("a member does not stop")
