"""Every setting of the consumer, where it may come from, and what it may be.

    settings = load(Path("zkp2p.toml"))        # environment over file over defaults
    settings.kafka.topic                       # typed, checked, frozen
    settings.sources()["kafka.topic"]          # "default", "env ZKP2P_KAFKA__TOPIC", "file zkp2p.toml", ...

`Settings(...)` built by hand reads neither environment nor file, so that tests are hermetic.
"""

from __future__ import annotations

from consumer.settings.load import load
from consumer.settings.model import (
    BatchSettings,
    ClickHouseSettings,
    DedupSettings,
    HttpSettings,
    KafkaSettings,
    LogSettings,
    Settings,
)

__all__ = [
    "BatchSettings",
    "ClickHouseSettings",
    "DedupSettings",
    "HttpSettings",
    "KafkaSettings",
    "LogSettings",
    "Settings",
    "load",
]
