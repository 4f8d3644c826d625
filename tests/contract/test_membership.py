"""A broker that doesn't know the protocol `consumer`: nobody may wait for ever and in silence."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any, cast

import pytest

from consumer.adapters.group import Group
from consumer.adapters.membership import LOOK_SECONDS, Membership
from consumer.core.errors import Stop
from consumer.operate import check_kafka
from consumer.operate.check import FAIL, OK
from consumer.settings import KafkaSettings
from tests.servers import Kafka, KafkaServer, Unavailable
from tests.servers.fixtures import missing

pytestmark = pytest.mark.servers

REMEDY = "set ZKP2P_KAFKA__GROUP_PROTOCOL=classic"


def settings_of(kafka: Kafka, topic: str, protocol: str = "consumer") -> KafkaSettings:
    settings = {"bootstrap_servers": kafka.bootstrap, "topic": topic, "group_id": f"g-{uuid.uuid4()}"}
    return KafkaSettings.model_validate({**settings, "group_protocol": protocol})


def group_of(settings: KafkaSettings) -> Group:
    return Group(settings, on_assign=lambda _: None, on_revoke=lambda _: None, on_lost=lambda _: None)


class Hours:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def older() -> Iterator[Kafka]:
    """A broker without the protocol: as Kafka 4 is with its feature group.version=0."""
    try:
        with KafkaServer(properties={"group.coordinator.rebalance.protocols": "classic"}) as kafka:
            kafka.create_topic("events", 1)
            yield kafka
    except Unavailable as reason:
        missing("a Kafka without the protocol `consumer`", reason)


def test_a_refusal_ends_the_process_and_names_the_setting(older: Kafka) -> None:
    group = group_of(settings_of(older, "events"))

    def poll() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            group.poll(1, 0.1)

    group.subscribe()
    try:
        with pytest.raises(Stop, match=REMEDY):
            poll()
    finally:
        group.close()


def test_a_group_into_which_nobody_comes_ends_the_process_too(kafka: Kafka, topic: str) -> None:
    """As with Kafka 3.9, to which the client says nothing."""
    settings, hours = settings_of(kafka, topic), Hours()
    assert kafka.committed(settings.group_id, topic) == {}, "a broker that has just started knows of no group yet"
    membership = Membership(settings, hours)
    membership.check()  # too early
    hours.now += LOOK_SECONDS
    membership.check()  # once is not enough
    hours.now += LOOK_SECONDS
    with pytest.raises(Stop, match=REMEDY):
        membership.check()


def test_one_member_is_enough_for_all_and_for_good(kafka: Kafka, topic: str) -> None:
    settings, hours = settings_of(kafka, topic), Hours()
    membership = Membership(settings, hours)
    hours.now += LOOK_SECONDS
    membership.check()
    group = group_of(settings)
    group.subscribe()
    deadline = time.monotonic() + 30
    while not group.member_id:
        assert time.monotonic() < deadline
        group.poll(1, 0.1)
    hours.now += LOOK_SECONDS
    membership.check()
    group.close()
    for _ in range(3):
        hours.now += LOOK_SECONDS
        membership.check()


def test_an_outage_says_nothing_about_members(kafka: Kafka) -> None:
    hours = Hours()
    away = Membership(
        settings_of(cast("Any", kafka), "events").model_copy(update={"bootstrap_servers": "127.0.0.1:1"}), hours
    )
    hours.now += LOOK_SECONDS
    away.check()


def test_check_tries_it_out(kafka: Kafka, topic: str, older: Kafka) -> None:
    settings = settings_of(kafka, topic)
    assert check_kafka._joined(kafka.admin, settings).status == OK
    groups = [group.group_id for group in kafka.admin.list_consumer_groups().result(30).valid]
    assert not [name for name in groups if name.startswith(settings.group_id)], "nothing is left behind"
    refused = check_kafka._joined(older.admin, settings_of(older, "events"))
    assert refused.status == FAIL
    assert REMEDY in refused.detail
