"""The servers, the topic, the tables and the members of one run; all of it can be hurt."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.chaos.member import Member, until
from tests.servers import ClickHouseServer, KafkaServer, Proxy
from tests.servers.cache import CACHE
from tests.servers.process import _LEASH, _SPAWNER

TOPIC, GROUP, DATABASE = "zkp2p-events", "zkp2p-clickhouse", "civitai"
PARTITIONS = 4
SESSION_MS = 6000
BATCH = {"MAX_ROWS": "400", "MAX_SECONDS": "0.7"}


def _log_folder() -> Path:
    """For the members' logs and the truth; those of the last runs are kept."""
    home = CACHE / "chaos"
    home.mkdir(parents=True, exist_ok=True)
    for old in sorted(home.iterdir(), key=lambda folder: folder.stat().st_mtime)[:-8]:
        shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=home))


class Stage:
    """A Kafka and a ClickHouse of our own, and a proxy before each: one for Kafka, one a member for ClickHouse."""

    def __init__(self, *, session_ms: int = SESSION_MS) -> None:
        self.session_ms = session_ms
        self.kafka = KafkaServer(with_proxy=True)
        self.clickhouse = ClickHouseServer()
        self.members: list[Member] = []
        self.proxies: dict[str, Proxy] = {}
        """By member: its way to ClickHouse."""
        self.ghosts: list[tuple[Member, subprocess.Popen[bytes]]] = []
        """Processes whose place another has taken while they stood still."""
        self.folder = _log_folder()
        self._producer: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._end)
            stack.enter_context(self.kafka)
            stack.enter_context(self.clickhouse)
            self.kafka.create_topic(TOPIC, PARTITIONS)
            self.command("migrate")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # Members

    def add_member(self, name: str, *, static: bool, extra: Mapping[str, str] | None = None) -> Member:
        """Not started yet. `extra`: settings without their prefix."""
        proxy = self._stack.enter_context(Proxy(self.clickhouse.http_port))
        environment = self._environment(self.kafka.proxied_bootstrap, proxy.url)
        if static:
            environment["ZKP2P_KAFKA__INSTANCE_ID"] = name
        environment |= {f"ZKP2P_{key}": value for key, value in (extra or {}).items()}
        member = Member(name, self.folder, environment)
        self.members.append(member)
        self.proxies[name] = proxy
        return member

    def _environment(self, bootstrap: str, url: str) -> dict[str, str]:
        session = {"session.timeout.ms": self.session_ms}
        return {
            "ZKP2P_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
            "ZKP2P_KAFKA__TOPIC": TOPIC,
            "ZKP2P_KAFKA__DLQ_TOPIC": f"{TOPIC}.dlq",
            "ZKP2P_KAFKA__GROUP_ID": GROUP,
            "ZKP2P_KAFKA__EXTRA": orjson.dumps(session).decode(),
            "ZKP2P_CLICKHOUSE__URL": url,
            "ZKP2P_CLICKHOUSE__DATABASE": DATABASE,
            **{f"ZKP2P_BATCH__{name}": value for name, value in BATCH.items()},
        }

    def command(self, *words: str) -> str:
        """Runs another of the consumer's commands, straight at the servers; raises AssertionError where it fails."""
        environment = {**os.environ, **self._environment(self.kafka.bootstrap, self.clickhouse.url)}
        command = [sys.executable, "-m", "consumer", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise AssertionError(f"{' '.join(words)} exited {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    # Traffic

    @property
    def truth_file(self) -> Path:
        return self.folder / "truth.jsonl"

    def start_traffic(self, *, seed: int, per_second: float, events: int = 0, broken: float | None = None) -> None:
        command = [sys.executable, "-m", "tests.chaos.produce", "--bootstrap", self.kafka.bootstrap, "--topic", TOPIC]
        command += ["--seed", str(seed), "--per-second", str(per_second), "--events", str(events)]
        command += ["--truth", str(self.truth_file)]
        command += [] if broken is None else ["--broken", str(broken)]
        leash = [sys.executable, "-S", "-c", _LEASH, str(os.getpid())]
        self._producer = _SPAWNER.submit(
            subprocess.Popen, [*leash, *command], stdin=subprocess.DEVNULL, start_new_session=True
        ).result()

    def stop_traffic(self) -> None:
        """Returns when everything is acknowledged and the truth is written."""
        assert self._producer is not None
        self._producer.terminate()
        assert self._producer.wait(150) == 0, "the producer failed"

    def finish_traffic(self) -> None:
        """Returns when so many events as were asked for are acknowledged and the truth is written."""
        assert self._producer is not None
        assert self._producer.wait(150) == 0, "the producer failed"

    # Looking

    def rows(self, sql: str) -> list[list[object]]:
        answer = self.clickhouse.query(f"{sql} FORMAT JSONCompactEachRow")
        return [orjson.loads(line) for line in answer.splitlines()]

    def ledger_ends(self) -> dict[int, int]:
        """Partition: end of what the ledger has, 0 where it has nothing."""
        sql = f"SELECT kafkaPartition, toUInt32(max(lastOffset)) + 1 FROM {DATABASE}.zkp2p_ingest_ledger GROUP BY 1"
        found = {int(str(partition)): int(str(end)) for partition, end in self.rows(sql)}
        return {partition: found.get(partition, 0) for partition in range(PARTITIONS)}

    def committed(self) -> dict[int, tuple[int, str | None]]:
        return self.kafka.committed(GROUP, TOPIC)

    def caught_up(self) -> bool:
        """Committed offsets are the log's ends, in every partition that has records."""
        try:
            ends = {p: end for p, end in self.kafka.end_offsets(TOPIC).items() if end}
            return {p: offset for p, (offset, _) in self.committed().items() if offset} == ends
        except KafkaException:  # a broker that has just started
            return False

    def log_ends(self) -> dict[int, int]:
        """Partition: the offset that the next record will get. Waits for a broker that has just started."""
        found: dict[int, int] = {}

        def asked() -> bool:
            with contextlib.suppress(KafkaException):
                found.update(self.kafka.end_offsets(TOPIC))
            return bool(found)

        until("the broker tells the log's ends", asked, 60)
        return found

    def wait_until_caught_up(self, timeout_seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        try:
            until("lag 0", self.caught_up, timeout_seconds, 0.3, meanwhile)
        except TimeoutError:
            state = f"ends {self.kafka.end_offsets(TOPIC)}, committed {self.committed()}, ledger {self.ledger_ends()}"
            tails = "\n".join(member.tail() for member in self.members)
            raise AssertionError(f"lag is not 0 after {timeout_seconds:.0f} s: {state}\n{tails}") from None

    def wait_until_landing(
        self, partitions: Iterable[int], timeout_seconds: float, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        """Something that is produced from now on has landed, in each of the partitions."""
        ends = self.log_ends()

        def landed() -> bool:
            try:
                now = self.ledger_ends()
            except OSError:
                return False
            return all(now[p] > ends[p] for p in partitions)

        try:
            until("new records land", landed, timeout_seconds, meanwhile=meanwhile)
        except TimeoutError:
            tails = "\n".join(member.tail() for member in self.members)
            raise AssertionError(
                f"nothing new landed in {timeout_seconds:.0f} s: the log ended at {ends}\n{tails}"
            ) from None

    # An operator's doings

    def empty_deduplication_windows(self) -> None:
        """As an ALTER by hand does it: both tables forget every token."""
        for table in ("zkp2p_payment_events", "zkp2p_daily_summary_state"):
            name = f"{DATABASE}.{table}"
            create = self.clickhouse.query(f"SHOW CREATE TABLE {name} FORMAT TSVRaw")
            window = create.partition("non_replicated_deduplication_window = ")[2].split(",")[0].split()[0]
            for size in ("0", window):
                self.clickhouse.query(f"ALTER TABLE {name} MODIFY SETTING non_replicated_deduplication_window = {size}")

    def reset_offset(self, partition: int, offset: int) -> None:
        """As kafka-consumer-groups does it; the group must have no members, and a dead one counts for a session."""
        wanted = ConsumerGroupTopicPartitions(GROUP, [TopicPartition(TOPIC, partition, offset)])

        def done() -> bool:
            admin = self._fresh_admin()
            try:
                answer = admin.alter_consumer_group_offsets([wanted])[GROUP].result(10)
            except (KafkaException, TimeoutError):
                return False
            return all(place.error is None for place in answer.topic_partitions)

        until("the group takes a reset", done, self.session_ms / 1000 + 12, 0.3)

    def delete_group(self) -> None:
        """All its offsets go. It must have no members either. Raises TimeoutError where a member that died while a
        rebalance waited for others counts as alive: that lasts for `max.poll.interval.ms`."""

        def done() -> bool:
            admin = self._fresh_admin()
            try:
                admin.delete_consumer_groups([GROUP])[GROUP].result(10)
            except TimeoutError:
                return False
            except KafkaException as error:
                return bool(error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND)
            return True

        until("the group can be deleted", done, self.session_ms / 1000 + 12, 0.3)

    def _fresh_admin(self) -> AdminClient:
        """librdkafka's admin client may never hear from a coordinator again once the broker was killed under it.
        Keep it for as long as its answers are waited for."""
        return AdminClient({**self.kafka.client_config, "log_level": 0})

    def _end(self) -> None:
        if self._producer is not None and self._producer.poll() is None:
            self._producer.kill()
            self._producer.wait(20)
        for _, ghost in self.ghosts:
            if ghost.poll() is None:
                ghost.kill()
                ghost.wait(20)
        for member in self.members:
            member.close()
