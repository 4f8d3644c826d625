"""A topic's settings and our rights to it, as far as the broker tells us."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it exports them, but not by __all__
    AclOperation,
    ConfigResource,
    ResourceType,
)

from consumer.operate.kafka_log import KafkaLog

REQUEST_SECONDS = 8.0


class TopicView:
    """One topic. Questions that the broker refuses to answer have the harmless answer."""

    def __init__(self, log: KafkaLog, name: str) -> None:
        self._admin = log.admin
        self.name = name

    def settings(self) -> Mapping[str, str] | None:
        """None where we may not read them."""
        resource = ConfigResource(ResourceType.TOPIC, self.name)
        try:
            found = self._admin.describe_configs([resource], request_timeout=REQUEST_SECONDS)[resource].result()
        except KafkaException:
            return None
        return {name: str(entry.value) for name, entry in found.items()}

    def allows(self, operation: AclOperation) -> bool:
        """False only where the broker says so."""
        asked = TopicCollection([self.name])
        try:
            future = self._admin.describe_topics(
                asked, include_authorized_operations=True, request_timeout=REQUEST_SECONDS
            )
            granted = future[self.name].result().authorized_operations
        except KafkaException:
            return True
        return not granted or operation in granted
