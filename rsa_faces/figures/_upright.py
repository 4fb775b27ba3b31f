"""Voxels in a grid along the axes of the scanner, in which slices are cut."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from rsa_faces.brain import Volume
from rsa_faces.brain.files import load_file


@dataclass(frozen=True)
class Upright:
    """Voxels along the axes of the scanner: where the first one is, and how large they are."""

    array: np.ndarray
    origin: np.ndarray
    step: np.ndarray

    @property
    def size(self) -> np.ndarray:
        """Length of each side, in mm."""
        return self.step * self.array.shape

    def corners(self, along: int) -> np.ndarray:
        """Return the lower left and upper right corner of a slice, in mm."""
        low = self.origin - self.step / 2
        return np.delete(np.stack([low, low + self.size]), along, axis=1)


def upright(space: Volume, values) -> Upright:
    """Return values (or the mask) in a grid along the axes of the scanner."""
    import nibabel

    values = np.ones(space.n_places) if values is None else values
    grid = upright_image(nibabel.Nifti1Image(space.to_array(values), space.affine))
    # One voxel around the mask is enough.
    inside = upright_image(nibabel.Nifti1Image(space.mask.astype(np.float64), space.affine))
    box = np.argwhere(inside.array > 0.5)
    low = np.maximum(box.min(axis=0) - 1, 0)
    part = tuple(slice(a, b + 2) for a, b in zip(low, box.max(axis=0), strict=True))
    return Upright(grid.array[part], grid.origin + low * grid.step, grid.step)


def upright_image(img: Any) -> Upright:
    """Return an image in a grid along the axes of the scanner, by the nearest voxel."""
    import nibabel
    from nilearn.image import resample_img

    img = nibabel.as_closest_canonical(
        load_file(img, "the image below the map") if isinstance(img, (str, os.PathLike)) else img
    )
    matrix = img.affine[:3, :3]
    step = np.linalg.norm(matrix, axis=0)
    # A slice of an oblique grid would lie at an angle to the axis that it is named by.
    if np.abs(matrix - np.diag(np.diagonal(matrix))).max() > 1e-3 * step.min():
        with warnings.catch_warnings(action="ignore"):
            img = resample_img(
                img,
                target_affine=np.diag([step.min()] * 3),
                interpolation="nearest",
                fill_value=np.nan,
                force_resample=True,
                copy_header=True,
            )
        step = np.full(3, step.min())
    array = np.asarray(img.dataobj, dtype=np.float64)
    return Upright(array.reshape(array.shape[:3]), img.affine[:3, 3], step)
