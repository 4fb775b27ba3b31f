"""Faces made in a face space, and whether known faces surround them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

_EDGE = 1e-6  # a face on the border of the region counts as inside


@dataclass(frozen=True, eq=False)
class Faces:
    """Faces made in a face space.

    Attributes
    ----------
    images : ndarray of uint8, shape (n_faces, height, width, n_channels)
        In the frame of the space; 1 channel for grey images, 3 for RGB.
    landmarks : ndarray, shape (n_faces, n_landmarks, 2)
        x, y in pixels of `images`.
    coordinates : DataFrame
        One row per face, in standard deviations.
    folded : ndarray of int, shape (n_faces,)
        Triangles of the mesh that are turned over.
    clipped : ndarray, shape (n_faces,)
        Share of values that would be darker than black or brighter than white.
    known : ndarray, shape (n_known, n_dimensions)
        Coordinates of the faces that the space was made from.

    See Also
    --------
    rsa_faces.analyses.face_space : Make a space of faces from landmarks and images.
    rsa_faces.analyses.FaceSpace : Shape and appearance of faces.
    rsa_faces.figures.plot_faces : Draw made faces in rows.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import face_space
    >>> rng = np.random.default_rng(0)
    >>> points = np.array([[10, 12], [22, 12], [16, 18], [11, 24], [21, 24]])
    >>> points = points + rng.normal(size=(8, 5, 2))
    >>> images = rng.integers(0, 256, size=(8, 32, 32), dtype=np.uint8)
    >>> names = [f"face {i}" for i in range(8)]
    >>> space = face_space(images, points, conditions=names, n_shape=3, n_appearance=4)
    >>> faces = space.caricature("face 0", [0, 1, 2])
    >>> faces.images.shape, faces.clipped.shape
    ((3, 32, 32, 1), (3,))
    """

    images: np.ndarray
    landmarks: np.ndarray
    coordinates: pd.DataFrame
    folded: np.ndarray
    clipped: np.ndarray
    known: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"Faces({len(self)}, {self.images.shape[2]} x {self.images.shape[1]} px)"

    @cached_property
    def table(self) -> pd.DataFrame:
        """Where each face lies among the faces that were measured.

        Columns: ``extent``, the smallest factor by which the convex region of the known faces
        must grow, from the mean face, to hold this one; ``inside``, whether it is a mixture of
        known faces (extent at most 1); ``extrapolated``, the contrary; ``distance`` from the mean
        face, root mean square over dimensions, in standard deviations; ``typical``, whether some
        known face is at least as far; ``folded``; ``clipped``. With many dimensions the convex
        region is small: nearly every face that is not one of the known is extrapolated, though
        it may be typical.
        """
        values = self.coordinates.to_numpy(float)
        extents = extent(values, self.known)
        inside = extents <= 1 + _EDGE
        distance, farthest = _distance(values), _distance(self.known).max()
        return pd.DataFrame(
            {
                "extent": extents,
                "inside": inside,
                "extrapolated": ~inside,
                "distance": distance,
                "typical": distance <= farthest * (1 + _EDGE),
                "folded": self.folded,
                "clipped": self.clipped,
            },
            index=self.coordinates.index,
        )


def _distance(coordinates: np.ndarray) -> np.ndarray:
    """Return the root mean square over dimensions."""
    return np.sqrt((coordinates**2).mean(axis=1))


def extent(coordinates: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the smallest sum of weights, none negative, with which known faces add up to each.

    Known faces have mean 0, so that weights of sum t < 1 can be filled up to 1 with the mean: the
    face is t times a mixture of known faces. Infinite where no weights do.
    """
    from scipy.optimize import linprog

    out = np.empty(len(coordinates))
    for i, face in enumerate(coordinates):
        solution = linprog(np.ones(len(known)), A_eq=known.T, b_eq=face, bounds=(0, None))
        out[i] = solution.fun if solution.status == 0 else np.inf
    return out
