"""Configurations as YAML: every key is known, every value is checked before anything runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from rsa_faces._core.checks import nearest
from rsa_faces._core.deprecated import renamed_key
from rsa_faces._core.errors import InputError

Label = str | int | float | bool

#: Kind of configuration of each command that runs; filled by :mod:`rsa_faces.runs`.
COMMANDS: dict[str, type[Section]] = {}


class Section(BaseModel):
    """A part of a configuration: frozen, and an unknown key is an error that names the nearest."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    #: Old names of keys, and the names they have now.
    renamed: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for old, new in cls.renamed.items():
                values = renamed_key(values, old, new, what=f"key of {cls.__name__}")
            for key in values:
                if key not in cls.model_fields:
                    raise ValueError(
                        f"unknown key {key!r}.{nearest(str(key), cls.model_fields)} "
                        f"Valid keys here: {', '.join(cls.model_fields)}."
                    )
        return values


def exactly_one(section: BaseModel, *keys: str) -> None:
    """Raise unless exactly one of `keys` was given."""
    given = [key for key in keys if getattr(section, key) is not None]
    if len(given) != 1:
        came = " and ".join(given) or "none of them"
        raise ValueError(f"expected exactly one of {', '.join(keys)}, got {came}.")


def read_config(path: str | os.PathLike[str], overrides: Iterable[str], kind: type[Section]) -> Any:
    """Read a configuration of one kind."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"expected a configuration file, but {path} does not exist. `rsa-faces init` writes "
            "one for your folders, `rsa-faces example` one that runs as it is."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as err:
        raise InputError(f"{path} is not text in UTF-8: {err}") from err
    config = parse_config(text, kind, str(path), overrides)
    return _absolute(config, path.resolve().parent)


def parse_config(text: str, kind: type[Section], source: str, overrides: Iterable[str] = ()) -> Any:
    """Return the configuration in a text; its paths are as they stand there."""
    try:
        raw = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader that refuses more)
    except yaml.YAMLError as err:
        mark, problem = getattr(err, "problem_mark", None), getattr(err, "problem", None)
        what = (
            f"line {mark.line + 1}: {problem}" if mark and problem else " ".join(str(err).split())
        )
        raise InputError(f"{source} is not valid YAML: {what}.") from err
    if not isinstance(raw, dict):
        raise InputError(f"expected keys and values in {source}, got {type(raw).__name__}.")
    for override in overrides:
        _set(raw, override)
    try:
        return kind.model_validate(raw)
    except ValidationError as err:
        raise InputError(_sentences(err, source) + _other_command(raw, kind)) from err


class _Loader(yaml.SafeLoader):
    """Reads YAML; a key that stands twice in one place is an error, not the last of both."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: dict[Any, Any] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            try:
                first = seen.setdefault(key, key_node)
            except TypeError:
                continue  # not hashable: the loader's own error follows
            if first is not key_node:
                raise yaml.constructor.ConstructorError(
                    "while reading keys",
                    first.start_mark,
                    f"the key {key!r} stands there twice; leave one out",
                    key_node.start_mark,
                )
        return super().construct_mapping(node, deep)


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


def _sentences(err: ValidationError, source: str) -> str:
    """Turn a validation error into one line per wrong key."""
    lines = []
    for problem in err.errors():
        where = ".".join(map(str, problem["loc"])) or "top level"
        message = problem["msg"].removeprefix("Value error, ")
        came = "" if isinstance(problem["input"], (dict, list)) else f" (got {problem['input']!r})"
        lines.append(f"{where}: {message[0].lower()}{message[1:]}{came}")
    return f"{source} is not a valid configuration: " + "; ".join(lines)


def _absolute(section: Any, folder: Path) -> Any:
    """Return the section with relative paths taken from `folder`."""
    if isinstance(section, Path):
        return folder / section.expanduser()
    if isinstance(section, list):
        return [_absolute(item, folder) for item in section]
    if isinstance(section, dict):
        return {key: _absolute(item, folder) for key, item in section.items()}
    if isinstance(section, BaseModel):
        changes = {k: _absolute(getattr(section, k), folder) for k in type(section).model_fields}
        return section.model_copy(update=changes)
    return section
