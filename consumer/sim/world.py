"""One simulated world: a topic, a group of members, a store, and what befalls them. All of it follows from a seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from consumer.core.batch import SECONDS_A_DAY
from consumer.core.buffer import Limits
from consumer.core.dedupe import KeyIndex
from consumer.core.effects import (
    Effect,
    Fill,
    Mended,
    Output,
    ReadCommitted,
    ReadLog,
    Recovered,
    SendDeadLetters,
    StartedOver,
)
from consumer.core.lease import Timing
from consumer.core.months import Months
from consumer.sim.broker import Broker
from consumer.sim.controls import Controls
from consumer.sim.faults import Faults, Rates, draw_rates
from consumer.sim.group import Group
from consumer.sim.index import DictIndex
from consumer.sim.member import Process
from consumer.sim.oracle import Oracle
from consumer.sim.records import Mix, Producer, Record
from consumer.sim.scheduler import EPOCH, Scheduler
from consumer.sim.store import Store

MONTHS = Months()


@dataclass(slots=True)
class Plan:
    """What a world is made of."""

    partitions: int = 1
    members: int = 1
    static: bool = True
    eager: bool = False
    session_ms: int = 45_000
    limits: Limits = field(default_factory=lambda: Limits(4, 100_000, 1.0))
    fetch_max: int = 4
    records: int = 30
    span: float = 300.0
    """Seconds of production and trouble, before the healing."""
    start: int = EPOCH
    clock_error: float = 0.0
    index_days: int = 1000
    mix: Mix = field(default_factory=lambda: Mix(0.1, 0.05, 0.05, 0.2, 0.0, 0.0))
    rates: Rates = field(default_factory=Rates)
    real_index: bool = False
    operate_at: float | None = None
    """When all members stop and an operator does `operate`, names of methods of `Trouble`."""
    operate: tuple[str, ...] = ()


def draw_plan(seed: int) -> Plan:
    random = Random(seed)
    span = random.choice((120.0, 240.0, 480.0))
    start = EPOCH + random.randrange(SECONDS_A_DAY)
    if random.random() < 0.3:  # midnight comes, sometimes that of a month's first day
        start = EPOCH + SECONDS_A_DAY * random.choice((1, 6)) - int(random.random() * span)
    old = random.choice((0.0, 0.0, 0.3))
    return Plan(
        partitions=random.choice((1, 1, 2, 3)),
        members=random.choice((1, 1, 2, 3)),
        static=random.random() < 0.5,
        eager=random.random() < 0.3,
        session_ms=random.choice((6_000, 10_000, 30_000, 45_000)),
        limits=Limits(random.randint(1, 8), random.choice((300, 100_000)), random.choice((0.3, 1.0, 3.0))),
        fetch_max=random.randint(1, 5),
        records=random.randint(15, 60),
        span=span,
        start=start,
        clock_error=random.choice((0.0, 0.4, 0.9)),
        index_days=random.choice((1, 1000)),
        mix=Mix(
            reject=random.choice((0.0, 0.15)),
            foreign=random.choice((0.0, 0.1)),
            control=random.choice((0.0, 0.1)),
            copy=random.choice((0.05, 0.3)),
            old=old,
            distant=random.choice((0.0, 0.2)),
        ),
        rates=draw_rates(random, span),
    )


class World:
    """`run` it once."""

    def __init__(
        self,
        seed: int,
        plan: Plan | None = None,
        controls: Controls | None = None,
        *,
        script: Callable[[str], str | None] | None = None,
        print_trace: Callable[[str], None] | None = None,
    ) -> None:
        self.plan = plan = plan or draw_plan(seed)
        self.controls = controls or Controls()
        self.random = Random(seed * 2 + 1)
        self.scheduler = Scheduler()
        self.tracing = print_trace is not None
        self._print = print_trace
        self.months = MONTHS
        self.timing = Timing.of_session(plan.session_ms)
        self.session = plan.session_ms / 1000
        self.limits = plan.limits
        self.fetch_max = plan.fetch_max
        self.faults = Faults(self.random, plan.rates, script)
        self.counts: Counter[str] = Counter()
        self.dead_letters: set[tuple[str, int, int]] = set()
        self.store_down_until = self.broker_down_until = self.dead_letters_down_until = 0.0
        self.stood_still = False
        self._still = 0.0
        self.stopped_at = 0.0
        """When everybody was asked to stop for good, by the server's clock."""
        self.store = Store(self.server_clock, window=10_000, window_seconds=4 * self.timing.lease)
        self.controls.apply(self.store)
        self.broker = Broker(plan.partitions)
        self.oracle = Oracle(self)
        self.producer = Producer(self.random, plan.mix)
        self.processes: list[Process] = []
        self.processes_made = 0
        self.all_stopping = False
        self.groups = 0
        self.group = self.new_group()

    # Time and words

    def server_clock(self) -> float:
        """Seconds since 1970 by the ClickHouse server."""
        return self.plan.start + self._still + self.scheduler.now

    def clock_error(self) -> float:
        """How far a member is off when it thinks it knows that clock."""
        return self.random.uniform(-1, 1) * self.plan.clock_error

    def stand_still(self, seconds: float) -> None:
        """So much time passes while nothing runs."""
        self._still += seconds
        self.stood_still = True

    def trace(self, text: str) -> None:
        if self._print is not None:
            self._print(f"{self.scheduler.now:9.3f}  {text}")

    def note(self, fact: Output) -> None:
        if isinstance(fact, Recovered):
            self.counts[f"recovered {fact.kind}"] += 1
        elif isinstance(fact, StartedOver):
            self.counts[f"started over {fact.cause}"] += 1
        elif isinstance(fact, Mended):
            self.counts["days mended"] += fact.days

    # Members

    def new_group(self) -> Group:
        self.groups += 1
        return Group(
            f"g{self.groups}",
            self.broker,
            self.scheduler,
            self.random,
            self.plan.eager,
            self.session + self.timing.revoke,
            self.oracle.on_commit,
        )

    def make_index(self) -> KeyIndex:
        return KeyIndex(1 << 20) if self.plan.real_index else DictIndex(self.plan.index_days)

    def start(self, static_id: str | None) -> None:
        if self.all_stopping:
            return
        self.processes = [p for p in self.processes if p.alive]
        self.processes_made += 1
        self.processes.append(Process(self, self.group, static_id))

    def start_all(self) -> None:
        self.all_stopping = False
        for number in range(self.plan.members):
            self.start(f"s{number}" if self.plan.static else None)

    def replace_later(self, process: Process) -> None:
        """What is killed comes back: a supervisor sees to that."""
        if not self.all_stopping:
            delay = self.random.random() ** 3 * 1.5 * self.session
            self.scheduler.after(delay, self._replace, process)

    def _replace(self, process: Process) -> None:
        taken = process.static_id is not None and any(
            p.alive and p.static_id == process.static_id for p in self.processes
        )
        if not taken and sum(p.alive for p in self.processes) < self.plan.members:
            self.start(process.static_id)

    def static_taken(self, process: Process) -> bool:
        return any(m.static_id == process.static_id and m.client is not process for m in process.group.members.values())

    def expire_later(self, process: Process) -> None:
        """The coordinator misses the heartbeats of a process that is silent."""
        self.scheduler.after(self.session, self._expire, process, process.silent_since, process.member_id)

    def _expire(self, process: Process, since: float | None, member_id: int) -> None:
        if process.silent_since == since:
            process.group.leave(member_id)

    # Outages

    def is_down(self, effect: Effect) -> bool:
        now = self.scheduler.now
        if isinstance(effect, SendDeadLetters):
            return now < self.dead_letters_down_until
        if isinstance(effect, ReadCommitted | ReadLog):
            return now < self.broker_down_until
        return now < self.store_down_until

    @property
    def broker_is_down(self) -> bool:
        return self.scheduler.now < self.broker_down_until

    # Records

    def produce(self, partition: int) -> None:
        log = self.broker.log(partition)
        record: Record = self.producer.record(partition, log.high, int(self.server_clock()))
        self.broker.append(record)
        self.oracle.produced(record)
        self.wake(partition)

    def wake(self, partition: int) -> None:
        """Whoever owns the partition notices that its log has changed."""
        for process in self.processes:
            slot = process.slots.get(partition)
            if slot is not None:
                process.pump(slot)

    def ensure_members(self) -> None:
        """A supervisor starts what has died for good."""
        if not any(process.alive for process in self.processes):
            self.start("s0" if self.plan.static else None)

    def is_calm(self) -> bool:
        """Every partition is owned, recovered and has nothing in flight."""
        owned = [slot for p in self.processes if p.alive for slot in p.slots.values() if slot.partition.reading]
        return len(owned) == self.plan.partitions and all(
            slot.partition.inflight is None and isinstance(slot.partition.waiting, Fill) for slot in owned
        )
