"""What configurations of all commands have in common: YAML, keys that are known, paths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rsa_faces._core.checks import nearest
from rsa_faces._core.deprecated import renamed_key
from rsa_faces._core.errors import InputError


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


def key(what: str, default: Any = ..., **limits: Any) -> Any:
    """Return a key of a section: what it is, its default (without one it is required), limits."""
    return Field(default, description=what, **limits)


def read_utf8(path: Path) -> str:
    """Return the text of a file."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as err:
        raise InputError(f"{path} is not text in UTF-8: {err}") from err


def parse_yaml(text: str, source: str) -> dict:
    """Return the keys and values of a text; a key that stands twice is an error."""
    try:
        raw = yaml.load(text, Loader=_Loader)  # a SafeLoader that refuses more
    except yaml.YAMLError as err:
        mark, problem = getattr(err, "problem_mark", None), getattr(err, "problem", None)
        what = (
            f"line {mark.line + 1}: {problem}" if mark and problem else " ".join(str(err).split())
        )
        raise InputError(f"{source} is not valid YAML: {what}.") from err
    if not isinstance(raw, dict):
        raise InputError(f"expected keys and values in {source}, got {type(raw).__name__}.")
    return raw


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


def sentences(err: ValidationError, source: str) -> str:
    """Turn a validation error into one line per wrong key."""
    lines = []
    for problem in err.errors():
        where = ".".join(map(str, problem["loc"])) or "top level"
        message = problem["msg"].removeprefix("Value error, ")
        came = "" if isinstance(problem["input"], (dict, list)) else f" (got {problem['input']!r})"
        lines.append(f"{where}: {message[0].lower()}{message[1:]}{came}")
    return f"{source} is not a valid configuration: " + "; ".join(lines)


def absolute(section: Any, folder: Path) -> Any:
    """Return the section with relative paths taken from `folder`."""
    if isinstance(section, Path):
        return folder / section.expanduser()
    if isinstance(section, list):
        return [absolute(item, folder) for item in section]
    if isinstance(section, dict):
        return {key: absolute(item, folder) for key, item in section.items()}
    if isinstance(section, BaseModel):
        changes = {k: absolute(getattr(section, k), folder) for k in type(section).model_fields}
        return section.model_copy(update=changes)
    return section
