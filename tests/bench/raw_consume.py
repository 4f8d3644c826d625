"""Reads a topic as fast as confluent-kafka gives it, and does nothing with it: the limit of any Python consumer.

    python -m tests.bench.raw_consume BOOTSTRAP TOPIC

Prints JSON: rows, seconds and CPU seconds from the first record on, peak bytes.
"""

from __future__ import annotations

import json
import resource
import sys
import time

from confluent_kafka import Consumer, TopicPartition

from consumer.adapters.kafka import consumer_config
from consumer.settings import KafkaSettings


def main() -> None:
    bootstrap, topic = sys.argv[1:]
    # The consumer's own settings, so that what is above this limit is its own work.
    config = consumer_config(KafkaSettings(bootstrap_servers=bootstrap, topic=topic, group_id=f"raw-{time.time_ns()}"))
    client = Consumer({**config, "enable.partition.eof": False})
    places = [
        TopicPartition(topic, number) for number in client.list_topics(topic, timeout=10).topics[topic].partitions
    ]
    ends = [client.get_watermark_offsets(place, timeout=10)[1] for place in places]
    client.assign([TopicPartition(topic, place.partition, 0) for place in places])
    total, rows = sum(ends), 0
    while not rows:
        rows = len(client.consume(10_000, 0.1))
    first, began, cpu = rows, time.perf_counter(), time.process_time()
    while rows < total:
        rows += len(client.consume(10_000, 0.1))
    seconds, spent = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"rows": rows - first, "seconds": seconds, "cpu": spent, "peak": peak}))
    client.close()


if __name__ == "__main__":
    main()
