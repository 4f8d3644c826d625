"""What our clients do and don't do to a broker: against the client library's own mock of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from consumer.adapters import dead_letters
from consumer.adapters.dead_letter_topic import DeadLetterTopic
from consumer.adapters.kafka import check_properties, consumer_config
from consumer.adapters.lookup import Lookup
from consumer.core.errors import UsageError
from consumer.settings import KafkaSettings


@pytest.fixture
def mock() -> tuple[str, Producer]:
    """A broker that makes every topic that somebody names, as Kafka does by default; and the client that holds it."""
    host = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = host.list_topics(timeout=30).brokers.values()
    return f"{broker.host}:{broker.port}", host


def test_to_look_for_a_topic_is_not_to_make_it(mock: tuple[str, Producer]) -> None:
    bootstrap, host = mock
    lookup = Lookup(KafkaSettings(bootstrap_servers=bootstrap, topic="events"), has_ids=False)
    for _ in range(2):
        lookup.identify()
    assert "events" not in host.list_topics(timeout=30).topics


def test_a_property_of_extra_wins_over_our_choice() -> None:
    settings = KafkaSettings(extra={"heartbeat.interval.ms": "1000", "fetch.wait.max.ms": "7"})
    config = consumer_config(settings)
    assert (config["heartbeat.interval.ms"], config["fetch.wait.max.ms"]) == ("1000", "7")
    assert consumer_config(KafkaSettings())["heartbeat.interval.ms"] == 3000


def test_a_property_of_extra_wins_over_our_choice_for_dead_letters_but_not_over_the_protocol(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(dead_letters, "find_or_make", lambda _settings: DeadLetterTopic("dlq", 1, 1000))

    def producer(config: dict[str, Any], **_: Any) -> Producer:
        made.append(config)
        return Producer({})

    monkeypatch.setattr(dead_letters, "Producer", producer)
    extra = {"compression.type": "zstd", "batch.size": "77", "delivery.timeout.ms": "1"}
    letters = dead_letters.DeadLetters(KafkaSettings(bootstrap_servers="127.0.0.1:9", extra=extra))
    letters.send(0, [])
    (config,) = made
    assert (config["compression.type"], config["batch.size"]) == ("zstd", "77")
    assert (config["acks"], config["enable.idempotence"], config["delivery.timeout.ms"]) == ("all", True, 30_000)


def test_what_the_client_refuses_is_said_with_the_setting(tmp_path: Path) -> None:
    no_certificate = tmp_path / "ca.pem"
    no_certificate.write_text("nothing")
    wrong = {
        "EXTRA: No such configuration property": KafkaSettings(extra={"no.such": "1"}),
        "EXTRA: Invalid value": KafkaSettings(extra={"socket.timeout.ms": "abc"}),
        "SSL_CA_LOCATION: ": KafkaSettings(security_protocol="SSL", ssl_ca_location=str(no_certificate)),
    }
    for said, settings in wrong.items():
        with pytest.raises(UsageError, match=said):
            check_properties(settings)
    check_properties(KafkaSettings(bootstrap_servers="127.0.0.1:9"))
