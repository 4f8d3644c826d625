"""What is wrong with a field, in words its producer can act on.

A message names the field and what was expected; it may quote a short scalar, and never quotes a payload, a sessionId or
an error message.
"""

from __future__ import annotations

from typing import Final

import msgspec

Problem = tuple[str, str, str]
"""Code, path and message of a reject."""

ABSENT: Final = msgspec.UNSET
"""In the place of a field that is not there."""
INFINITY: Final = float("inf")
"""What a number too large for a double is read as."""

_QUOTE_LENGTH_MAX = 40
_KINDS = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


def wrong(code: str, path: str, value: object, expected: str) -> Problem:
    """A field whose value breaks a rule."""
    return code, path, f"{path} is {quote(value)}, expected {expected}"


def wrong_type(path: str, value: object, expected: str) -> Problem:
    """A field that is missing or of another type."""
    if value is ABSENT:
        return "missing_field", path, f"{path} is missing, expected {expected}"
    return "wrong_type", path, f"{path} is {kind(value)}, expected {expected}"


def kind(value: object) -> str:
    """What sort of JSON value this is."""
    return _KINDS.get(type(value)) or f"the number {quote(value)}"


def quote(value: object) -> str:
    """A short scalar for a message: printable ASCII, cut."""
    if type(value) is str:
        cut = value[:_QUOTE_LENGTH_MAX]
        text = cut if cut.isascii() and cut.isprintable() else ascii(cut)[1:-1][:_QUOTE_LENGTH_MAX]
        return f'"{text}"' if cut == value else f'"{text}..."'
    if value in (INFINITY, -INFINITY):
        return "too large for a double"
    text = str(value)
    return text if len(text) <= _QUOTE_LENGTH_MAX else f"{text[:_QUOTE_LENGTH_MAX]}..."
