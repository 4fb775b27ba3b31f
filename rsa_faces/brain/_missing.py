"""Conditions that are not in every run: what happens to them is said, never guessed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.warning import warn

MISSING = ("raise", "drop", "keep")


def settle_missing(
    conditions: Sequence[str], folds: Sequence[Any] | None, expected: Sequence[str], missing: str
) -> np.ndarray:
    """Return which rows stay, given the conditions expected in every fold; see `missing`."""
    check_choice(missing, MISSING, what="way with missing conditions")
    keep = np.ones(len(conditions), dtype=bool)
    fold_of = [None] * len(conditions) if folds is None else list(folds)
    names, runs = list(dict.fromkeys(expected)), list(dict.fromkeys(fold_of))
    present = set(zip(conditions, fold_of, strict=True))
    absent = [(c, f) for c in names for f in runs if (c, f) not in present]
    if not absent or missing == "keep":
        return keep
    lacking = list(dict.fromkeys(c for c, _ in absent))
    listed = ", ".join(repr(c) if f is None else f"{c!r} in {f!r}" for c, f in absent[:5])
    more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
    if missing == "raise":
        raise InputError(
            f"expected every condition in every run, but {len(absent)} are missing: "
            f"{listed}{more}. Say missing='drop' to leave these conditions out of all runs, or "
            "missing='keep' to keep what there is."
        )
    keep = np.array([c not in set(lacking) for c in conditions], dtype=bool)
    if not keep.any():
        raise InputError(
            f"expected conditions to be left, but each is missing in some run: {listed}{more}."
        )
    warn(
        f"{len(lacking)} of {len(names)} conditions are not in every run and are left out: "
        f"{listed}{more}."
    )
    return keep
