"""The answers as one page that needs nothing else: charts, figures and tables in one file."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from string import Template

from consumer import resources
from consumer.core.errors import Stop
from consumer.operate.report.answers import Answer, Value

try:
    from consumer.operate.report import charts
except ImportError as error:  # pragma: no cover - an installation without its dependencies
    raise Stop(f"charts need matplotlib ({error}): pip install matplotlib") from None


def page(totals: Answer, answers: Sequence[Answer]) -> str:
    """The page. `totals` is one row about all days; the charts drawn are those of the questions answered."""
    figures: Mapping[str, Value] = dict(zip(totals.columns, totals.rows[0], strict=True))
    since, today = figures["since"], figures["today"]
    template = Template(resources.path("sql/reports/page.html").read_text(encoding="utf-8"))
    return template.substitute(
        since=f"{since:%B} {since.day}, {since.year}",
        today=f"{today:%B} {today.day}, {today.year}",
        cards="".join(_card(name, value, note) for name, value, note in _figures(figures)),
        charts="".join(_charts(figures, answers)) or '<p class="empty">No events yet.</p>',
        tables="".join(_table(a) for a in answers),
    )


def _figures(f: Mapping[str, Value]) -> list[tuple[str, str, str]]:
    attempts, successes, buyers, usd = f["attempts"], f["successes"], f["unique_buyers"], Decimal(f["total_usd"] or 0)
    return [
        ("Attempts", f"{attempts:,}", "times somebody clicked the payment button"),
        ("Payments", f"{successes:,}", f"succeeded: {_percent(successes, attempts)} of the attempts"),
        ("Revenue", _dollars(usd), f"${usd / successes:,.2f} a payment" if successes else "no payment yet"),
        ("Buyers", f"{buyers:,}", "each counted once"),
        ("Errors", f"{f['errors']:,}", f"{_percent(f['errors'], attempts)} of the attempts"),
        ("Abandoned", f"{f['abandons']:,}", f"{_percent(f['abandons'], attempts)} of the attempts"),
    ]


def _dollars(usd: Decimal) -> str:
    return f"${usd:,.0f}" if usd >= 100_000 else f"${usd:,.2f}"


def _size(value: str) -> str:
    return "" if len(value) <= 9 else " long" if len(value) <= 12 else " longer"


def _percent(part: int, whole: int) -> str:
    return f"{part * 100 / whole:.1f}%" if whole else "–"


def _charts(figures: Mapping[str, Value], answers: Sequence[Answer]) -> list[str]:
    by_name = {a.question: a for a in answers if a.rows}
    drawn: list[str] = []
    days = charts.every_day(figures["since"], figures["today"])
    if by_name and "outcomes" in by_name:
        ends = (int(figures[name]) for name in ("attempts", "successes", "errors", "abandons"))
        drawn.append(_figure("From attempt to outcome", charts.funnel(*ends), "half"))
    if (a := by_name.get("methods")) and any(a.column("total_attempts")):
        drawn.append(
            _figure(
                "Share of methods",
                charts.share_of_methods(a.column("paymentMethod"), a.column("total_attempts")),
                "half",
            )
        )
    if a := by_name.get("attempts"):
        attempts = dict(zip(a.column("date"), a.column("total_attempts"), strict=True))
        drawn.append(_attempts(days, attempts, by_name.get("dashboard")))
    if a := by_name.get("outcomes"):
        columns = (a.column(n) for n in ("successes", "errors", "abandons", "no_end"))
        ends_of = list(zip(*columns, strict=True))
        drawn.append(_figure("Outcomes a method", charts.outcome_rates(a.column("paymentMethod"), ends_of), "wide"))
    if a := by_name.get("dashboard"):
        usd = charts.by_method(a.column("date"), a.column("paymentMethod"), a.column("total_usd"))
        drawn.append(_figure("Revenue a day", charts.revenue_a_day(days, usd), "wide"))
    return drawn


def _attempts(days: Sequence[date], attempts: Mapping[date, int], dashboard: Answer | None) -> str:
    successes: dict[date, int] = {}
    if dashboard:
        for day, count in zip(dashboard.column("date"), dashboard.column("successes"), strict=True):
            successes[day] = successes.get(day, 0) + count
    line = [successes.get(day, 0) for day in days] if dashboard else None
    return _figure("Attempts a day", charts.attempts_a_day(days, [attempts.get(day, 0) for day in days], line), "wide")


def _card(name: str, value: str, note: str) -> str:
    return (
        f'<div class="card"><h2>{name}</h2><p class="value{_size(value)}">{value}</p><p class="note">{note}</p></div>'
    )


def _figure(title: str, svg: str, size: str) -> str:
    return f'<figure class="{size}"><figcaption>{title}</figcaption>{svg}</figure>'


def _table(a: Answer) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in a.columns)
    body = "".join("<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row) + "</tr>" for row in a.rows)
    body = body or f'<tr><td colspan="{len(a.columns)}">nothing yet</td></tr>'
    is_open = " open" if len(a.rows) <= 40 else ""
    return (
        f"<details{is_open}><summary>{html.escape(a.title)}</summary>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></details>"
    )


def _cell(value: Value) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int | Decimal) else html.escape(str(value))
