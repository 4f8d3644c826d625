"""What befalls a world besides lost requests: deaths, pauses, outages, and operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from consumer.core.batch import SECONDS_A_DAY

if TYPE_CHECKING:
    from consumer.sim.member import Process
    from consumer.sim.world import World


class Trouble:
    def __init__(self, world: World) -> None:
        self.world = world
        self.random = world.random
        self.actions: dict[str, Callable[[], None]] = {
            "kill": self.kill,
            "pause": self.pause,
            "restart": self.restart,
            "rebalance": self.rebalance,
            "store_restart": self.store_restart,
            "store_down": self.store_down,
            "broker_down": self.broker_down,
            "dead_letters_down": self.dead_letters_down,
            "clock": self.clock,
            "retention": self.retention,
            "compaction": self.compaction,
            "foreign_commit": self.foreign_commit,
            "hold_commits": self.hold_commits,
            "reset": self.reset,
            "recreate": self.recreate,
        }

    def schedule(self) -> None:
        """Each kind of trouble comes at random times with the mean distance that the rates give."""
        world = self.world
        for name, action in self.actions.items():
            mean = getattr(world.plan.rates, name)
            time = self.random.expovariate(1 / mean) if mean else float("inf")
            while time < world.plan.span:
                world.scheduler.at(time, self._happen, name, action)
                time += self.random.expovariate(1 / mean)
        world.scheduler.after(10.0, self._merge)
        if world.plan.operate_at is not None:
            world.scheduler.at(world.plan.operate_at, self.reset)

    def _happen(self, name: str, action: Callable[[], None]) -> None:
        if not self.world.all_stopping and not self.world.faults.healed:
            self.world.counts[name] += 1
            if self.world.tracing:
                self.world.trace(f"* {name}")
            action()

    def _merge(self) -> None:
        self.world.store.merge()
        if not self.world.faults.healed:
            self.world.scheduler.after(10.0, self._merge)

    def _anyone(self) -> Process | None:
        alive = [p for p in self.world.processes if p.alive]
        return self.random.choice(alive) if alive else None

    # Members

    def kill(self) -> None:
        if process := self._anyone():
            process.kill()

    def pause(self) -> None:
        if process := self._anyone():
            process.pause()
            self.world.scheduler.after(self.random.random() * 2.5 * self.world.session, process.wake)

    def restart(self) -> None:
        world = self.world
        if process := self._anyone():
            process.stop()
            world.scheduler.after(
                world.timing.revoke + self.random.random() * world.session, self._start_again, process
            )

    def _start_again(self, process: Process) -> None:
        world = self.world
        alive = [p for p in world.processes if p.alive]
        if process.static_id is not None and any(p.static_id == process.static_id for p in alive):
            return
        if self.random.random() < 0.8 or not alive:
            world.start(process.static_id)

    def rebalance(self) -> None:
        self.world.group.rebalance()

    def hold_commits(self) -> None:
        if process := self._anyone():
            until = self.world.scheduler.now + self.random.random() * 2 * self.world.session
            process.commits.hold_until = max(process.commits.hold_until, until)

    def clock(self) -> None:
        for process in self.world.processes:
            process.error = self.world.clock_error()

    # Servers

    def store_restart(self) -> None:
        self.world.store.restart()
        self.world.store_down_until = self.world.scheduler.now + self.random.random() * 5

    def store_down(self) -> None:
        self.world.store_down_until = self.world.scheduler.now + self.random.random() * 2 * self.world.session

    def broker_down(self) -> None:
        """Down for a while, and for some seconds more its log seems to end early."""
        world, random = self.world, self.random
        world.broker_down_until = world.scheduler.now + random.random() * world.session
        world.broker.hidden = random.randrange(4)
        world.scheduler.at(world.broker_down_until + random.random() * 10, self._show_all)

    def _show_all(self) -> None:
        self.world.broker.hidden = 0

    def dead_letters_down(self) -> None:
        self.world.dead_letters_down_until = self.world.scheduler.now + self.random.random() * 2 * self.world.session

    def retention(self) -> None:
        broker = self.world.broker
        partition = self.random.randrange(broker.partitions)
        log = broker.log(partition)
        low = self.random.randint(log.low, log.high)
        self.world.oracle.give_up(broker.topic_id, partition, log.low, low)
        log.low = low
        self.world.wake(partition)

    def compaction(self) -> None:
        broker = self.world.broker
        partition = self.random.randrange(broker.partitions)
        log = broker.log(partition)
        for offset in range(log.low, log.high):
            if self.random.random() < 0.2:
                self.world.oracle.give_up(broker.topic_id, partition, offset, offset + 1)
                log.records[offset] = None

    def foreign_commit(self) -> None:
        """Some member's tool, or a bug of another client: the broker takes it from whoever is a member."""
        broker, group = self.world.broker, self.world.group
        partition = self.random.randrange(broker.partitions)
        committed = broker.committed(group.name, partition)
        if committed.offset is not None:
            low = broker.log(partition).low
            broker.store_offset(
                group.name, partition, self.random.randint(min(low, committed.offset), committed.offset), None
            )

    # Operators

    def recreate(self) -> None:
        """Under everybody's feet. Kafka deletes the offsets with the topic, and may keep them by its name.

        An offset that an operator set in a partition of which the sink holds nothing can't be told from one he set
        in the new topic: it is not kept here.
        """
        world, broker = self.world, self.world.broker
        for partition in range(broker.partitions):
            world.oracle.give_up(broker.topic_id, partition, 0, broker.log(partition).high)
            if not world.store.touched(partition) and broker.committed(world.group.name, partition).note is None:
                broker.offsets(world.group.name).pop(partition, None)
        broker.recreate_topic()
        if self.random.random() < 0.7:
            self.wipe()
        world.counts["topics made anew"] += 1
        for partition in range(broker.partitions):
            world.wake(partition)

    def reset(self) -> None:
        """Stop everybody, kindly or not; once the group is empty, do something to it; start again."""
        world = self.world
        world.all_stopping = True
        for process in list(world.processes):
            if self.random.random() < 0.6:
                process.stop()
            else:
                process.kill()
        world.scheduler.after(1.0, self._operate)

    def _operate(self) -> None:
        world = self.world
        for process in world.processes:
            if process.alive and world.scheduler.now > world.plan.span:
                process.kill()
        if world.group.members or any(p.alive for p in world.processes):
            world.scheduler.after(1.0, self._operate)
            return
        for action in self._chosen_actions():
            if world.tracing:
                world.trace(f"* operator: {action.__name__}")
            world.counts[f"operator {action.__name__}"] += 1
            action()
        world.scheduler.after(self.random.random() ** 2 * world.session, world.start_all)

    def _chosen_actions(self) -> list[Callable[[], None]]:
        if self.world.plan.operate:
            return [getattr(self, name) for name in self.world.plan.operate]
        return self.random.choices(
            (self.move, self.wipe, self.recreate, self.other_group, self.stand_still, self.forget_tokens),
            weights=(3, 1, 1, 1, 1, 1),
            k=self.random.choice((0, 1, 1, 2)),
        )

    def move(self) -> None:
        """kafka-consumer-groups --reset-offsets: writes the offset and no metadata."""
        world, broker = self.world, self.world.broker
        for partition in range(broker.partitions):
            if self.random.random() < 0.3:
                continue
            log = broker.log(partition)
            committed = broker.committed(world.group.name, partition).offset
            offset = self.random.choice(
                (log.low, log.high, committed or log.low, self.random.randint(log.low, log.high))
            )
            world.oracle.give_up(broker.topic_id, partition, 0, offset)
            broker.store_offset(world.group.name, partition, offset, None)

    def wipe(self) -> None:
        """The offsets expire, or the group or the topic is deleted."""
        offsets = self.world.broker.offsets(self.world.group.name)
        for partition in list(offsets):
            if not self._first_write_may_come(partition):
                del offsets[partition]

    def other_group(self) -> None:
        """The same topic once more, by another group, into the same table."""
        if not any(self._first_write_may_come(p) for p in range(self.world.broker.partitions)):
            self.world.group = self.world.new_group()

    def _first_write_may_come(self, partition: int) -> bool:
        """A limit of the protocol: where table and ledger hold nothing, only the commit tells of a write that is on
        its way. If it vanishes within a lease of a partition's very first batch, nobody waits for that."""
        note = self.world.broker.committed(self.world.group.name, partition).note
        alive = note is not None and note.deadline + self.world.timing.margin > self.world.server_clock()
        return alive and not self.world.store.touched(partition)

    def stand_still(self) -> None:
        self.world.stand_still(self.random.uniform(1, 2) * SECONDS_A_DAY)

    def forget_tokens(self) -> None:
        self.world.store.forget_tokens()
