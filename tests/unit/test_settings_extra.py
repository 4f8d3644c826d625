"""KAFKA__EXTRA: what it takes, what it refuses and why."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer

from consumer.core.errors import UsageError
from consumer.settings import load
from consumer.settings.extra import OWNED, RESERVED, is_secret, masked
from consumer.settings.load import variables


def extra(properties: object, **env: str) -> dict[str, str]:
    value = properties if isinstance(properties, str) else orjson.dumps(properties).decode()
    return load(
        None, {"ZKP2P_KAFKA__EXTRA": value, **{f"ZKP2P_{name}": text for name, text in env.items()}}
    ).kafka.extra


def refused(properties: object, **env: str) -> str:
    with pytest.raises(UsageError) as caught:
        extra(properties, **env)
    assert str(caught.value).startswith("ZKP2P_KAFKA__EXTRA")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_values_become_what_librdkafka_reads() -> None:
    taken = extra({"client.rack": "a", "session.timeout.ms": 6000, "log.connection.close": False, "check.crcs": True})
    assert taken == {
        "client.rack": "a",
        "session.timeout.ms": "6000",
        "log.connection.close": "false",
        "check.crcs": "true",
    }
    Producer(taken)


def test_in_a_file_the_json_text_does_too(tmp_path: Path) -> None:
    path = tmp_path / "zkp2p.toml"
    path.write_text("""[kafka]\nextra = '{"session.timeout.ms": 6000}'\n""")
    assert load(path, {}).kafka.extra == {"session.timeout.ms": "6000"}
    path.write_text("[kafka]\nextra = 'session.timeout.ms=6000'\n")
    with pytest.raises(UsageError, match=r"kafka.extra in .* is not valid JSON .*: write an object"):
        load(path, {})


def test_toml_keys_mean_the_same_quoted_or_not(tmp_path: Path) -> None:
    path = tmp_path / "zkp2p.toml"
    path.write_text("[kafka.extra]\nsession.timeout.ms = 7000\n'client.rack' = 'a'\n")
    assert load(path, {}).kafka.extra == {"session.timeout.ms": "7000", "client.rack": "a"}


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_what_the_protocol_rests_on_is_refused_with_the_reason(name: str) -> None:
    assert f"{name} can't be set: {RESERVED[name]}" in refused({name: "x"})


@pytest.mark.parametrize("name", ["enable.auto.commit", "enable.auto.offset.store", "auto.offset.reset", "error_cb"])
def test_the_contract_names_these(name: str) -> None:
    assert f"{name} can't be set" in refused({name: "x"})


@pytest.mark.parametrize("name", sorted(OWNED))
def test_what_has_a_setting_of_its_own_is_sent_there(name: str) -> None:
    setting = f"ZKP2P_KAFKA__{OWNED[name]}"
    assert f"use {setting}" in refused({name: "x"})
    assert setting in variables()


@pytest.mark.parametrize("text", ["[", "[]", "1", '"x"', '{"a": [1]}', '{"a": null}'])
def test_it_is_an_object_of_scalars(text: str) -> None:
    refused(text)


@pytest.mark.parametrize(
    ("properties", "part"),
    [
        ({"session.timeout.ms": 5999}, "session.timeout.ms=5999 must be from 6000 to 1800000"),
        ({"session.timeout.ms": 1_800_001}, "session.timeout.ms"),
        ({"session.timeout.ms": "soon"}, "session.timeout.ms=soon must be a whole number"),
        ({"session.timeout.ms": 6000, "heartbeat.interval.ms": 3001}, "heartbeat.interval.ms=3001"),
        ({"max.poll.interval.ms": 30_000}, "max.poll.interval.ms=30000"),
        ({"session.timeout.ms": 400_000, "max.poll.interval.ms": 300_000}, "max.poll.interval.ms=300000"),
    ],
)
def test_deadlines_are_bounded(properties: dict[str, object], part: str) -> None:
    assert part in refused(properties)


def test_the_least_session_timeout_is_taken() -> None:
    settings = load(None, {"ZKP2P_KAFKA__EXTRA": '{"session.timeout.ms": 6000}'})
    assert settings.kafka.session_timeout_ms == 6000
    assert load(None, {}).kafka.session_timeout_ms == 45_000


def test_under_kip_848_the_broker_has_the_timeouts() -> None:
    assert "the broker decides it" in refused({"session.timeout.ms": 10_000}, KAFKA__GROUP_PROTOCOL="consumer")


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("ssl.key.password", True),
        ("ssl.keystore.password", True),
        ("ssl.key.pem", True),
        ("sasl.oauthbearer.client.secret", True),
        ("sasl.oauthbearer.config", True),
        ("sasl.oauthbearer.assertion.private.key.passphrase", True),
        ("ssl.key.location", False),
        ("sasl.oauthbearer.token.endpoint.url", False),
        ("client.id", False),
        ("session.timeout.ms", False),
    ],
)
def test_which_values_are_secret(name: str, secret: bool) -> None:
    assert is_secret(name) is secret
    assert ("hunter2" in masked({name: "hunter2"}).values()) is not secret


def test_no_value_of_it_is_shown_when_something_is_wrong() -> None:
    assert "hunter2" not in refused({"ssl.key.password": "hunter2", "group.id": "g"})
    assert "hunter2" not in refused('{"ssl.key.password": "hunter2"')
