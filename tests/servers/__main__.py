"""usage: python -m tests.servers prepare | run

prepare   fetches what the servers need, once, and says which way they will come
run       a Kafka and a ClickHouse for a person, until Ctrl-C
"""

from __future__ import annotations

import os
import signal
import sys

from tests.servers import Unavailable, clickhouse_server, kafka_server
from tests.servers.clickhouse import library
from tests.servers.docker import CLICKHOUSE_IMAGE, KAFKA_IMAGE, need_image
from tests.servers.kafka import distribution


def prepare() -> None:
    """Says for each server where it will come from. Never fails: the tests skip, or fail, by themselves."""
    for name, image, fetch in (("kafka", KAFKA_IMAGE, distribution), ("clickhouse", CLICKHOUSE_IMAGE, library)):
        address = os.environ.get(f"ZKP2P_TEST_{name.upper()}")
        if address:
            way = "the address in the environment"
        else:
            try:
                need_image(image)
                way = f"Docker, {image}"
            except Unavailable as no_docker:
                try:
                    fetch()
                    way = "a process of our own"
                except Unavailable as reason:
                    way = f"none. {no_docker}; {reason}"
        print(f"  {name}: {way}", flush=True)


def run() -> None:
    """Starts both and prints how to reach them."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with kafka_server() as kafka, clickhouse_server() as clickhouse:
        print(f"export ZKP2P_KAFKA__BOOTSTRAP_SERVERS={kafka.bootstrap} ZKP2P_CLICKHOUSE__URL={clickhouse.url}")
        print(f"export ZKP2P_TEST_KAFKA={kafka.bootstrap} ZKP2P_TEST_CLICKHOUSE={clickhouse.url}", flush=True)
        print("Ctrl-C ends them and their data.", file=sys.stderr)
        signal.pause()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare"]:
            prepare()
        case ["run"]:
            try:
                run()
            except KeyboardInterrupt:
                print(file=sys.stderr)
            except Unavailable as reason:
                sys.exit(f"error: {reason}")
        case _:
            sys.exit(__doc__)
