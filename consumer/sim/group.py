"""A fake group coordinator, classic protocol: generations, cooperative and eager rebalances, static members.

Rebalance: members are told, join again (eager ones after giving up all partitions, cooperative ones with what they
own), and the next generation begins once all have joined or the time for it is up. A partition that moves is
withheld in a cooperative group until its owner has joined again without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from consumer.core.errors import Fenced
from consumer.sim.broker import Broker
from consumer.sim.scheduler import Scheduler

NOTICE_SECONDS = 40.0
"""After so long a member sees that a partition has been given to nobody, and joins again."""


class Client(Protocol):
    """What the coordinator tells a member of; each call comes after a network's while."""

    def on_rebalance(self, member_id: int, number: int) -> None: ...
    def on_assigned(self, member_id: int, generation: int, partitions: frozenset[int]) -> None: ...
    def on_expelled(self, member_id: int) -> None: ...
    def on_fatal(self, member_id: int) -> None: ...


@dataclass(slots=True)
class Member:
    client: Client
    static_id: str | None
    assigned: frozenset[int] = frozenset()
    told: float = 0.0
    """When it hears the last thing it was told: in order."""


@dataclass(slots=True)
class Group:
    name: str
    broker: Broker
    scheduler: Scheduler
    random: Random
    eager: bool
    rebalance_timeout: float
    on_commit: Callable[[int, int, str], None]
    """Told of each commit that is about to be applied: partition, offset, metadata."""
    generation: int = 0
    members: dict[int, Member] = field(default_factory=dict)
    rebalances: int = 0
    _preparing: bool = False
    _joined: dict[int, frozenset[int]] = field(default_factory=dict)
    _withheld: bool = False
    """Is there a partition that its old owner has yet to give up?"""
    _made: int = 0

    def join(self, client: Client, static_id: str | None) -> int:
        """A new process; the member id it gets. A known static id takes its predecessor's place and assignment
        without a rebalance."""
        self._made += 1
        member_id = self._made
        known = next((m for m, x in self.members.items() if static_id is not None and x.static_id == static_id), None)
        if known is None:
            self.members[member_id] = Member(client, static_id)
            self.rebalance()
            self._joined[member_id] = frozenset()
            self._complete_if_all_joined()
            return member_id
        old = self.members.pop(known)
        self._later(old, old.client.on_fatal, known)
        self.members[member_id] = Member(client, static_id, old.assigned)
        if self._preparing:
            self._joined.pop(known, None)
            self._joined[member_id] = frozenset()
            self._complete_if_all_joined()
        else:
            self._later(self.members[member_id], client.on_assigned, member_id, self.generation, old.assigned)
            # If its predecessor was to give something up, it will never say that it did, and the broker knows nothing
            # of that: it is left to the members to notice (`consumer.adapters.coverage`).
            self.scheduler.after(NOTICE_SECONDS, self._notice, self.generation)
        return member_id

    def rejoin(self, member_id: int, owned: Iterable[int]) -> None:
        """Take part in the rebalance, or call for one to give partitions back."""
        if member_id not in self.members:
            return
        if not self._preparing:
            self.rebalance()
        self._joined[member_id] = frozenset(owned)
        self._complete_if_all_joined()

    def is_preparing(self, number: int) -> bool:
        """Does this rebalance still wait for members?"""
        return self._preparing and number == self.rebalances

    def leave(self, member_id: int) -> None:
        if self.members.pop(member_id, None) is not None:
            self._joined.pop(member_id, None)
            if self.members:
                self.rebalance()
                self._complete_if_all_joined()

    def rebalance(self) -> None:
        if self._preparing:
            return
        self._preparing = True
        self._joined = {}
        self.rebalances += 1
        for member_id, member in self.members.items():
            self._later(member, member.client.on_rebalance, member_id, self.rebalances)
        self.scheduler.after(self.rebalance_timeout, self._complete, self.rebalances)

    def commit(self, member_id: int, generation: int, offsets: dict[int, tuple[int, str]]) -> None:
        """All of a current member's offsets are taken, whoever owns the partitions; raises Fenced otherwise."""
        if member_id not in self.members:
            raise Fenced("unknown member")
        if generation != self.generation:
            raise Fenced("stale generation")
        for partition, (offset, metadata) in offsets.items():
            self.on_commit(partition, offset, metadata)
            self.broker.store_offset(self.name, partition, offset, metadata)

    def _notice(self, generation: int) -> None:
        if self.generation == generation and self._withheld:
            self.rebalance()

    def _complete_if_all_joined(self) -> None:
        if self._preparing and self._joined.keys() >= self.members.keys():
            self._complete(self.rebalances)

    def _complete(self, number: int) -> None:
        if not self.is_preparing(number):
            return
        self._preparing = False
        for member_id in [m for m in self.members if m not in self._joined]:
            expelled = self.members.pop(member_id)
            self._later(expelled, expelled.client.on_expelled, member_id)
        self.generation += 1
        for member_id, partitions in self._assign().items():
            member = self.members[member_id]
            member.assigned = partitions
            self._later(member, member.client.on_assigned, member_id, self.generation, partitions)

    def _assign(self) -> dict[int, frozenset[int]]:
        claimed = {p: m for m, owned in self._joined.items() if m in self.members for p in owned}
        target: dict[int, set[int]] = {m: set() for m in self.members}
        if not target:
            return {}
        most = -(-self.broker.partitions // len(target))
        loose = []
        sticky = self.random.random() < 0.8
        for partition in range(self.broker.partitions):
            owner = claimed.get(partition)
            if sticky and owner is not None and len(target[owner]) < most:
                target[owner].add(partition)
            else:
                loose.append(partition)
        self.random.shuffle(loose)
        for partition in loose:
            target[min(target, key=lambda m: (len(target[m]), m))].add(partition)
        given = {m: frozenset(p for p in found if claimed.get(p, m) == m) for m, found in target.items()}
        self._withheld = sum(map(len, given.values())) < self.broker.partitions
        return given

    def _later(self, member: Member, call: Callable[..., None], *arguments: object) -> None:
        member.told = max(member.told, self.scheduler.now + self.random.random() * 0.5)
        self.scheduler.at(member.told, call, *arguments)
