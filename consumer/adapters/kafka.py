"""What every Kafka client of ours shares: its settings, and what its errors mean to us.

`Retryable` for outages and unanswered requests, `Stop` for what waiting won't mend.
"""

from __future__ import annotations

import re
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException

from consumer.adapters.logs import librdkafka_level, librdkafka_logger
from consumer.core.errors import ConsumerError, Retryable, Stop, UsageError
from consumer.settings import KafkaSettings

REQUEST_SECONDS = 10.0
_RIGHTS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}
_NO_TLS = re.compile("certificate|wrong version|unknown protocol|record layer", re.IGNORECASE)
"""Handshakes that fail for ever; one that broke off because the broker went away is none of them."""
_NO_PROTOCOL = re.compile("ConsumerGroupHeartbeat.*not supported", re.IGNORECASE)
PROTOCOL_REMEDY = (
    "group_protocol=consumer needs Kafka 4.0 or newer with the feature group.version=1: else set"
    " ZKP2P_KAFKA__GROUP_PROTOCOL=classic"
)
_LOGIN = {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED}


def client_config(settings: KafkaSettings) -> dict[str, Any]:
    """The librdkafka properties that consumer, producer and admin share; KAFKA__EXTRA wins over our defaults."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": "zkp2p-consumer",
        "log.connection.close": False,
        # An admin client is a producer to librdkafka, and to name a topic would make it where the broker lets us.
        "allow.auto.create.topics": False,
        "reconnect.backoff.max.ms": 5_000,
        "log_level": librdkafka_level(),
    }
    named = {
        "security.protocol": settings.security_protocol,
        "sasl.mechanism": settings.sasl_mechanism,
        "sasl.username": settings.sasl_username,
        "sasl.password": settings.sasl_password.get_secret_value() if settings.sasl_password else None,
        "ssl.ca.location": settings.ssl_ca_location,
    }
    config |= {name: str(value) for name, value in named.items() if value}
    return config | settings.extra


def consumer_config(settings: KafkaSettings) -> dict[str, Any]:
    """Of the consumer that `run` polls. The first block is what the delivery protocol rests on."""
    protocol: dict[str, Any] = {
        "group.id": settings.group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",  # where to start is decided by the ledger, never by the client
        "isolation.level": "read_committed",  # the log's bounds are asked for at the same level
        "enable.partition.eof": True,  # tells the log's end behind transaction markers, which are no records
        "group.protocol": settings.group_protocol,
    }
    if settings.group_protocol == "classic":
        protocol["partition.assignment.strategy"] = "cooperative-sticky"
        protocol["session.timeout.ms"] = settings.session_timeout_ms
    if settings.instance_id:
        protocol["group.instance.id"] = settings.instance_id
    chosen: dict[str, Any] = {
        # So long a rebalance waits for a member that doesn't join, and all others stand still: five minutes by default.
        # A loop that has not polled for a minute is stuck anyway, says /livez.
        "max.poll.interval.ms": max(60_000, settings.session_timeout_ms),
        # With its default of a second, librdkafka sleeps whenever its queue is full: a third of the speed.
        "fetch.queue.backoff.ms": 5,
        "queued.min.messages": 200_000,
        "queued.max.messages.kbytes": 65_536,
        "fetch.message.max.bytes": 4 * 1024 * 1024,
        "fetch.wait.max.ms": 100,
        "topic.metadata.refresh.interval.ms": 30_000,
        "socket.timeout.ms": 10_000,
    }
    if settings.group_protocol == "classic":
        chosen["heartbeat.interval.ms"] = max(500, settings.session_timeout_ms // 15)
    return chosen | client_config(settings) | protocol


def check_properties(settings: KafkaSettings) -> None:
    """Raises UsageError for properties that the client does not take; asks no broker."""
    try:
        Consumer(consumer_config(settings), logger=librdkafka_logger()).close()
    except KafkaException as error:
        raise unusable(error) from None


def unusable(error: KafkaException) -> UsageError:
    """What a client said that could not be made at all."""
    text = error.args[0].str()
    if "ssl.ca.location" in text:
        return UsageError(f"ZKP2P_KAFKA__SSL_CA_LOCATION: {text}: name a file of PEM certificates")
    if "sasl.mechanism" in text:
        return UsageError(f"ZKP2P_KAFKA__SASL_MECHANISM: {text}: this build of the client has no other")
    return UsageError(f"ZKP2P_KAFKA__EXTRA: {text}: see librdkafka's list of properties")


def translate(error: KafkaError | KafkaException, what: str) -> ConsumerError:
    """Our error for librdkafka's. `what` says in a few words what was tried."""
    if isinstance(error, KafkaException):
        error = error.args[0]
        assert isinstance(error, KafkaError)
    code = error.code()
    text = f"Kafka: {what}: {error.str()}"
    if code in _LOGIN:
        return Stop(f"{text}: check KAFKA__SASL_MECHANISM, KAFKA__SASL_USERNAME and KAFKA__SASL_PASSWORD")
    if code in _RIGHTS:
        return Stop(f"{text}: grant the rights that docs/operations.md lists")
    if code == KafkaError._SSL and _NO_TLS.search(error.str()):
        return Stop(f"{text}: check KAFKA__SECURITY_PROTOCOL and KAFKA__SSL_CA_LOCATION")
    if _NO_PROTOCOL.search(error.str()):
        return Stop(f"{text}: {PROTOCOL_REMEDY}")
    if code == KafkaError._FATAL or error.fatal():
        return Stop(f"{text}: the client can't go on; restart the process")
    if code in (KafkaError._INVALID_ARG, KafkaError._UNKNOWN_PROTOCOL, KafkaError.OFFSET_METADATA_TOO_LARGE):
        return Stop(text)
    cause = "timeout" if code in (KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT) else error.name().lower()
    return Retryable(text, cause.lstrip("_"))
