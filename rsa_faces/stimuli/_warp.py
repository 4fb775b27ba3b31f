"""Warping images between shapes: affine within each triangle of a mesh over the whole frame."""

from __future__ import annotations

import numpy as np
from numba import njit

_PER_SIDE = 8  # points along each side of the frame that stay where they are


def border_points(height: int, width: int) -> np.ndarray:
    """Return points around the frame, at the centres of its outermost pixels, (4 n, 2) as x, y."""
    steps = np.arange(_PER_SIDE) / _PER_SIDE
    right, bottom = width - 1.0, height - 1.0
    zero, one = np.zeros(_PER_SIDE), np.ones(_PER_SIDE)
    x = np.concatenate([steps, one, 1 - steps, zero]) * right
    y = np.concatenate([zero, steps, one, 1 - steps]) * bottom
    return np.stack([x, y], axis=1)


def triangles_of(points: np.ndarray) -> np.ndarray:
    """Return Delaunay triangles, corners ordered so that areas are positive, (n_triangles, 3)."""
    from scipy.spatial import Delaunay

    corners = Delaunay(points).simplices.astype(np.int64)
    turned = areas(points, corners) < 0
    corners[turned] = corners[turned][:, [0, 2, 1]]
    return corners


def areas(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return twice the signed area of each triangle."""
    a, b, c = (points[corners[:, k]] for k in range(3))
    return (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])


@njit(nogil=True, cache=True)
def source_map(target, source, corners, height, width):
    """Return where each pixel of the target frame comes from, (height, width, 2) as x, y.

    target, source (n_points, 2): corners of the mesh in both. Pixels of no triangle are NaN;
    where triangles overlap, as they do when a mesh folds, the one that is listed last counts.
    """
    out = np.full((height, width, 2), np.nan)
    for t in range(len(corners)):
        i, j, k = corners[t]
        ax, ay = target[i]
        bx, by = target[j]
        cx, cy = target[k]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0:
            continue
        x0 = max(int(np.floor(min(ax, bx, cx))), 0)
        x1 = min(int(np.ceil(max(ax, bx, cx))), width - 1)
        y0 = max(int(np.floor(min(ay, by, cy))), 0)
        y1 = min(int(np.ceil(max(ay, by, cy))), height - 1)
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                u = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area
                v = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
                if u >= -1e-9 and v >= -1e-9 and u + v <= 1 + 1e-9:
                    w = 1.0 - u - v
                    out[y, x, 0] = w * source[i, 0] + u * source[j, 0] + v * source[k, 0]
                    out[y, x, 1] = w * source[i, 1] + u * source[j, 1] + v * source[k, 1]
    return out


@njit(nogil=True, cache=True)
def sample(image, places):
    """Return the image at places, bilinear; beyond the frame its nearest pixel. float32.

    image (height, width, n_channels), places (height', width', 2) as x, y.
    """
    height, width, n_channels = image.shape
    rows, columns = places.shape[:2]
    out = np.empty((rows, columns, n_channels), np.float32)
    for r in range(rows):
        for c in range(columns):
            x = min(max(places[r, c, 0], 0.0), width - 1.0)
            y = min(max(places[r, c, 1], 0.0), height - 1.0)
            left, top = min(int(x), max(width - 2, 0)), min(int(y), max(height - 2, 0))
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            fx, fy = np.float32(x - left), np.float32(y - top)
            for k in range(n_channels):
                upper = image[top, left, k] + fx * (image[top, right, k] - image[top, left, k])
                lower = image[bottom, left, k] + fx * (
                    image[bottom, right, k] - image[bottom, left, k]
                )
                out[r, c, k] = upper + fy * (lower - upper)
    return out


def warp(image: np.ndarray, source: np.ndarray, target: np.ndarray, corners: np.ndarray):
    """Return the image with points moved from `source` to `target`; the frame stays.

    image float32 (height, width, n_channels); source and target (n_points, 2) with the border.
    """
    height, width = image.shape[:2]
    return sample(image, source_map(target, source, corners, height, width))
