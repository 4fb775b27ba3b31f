"""Responses of cells, voxels or units to faces: by name, with or without repeats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import ConditionMismatchError, InputError, some
from rsa_faces._core.names import check_unique_names, named
from rsa_faces.analyses.face_code._face_space import FaceSpace


def as_coordinates(space) -> pd.DataFrame:
    """Return coordinates of faces, finite, with unique names."""
    frame = space.coordinates if isinstance(space, FaceSpace) else space
    if not isinstance(frame, pd.DataFrame):
        raise InputError(
            "expected a FaceSpace, or coordinates as a DataFrame with one row per face, got a "
            f"{type(space).__name__}."
        )
    names = list(check_unique_names(frame.index, what="face"))
    values, _ = named(frame.set_axis(names), what="coordinates", of="face")
    if not np.isfinite(values).all():
        raise InputError("expected finite coordinates, but some are NaN or infinite.")
    return pd.DataFrame(values.astype(float), names, frame.columns)


def as_responses(responses, conditions: Sequence[str] | None):
    """Return names of faces, names of cells, and responses (n_repeats, n_faces, n_cells)."""
    form = "n_{of}s, n_cells"
    first = responses[0] if isinstance(responses, (list, tuple)) else responses
    if isinstance(first, pd.DataFrame) and first.index.dtype.kind not in "iu":
        conditions = None  # they bring their own, which `match` compares with the features'
    values, faces = named(responses, conditions, what="responses", of="face", axes=(-2,), form=form)
    values = values[None] if values.ndim == 2 else values
    if values.ndim != 3 or not values.size:
        raise InputError(
            f"expected responses of shape ({len(faces)}, n_cells) or (n_repeats, {len(faces)}, "
            f"n_cells), got {values.shape}."
        )
    cells = tuple(f"cell {i + 1}" for i in range(values.shape[2]))
    if isinstance(first, pd.DataFrame):
        cells = check_unique_names(first.columns, what="cell")
    values = values.astype(float)
    bad = ~np.isfinite(values).all(axis=(0, 1))
    if bad.any():
        raise InputError(
            f"expected finite responses, but {bad.sum()} cells have NaN or infinity: "
            f"{', '.join(repr(cells[i]) for i in np.flatnonzero(bad)[:5])}. Leave these cells or "
            "faces out."
        )
    return faces, cells, values


def matched(space, responses, conditions, match: str):
    """Return coordinates (n_faces by n_dimensions), responses of these faces, names of cells."""
    check_choice(match, ["same", "intersection"], what="match")
    frame = as_coordinates(space)
    faces, cells, values = as_responses(responses, conditions)
    if match == "same" and set(faces) != set(frame.index):
        raise ConditionMismatchError(
            frame.index,
            faces,
            left_name="the space",
            right_name="responses",
            hint="Rename them, or use match='intersection' for those in both.",
        )
    place = {name: i for i, name in enumerate(faces)}
    kept = [name for name in frame.index if name in place]
    if len(kept) < 10:
        raise InputError(f"expected responses to at least 10 faces of the space, got {len(kept)}.")
    values = values[:, [place[name] for name in kept]]
    check_varying(values, cells)
    return frame.loc[kept], values, cells


def check_varying(values: np.ndarray, cells: Sequence[str], *, of: str = "cells") -> None:
    """Raise if the mean response of a cell (or other target) is the same to all faces."""
    flat = np.ptp(values.mean(axis=0), axis=0) == 0
    if flat.any():
        raise InputError(
            f"expected responses that differ, but {flat.sum()} {of} respond the same to all: "
            f"{some([cells[i] for i in np.flatnonzero(flat)])}. Leave these out."
        )


def ceilings(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the explainable share of the variance of mean responses, and the p of its F test."""
    n_repeats, n_faces, n_cells = values.shape
    if n_repeats < 2:
        return np.full(n_cells, np.nan), np.full(n_cells, np.nan)
    mean = values.mean(axis=0)
    within = ((values - mean) ** 2).sum(axis=(0, 1)) / (n_faces * (n_repeats - 1))
    between = n_repeats * mean.var(axis=0, ddof=1)
    p = stats.f.sf(
        between / np.where(within > 0, within, np.nan), n_faces - 1, n_faces * (n_repeats - 1)
    )
    return 1 - within / between, np.where(within > 0, p, 0.0)
