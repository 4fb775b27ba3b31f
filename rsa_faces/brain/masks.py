"""Masks: which places they hold, and images read there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rsa_faces._core.errors import InputError
from rsa_faces._core.warning import warn
from rsa_faces.brain._region import Region
from rsa_faces.brain.images import Image, open_image
from rsa_faces.brain.spheres import Volume

__all__ = ["as_region", "inside_mask", "mask_on", "read_image", "read_once"]

# Integers that are stored with a scale come back with rounding.
_ROUNDING = 1e-6


def as_region(
    mask: Any, what: str = "mask_img", *, name: str = "", threshold: float | None = None
) -> Region:
    """Return a mask as a region.

    Parameters
    ----------
    mask : image, Region, Volume, mapping or path-like
        Exactly 0 (or NaN) outside and 1 inside.
    what : str, default "mask_img"
        Its role, for errors.
    name : str, default ""
        Of the region.
    threshold : float, optional
        For an image of other values: places above it are inside.

    Returns
    -------
    Region

    Raises
    ------
    InputError
        If there are several maps, other values without a threshold, or no place is inside.

    See Also
    --------
    rsa_faces.brain.load_roi : Read a mask: a NIfTI, GIFTI or CIFTI image, or a FreeSurfer label.
    inside_mask : Return which places a mask holds.
    rsa_faces.brain.Region : Places of a brain: voxels, vertices or both.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from rsa_faces.brain.masks import as_region
    >>> values = np.zeros((4, 4, 4))
    >>> values[:2] = 0.8  # a map of probabilities
    >>> as_region(nibabel.Nifti1Image(values, np.eye(4)), name="FFA", threshold=0.5).n_places
    32
    """
    if isinstance(mask, (Region, Volume)):
        if threshold is not None:
            raise InputError(f"expected an image with threshold={threshold:g}, got {mask!r}.")
        return mask if isinstance(mask, Region) else Region(mask, name=name)
    image = open_image(mask, what)
    if image.n_maps != 1:
        raise InputError(f"expected one map in {image.label}, got {image.n_maps}.")
    inside = inside_mask(image.read(image.space)[0], image.label, threshold)
    return image.space.keep(inside, name=name)


def inside_mask(values: np.ndarray, label: str, threshold: float | None = None) -> np.ndarray:
    """Return which places a mask holds: exactly 1, or above the threshold that was given.

    Parameters
    ----------
    values : ndarray
        NaN is outside.
    label : str
        The mask, for errors.
    threshold : float, optional
        Places above it are inside.

    Returns
    -------
    ndarray of bool
        The shape of `values`.

    Raises
    ------
    InputError
        If there are values other than 0 and 1 and no threshold, or no place is inside.

    See Also
    --------
    as_region : Return a mask as a region.
    mask_on : Return the places of an image that are in the mask, on the grid of the image.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.brain.masks import inside_mask
    >>> inside_mask(np.array([0.0, 1.0, 1.0]), "the mask")
    array([False,  True,  True])
    >>> inside_mask(np.array([0.2, 0.6, 0.9]), "the mask", threshold=0.5)
    array([False,  True,  True])
    """
    known = values[~np.isnan(values)]
    if threshold is not None:
        with np.errstate(invalid="ignore"):
            inside = values > threshold
        if not inside.any():
            most = f"the largest is {known.max():g}" if known.size else "all are NaN"
            raise InputError(
                f"expected values above the threshold {threshold:g} in {label}, but {most}."
            )
        return inside
    # Not "other than 0": a map of probabilities or of statistics would be a mask of nearly the
    # whole brain.
    inside = np.abs(values - 1) <= _ROUNDING
    other = known[(np.abs(known) > _ROUNDING) & (np.abs(known - 1) > _ROUNDING)]
    if other.size:
        finite = known[np.isfinite(known)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        low = min(low, 0.0) if known.size < values.size else low
        different = np.unique(known[known != 0])
        raise InputError(
            f"expected a mask that is exactly 0 and 1 in {label}, but {other.size} of "
            f"{values.size} values are others, got {len(different)} from {different[0]:g} to "
            f"{different[-1]:g}. For labels use atlas_rois; for a map of statistics use "
            "localiser_roi; for probabilities and the like say above which value a place is "
            f"inside, as load_roi(..., threshold={(low + high) / 2:g})."
        )
    if not inside.any():
        raise InputError(
            f"expected a mask with at least one place, but {label} holds nothing other than 0 at "
            f"its {values.size} places."
        )
    return inside


def mask_on(mask: Region, full: Region, resample: bool) -> Region:
    """Return the places of an image that are in the mask, on the grid of the image.

    Parameters
    ----------
    mask : Region
    full : Region
        All places of the image.
    resample : bool
        Whether a mask on another grid is put onto that of the image (nearest voxel).

    Returns
    -------
    Region

    See Also
    --------
    inside_mask : Return which places a mask holds.
    as_region : Return a mask as a region.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from rsa_faces.brain.masks import as_region, mask_on
    >>> whole = as_region(nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)))
    >>> part = np.zeros((4, 4, 4), np.uint8)
    >>> part[0] = 1
    >>> mask_on(as_region(nibabel.Nifti1Image(part, np.eye(4))), whole, False).n_places
    16
    """
    mask = mask.on_grid_of(full, resample=resample)
    inside = mask.positions(full)
    if absent := mask.n_places - int(inside.sum()):
        warn(f"{absent} of {mask.n_places} places of the mask {mask.name!r} are not in the image.")
    return full.keep(inside, name=mask.name)


def read_image(
    img: Any, mask: Region | None, what: str, *, resample: bool = False
) -> tuple[Region, np.ndarray]:
    """Return places and values, (n_maps, n_places) in float64, within a mask if there is one.

    Parameters
    ----------
    img : image, str, mapping or path-like
        Whatever :func:`rsa_faces.brain.images.open_image` takes.
    mask : Region or None
    what : str
        What errors call the image.
    resample : bool, default False
        Bring a mask on another grid to that of the image, by nearest neighbour, rather than refuse
        it.

    Returns
    -------
    Region, ndarray

    See Also
    --------
    mask_on : Return the places of an image that are in the mask, on the grid of the image.
    read_once : Open an image and read some regions of it at once.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from rsa_faces.brain.masks import as_region, read_image
    >>> values = nibabel.Nifti1Image(np.arange(8.0).reshape(2, 2, 2), np.eye(4))
    >>> mask = as_region(nibabel.Nifti1Image((values.get_fdata() > 5).astype(np.uint8), np.eye(4)))
    >>> places, inside = read_image(values, mask, "img")
    >>> inside.tolist()
    [[6.0, 7.0]]
    """
    image = open_image(img, what)
    space = image.space if mask is None else mask_on(mask, image.space, resample)
    return space, image.read(space)


def read_once(img: Any, places: Sequence[Region], what: str = "img") -> Image:
    """Open an image and read what lies in any of some regions on its grid, at once.

    Parameters
    ----------
    img : path-like or nibabel image
    places : sequence of Region
    what : str, default "img"
        Its role, for errors.

    Returns
    -------
    Image
        For whatever takes an image: these places are not read again.

    See Also
    --------
    mask_on : Return the places of an image that are in the mask, on the grid of the image.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from rsa_faces.brain.masks import as_region, read_once
    >>> values = np.arange(8.0).reshape(2, 2, 2)
    >>> mask = as_region(nibabel.Nifti1Image((values > 5).astype(np.uint8), np.eye(4)))
    >>> image = read_once(nibabel.Nifti1Image(values, np.eye(4)), [mask])
    >>> image.read(mask.on_grid_of(image.space, resample=False)).tolist()
    [[6.0, 7.0]]
    """
    image = open_image(img, what)
    inside = [mask_on(part, image.space, False).positions(image.space) for part in places]
    held = image.space.keep(np.any(inside, axis=0))
    return _Held(
        image.space, image.n_maps, image.label, image, held, image.read(held), notes=image.notes
    )


@dataclass(frozen=True, eq=False)
class _Held(Image):
    """An image of which some places were read, for several readers of these."""

    image: Image
    places: Region
    values: np.ndarray

    @property
    def kind(self) -> str:
        """That of the image."""
        return self.image.kind

    def fill(self, space: Region, out: np.ndarray) -> None:
        """Write values that are at hand."""
        chosen = space.positions(self.places)
        if chosen.sum() < space.n_places:
            self.image.fill(space, out)
            return
        out[:] = self.values[:, chosen].T
