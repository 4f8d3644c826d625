"""The life of one partition in our hands, in the order in which it happens.

`Life.live` is a generator: it yields an effect and goes on when its answer is there. So the order of the code is
the order of events, and there is one place to read it: `_recover`, then `_land` for each batch, for ever.

    recover   topic, committed -> wait -> quiet -> what landed -> position -> mend -> close orphans -> seek
    land      hydrate, decide -> 1 lease -> 2 dead letters -> 3 insert -> 4 ledger -> 5 commit

Nothing here does I/O, owns a thread or reads a clock; `consumer.core.partition` feeds it.
"""

from __future__ import annotations

from consumer.core.batch import SECONDS_A_DAY, Batch, LedgerRow, Run
from consumer.core.buffer import Buffer
from consumer.core.decide import days_to_know, decide
from consumer.core.dedupe import SHARED, KeyIndex
from consumer.core.effects import (
    BatchLanded,
    Fill,
    Hydrate,
    Insert,
    Landed,
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
from consumer.core.errors import Fenced, LeaseOver, Stop
from consumer.core.position import Committed, Log, Place, locate, own_note
from consumer.core.recovery import beside_closed, closing_rows, days_to_mend, is_reread, unread_orphans
from consumer.core.tenure import Setup, StartOver, Steps, Tenure

QUIET_PAUSE, QUIET_SAY_SECONDS = 0.5, 5.0
LOOKS_AT_A_SHORT_LEDGER = 5
"""So often a ledger that ends before our commit is read again, for some seconds: a replica may be behind for a moment."""


class Leave(Exception):
    """Thrown into the life of a partition that is being taken away while nothing of it is landing."""


class Life(Tenure):
    """All that a partition knows and does, from assignment to release; what it may do when is its `Tenure`'s."""

    def __init__(self, number: int, setup: Setup, index: KeyIndex) -> None:
        super().__init__(number, setup)
        self._index = index
        self.buffer = Buffer(setup.limits)
        self.close_reason = ""
        self.log = Log("", 0, 0)
        self.next_offset = -1
        """Where the next record is expected."""
        self.reading = False
        """True while records are welcome: from a seek to the next recovery or the end."""
        self.inflight: Batch | None = None
        self.idle_since = 0.0

        self.leaving = False
        self._orphans: dict[int, int] = {}
        self._starts_over = 0

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
            yield from self._wait_until_quiet()
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

    def _wait_until_quiet(self) -> Steps:
        """Until no write of this partition runs any more, whoever began it."""
        said_at = float("-inf")
        while not (yield from self._until_done("quiet", Quiet)):
            if self.now >= said_at + QUIET_SAY_SECONDS:
                said_at = self.now
                text = "ClickHouse: a write of this partition's former owner is still running"
                self.facts.append(Retried("quiet", "still_running", text, QUIET_PAUSE))
            yield Sleep(self.now + QUIET_PAUSE)

    def _find_place(self, committed: Committed, landed: Landed) -> Steps:
        """Where to go on. A log that seems to end before our position is asked again: a broker that has just
        started may report an old end."""
        pauses = [2.0, 4.0, 8.0]
        while True:
            self.log = yield from self._until_done("log", ReadLog)
            orphan_topics = {orphan.topic_id for orphan in landed.orphans}
            place: Place = locate(committed, self._setup.group, landed.passes, self.log, orphan_topics)
            if place.lost:
                if self._starts_over < LOOKS_AT_A_SHORT_LEDGER:
                    raise StartOver("ledger_behind")
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
