"""Reads the settings: environment over file over defaults, each value with the place it came from."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from consumer.console import printable
from consumer.core.errors import UsageError
from consumer.settings.errors import Origin, Origins, nearest, readable
from consumer.settings.model import PREFIX, Section, Settings, sections

SECRET_BYTES_MAX = 64 * 1024
_SERVICE_LINKS = re.compile(r".*_SERVICE_HOST|.*_SERVICE_PORT.*|.*_PORT|.*_PORT_.*")
"""What Kubernetes puts into the environment of every pod for each service of the namespace."""


@dataclass(slots=True)
class Found:
    """Raw values by section and field, and their origins by dotted name."""

    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    origins: Origins = field(default_factory=dict)

    def put(self, section: str, name: str, value: object, origin: Origin) -> None:
        self.values.setdefault(section, {})[name] = value
        self.origins[f"{section}.{name}"] = origin

    def refuse_second(self, section: str, name: str, spelled: str) -> None:
        """A secret and its file at one place: which of them is meant can't be guessed."""
        earlier = self.origins.get(f"{section}.{name}")
        if earlier is not None:
            raise UsageError(f"{earlier.spelled} and {spelled} are both set: remove one of them")

    def over(self, other: Found) -> Found:
        """These values, completed by another's."""
        names = [*other.values, *self.values]
        values = {name: {**other.values.get(name, {}), **self.values.get(name, {})} for name in names}
        return Found(values, {**other.origins, **self.origins})


def load(
    config: Path | None = None, environ: Mapping[str, str] = os.environ, **overrides: Mapping[str, Any]
) -> Settings:
    """The effective settings. `overrides` win over everything: `load(kafka={"topic": "t"})`.

    Raises UsageError, one line, that names the first wrong setting as it was written and what to do about it.
    """
    try:
        return _load(config, environ, overrides)
    except UsageError as error:
        # Names, values and paths come from outside and may hold anything.
        raise UsageError(printable(str(error))) from None


def _load(config: Path | None, environ: Mapping[str, str], overrides: Mapping[str, Mapping[str, Any]]) -> Settings:
    found = from_environment(environ)
    if config is not None:
        found = found.over(from_file(config))
    given = Found()
    for section, values in overrides.items():
        for name, value in values.items():
            given.put(section, name, value, Origin(f"{section}.{name}", "argument"))
    found = given.over(found)
    try:
        settings = Settings(**found.values)  # type: ignore[arg-type]
    except ValidationError as error:
        raise UsageError(readable(error, found.origins)) from None
    settings.remember_sources({name: origin.text for name, origin in found.origins.items()})
    return settings


def variables() -> dict[str, tuple[str, str, bool]]:
    """Environment variable -> (section, field, whether it names a file that holds the value)."""
    known = {}
    for section, model in sections().items():
        for name in model.model_fields:
            variable = f"{PREFIX}{section}__{name}".upper()
            known[variable] = (section, name, False)
            if may_come_from_file(model, name):
                known[f"{variable}_FILE"] = (section, name, True)
    return known


def may_come_from_file(model: type[Section], name: str) -> bool:
    """Secrets may; so may EXTRA, whose properties can be secrets."""
    return name == "extra" or "SecretStr" in str(model.model_fields[name].annotation)


def from_environment(environ: Mapping[str, str]) -> Found:
    """What the environment says. A variable that is empty counts as not set."""
    known = variables()
    ours = (name for name in environ if name.upper().startswith(PREFIX) and name not in known)
    unknown = sorted(name for name in ours if not _foreign(name, environ, known))
    if unknown:
        more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
        raise UsageError(f"{unknown[0]} is not a setting{nearest(unknown[0].upper(), known)}{more}")
    found = Found()
    for variable, (section, name, in_file) in known.items():
        text = environ.get(variable, "")
        if not text:
            continue
        found.refuse_second(section, name, variable)
        if in_file:
            found.put(section, name, *_secret_file(name, text, variable, variable))
        else:
            found.put(section, name, _hidden(name, text), Origin(variable, f"env {variable}", env=True))
    return found


def _foreign(name: str, environ: Mapping[str, str], known: Mapping[str, object]) -> bool:
    """Variables that only look like ours. A service's `_PORT` always holds a URL, so that a port written with one
    underscore too few (or in a section that doesn't exist) is still caught."""
    if name.startswith(f"{PREFIX}TEST_"):
        return True
    if not _SERVICE_LINKS.fullmatch(name):
        return False
    ours = {variable.replace("__", "_") for variable in known}
    meant_for_us = name.endswith("_PORT") and "://" not in environ[name] and (name in ours or "__" in name)
    return not meant_for_us


def from_file(path: Path) -> Found:
    """What a TOML file says: one table a section, keys as in `sections()`."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror or error}: check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path}: not valid TOML: {' '.join(str(error).split())}") from None
    found = Found()
    for section, name, value, in_file in _file_entries(path, document):
        dotted = f"{section}.{name}"
        found.refuse_second(section, name, f"{dotted}_file" if in_file else dotted)
        if in_file:
            found.put(section, name, *_secret_file(name, value, f"{dotted}_file", f"{dotted}_file in {path}"))
        else:
            found.put(section, name, value, Origin(dotted, f"file {path}", place=f" in {path}"))
    return found


def _file_entries(path: Path, document: Mapping[str, Any]) -> Iterator[tuple[str, str, Any, bool]]:
    models = sections()
    known = {f"{section}.{name}": name for section, model in models.items() for name in model.model_fields}
    for section, table in document.items():
        if section not in models:
            hint = nearest(section, {**dict.fromkeys(models), **known})
            raise UsageError(f"{section} in {path} is not a section{hint}; sections are {', '.join(models)}")
        if not isinstance(table, dict):
            raise UsageError(f"{section} in {path} must be a table: write [{section}] and its settings below")
        for key, value in table.items():
            name = key.removesuffix("_file")
            if key in models[section].model_fields:
                yield section, key, value, False
            elif name != key and name in models[section].model_fields and may_come_from_file(models[section], name):
                yield section, name, value, True
            else:
                raise UsageError(f"{section}.{key} in {path} is not a setting{nearest(f'{section}.{key}', known)}")


def _secret_file(name: str, place: object, spelled: str, shown: str) -> tuple[object, Origin]:
    """A secret out of its file, without the line end that editors and `echo` leave."""
    if not isinstance(place, str) or not place:
        raise UsageError(f"{shown} must be the path of a file")
    try:
        with Path(place).open("rb") as file:
            data = file.read(SECRET_BYTES_MAX + 1)
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{shown}={place}: is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{shown}={place}: {reason}: check the path and its permissions") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text or len(data) > SECRET_BYTES_MAX:
        raise UsageError(f"{shown}={place}: the file must hold 1 to {SECRET_BYTES_MAX} bytes")
    origin = Origin(spelled, f"secret file {place}", env=spelled.startswith(PREFIX), secret=True)
    return _hidden(name, text), origin


def _hidden(name: str, text: str) -> object:
    """Text that the model converts; a password can't be printed by mistake on its way there."""
    return SecretStr(text) if name.endswith("password") else text
