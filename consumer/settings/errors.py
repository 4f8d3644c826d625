"""Turns what is wrong with a setting into one line: its name as the operator wrote it, the value, the remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import annotated_types
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from consumer.settings.model import PREFIX, sections
from consumer.settings.rules import RuleError

VALUE_CHARACTERS_MAX = 120
CLOSE = 0.5
"""Likeness by difflib, from 0 to 1, from which on a name may be a slip of another."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: `spelled` is the name the operator wrote, `text` what `config` shows."""

    spelled: str
    text: str
    env: bool = False
    secret: bool = False
    place: str = ""
    """` in FILE` for a key of a file."""


Origins = dict[str, Origin]


def nearest(name: str, known: Iterable[str], otherwise: str = "`zkp2p-consumer config` lists them all") -> str:
    """`: did you mean X?`; where none is close, the nearest all the same, and where to look."""
    tails = {candidate.removeprefix(PREFIX): candidate for candidate in known}
    asked = name.removeprefix(PREFIX)
    found = difflib.get_close_matches(asked, tails, n=1, cutoff=0.0)
    if not found:
        return f": {otherwise}"
    if difflib.SequenceMatcher(None, asked, found[0]).ratio() >= CLOSE:
        return f": did you mean {tails[found[0]]}?"
    return f": the nearest is {tails[found[0]]}; {otherwise}"


def readable(error: ValidationError, origins: Origins) -> str:
    """The first thing that is wrong, and how many more there are."""
    problems = error.errors(include_url=False, include_input=True)
    first = problems[0]
    section, field = _setting(first)
    remedy = _remedy(first, section, field)
    origin = origins.get(f"{section}.{field}", Origin(f"{PREFIX}{section}__{field}".upper(), "default", env=True))
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{_written(origin, field, first)}: {remedy}{more}"


def _setting(problem: Any) -> tuple[str, str]:
    section = str(problem["loc"][0])
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, RuleError) and cause.field:
        return section, cause.field
    return section, str(problem["loc"][1]) if len(problem["loc"]) > 1 else ""


def _written(origin: Origin, field: str, problem: Any) -> str:
    """`NAME=value` or `name = value in FILE`, without any value that could be a secret."""
    value = problem["input"]
    if isinstance(value, dict):
        # A rule over a whole section: the value at fault is one of its raw values, or a default.
        value = value.get(field)
    if field == "extra" or origin.secret or value is None or isinstance(value, SecretStr) or "password" in field:
        return f"{origin.spelled}{origin.place}"
    shown = _shown(value)
    return f"{origin.spelled}={shown}{origin.place}" if origin.env else f"{origin.spelled} = {shown}{origin.place}"


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = re.sub(r"^(\w+://|//)?.*@", r"\1********@", text)  # what is before the last @ may hold a password
    if len(text) > VALUE_CHARACTERS_MAX:
        text = text[:VALUE_CHARACTERS_MAX] + "..."
    return text if text.isprintable() else repr(text)


def _remedy(problem: Any, section: str, field: str) -> str:
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, RuleError):
        return str(cause)
    kind = problem["type"]
    if kind == "extra_forbidden":
        return "is not a setting"
    if kind == "literal_error":
        return f"must be one of {problem['ctx']['expected'].replace(' or ', ', ')}".replace("'", "")
    info = sections()[section].model_fields.get(field)
    if info is not None and info.annotation in (int, float):
        return number_rule(info)
    return {"string_type": "must be text", "missing": "is missing"}.get(kind, str(problem["msg"]))


def number_rule(info: FieldInfo) -> str:
    """`must be a whole number from 1 to 1000000`."""
    low = next((bound.ge for bound in info.metadata if isinstance(bound, annotated_types.Ge)), None)
    high = next((bound.le for bound in info.metadata if isinstance(bound, annotated_types.Le)), None)
    noun = "a whole number" if info.annotation is int else "a number"
    return f"must be {noun} from {low} to {high}"
