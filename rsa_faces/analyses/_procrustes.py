"""Procrustes: shapes brought onto one another by translation, rotation and scaling."""

from __future__ import annotations

import numpy as np

from rsa_faces._core.errors import InputError

KINDS = ("similarity", "rigid", "translation")
_ROUNDS = 500


def align(points: np.ndarray, mean: np.ndarray, kind: str, size: float):
    """Return shapes moved onto `mean`, and what was taken out: scale and angle of each.

    Shapes (n, n_landmarks, 2). "similarity": each gets the centroid size `size`, then the turn
    of least squares; "rigid": the turn; both without mirroring. Angles in degrees, clockwise in
    images (y points down), of the shape relative to the mean.
    """
    center = mean.mean(axis=0)
    # Points as complex numbers: a turn is one factor.
    z = _complex(points - points.mean(axis=1, keepdims=True))
    scale = np.ones(len(z))
    angle = np.zeros(len(z))
    if kind == "similarity":
        scale = np.linalg.norm(z, axis=1) / size
    if kind != "translation":
        angle = -np.angle(z.conj() @ _complex(mean - center))
    turned = z * (np.exp(-1j * angle) / scale)[:, None]
    return np.stack([turned.real, turned.imag], axis=-1) + center, scale, np.degrees(angle)


def mean_shape(points: np.ndarray, kind: str) -> tuple[np.ndarray, float]:
    """Return the mean of shapes that fit it best, in the pixels of the frame, and their size.

    The size is the mean centroid size (root of summed squared distances from the centre). The
    mean stands at the mean place of the shapes and is turned to fit their plain average, so that
    it is as upright as they are.
    """
    size = np.linalg.norm(points - points.mean(axis=1, keepdims=True), axis=(1, 2)).mean()
    plain = points.mean(axis=0)
    mean = plain
    for _ in range(_ROUNDS):
        new = align(points, mean, kind, size)[0].mean(axis=0)
        if kind != "translation":
            # Shapes and their mean may turn together without end: the mean stays upright as in the
            # frame.
            new = align(new[None], plain, "rigid", size)[0][0]
        moved = np.abs(new - mean).max()
        mean = new
        if moved < 1e-11 * size:
            return mean, float(size)
    raise InputError(
        f"expected shapes that agree enough for a mean shape, but {len(points)} shapes did not "
        f"settle on one in {_ROUNDS} rounds: check that all have the same landmarks in the same "
        "order."
    )


def _complex(points: np.ndarray) -> np.ndarray:
    """Return points as complex numbers."""
    return points[..., 0] + 1j * points[..., 1]
