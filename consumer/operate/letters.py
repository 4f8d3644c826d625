"""A dead letter as its headers describe it, and the choice among many."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from confluent_kafka import Message

from consumer.core import letter as names
from consumer.core.errors import UsageError
from consumer.settings.errors import nearest

Headers = list[tuple[str, str | bytes | None]]
_AGE = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Letter(NamedTuple):
    """Where a dead letter is, and what its headers say. Without its payload: a list of many stays small."""

    partition: int
    offset: int
    timestamp_ms: int
    """Of the dead letter itself: when the record was rejected. -1 when unknown."""
    code: str
    message: str
    source_topic: str
    source_partition: int | None
    source_offset: int | None
    source_timestamp_ms: int | None
    version: str
    replays: int

    @property
    def place(self) -> str:
        return f"{self.partition}/{self.offset}"

    @property
    def source(self) -> str:
        """Topic and place of the rejected record; `-` for a record that is no dead letter of ours."""
        return f"{self.source_topic} {self.source_partition}/{self.source_offset}" if self.source_topic else "-"


def read_letter(message: Message) -> Letter:
    """Whatever is in the topic comes out as a letter, foreign records too: with empty fields."""
    # The last of a name counts: a letter that failed twice has had its headers renewed.
    found = [(name, value) for name, value in own_headers(message) if name.startswith("zkp2p.")]
    headers = {name: (as_bytes(value) or b"").decode("utf-8", "replace") for name, value in found}
    return Letter(
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        timestamp_ms=message.timestamp()[1],
        code=headers.get(names.CODE, ""),
        message=headers.get(names.MESSAGE, ""),
        source_topic=headers.get(names.SOURCE_TOPIC, ""),
        source_partition=_number(headers.get(names.SOURCE_PARTITION)),
        source_offset=_number(headers.get(names.SOURCE_OFFSET)),
        source_timestamp_ms=_number(headers.get(names.SOURCE_TIMESTAMP)),
        version=headers.get(names.CONSUMER_VERSION, ""),
        replays=_number(headers.get(names.REPLAY_COUNT)) or 0,
    )


def own_headers(message: Message) -> Headers:
    """A message's headers as a list, whatever the client made of them."""
    found = message.headers() or []
    return list(found.items()) if isinstance(found, dict) else list(found)


def as_bytes(content: str | bytes | None) -> bytes | None:
    """The client's types allow text where it only ever hands out bytes."""
    return content.encode() if isinstance(content, str) else content


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= 18 else None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters: those that meet every condition that is set. Times are those of the dead letters."""

    codes: frozenset[str] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None
    partition: int | None = None

    @classmethod
    def of(cls, codes: list[str] | None, since: str | None, until: str | None, partition: int | None) -> Filter:
        """From the command line; UsageError where it can't be understood."""
        for code in codes or []:
            if code not in names.CODES:
                hint = nearest(code, names.CODES, f"codes are {', '.join(names.CODES)}")
                raise UsageError(f"--code {code}: there is no such code{hint}")
        return cls(frozenset(codes or []), _when("--since", since), _when("--until", until), partition)

    @property
    def chooses(self) -> bool:
        """Whether any condition is set."""
        return self != Filter()

    def matches(self, letter: Letter) -> bool:
        return (
            (not self.codes or letter.code in self.codes)
            and (self.since_ms is None or letter.timestamp_ms >= self.since_ms)
            and (self.until_ms is None or letter.timestamp_ms < self.until_ms)
            and (self.partition is None or letter.partition == self.partition)
        )


def place(text: str) -> tuple[int, int]:
    """`0/17` -> (0, 17)."""
    match = re.fullmatch(r"([0-9]{1,9})[/:]([0-9]{1,18})", text)
    if match is None:
        raise UsageError(f"{text!r} is no place of a dead letter: write PARTITION/OFFSET, for example 0/17")
    return int(match[1]), int(match[2])


def iso(milliseconds: int | None) -> str:
    """Milliseconds since 1970 as RFC 3339, or `-`."""
    if milliseconds is None or milliseconds < 0:
        return "-"
    try:
        time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return str(milliseconds)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _when(option: str, text: str | None) -> int | None:
    """A time, or an age counted back from now; milliseconds since 1970."""
    if text is None:
        return None
    if age := _AGE.fullmatch(text):
        try:
            time = datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
        except OverflowError:
            raise UsageError(f"{option} {text}: longer ago than there are dates") from None
    else:
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            remedy = "write a time such as 2026-11-23T17:00:00Z, or an age such as 90m, 2h, 7d"
            raise UsageError(f"{option} {text}: {remedy}") from None
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return round(time.timestamp() * 1000)
