"""A Kafka broker: what tests do with one, and a process of our own out of Maven's jars (KRaft, one node)."""

from __future__ import annotations

import shutil
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]

from tests.servers import cache
from tests.servers.base import Foreign, Server
from tests.servers.process import ProcessServer, answers, free_port
from tests.servers.proxy import Proxy

VERSION = "4.1.0"

PROPERTIES: Mapping[str, str] = {
    "auto.create.topics.enable": "false",
    # Tests make members come, go and die; nobody should wait for that longer than it takes.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "100",
    # A record's timestamp may be anything, as in a replay of old data.
    "log.retention.ms": "-1",
    "log.message.timestamp.after.max.ms": "9223372036854775807",
    # One broker: nothing to replicate to, and few internal partitions make for a fast start.
    "offsets.topic.num.partitions": "3",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "3",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "controller.quorum.election.timeout.ms": "100",
    "controller.quorum.election.backoff.max.ms": "100",
    # A broker that was killed is let in again when its session is over.
    "broker.heartbeat.interval.ms": "200",
    "broker.session.timeout.ms": "3000",
    "log.cleaner.dedupe.buffer.size": "8388608",
    "log.cleaner.backoff.ms": "500",
}


def _until(what: str, condition: Callable[[], bool]) -> None:
    """Asks until the condition is true; a broker that has only just heard of a change may refuse at first."""
    deadline = time.monotonic() + 30
    last: KafkaException | None = None
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except KafkaException as error:
            last = error
        time.sleep(0.02)
    raise TimeoutError(f"not within 30 s: {what}") from last


class Kafka(Server):
    """What can be done with any broker, whoever runs it."""

    name = "kafka"
    bootstrap: str

    @property
    def client_config(self) -> dict[str, Any]:
        """librdkafka properties every client needs to get in; copy and add to it."""
        return {"bootstrap.servers": self.bootstrap}

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({**self.client_config, "log_level": 0})

    def answers(self) -> bool:
        try:
            return bool(self.admin.list_topics(timeout=5).brokers)
        except KafkaException:
            return False

    def create_topic(self, name: str, partitions: int = 4, config: Mapping[str, str] | None = None) -> None:
        """Creates it and returns when every partition can be written and read."""
        new = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
        self.admin.create_topics([new])[name].result(30)
        _until(f"{name} can be used", lambda: len(self.end_offsets(name)) == partitions)

    def delete_topic(self, name: str) -> None:
        """Deletes it and returns when the broker no longer knows it."""
        self.admin.delete_topics([name])[name].result(30)
        _until(f"{name} is gone", lambda: name not in self.admin.list_topics(timeout=30).topics)

    def topic_id(self, name: str) -> str:
        """The topic's UUID as Kafka prints it."""
        described = self.admin.describe_topics(TopicCollection([name]))[name].result(30)
        return str(described.topic_id)

    def partitions(self, topic: str) -> list[int]:
        return sorted(self.admin.list_topics(topic, timeout=30).topics[topic].partitions)

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Partition: the offset the next record will get."""
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = {TopicPartition(topic, p): latest for p in self.partitions(topic)}
        return {where.partition: answer.result(30).offset for where, answer in self.admin.list_offsets(asked).items()}

    def committed(self, group: str, topic: str) -> dict[int, tuple[int, str | None]]:
        """Partition: (offset, metadata) the group has committed; partitions without a commit are left out."""
        # By a consumer: the admin client aborts the process when the coordinator is another one, as it may be at first.
        consumer = Consumer({**self.client_config, "group.id": group, "enable.auto.commit": False, "log_level": 0})
        found: list[TopicPartition] = []

        def answered() -> bool:
            found[:] = consumer.committed([TopicPartition(topic, p) for p in self.partitions(topic)], timeout=30)
            return True

        try:
            _until(f"the committed offsets of {group} can be read", answered)
        finally:
            consumer.close()
        return {c.partition: (c.offset, c.metadata) for c in found if c.offset >= 0}

    def read(self, topic: str, timeout_seconds: float = 30.0) -> list[Message]:
        """Every record the topic holds now, each partition in order."""
        return sorted(self.stream(topic, timeout_seconds), key=lambda m: (m.partition(), m.offset()))

    def stream(self, topic: str, timeout_seconds: float = 30.0) -> Iterator[Message]:
        """What `read` gives, as it comes, for topics that are better not held in memory."""
        ends = {p: end for p, end in self.end_offsets(topic).items() if end}
        consumer = Consumer(
            {
                **self.client_config,
                "group.id": f"read-{uuid.uuid4()}",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        try:
            consumer.assign([TopicPartition(topic, p, 0) for p in ends])
            deadline = time.monotonic() + timeout_seconds
            while ends:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{topic} not read to its end in {timeout_seconds:.0f} s")
                for message in consumer.consume(1000, 0.2):
                    error = message.error()
                    if error is None:
                        yield message
                    elif error.code() == KafkaError._PARTITION_EOF:
                        ends.pop(message.partition() or 0, None)
                    else:
                        raise KafkaException(error)
        finally:
            consumer.close()


class ForeignKafka(Kafka, Foreign):
    """The broker at ZKP2P_TEST_KAFKA."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap


TEMPLATE = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:1
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1
log.dirs=formatted
"""


def distribution() -> Path:
    """A folder with Kafka's jars (libs/), fetched once through Maven, and a formatted storage to copy (formatted/)."""

    def fetch(folder: Path) -> None:
        cache.need("mvn")
        shutil.copy(Path(__file__).with_name("pom.xml"), folder / "pom.xml")
        copy = ("dependency:copy-dependencies", "-DoutputDirectory=libs")
        cache.run("mvn", "-q", "-B", *copy, cwd=folder, timeout_seconds=900)
        (folder / "template.properties").write_text(TEMPLATE)
        tool = ("java", "-cp", "libs/*", "kafka.tools.StorageTool", "format")
        cache.run(*tool, "-t", _uuid(), "-c", "template.properties", cwd=folder, timeout_seconds=120)

    cache.need("java")
    return cache.once(f"kafka-{VERSION}", f"Apache Kafka {VERSION} from Maven, 54 MB", fetch)


def _uuid() -> str:
    """As Kafka writes one: 22 characters; never with a dash in front, which would look like an option."""
    return "x" + urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]


class KafkaServer(Kafka, ProcessServer):
    """A broker of our own on 127.0.0.1.

    `properties` override `PROPERTIES` and what is set here, `{port}` in a value stands for the port: other
    listeners, TLS and SASL come in this way, with `client_properties` for those who connect.
    `with_proxy`: a second listener that advertises `proxy` (started and closed with the broker), so that
    clients that start from `proxied_bootstrap` stay behind it, with all they learn from metadata.
    `quick`: the JVM starts in half the time and never compiles its best code; False for benches.
    """

    def __init__(
        self,
        *,
        properties: Mapping[str, str] | None = None,
        client_properties: Mapping[str, Any] | None = None,
        with_proxy: bool = False,
        heap: str = "384m",
        quick: bool = True,
    ) -> None:
        self._distribution = distribution()
        super().__init__("kafka")
        self.port, self._controller_port, self._behind_port = free_port(), free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self._proxy = Proxy(self._behind_port) if with_proxy else None
        self._client_properties = dict(client_properties or {})
        # What the JVM unpacks and notes elsewhere would outlive a kill.
        temporary = self.folder / "tmp"
        temporary.mkdir()
        contained = (f"-Djava.io.tmpdir={temporary}", "-XX:-UsePerfData")
        self._java = [
            "java",
            f"-Xmx{heap}",
            "-Xms64m",
            "-XX:+UseSerialGC",
            "-Xshare:auto",
            *contained,
            "-cp",
            f"{self._distribution}/libs/*",
        ]
        if quick:
            self._java.insert(1, "-XX:TieredStopAtLevel=1")
        self._write_properties({**PROPERTIES, **self._listeners(), **(properties or {})})

    @property
    def client_config(self) -> dict[str, Any]:
        return {**super().client_config, **self._client_properties}

    @property
    def proxy(self) -> Proxy:
        if self._proxy is None:
            raise RuntimeError("this broker was made without with_proxy=True")
        return self._proxy

    @property
    def proxied_bootstrap(self) -> str:
        return self.proxy.address

    def start(self) -> Self:
        if not (self.folder / "data").exists():
            self._format()
        super().start()
        if self._proxy is not None and self._proxy.closed:
            self._proxy.start()
        return self

    def close(self) -> None:
        if self._proxy is not None:
            self._proxy.close()
        super().close()

    def command(self) -> Sequence[str]:
        return [*self._java, "kafka.Kafka", "server.properties"]

    def ready(self) -> bool:
        return answers(self.port) and self.answers()

    def _listeners(self) -> dict[str, str]:
        names = {"PLAINTEXT": self.port, "CONTROLLER": self._controller_port}
        advertised = {"PLAINTEXT": self.port}
        if self._proxy is not None:
            names["PROXIED"] = self._behind_port
            advertised["PROXIED"] = self._proxy.port
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in names.items()),
            "advertised.listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in advertised.items()),
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in names),
            "log.dirs": str(self.folder / "data"),
        }

    def _write_properties(self, properties: Mapping[str, str]) -> None:
        lines = [f"{key}={value.replace('{port}', str(self.port))}\n" for key, value in properties.items()]
        (self.folder / "server.properties").write_text("".join(lines))

    def _format(self) -> None:
        """Copies a formatted storage and gives it ids of its own: 2 s sooner there than the JVM's own tool."""
        data = self.folder / "data"
        shutil.copytree(self._distribution / "formatted", data)
        identity = {"version": "1", "node.id": "1", "cluster.id": _uuid(), "directory.id": _uuid()}
        (data / "meta.properties").write_text("".join(f"{key}={value}\n" for key, value in identity.items()))
