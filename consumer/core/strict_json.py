"""JSON to the letter of RFC 8259, nothing more lenient, with limits on depth.

msgspec is strict in its grammar, UTF-8 and surrogates where it builds values; this module adds what it
leaves open: nesting, integers of any length, and words a producer can read.
"""

from __future__ import annotations

import json
import re

import msgspec
import numpy as np

from consumer.core.contract import DEPTH_MAX

_decode = msgspec.json.Decoder(float_hook=float).decode
"""The hook takes the text of a float: without it 1e400 is an error, with it it is infinity."""
_check = msgspec.json.Decoder(msgspec.Raw).decode
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_DIGITS_KEPT = 100
_STEP = np.zeros(256, np.int32)
_STEP[list(b"[{")] = 1
_STEP[list(b"]}")] = -1


class NotJson(str):
    """What is wrong with bytes that are no JSON we take, and where, in words to follow "value ..."."""

    __slots__ = ()


TOO_DEEP = NotJson(f"is nested deeper than {DEPTH_MAX} levels")


def parse(value: bytes) -> object:
    """The JSON value of all of `value`: dict, list, str, int, float, bool or None.

    The last of duplicate keys wins. Integers keep their value up to 100 digits (longer ones are cut to
    those, still beyond every limit); a float too large for a double is infinity.
    A NotJson for anything else, nesting deeper than `DEPTH_MAX` included.
    """
    try:
        document = _decode(value)
    except msgspec.ValidationError:
        document = _parse_long_integers(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return NotJson(explain(value, error))
    return TOO_DEEP if too_deep(value) else document


def too_deep(value: bytes) -> bool:
    """Whether JSON that is known to be well-formed is nested deeper than `DEPTH_MAX`."""
    brackets = value.count(b"{")
    if value.find(b"[") >= 0:  # an event has none, and finding so is cheaper than counting (or than `in`)
        brackets += value.count(b"[")
    if brackets <= DEPTH_MAX:
        return False
    outside_strings = np.frombuffer(_STRING.sub(b"", value), np.uint8)
    return int(np.cumsum(_STEP[outside_strings]).max()) > DEPTH_MAX


def _parse_long_integers(value: bytes) -> object:
    """For integers with more digits than Python turns into an int (it takes quadratic time)."""
    try:
        _check(value)
        text = value.decode()
        return json.loads(text, parse_int=lambda digits: int(digits[:_DIGITS_KEPT]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return NotJson(explain(value, error))


def explain(value: bytes, error: Exception) -> str:
    """What msgspec's error says of `value`, in our words."""
    if isinstance(error, RecursionError):
        return TOO_DEEP
    if value.startswith(b"\xef\xbb\xbf"):
        return "starts with a byte order mark"
    try:
        value.decode()
    except UnicodeDecodeError as bad:
        return f"is not UTF-8: byte 0x{value[bad.start]:02x} at {bad.start}"
    words = str(error).removeprefix("JSON is malformed: ")
    return "is not JSON: it ends too early" if words == "Input data was truncated" else f"is not JSON: {words}"
