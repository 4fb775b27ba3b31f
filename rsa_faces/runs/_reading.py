"""Configurations as YAML: every key is known, every value is checked before anything runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from rsa_faces._core.configurations import Section, absolute, parse_yaml, read_utf8, sentences
from rsa_faces._core.errors import InputError

Label = str | int | float | bool

#: Kind of configuration of each command that runs; filled by :mod:`rsa_faces.runs`.
COMMANDS: dict[str, type[Section]] = {}


def exactly_one(section: BaseModel, *keys: str) -> None:
    """Raise unless exactly one of `keys` was given."""
    given = [key for key in keys if getattr(section, key) is not None]
    if len(given) != 1:
        came = " and ".join(given) or "none of them"
        raise ValueError(f"expected exactly one of {', '.join(keys)}, got {came}.")


def each_once(names: Iterable[str], what: str) -> None:
    """Raise if a name stands twice."""
    names = list(names)
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"expected each {what} once, got {doubled} twice or more.")


def read_config(path: str | os.PathLike[str], overrides: Iterable[str], kind: type[Section]) -> Any:
    """Read a configuration of one kind."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"expected a configuration file, but {path} does not exist. `rsa-faces init` writes "
            "one for your folders, `rsa-faces example` one that runs as it is."
        )
    config = parse_config(read_utf8(path), kind, str(path), overrides)
    return absolute(config, path.resolve().parent)


def parse_config(text: str, kind: type[Section], source: str, overrides: Iterable[str] = ()) -> Any:
    """Return the configuration in a text; its paths are as they stand there."""
    raw = parse_yaml(text, source)
    for override in overrides:
        _set(raw, override)
    try:
        return kind.model_validate(raw)
    except ValidationError as err:
        raise InputError(sentences(err, source) + _other_command(raw, kind)) from err


def _other_command(raw: dict, kind: type[Section]) -> str:
    """Say so where the keys are those of another command's configuration."""
    for command, other in COMMANDS.items():
        fits = set(raw) <= set(other.model_fields) and not set(raw) <= set(kind.model_fields)
        if fits:
            return f" These are keys for another command: rsa-faces {command}."
    return ""


def dump_config(config: Section) -> str:
    """Return the resolved configuration as YAML that is read back."""
    values = config.model_dump(mode="json", exclude_none=True)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _set(raw: dict, override: str) -> None:
    """Apply one ``key=value`` to the raw configuration."""
    key, sign, value = override.partition("=")
    if not sign or not key:
        raise InputError(f"expected --set key=value, got {override!r}.")
    *parents, last = key.split(".")
    place: Any = raw
    try:
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        if isinstance(place, list):
            place[int(last)] = yaml.safe_load(value)
        elif isinstance(place, dict):
            place[last] = yaml.safe_load(value)
        else:
            raise TypeError(f"{'.'.join(parents)} is {place!r}, not a section")
    except (IndexError, ValueError, TypeError, AttributeError, yaml.YAMLError) as err:
        raise InputError(f"--set {override!r} does not fit the configuration: {err}.") from err
