"""Every key of a configuration with its line of help, from the models themselves."""

from __future__ import annotations

import textwrap
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rsa_faces.runs._reading import Section

_INDENT = "  "


@dataclass(frozen=True)
class Key:
    """A key of a configuration.

    Attributes
    ----------
    section : type of Section
        Where it is.
    path : tuple of str
        Keys that lead to it, and itself.
    kind : str
        What it takes, in words.
    default : str
        As YAML would have it; "" where a value must be given or there is none.
    required : bool
    help : str
        One line.
    """

    section: type[Section]
    path: tuple[str, ...]
    kind: str
    default: str
    required: bool
    help: str


def keys(kind: type[Section]) -> Iterator[Key]:
    """Yield every key of a configuration, those of sections below them.

    Parameters
    ----------
    kind : type of Section

    Yields
    ------
    Key
        In the order of the models; a section that occurs twice is told once.
    """
    yield from _keys(kind, (), set())


def _keys(kind: type[Section], path: tuple[str, ...], told: set[type]) -> Iterator[Key]:
    """Yield the keys of a section."""
    for name, field in kind.model_fields.items():
        if _tag_of(name, field):
            continue  # it heads the section
        sections = _sections(field.annotation)
        again = " Keys as above." if sections and told.issuperset(sections) else ""
        yield Key(
            kind,
            (*path, name),
            _words(field.annotation),
            _default(field),
            field.is_required(),
            field.description + again if field.description else "",
        )
        for section in sections:
            if section not in told:
                told.add(section)
                tag = next(filter(None, (_tag_of(*f) for f in section.model_fields.items())), "")
                yield from _keys(section, (*path, name, *([tag] if tag else [])), told)


def _tag_of(name: str, field: FieldInfo) -> str:
    """Return the key that tells sections of a list apart and its value: ``analysis: readout``."""
    values = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return f"{name}: {values[0]}" if field.is_required() and len(values) == 1 else ""


def _sections(annotation: Any) -> list[type[Section]]:
    """Return the sections in an annotation, in order."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    sections: list[type[Section]] = []
    for part in get_args(annotation):
        sections += [s for s in _sections(part) if s not in sections]
    return sections


def _default(field: FieldInfo) -> str:
    """Return a default as it would be written."""
    value = field.get_default(call_default_factory=True) if not field.is_required() else None
    if value is None or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple, dict)):
        return str(value).replace("'", "") if value else ""
    return str(value)


def _words(annotation: Any) -> str:
    """Return a type in words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(parts[0])
    if origin is Literal:
        return " | ".join(map(str, parts))
    if origin in (Union, types.UnionType):
        words = [_words(part) for part in parts if part is not type(None)]
        return " | ".join(filter(None, dict.fromkeys(words)))
    if origin in (list, tuple):
        inner = [_words(part) for part in parts if part is not Ellipsis]
        return f"list of {' | '.join(dict.fromkeys(inner))}".removesuffix(" of ")
    if origin is dict:
        return f"mapping to {_words(parts[1])}".removesuffix(" to ")
    simple = {bool: "true | false", int: "number", float: "number", Path: "path"}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return ""
    return simple.get(annotation, "text")


def help_text(kind: type[Section], width: int = 80) -> str:
    """Return all keys as text: indented as in YAML, with what each takes and its line of help.

    Parameters
    ----------
    kind : type of Section
    width : int, default 80
        Of a line.

    Returns
    -------
    str
    """
    lines, before = [], ()
    for key in keys(kind):
        for depth, part in enumerate(key.path[:-1]):
            if ": " in part and key.path[: depth + 1] != before[: depth + 1]:
                lines += ["", f"{_INDENT * depth}- {part}"]
        before = key.path
        takes = f" [{key.kind}]" if key.kind else ""
        state = "required" if key.required else f"default {key.default}" if key.default else ""
        rest = " ".join(filter(None, (key.help, f"({state})" if state else "")))
        depth = len(key.path) - 1
        lines.append(f"{_INDENT * depth}{key.path[-1]}:{takes}")
        margin = _INDENT * (depth + 2)
        lines += textwrap.wrap(rest, width, initial_indent=margin, subsequent_indent=margin)
    return "\n".join(lines)
