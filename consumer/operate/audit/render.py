"""An audit's report for people: with colours and a table on a terminal, one plain line a fact when piped."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.table import Table

from consumer.operate.audit.values import AuditReport, Finding, Pass


def render(report: AuditReport, out: TextIO) -> None:
    """Write the passes, the notes, the findings and the verdict, in this order."""
    if out.isatty():
        _render_terminal(report, Console(file=out))
        return
    out.writelines(f"pass: {_pass_line(p)}\n" for p in report.passes)
    out.writelines(f"note: {note}\n" for note in report.notes)
    out.writelines(f"finding: {_finding_line(finding)}\n" for finding in report.findings)
    out.write(f"{verdict(report)}\n")


def verdict(report: AuditReport) -> str:
    """The last line, which says it all."""
    compared = f"{report.events:,} events and {sum(p.rows for p in report.passes):,} ledger rows since {report.since}"
    if report.clean:
        return f"audit: clean: nothing lost, nothing doubled among {compared} ({report.seconds:.1f} s)"
    mendable = sum(f.mendable for f in report.findings)
    repair = f", {mendable} of them mended by --repair" if mendable else ""
    return f"audit: {len(report.findings)} finding{'s' * (len(report.findings) != 1)}{repair}, among {compared} ({report.seconds:.1f} s)"


def _finding_line(finding: Finding) -> str:
    topic = f" [topic id {finding.topic_id}]" if finding.topic_id else ""
    return f"{finding.kind}: {finding.message}{topic}"


def _pass_line(p: Pass) -> str:
    return (
        f"partition {p.partition} {p.group} pass {p.number} offsets {p.first}-{p.end - 1}: inserted {p.inserted}"
        f" duplicates {p.duplicates} rejected {p.rejected} ignored {p.ignored} expired {p.expired} missing {p.missing}"
        f" in {p.rows} batches, {p.landed_first:%Y-%m-%d %H:%M} to {p.landed_last:%Y-%m-%d %H:%M} [topic id {p.topic_id}]"
    )


def _render_terminal(report: AuditReport, console: Console) -> None:
    table = Table(title="Passes: each reading of a partition by a group", title_justify="left", title_style="bold")
    for name in ("partition", "group", "pass"):
        table.add_column(name)
    for name in ("offsets", "inserted", "duplicates", "rejected", "ignored", "expired", "missing", "last batch UTC"):
        table.add_column(name, justify="right")
    for p in report.passes:
        counts = (p.inserted, p.duplicates, p.rejected, p.ignored, p.expired, p.missing)
        table.add_row(
            str(p.partition), p.group, str(p.number), f"{p.first:,}-{p.end - 1:,}",
            *(f"{count:,}" for count in counts), f"{p.landed_last:%Y-%m-%d %H:%M:%S}",
        )  # fmt: skip
    console.print(table)
    for note in report.notes:
        console.print(f"note: {note}", style="dim", markup=False, highlight=False, soft_wrap=True)
    for finding in report.findings:
        console.print(_finding_line(finding), style="red", markup=False, highlight=False, soft_wrap=True)
    style = "bold green" if report.clean else "bold red"
    console.print(verdict(report), style=style, markup=False, highlight=False, soft_wrap=True)
