"""Named steps at which a test may have this process die, stand still or be asked to stop.

Only `ZKP2P_TEST_FAULT` turns them on, in one of two forms:

    after_insert:kill:0.05,before_commit:stop:0.1
        at each pass of a step, with that chance: `kill` is SIGKILL, `stop` SIGSTOP (until somebody sends SIGCONT),
        `term` SIGTERM.
    @/path/to/file
        while that file is there and says, for example, `after_insert:kill`, the next pass of that step takes the
        file away and does it: one strike, at a step of the test's choice, in a process that runs already.
"""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

from consumer.core.errors import UsageError

_ACTIONS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}


def _parse(text: str) -> dict[str, tuple[signal.Signals, float]]:
    faults = {}
    for item in filter(None, text.split(",")):
        try:
            step, action, chance = item.split(":")
            faults[step] = (_ACTIONS[action], float(chance))
        except (ValueError, KeyError):
            remedy = f"write STEP:ACTION:CHANCE, with one of {', '.join(_ACTIONS)}, such as after_insert:kill:0.05"
            raise UsageError(f"ZKP2P_TEST_FAULT: {item!r} is no fault: {remedy}") from None
    return faults


_TEXT = os.environ.get("ZKP2P_TEST_FAULT", "")
_FILE = Path(_TEXT[1:]) if _TEXT.startswith("@") else None
_FAULTS = {} if _FILE else _parse(_TEXT)


def fault_point(step: str) -> None:
    """Where a test may strike; nothing at all in ordinary runs."""
    if _FAULTS and step in _FAULTS:
        action, chance = _FAULTS[step]
        if random.random() < chance:  # noqa: S311 - no secret
            os.kill(os.getpid(), action)
    elif _FILE is not None:
        _strike_once(_FILE, step)


def _strike_once(file: Path, step: str) -> None:
    try:
        wanted, _, action = file.read_text().strip().partition(":")
        if wanted != step:
            return
        file.unlink()  # of several threads at this step one gets it
    except FileNotFoundError:
        return
    os.kill(os.getpid(), _ACTIONS[action])
