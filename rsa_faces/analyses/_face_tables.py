"""Tables of numbers indexed by face: checked, and matched by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import ConditionMismatchError, InputError
from rsa_faces._core.names import as_names, check_unique_names, named


def sets_of(features, match: str) -> tuple[dict[str, pd.DataFrame], tuple[str, ...]]:
    """Return sets of features and the faces that all have."""
    check_choice(match, ["same", "intersection"], what="match")
    if not isinstance(features, Mapping) or not features:
        raise InputError(
            "expected features as a mapping from a name to a DataFrame indexed by face, got a "
            f"{type(features).__name__}."
        )
    sets = {str(name): numbers(frame, f"features {name!r}") for name, frame in features.items()}
    names = tuple(next(iter(sets.values())).index)
    for name, frame in sets.items():
        names = common(names, frame.index, match, name)
    return sets, names


def numbers(frame, what: str, *, gaps: bool = False) -> pd.DataFrame:
    """Return a table of finite numbers with unique names of rows and columns."""
    if not isinstance(frame, pd.DataFrame) or frame.empty:
        raise InputError(
            f"expected {what} as a DataFrame indexed by face, got a {type(frame).__name__}."
        )
    names = check_unique_names(frame.index, what="face")
    check_unique_names(frame.columns, what=f"{what} column")
    values, _ = named(frame.set_axis(list(names)), what=what, of="face", missing=True)
    values = values.astype(float)
    bad = np.isinf(values).any(axis=1) if gaps else ~np.isfinite(values).all(axis=1)
    if bad.any():
        listed = ", ".join(repr(names[i]) for i in np.flatnonzero(bad)[:5])
        raise InputError(
            f"expected finite {what}, but {bad.sum()} faces have NaN or infinity: {listed}. Leave "
            "them out and use match='intersection'."
        )
    return pd.DataFrame(values, list(names), frame.columns)


def common(names: Sequence[str], others: Sequence[str], match: str, what: str) -> tuple[str, ...]:
    """Return the names that both have, in the first's order."""
    others = set(as_names(others, what="face"))
    if match == "same" and set(names) != others:
        raise ConditionMismatchError(
            names,
            sorted(others),
            left_name="the features",
            right_name=what,
            hint="Rename them, or use match='intersection' for those in both.",
        )
    return tuple(name for name in names if name in others)
