"""Convex hulls of landmarks."""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull


def inside_hull(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return which pixels lie within the convex hull of points, (height, width)."""
    equations = ConvexHull(points).equations
    y, x = np.mgrid[:height, :width]
    sides = equations[:, :2] @ np.stack([x.ravel(), y.ravel()]) + equations[:, 2:]
    return (sides <= 1e-9).all(axis=0).reshape(height, width)
