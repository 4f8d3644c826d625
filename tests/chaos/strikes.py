"""What may happen to members, servers and the lines between them. A strike is a function of the driver."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from random import Random

from tests.chaos.driver import Driver
from tests.chaos.stage import DATABASE, PARTITIONS
from tests.servers.process import ProcessServer
from tests.servers.proxy import Which

Strike = Callable[[Driver], None]

LANDING = ("dead_letters", "insert", "ledger", "commit")
RECOVERY = ("committed", "quiet", "sink", "log", "mend", "hydrate")
STEPS = tuple(f"{when}_{step}" for step in (*LANDING, *RECOVERY, "touched") for when in ("before", "after"))
"""Every named step of `consumer.faults`."""

STEP_SECONDS = 20.0


# Members


def kill_at(step: str, driver: Driver) -> None:
    """SIGKILL at a step of landing, where a member comes by in its everyday work."""
    member = driver.victim()
    member.arm(f"{step}:kill")
    if driver.wait(STEP_SECONDS, lambda: not member.running):
        driver.killed(step, member)
    else:
        _missed(driver, member.arm, step)


def kill_in_recovery(step: str, driver: Driver) -> None:
    """SIGKILL between insert and ledger, and again at a step of the recovery from that."""
    member = driver.victim(static=True)
    member.arm("after_insert:kill")
    if not driver.wait(STEP_SECONDS, lambda: not member.running):
        _missed(driver, member.arm, "after_insert")
        return
    driver.killed("after_insert", member, restart_after=0, armed=f"{step}:kill")
    driver.wait(5, lambda: member.running)
    if driver.wait(STEP_SECONDS, lambda: not member.running):
        driver.killed(step, member)
    else:
        _missed(driver, member.arm, step)


def _missed(driver: Driver, arm: Callable[[str], None], step: str) -> None:
    arm("")
    driver.missed[step] += 1
    driver.say(f"{step}: nobody came by")


def zombie(step: str, driver: Driver) -> None:
    """Stands still at a step for longer than its session, then goes on with what it had ready."""
    member = driver.victim()
    member.arm(f"{step}:stop")
    if not driver.wait(STEP_SECONDS, lambda: member.stopped):
        _missed(driver, member.arm, step)
        return
    member.paused = True
    driver.note(f"stop {step}", f"SIGSTOP of {member.name}")
    driver.later(driver.stage.session_ms / 1000 + 1 + driver.random.random() * 4, member.resume)


def kill(driver: Driver) -> None:
    driver.wait(driver.random.random() * 2)
    member = driver.victim()
    member.kill()
    driver.killed("any moment", member)


def pause(driver: Driver) -> None:
    """SIGSTOP for anything from a moment to more than a session."""
    member = driver.victim()
    seconds = driver.random.choice((0.5, 2.0, 4.0, 9.0)) * (0.8 + driver.random.random() * 0.4)
    member.pause()
    driver.note("pause", f"SIGSTOP of {member.name} for {seconds:.1f} s")
    driver.later(seconds, member.resume)


def terminate(driver: Driver) -> None:
    """A clean stop under load, and a start."""
    member = driver.victim()
    driver.expect_exit(member, 0)
    member.terminate()
    driver.note("terminate", f"SIGTERM of {member.name}")
    if not driver.wait(30, lambda: not member.running):
        driver.findings.append(f"{member.name} did not end within 30 s of SIGTERM: {member.tail()}")
        member.kill()
    driver.later(driver.random.choice((0.0, 0.0, 2.0, 8.0)), partial(driver.start, member))


def twin(driver: Driver) -> None:
    """A second process under the same instance id, as when a node is cut off; the first wakes and must end."""
    member = driver.victim(static=True)
    member.pause()
    ghost = driver.replace(member)
    driver.note("twin", f"a second process of {member.name} while the first stands still")
    driver.later(2 + driver.random.random() * 8, partial(ghost.send_signal, signal.SIGCONT))


def everybody(driver: Driver) -> None:
    """All are killed; by hand, tokens are forgotten, offsets deleted and a partition set back; all start again."""
    for member in driver.stage.members:
        if member.exit_code is None:
            member.kill()
            driver.killed("everybody", member, restart_after=3600)
    driver.postpone_nothing()
    driver.stage.empty_deduplication_windows()
    partition = driver.random.randrange(PARTITIONS)
    driver.stage.log_ends()  # the broker may have started just now
    committed = driver.stage.committed().get(partition)
    if committed is not None and _set_back(driver, partition, committed[0]):
        _touch(driver)
    for member in driver.stage.members:
        driver.start(member)


def _set_back(driver: Driver, partition: int, committed: int) -> bool:
    offset = int(committed * (0.7 + 0.3 * driver.random.random()))
    try:
        driver.stage.delete_group()
        driver.stage.reset_offset(partition, offset)
    except TimeoutError:
        driver.note("operator gave up", "the group still waits for a member that is dead")
        return False
    driver.note("operator", f"windows emptied, offsets deleted, partition {partition} from {committed} to {offset}")
    return True


def _touch(driver: Driver) -> None:
    """Where there is no offset, recovery asks whether the sink knows the partition: a step that comes only now."""
    step = min(("before_touched", "after_touched"), key=lambda name: driver.struck[name])
    for member in driver.stage.members:
        driver.start(member, armed=f"{step}:kill")
    if driver.wait(STEP_SECONDS, lambda: any(not m.running for m in driver.stage.members)):
        driver.killed(step, next(m for m in driver.stage.members if not m.running))
    driver.disarm()


# Servers


def kill_server(name: str, driver: Driver) -> None:
    server = _server(driver, name)
    driver.down_servers.add(name)
    server.kill()
    driver.note_kill(f"kill {name}", name)
    driver.later(driver.random.random() * 3, partial(driver.start_server, server))


def pause_server(name: str, driver: Driver) -> None:
    server = _server(driver, name)
    seconds = 0.5 + driver.random.random() * 5
    driver.note(f"pause {name}", f"SIGSTOP of {name} for {seconds:.1f} s")
    server.pause()
    driver.later(seconds, server.resume)
    driver.wait(seconds + 0.1)


def view_throws(driver: Driver) -> None:
    """The table takes a block and the view's table refuses its share, for a while; perhaps a member dies of it."""
    state = f"{DATABASE}.zkp2p_daily_summary_state"
    query = driver.stage.clickhouse.query
    query(f"ALTER TABLE {state} MODIFY SETTING parts_to_throw_insert = 1")
    driver.note("view throws", "the summary's table refuses inserts")
    driver.wait(0.5 + driver.random.random() * 3)
    if driver.random.random() < 0.5:
        member = driver.victim()
        member.kill()
        driver.killed("view throws", member)
    query(f"ALTER TABLE {state} RESET SETTING parts_to_throw_insert")


def _server(driver: Driver, name: str) -> ProcessServer:
    """One of the two, running."""
    server: ProcessServer = driver.stage.kafka if name == "kafka" else driver.stage.clickhouse
    if not server.running:
        driver.settle()
    return server


# Lines


def hurt_line(fault: str, to: str, driver: Driver) -> None:
    """A member's line to ClickHouse, or everybody's to Kafka, is held, cut or reset after some bytes, or refused."""
    random = driver.random
    member = driver.victim()
    proxy = driver.stage.proxies[member.name] if to == "clickhouse" else driver.stage.kafka.proxy
    after_bytes = random.choice((0, random.randrange(1, 4000), random.randrange(1, 60_000)))
    seconds = random.choice((0.5, 3.0, 7.0)) * (0.5 + random.random())
    ways: tuple[Which, ...] = ("up", "down", "both")
    way = random.choice(ways)
    match fault:
        case "hold":
            proxy.hold(way, after_bytes)
        case "cut":
            proxy.cut(way, after_bytes)
        case "reset":
            proxy.reset(way, after_bytes)
        case "refuse":
            proxy.refuse()
    driver.note(f"{fault} {to}", f"{way} after {after_bytes} bytes for {seconds:.1f} s, {member.name}")
    driver.later(seconds, proxy.release)
    if fault == "hold" and to == "clickhouse" and random.random() < 0.6:
        # What is held here arrives after the death of who sent it.
        driver.wait(min(seconds, 1.0) * random.random())
        if member.running and not member.paused:
            member.kill()
            driver.killed("while its line was held", member)


def deck(random: Random) -> list[Strike]:
    """Everything once or more, in random order."""
    strikes: list[Strike] = [partial(kill_at, f"{when}_{step}") for step in LANDING for when in ("before", "after")]
    strikes += [partial(kill_in_recovery, f"{when}_{step}") for step in RECOVERY for when in ("before", "after")]
    zombies = ("before_insert", "before_ledger", "before_commit", "after_commit", "before_dead_letters", "after_insert")
    strikes += [partial(zombie, step) for step in zombies]
    strikes += [kill, kill, kill, pause, pause, pause, terminate, terminate, terminate, twin, everybody]
    strikes += [partial(strike, name) for name in ("kafka", "clickhouse") for strike in (kill_server, pause_server)]
    strikes += [partial(kill_server, "clickhouse"), view_throws, view_throws]
    strikes += [partial(hurt_line, fault, "clickhouse") for fault in ("hold", "hold", "hold", "cut", "reset", "refuse")]
    strikes += [partial(hurt_line, fault, "kafka") for fault in ("hold", "cut", "reset")]
    random.shuffle(strikes)
    return strikes


def few() -> list[Strike]:
    """A little of each, for a run of a minute."""
    return [
        partial(kill_at, "after_insert"),
        partial(zombie, "before_insert"),
        partial(kill_in_recovery, "before_mend"),
        partial(hurt_line, "hold", "clickhouse"),
        everybody,
        partial(kill_server, "clickhouse"),
        terminate,
        partial(kill_server, "kafka"),
    ]
