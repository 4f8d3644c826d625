"""A ClickHouse client for the commands that people type: it gives up on a silent server, and its errors are ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from consumer.adapters.clickhouse import connect, translate
from consumer.core.errors import Retryable
from consumer.settings import ClickHouseSettings

SILENCE_SECONDS = 20
"""Without a word from the server. A query may take longer: the server reports its progress meanwhile."""


@contextmanager
def opened(
    settings: ClickHouseSettings, *, before_database: bool = False, silence_seconds: int = SILENCE_SECONDS
) -> Iterator[Client]:
    """Raises Retryable for an outage, naming the address and what to check, and Stop for what waiting won't mend.

    `before_database`: the database may not exist yet.
    """
    options: dict[str, Any] = {"send_receive_timeout": silence_seconds}
    if before_database:
        options["database"] = None
    try:
        client = connect(settings, **options)
    except Retryable as error:
        raise _with_remedy(error) from error
    try:
        yield client
    except ClickHouseError as error:
        found = translate(error, "query", settings)
        raise _with_remedy(found) if isinstance(found, Retryable) else found from error
    finally:
        client.close()


def _with_remedy(error: Retryable) -> Retryable:
    remedy = "check ZKP2P_CLICKHOUSE__URL, the network, and that the server is up"
    return Retryable(f"{error}: {remedy}", error.cause)
