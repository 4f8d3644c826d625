"""`report`: the specification's questions, answered as table, json, csv or a page to show around."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TextIO, get_args

from clickhouse_connect.driver.client import Client

from consumer.core.errors import Stop
from consumer.operate.report import text
from consumer.operate.report.answers import Answer, answer

Question = Literal["attempts", "methods", "outcomes", "dashboard"]
Format = Literal["table", "json", "csv", "html"]
QUESTIONS: tuple[Question, ...] = get_args(Question)
DEFAULT_DAYS: dict[str, int] = {"attempts": 7, "methods": 30, "outcomes": 7, "dashboard": 30}
"""As the specification asks."""
PAGE_DAYS = 30


def run(
    client: Client,
    database: str,
    question: Question | None,
    *,
    days: int | None,
    format: Format,  # noqa: A002
    output: Path | None,
) -> None:
    """Write the report to a file, or to stdout. Raises `Stop` when the file can't be written."""
    if output is None:
        run_report(client, database, question, days, format, sys.stdout)
        return
    try:
        with output.open("w", encoding="utf-8", newline="") as out:
            run_report(client, database, question, days, format, out)
    except OSError as error:
        raise Stop(f"{output} can't be written: {error.strerror or error}") from None


def run_report(
    client: Client,
    database: str,
    question: Question | None,
    days: int | None,
    format: Format,  # noqa: A002
    out: TextIO,
) -> None:
    """Answer one question, or all when None, of today and the `days` UTC days before; None: as the question has it."""
    asked: Sequence[Question] = QUESTIONS if question is None else (question,)
    if format == "html":
        # Drawing takes a library that nothing else needs.
        from consumer.operate.report.page import page

        span = days or (PAGE_DAYS if question is None else DEFAULT_DAYS[question])
        out.write(page(answer(client, database, "totals", span), [answer(client, database, q, span) for q in asked]))
        return
    answers: list[Answer] = [answer(client, database, q, days or DEFAULT_DAYS[q]) for q in asked]
    text.WRITERS[format](answers, out)
