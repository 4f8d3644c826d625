"""What a name, an address or a path may look like. Each rule raises `RuleError` with the remedy, never with the value."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_CLUSTER = re.compile(r"[A-Za-z0-9_.-]{1,128}|\{[A-Za-z0-9_]{1,126}\}")
_SERVER = re.compile(
    r"(?:(?:PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)://)?(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s,:/\[\]@]+)(?::(?P<port>[0-9]+))?",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class RuleError(ValueError):
    """A value breaks a rule. `field` names the setting at fault where a rule looks at several of a section."""

    def __init__(self, remedy: str, field: str = "") -> None:
        super().__init__(remedy)
        self.field = field


def kafka_name(value: str) -> str:
    """A topic or a static member's name: Kafka's own rule for both (org.apache.kafka.common.internals.Topic)."""
    if not _TOPIC.fullmatch(value) or value in {".", ".."}:
        raise RuleError("must be 1 to 249 of the characters a-z A-Z 0-9 . _ -")
    return value


def group_name(value: str) -> str:
    """A group may be called nearly anything; ours also goes into the metadata of every commit, which is bounded."""
    if not 1 <= len(value) <= 255 or _CONTROL.search(value) or value != value.strip():
        raise RuleError("must be 1 to 255 characters without control characters and without spaces at its ends")
    return value


def identifier(value: str) -> str:
    """A database: it is written into statements, so that nothing which needs quoting is let in."""
    if not _IDENTIFIER.fullmatch(value):
        raise RuleError("must be a plain identifier: letters, digits and _, no digit first, at most 128 characters")
    if value.lower() in {"system", "information_schema"}:
        raise RuleError("belongs to ClickHouse itself: choose a database of your own, such as civitai")
    return value


def cluster_name(value: str) -> str:
    """A cluster of remote_servers, or a server macro such as `{cluster}`."""
    if not _CLUSTER.fullmatch(value):
        raise RuleError("must be a cluster's name (letters, digits, _ . -) or a macro such as {cluster}")
    return value


def user_name(value: str) -> str:
    """Credentials travel in HTTP headers: a control character there would end the header."""
    if _CONTROL.search(value):
        raise RuleError("must not contain control characters")
    return value


def servers(value: str) -> str:
    """`host:port,host:port`; a scheme is let in only where librdkafka knows it."""
    found = [part.strip() for part in value.split(",") if part.strip()]
    if not found:
        raise RuleError("must be host:port, several separated by commas, for example localhost:9092")
    for server in found:
        match = _SERVER.fullmatch(server)
        if match is None:
            shown = "what it names" if "@" in server else repr(server)  # it may hold a password
            raise RuleError(f"{shown} is no address: write host:port, several separated by commas")
        port = match["port"]
        if port is not None and not 1 <= int(port) <= 65535:
            raise RuleError(f"{server!r} has no valid port: 1 to 65535")
    return ",".join(found)


def existing_path(value: str) -> str:
    """A file, or a folder of them, that must be there when the process starts."""
    if "\x00" in value or not Path(value).exists():
        raise RuleError("there is no such file: check the path and what is mounted there")
    return value


def host_name(value: str) -> str:
    """An address to listen on."""
    if not value.strip() or re.search(r"[\s/]", value):
        raise RuleError("must be an address to listen on, for example 0.0.0.0 or 127.0.0.1")
    return value


def clickhouse_url(value: str) -> str:
    """`http(s)://host[:port][/path of a proxy]`, or `chdb:///DIR` for the embedded engine, whose folder comes back absolute."""
    if value.startswith("chdb:"):
        return _embedded_url(value)
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError:
        raise RuleError("has no valid host or port: write http://host:8123 or https://host:8443") from None
    if url.scheme not in {"http", "https"}:
        raise RuleError("must start with http://, https:// or chdb:/// (the HTTP interface, not the native port 9000)")
    if not url.hostname or port == 0:
        raise RuleError("has no valid host or port: write http://host:8123 or https://host:8443")
    _refuse_extras(url)
    return f"{url.scheme}://{url.netloc}{url.path.rstrip('/')}"


def _refuse_extras(url: SplitResult) -> None:
    if "@" in url.netloc:
        raise RuleError(
            "must not hold credentials: use ZKP2P_CLICKHOUSE__USERNAME and ZKP2P_CLICKHOUSE__PASSWORD(_FILE)"
        )
    if url.query or url.fragment:
        raise RuleError("must end after host and port: the database is ZKP2P_CLICKHOUSE__DATABASE")


def _embedded_url(value: str) -> str:
    """`chdb:///DIR` is absolute, `chdb://DIR` (or `chdb://./DIR`) relative to the working folder."""
    prefix, path = value[:7], value[7:]
    if prefix != "chdb://" or not path.strip("/") or re.search(r"[?#]", path) or _CONTROL.search(path):
        raise RuleError("must name a folder: chdb:///var/lib/zkp2p (absolute) or chdb://./data (relative)")
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise RuleError("must name a folder, and that is a file")
    return f"chdb://{folder.absolute()}"
