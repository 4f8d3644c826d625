"""What judging costs, in microseconds of CPU a record, next to msgspec's own typed decode of the same records.

    python -m tests.bench.bench_payment [--records 10000] [--rounds 30]

Every round measures everything once, so that a busy machine slows all of it alike; the best and the median round
are printed. Judging a valid record may cost at most 1.3 us more than decoding it, and a topic of garbage must run
at half the speed of a clean one at least.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
import uuid
from collections.abc import Callable

import msgspec

from consumer.core.contract import EVENT_TYPES, PAYMENT_METHODS, ClosedPayment
from consumer.core.payment import judge

KAFKA_MS = 1_795_453_200_000  # 2026-11-23T17:00:00Z
Records = list[bytes]


def valid_records(count: int) -> tuple[Records, Records]:
    """Values and keys."""
    rng = random.Random(17)
    values, keys = [], []
    for _ in range(count):
        event_type = rng.choice(EVENT_TYPES)
        session_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        usd = rng.randrange(500, 50_000)
        error = f',"errorMessage":"{rng.choice(("declined", "timed out"))}"' if event_type == "error" else ""
        time_of_day = f"{rng.randrange(17):02}:{rng.randrange(60):02}:{rng.randrange(60):02}.{rng.randrange(1000):03}"
        values.append(
            f'{{"event":"zkp2p_payment","userId":{rng.randrange(1, 1 << 24)},"timestamp":"2026-11-23T{time_of_day}Z",'
            f'"data":{{"eventType":"{event_type}","paymentMethod":"{rng.choice(PAYMENT_METHODS)}","usdAmount":{usd / 100},'
            f'"buzzAmount":{usd * 10},"sessionId":"{session_id}"{error}}}}}'.encode()
        )
        keys.append(session_id.encode())
    return values, keys


def replaced(values: Records, old: bytes, new: bytes) -> Records:
    return [value.replace(old, new, 1) for value in values]


def inputs(values: Records) -> dict[str, Records]:
    kinds = {
        "valid": values,
        "unknown fields": replaced(replaced(values, b'"data":{', b'"data":{"theme":"dark",'), b"{", b'{"v":2,'),
        "foreign events": replaced(values, b"zkp2p_payment", b"page_view"),
        "garbage: no JSON": [b"%d " % number + value[2:] for number, value in enumerate(values)],
        "garbage: cut short": [value[:-2] for value in values],
        "garbage: not UTF-8": replaced(values, b'"sessionId":"', b'"sessionId":"\xff'),
        "garbage: field missing": replaced(values, b'"userId"', b'"user"'),
        "garbage: wrong type": replaced(values, b'"userId":', b'"userId":1.5,"x":'),
        "garbage: not in enum": replaced(values, b'"paymentMethod":"', b'"paymentMethod":"x'),
        "garbage: bad timestamp": replaced(values, b"T", b" "),
        "garbage: broken cents": replaced(values, b',"buzzAmount"', b'001,"buzzAmount"'),
        "garbage: control character": replaced(values, b'"sessionId":"', b'"sessionId":"\\u0007'),
    }
    garbage = [records for name, records in kinds.items() if name.startswith("garbage")]
    kinds["garbage: all kinds"] = [garbage[at % len(garbage)][at] for at in range(len(values))]
    kinds["valid, 10% garbage"] = [
        kinds["garbage: all kinds"][at] if at % 10 == 0 else value for at, value in enumerate(values)
    ]
    return kinds


def measure(work: Callable[[], object], count: int) -> float:
    """Microseconds of this thread's CPU a record."""
    start = time.thread_time()
    work()
    return (time.thread_time() - start) / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    count = options.records
    values, keys = valid_records(count)
    decode = msgspec.json.Decoder(ClosedPayment).decode
    kafka_ms, offsets = [KAFKA_MS] * count, list(range(count))

    def judging(records: Records) -> Callable[[], object]:
        return lambda: judge(records, keys, kafka_ms, offsets)

    works: dict[str, Callable[[], object]] = {"msgspec typed decode": lambda: [decode(value) for value in values]}
    works |= {name: judging(records) for name, records in inputs(values).items()}
    rounds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.rounds):
        for name, work in works.items():
            rounds[name].append(measure(work, count))

    size = sum(map(len, values)) / count
    print(f"{count} records of {size:.0f} bytes, {options.rounds} rounds; microseconds a record: best, median")
    for name, figures in rounds.items():
        print(f"  {name:28} {min(figures):6.2f} {statistics.median(figures):6.2f}")
    decoding = rounds["msgspec typed decode"]
    more = [judged - decoded for judged, decoded in zip(rounds["valid"], decoding, strict=True)]
    best = min(rounds["valid"]) - min(decoding)
    print(
        f"judge() of a valid record costs {best:.2f} (median of rounds {statistics.median(more):.2f}) more than decoding it"
    )


if __name__ == "__main__":
    main()
