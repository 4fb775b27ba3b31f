"""Labels of conditions and of rows: groups, blocks, folds, by name or in order."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from rsa_faces._core.errors import InputError, InputTypeError
from rsa_faces._core.names import apart, as_names, is_missing, kind_of, named

#: A label of each condition, by its name.
Labels: TypeAlias = Mapping[str, Any] | pd.Series


def by_name(values: Any, *, what: str, of: str = "condition") -> dict[str, Any]:
    """Return labels by name, of a mapping, a Series or whatever else brings names.

    Several columns of a DataFrame are one label together, a tuple.
    """
    if isinstance(values, pd.DataFrame) and values.shape[1] > 1:
        rows = list(values.itertuples(index=False, name=None))
        values = dict(zip(as_names(values.index, what=of), rows, strict=True))
    labels, names = named(values, what=what, of=of, numbers=False)
    return dict(zip(names, labels.tolist(), strict=True))


def per_row(
    labels: Iterable[Any],
    n_rows: int,
    *,
    what: str = "fold",
    rows: Sequence[Any] = (),
) -> list:
    """Return one label per row: folds, runs, subjects.

    Labels of mixed types (1 and "1" would be two folds) are an error, as are missing ones. A
    Series follows its index if one of `rows`, indices or names in the order of the rows, is the
    same set.
    """
    disordered = isinstance(labels, (str, bytes, set, frozenset, Mapping))
    if disordered or not isinstance(labels, Iterable):
        raise InputTypeError(
            f"expected a sequence of {what} labels, one per row, got {kind_of(labels)}."
        )
    array, (index, *_) = apart(labels, f"{what} label", numbers=False, missing=False)
    if len(array) != n_rows:
        raise InputError(f"expected {n_rows} {what} labels, one per row, got {len(array)}.")
    listed = array.tolist()
    check_kinds(listed, what)
    if index is not None and len(rows):
        keys = list(map(str, index))
        for other in rows:
            other = list(map(str, other))
            if keys == other:
                return listed
            if set(keys) == set(other) and len(set(keys)) == len(keys) == len(other):
                place = {key: i for i, key in enumerate(keys)}
                return [listed[place[key]] for key in other]
        if index.dtype.kind in "iu" and index.is_monotonic_increasing:
            return listed  # numbers of rows that a table kept when it was cut
        raise InputError(
            f"expected the {what} labels in the order of the rows, but their index "
            f"({', '.join(map(repr, keys[:3]))}, ...) is not that of the values. Give a list."
        )
    return listed


def check_kinds(labels: Sequence[Any], what: str) -> None:
    """Raise if labels are missing or of types that do not go together, as 1 and "1".

    Labels that are tuples (cells of several factors) are held to this part by part.
    """
    if labels and all(isinstance(label, tuple) for label in labels):
        if len(set(map(len, labels))) > 1:
            raise InputError(f"expected {what} labels of as many parts each, got {labels[0]!r} ...")
        for parts in zip(*labels, strict=True):
            check_kinds(parts, what)
        return
    if odd := [label for label in labels if not isinstance(label, Hashable)]:
        raise InputError(f"expected text or a number as a {what} label, got {odd[0]!r}.")
    kinds = {type(label) for label in labels}
    families = {
        "text"
        if issubclass(k, str)
        else "number"
        if issubclass(k, (int, float, np.number)) and not issubclass(k, bool)
        else k.__name__
        for k in kinds
    }
    if any(is_missing(label) for label in labels):
        raise InputError(f"expected a {what} label for every row, but some are missing.")
    if len(families) > 1:
        first = {type(label).__name__: label for label in reversed(labels)}
        raise InputError(
            f"expected {what} labels of one type, got "
            f"{' and '.join(f'{value!r} ({name})' for name, value in sorted(first.items()))}. "
            "Make all of them text or all of them numbers."
        )


def codes_of(
    labels: Labels, conditions: Sequence[str], what: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the group (or block) of each condition as a number, and the names in order."""
    brought = by_name(labels, what=what)
    listed = [brought.get(c) for c in conditions]
    if absent := [c for c, own in zip(conditions, listed, strict=True) if is_missing(own)]:
        raise InputError(
            f"expected a {what} for every condition, but {len(absent)} have none: "
            f"{', '.join(map(repr, absent[:5]))}."
        )
    check_kinds(listed, what)
    codes, names = pd.factorize(pd.Series(listed, dtype=object))
    return codes, tuple(map(str, names))
