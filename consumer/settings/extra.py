"""KAFKA__EXTRA: any librdkafka property, but for those that another setting owns or that the protocol rests on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import orjson

from consumer.settings.rules import RuleError

MASK = "********"

SESSION_TIMEOUT_MS = 45_000
"""librdkafka's default of `session.timeout.ms`."""
SESSION_TIMEOUT_MS_MIN, SESSION_TIMEOUT_MS_MAX = 6_000, 1_800_000
"""Kafka's own bounds (`group.min.session.timeout.ms`, `group.max.session.timeout.ms`)."""

_OFFSETS = "an offset is committed only when its records have landed in ClickHouse, and by the consumer itself"
_RESET = "where to begin follows from the ledger, and a group without offsets begins at the log's start"
_PRODUCER = "a dead letter counts only when every in-sync replica has it, once"
_ASSIGNMENT = "the way partitions move decides how long a new owner must wait"
_TLS = "certificates and host names are always verified: SSL_CA_LOCATION names whom to trust"
_CALLBACK = "it is a hook of the program, not a property"

OWNED = {
    "bootstrap.servers": "BOOTSTRAP_SERVERS",
    "metadata.broker.list": "BOOTSTRAP_SERVERS",
    "group.id": "GROUP_ID",
    "group.instance.id": "INSTANCE_ID",
    "group.protocol": "GROUP_PROTOCOL",
    "security.protocol": "SECURITY_PROTOCOL",
    "sasl.mechanism": "SASL_MECHANISM",
    "sasl.mechanisms": "SASL_MECHANISM",
    "sasl.username": "SASL_USERNAME",
    "sasl.password": "SASL_PASSWORD",
    "ssl.ca.location": "SSL_CA_LOCATION",
}
RESERVED = {
    "enable.auto.commit": _OFFSETS,
    "auto.commit.enable": _OFFSETS,
    "auto.commit.interval.ms": _OFFSETS,
    "enable.auto.offset.store": _OFFSETS,
    "offset.store.method": _OFFSETS,
    "offset.store.path": _OFFSETS,
    "offset.store.sync.interval.ms": _OFFSETS,
    "auto.offset.reset": _RESET,
    "partition.assignment.strategy": _ASSIGNMENT,
    "group.remote.assignor": _ASSIGNMENT,
    "enable.ssl.certificate.verification": _TLS,
    "ssl.endpoint.identification.algorithm": _TLS,
    "isolation.level": "an event that its transaction took back must not become a row",
    "enable.partition.eof": "the consumer must be told where the log ends",
    "acks": _PRODUCER,
    "request.required.acks": _PRODUCER,
    "enable.idempotence": _PRODUCER,
    "transactional.id": _PRODUCER,
    "on_commit": _CALLBACK,
    "logger": _CALLBACK,
    "opaque": _CALLBACK,
    "default.topic.config": _CALLBACK,
    "default_topic_conf": _CALLBACK,
}

_SECRET = re.compile(
    r"password|passphrase|secret|credential|private|token|jaas|\.pem$|oauthbearer\.config$|kinit\.cmd$", re.IGNORECASE
)
_PLACE = re.compile(r"\.(location|file|path|url)$")


def is_secret(name: str) -> bool:
    """Whether a librdkafka property's value must never be shown. A file's place is no secret, what is in it is."""
    return bool(_SECRET.search(name)) and not _PLACE.search(name)


def masked(extra: Mapping[str, str]) -> dict[str, str]:
    """The properties as they may be shown."""
    return {name: MASK if is_secret(name) else value for name, value in extra.items()}


def parsed(value: object) -> object:
    """In a file the properties are a table, or the same JSON text as in the environment."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        remedy = 'write an object of librdkafka properties, for example {"client.rack": "a"}'
        raise RuleError(f"is not valid JSON ({' '.join(str(error).split())}): {remedy}") from None


def flatten(tree: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Properties as librdkafka wants them, all strings. TOML reads `session.timeout.ms = 6000` as nested tables:
    they mean the dotted name."""
    if not isinstance(tree, Mapping):
        raise RuleError('must be a JSON object of librdkafka properties, for example {"session.timeout.ms": 30000}')
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flatten(value, f"{name}.")
        elif isinstance(value, bool):
            yield name, "true" if value else "false"
        elif isinstance(value, str | int | float):
            yield name, str(value)
        else:
            raise RuleError(f"{name} must be a string, a number, true or false")


def check_properties(extra: Mapping[str, str], group_protocol: str) -> None:
    """Refuse what would break or contradict the consumer; each refusal says why and what to use instead."""
    for name in extra:
        if name in OWNED:
            raise RuleError(f"{name} has a setting of its own: use ZKP2P_KAFKA__{OWNED[name]}")
        if name in RESERVED or name.endswith("_cb"):
            raise RuleError(f"{name} can't be set: {RESERVED.get(name, _CALLBACK)}; remove it")
    if group_protocol == "consumer":
        for name in ("session.timeout.ms", "heartbeat.interval.ms"):
            if name in extra:
                remedy = f"the broker decides it under group_protocol=consumer (its group.consumer.{name}); remove it"
                raise RuleError(f"{name} can't be set: {remedy}")
    else:
        _check_timeouts(extra)


def session_timeout_ms(extra: Mapping[str, str]) -> int:
    """The session timeout that the classic protocol will use."""
    return int(extra.get("session.timeout.ms", SESSION_TIMEOUT_MS))


def _check_timeouts(extra: Mapping[str, str]) -> None:
    low, high = SESSION_TIMEOUT_MS_MIN, SESSION_TIMEOUT_MS_MAX
    session = _milliseconds(extra, "session.timeout.ms", SESSION_TIMEOUT_MS)
    if not low <= session <= high:
        raise RuleError(f"session.timeout.ms={session} must be from {low} to {high}: every deadline derives from it")
    heartbeat = _milliseconds(extra, "heartbeat.interval.ms", 3_000)
    if not 1 <= heartbeat <= session / 2:
        raise RuleError(
            f"heartbeat.interval.ms={heartbeat} must be from 1 to half of session.timeout.ms ({session // 2})"
        )
    poll = _milliseconds(extra, "max.poll.interval.ms", session)  # our own default is never less
    if poll < session:
        raise RuleError(f"max.poll.interval.ms={poll} must not be below session.timeout.ms ({session})")


def _milliseconds(extra: Mapping[str, str], name: str, default: int) -> int:
    text = extra.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise RuleError(f"{name}={text} must be a whole number of milliseconds")
    return int(text)
