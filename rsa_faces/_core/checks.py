"""Checks made once, at the public door; inner functions trust their input."""

from __future__ import annotations

import difflib
import functools
import inspect
import os
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Set
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.errors import InputError, InputTypeError
from rsa_faces._core.names import check_unique_names as check_unique_names

#: More draws, permutations or folds than anybody means.
LARGEST_COUNT = 10_000_000
_UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}


def nearest(name: str, options: Iterable[str]) -> str:
    """Return ' Did you mean ...?' for the option nearest to `name`, or ''."""
    lowered = {o.lower(): o for o in map(str, options)}
    match = difflib.get_close_matches(str(name).lower(), list(lowered), n=1, cutoff=0.5)
    return f" Did you mean {lowered[match[0]]!r}?" if match else ""


def check_choice(value: str, options: Iterable[str], *, what: str) -> str:
    """Return `value` if it is one of `options`, else raise and name the nearest.

    Where many values are looked up give a mapping or a set: in a list each takes a search.
    """
    hashed = isinstance(options, (Mapping, Set)) and isinstance(value, Hashable)
    if not hashed:
        options = list(options)
    if value not in options:
        options = list(options)
        listed = ", ".join(repr(o) for o in options[:30])
        more = f" and {len(options) - 30} more" if len(options) > 30 else ""
        raise InputError(
            f"unknown {what} {value!r}.{nearest(value, options)} Valid: {listed}{more}."
        )
    return value


def check_is(
    value: Any, kind: type | tuple[type, ...], *, what: str, hint: str = "", optional: bool = False
) -> Any:
    """Return `value` if it is of a type (or None, if optional); `hint` says what to give."""
    if isinstance(value, kind) or (optional and value is None):
        return value
    kinds = kind if isinstance(kind, tuple) else (kind,)
    wanted = hint or " or ".join(k.__name__ for k in kinds)
    raise InputTypeError(f"expected {wanted} as `{what}`, got {_shown(value)}.")


def check_arguments(function: Callable, given: Mapping[str, Any]) -> None:
    """Refuse arguments of a wrong type, at the top of a public function: ``locals()`` of it.

    What is checked is what the annotations say of classes, numbers, truth values, mappings and
    sequences; arrays, choices and ranges are left to the checks that know them, and seeds to
    `as_rng`.
    """
    for name, kinds in _kinds_of(inspect.unwrap(getattr(function, "__func__", function))):
        value = given[name]
        if not any(fits(value) for _, fits in kinds):
            wanted = " or ".join(dict.fromkeys(said for said, _ in kinds))
            raise InputTypeError(f"expected {wanted} as `{name}`, got {_shown(value)}.")
        counts = "a whole number" in (said for said, _ in kinds)
        if counts and isinstance(value, (int, np.integer)) and value > LARGEST_COUNT:
            raise InputError(f"expected {name} to be at most {LARGEST_COUNT:,}, got {value:,}.")


@functools.cache
def _kinds_of(function: Callable) -> list[tuple[str, list[tuple[str, Callable[[Any], bool]]]]]:
    """Return for each argument that can be checked what it may be: in words, and a test."""
    found = []
    for name, text in function.__annotations__.items():
        atoms = re.sub(r"\[.*?\]+", "", str(text)).split("|")
        kinds = [_kind_of(atom.strip(), function) for atom in atoms]
        if str(text) == "str":  # a choice, which `check_choice` names, or an object in its place
            continue
        known = [kind for kind in kinds if kind is not None]
        if name not in ("return", "seed", "budget") and len(known) == len(kinds):
            found.append((name, known))
    return found


_INTERFACES = {"Network": ("module", "preprocess", "layers", "all_layers")}
_PLAIN_KINDS: dict[str, tuple[str, Any]] = {
    "None": ("None", type(None)),
    "int": ("a whole number", (int, float, np.number)),
    "float": ("a number", (int, float, np.number)),
    "bool": ("True or False", (bool, np.bool_, int)),
    "str": ("text", str),
    "Mapping": ("a mapping", Mapping),
    "Labels": ("a mapping or a Series, by name", (Mapping, pd.Series)),
    "Sequence": ("a sequence", Iterable),
    "Iterable": ("a sequence", Iterable),
    "tuple": ("a sequence", Iterable),
    "Path": ("a path", (str, os.PathLike)),
    "os.PathLike": ("a path", (str, os.PathLike)),
    "pd.DataFrame": ("a DataFrame", pd.DataFrame),
    "pd.Series": ("a Series", pd.Series),
}


def _kind_of(atom: str, function: Callable) -> tuple[str, Callable[[Any], bool]] | None:
    """Return one kind of an annotation in words, and its test; None where there is none."""
    if atom in ("Any", "Callable"):
        return None
    said, known = _PLAIN_KINDS.get(atom, (atom, function.__globals__.get(atom)))
    if isinstance(known, (type, tuple)):
        return said, lambda value: isinstance(value, known)
    if known is not None or not re.fullmatch(r"[A-Z]\w+", atom):
        return None
    # A class that is imported for type checkers only: by its name, or by what is used of it.
    uses = _INTERFACES.get(atom, ())
    return (
        said,
        lambda value: (
            atom in {c.__name__ for c in type(value).__mro__}
            or (bool(uses) and all(hasattr(value, attribute) for attribute in uses))
        ),
    )


def _shown(value: Any) -> str:
    """Return what came: its type, and its value where that is short."""
    short = isinstance(value, (str, int, float, np.number)) and len(repr(value)) < 60
    kind = type(value).__name__
    return "None" if value is None else f"{value!r} ({kind})" if short else f"a {kind}"


def check_count(value: int, *, what: str, low: int = 1, high: int | None = None) -> int:
    """Return `value` if it is a whole number from `low` to `high`, more than anybody means."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise InputError(f"expected {what} to be a whole number of at least {low}, got {value!r}.")
    high = LARGEST_COUNT if high is None else high
    if value > high:
        raise InputError(f"expected {what} to be at most {high:,}, got {int(value):,}.")
    return int(value)


def check_enough(n: int, least: int, what: str) -> None:
    """Raise unless there are enough of some things."""
    if n < least:
        few, got = ("one", "none") if least == 1 else (least, n)
        raise InputError(f"expected at least {few} {what}, got {got}.")


def check_above(value: Any, low: float, *, what: str, least: bool = False) -> float:
    """Return `value` if it is a finite number above `low`, or that at the least."""
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not (low < value < np.inf or (least and value == low)):
        bound = "of at least" if least else "above"
        raise InputError(f"expected {what} {bound} {low:g}, got {value!r}.")
    return float(value)


def check_flags(flags: Any, n: int, *, what: str, of: str = "places") -> np.ndarray:
    """Return an array if it is of True and False, one for each of `n` things."""
    flags = np.asarray(flags)
    if flags.dtype != bool or flags.shape != (n,):
        raise InputError(
            f"expected {what} to be True or False for each of {n} {of}, got {flags.dtype} of "
            f"shape {flags.shape}."
        )
    return flags


def check_pair_weights(weights: Any, shape: tuple[int, ...], *, what: str) -> np.ndarray:
    """Return weights of RDMs' pairs as float64: of this shape, finite, at least 0; None: 1."""
    if weights is None:
        return np.ones(shape)
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != shape:
        raise InputError(
            f"expected {what} of shape {shape}, one per RDM and pair, got {weights.shape}."
        )
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise InputError(f"expected finite {what} of at least 0.")
    return weights


def parse_bytes(size: str | int) -> int:
    """Turn '4GB', '500 MiB' or a whole number into bytes."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?B?)\s*", str(size), re.IGNORECASE)
    unit = match.group(2).upper() if match else None
    if unit is not None and unit not in _UNITS:
        unit = unit + "B" if unit + "B" in _UNITS else None
    if match is None or unit is None:
        raise InputError(f"expected a memory size such as '4GB' or '500MB', got {size!r}.")
    n_bytes = int(float(match.group(1)) * _UNITS[unit])
    if n_bytes < 1:
        raise InputError(f"expected a memory size above 0, got {size!r}.")
    return n_bytes


def check_seed(seed: int) -> int:
    """Return `seed` if it is a whole number of at least 0 and at most 128 bits."""
    return check_count(seed, what="seed", low=0, high=2**128 - 1)


def as_rng(seed: int | np.random.Generator | None) -> np.random.Generator:
    """Return a generator for `seed`; the global generator is never used."""
    if isinstance(seed, np.random.Generator):
        return seed
    if seed is not None:
        check_seed(seed)
    return np.random.default_rng(seed)
