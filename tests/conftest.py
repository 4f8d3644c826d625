"""What every test may ask for: see tests/servers/fixtures.py."""

from __future__ import annotations

from tests.servers.fixtures import clickhouse, clickhouse_process, database, kafka, kafka_process, topic

__all__ = ["clickhouse", "clickhouse_process", "database", "kafka", "kafka_process", "topic"]
