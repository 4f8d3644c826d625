"""The contract as others read it: JSON Schema and TypeScript say what the code does."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from consumer import resources
from consumer.core import contract
from tests.unit.payments import judge_values, verdicts

SCHEMA: dict[str, Any] = json.loads(resources.path("schemas").joinpath("zkp2p_payment.v1.json").read_text("utf-8"))
DATA: dict[str, Any] = SCHEMA["$defs"]["data"]
TYPES = resources.path("schemas").joinpath("zkp2p_payment.v1.d.ts").read_text("utf-8")


def test_the_schema_is_one_and_describes_each_field() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    for name, rule in (SCHEMA["properties"] | DATA["properties"]).items():
        assert name == "data" or rule["description"].endswith("."), name


@pytest.mark.parametrize("example", SCHEMA["examples"])
def test_examples_are_payments(example: dict[str, Any]) -> None:
    Draft202012Validator(SCHEMA).validate(example)
    [(kind, *_)] = verdicts(judge_values([json.dumps(example).encode()]), 1)
    assert kind == "payment"


def test_the_schema_has_the_numbers_of_the_code() -> None:
    assert SCHEMA["properties"]["event"]["const"] == contract.EVENT
    assert DATA["properties"]["eventType"]["enum"] == list(contract.EVENT_TYPES)
    assert DATA["properties"]["paymentMethod"]["enum"] == list(contract.PAYMENT_METHODS)
    assert SCHEMA["properties"]["userId"]["maximum"] == contract.UINT32_MAX
    assert DATA["properties"]["buzzAmount"]["maximum"] == contract.UINT32_MAX
    assert DATA["properties"]["usdAmount"]["maximum"] == contract.USD_MAX
    assert DATA["properties"]["sessionId"]["maxLength"] == contract.SESSION_ID_LENGTH_MAX


def interfaces() -> dict[str, dict[str, tuple[str, bool]]]:
    """Fields of the TypeScript interfaces: type, and whether it may be left out."""
    code = re.sub(r"/\*.*?\*/", "", TYPES, flags=re.DOTALL)
    found = re.findall(r"export interface (\w+) \{(.*?)\n\}", code, flags=re.DOTALL)
    return {
        name: {
            field: (kind, optional == "?")
            for field, optional, kind in re.findall(r"^\s*(\w+)(\??): (.+);$", body, re.MULTILINE)
        }
        for name, body in found
    }


def alternatives(name: str) -> list[str]:
    found = re.search(rf"export type {name} = (.+);", TYPES)
    assert found is not None
    return [json.loads(item) for item in found[1].split(" | ")]


def test_typescript_says_the_same_as_the_schema() -> None:
    kinds = {"integer": "number", "number": "number", "string": "string"}
    named = {
        "event": '"zkp2p_payment"',
        "data": "Zkp2pPaymentData",
        "eventType": "Zkp2pEventType",
        "paymentMethod": "Zkp2pPaymentMethod",
    }
    for interface, rules in (("Zkp2pPayment", SCHEMA), ("Zkp2pPaymentData", DATA)):
        expected = {}
        for name, rule in rules["properties"].items():
            kind = rule.get("type", "")
            typed = "string | null" if kind == ["string", "null"] else named.get(name) or kinds[kind]
            expected[name] = (typed, name not in rules["required"])
        assert interfaces()[interface] == expected
    assert len(interfaces()) == 2
    assert alternatives("Zkp2pEventType") == DATA["properties"]["eventType"]["enum"]
    assert alternatives("Zkp2pPaymentMethod") == DATA["properties"]["paymentMethod"]["enum"]


def test_typescript_has_the_numbers_of_the_schema() -> None:
    for number in (
        "1..4294967295",
        "0..4294967295",
        "0..99999999.99",
        "1 to 128 ",
        "4096 ",
        "90 days",
        "1 day ",
        "1 MiB",
    ):
        assert number in TYPES, number
