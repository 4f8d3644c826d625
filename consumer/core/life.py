"""The life of one partition in our hands, in the order in which it happens.

`Life.live` is a generator: it yields an effect and goes on when its answer is there. So the order of the code is
the order of events, and there is one place to read it: `_recover`, then `_land` for each batch, for ever.

    recover   topic, committed -> wait -> quiet -> what landed -> position -> mend -> close orphans -> seek
    land      hydrate, decide -> 1 lease -> 2 dead letters -> 3 insert -> 4 ledger -> 5 commit

Nothing here does I/O, owns a thread or reads a clock; `consumer.core.partition` feeds it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from consumer.core.batch import SECONDS_A_DAY, Batch, LedgerRow, Run
from consumer.core.buffer import Buffer, Limits
from consumer.core.decide import MonthsOf, days_to_know, decide
from consumer.core.dedupe import SHARED, KeyIndex
from consumer.core.effects import (
    BatchLanded,
    Commit,
    Effect,
    Fact,
    Fill,
    Hydrate,
    Insert,
    Landed,
    LeaseHeld,
    Mend,
    Mended,
    Quiet,
    ReadCommitted,
    ReadLog,
    ReadSink,
    Recovered,
    Released,
    Retried,
    Seek,
    SendDeadLetters,
    Sleep,
    StartedOver,
    Touched,
    WriteLedger,
)
from consumer.core.errors import Fenced, LeaseOver, Retryable, Stop
from consumer.core.lease import Note, Timing
from consumer.core.position import Committed, Log, Place, locate, own_note
from consumer.core.recovery import beside_closed, closing_rows, days_to_mend, is_reread, unread_orphans

Steps = Generator[Effect, Any, Any]

BACKOFF_FIRST, BACKOFF_MAX = 0.2, 15.0
QUIET_PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class Setup:
    """What all partitions of a member share."""

    cluster_id: str
    group: str
    timing: Timing
    limits: Limits
    months_of: MonthsOf
    jitter: Callable[[], float] = field(default=lambda: 1.0)
    """A factor around 1 for pauses, so that members don't retry in step."""


class Leave(Exception):
    """Thrown into the life of a partition that is being taken away while nothing of it is landing."""


class StartOver(Exception):
    """The lease ran out or an outcome stayed unknown: recover as after a crash."""


class Life:
    """All that a partition knows and does, from assignment to release."""

    def __init__(self, number: int, setup: Setup, index: KeyIndex) -> None:
        self.number = number
        self._setup = setup
        self._index = index
        self.now = 0.0
        """Seconds since 1970 by the ClickHouse server's clock; set before the life goes on."""
        self.buffer = Buffer(setup.limits)
        self.close_reason = ""
        self.facts: list[Fact] = []

        self.topic_id = ""
        self.log = Log("", 0, 0)
        self.position = -1
        """First offset that is not known to have landed; -1 until recovery has found it."""
        self.next_offset = -1
        """Where the next record is expected."""
        self.reading = False
        """True while records are welcome: from a seek to the next recovery or the end."""
        self.inflight: Batch | None = None
        self.idle_since = 0.0

        self.leaving = False
        self._busy = 0
        self.lease_until = 0
        self._unknown_until = 0
        """Deadline of the last write whose outcome we don't know: as long as it may still be accepted, no commit
        may say that nothing is on its way. 0 when all writes were answered."""
        self._announced = 0
        """Deadline in the last commit that we sent, whether it was answered or not."""
        self.commit_open = False
        """A commit was sent and is not known to be applied or refused: it may still be applied."""
        self._pass = 0
        self._committed: int | None = None
        self._orphans: dict[int, int] = {}
        self._starts_over = 0

    @property
    def may_leave(self) -> bool:
        """Not between a batch's first step and its last, nor while a commit has no answer."""
        return not self._busy

    def forget_buffer(self) -> None:
        self.buffer.forget()
        self.reading = False

    def live(self) -> Steps:
        try:
            while True:
                try:
                    yield from self._recover()
                    while True:
                        self.idle_since = self.now
                        runs = yield Fill()
                        if runs is None:
                            yield from self._check_commit()
                        else:
                            yield from self._land(runs)
                except (StartOver, LeaseOver, Fenced) as why:
                    self._start_over(why)
                    yield Sleep(self.now + self._backoff(self._starts_over))
        except Leave:
            yield from self._release()

    def _start_over(self, why: Exception) -> None:
        self.forget_buffer()
        self._busy = 0
        self.lease_until = 0
        self.inflight = None
        self._index.forget(self.number)
        self._starts_over += 1
        names: dict[type[Exception], str] = {LeaseOver: "lease_over", Fenced: "fenced"}
        cause = names.get(type(why), str(why))
        self.facts.append(StartedOver(cause))
        if self.leaving:
            raise Leave

    def _recover(self) -> Steps:
        """Find out what landed, whoever wrote it, and where to go on."""
        timing = self._setup.timing
        began = self.now
        topic_before: Log = yield from self._until_done("log", ReadLog)
        # Whoever owned this partition may have writes on their way until its lease is over.
        committed: Committed = yield from self._until_done("committed", ReadCommitted)
        clean = yield from self._wait_for_lease(committed)
        if timing.fenced:
            while not (yield from self._until_done("quiet", Quiet)):
                text = "ClickHouse: a write of this partition's former owner is still running"
                self.facts.append(Retried("quiet", "still_running", text, QUIET_PAUSE))
                yield Sleep(self.now + QUIET_PAUSE)
        waited = self.now - began

        # From here on nobody else writes. What landed, and what of it does the ledger not know?
        landed: Landed = yield from self._until_done("sink", ReadSink)
        place = yield from self._find_place(committed, landed)
        if self.log.topic_id != topic_before.topic_id:
            raise StartOver("topic_changed")  # the offset was read of the topic that was there before
        self.topic_id = self.log.topic_id  # not before: until then our position is one of the topic we knew
        closing = closing_rows(landed, self.topic_id, self.number, self._setup.group, place)
        place = beside_closed(place, landed.passes, closing, self.topic_id)
        self.position, self._pass = place.offset, place.number
        self._committed = committed.offset
        self._unknown_until = 0
        self._share_index(landed)
        reread = is_reread(place, landed.passes, self.topic_id)

        # Rows whose batch broke off may be missing from the summary; then the ledger gets to know them.
        moved = own_note(committed, self.topic_id, self._setup.group) is None
        mend = days_to_mend(landed, self.topic_id, clean=clean, reread=reread, moved=moved)
        for topic_id, days in mend.items():
            # Never twice under one lease: two that run at once would both add the same difference.
            mended = yield from self._until_done(
                "mend", lambda d, t=topic_id, x=days: Mend(t, x, d), leased=True, repeat=False
            )
            self.facts.append(Mended(topic_id, mended))
        for row in closing:
            yield from self._until_done("ledger", lambda d, r=row: WriteLedger(r, d), leased=True)
        self._orphans = unread_orphans(landed.orphans, self.topic_id, place)
        if self._committed != self.position or (moved and not self._announced):
            # Or an idle partition would show lag for ever, and its next owner would wait for nobody.
            yield from self._commit(self.position, lease=False)

        kind = "orphans" if landed.orphans else "reread" if reread else "clean" if clean else "waited"
        self.facts.append(Recovered(kind, self.position, self._pass, place.why, waited, len(landed.orphans)))
        self.next_offset = self.position
        yield from self._until_done("seek", lambda: Seek(max(self.position, self.log.low)))
        self.reading = True

    def _share_index(self, landed: Landed) -> None:
        """The process's one index of other topic ids' rows: whose are "other" changes when the topic is made anew.

        It is read again at every recovery that finds such rows: those of this partition, of the topic before, may
        have landed after another partition had them read.
        """
        index = self._index
        known = {p.topic_id for p in landed.passes} | {orphan.topic_id for orphan in landed.orphans}
        if known - {self.topic_id} or index.shared_topic_id != self.topic_id:
            index.forget(SHARED)
            index.shared_version += 1
        index.shared_topic_id = self.topic_id

    def _wait_for_lease(self, committed: Committed) -> Steps:
        """Sleep until no former owner's write can be accepted; True when there is nothing to wait for."""
        timing = self._setup.timing
        if not timing.fenced:
            return committed.offset is not None and committed.note is not None and committed.note.deadline == 0
        if committed.note is not None:
            if committed.note.deadline == 0:
                return True
            yield Sleep(committed.note.deadline + timing.margin)
            return False
        # Somebody moved the offsets, or they are gone. Only where nobody has ever been is there nobody to wait for.
        if committed.offset is not None or (yield from self._until_done("touched", Touched)):
            yield Sleep(self.now + timing.lease + timing.margin)
            return False
        return True

    def _find_place(self, committed: Committed, landed: Landed) -> Steps:
        """Where to go on. A log that seems to end before our position is asked again: a broker that has just
        started may report an old end."""
        pauses = [2.0, 4.0, 8.0]
        while True:
            self.log = yield from self._until_done("log", ReadLog)
            orphan_topics = {orphan.topic_id for orphan in landed.orphans}
            place: Place = locate(committed, self._setup.group, landed.passes, self.log, orphan_topics)
            if place.lost:
                raise Stop(f"partition {self.number}: {place.why}")
            if not place.beyond_log or not pauses:
                return place
            yield Sleep(self.now + pauses.pop(0))

    def _land(self, runs: list[Run]) -> Steps:
        """One batch, always in this order."""
        began = self.now
        batch: Batch = yield from self._decide(runs)
        self.inflight = batch
        self._busy += 1
        yield from self._lease()  # 1
        if batch.letters:
            yield from self._until_done("dead_letters", lambda: SendDeadLetters(batch.letters))  # 2
        span = (batch.first, batch.end)
        for month, rows in batch.months:  # 3
            token = self._token(batch, month)
            yield from self._until_done(
                "insert", lambda d, m=month, r=rows, t=token: Insert(self.topic_id, r, m, t, d, span), leased=True
            )
        row = self._ledger_row(batch)
        yield from self._until_done("ledger", lambda d: WriteLedger(row, d), leased=True)  # 4
        self._index.landed(self.number, batch.keys, batch.days)
        self._orphans = {o: s for o, s in self._orphans.items() if o >= batch.end}
        self.position = batch.end
        self.inflight = None
        self._starts_over = 0
        self.facts.append(BatchLanded(batch, self.close_reason, self.now - began))
        yield from self._commit(batch.end, lease=not self.leaving)  # 5
        self._busy -= 1

    def _decide(self, runs: list[Run]) -> Steps:
        today = int(self.now // SECONDS_A_DAY)
        days = days_to_know(runs, today)
        self._expect_topic()
        while wanted := self._index.to_hydrate(self.number, days):
            asked = self._index.shared_version
            found = yield from self._until_done("hydrate", lambda w=tuple(wanted): Hydrate(self.topic_id, w))
            self._expect_topic()
            for scope, day, keys in found:
                if scope != SHARED or asked == self._index.shared_version:  # else it is asked again
                    self._index.hydrate(scope, day, keys)
        return decide(
            runs,
            partition=self.number,
            index=self._index,
            orphans=self._orphans,
            today=today,
            months_of=self._setup.months_of,
        )

    def _expect_topic(self) -> None:
        if self._index.shared_topic_id != self.topic_id:
            raise StartOver("topic_changed")  # another partition knows of a newer topic

    def _check_commit(self) -> Steps:
        """Idle. Does the group still stand where we left it?"""
        committed: Committed = yield from self._until_done("committed", ReadCommitted)
        if committed.offset != self._committed or committed.note is None:
            yield from self._commit(self.position, lease=False)

    def _release(self) -> Steps:
        """Tell the next owner that nothing is on its way, if that is so."""
        self.forget_buffer()
        self._index.forget(self.number)
        self._busy += 1
        clean = not self._still_unknown()
        if clean and self._announced:
            try:
                yield from self._commit(self.position, lease=False)
            except Fenced:
                clean = False
        self.facts.append(Released(clean))

    # The steps' common ground.

    def _until_done(
        self, step: str, make: Callable[..., Effect], *, leased: bool = False, repeat: bool = True
    ) -> Steps:
        """Have an effect done, waiting out outages. A write (`leased`) is made with the deadline of a living lease,
        and once the lease is over nobody repeats it: then the partition starts over."""
        attempt = 0
        while True:
            unknown_before = self._unknown_until
            if leased:
                yield from self._lease()
                self._unknown_until = self.lease_until
            try:
                result = yield (make(self.lease_until) if leased else make())
                self._unknown_until = unknown_before
                return result
            except Retryable as error:
                attempt += 1
                pause = self._backoff(attempt)
                self.facts.append(Retried(step, error.cause, str(error), pause))
                lease_left = self.lease_until - self._setup.timing.renew_below - self.now
                if leased and (not repeat or pause > lease_left):
                    raise StartOver("lease_over") from error
                yield Sleep(self.now + pause)

    def _lease(self) -> Steps:
        while self.lease_until - self.now < self._setup.timing.renew_below:
            yield from self._commit(self.position, lease=True)

    def _commit(self, offset: int, *, lease: bool) -> Steps:
        """Commit, and with it renew the lease or give it up.

        An unanswered commit may still be applied later, so until there is an answer only the very same one is
        sent again: a different one could be overtaken.
        """
        until = self._still_unknown()
        if lease:
            until = max(until, int(self.now + self._setup.timing.lease))
        # Whoever reads this commit waits for its deadline and no longer: from now on we hold no lease beyond it.
        self.lease_until = min(self.lease_until, until)
        self._announced = until
        note = Note(topic_id=self.topic_id, group=self._setup.group, pass_=self._pass, deadline=until)
        self._busy += 1
        self.commit_open = True
        try:
            yield from self._until_done("commit", lambda: Commit(offset, note))
        finally:
            self.commit_open = False
        self._busy -= 1
        self._committed = offset
        self.lease_until = until
        self.facts.append(LeaseHeld(until))

    def _still_unknown(self) -> int:
        """Until when a write whose outcome we don't know may still be accepted; 0 when none can."""
        if self.now >= self._unknown_until + self._setup.timing.margin:
            self._unknown_until = 0
        return self._unknown_until

    def _backoff(self, attempt: int) -> float:
        pause: float = min(BACKOFF_MAX, BACKOFF_FIRST * 2 ** (attempt - 1))
        return pause * self._setup.jitter()

    def _token(self, batch: Batch, month: int) -> str:
        s = self._setup
        return "/".join(
            (s.cluster_id, self.topic_id, s.group, str(self._pass), str(self.number),
             f"{batch.first}-{batch.end}", str(month), batch.digest)
        )  # fmt: skip

    def _ledger_row(self, batch: Batch) -> LedgerRow:
        return LedgerRow(
            topic_id=self.topic_id,
            partition=self.number,
            group=self._setup.group,
            number=self._pass,
            first=batch.first,
            last=batch.end - 1,
            min_timestamp=batch.min_timestamp,
            max_timestamp=batch.max_timestamp,
            inserted=batch.inserted,
            duplicates=batch.duplicates,
            rejected=batch.rejected,
            ignored=batch.ignored,
            expired=batch.expired,
            missing=batch.missing,
        )
