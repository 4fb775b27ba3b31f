"""Errors of runs: whose data they are about, in the words of the configuration."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rsa_faces._core.errors import InputError

# What an error of a function advises, and what the configuration calls it.
_ADVICE = (
    (r"load_roi\(\.\.\., threshold=([^)]+)\)", r"`threshold: \1` beside the `file` of the mask"),
    (r"\b([a-z_]+)='([^']*)'", r"`\1: \2`"),
    (r"\b([a-z_]+)=(True|False)\b", lambda found: f"`{found[1]}: {found[2].lower()}`"),
    (r"\b([a-z_]+)=(-?[\d.]+\b)", r"`\1: \2`"),
    (r"\batlas_rois\b", "the key `atlas`"),
    (r"\blocaliser_roi\b", "the key `localiser`"),
)
_NAMES = {"mask_img": "mask", "t_r": "t_r"}


@contextlib.contextmanager
def about(what: str, keys: Mapping[str, str] | None = None) -> Iterator[None]:
    """Say what an error is about, and name keys of the configuration instead of arguments.

    Parameters
    ----------
    what : str
        Region, subject and file; nothing is added to the error if empty.
    keys : mapping of str to str, optional
        What arguments are called in this configuration.
    """
    try:
        yield
    except InputError as err:
        if not what:
            raise
        raise InputError(f"{what}: {in_keys(str(err), keys or {})}") from err


@contextlib.contextmanager
def keys_of_paths(config: BaseModel) -> Iterator[None]:
    """Name the key of a configuration whose file or folder an error is about.

    Readers know a path, not which key it came from; in a configuration of several regions and
    networks the path alone does not say where to change it.
    """
    try:
        yield
    except (InputError, FileNotFoundError) as err:
        said = str(err)
        # The last path is what the innermost error is about; those before it say whose data it is.
        places = [
            (found[-1].end(), len(str(path)), key)
            for key, path in _paths(config)
            if (found := list(re.finditer(_filled_in(path), said)))
        ]
        if not places:
            raise
        key = max(places)[-1]
        leads = said.partition(":")[0]  # a key, where the reader knew it
        if f"{key}.".startswith(f"{leads}."):
            raise
        raise InputError(f"{key}: {said}") from err


def _paths(value: Any, key: str = "") -> Iterator[tuple[str, Path]]:
    """Yield all paths of a configuration with their keys, as `data.0.rdms`."""
    if isinstance(value, Path):
        yield key, value
        return
    if isinstance(value, BaseModel):
        inside = [(name, getattr(value, name)) for name in type(value).model_fields]
    elif isinstance(value, Mapping):
        inside = list(value.items())
    elif isinstance(value, (list, tuple)):
        inside = list(enumerate(value))
    else:
        return
    for name, inner in inside:
        yield from _paths(inner, f"{key}.{name}" if key else str(name))


def _filled_in(path: Path) -> str:
    """Return what matches a path, whatever stands for `{subject}` or `*` in it."""
    return re.sub(r"\\\{\w+\\\}|\\\*", r"[^/\\\\]+", re.escape(str(path))) + r"(?![\w.-]*\w)"


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """Yield a list that holds, at the end, what the block warned users of."""
    said: list[str] = []
    with warnings.catch_warnings(record=True, action="always", category=UserWarning) as caught:
        yield said
    said += [str(w.message) for w in caught if w.category is UserWarning]


def in_keys(sentence: str, keys: Mapping[str, str]) -> str:
    """Return a sentence in the words of the configuration."""
    for pattern, words in _ADVICE:
        sentence = re.sub(pattern, words, sentence)
    for argument, key in {**_NAMES, **keys}.items():
        sentence = re.sub(rf"(?<![`\w]){argument}(?![`\w])", f"`{key}`", sentence)
    return sentence
