"""Kafka and ClickHouse from their official images, where a Docker daemon answers."""

from __future__ import annotations

import os
import socket
import time
from typing import Any, Self
from urllib.parse import urlsplit

from tests.servers import cache
from tests.servers.base import Server, Unavailable
from tests.servers.clickhouse import ClickHouse
from tests.servers.kafka import PROPERTIES, VERSION, Kafka
from tests.servers.process import free_port

KAFKA_IMAGE = os.environ.get("ZKP2P_TEST_KAFKA_IMAGE", f"apache/kafka:{VERSION}")
CLICKHOUSE_IMAGE = os.environ.get("ZKP2P_TEST_CLICKHOUSE_IMAGE", "clickhouse/clickhouse-server:26.7")


def need_daemon() -> None:
    """Raises Unavailable, within seconds, unless something listens where a Docker daemon would."""
    where = urlsplit(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    try:
        if where.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(3)
                probe.connect(where.path)
        else:
            socket.create_connection((where.hostname or "localhost", where.port or 2375), timeout=3).close()
    except OSError as error:
        raise Unavailable(f"no Docker daemon answers ({error.strerror or error})") from None


def need_image(image: str) -> None:
    """Raises Unavailable unless a daemon answers and has the image, and the one that cleans up, or can pull them."""
    from testcontainers.core.config import testcontainers_config

    _need(image)
    if not testcontainers_config.ryuk_disabled:
        _need(testcontainers_config.ryuk_image)


def _need(image: str) -> None:
    import docker
    from docker.errors import DockerException, ImageNotFound

    need_daemon()
    try:
        client = docker.from_env(timeout=5)
    except (DockerException, OSError) as error:
        raise Unavailable(f"the Docker daemon can't be used: {error}") from None
    try:
        try:
            client.images.get(image)
        except ImageNotFound:
            with cache.locked("docker-pull"):
                cache.say(f"{image}: pulling, once ...")
                client.api.timeout = 600
                client.images.pull(image)
    except (DockerException, OSError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Unavailable(f"the image {image} is not here and can't be pulled: {first}") from None
    finally:
        client.close()


def docker_host() -> str:
    """Where published ports are reached."""
    from testcontainers.core.docker_client import DockerClient

    host = DockerClient().host()
    return "127.0.0.1" if host == "localhost" else host


class DockerServer(Server):
    """A `Server` that is a container with a fixed port, so that it comes back where it was."""

    start_seconds = 120.0

    def __init__(self, image: str, port: int, inner_port: int, environment: dict[str, str]) -> None:
        from testcontainers.core.container import DockerContainer

        self._container: Any = DockerContainer(image).with_bind_ports(inner_port, port)
        for name, value in environment.items():
            self._container.with_env(name, value)
        self._created = False

    def answers(self) -> bool:
        raise NotImplementedError

    @property
    def _wrapped(self) -> Any:
        return self._container.get_wrapped_container()

    def start(self) -> Self:
        if self._created:
            self._wrapped.start()
        else:
            self._created = True
            self._container.start()
        deadline = time.monotonic() + self.start_seconds
        while not self.answers():
            if time.monotonic() > deadline or not self.running:
                log = self._wrapped.logs(tail=20).decode(errors="replace")
                raise Unavailable(f"{self.name} in Docker did not come up; its log ends with:\n{log}")
            time.sleep(0.1)
        return self

    def stop(self) -> None:
        self._wrapped.stop(timeout=20)

    def kill(self) -> None:
        self._wrapped.kill()
        self._wrapped.wait(timeout=20)

    def pause(self) -> None:
        self._wrapped.pause()

    def resume(self) -> None:
        self._wrapped.unpause()

    def close(self) -> None:
        if self._created:
            self._created = False
            self._container.stop(force=True, delete_volume=True)

    @property
    def running(self) -> bool:
        if not self._created:
            return False
        self._wrapped.reload()
        return bool(self._wrapped.status in ("running", "paused"))

    @property
    def pid(self) -> int:
        self._wrapped.reload()
        return int(self._wrapped.attrs["State"]["Pid"])


class DockerKafka(Kafka, DockerServer):
    """The same broker settings as `KafkaServer`."""

    answers = Kafka.answers

    def __init__(self) -> None:
        need_image(KAFKA_IMAGE)
        port, host = free_port(), docker_host()
        self.bootstrap = f"{host}:{port}"
        properties = {
            **PROPERTIES,
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": "1@localhost:9093",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listeners": f"PLAINTEXT://:{port},CONTROLLER://:9093",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        }
        environment = {f"KAFKA_{key.upper().replace('.', '_')}": value for key, value in properties.items()}
        super().__init__(KAFKA_IMAGE, port, port, {**environment, "KAFKA_HEAP_OPTS": "-Xmx384m -Xms64m"})


class DockerClickHouse(ClickHouse, DockerServer):
    """The default user without a password, UTC."""

    def __init__(self) -> None:
        need_image(CLICKHOUSE_IMAGE)
        port = free_port()
        self.url = f"http://{docker_host()}:{port}"
        super().__init__(CLICKHOUSE_IMAGE, port, 8123, {"CLICKHOUSE_SKIP_USER_SETUP": "1", "TZ": "UTC"})

    def answers(self) -> bool:
        try:
            return self.query("SELECT 1") == "1\n"
        except (OSError, ValueError):
            return False
