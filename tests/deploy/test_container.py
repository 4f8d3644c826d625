"""deploy/Dockerfile and the compose file: what can be said of them without Docker."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from consumer.adapters.health import Health
from consumer.adapters.http import HttpServer
from consumer.adapters.metrics import Metrics
from consumer.settings import load
from tests.deploy import tools

DOCKERFILE = (tools.DEPLOY / "Dockerfile").read_text()
LOCK = tools.PROJECT / "requirements-dev.lock"


def compose() -> dict[str, Any]:
    found: dict[str, Any] = tools.yaml_document(tools.DEPLOY / "docker-compose.yml")
    return found


def stages() -> dict[str, str]:
    """Stage name: its instructions."""
    parts = re.split(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)
    return dict(zip(parts[2::3], parts[3::3], strict=True))


def test_the_image_is_built_as_promised() -> None:
    assert "# syntax=" not in DOCKERFILE, "it would be fetched from a registry"
    assert list(stages()) == ["build", "build-demo", "run", "demo"]
    for name in ("run", "demo"):
        assert "pip" not in re.sub(r"#.*", "", stages()[name])
        assert "apt-get" not in stages()[name]
    assert "USER 10001:10001" in stages()["run"]
    assert "chdb" not in stages()["build"] + stages()["run"]
    for command in re.findall(r"pip (?:--python \S+ )?install ([^&]*)", DOCKERFILE):
        assert "--require-hashes" in command or "/wheels/" in command, command


def test_the_demo_opens_the_port_that_its_health_check_asks() -> None:
    (port,) = re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)
    assert f"or {port})" in health_command()[2]
    assert re.search(rf"^ENV .*\bZKP2P_HTTP__PORT={port}$", stages()["demo"], re.MULTILINE)
    assert "--port" not in stages()["demo"], "it would be gone as soon as somebody gives the demo an option"


def test_everything_copied_into_the_build_is_let_in() -> None:
    allowed = {line[1:] for line in (tools.PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE) for source in line.split()
    }
    assert copied == allowed
    for source in copied:
        assert (tools.PROJECT / source).exists()


@pytest.mark.parametrize("names", re.findall(r'awk -v names="([^"]+)"', DOCKERFILE))
def test_the_subsets_of_the_lock_are_whole(names: str) -> None:
    """Every package named is found, with hashes, and nothing else is."""
    script = str(tools.DEPLOY / "lock-subset.awk")
    found = tools.run("awk", "-v", f"names={names}", "-f", script, str(LOCK))
    packages = re.findall(r"^([a-z0-9-]+)==", found, re.MULTILINE)
    assert packages == sorted(names.split())
    assert found.count("--hash=sha256:") >= len(packages)


def test_the_build_tools_are_those_of_the_project() -> None:
    project = tomllib.loads((tools.PROJECT / "pyproject.toml").read_text())
    assert project["build-system"]["build-backend"] == "hatchling.build"
    assert '"hatchling' in DOCKERFILE


def health_command() -> list[str]:
    found = re.search(r'HEALTHCHECK .*CMD \["python", "-c", \\\n  "(.*)"\]', DOCKERFILE)
    assert found
    return [sys.executable, "-c", found[1]]


def test_the_health_check_follows_livez() -> None:
    health = Health(60.0)
    with HttpServer("127.0.0.1", 0, Metrics().registry, health) as server:
        # A proxy in the environment must not be asked.
        environ = {**os.environ, "ZKP2P_HTTP__PORT": str(server.port), "http_proxy": "http://127.0.0.1:9"}
        assert subprocess.run(health_command(), env=environ, timeout=30, check=False).returncode == 0
        health.fatal("over")
        assert subprocess.run(health_command(), env=environ, timeout=30, check=False).returncode == 1
    done = subprocess.run(health_command(), env=environ, timeout=30, capture_output=True, check=False)
    assert done.returncode == 1, "nobody listens"


def test_compose_pins_official_images() -> None:
    images = {name: service["image"] for name, service in compose()["services"].items()}
    for name, image in images.items():
        if "build" in compose()["services"][name]:
            continue
        repository, _, tag = image.partition(":")
        assert repository in {"apache/kafka", "clickhouse/clickhouse-server", "prom/prometheus", "grafana/grafana"}
        assert re.search(r"\d", tag), f"{image} is not pinned"
    assert {images["migrate"], images["consumer"]} == {"zkp2p-consumer:local"}


def test_compose_mounts_files_that_exist_and_listens_on_loopback_only() -> None:
    document = compose()
    for name, service in document["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (tools.DEPLOY / source).exists(), volume
            else:
                assert source in document["volumes"]
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), (name, port)


def test_compose_gives_the_program_settings_it_accepts() -> None:
    for name in ("migrate", "consumer"):
        service = compose()["services"][name]
        environ = {
            key: value.replace("${CLICKHOUSE_PASSWORD:-local}", "local")
            for key, value in service["environment"].items()
        }
        settings = load(None, environ)
        assert settings.kafka.topic in str(compose()["services"]["topics"]["command"])
        assert settings.kafka.dlq_topic in str(compose()["services"]["topics"]["command"])
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


def test_compose_starts_things_in_order() -> None:
    services = compose()["services"]
    assert services["consumer"]["depends_on"] == {
        "topics": {"condition": "service_completed_successfully"},
        "migrate": {"condition": "service_completed_successfully"},
    }
    for service in services.values():
        for needed, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy":
                assert "test" in services[needed]["healthcheck"], needed


def test_a_dead_letter_always_fits() -> None:
    (command,) = compose()["services"]["topics"]["command"]
    source, letters = map(int, re.findall(r"max\.message\.bytes=(\d+)", command))
    assert letters == source + 64 * 1024


def test_grafana_finds_its_data_sources_and_boards() -> None:
    folder: Path = tools.DEPLOY / "grafana" / "provisioning"
    sources = tools.yaml_document(folder / "datasources" / "datasources.yml")["datasources"]
    assert {source["type"] for source in sources} == {"prometheus", "grafana-clickhouse-datasource"}
    services = compose()["services"]
    assert "grafana-clickhouse-datasource" in services["grafana"]["environment"]["GF_PLUGINS_PREINSTALL"]
    (provider,) = tools.yaml_document(folder / "dashboards" / "dashboards.yml")["providers"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in services["grafana"]["volumes"]
