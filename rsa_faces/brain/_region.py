"""A named set of places of a brain: voxels of a volume, vertices of hemispheres, or both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rsa_faces._core.checks import check_enough, check_flags
from rsa_faces._core.errors import InputError
from rsa_faces.brain.spheres import Volume

#: Parts of a region, in the order of their channels.
PARTS = ("left", "right", "volume")


class Region:
    """A set of places: voxels, vertices of the left and right cortex, or both.

    Parameters
    ----------
    volume : Volume, optional
        The voxels.
    left, right : array_like of bool, shape (n_vertices,), optional
        Which vertices of a hemisphere belong to it.
    name : str, default ""
        Such as "FFA".
    template : str, optional
        Space of the coordinates, where it is known ("MNI152NLin2009cAsym", "T1w").

    Attributes
    ----------
    volume, left, right, name, template
        As above; None where there is none.
    n_places : int
        Number of voxels and vertices.

    Raises
    ------
    InputError
        If there is no place at all, or vertices are not a vector of True and False.

    See Also
    --------
    rsa_faces.brain.load_roi : Read a mask: a NIfTI, GIFTI or CIFTI image, or a FreeSurfer label.
    rsa_faces.brain.atlas_rois : Return regions of an atlas by name.
    rsa_faces.brain.roi_sphere : Return the voxels within a radius of a point.
    rsa_faces.brain.localiser_roi : Return the voxels or vertices of a parcel.

    Notes
    -----
    Places have the order left hemisphere, right hemisphere, volume; voxels are in the order of
    ``image[mask]``, the last axis fastest.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.brain import Region, Volume
    >>> mask = np.zeros((4, 4, 4), bool)
    >>> mask[1, 1:3, 1] = True
    >>> Region(Volume(mask, np.eye(4)), name="FFA")
    Region('FFA', 2 voxels)
    """

    def __init__(
        self,
        volume: Volume | None = None,
        left: Any = None,
        right: Any = None,
        *,
        name: str = "",
        template: str | None = None,
    ):
        if volume is not None and not isinstance(volume, Volume):
            raise TypeError(f"expected volume to be a Volume, got {type(volume).__name__}.")
        self.volume, self.name, self.template = volume, str(name), template
        self.left, self.right = _vertices(left, "left"), _vertices(right, "right")
        check_enough(self.n_places, 1, f"voxel or vertex in region {name!r}")

    @property
    def n_places(self) -> int:
        """Number of voxels and vertices."""
        return sum(int(mask.sum()) for _, mask in self.parts())

    def __repr__(self) -> str:
        counts = []
        for part, mask in self.parts():
            what = "voxels" if part == "volume" else f"vertices of {len(mask)} ({part})"
            counts.append(f"{int(mask.sum())} {what}")
        return f"Region({self.name!r}, {', '.join(counts)})"

    def parts(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the name and the mask of each part there is, in the order of the channels."""
        for part in PARTS:
            mask = getattr(self, part)
            if mask is not None:
                yield part, mask.mask if part == "volume" else mask

    def split(self, values: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Yield the name and the mask of each part, and its share of values, (..., n_places)."""
        start = 0
        for part, mask in self.parts():
            stop = start + int(mask.sum())
            yield part, mask, values[..., start:stop]
            start = stop

    def named(self, name: str) -> Region:
        """Return the same region with another name."""
        return Region(self.volume, self.left, self.right, name=name, template=self.template)

    def keep(self, chosen: np.ndarray, *, name: str | None = None) -> Region:
        """Return the region of some of the places.

        Parameters
        ----------
        chosen : ndarray of bool, shape (n_places,)
        name : str, optional
            By default that of this region.
        """
        chosen = check_flags(chosen, self.n_places, what="chosen")
        parts: dict[str, Any] = {}
        for part, mask, here in self.split(chosen):
            if here.any():
                kept = mask.copy()
                kept[mask] = here
                parts[part] = Volume(kept, self.volume.affine) if part == "volume" else kept
        return Region(**parts, name=self.name if name is None else name, template=self.template)

    def resample(self, like: Region) -> Region:
        """Put the voxels on the grid of another region, by nearest neighbour.

        A voxel of the new grid belongs to the region if the voxel of the old grid nearest to its
        centre does. Vertices stay: surfaces cannot be resampled here.

        Parameters
        ----------
        like : Region
            Its shape and affine are taken, not its mask.

        Raises
        ------
        InputError
            If one of them has no voxels, the spaces are known and differ, or nothing is left.
        """
        if self.volume is None or like.volume is None:
            raise InputError(
                f"expected voxels in {self!r} and {like!r}: only volumes can be resampled."
            )
        check_template(self, like)
        mask = _nearest(self.volume, like.volume)
        if not mask.any():
            raise InputError(
                f"expected region {self.name!r} to overlap with the grid it is resampled to, "
                f"but of {self.n_places} places none is left: it lies outside, or is smaller than "
                "a voxel."
            )
        volume = Volume(mask, like.volume.affine)
        return Region(volume, self.left, self.right, name=self.name, template=like.template)

    def positions(self, space: Region, *, resample: bool = False) -> np.ndarray:
        """Find which places of `space` belong to this region.

        Parameters
        ----------
        space : Region
            The places of patterns.
        resample : bool, default False
            Put voxels on another grid onto that of `space`, by nearest neighbour.

        Returns
        -------
        ndarray of bool, shape (space.n_places,)

        Raises
        ------
        InputError
            If grids or numbers of vertices differ, or no place is in both.
        """
        roi = self.on_grid_of(space, resample=resample)
        own = dict(roi.parts())
        chosen = [
            own[part][mask] if part in own else np.zeros(int(mask.sum()), dtype=bool)
            for part, mask in space.parts()
        ]
        chosen = np.concatenate(chosen)
        if not chosen.any():
            raise InputError(
                f"expected region {self.name!r} to share places with the patterns, but none of its "
                f"{roi.n_places} places is among their {space.n_places}: it lies outside the mask."
            )
        return chosen

    def on_grid_of(self, space: Region, *, resample: bool) -> Region:
        """Return this region on the grid of `space`, or say how they differ."""
        check_template(self, space)
        for part in ("left", "right"):
            mine, theirs = getattr(self, part), getattr(space, part)
            if mine is not None and theirs is not None and len(mine) != len(theirs):
                raise InputError(
                    f"expected the {part} hemisphere of region {self.name!r} to have "
                    f"{len(theirs)} vertices as the patterns have, got {len(mine)}. Surfaces are "
                    "not resampled; bring it to the same mesh first."
                )
        if self.volume is None or space.volume is None or same_grid(self.volume, space.volume):
            return self
        if resample:
            return self.resample(space)
        what = f"region {self.name!r}" if self.name else "the mask"
        raise InputError(
            f"expected {what} on the grid of the patterns, {grid(space.volume)}, got "
            f"{grid(self.volume)}. To resample it by nearest neighbour say resample=True."
        )

    def to_img(self, values: Any = None, *, fill: float = np.nan):
        """Return an image of the region, or of values at its places, in float32.

        Parameters
        ----------
        values : array_like, shape (n_places,) or (n_maps, n_places), optional
            By default 1 at every place and 0 elsewhere.
        fill : float, default NaN
            Value elsewhere.

        Returns
        -------
        nibabel.Nifti1Image, dict of nibabel.GiftiImage or nibabel.Cifti2Image
            NIfTI for voxels (4-D for several maps), {"left": GIFTI, "right": GIFTI} for vertices,
            and a CIFTI dscalar for both. The names of subcortical structures are not kept in it.
        """
        if values is None:
            values, fill = np.ones(self.n_places), 0.0
        values = np.asarray(values)
        if values.ndim not in (1, 2) or values.shape[-1] != self.n_places:
            raise InputError(
                f"expected values of shape ({self.n_places},) or (n_maps, {self.n_places}), one "
                f"for each place, got {values.shape}."
            )
        if self.volume is not None and (self.left is not None or self.right is not None):
            values = np.atleast_2d(values)
            return cifti_image(self, values, [f"map {i}" for i in range(len(values))])
        if self.volume is not None:
            return self._nifti(values, fill)
        return {
            part: _gifti(np.atleast_2d(rows), mask, part, fill)
            for part, mask, rows in self.split(values)
        }

    def _nifti(self, values: np.ndarray, fill: float):
        """Return voxels as an image."""
        import nibabel

        array = np.full(self.volume.mask.shape + values.shape[:-1], fill, dtype=np.float32)
        array[self.volume.mask] = values.T
        return nibabel.Nifti1Image(array, self.volume.affine)


def cifti_image(region: Region, values: np.ndarray, names: Sequence[str]):
    """Return values of voxels and vertices, (n_maps, n_places), as a dscalar in float32."""
    import nibabel
    from nibabel.cifti2 import BrainModelAxis, ScalarAxis

    axis = None
    for part, mask in region.parts():
        if part == "volume":
            model = BrainModelAxis.from_mask(mask, "other", affine=region.volume.affine)
        else:
            vertices = np.flatnonzero(mask)
            model = BrainModelAxis.from_surface(vertices, len(mask), f"cortex_{part}")
        axis = model if axis is None else axis + model
    header = ScalarAxis(list(names)), axis
    return nibabel.Cifti2Image(values.astype(np.float32), header=header)


def same_grid(a: Volume, b: Volume) -> bool:
    """Whether two volumes have the same shape, and the same affine to 0.001 mm."""
    return a.mask.shape == b.mask.shape and np.allclose(a.affine, b.affine, rtol=0.0, atol=1e-3)


def grid(volume: Volume) -> str:
    """Show shape and affine in one line."""
    affine = np.round(volume.affine[:3], 4).tolist()
    return f"shape {volume.mask.shape} with affine {affine}"


def check_template(a: Region, b: Region) -> None:
    """Check that the spaces of two regions do not differ where both are known."""
    if a.template is None or b.template is None:
        return
    if a.template != b.template and not (_is_mni(a.template) and _is_mni(b.template)):
        raise InputError(
            f"expected {a.name or 'the mask'!r} in the space {b.template!r} of the patterns, got "
            f"{a.template!r}. Resampling does not move between spaces; transform it first."
        )


def _is_mni(template: str) -> bool:
    """Whether a template is one of those of the Montreal Neurological Institute."""
    return template.upper().startswith("MNI")


def _nearest(volume: Volume, like: Volume) -> np.ndarray:
    """Return which voxels of another grid have a voxel of this mask as the nearest one."""
    to_own = np.linalg.inv(volume.affine) @ like.affine
    found = np.zeros(like.mask.shape, dtype=bool)
    plane = np.indices(like.mask.shape[1:]).reshape(2, -1)
    # Voxels reach half their size beyond their centres, also those at the edge of the image.
    for i, row in enumerate(found):
        index = np.vstack([np.full(plane.shape[1], i), plane])
        index = np.rint(to_own[:3, :3] @ index + to_own[:3, 3:]).astype(int)
        inside = ((index >= 0) & (index < np.array(volume.mask.shape)[:, None])).all(axis=0)
        row.reshape(-1)[inside] = volume.mask[tuple(index[:, inside])]
    return found


def _gifti(values: np.ndarray, mask: np.ndarray, part: str, fill: float):
    """Return vertices of a hemisphere as an image, one array per map."""
    from nibabel import gifti

    arrays = []
    for row in values:
        full = np.full(mask.shape, fill, dtype=np.float32)
        full[mask] = row
        arrays.append(gifti.GiftiDataArray(full, intent="NIFTI_INTENT_SHAPE"))
    meta = gifti.GiftiMetaData({"AnatomicalStructurePrimary": f"Cortex{part.title()}"})
    return gifti.GiftiImage(darrays=arrays, meta=meta)


def _vertices(mask: Any, part: str) -> np.ndarray | None:
    """Return vertices as a vector that cannot be changed."""
    if mask is None:
        return None
    mask = np.array(mask)
    if mask.dtype != bool or mask.ndim != 1:
        raise InputError(
            f"expected the {part} hemisphere as a vector of True and False, got {mask.dtype} of "
            f"shape {mask.shape}."
        )
    mask.flags.writeable = False
    return mask
