"""`python -m consumer.sim --seeds N` runs that many worlds, `--seed K` replays one with its trace."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from consumer.sim.controls import CAUGHT, NAMES, Controls, without
from consumer.sim.run import Outcome, run_seed

CONTROL_SEEDS = 500
"""Runs of at least so many seeds also show that the oracle notices each mechanism that is switched off."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m consumer.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, metavar="N", help="how many seeds to run")
    parser.add_argument("--start", type=int, default=0, metavar="S", help="the first of them")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes to use")
    parser.add_argument("--seed", type=int, metavar="K", help="replay this seed alone, with a trace")
    parser.add_argument("--without", action="append", default=[], choices=NAMES, help="switch a mechanism off")
    chosen = parser.parse_args(arguments)
    controls = without(*chosen.without)
    if chosen.seed is not None:
        return _replay(chosen.seed, controls)
    failed = _run_many(range(chosen.start, chosen.start + chosen.seeds), controls, chosen.jobs)
    missed = 0
    if chosen.seeds >= CONTROL_SEEDS and not chosen.without:
        missed = sum(not _caught(name, chosen.start, chosen.jobs) for name in CAUGHT)
    return 1 if failed or missed else 0


def _replay(seed: int, controls: Controls) -> int:
    outcome = run_seed(seed, controls, print_trace=print)
    for finding in outcome.findings:
        print(f"seed {seed}: {finding}")
    print(f"seed {seed}: {'failed' if outcome.findings else 'passed'}")
    return 1 if outcome.findings else 0


def _run_many(seeds: range, controls: Controls, jobs: int) -> int:
    began = time.monotonic()
    counts: Counter[str] = Counter()
    failed = 0
    for outcome in outcomes(seeds, controls, jobs):
        counts.update(outcome.counts)
        if outcome.findings:
            failed += 1
            print(
                f"seed {outcome.seed} failed, `make sim SEED={outcome.seed}` replays it: {outcome.findings[0]}",
                flush=True,
            )
    for name, number in sorted(counts.items()):
        print(f"{number:>10,}  {name}")
    print(f"{len(seeds)} seeds, {failed} failures, {time.monotonic() - began:.0f} s")
    return failed


def _caught(name: str, start: int, jobs: int) -> int:
    """With this mechanism switched off the oracle must find something."""
    seeds = range(start, start + CONTROL_SEEDS)
    caught = sum(bool(outcome.findings) for outcome in outcomes(seeds, without(name), jobs))
    print(f"control: without {name}, {caught} of {CONTROL_SEEDS} seeds fail", flush=True)
    return caught


def outcomes(seeds: range, controls: Controls, jobs: int) -> Iterator[Outcome]:
    """In the order of the seeds."""
    if jobs <= 1:
        yield from (run_seed(seed, controls) for seed in seeds)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(run_seed, seeds, [controls] * len(seeds), chunksize=20)


if __name__ == "__main__":
    sys.exit(main())
