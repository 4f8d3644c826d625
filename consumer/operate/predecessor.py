"""What a database set up by hand from the specification has in our way.

The specification makes zkp2p_daily_summary a materialized view of its own, a name we need for the exact summary. Its
figures are wrong in places but may reach back further than the events do, so it is neither dropped nor left running:
it is renamed, and fed no longer.
"""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from consumer.adapters.sql import cluster_named
from consumer.core.errors import Stop

SUMMARY = "zkp2p_daily_summary"
KEPT_AS = "zkp2p_daily_summary_before"


def set_aside(client: Client, database: str, cluster: str | None = None) -> list[tuple[str, str]]:
    """The statements, with why, that clear the name of the summary; [] where nothing is in the way.

    Each may be repeated after a crash, or be beaten to it by another migration. Raises `Stop` for a table that we
    know nothing about.
    """
    on_cluster = f" ON CLUSTER {cluster_named(cluster)}" if cluster else ""
    rows = client.query(
        "SELECT name, engine, as_select FROM system.tables WHERE database = {d:String} AND name IN ({a:String}, {b:String})",
        parameters={"d": database, "a": SUMMARY, "b": KEPT_AS},
    ).result_rows
    there = {name: (engine, select) for name, engine, select in rows}
    engine, select = there.get(SUMMARY, ("View", ""))
    steps = []
    if engine not in {"View", "MaterializedView"}:
        raise Stop(
            f"{database}.{SUMMARY} is a table ({engine}) that migrate doesn't know: rename it, then migrate again"
        )
    if engine == "MaterializedView":
        if KEPT_AS in there:
            raise Stop(f"{database} has both {SUMMARY} and {KEPT_AS}: rename or drop the second, then migrate again")
        why = f"The specification's own view stays, and keeps its figures under the name {KEPT_AS}"
        steps.append((f"RENAME TABLE {database}.{SUMMARY} TO {database}.{KEPT_AS}{on_cluster}", why))
    else:
        engine, select = there.get(KEPT_AS, ("", ""))
    if engine == "MaterializedView" and not select.rstrip().endswith("WHERE 0"):
        why = f"The specification's own view is fed no longer; DROP VIEW {database}.{KEPT_AS} when nobody needs them"
        stopped = f"ALTER TABLE {database}.{KEPT_AS}{on_cluster} MODIFY QUERY SELECT * FROM ({select}) WHERE 0"
        steps.append((stopped, why))
    return steps
