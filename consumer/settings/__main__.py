"""`python -m consumer.settings` writes docs/settings.md: the page is made from the models, so it can't differ."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from consumer.settings import extra
from consumer.settings.errors import number_rule
from consumer.settings.load import may_come_from_file
from consumer.settings.model import PREFIX, Section, sections

INTRODUCTION = """\
<!-- Written by `python -m consumer.settings > docs/settings.md`; a test keeps it current. -->
# Settings

Each setting is an environment variable, or a key of a TOML file given by `--config FILE`; the environment wins over
the file, the file over the default. `zkp2p-consumer config` shows what is in effect and where each value came from.

- An empty variable counts as not set.
- A variable that begins with `ZKP2P_` and is no setting is an error that suggests the nearest name, and so is an
  unknown key of the file. Let pass are `ZKP2P_TEST_*` and what Kubernetes injects for services (`*_SERVICE_HOST`,
  `*_SERVICE_PORT*`, `*_PORT`, `*_PORT_*`).
- Where the table says "or a file", `..._FILE` names a file that holds the value (one line end at its end is
  dropped): for secrets mounted into a container. In TOML that is `password_file = "/run/secrets/clickhouse"`.
- Whatever is wrong is told in one line that names the variable (or key and file) and what it may be; exit code 2.
- Secrets are never shown: not in messages, not in the log, not by `config`; those inside `ZKP2P_KAFKA__EXTRA` neither.

```toml
[kafka]
bootstrap_servers = "broker-1:9092,broker-2:9092"

[kafka.extra]
session.timeout.ms = 30000

[clickhouse]
url = "https://clickhouse:8443"
password_file = "/run/secrets/clickhouse"
```
"""

EXTRA = """\
## What `ZKP2P_KAFKA__EXTRA` may hold

A JSON object (in TOML the table `[kafka.extra]`) of any librdkafka property, with these exceptions. Bounds:
`session.timeout.ms` from {low} to {high} (every deadline of the consumer derives from it), `heartbeat.interval.ms` at
most half of it, `max.poll.interval.ms` not below it. Under `group_protocol=consumer` the broker decides the first two.

| property | instead, or why not |
|---|---|
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for name, model in sections().items():
        parts.append(f"## {name}\n\n{model.__doc__}\n\n| variable | default | may be | meaning |\n|---|---|---|---|\n")
        parts[-1] += "".join(f"| {' | '.join(row)} |\n" for row in _rows(name, model))
    properties = EXTRA.format(low=extra.SESSION_TIMEOUT_MS_MIN, high=extra.SESSION_TIMEOUT_MS_MAX)
    properties += "".join(f"| `{name}` | `{PREFIX}KAFKA__{setting}` |\n" for name, setting in extra.OWNED.items())
    properties += "".join(f"| `{name}` | {reason} |\n" for name, reason in extra.RESERVED.items())
    return "\n".join([*parts, properties])


def _rows(section: str, model: type[Section]) -> Iterator[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        variable = f"{PREFIX}{section}__{name}".upper()
        choices = _choices(field) or ("JSON object" if name == "extra" else "text")
        if may_come_from_file(model, name):
            choices += f", or a file: `{variable}_FILE`"
        yield f"`{variable}`", _default(field), choices, str(field.description)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None:
        return ""
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _choices(field: FieldInfo) -> str:
    if field.annotation in (int, float):
        return number_rule(field).removeprefix("must be ")
    return ", ".join(f"`{choice}`" for choice in _literal(field.annotation))


def _literal(annotation: Any) -> tuple[Any, ...]:
    """The choices of a Literal, wherever in `Annotated[Literal[...], ...] | None` it is."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if annotation is SecretStr or not get_args(annotation):
        return ()
    inner = get_args(annotation) if get_origin(annotation) in (Union, None) else get_args(annotation)[:1]
    return next((found for part in inner if (found := _literal(part))), ())


if __name__ == "__main__":
    sys.stdout.write(page())
