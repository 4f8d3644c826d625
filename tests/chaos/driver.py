"""Makes things happen, one strike after the other, and puts everything right in the end.

One thread. Whatever waits goes through `wait`, which meanwhile does what has been put off (`later`) and sees to it that
no process ends but by our hand.
"""

from __future__ import annotations

import heapq
import itertools
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random

from tests.chaos.member import Member
from tests.chaos.stage import PARTITIONS, Stage
from tests.servers.process import ProcessServer

Say = Callable[[str], None]


FATAL = "the client can't go on; restart the process"
"""Last words of a process whose Kafka client has given up; whoever supervises it starts another."""


class Driver:
    """Hurts a `Stage` whose members and traffic are running."""

    def __init__(self, stage: Stage, seed: int, say: Say) -> None:
        self.stage = stage
        self.random = Random(seed)
        self.kills = 0
        """SIGKILLs so far, of members and of servers."""
        self.struck: Counter[str] = Counter()
        """What has happened, by strike."""
        self.missed: Counter[str] = Counter()
        """Strikes at a step that did not come by in time."""
        self.findings: list[str] = []
        self._say = say
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._expected: dict[str, int] = {}
        """Members that are to end by themselves, and with which exit code."""
        self._down: set[str] = set()
        """Members whose end has been seen."""
        self.down_servers: set[str] = set()
        """Those that we killed and have yet to start."""
        self._began = time.monotonic()

    # Time

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._numbers), call))

    def wait(self, seconds: float, condition: Callable[[], bool] = lambda: False) -> bool:
        """Until the condition is true, which is returned, or the time is up."""
        deadline = time.monotonic() + seconds
        while not (met := condition()) and time.monotonic() < deadline:
            self.tick()
            time.sleep(0.02)
        return met

    def tick(self) -> None:
        """What is due happens, and who ended is seen to."""
        while self._later and self._later[0][0] <= time.monotonic():
            heapq.heappop(self._later)[2]()
        for member in self.stage.members:
            if member.exit_code is not None:
                self._ended(member)
        for server in (self.stage.kafka, self.stage.clickhouse):
            if not server.running and server.name not in self.down_servers:
                code = server._process.returncode if server._process else None
                self.note(f"{server.name} ended by itself", f"with {code}, and is started again")
                server.start()

    def _ended(self, member: Member) -> None:
        if member.name in self._down:
            return
        code = member.exit_code
        struck = code == -9 and not member.armed  # by its own hand, at the step that it was armed for
        expected = self._expected.pop(member.name, None)
        if code == 1 and FATAL in member.tail():
            # A static member that was thrown out may be refused by a commit of its own that was still on its way.
            self.note("fatal client error", f"{member.name} ended as it should, and is started again")
            self.later(0.5, partial(self.start, member))
        elif expected is not None and code != expected:
            self.findings.append(f"{member.name} ended with {code} when asked to stop: {member.tail()}")
        elif expected is None and not struck:
            self.findings.append(f"{member.name} ended by itself with {code}: {member.tail()}")
        self._down.add(member.name)

    def say(self, text: str) -> None:
        try:
            landed = f" · landed {sum(self.stage.ledger_ends().values()):,}"
        except (OSError, ValueError):
            landed = " · ClickHouse doesn't answer"
        self._say(f"{time.monotonic() - self._began:6.0f} s  kills {self.kills:3}  {text}{landed}")

    # Members

    def victim(self, *, static: bool | None = None) -> Member:
        """A member that runs and is not standing still; waits for one."""

        def able() -> list[Member]:
            members = self.stage.members
            kind = [m for m in members if static is None or m.static == static]
            # Not before it has begun its work: until then SIGTERM is the system's to answer.
            return [m for m in kind if m.running and not (m.paused or m.stopped or m.armed) and m.metrics()]

        if not self.wait(30, lambda: bool(able())):
            raise AssertionError("no member runs")
        return self.random.choice(able())

    def start(self, member: Member, armed: str = "") -> None:
        if not member.running:
            if member.exit_code is not None:
                self._ended(member)  # or nobody would ever see how
            self._down.discard(member.name)
            member.start(armed=armed)

    def killed(self, what: str, member: Member, *, restart_after: float | None = None, armed: str = "") -> None:
        """Note a SIGKILL of a member and have a supervisor bring it back, at once or later than its session lasts."""
        self.note_kill(what, member.name)
        self._down.add(member.name)
        if restart_after is None:
            session = self.stage.session_ms / 1000
            random = self.random
            restart_after = random.choice((0.0, 0.0, random.random() * 3, session + 1 + random.random() * 2))
        self.later(restart_after, lambda: self.start(member, armed))

    def note_kill(self, what: str, whom: str) -> None:
        self.kills += 1
        self.note(what, f"SIGKILL of {whom}")

    def note(self, what: str, whom: str) -> None:
        self.struck[what] += 1
        self.say(f"{what}: {whom}")

    def expect_exit(self, member: Member, code: int) -> None:
        self._expected[member.name] = code

    def replace(self, member: Member) -> subprocess.Popen[bytes]:
        """Another process under the same name, while the old one stands still; it must end once it wakes."""
        ghost = member.detach()
        self.stage.ghosts.append((member, ghost))
        member.start()
        return ghost

    # The end of each episode

    def settle(self, seconds: float = 90.0) -> None:
        """Wait out everything that was put off; then records have to land again, whoever is there."""
        self.wait(30, lambda: not self._later)
        self.disarm()
        self.stage.wait_until_landing(range(PARTITIONS), seconds, self.tick)

    def postpone_nothing(self) -> None:
        """Forget what was put off for members; servers and lines are put right at once."""
        self._later.clear()
        self.put_right()

    def put_right(self) -> None:
        for proxy in (*self.stage.proxies.values(), self.stage.kafka.proxy):
            proxy.release()
        for server in (self.stage.kafka, self.stage.clickhouse):
            self.start_server(server)
            server.resume()
        for _, ghost in self.stage.ghosts:
            if ghost.poll() is None:
                ghost.send_signal(signal.SIGCONT)

    def start_server(self, server: ProcessServer) -> None:
        self.down_servers.discard(server.name)
        if not server.running:
            server.start()

    def disarm(self) -> None:
        for member in self.stage.members:
            member.arm("")

    def heal(self) -> None:
        """Everything runs and passes again."""
        self.wait(30, lambda: not self._later)
        self.disarm()
        self.put_right()
        for member in self.stage.members:
            if member.running:
                member.resume()
        self.wait(1.0)
        for member in self.stage.members:
            self.start(member)
        for member, ghost in self.stage.ghosts:
            try:
                code = ghost.wait(60)
            except subprocess.TimeoutExpired:
                ghost.kill()
                ghost.wait(20)
                code = None
            if code != 1:
                self.findings.append(f"a process of {member.name} whose instance id was taken ended with {code}")
