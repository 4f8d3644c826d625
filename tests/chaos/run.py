"""A whole run: traffic, strikes, healing, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos import strikes
from tests.chaos.driver import Driver, Say
from tests.chaos.history import WENT_BACK, Watcher, history
from tests.chaos.stage import PARTITIONS, Stage
from tests.chaos.verify import verify

EPISODE = 4
"""So many strikes, then records must land again before the next."""


@dataclass(slots=True)
class Outcome:
    kills: int = 0
    truth: str = ""
    struck: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    history: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)


def run(
    seed: int,
    *,
    kills: int,
    members: int = 3,
    per_second: float = 300.0,
    events: int = 0,
    say: Say = print,
    chosen: Callable[[Driver], list[strikes.Strike]] | None = None,
) -> Outcome:
    """Strikes until there were so many kills, or, when `chosen`, those and no more."""
    with Stage() as stage, Watcher(stage) as watcher:
        for number in range(members):  # the last of three comes and goes without an instance id
            stage.add_member(f"m{number}", static=number < 2).start()
        stage.start_traffic(seed=seed, per_second=per_second, events=events)
        stage.wait_until_landing(range(PARTITIONS), 60)
        driver = Driver(stage, seed, say)
        driver.say("all partitions flow")
        if chosen is not None:
            _strike(driver, chosen(driver), None)
        while chosen is None and driver.kills < kills and not driver.findings:
            _strike(driver, strikes.deck(driver.random), kills)
        driver.say("healing")
        driver.heal()
        stage.stop_traffic()
        driver.say("the traffic has ended")
        stage.wait_until_caught_up(120, driver.tick)
        findings, truth = verify(stage)
        for member in stage.members:
            if not member.running:
                driver.findings.append(f"{member.name} does not run at the end")
        try:
            stage.command("audit")
        except AssertionError as error:
            findings.append(str(error))
        counts = history(stage.members)
        if counts[WENT_BACK]:
            findings.append(f"{WENT_BACK}, {counts[WENT_BACK]} times")
        for name, pattern in {
            "retries": r"retries_total\{",
            "rebalances": r"rebalances_total",
            "batches": r"batch_close_total\{",
        }.items():
            counts[name] = int(watcher.total(pattern))
        return Outcome(driver.kills, truth.line(), driver.struck, driver.missed, counts, driver.findings + findings)


def _strike(driver: Driver, deck: list[strikes.Strike], kills: int | None) -> None:
    for number, strike in enumerate(deck, 1):
        strike(driver)
        if driver.findings or (kills is not None and driver.kills >= kills):
            return
        if number % EPISODE == 0:
            driver.settle()
            driver.say("all partitions flow")
        else:
            driver.wait(driver.random.random() * 2)
