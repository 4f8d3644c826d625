"""Little helpers for statements we build."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def quoted(text: str) -> str:
    """A string literal of ClickHouse's SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def cluster_named(cluster: str) -> str:
    """A cluster as ON CLUSTER and Distributed take it; a macro such as {cluster} is filled in by the server.

    >>> cluster_named("main"), cluster_named("eu-west"), cluster_named("{cluster}")
    ('main', "'eu-west'", "'{cluster}'")
    """
    return cluster if _PLAIN.fullmatch(cluster) else quoted(cluster)
