"""RFC 3339 timestamps, strictly: one at a time, and a column of them at once.

A timestamp here is `YYYY-MM-DDTHH:MM:SS[.digits](Z|+HH:MM|-HH:MM)`, in capitals and ASCII digits. Arrow's own
cast also takes a space for the T, no seconds, no colon in the offset; so do most parsers.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from consumer.core.batch import I64, SECONDS_A_DAY

_U8 = npt.NDArray[np.uint8]
_Bools = npt.NDArray[np.bool_]

_DATE_TIME = "dddd-dd-ddTdd:dd:dd"
_HOUR_MINUTE = r"(?:[01]\d|2[0-3]):[0-5]\d"
_RFC3339 = re.compile(rf"\d{{4}}-\d\d-\d\dT{_HOUR_MINUTE}:[0-5]\d(?:\.\d+)?(?:Z|[+-]{_HOUR_MINUTE})", re.ASCII)
_LEAP_SECOND = re.compile(r"[^T]+T\d\d:\d\d:60")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse(text: str) -> int | str:
    """Seconds since 1970 UTC, rounded down; or what is wrong, in words to follow "timestamp ...".

    Wrong is anything that is not exactly the form above, or no such time.
    """
    if _RFC3339.fullmatch(text) is None:
        if _LEAP_SECOND.match(text):
            return "has a leap second (60), which a DateTime can't hold"
        return "is no RFC 3339 date-time with seconds and a zone, such as 2026-11-23T17:00:00.123Z"
    try:
        since = datetime.fromisoformat(text) - _EPOCH
    except ValueError:
        return "is no day of the calendar"
    return since.days * SECONDS_A_DAY + since.seconds


def fraction(text: str) -> str:
    """The digits after the point of a text that `parse` took, as they were written."""
    return text[len(_DATE_TIME) :].lstrip(".").rstrip("Z").partition("+")[0].partition("-")[0]


# The column parser works on the bytes of an Arrow string array, a group of equally long texts at a time:
# subtracting the lowest allowed character of each place and comparing with the span of allowed ones checks
# a whole group in two passes, and leaves the digits' values behind.

_FIRST_YEAR, _LAST_YEAR = 1969, 2107
_MONTHS = [(year, month) for year in range(_FIRST_YEAR, _LAST_YEAR + 1) for month in range(1, 13)]
_MONTH_START = np.array([date(year, month, 1).toordinal() - _EPOCH.toordinal() for year, month in _MONTHS], np.int64)
_MONTH_DAYS = np.append(np.diff(_MONTH_START), 31)
_LENGTH_MAX = len(_DATE_TIME) + len(".123456789") + len("+00:00")


def parse_column(texts: pa.StringArray) -> tuple[I64, _Bools]:
    """Milliseconds since 1970 of each text, rounded down, and where they are known to be right.

    Where the second array is False the text is bad or merely unusual: ask `parse`. `texts` has no nulls.
    """
    count = len(texts)
    ms = np.zeros(count, np.int64)
    known = np.zeros(count, np.bool_)
    if count == 0:
        return ms, known
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + count + 1]
    data = np.frombuffer(texts.buffers()[2], np.uint8)
    lengths = np.diff(offsets)
    if lengths[0] == lengths[-1] and (lengths == lengths[0]).all():
        if len(_DATE_TIME) < lengths[0] <= _LENGTH_MAX:
            return _parse_block(data[offsets[0] : offsets[-1]].reshape(count, lengths[0]))
        return ms, known
    for length in np.unique(lengths):
        if len(_DATE_TIME) < length <= _LENGTH_MAX:
            rows = np.flatnonzero(lengths == length)
            ms[rows], known[rows] = _parse_block(data[offsets[rows, None] + np.arange(length)])
    return ms, known


def _parse_block(block: _U8) -> tuple[I64, _Bools]:
    """Equally long texts, one a row."""
    utc = block[:, -1] == ord("Z")
    if utc.all():
        return _parse_alike(block, "Z")
    ms = np.zeros(len(block), np.int64)
    known = np.zeros(len(block), np.bool_)
    for rows, zone in ((utc, "Z"), (~utc, "+dd:dd")):
        if rows.any():
            ms[rows], known[rows] = _parse_alike(block[rows], zone)
    return ms, known


def _parse_alike(block: _U8, zone: str) -> tuple[I64, _Bools]:
    """Equally long texts with the same form of zone."""
    length = block.shape[1]
    digits = length - len(_DATE_TIME) - len(zone) - 1
    if digits < -1 or digits == 0:
        return np.zeros(len(block), np.int64), np.zeros(len(block), np.bool_)
    lowest, span = _template(digits, zone)
    place = block.T.copy()  # so that each place's bytes lie side by side
    place -= lowest
    inside = place <= span
    known = np.ones(len(block), np.bool_) if inside.all() else inside.all(axis=0)

    def two(at: int) -> _U8:
        pair: _U8 = place[at] * np.uint8(10) + place[at + 1]
        return pair

    hour, minute, second, day = two(11), two(14), two(17), two(8)
    known &= (hour <= 23) & (minute <= 59) & (second <= 59)
    month = two(5) - np.uint8(1)
    known &= month <= 11
    at = (two(0).astype(np.int64) * 100 + two(2) - _FIRST_YEAR) * 12 + month
    known &= (at >= 0) & (at < len(_MONTHS))
    at[~known] = 0
    known &= (day >= 1) & (day <= _MONTH_DAYS[at])
    seconds = (_MONTH_START[at] + day - 1) * SECONDS_A_DAY + hour * np.int64(3600) + minute * np.int64(60) + second
    if zone != "Z":
        east, hours, minutes = place[length - 6], two(length - 5), two(length - 2)
        known &= (east != 1) & (hours <= 23) & (minutes <= 59)
        seconds -= (hours * np.int64(60) + minutes) * np.where(east == 0, 60, -60)
    ms = seconds * 1000
    for number, weight in zip(range(digits), (100, 10, 1), strict=False):
        ms += place[len(_DATE_TIME) + 1 + number] * np.int64(weight)
    return ms, known


@lru_cache(maxsize=64)
def _template(digits: int, zone: str) -> tuple[_U8, _U8]:
    """Lowest allowed character of each place, and how many more are allowed above it, as columns.

    The sign's place allows `+`, `,` and `-`; the comma is for the caller to refuse.
    """
    form = _DATE_TIME + ("." + "d" * digits if digits > 0 else "") + zone
    lowest = np.frombuffer(form.replace("d", "0").encode(), np.uint8)
    span = np.array([9 if place == "d" else 2 if place == "+" else 0 for place in form], np.uint8)
    return lowest[:, None], span[:, None]
