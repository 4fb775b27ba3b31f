"""What a brain file is, decided from its content: a volume, a surface or grayordinates.

An :class:`Image` knows where its places are and reads their values when they are asked for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.warning import warn
from rsa_faces.brain._region import Region, grid, same_grid
from rsa_faces.brain.files import image_files, load_file, nibabel_load, readable
from rsa_faces.brain.spheres import Volume
from rsa_faces.brain.vertices import (
    HEMISPHERES,
    hemisphere_of,
    is_surface,
    vertices_and_sides,
    vertices_of,
)

__all__ = [
    "GrayordinatesImage",
    "Image",
    "SurfaceImage",
    "VolumeImage",
    "open_image",
    "open_label_table",
]

_READ_BYTES = 256 * 2**20
_KINDS = (
    "a NIfTI image or a list of them, a mapping of 'left' and 'right' to GIFTI, a CIFTI image, or "
    "a path"
)
# sform and qform are stored in single precision, the qform as a quaternion.
_SAME_PLACE_MM = 0.1


@dataclass(frozen=True, eq=False)
class Image:
    """An open image: all its places, how many maps it has, and what to say about it.

    Attributes
    ----------
    space : Region
        All places.
    n_maps : int
        Maps, volumes or scans.
    label : str
        What it is called in errors: its role and, in parentheses, its file.
    notes : tuple of (str, str)
        What a reader must know, and the file it is about.
    kind : {"volume", "surface", "grayordinates"}

    See Also
    --------
    open_image : Open an image of any kind; values are read when they are asked for.
    VolumeImage : Voxels: a three- or four-dimensional image.
    SurfaceImage : Vertices of one or both hemispheres.
    GrayordinatesImage : CIFTI: vertices of the cortex and voxels below it.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from rsa_faces.brain.images import open_image
    >>> image = open_image(nibabel.Nifti1Image(np.zeros((5, 4, 3, 8)), np.eye(4)))
    >>> image.kind, image.n_maps, image.space.n_places
    ('volume', 8, 60)
    """

    space: Region
    n_maps: int
    label: str
    notes: tuple[tuple[str, str], ...] = field(default=(), kw_only=True)
    kind: ClassVar[str] = ""

    def read(self, space: Region) -> np.ndarray:
        """Return the values at some of the places, (n_maps, n_places) in float64."""
        values = np.empty((self.n_maps, space.n_places))
        self.fill(space, values.T)
        return values

    def fill(self, space: Region, out: np.ndarray) -> None:
        """Write the values at some of the places into an array, (n_places, n_maps)."""
        raise NotImplementedError


def open_image(img: Any, what: str = "img") -> Image:
    """Open an image of any kind; values are read when they are asked for.

    Parameters
    ----------
    img : image, path-like, sequence or mapping
        An image of nibabel or nilearn; a file; a pattern of files (``betas/*.nii.gz``) or a folder
        of images, whose files follow each other as people count (2 before 10); a list of these,
        map after map; a mapping of "left" and "right" to any of these, or to arrays of shape
        (n_maps, n_vertices).
    what : str, default "img"
        Its role, for errors.

    Returns
    -------
    VolumeImage, SurfaceImage or GrayordinatesImage
        From what the file holds, whatever its name: NIfTI and MGH of the shape (n_vertices, 1, 1)
        or (n_vertices, 1, 1, n_maps) are surfaces, as FreeSurfer writes them.

    Raises
    ------
    MissingFileError
        If there is no such file.
    InputError
        If a file is truncated, broken or no image; a hemisphere is not known; images of a list do
        not have the same places.

    Warns
    -----
    UserWarning
        If sform and qform of a NIfTI file differ or none is stated, or the hemisphere in the
        metadata is not that of the name.

    See Also
    --------
    rsa_faces.brain.load_patterns : Read maps of responses.
    rsa_faces.brain.load_roi : Read a mask: a NIfTI, GIFTI or CIFTI image, or a FreeSurfer label.
    Image : An open image: all its places, how many maps it has, and what to say about it.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from rsa_faces.brain.images import open_image
    >>> image = open_image(nibabel.Nifti1Image(np.zeros((5, 4, 3, 8)), np.eye(4)))
    >>> image.kind, image.n_maps, image.space.n_places
    ('volume', 8, 60)
    """
    image = _open(img, what)
    _tell(image)
    return image


def open_label_table(img: Any, what: str = "the atlas") -> dict[int, str] | None:
    """Return the names of the labels that a GIFTI or CIFTI image brings, None if it has none.

    Parameters
    ----------
    img : path-like or nibabel image
    what : str, default "the atlas"
        Its role, for errors.

    Returns
    -------
    dict of int to str, or None

    See Also
    --------
    rsa_faces.brain.atlas_rois : Return regions of an atlas by name.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from rsa_faces.brain.images import open_label_table
    >>> volume = nibabel.Nifti1Image(np.zeros((2, 3, 4)), np.eye(4))
    >>> print(open_label_table(volume))  # volumes bring no names
    None
    """
    import nibabel
    from nibabel.cifti2 import LabelAxis

    if isinstance(img, (str, os.PathLike)):
        img = load_file(img, what)
    if isinstance(img, nibabel.GiftiImage) and img.labeltable.labels:
        return {int(k): str(v) for k, v in img.labeltable.get_labels_as_dict().items()}
    if isinstance(img, nibabel.Cifti2Image) and isinstance(img.header.get_axis(0), LabelAxis):
        return {int(k): str(v[0]) for k, v in img.header.get_axis(0).label[0].items()}
    return None


# ------------------------------------------------------------------------------------- kinds


@dataclass(frozen=True, eq=False)
class VolumeImage(Image):
    """Voxels: a three- or four-dimensional image.

    See Also
    --------
    open_image : Open an image of any kind; values are read when they are asked for.
    SurfaceImage : Vertices of one or both hemispheres.
    GrayordinatesImage : CIFTI: vertices of the cortex and voxels below it.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from rsa_faces.brain.images import open_image
    >>> open_image(nibabel.Nifti1Image(np.zeros((5, 4, 3)), np.eye(4))).n_maps
    1
    """

    kind: ClassVar[str] = "volume"
    img: Any
    path: Path | None

    @classmethod
    def open(cls, img: Any, label: str, file: Path | None, path: Path | None) -> VolumeImage:
        """Open an image of nibabel from a file; `path` is None if others opened it."""
        shape = img.shape
        large = [axis for axis in range(3, len(shape)) if shape[axis] != 1]
        if len(shape) < 3 or len(large) > 1:
            raise InputError(
                f"expected {label} to have 3 dimensions, or 4 for several volumes, got {shape}."
            )
        if img.affine is None:
            raise InputError(f"expected {label} to have an affine, got none.")
        space = Region(Volume(np.ones(shape[:3], bool), img.affine), template=_template(file))
        n_maps = shape[large[0]] if large else 1
        if not n_maps:
            raise InputError(f"expected at least one volume in {label}, got the shape {shape}.")
        notes = tuple((note, label) for note in _orientation(img))
        return cls(space, n_maps, label, img, path, notes=notes)

    def fill(self, space: Region, out: np.ndarray) -> None:
        """Write the values at some of the voxels, in blocks of volumes."""
        mask = space.volume.mask
        # In the order of the file: the whole image may not fit into memory.
        step = max(1, _READ_BYTES // (8 * mask.size))
        with readable(self.label):
            img = self.img
            if self.path is not None and self.n_maps > step:
                # A compressed file is read on from block to block, not again from its beginning.
                img = nibabel_load(self.path, keep_file_open=True)
            for start in range(0, self.n_maps, step):
                block = np.asanyarray(self._block(img, start, step))
                if block.dtype.kind not in "fiub":
                    raise InputError(f"expected real numbers in {self.label}, got {block.dtype}.")
                out[:, start : start + step] = block[mask]

    def _block(self, img: Any, start: int, step: int) -> np.ndarray:
        """Return some of the volumes."""
        later = img.shape[3:]
        if not later:
            return np.asanyarray(img.dataobj)[..., None]
        one = [slice(start, start + step) if n == self.n_maps else 0 for n in later]
        if self.n_maps == 1:
            one = [slice(0, 1), *([0] * (len(later) - 1))]
        return img.dataobj[(..., *one)]


@dataclass(frozen=True, eq=False)
class SurfaceImage(Image):
    """Vertices of one or both hemispheres.

    See Also
    --------
    open_image : Open an image of any kind; values are read when they are asked for.
    VolumeImage : Voxels: a three- or four-dimensional image.
    GrayordinatesImage : CIFTI: vertices of the cortex and voxels below it.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from rsa_faces.brain.images import open_image
    >>> one = nibabel.GiftiImage(darrays=[nibabel.gifti.GiftiDataArray(np.zeros(6, np.float32))])
    >>> image = open_image({"left": one, "right": one})
    >>> image.kind, image.space.n_places
    ('surface', 12)
    """

    kind: ClassVar[str] = "surface"
    arrays: Mapping[str, np.ndarray]

    @classmethod
    def open(cls, arrays: Mapping[str, np.ndarray], label: str, notes=()) -> SurfaceImage:
        """Put the values of hemispheres, (n_maps, n_vertices), together."""
        if len({len(a) for a in arrays.values()}) > 1:
            counts = {part: len(a) for part, a in arrays.items()}
            raise InputError(f"expected as many maps in both hemispheres of {label}, got {counts}.")
        space = Region(**{part: np.ones(a.shape[1], bool) for part, a in arrays.items()})
        return cls(space, len(next(iter(arrays.values()))), label, arrays, notes=tuple(notes))

    def fill(self, space: Region, out: np.ndarray) -> None:
        """Write the values at some of the vertices."""
        for part, mask, own in space.split(out.T):
            own[:] = self.arrays[part][:, mask]


@dataclass(frozen=True, eq=False)
class GrayordinatesImage(Image):
    """CIFTI: vertices of the cortex and voxels below it.

    See Also
    --------
    open_image : Open an image of any kind; values are read when they are asked for.
    VolumeImage : Voxels: a three- or four-dimensional image.
    SurfaceImage : Vertices of one or both hemispheres.
    rsa_faces.mapping.to_cifti : Put maps of the same models into one CIFTI-2 image.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from rsa_faces.brain.images import open_image
    >>> mask = np.ones((2, 2, 2), bool)
    >>> axis = nibabel.cifti2.BrainModelAxis.from_mask(mask, "CortexLeft", np.eye(4))
    >>> maps = nibabel.cifti2.ScalarAxis(["one", "two"])
    >>> image = open_image(nibabel.Cifti2Image(np.zeros((2, 8)), (maps, axis)))
    >>> image.kind, image.n_maps
    ('grayordinates', 2)
    """

    kind: ClassVar[str] = "grayordinates"
    img: Any
    columns: Mapping[str, np.ndarray]

    @classmethod
    def open(cls, img: Any, label: str, path: Path | None) -> GrayordinatesImage:
        """Open a CIFTI image of maps or of a time series."""
        from nibabel.cifti2 import BrainModelAxis

        with readable(label):
            axis = img.header.get_axis(img.ndim - 1)
        if img.ndim != 2 or not isinstance(axis, BrainModelAxis):
            raise InputError(
                f"expected maps of grayordinates in {label} (dscalar, dlabel or dtseries), got "
                f"{type(axis).__name__} of shape {img.shape}."
            )
        masks: dict[str, Any] = {}
        columns: dict[str, np.ndarray] = {}
        # Values of a Region go by vertex and voxel number; a CIFTI file may list them in any order.
        places = np.arange(len(axis))
        for part in HEMISPHERES:
            structure = f"CIFTI_STRUCTURE_CORTEX_{part.upper()}"
            here = (axis.name == structure) & axis.surface_mask
            if here.any():
                masks[part] = np.zeros(axis.nvertices[structure], dtype=bool)
                masks[part][axis.vertex[here]] = True
                columns[part] = places[here][np.argsort(axis.vertex[here])]
        if axis.volume_mask.any():
            voxels = axis.voxel[axis.volume_mask]
            mask = np.zeros(axis.volume_shape, dtype=bool)
            mask[tuple(voxels.T)] = True
            masks["volume"] = Volume(mask, axis.affine)
            order = np.ravel_multi_index(tuple(voxels.T), axis.volume_shape)
            columns["volume"] = places[axis.volume_mask][np.argsort(order)]
        if sum(map(len, columns.values())) != len(axis):
            raise InputError(
                f"expected cortex and voxels in {label}, got also vertices of other surfaces: "
                f"{sorted(set(axis.name))}."
            )
        return cls(Region(**masks, template=_template(path)), img.shape[0], label, img, columns)

    def fill(self, space: Region, out: np.ndarray) -> None:
        """Write the values at some of the grayordinates."""
        own = dict(self.space.parts())
        chosen = [self.columns[part][mask[own[part]]] for part, mask in space.parts()]
        with readable(self.label):
            values = np.asarray(self.img.dataobj, dtype=np.float64)
        out[:] = values[:, np.concatenate(chosen)].T


@dataclass(frozen=True, eq=False)
class _Series(Image):
    """Several images of the same places, one after the other."""

    images: Sequence[Image]

    @property
    def kind(self) -> str:
        """That of its images."""
        return self.images[0].kind

    def fill(self, space: Region, out: np.ndarray) -> None:
        """Write the values of one image after the other."""
        start = 0
        for image in self.images:
            image.fill(space, out[:, start : start + image.n_maps])
            start += image.n_maps


# ----------------------------------------------------------------------------------- opening


def _open(img: Any, what: str) -> Image:
    """Open an image without telling its notes."""
    import nibabel

    if isinstance(img, Image):
        return img
    if isinstance(img, Region):
        raise TypeError(f"expected {what} to be {_KINDS}, got a Region.")
    if isinstance(img, Mapping):
        return _open_hemispheres(img, what)
    if hasattr(img, "mesh") and hasattr(img, "data") and hasattr(img.data, "parts"):
        return _open_hemispheres(
            {part: np.atleast_2d(np.asarray(a).T) for part, a in img.data.parts.items()}, what
        )
    if isinstance(img, (list, tuple)):
        return _open_several(list(img), what)
    path, label = None, what
    file = getattr(img, "get_filename", lambda: None)()
    if isinstance(img, (str, os.PathLike)):
        files = image_files(img, what)
        if len(files) > 1 or files[0] != Path(img):
            return _open_several(files, what)
        file = path = files[0]
        label = f"{what} ({path.name})"
        img = load_file(path, what)
    file = None if file is None else Path(file)
    if isinstance(img, nibabel.Cifti2Image):
        return GrayordinatesImage.open(img, label, file)
    if isinstance(img, nibabel.GiftiImage) or is_surface(img):
        part, notes = hemisphere_of(img, file, label)
        return SurfaceImage.open({part: vertices_of(img, label)}, label, notes)
    if isinstance(img, nibabel.spatialimages.SpatialImage):
        return VolumeImage.open(img, label, file, path)
    raise TypeError(f"expected {what} to be {_KINDS}, got {type(img).__name__}.")


def _open_several(images: list[Any], what: str) -> Image:
    """Open several images of the same places, map after map."""
    if not images:
        raise InputError(f"expected at least one image as {what}, got an empty list.")
    opened: list[Image] = []
    for i, img in enumerate(images):
        image = _open(img, f"{what} {i}")
        if opened and _same_places(opened[0].space, image.space):
            # One mask in memory for all, however many files there are.
            image = replace(image, space=opened[0].space)
        opened.append(image)
    notes = tuple(note for image in opened for note in image.notes)
    sides: dict[str, list[SurfaceImage]] = {}
    for image in opened:
        if isinstance(image, SurfaceImage) and len(image.arrays) == 1:
            sides.setdefault(next(iter(image.arrays)), []).append(image)
    if len(sides) == 2 and sum(map(len, sides.values())) == len(opened):
        arrays = {
            part: np.concatenate([image.arrays[part] for image in sides[part]])
            for part in HEMISPHERES
        }
        return SurfaceImage.open(arrays, what, notes)
    for other in opened[1:]:
        if other.space is not opened[0].space:
            raise InputError(_difference(opened[0], other, what))
    named = [re.search(r"\((.*)\)$", image.label) for image in (opened[0], opened[-1])]
    label = what
    if len(opened) > 1 and all(named):
        label = f"{what} ({len(opened)} files, {named[0].group(1)} to {named[1].group(1)})"
    n_maps = sum(image.n_maps for image in opened)
    return _Series(opened[0].space, n_maps, label, opened, notes=notes)


def _same_places(a: Region, b: Region) -> bool:
    """Whether two regions are the same places, on one grid to 0.001 mm."""
    mine, others = dict(a.parts()), dict(b.parts())
    return (
        list(mine) == list(others)
        and all(np.array_equal(mine[part], others[part]) for part in mine)
        and (a.volume is None or same_grid(a.volume, b.volume))
    )


def _difference(first: Image, other: Image, what: str) -> str:
    """Say how the places of two images differ."""
    if other.kind != first.kind:
        return (
            f"expected images of one kind as {what}, but {first.label} is a {first.kind} and "
            f"{other.label} a {other.kind}."
        )
    a, b = first.space.volume, other.space.volume
    if a is None or b is None or same_grid(a, b):
        return (
            f"expected {other.label} to have the places of {first.label}, {first.space!r}, got "
            f"{other.space!r}."
        )
    one = "shape" if a.mask.shape != b.mask.shape else "affine"
    return (
        f"expected one {one} for all images of {what}, but {first.label} has {grid(a)} and "
        f"{other.label} {grid(b)}."
    )


def _open_hemispheres(images: Mapping[str, Any], what: str) -> Image:
    """Open the values of vertices of one or both hemispheres."""
    for part in images:
        check_choice(part, HEMISPHERES, what=f"hemisphere of {what}")
    if not images:
        raise InputError(f"expected 'left' or 'right' in {what}, got an empty mapping.")
    arrays, notes = {}, []
    for part in (p for p in HEMISPHERES if p in images):
        arrays[part], stated = vertices_and_sides(images[part], f"{what} ({part})")
        for other in sorted(stated - {part}):
            notes.append((f"states the {other} hemisphere, and is given as the {part} one", what))
    return SurfaceImage.open(arrays, what, notes)


def _tell(image: Image) -> None:
    """Warn once of each note, with the first file it is about."""
    about: dict[str, list[str]] = {}
    for note, label in image.notes:
        about.setdefault(note, []).append(label)
    for note, labels in about.items():
        more = f" (and {len(labels) - 1} more)" if len(labels) > 1 else ""
        warn(f"{labels[0]}{more} {note}.")


def _orientation(img: Any) -> Iterator[str]:
    """Say where the orientation of a NIfTI image is doubtful."""
    if not hasattr(img, "get_sform"):
        return
    try:
        (sform, s_code), (qform, q_code) = img.get_sform(coded=True), img.get_qform(coded=True)
    except ValueError:  # a quaternion that is none; the sform is used
        return
    if not s_code and not q_code:
        yield (
            "states no orientation (the codes of sform and qform are 0), so that its coordinates "
            "in mm are a guess from the size of voxels"
        )
    elif s_code and q_code:
        # An affine map moves no point of a box further than its corners.
        corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
        corners = corners * [*(np.array(img.shape[:3]) - 1), 1]
        moved = np.linalg.norm((corners @ (sform - qform).T)[:, :3], axis=1).max()
        if moved > _SAME_PLACE_MM:
            yield (
                f"has an sform and a qform that differ, by up to {moved:.2g} mm; the sform is used"
            )


def _template(path: str | os.PathLike[str] | None) -> str | None:
    """Return the space that a file's name states, as in BIDS."""
    match = re.search(r"_space-([0-9A-Za-z]+)(?:_|\.)", Path(path or "").name)
    return match.group(1) if match else None
