"""Which of librdkafka's errors are waited out and which end the process."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from consumer.adapters.kafka import translate
from consumer.core.errors import Retryable, Stop


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (KafkaError._FATAL, "restart the process"),
        (KafkaError.SASL_AUTHENTICATION_FAILED, "check KAFKA__SASL_MECHANISM"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "grant the rights"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "grant the rights"),
    ],
)
def test_what_waiting_does_not_mend_ends_the_process(code: int, remedy: str) -> None:
    found = translate(KafkaError(code), "poll")
    assert isinstance(found, Stop)
    assert remedy in str(found)


def test_an_error_that_the_client_calls_fatal_ends_the_process() -> None:
    found = translate(KafkaException(KafkaError(KafkaError.FENCED_INSTANCE_ID, "taken", fatal=True)), "poll")
    assert isinstance(found, Stop)
    assert "restart the process" in str(found)


def test_a_broker_that_does_not_know_the_groups_protocol_is_said_to_be_one() -> None:
    text = (
        "Fatal error: Broker: API version not supported: ConsumerGroupHeartbeat fatal error: API version not supported"
    )
    found = translate(KafkaError(KafkaError._FATAL, text), "poll")
    assert isinstance(found, Stop)
    assert "restart the process" not in str(found)
    assert "set ZKP2P_KAFKA__GROUP_PROTOCOL=classic" in str(found)


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (KafkaError._TIMED_OUT, "timeout"),
        (KafkaError.REQUEST_TIMED_OUT, "timeout"),
        (KafkaError._TRANSPORT, "transport"),
        (KafkaError._ALL_BROKERS_DOWN, "all_brokers_down"),
        (KafkaError.NOT_COORDINATOR, "not_coordinator"),
        (KafkaError.FENCED_INSTANCE_ID, "fenced_instance_id"),
    ],
)
def test_an_outage_is_waited_out(code: int, cause: str) -> None:
    found = translate(KafkaError(code), "poll")
    assert isinstance(found, Retryable)
    assert found.cause == cause


def test_a_handshake_that_broke_off_is_an_outage_and_a_wrong_certificate_is_none() -> None:
    broken = KafkaError(KafkaError._SSL, "SSL handshake failed: Disconnected: connection closed by peer")
    wrong = KafkaError(KafkaError._SSL, "SSL handshake failed: certificate verify failed")
    assert isinstance(translate(broken, "poll"), Retryable)
    assert isinstance(translate(wrong, "poll"), Stop)
