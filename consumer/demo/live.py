"""What a person sees while the demo runs: figures that move in a terminal, a line now and then in a pipe."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.table import Table
from rich.text import Text

from consumer import console
from consumer.demo.producing import Producing
from consumer.demo.progress import Progress, Watch

REFRESHES_A_SECOND = 4
LINE_SECONDS = 5.0
BAR_CELLS = 28


class Live:
    """Shows for as long as the block runs; on stderr, since results belong to stdout."""

    def __init__(self, watch: Watch, producing: Producing, port: int) -> None:
        self._watch, self._producing, self._port = watch, producing, port
        self._began = time.monotonic()
        self._console = Console(stderr=True)
        self._rich: RichLive | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._rich = RichLive(
                console=self._console,
                get_renderable=self._page,
                refresh_per_second=REFRESHES_A_SECOND,
                transient=True,
            )
            self._rich.start()
        else:
            self._thread = threading.Thread(target=self._lines, name="live", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._rich is not None:
            self._rich.stop()
        if self._thread is not None:
            self._thread.join()

    def _lines(self) -> None:
        while not self._over.wait(LINE_SECONDS):
            produced, found = self._producing.truth.produced, self._watch.progress
            console.note(f"{self._seconds:4.0f} s: produced {produced:,}, landed {found.consumed:,}")

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _page(self) -> Group:
        produced, found = self._producing.truth.produced, self._watch.progress
        head = Text.assemble(
            ("zkp2p-consumer demo", "bold"),
            f"   {self._seconds:.0f} s   metrics on http://127.0.0.1:{self._port}/metrics   Ctrl-C ends it\n",
        )
        return Group(head, _spent(produced, found), Text(), _methods(found))


def _spent(produced: int, found: Progress) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("produced", "landed", "waiting", "inserted", "duplicates", "rejected", "ignored", "expired"):
        table.add_column(name, justify="right", style="bold cyan" if name in ("produced", "landed") else "")
    table.add_row(
        *(
            f"{count:,}"
            for count in (
                produced,
                found.consumed,
                max(0, produced - found.consumed),
                found.inserted,
                found.duplicates,
                found.rejected,
                found.ignored,
                found.expired,
            )
        )
    )
    return table


def _methods(found: Progress) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("method")
    table.add_column("attempts", justify="right")
    table.add_column("how they ended")
    for name, (attempts, successes, errors, abandons) in found.methods.items():
        bar = Text()
        for count, colour in ((successes, "green"), (errors, "red"), (abandons, "yellow")):
            bar.append("█" * round(BAR_CELLS * count / max(1, attempts)), colour)
        table.add_row(name, f"{attempts:,}", bar)
    legend = Text.assemble(("█ success  ", "green"), ("█ error  ", "red"), ("█ abandoned", "yellow"))
    table.add_row("", "", legend)
    return table
