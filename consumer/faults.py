"""Named steps at which a test may have this process die or sleep.

Only `ZKP2P_TEST_FAULT` turns them on, for example `after_insert:kill:0.05` (die by SIGKILL in one of twenty
passes) or `before_commit:stop:0.1` (stop by SIGSTOP until somebody sends SIGCONT), several joined by commas.
"""

from __future__ import annotations

import os
import random
import signal

_ACTIONS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def _parse(text: str) -> dict[str, tuple[signal.Signals, float]]:
    faults = {}
    for item in filter(None, text.split(",")):
        step, action, chance = item.split(":")
        faults[step] = (_ACTIONS[action], float(chance))
    return faults


_FAULTS = _parse(os.environ.get("ZKP2P_TEST_FAULT", ""))


def fault_point(step: str) -> None:
    """Where a test may strike; nothing at all in ordinary runs."""
    if _FAULTS and step in _FAULTS:
        action, chance = _FAULTS[step]
        if random.random() < chance:  # noqa: S311 - no secret
            os.kill(os.getpid(), action)
