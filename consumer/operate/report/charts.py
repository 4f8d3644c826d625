"""The page's charts, drawn by matplotlib as SVG that goes into the page as it is.

Static on purpose: no script, no font and no address is needed to see them, and they print. Text stays text.
"""

from __future__ import annotations

import io
import logging
import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where it may not keep its font list is no news

import matplotlib as mpl  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: E402
from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: E402

INK, QUIET, GRID = "#1f2937", "#6b7280", "#e5e7eb"
OUTCOMES = {"succeeded": "#16a34a", "error": "#dc2626", "abandoned": "#f59e0b", "no end reported": "#cbd5e1"}
ATTEMPTS, REVENUE = "#2563eb", "#7c3aed"
METHODS = {
    "venmo": "#2563eb",
    "cashapp": "#16a34a",
    "paypal": "#7c3aed",
    "zelle": "#db2777",
    "wise": "#65a30d",
    "revolut": "#0891b2",
}

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "zkp2p",  # the same data draw the same bytes
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": QUIET,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.bottom": False,
    "ytick.left": False,
    "legend.frameon": False,
}
WIDE, HALF = (10.4, 3.2), (5.0, 3.4)


def funnel(attempts: int, successes: int, errors: int, abandons: int) -> str:
    """From the attempts to how they ended."""
    ends = (successes, errors, abandons, max(attempts - successes - errors - abandons, 0))
    names = ["attempts", *OUTCOMES]
    values = [attempts, *ends]
    colours = [ATTEMPTS, *OUTCOMES.values()]
    fig, ax = _figure(HALF)
    ax.barh(names, values, color=colours, height=0.72)
    ax.invert_yaxis()
    ax.grid(visible=False)
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(False)
    ax.set_xlim(0, max(*values, 1) * 1.32)
    for at, value in enumerate(values):
        share = f"\u2002{value * 100 / attempts:.1f}%" if attempts and at else ""
        ax.text(value + max(*values, 1) * 0.015, at, f"{value:,}{share}", va="center")
    return _svg(fig, "From attempt to outcome")


def attempts_a_day(days: Sequence[date], attempts: Sequence[int], successes: Sequence[int] | None) -> str:
    """Bars, and a line where the successes are known."""
    fig, ax = _figure(WIDE)
    ax.bar(_numbers(days), attempts, color=ATTEMPTS, alpha=0.85, width=0.78, label="attempts")
    if successes is not None:
        ax.plot(
            _numbers(days), successes, color=OUTCOMES["succeeded"], linewidth=2.2, marker="o", ms=3.5, label="successes"
        )
    _days(ax, days)
    _counts(ax)
    _legend_on_top(ax, 2)
    return _svg(fig, "Attempts and successes a day")


def revenue_a_day(days: Sequence[date], usd: dict[str, dict[date, Decimal]]) -> str:
    """Successful payments in dollars, by method, stacked."""
    fig, ax = _figure(WIDE)
    bottom = [0.0] * len(days)
    for method, colour in METHODS.items():
        heights = [float(usd.get(method, {}).get(day, 0)) for day in days]
        if any(heights):
            ax.bar(_numbers(days), heights, bottom=bottom, color=colour, width=0.78, label=method)
            bottom = [a + b for a, b in zip(bottom, heights, strict=True)]
    _days(ax, days)
    ax.set_ylim(0, max(*bottom, 0.01) * 1.08)
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"${short(value)}"))
    _legend_on_top(ax, 6)
    return _svg(fig, "Revenue a day")


def share_of_methods(methods: Sequence[str], attempts: Sequence[int]) -> str:
    """A ring; methods nobody tried are left out."""
    tried = [(m, n) for m, n in zip(methods, attempts, strict=True) if n]
    total = sum(n for _, n in tried)
    fig, ax = _figure(HALF)
    # Room for letters wider than those the layout is measured with.
    fig.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.12))
    ax.grid(visible=False)
    wedges = ax.pie(
        [n for _, n in tried],
        colors=[METHODS.get(m, QUIET) for m, _ in tried],
        startangle=90,
        counterclock=False,
        radius=1.0,
        wedgeprops={"width": 0.42, "edgecolor": "white", "linewidth": 2},
    )[0]
    ax.text(0, 0, f"{short(total)}\nattempts", ha="center", va="center", fontsize=12)
    labels = [f"{m}  {n * 100 / total:.1f}%" for m, n in tried]
    ax.legend(
        wedges,
        labels,
        loc="center left",
        bbox_to_anchor=(1.06, 0.5),
        handlelength=1,
        handleheight=1,
        fontsize=9,
        frameon=False,
    )
    return _svg(fig, "Share of methods")


def outcome_rates(methods: Sequence[str], ends: Sequence[tuple[int, int, int, int]]) -> str:
    """Each method's outcomes as shares of all of them. A method whose ends outnumber its attempts (late ones) still
    fills its bar."""
    fig, ax = _figure((10.4, 0.75 + 0.48 * max(len(methods), 2)))
    left = [0.0] * len(methods)
    for at, (name, colour) in enumerate(OUTCOMES.items()):
        shares = [e[at] * 100 / sum(e) if sum(e) else 0.0 for e in ends]
        ax.barh(methods, shares, left=left, color=colour, height=0.66, label=name)
        for y, (x, share) in enumerate(zip(left, shares, strict=True)):
            if share >= 4:
                dark = name in {"no end reported", "abandoned"}
                ax.text(
                    x + share / 2,
                    y,
                    f"{share:.0f}%",
                    ha="center",
                    va="center",
                    fontsize=9,
                    color=INK if dark else "white",
                )
        left = [a + b for a, b in zip(left, shares, strict=True)]
    ax.invert_yaxis()
    ax.grid(visible=False)
    ax.set_xlim(0, 100)
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(False)
    _legend_on_top(ax, 4)
    return _svg(fig, "Outcomes a method")


def every_day(since: date, until: date) -> list[date]:
    return [since + timedelta(days=n) for n in range((until - since).days + 1)]


def by_method(dates: Sequence[date], methods: Sequence[str], values: Sequence[Any]) -> dict[str, dict[date, Any]]:
    found: defaultdict[str, dict[date, Any]] = defaultdict(dict)
    for day, method, value in zip(dates, methods, values, strict=True):
        found[method][day] = value
    return dict(found)


# The charts' common ground.


def _figure(size: tuple[float, float]) -> tuple[Figure, Axes]:
    with mpl.rc_context(STYLE):
        fig = Figure(figsize=size, layout="constrained")
        return fig, fig.add_subplot()


def _numbers(days: Sequence[date]) -> list[int]:
    return [day.toordinal() for day in days]


def _days(ax: Axes, days: Sequence[date]) -> None:
    step = max(1, -(-len(days) // 12))
    shown = list(days)[::-1][::step][::-1]  # the last day always has its name
    ax.set_xticks(_numbers(shown), [f"{day:%b} {day.day}" for day in shown])
    ax.set_xlim(days[0].toordinal() - 0.7, days[-1].toordinal() + 0.7)


def _counts(ax: Axes) -> None:
    ax.set_ylim(0, max(ax.get_ylim()[1] * 1.03, 1))
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def _legend_on_top(ax: Axes, columns: int) -> None:
    if ax.get_legend_handles_labels()[0]:
        ax.legend(
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=columns,
            handlelength=1,
            handleheight=1,
            fontsize=9,
            frameon=False,
        )


def short(value: float) -> str:
    """Three digits of a number.

    >>> short(950), short(1500), short(2_000_000)
    ('950', '1.5k', '2M')
    """
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _svg(fig: Figure, title: str) -> str:
    """The figure as an element of the page: no document around it, no metadata, no addresses; read out by its title."""
    out = io.StringIO()
    with mpl.rc_context(STYLE):
        fig.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(?::xlink)?="[^"]*"', "", svg).replace("xlink:href=", "href=")
    # Names inside the drawing must not meet those of the next one on the same page.
    prefix = re.sub(r"\W+", "-", title.lower())
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", svg, count=1)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
