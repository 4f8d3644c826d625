"""What people and scripts see of a command: results on stdout, one line for an error on stderr.

On a terminal: tables and colour. Piped: plain columns, one line a row however long it is, no colour.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

COLOURS = {"ok": "green", "warn": "yellow", "FAIL": "bold red"}


def say(line: str = "") -> None:
    """One line of the result."""
    sys.stdout.write(f"{line}\n")


def note(line: str) -> None:
    """One line about what is going on, beside the result."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def complain(message: str) -> None:
    """The one line that says why a command failed."""
    sys.stderr.write(f"error: {one_line(message)}\n")


def one_line(text: str) -> str:
    """Libraries like to explain themselves over several lines."""
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """Text from outside as it may be shown: what could steer a terminal is escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table, its cells made printable; the last column is as wide as it needs to be."""
    cells = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _terminal_table(headers, cells)
        return
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    for row in [headers, *cells]:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _terminal_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    # Slow to import, and only terminals need it.
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        grid.add_column(header, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row))
    Console().print(grid)


def status(word: str, name: str, detail: str) -> None:
    """One line of a check: `ok    broker  127.0.0.1:9092 ...`."""
    line = f"{name:<12} {one_line(detail)}"
    if not sys.stdout.isatty():
        say(f"{word:<4}  {line}")
        return
    from rich.console import Console
    from rich.text import Text

    Console(soft_wrap=True).print(Text(f"{word:<4}  ", style=COLOURS.get(word, "")).append(line, style="default"))
