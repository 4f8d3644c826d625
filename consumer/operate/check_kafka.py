"""What `check` asks Kafka: broker, topics and their settings, our rights, the group."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it exports them, but not by __all__
    AclOperation,
    AdminClient,
    NewTopic,
)

from consumer.adapters.dead_letter_topic import ROOM_BYTES
from consumer.adapters.kafka import PROTOCOL_REMEDY, consumer_config, translate
from consumer.adapters.logs import librdkafka_logger
from consumer.adapters.membership import describe_group
from consumer.operate import sample as samples
from consumer.operate.check import FAIL, OK, WARN, Finding
from consumer.operate.kafka_log import KafkaLog
from consumer.operate.kafka_topic import REQUEST_SECONDS, TopicView
from consumer.settings import KafkaSettings, Settings

JOIN_SECONDS = 8.0
MESSAGE_BYTES = 1_048_588
"""Kafka's default of `max.message.bytes`."""


def findings(settings: Settings, *, sample: int) -> Iterator[Finding]:
    """All about Kafka; ends with an error where the broker can't be reached."""
    kafka = settings.kafka
    with KafkaLog(kafka) as log:
        brokers, cluster = log.cluster(kafka.topic)
        count = f"{brokers} broker{'' if brokers == 1 else 's'}"
        yield Finding(OK, "broker", f"{log.servers}: {count}, cluster {cluster or 'without an id'}")
        topic = TopicView(log, kafka.topic)
        yield from _source(log, topic)
        yield from _dead_letters(log, topic, TopicView(log, kafka.dlq_topic))
        yield from _group(log, kafka)
        if kafka.group_protocol == "consumer" and log.partitions(kafka.topic):
            yield _joined(log.admin, kafka)
        if sample and log.partitions(kafka.topic):
            yield from samples.findings(log, kafka.topic, sample)


def _source(log: KafkaLog, topic: TopicView) -> Iterator[Finding]:
    partitions = log.partitions(topic.name)
    if not partitions:
        command = f"kafka-topics.sh --bootstrap-server {log.servers} --create --topic {topic.name} --partitions 4"
        yield Finding(FAIL, "topic", f"there is no topic {topic.name}: set ZKP2P_KAFKA__TOPIC, or create it: {command}")
        return
    held = sum(high - low for low, high in log.all_bounds(topic.name, partitions).values())
    yield Finding(OK, "topic", f"{topic.name}: {len(partitions)} partitions, {held} offsets held")
    if not topic.allows(AclOperation.READ):
        yield Finding(FAIL, "topic", f"no right to read {topic.name}: grant READ and DESCRIBE on it")
    settings = topic.settings()
    if settings is None:
        yield Finding(WARN, "topic", f"no right to see the settings of {topic.name}: grant DESCRIBE_CONFIGS on it")
        return
    if "compact" in settings.get("cleanup.policy", ""):
        remedy = "set cleanup.policy=delete"
        yield Finding(WARN, "topic", f"{topic.name} is compacted: records may vanish before they are read: {remedy}")
    if settings.get("message.timestamp.type") == "LogAppendTime":
        remedy = "set message.timestamp.type=CreateTime"
        yield Finding(WARN, "topic", f"{topic.name} stamps records on arrival: a replay gets a new time: {remedy}")


def _dead_letters(log: KafkaLog, source: TopicView, topic: TopicView) -> Iterator[Finding]:
    wanted = int((source.settings() or {}).get("max.message.bytes", MESSAGE_BYTES)) + ROOM_BYTES
    partitions = log.partitions(topic.name)
    if not partitions:
        yield _creatable(log, topic, max(1, len(log.partitions(source.name))), wanted)
        return
    if not topic.allows(AclOperation.WRITE):
        yield Finding(FAIL, "dead letters", f"no right to write {topic.name}: grant WRITE and DESCRIBE on it")
        return
    settings = topic.settings()
    if settings is None:
        yield Finding(WARN, "dead letters", f"no right to see the settings of {topic.name}: grant DESCRIBE_CONFIGS")
        return
    if "compact" in settings.get("cleanup.policy", ""):
        remedy = "set cleanup.policy=delete"
        yield Finding(FAIL, "dead letters", f"{topic.name} is compacted: it refuses or forgets dead letters: {remedy}")
        return
    size = int(settings.get("max.message.bytes", 0))
    if size < wanted:
        command = f"kafka-configs.sh --bootstrap-server {log.servers} --alter --topic {topic.name}"
        command += f" --add-config max.message.bytes={wanted}"
        yield Finding(FAIL, "dead letters", f"{topic.name} takes {size} bytes, {wanted} are needed: {command}")
        return
    yield Finding(OK, "dead letters", f"{topic.name}: {len(partitions)} partitions, records up to {size} bytes")


def _creatable(log: KafkaLog, topic: TopicView, partitions: int, size: int) -> Finding:
    """Asks the broker whether we could make the topic, without making it."""
    new = NewTopic(topic.name, partitions, config={"max.message.bytes": str(size)})
    try:
        asked = log.admin.create_topics([new], validate_only=True, request_timeout=REQUEST_SECONDS)
        asked[topic.name].result()
    except KafkaException as error:
        command = f"kafka-topics.sh --bootstrap-server {log.servers} --create --topic {topic.name}"
        command += f" --partitions {partitions} --config max.message.bytes={size}"
        reason = error.args[0].str()
        return Finding(FAIL, "dead letters", f"{topic.name} is missing and we can't make it ({reason}): {command}")
    return Finding(OK, "dead letters", f"{topic.name} is missing: the first dead letter will make it")


def _group(log: KafkaLog, kafka: KafkaSettings) -> Iterator[Finding]:
    try:
        group = describe_group(log.admin, kafka.group_id)
    except KafkaException as error:
        yield Finding(FAIL, "group", str(translate(error, f"look at group {kafka.group_id}")))
        return
    if group is None:
        yield Finding(OK, "group", f"{kafka.group_id}: nobody has joined it yet")
        return
    if group.authorized_operations and AclOperation.READ not in group.authorized_operations:
        yield Finding(FAIL, "group", f"no right to join {kafka.group_id}: grant READ on the group")
        return
    members = group.members or []
    yield Finding(OK, "group", f"{kafka.group_id}: {group.state.name.lower()}, {len(members)} members")
    foreign = {p.topic for m in members for p in m.assignment.topic_partitions} - {kafka.topic}
    if foreign:
        remedy = "give each its own ZKP2P_KAFKA__GROUP_ID"
        yield Finding(FAIL, "group", f"{kafka.group_id} also reads {', '.join(sorted(foreign))}: {remedy}")
    partitions = len(log.partitions(kafka.topic))
    if partitions and len(members) > partitions:
        yield Finding(WARN, "group", f"{len(members) - partitions} members are idle: there are {partitions} partitions")


def _joined(admin: AdminClient, kafka: KafkaSettings) -> Finding:
    """Whether the broker knows the protocol `consumer`, by joining a group of another name: nothing else tells."""
    group = f"{kafka.group_id}.check-{uuid.uuid4().hex[:8]}"
    came_in = threading.Event()
    probe = Consumer(consumer_config(kafka) | {"group.id": group}, logger=librdkafka_logger())
    try:
        probe.subscribe([kafka.topic], on_assign=lambda _consumer, _partitions: came_in.set())
        deadline = time.monotonic() + JOIN_SECONDS
        while not came_in.is_set():
            if time.monotonic() > deadline:
                return Finding(FAIL, "group", f"nobody comes into a group: {PROTOCOL_REMEDY}")
            for message in probe.consume(1, 0.1):
                error = message.error()
                if error is None or came_in.is_set():
                    continue
                if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                    return Finding(WARN, "group", f"no right to join {group}, to try it out: {PROTOCOL_REMEDY}")
                return Finding(FAIL, "group", str(translate(error, "join a group")))
    finally:
        probe.close()
    with suppress(KafkaException):  # the broker forgets an empty group by itself
        admin.delete_consumer_groups([group], request_timeout=REQUEST_SECONDS)[group].result()
    return Finding(OK, "group", "the broker knows group_protocol=consumer")
