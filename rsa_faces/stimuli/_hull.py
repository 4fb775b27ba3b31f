"""Landmarks: whether they are numbers, and what they enclose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import ConvexHull

from rsa_faces._core.errors import InputError, some


def check_points(points: np.ndarray, names: Sequence[str]) -> None:
    """Raise if landmarks of an image, (n_images, n_landmarks, 2), are not finite."""
    lacking = [names[i] for i in np.flatnonzero(~np.isfinite(points).all(axis=(1, 2)))]
    if lacking:
        raise InputError(
            f"expected finite landmarks, but {len(lacking)} of {len(names)} images have NaN or "
            f"infinity: {some(lacking)}."
        )


def inside_hull(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return which pixels lie within the convex hull of points, (height, width)."""
    equations = ConvexHull(points).equations
    y, x = np.mgrid[:height, :width]
    sides = equations[:, :2] @ np.stack([x.ravel(), y.ravel()]) + equations[:, 2:]
    return (sides <= 1e-9).all(axis=0).reshape(height, width)
