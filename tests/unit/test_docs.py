"""What can be typed, set or scraped is documented; the names come from the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from consumer.adapters.metrics import Metrics
from consumer.cli import app
from consumer.program import PROGRAM
from consumer.settings.__main__ import page
from consumer.settings.load import variables

ROOT = Path(__file__).parents[2]


def commands(group: typer.Typer = app, prefix: str = "") -> Iterator[str]:
    for command in group.registered_commands:
        assert command.callback is not None
        yield f"{prefix}{command.name or command.callback.__name__}"
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from commands(inner.typer_instance, f"{prefix}{inner.name} ")


def metrics() -> list[str]:
    families = Metrics().registry.collect()
    return sorted({family.name for family in families if family.name.startswith("zkp2p_")})


@pytest.fixture(scope="module")
def documentation() -> str:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return "\n".join(path.read_text(encoding="utf-8") for path in pages if path.exists())


def test_the_settings_page_is_current() -> None:
    written = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m consumer.settings > docs/settings.md"


def test_the_names_are_found() -> None:
    assert {"run", "demo", "migrate", "check", "audit", "report", "config", "dlq replay"} <= set(commands())
    assert "zkp2p_consumer_partition_lag_seconds" in metrics()


@pytest.mark.parametrize("command", sorted(commands()))
def test_every_command_is_documented(command: str, documentation: str) -> None:
    assert re.search(rf"{PROGRAM} {command}\b|`{command}\b", documentation)


@pytest.mark.parametrize("variable", sorted(variables()))
def test_every_setting_is_documented(variable: str, documentation: str) -> None:
    assert re.search(rf"\b{variable}\b", documentation)


@pytest.mark.parametrize("metric", metrics())
def test_every_metric_is_documented(metric: str, documentation: str) -> None:
    assert re.search(rf"`(?:zkp2p_consumer_)?{metric.removeprefix('zkp2p_consumer_')}", documentation)
