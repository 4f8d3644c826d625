"""Notices that nobody comes into the group: to a broker that doesn't know the protocol `consumer`, such as Kafka 3.9,
the client says nothing, and nothing to us (librdkafka 2.16).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from consumer.adapters.kafka import PROTOCOL_REMEDY, REQUEST_SECONDS, client_config
from consumer.adapters.logs import librdkafka_logger
from consumer.core.errors import Stop
from consumer.settings import KafkaSettings

LOOK_SECONDS = 20.0
"""Between two looks. Joining takes a second or two; only what two in a row have seen counts."""


class Membership:
    """Of anybody in our group, from when we have asked to join it. Its calls block and belong to one thread."""

    def __init__(self, settings: KafkaSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._looked_at = clock()
        self._nobody_before = False
        # In the classic protocol a member is answered, if only with an error.
        self._certain = settings.group_protocol == "classic"

    def check(self) -> None:
        """Raises Stop when the broker answers and yet nobody has come in."""
        if self._certain or self._clock() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = self._clock()
        members = self._count()
        self._certain = bool(members)
        if members == 0 and self._nobody_before:
            group = self._settings.group_id
            raise Stop(f"Kafka: nobody comes into the group {group}, although the broker answers: {PROTOCOL_REMEDY}")
        self._nobody_before = members == 0

    def _count(self) -> int | None:
        """None while the broker doesn't tell."""
        admin = AdminClient(client_config(self._settings), logger=librdkafka_logger())
        group = self._settings.group_id
        try:
            found = admin.describe_consumer_groups([group], request_timeout=REQUEST_SECONDS)[group].result()
        except KafkaException as error:
            return 0 if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND else None
        return len(found.members or [])
