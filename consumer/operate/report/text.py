"""Answers as tables, JSON and CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import TextIO

import orjson

from consumer import console
from consumer.operate.report.answers import Answer, Value

NO_VALUE = "-"


def as_table(answers: Sequence[Answer], out: TextIO) -> None:
    """For people: on a terminal with lines and colours, piped as plain columns."""
    for number, a in enumerate(answers):
        out.write(f"{'' if number == 0 else chr(10)}{a.title} (today and {a.days} days before, UTC)\n")
        rows = [[_shown(value) for value in row] for row in a.rows]
        if not rows:
            out.write("nothing yet\n")
        elif out is sys.stdout:
            console.table(a.columns, rows)
        else:
            widths = [max(map(len, column)) for column in zip(a.columns, *rows, strict=True)]
            for row in [a.columns, *rows]:
                cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
                out.write("  ".join(cells).rstrip() + "\n")


def as_json(answers: Sequence[Answer], out: TextIO) -> None:
    """One object: question -> rows, each an object by column name; null for a rate of nothing."""
    value = {a.question: [dict(zip(a.columns, map(_plain, row), strict=True)) for row in a.rows] for a in answers}
    out.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def as_csv(answers: Sequence[Answer], out: TextIO) -> None:
    """RFC 4180 with a header; of several questions each is preceded by a line `# question`."""
    writer = csv.writer(out, lineterminator="\n")
    for number, a in enumerate(answers):
        if len(answers) > 1:
            out.write(f"{'' if number == 0 else chr(10)}# {a.question}\n")
        writer.writerow(a.columns)
        writer.writerows([["" if value is None else value for value in row] for row in a.rows])


WRITERS: dict[str, Callable[[Sequence[Answer], TextIO], None]] = {"table": as_table, "json": as_json, "csv": as_csv}


def _shown(value: Value) -> str:
    return NO_VALUE if value is None else f"{value:,.2f}" if isinstance(value, Decimal) else str(value)


def _plain(value: Value) -> Value:
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, date) else value
