"""ZKP2P payment events from Kafka into ClickHouse, exactly once."""

__version__ = "0.1.0"
