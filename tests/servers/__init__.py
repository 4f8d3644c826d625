"""A real Kafka and a real ClickHouse for whoever asks: tests, faults on purpose, benches, a person.

    with kafka_server() as kafka, clickhouse_server() as clickhouse:
        kafka.create_topic("t", partitions=4)
        kafka.bootstrap, clickhouse.url

Each comes by the first way that works here (`tests.servers.ways`): an address in the environment, Docker,
or a process of our own from packages that are fetched once into .cache/. `KafkaServer` and
`ClickHouseServer` are those processes of our own; use them directly where a server has to be killed,
stalled or set up in a special way.
"""

from tests.servers.base import Server, Unavailable
from tests.servers.clickhouse import ClickHouse, ClickHouseServer
from tests.servers.kafka import Kafka, KafkaServer
from tests.servers.proxy import Proxy
from tests.servers.ways import clickhouse_server, kafka_server

__all__ = [
    "ClickHouse",
    "ClickHouseServer",
    "Kafka",
    "KafkaServer",
    "Proxy",
    "Server",
    "Unavailable",
    "clickhouse_server",
    "kafka_server",
]
