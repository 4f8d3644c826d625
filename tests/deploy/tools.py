"""Other people's programs that judge what is in deploy/: found on PATH or in .cache/, or fetched where that is cheap."""

from __future__ import annotations

import shutil
import subprocess
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Unavailable, cache
from tests.servers.process import ProcessServer, answers, free_port

PROJECT = cache.PROJECT
DEPLOY = PROJECT / "deploy"
CHART = DEPLOY / "helm" / "zkp2p-consumer"

PROMETHEUS_PACKAGE = "prometheus"
"""Debian's, about 20 MB: promtool and the server."""


def yaml_documents(path: Path) -> list[Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML reads the manifests")
    return [document for document in yaml.safe_load_all(path.read_text()) if document is not None]


def yaml_document(path: Path) -> Any:
    (document,) = yaml_documents(path)
    return document


def prometheus_program(name: str) -> str:
    """promtool or prometheus, from PATH or out of Debian's package; skips where neither can be had."""
    if found := shutil.which(name):
        return found

    def fetch(folder: Path) -> None:
        cache.need("apt-get", "dpkg")
        # Apt's own user can't write into the folder; as root apt says so and downloads all the same.
        cache.run("apt-get", "-q", "download", PROMETHEUS_PACKAGE, cwd=folder, timeout_seconds=300)
        (package,) = folder.glob("prometheus_*.deb")
        cache.run("dpkg", "-x", package.name, ".", cwd=folder, timeout_seconds=60)
        package.unlink()

    try:
        return str(cache.once("prometheus-debian", "Prometheus from Debian, 20 MB", fetch) / "usr" / "bin" / name)
    except Unavailable as reason:
        pytest.skip(f"no {name}: {reason}")


def go_program(name: str) -> str:
    """helm or kubeconform, from PATH or .cache/bin: too heavy to build in a test run, so skips where there is none."""
    for found in (shutil.which(name), str(cache.CACHE / "bin" / name)):
        if found and Path(found).exists():
            return found
    pytest.skip(f"no {name} on PATH or in .cache/bin (CONTRIBUTING.md tells how to build one)")


def run(*command: str, cwd: Path = PROJECT, expect: int = 0) -> str:
    """What it printed, both streams; fails the test with that where it ends otherwise than expected."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == expect, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


class PrometheusServer(ProcessServer):
    """A real Prometheus on 127.0.0.1; `config` is its configuration, written beside its data."""

    def __init__(self, config: str) -> None:
        self._program = prometheus_program("prometheus")
        super().__init__("prometheus")
        self.port = free_port()
        (self.folder / "prometheus.yml").write_text(config)

    def command(self) -> Sequence[str]:
        return [
            self._program,
            f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def ready(self) -> bool:
        if not answers(self.port):
            return False
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5):
                return True
        except OSError:  # 503 while it reads its storage
            return False
