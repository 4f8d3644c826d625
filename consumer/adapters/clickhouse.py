"""ClickHouse: how to reach it, and what its errors mean to us."""

from __future__ import annotations

import http.client
import logging
import re
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import pyarrow as pa
import urllib3
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from consumer.adapters.whole_answers import insist_on_whole_answers
from consumer.core.errors import ConsumerError, LeaseOver, Retryable, Stop
from consumer.settings import ClickHouseSettings

# What they warn of, they raise too. The driver, when it is imported, sets the level of "urllib3" itself.
for _name in ("clickhouse_connect", "urllib3.connectionpool"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

CONNECT_SECONDS = 5
READ_SECONDS = 60.0
TROUBLE = (ClickHouseError, OSError, urllib3.exceptions.HTTPError, http.client.HTTPException, pa.ArrowException)
"""All that a request may raise. The driver passes on what its libraries say of an answer that breaks off."""
LEASE_OVER = "zkp2p: lease over"
"""The message of our own `throwIf`: a write that reached the server after its deadline."""

_THROW_IF = 395
# Error codes by name in ClickHouse's src/Common/ErrorCodes.cpp.
_RETRYABLE = {
    3: "unexpected_end_of_file",
    24: "cannot_write",
    74: "cannot_read",
    75: "cannot_write",
    76: "cannot_open_file",
    96: "network",
    101: "unexpected_packet",
    159: "timeout",
    160: "too_slow",
    173: "cannot_allocate_memory",
    198: "dns",
    201: "quota_exceeded",
    202: "too_many_queries",
    203: "no_free_connection",
    209: "timeout",
    210: "network",
    216: "query_id_in_use",
    225: "no_keeper",
    236: "aborted",
    241: "memory_limit",
    242: "read_only_replica",
    243: "no_space",
    252: "too_many_parts",
    279: "all_connections_failed",
    285: "too_few_replicas",
    286: "unsatisfied_quorum",
    289: "stale_replicas",
    319: "unknown_insert_status",
    364: "no_replica",
    373: "session_locked",
    394: "cancelled",
    425: "system_error",
    439: "no_thread",
    473: "deadlock_avoided",
    499: "object_storage",
    568: "keeper",
    574: "distributed_too_many_pending",
    665: "no_connection",
    700: "user_sessions",
    735: "cancelled",
    745: "server_overloaded",
    999: "keeper",
    1000: "poco",
    1002: "unknown",
}
_REMEDIES = (
    ({10, 16, 36, 47, 60, 81}, "run `zkp2p-consumer migrate`"),
    ({192, 193, 194, 516}, "check CLICKHOUSE__USERNAME and CLICKHOUSE__PASSWORD"),
    ({164, 291, 497}, "give the user the grants in sql/grants"),
)


def connect(settings: ClickHouseSettings, /, *, database: str | None = "as settings", **options: Any) -> Client:
    """A client that several threads may share. `database=None` for before the database exists.

    `options` go to `clickhouse_connect.get_client`. Raises Retryable when the server can't be reached, Stop when
    it can but won't have us.
    """
    name = settings.database if database == "as settings" else database
    try:
        if settings.embedded:
            path = urlsplit(settings.url).path or "/"
            return clickhouse_connect.get_client(interface="chdb", path=path, database=name or "default", **options)
        return _connect_http(settings, name, options)
    except TROUBLE as error:
        raise translate(error, "connect", settings) from None
    except ImportError:
        raise Stop("the embedded engine is not installed: pip install 'zkp2p-consumer[embedded]'") from None


def _connect_http(settings: ClickHouseSettings, database: str | None, options: dict[str, Any]) -> Client:
    url = urlsplit(settings.url)
    secure = url.scheme == "https"
    read = options.pop("send_receive_timeout", READ_SECONDS)
    client = clickhouse_connect.get_client(
        host=url.hostname,
        port=url.port or (8443 if secure else 8123),
        interface=url.scheme,
        proxy_path=url.path.strip("/"),
        username=settings.username,
        password=settings.password.get_secret_value() if settings.password else "",
        database=database or "__default__",
        ca_cert=settings.ca_location,
        compress=False if settings.compression == "none" else settings.compression,
        connect_timeout=CONNECT_SECONDS,
        send_receive_timeout=read,
        query_retries=0,
        autogenerate_session_id=False,
        dedicated_pool=not secure,
        **options,
    )
    insist_on_whole_answers(client.http)  # type: ignore[attr-defined]
    client.http_retries = 0  # type: ignore[attr-defined]  # whether to try again is decided where the outcome is understood
    return client


def translate(error: Exception, what: str, settings: ClickHouseSettings) -> ConsumerError:
    """Our error for the driver's: worth waiting for, refused by our own deadline, or hopeless.

    A code that is in none of the lists stops the process: nobody knows what it means for the rows.
    """
    code = getattr(error, "code", None)
    text = one_line(str(error))
    if code is None and (found := re.search(r"\bCode: (\d+)", text)):
        code = int(found.group(1))
    if code is None:
        return _network_error(text, what, settings)
    if code == _THROW_IF and LEASE_OVER in text:
        return LeaseOver(f"ClickHouse: {what}: the lease was over")
    text = f"ClickHouse: {what}: {text}"
    if code in _RETRYABLE:
        return Retryable(text, _RETRYABLE[code])
    remedies = [remedy for codes, remedy in _REMEDIES if code in codes]
    return Stop(": ".join([text, *remedies]))


def _network_error(text: str, what: str, settings: ClickHouseSettings) -> ConsumerError:
    address = urlsplit(settings.url).netloc.rpartition("@")[2] or settings.url
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = "has expired" if "expired" in text else "is not signed by a CA we know"
        return Stop(f"ClickHouse at {address}: its certificate {reason}: check CLICKHOUSE__CA_LOCATION")
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
        return Stop(f"ClickHouse at {address} does not speak TLS on this port: check CLICKHOUSE__URL")
    timeout = "timed out" in text.lower() or "timeout" in text.lower()
    reason = "no answer in time" if timeout else "refused" if "refused" in text else "connection failed"
    return Retryable(
        f"ClickHouse at {address} can't be reached ({reason}): {what}", "timeout" if timeout else "network"
    )


def one_line(text: str, limit: int = 300) -> str:
    """An error's text without line breaks, server version and excess; never holds rows, which we send as Arrow."""
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"^.*?(?=Code: \d+)", "", text)
    text = re.sub(
        r"\(version [^)]*\)+|\(for url [^)]*\)|Stack trace:.*$|If you use ClickHouse Cloud.*$", "", text
    ).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"
