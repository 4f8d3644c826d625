"""The questions as files of sql/reports, and what the server answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.client import Client

from consumer import resources
from consumer.operate.migrations import fill

Value = Any
"""int, float, Decimal, str, date, or None for a rate of nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one question got: the columns are the specification's, and rates of nothing are None."""

    question: str
    title: str
    """The question in words."""
    days: int
    columns: list[str]
    rows: list[tuple[Value, ...]]

    def column(self, name: str) -> list[Value]:
        at = self.columns.index(name)
        return [row[at] for row in self.rows]


def answer(client: Client, database: str, question: str, days: int) -> Answer:
    """Ask sql/reports/<question>.sql."""
    sql = resources.path(f"sql/reports/{question}.sql").read_text(encoding="utf-8")
    title = sql.splitlines()[0].strip("- ")
    everywhere = "_all" if _sharded(client, database) else ""
    sql = fill(sql.replace("{all}", everywhere).replace("{days}", str(days)), database)
    result = client.query(sql)
    columns = list(result.column_names) or _columns(client, sql)
    return Answer(question, title, days, columns, [tuple(row) for row in result.result_rows])


def _columns(client: Client, sql: str) -> list[str]:
    """An answer without rows comes without names."""
    return [str(row[0]) for row in client.query(f"DESCRIBE TABLE ({sql})").result_rows]


def _sharded(client: Client, database: str) -> bool:
    query = "SELECT count() FROM system.tables WHERE database = {d:String} AND name = 'zkp2p_daily_summary_state_all'"
    return bool(client.query(query, parameters={"d": database}).result_rows[0][0])
