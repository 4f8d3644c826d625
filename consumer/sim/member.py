"""A member of the group, driven as the shell drives it: partitions get records and answers, effects become requests.

What a paused process (SIGSTOP, a long pause of the machine) is about to do waits in `frozen` and happens, in the
same order, when it wakes: so it sends what it had ready although the world has moved on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import TYPE_CHECKING, Any

from consumer.core.effects import Commit, Effect, Mended, Output, Recovered, Seek, StartedOver
from consumer.core.errors import Fenced, LeaseOver, Retryable
from consumer.core.partition import Partition
from consumer.core.tenure import Setup
from consumer.sim.broker import OutOfRange
from consumer.sim.calls import Calls
from consumer.sim.commits import CommitChannel
from consumer.sim.group import Group
from consumer.sim.records import make_run

if TYPE_CHECKING:
    from consumer.sim.world import World


class Slot:
    """One assignment of one partition. An answer to an earlier assignment finds its slot dead."""

    __slots__ = ("alive", "fetch_at", "fetching", "number", "partition", "wake_at")

    def __init__(self, number: int, partition: Partition) -> None:
        self.number = number
        self.partition = partition
        self.alive = True
        self.fetch_at = -1
        self.fetching = False
        self.wake_at = float("inf")


class Process:
    """From a start to its end; a restart is another one."""

    def __init__(self, world: World, group: Group, static_id: str | None) -> None:
        self.world = world
        self.group = group
        self.static_id = static_id
        self.name = static_id or f"m{world.processes_made}"
        self.random: Random = world.random
        self.alive = True
        self.paused = False
        self.silent_since: float | None = None
        """Since when the coordinator hears no heartbeat."""
        self.frozen: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.slots: dict[int, Slot] = {}
        self.generation = -1
        self.leaving_slots: list[Slot] = []
        self._after_revocation: Callable[[], None] | None = None
        self.calls = Calls(self)
        self.commits = CommitChannel(self)
        self.index = world.make_index()
        self.setup = Setup(
            cluster_id="c",
            group=group.name,
            timing=world.timing,
            limits=world.limits,
            months_of=world.months,
            jitter=lambda: self.random.uniform(0.5, 1.5),
        )
        self.error = world.clock_error()
        self.member_id = group.join(self, static_id)

    def now(self) -> float:
        """The server's clock, as well as this process knows it."""
        return self.world.server_clock() + self.error

    def trace(self, text: str) -> None:
        if self.world.tracing:
            self.world.trace(f"{self.name}: {text}")

    def awake(self, action: Callable[..., None], *arguments: Any) -> bool:
        """True when the process runs; while it is paused the action is kept for later."""
        if not self.alive:
            return False
        if self.paused:
            self.frozen.append((action, arguments))
            return False
        return True

    # Life and death

    def kill(self) -> None:
        if not self.alive:
            return
        self.trace("killed")
        self.alive = False
        self.silent_since = self.world.scheduler.now
        self._drop(self.slots.values())
        self.world.expire_later(self)
        self.world.replace_later(self)

    def pause(self) -> None:
        if self.alive and not self.paused:
            self.trace("paused")
            self.paused = True
            self.silent_since = self.world.scheduler.now
            self.world.expire_later(self)

    def wake(self) -> None:
        if not self.alive or not self.paused:
            return
        self.trace("wakes")
        self.paused = False
        self.silent_since = None
        frozen, self.frozen = self.frozen, []
        for action, arguments in frozen:
            action(*arguments)
        self.world.scheduler.after(self.random.random() * 0.5, self._heartbeat)

    def _heartbeat(self) -> None:
        """Learn that the group went on without us."""
        if self.awake(self._heartbeat) and self.member_id not in self.group.members:
            if self.static_id is not None and self.world.static_taken(self):
                self.on_fatal(self.member_id)
                return
            self._start_anew()

    def stop(self) -> None:
        """SIGTERM: give up all partitions, leave the group, end."""
        if self.awake(self.stop):
            self.trace("stops")
            self._revoke(list(self.slots.values()), self._ended)

    def _ended(self) -> None:
        self.trace("stopped")
        self.alive = False
        self.silent_since = self.world.scheduler.now
        if self.static_id is None or self.world.all_stopping:
            self.group.leave(self.member_id)
        self.world.expire_later(self)

    def _start_anew(self) -> None:
        """Close the client and begin again as another member: nothing it still holds will be sent."""
        self.trace("joins anew")
        self._drop(list(self.slots.values()))
        self.slots.clear()
        self.leaving_slots = []
        self.commits.close()
        self.commits = CommitChannel(self)
        self.group.leave(self.member_id)
        self.member_id = self.group.join(self, self.static_id)

    def _drop(self, slots: Iterable[Slot]) -> None:
        for slot in slots:
            slot.alive = False
            self.index.forget(slot.number)

    # What the coordinator says

    def on_rebalance(self, member_id: int, number: int) -> None:
        if member_id != self.member_id or not self.awake(self.on_rebalance, member_id, number):
            return
        if self._after_revocation is not None or not self.group.is_preparing(number):
            return  # it joins when it is done with that, or has joined already
        if self.group.eager:
            self._revoke(list(self.slots.values()), self._rejoin)
        else:
            self._rejoin()

    def on_assigned(self, member_id: int, generation: int, partitions: frozenset[int]) -> None:
        if member_id != self.member_id or not self.awake(self.on_assigned, member_id, generation, partitions):
            return
        if member_id not in self.group.members or generation < self.generation:
            return
        self.generation = generation
        self.trace(f"generation {generation}: assigned {sorted(partitions)}")
        if self._after_revocation is not None:
            return
        gone = [slot for number, slot in self.slots.items() if number not in partitions]
        for number in sorted(partitions - self.slots.keys()):
            slot = self.slots[number] = Slot(number, Partition(number, self.setup, self.index))
            self.handle(slot, slot.partition.start(self.now()))
        if gone:
            self._revoke(gone, self._rejoin)

    def on_expelled(self, member_id: int) -> None:
        if member_id == self.member_id and self.awake(self.on_expelled, member_id):
            self._heartbeat()

    def on_fatal(self, member_id: int) -> None:
        """Another process has our static id."""
        if member_id == self.member_id and self.awake(self.on_fatal, member_id):
            self.trace("fenced for good, exits")
            self.alive = False
            self._drop(self.slots.values())

    def _rejoin(self) -> None:
        self.group.rejoin(self.member_id, self.slots)

    def _revoke(self, slots: list[Slot], then: Callable[[], None]) -> None:
        self._after_revocation = then
        self.leaving_slots = list(slots)
        for slot in slots:
            if slot.alive:
                self.handle(slot, slot.partition.leave(self.now()))
        self.world.scheduler.after(self.world.timing.revoke, self._revoked, then, True)
        self._revoked(then)

    def _revoked(self, then: Callable[[], None], deadline: bool = False) -> None:
        if self._after_revocation is not then or not self.awake(self._revoked, then, deadline):
            return
        left = [slot for slot in self.leaving_slots if not slot.partition.released]
        if left and not deadline:
            return
        unanswered = any(slot.partition.commit_open for slot in left)
        for slot in self.leaving_slots:
            self.slots.pop(slot.number, None)
        self._drop(self.leaving_slots)
        self.leaving_slots = []
        self._after_revocation = None
        if unanswered and self.world.controls.leave_when_unanswered and then == self._rejoin:
            self._start_anew()
        else:
            then()

    # The partition and its effects

    def handle(self, slot: Slot, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Effect):
                self.perform(slot, output)
            elif isinstance(output, Recovered | Mended | StartedOver):
                self.world.note(output)
                self.trace(f"p{slot.number} {output}")
        if slot.partition.released and self._after_revocation is not None:
            self._revoked(self._after_revocation)
        self.pump(slot)
        self._wake_later(slot)

    def perform(self, slot: Slot, effect: Effect) -> None:
        if isinstance(effect, Seek):
            slot.fetch_at = effect.offset
            self.world.scheduler.after(0.01, self.answer, slot, effect, None)
        elif isinstance(effect, Commit):
            self.commits.add(slot, effect)
        else:
            self.calls.start(slot, effect)

    def answer(self, slot: Slot, effect: Effect, result: Any) -> None:
        """Give the partition its answer, unless it no longer waits for this one."""
        if not slot.alive or not self.awake(self.answer, slot, effect, result):
            return
        if slot.partition.waiting is not effect:
            return
        if isinstance(result, Retryable | LeaseOver | Fenced):
            self.trace(f"p{slot.number} {type(effect).__name__} failed: {type(result).__name__} {result}")
            self.handle(slot, slot.partition.failed(result, self.now()))
        else:
            self.handle(slot, slot.partition.answered(result, self.now()))

    def _wake_later(self, slot: Slot) -> None:
        until = slot.partition.wake_at
        if until == float("inf"):
            return
        time = max(self.world.scheduler.now + 0.01, self.world.scheduler.now + until - self.now())
        if not self.world.scheduler.now < slot.wake_at <= time:
            slot.wake_at = time
            self.world.scheduler.at(time, self._tick, slot, time)

    def _tick(self, slot: Slot, time: float) -> None:
        if slot.alive and slot.wake_at == time and self.awake(self._tick, slot, time):
            slot.wake_at = 0.0
            self.handle(slot, slot.partition.tick(self.now()))

    # Records

    def pump(self, slot: Slot) -> None:
        """Fetch when the partition wants records and there are some."""
        partition = slot.partition
        if slot.fetching or not slot.alive or not partition.reading or partition.full:
            return
        log = self.world.broker.log(slot.number)
        caught_up = partition.topic_id == self.world.broker.topic_id and slot.fetch_at == log.high
        if caught_up and partition.next_offset == slot.fetch_at:
            return
        slot.fetching = True
        self.world.scheduler.after(0.05 + self.random.random() * 0.3, self._fetch, slot)

    def _fetch(self, slot: Slot) -> None:
        partition = slot.partition
        if not slot.alive or not self.awake(self._fetch, slot):
            return
        slot.fetching = False
        if not partition.reading or partition.full:
            return
        try:
            records, end = self.world.broker.fetch(
                partition.topic_id, slot.number, slot.fetch_at, self.random.randint(1, self.world.fetch_max)
            )
        except OutOfRange:
            self.trace(f"p{slot.number} {slot.fetch_at} is out of range")
            self.handle(slot, partition.out_of_range(self.now()))
            return
        slot.fetch_at = end
        if end > partition.next_offset:  # also where there is nothing but a hole
            run = make_run(partition.next_offset, end, records)
            outputs = partition.records(run, self.now())
            self.world.oracle.check_buffer(partition.buffered_bytes)
            self.handle(slot, outputs)
