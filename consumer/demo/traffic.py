"""Made-up traffic as real producers send it: whole sessions, and everything that goes wrong on the way.

    traffic = Traffic(seed=7, start_ms=started_ago(200_000, rate=500))
    for record in traffic.records(200_000):
        producer.produce(topic, record.value, record.key, timestamp=record.timestamp_ms)
    traffic.truth                     # what must come out, see `consumer.demo.truth`

A session is an attempt and, mostly, how it ended some time later. Around them: copies sent again, events
that were offline for days, spellings that only some producers use, broken records, other teams' events.
The same seed, start and rate give the same records. `consumer.demo.produce` is a program that sends them to a topic.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from heapq import heappop, heappush
from itertools import count as numbers
from itertools import cycle
from random import Random
from typing import Any, Literal, NamedTuple

import orjson

from consumer.demo.broken import BROKEN, OVERSIZED
from consumer.demo.truth import Letter, Row, Truth, digest
from consumer.demo.unusual import UNUSUAL

DAY_MS = 86_400_000


class Record(NamedTuple):
    """What a producer hands to Kafka."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Mix:
    """How much of each thing, as shares: the first four of arrivals (a session is one), the rest of events."""

    foreign: float = 0.04
    broken: float = 0.01
    oversized: float = 0.0
    """Values over 1 MiB: producer, topic and dead-letter topic have to allow for them."""
    expired: float = 0.0005
    """Events older than the table keeps."""
    copies: float = 0.03
    """Sent again, byte by byte, within a minute."""
    late: float = 0.02
    """Up to five days behind their record, as from a phone that was offline."""
    again: float = 0.001
    """The same session and type, three to six days before: no duplicate by the contract's rule."""
    unusual: float = 0.02
    """Valid, but written as few producers write it; many without a timestamp."""
    miskeyed: float = 0.0
    """With another key than their sessionId; their copies have the same wrong key."""


class Method(NamedTuple):
    """How people pay with it: shares of attempts, of outcomes, and the mean amount in dollars."""

    name: str
    share: float
    success: float
    error: float
    abandoned: float
    mean_usd: float


METHODS = (
    Method("venmo", 0.34, 0.71, 0.08, 0.16, 24.0),
    Method("cashapp", 0.22, 0.66, 0.11, 0.17, 18.0),
    Method("paypal", 0.17, 0.58, 0.17, 0.19, 35.0),
    Method("zelle", 0.14, 0.75, 0.06, 0.12, 52.0),
    Method("wise", 0.08, 0.63, 0.12, 0.20, 61.0),
    Method("revolut", 0.05, 0.60, 0.14, 0.21, 44.0),
)
PACKAGES_USD = (5, 10, 25, 50, 100)
MESSAGES = (
    "declined",
    "insufficient funds",
    "proof verification failed: intent expired",
    "timeout after 30000 ms",
    'unexpected token "<" in JSON at position 0',
    "Zahlung abgelehnt: Betrag überschreitet das Tageslimit",
    "支付失败：余额不足",
    "платёж отклонён банком",
    "تم رفض الدفع",
    "💸 → 🚫 wallet said no",
    "line one\nline two\tof a stack trace",
)
FOREIGN = ("page_view", "buzz_purchase", "model_download", "zkp2p_payment_v2", "")


@lru_cache(maxsize=4096)
def _minute(number: int) -> str:
    return f"{datetime.fromtimestamp(number * 60, UTC):%Y-%m-%dT%H:%M:}"


def _written(ms: int) -> str:
    """RFC 3339 with milliseconds: what JavaScript's toISOString() writes."""
    minute, rest = divmod(ms, 60_000)
    return f"{_minute(minute)}{rest // 1000:02}.{rest % 1000:03}Z"


Fate = Literal["duplicates", "ignored", "expired"]
"""What becomes of a record that is neither a row nor a letter: the count of `Truth` it adds to."""


class _Planned(NamedTuple):
    """A record on its way, in the order in which it will be sent."""

    timestamp_ms: int
    number: int
    key: bytes | None
    value: bytes | None
    outcome: Row | Letter | Fate
    miskeyed: bool


class Traffic:
    """One stream of records. `truth` accounts for those handed out so far.

    `start_ms`: timestamp of the first record (`started_ago`). Records must not lie in the future when they
    are consumed: what is `expired` is measured from the day of consumption.
    `rate`: events a second, in their timestamps; the records come as fast as they are asked for.
    `think_seconds`: mean time from an attempt to its outcome; at most ten times as long.
    """

    def __init__(
        self, seed: int = 0, *, start_ms: int, rate: float = 500.0, think_seconds: float = 40.0, mix: Mix | None = None
    ) -> None:
        self.truth = Truth()
        self._random = Random(seed)
        self._mix = mix or Mix()
        self._now = float(start_ms)
        self._gap_ms = 1000.0 / rate * self._events_an_arrival()
        self._think_ms = think_seconds * 1000
        self._planned: list[_Planned] = []
        self._numbers = numbers()
        kinds = list(BROKEN)
        self._random.shuffle(kinds)
        self._broken = cycle(kinds)
        self._oversized = cycle(OVERSIZED)
        self._unusual = cycle(self._random.sample(UNUSUAL, len(UNUSUAL)))

    def records(self, count: int | None = None) -> Iterator[Record]:
        """The next `count` records, in whole sessions; without `count`, without end."""
        left = count
        while left is None or left > 0:
            while (left is None or len(self._planned) < left) and self._arrives_next():
                self._arrive(None if left is None else left - len(self._planned))
            planned = heappop(self._planned)
            self._account(planned)
            if left is not None:
                left -= 1
            yield Record(planned.key, planned.value, planned.timestamp_ms)

    def _events_an_arrival(self) -> float:
        mix = self._mix
        session = 1 + sum(m.share * (m.success + m.error + m.abandoned) for m in METHODS)
        single = mix.foreign + mix.broken + mix.oversized + mix.expired
        return single + (1 - single) * session * (1 + mix.copies + mix.again)

    def _arrives_next(self) -> bool:
        return not self._planned or self._now <= self._planned[0].timestamp_ms

    def _arrive(self, room: int | None) -> None:
        """Plans whatever comes now: one record or a session of several, but not more than `room`."""
        now, mix = int(self._now), self._mix
        self._now += self._random.expovariate(1.0) * self._gap_ms
        chance = self._random.random()
        if (chance := chance - mix.foreign) < 0:
            self._foreign(now)
        elif (chance := chance - mix.broken) < 0:
            self._spoilt(now, oversized=False)
        elif (chance := chance - mix.oversized) < 0:
            self._spoilt(now, oversized=True)
        elif (chance := chance - mix.expired) < 0:
            self._expired(now)
        else:
            self._session(now, room)

    def _account(self, planned: _Planned) -> None:
        truth, outcome = self.truth, planned.outcome
        truth.produced += 1
        truth.key_mismatches += planned.miskeyed
        if isinstance(outcome, Row):
            truth.inserted += 1
            truth.rows.append(outcome)
        elif isinstance(outcome, Letter):
            truth.rejected_by_code[outcome.code] += 1
            truth.letters.append(outcome)
        else:
            setattr(truth, outcome, getattr(truth, outcome) + 1)

    def _plan(
        self,
        at_ms: int,
        key: bytes | None,
        value: bytes | None,
        outcome: Row | Letter | Fate,
        *,
        miskeyed: bool = False,
    ) -> None:
        heappush(self._planned, _Planned(at_ms, next(self._numbers), key, value, outcome, miskeyed))

    # Sessions

    def _session(self, now: int, room: int | None) -> None:
        room = 1000 if room is None else room
        row, ending = self._buyer(now)
        room -= self._send(row, now, room)
        if ending is not None and room:
            later = now + 1 + int(min(self._random.expovariate(1.0), 10.0) * self._think_ms)
            message = self._random.choice(MESSAGES) if ending == "error" else None
            self._send(Row(row[0], row[1], ending, *row[3:6], message, later // 1000), later, room)

    def _buyer(self, now: int) -> tuple[Row, str | None]:
        """An attempt, and how it will end; None where the browser never told."""
        draw = self._random.random
        share = draw()
        for method in METHODS:
            share -= method.share
            if share < 0:
                break
        if draw() < 0.7:
            cents = PACKAGES_USD[int(draw() * 5)] * 100
        else:
            cents = 100 + int(self._random.expovariate(1.0) * method.mean_usd * 100)
        fate = draw()
        ending = None
        for name, chance in (("success", method.success), ("error", method.error), ("abandoned", method.abandoned)):
            fate -= chance
            if fate < 0:
                ending = name
                break
        user = 1 + int(draw() * draw() * 250_000)
        return Row(user, self._id(), "attempt", method.name, cents, cents * 10, None, now // 1000), ending

    def _id(self) -> str:
        """A random UUID (version 4)."""
        text = f"{self._random.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"

    def _send(self, row: Row, at: int, room: int) -> int:
        """Plans one event, perhaps with a copy, perhaps with another of its name days before. Returns how many."""
        mix, draw = self._mix, self._random.random
        written_ms = at
        if draw() < mix.late:
            written_ms -= int(draw() * 5 * DAY_MS)
            row = row._replace(timestamp=written_ms // 1000)
        event = self._event(row, written_ms)
        if draw() < mix.unusual:
            value, row = next(self._unusual)(event, row, at)
        else:
            value = orjson.dumps(event)
        miskeyed = draw() < mix.miskeyed
        key = (self._id() if miskeyed else row.session_id).encode()
        self._plan(at, key, value, row, miskeyed=miskeyed)
        sent = 1
        if draw() < mix.copies and sent < room:
            self._plan(at + 1 + int(draw() * 60_000), key, value, "duplicates", miskeyed=miskeyed)
            sent += 1
        if draw() < mix.again and sent < room:
            before_ms = row.timestamp * 1000 - int((3 + draw() * 3) * DAY_MS)
            before = row._replace(timestamp=before_ms // 1000)
            self._plan(at, key, orjson.dumps(self._event(before, before_ms)), before, miskeyed=miskeyed)
            sent += 1
        return sent

    @staticmethod
    def _event(row: Row, written_ms: int) -> dict[str, Any]:
        data = {
            "eventType": row.event_type,
            "paymentMethod": row.payment_method,
            "usdAmount": row.usd_cents / 100,
            "buzzAmount": row.buzz_amount,
            "sessionId": row.session_id,
        }
        if row.error_message is not None:
            data["errorMessage"] = row.error_message
        return {"event": "zkp2p_payment", "userId": row.user_id, "timestamp": _written(written_ms), "data": data}

    # Everything else

    def _foreign(self, now: int) -> None:
        name = self._random.choice(FOREIGN)
        event = {"event": name, "userId": None, "timestamp": "today", "data": [self._id(), 1.5, {"path": "/ü"}]}
        self._plan(now, self._id().encode(), orjson.dumps(event), "ignored")

    def _spoilt(self, now: int, *, oversized: bool) -> None:
        row, _ = self._buyer(now)
        kind = next(self._oversized if oversized else self._broken)
        value = kind.spoil(self._event(row, now), now)
        key = row.session_id.encode() if self._random.random() < 0.9 else None
        self._plan(now, key, value, Letter(kind.code, kind.field, None if value is None else digest(value)))

    def _expired(self, now: int) -> None:
        """Within the 90 days a timestamp may lie behind its record, but on a day the table is about to drop."""
        row, _ = self._buyer(now)
        written_ms = now - 89 * DAY_MS - int(self._random.random() * 23 / 24 * DAY_MS)
        self._plan(now, row.session_id.encode(), orjson.dumps(self._event(row, written_ms)), "expired")


def started_ago(events: int, rate: float) -> int:
    """`start_ms` for traffic of so many events that ends about now: a little in the past, never in the future."""
    return int((time.time() - events / rate * 1.1 - 600) * 1000)
