"""The duplicate index as plain dictionaries: slow to grow, quick to make, plainly right. A property test elsewhere
holds the real one equal to such a model; here it saves most of a small world's time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from consumer.core.batch import I64, Keys
from consumer.core.dedupe import SHARED, KeyIndex, Scope

Entry = tuple[Scope, int]


class DictIndex(KeyIndex):
    """As `consumer.core.dedupe.KeyIndex`; `days_max` takes the place of a budget of bytes."""

    def __init__(self, days_max: int) -> None:
        super().__init__(0)
        self.days_max = days_max
        self.held: dict[Entry, set[int]] = {}
        self.in_use: dict[int, set[Entry]] = {}

    def to_hydrate(self, partition: int, days: I64) -> list[Entry]:
        near = sorted({n for day in days.tolist() for n in (day - 1, day, day + 1)})
        self.in_use[partition] = needed = {(scope, day) for scope in (partition, SHARED) for day in near}
        self._make_room()
        return sorted(needed - self.held.keys())

    def hydrate(self, scope: Scope, day: int, keys: Keys) -> None:
        if any((scope, day) in entries for entries in self.in_use.values()):
            self.held.setdefault((scope, day), set()).update(keys[:, 0].tolist())

    def duplicates(self, partition: int, keys: Keys, days: I64) -> npt.NDArray[np.bool_]:
        scopes = partition, SHARED
        found, kept = [], set()
        for key, day in zip(keys[:, 0].tolist(), days.tolist(), strict=True):
            near = day - 1, day, day + 1
            copy = any((key, n) in kept for n in near) or any(key in self.held[s, n] for s in scopes for n in near)
            if not copy:
                kept.add((key, day))
            found.append(copy)
        return np.array(found, np.bool_)

    def landed(self, partition: int, keys: Keys, days: I64) -> None:
        for key, day in zip(keys[:, 0].tolist(), days.tolist(), strict=True):
            held = self.held.get((partition, day))
            if held is not None:
                held.add(key)
        self.in_use.pop(partition, None)
        self._make_room()

    def forget(self, scope: Scope) -> None:
        self.in_use.pop(scope, None)
        for entry in [entry for entry in self.held if entry[0] == scope]:
            del self.held[entry]

    def _make_room(self) -> None:
        if len(self.held) > self.days_max:
            used = set().union(*self.in_use.values())
            for entry in [entry for entry in self.held if entry not in used][: len(self.held) - self.days_max]:
                del self.held[entry]
