"""Who is in a group.

To a broker that doesn't know the protocol `consumer`, such as Kafka 3.9, the client says nothing, and nothing to us
(librdkafka 2.16): `Membership` notices that nobody comes in.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription  # type: ignore[attr-defined]

from consumer.adapters.kafka import PROTOCOL_REMEDY, REQUEST_SECONDS, client_config
from consumer.adapters.logs import librdkafka_logger
from consumer.core.errors import ConsumerError, Stop
from consumer.settings import KafkaSettings

LOOK_SECONDS = 20.0
"""Between two looks. Joining takes a second or two; only what two in a row have seen counts."""
DESCRIBE_SECONDS = 8.0
"""For one answer: a command that asks has thirty seconds in all."""

_MOVING = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
}
T = TypeVar("T")


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
        members = live_members(self._settings, self._settings.group_id)
        self._certain = bool(members)
        if members == 0 and self._nobody_before:
            group = self._settings.group_id
            raise Stop(f"Kafka: nobody comes into the group {group}, although the broker answers: {PROTOCOL_REMEDY}")
        self._nobody_before = members == 0


def describe_group(admin: AdminClient, name: str) -> ConsumerGroupDescription | None:
    """None where the broker knows no such group, or none that has ever had a member."""

    def ask() -> ConsumerGroupDescription:
        asked = admin.describe_consumer_groups(
            [name], include_authorized_operations=True, request_timeout=DESCRIBE_SECONDS
        )
        described: ConsumerGroupDescription = asked[name].result()
        return described

    try:
        found = patiently(ask)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return None
        raise
    return None if found.state == ConsumerGroupState.DEAD else found


def live_members(kafka: KafkaSettings, group: str) -> int | None:
    """How many members a group has now; None when the broker doesn't say."""
    try:
        found = describe_group(AdminClient(client_config(kafka), logger=librdkafka_logger()), group)
    except (KafkaException, ConsumerError):
        return None
    return len(found.members or []) if found else 0


def patiently(question: Callable[[], T]) -> T:
    """Asks again while the group's coordinator is moving or just starting, for as long as a request may take."""
    deadline = time.monotonic() + REQUEST_SECONDS
    while True:
        try:
            return question()
        except KafkaException as error:
            if error.args[0].code() not in _MOVING or time.monotonic() > deadline:
                raise
        time.sleep(0.2)
