"""usage: python -m tests.bench [pipeline | dedupe | payment | garbage | dashboard] [options]

pipeline   from a topic into a table, against ClickHouse's own Kafka engine (the default)
dedupe     the duplicate index: sets, hashes, the life of a batch, reading days from ClickHouse
payment    what judging a record costs
garbage    a topic of broken records next to a clean one
dashboard  the report's queries and the audit over 30 million events
"""

from __future__ import annotations

import importlib
import sys

BENCHES = ("pipeline", "dedupe", "payment", "garbage", "dashboard")


def main() -> None:
    arguments = sys.argv[1:]
    if arguments in (["-h"], ["--help"]):
        print(__doc__)
        return
    name = arguments.pop(0) if arguments and arguments[0] in BENCHES else BENCHES[0]
    sys.argv[1:] = arguments
    importlib.import_module(f"tests.bench.bench_{name}").main()


if __name__ == "__main__":
    main()
