"""`config`: the effective settings and where each came from, without a secret."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import orjson
from pydantic import SecretStr

from consumer import console
from consumer.settings import extra
from consumer.settings.model import PREFIX, Settings


def show(settings: Settings, output_format: str) -> None:
    """Prints one row a setting: the variable's name, its value, its source."""
    rows = list(effective(settings))
    if output_format == "json":
        document = {name: {"value": value, "source": source} for name, value, source in rows}
        sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    console.table(("setting", "value", "source"), [(name, _text(value), source) for name, value, source in rows])


def effective(settings: Settings) -> Iterator[tuple[str, object, str]]:
    """(variable, value, source) of every setting; secrets are masked."""
    for dotted, source in settings.sources().items():
        section, _, field = dotted.partition(".")
        value = getattr(getattr(settings, section), field)
        if isinstance(value, SecretStr):
            value = extra.MASK
        elif isinstance(value, dict):
            value = extra.masked(value)
        yield f"{PREFIX}{section}__{field}".upper(), value, source


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:g}"
    return orjson.dumps(value).decode() if isinstance(value, dict) else str(value)
