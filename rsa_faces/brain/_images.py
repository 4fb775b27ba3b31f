"""Reading brain images of all kinds: where the places are, and one row of values per map."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces.brain._region import Region
from rsa_faces.brain.spheres import Volume

UNUSABLE = ("raise", "drop")
_READ_BYTES = 256 * 2**20
_KINDS = (
    "a NIfTI image or a list of them, a mapping of 'left' and 'right' to GIFTI, a CIFTI image, or "
    "a path"
)


@dataclass(frozen=True)
class Image:
    """An open image: all its places, and a function from places to values (n_maps, n_places)."""

    space: Region
    n_maps: int
    read: Callable[[Region], np.ndarray]


def open_image(img: Any, what: str) -> Image:
    """Open an image of any kind; values are read when they are asked for."""
    import nibabel

    if isinstance(img, Region):
        raise TypeError(f"expected {what} to be {_KINDS}, got a Region.")
    if isinstance(img, Mapping):
        return _open_hemispheres(img, what)
    if hasattr(img, "mesh") and hasattr(img, "data") and hasattr(img.data, "parts"):
        return _open_hemispheres(
            {part: np.atleast_2d(np.asarray(a).T) for part, a in img.data.parts.items()}, what
        )
    if isinstance(img, (list, tuple)):
        return _open_many(img, what)
    file = getattr(img, "get_filename", lambda: None)()
    if isinstance(img, (str, os.PathLike)):
        file, img = img, _load(img, what)
    template = _template(file) if file else None
    if isinstance(img, nibabel.Cifti2Image):
        return _open_cifti(img, what, template)
    if isinstance(img, nibabel.GiftiImage):
        return _open_hemispheres({_hemisphere(img, file, what): img}, what)
    if isinstance(img, nibabel.spatialimages.SpatialImage):
        return _open_volume(img, what, template)
    raise TypeError(f"expected {what} to be {_KINDS}, got {type(img).__name__}.")


def read_image(
    img: Any, mask: Region | None, what: str, *, resample: bool = False
) -> tuple[Region, np.ndarray]:
    """Return places and values, (n_maps, n_places) in float64, within a mask if there is one."""
    image = open_image(img, what)
    space = image.space if mask is None else mask_on(mask, image.space, resample)
    return space, image.read(space)


def mask_on(mask: Region, full: Region, resample: bool) -> Region:
    """Return the places of an image that are in the mask, on the grid of the image."""
    mask = mask.on_grid_of(full, resample=resample)
    inside = mask.positions(full)
    if absent := mask.n_places - int(inside.sum()):
        warnings.warn(
            f"{absent} of {mask.n_places} places of the mask {mask.name!r} are not in the image.",
            stacklevel=4,
        )
    return full.keep(inside, name=mask.name)


def as_region(mask: Any, what: str = "mask_img", *, name: str = "") -> Region:
    """Return a mask as a region: places that are neither 0 nor NaN."""
    if isinstance(mask, Region):
        return mask
    if isinstance(mask, Volume):
        return Region(mask, name=name)
    image = open_image(mask, what)
    if image.n_maps != 1:
        raise InputError(f"expected one map in {what}, got {image.n_maps}.")
    full, values = image.space, image.read(image.space)
    inside = (values[0] != 0) & ~np.isnan(values[0])
    if not inside.any():
        raise InputError(
            f"expected a mask with at least one place, but {what} holds nothing other than 0 at "
            f"its {full.n_places} places."
        )
    return full.keep(inside, name=name)


def usable_places(
    reasons: Mapping[str, np.ndarray], space: Region, unusable: str, what: str
) -> tuple[np.ndarray, dict[str, int]]:
    """Return which places can be used and how many cannot for each reason; see `unusable`."""
    check_choice(unusable, UNUSABLE, what="way with unusable places")
    bad = np.zeros(space.n_places, dtype=bool)
    counts = {}
    for reason, where in reasons.items():
        new = where & ~bad
        if new.any():
            counts[reason] = int(new.sum())
        bad |= where
    if not bad.any():
        return ~bad, counts
    listed = ", ".join(f"{count} {reason}" for reason, count in counts.items())
    counted = (
        f"{int(bad.sum())} of {len(bad)} places of {what} cannot be used: {listed} (the first is "
        f"{place_name(space, int(np.argmax(bad)))})"
    )
    if bad.all() or unusable == "raise":
        advice = (
            "Check the image and the mask."
            if bad.all()
            else "Give a mask (mask_img) without them, or say unusable='drop'."
        )
        raise InputError(
            f"expected finite values that vary at every place, but {counted}. {advice}"
        )
    warnings.warn(f"{counted}. They are left out.", stacklevel=3)
    return ~bad, counts


def place_name(space: Region, place: int) -> str:
    """Say which voxel or vertex a place is."""
    for part, mask in space.parts():
        if place < (count := int(mask.sum())):
            index = tuple(int(i) for i in np.argwhere(mask)[place])
            return f"voxel {index}" if part == "volume" else f"{part} vertex {index[0]}"
        place -= count
    raise IndexError(place)


def _open_volume(img, what: str, template: str | None) -> Image:
    """Open a three- or four-dimensional image."""
    shape = img.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (3, 4):
        raise InputError(
            f"expected {what} to have 3 dimensions, or 4 for several volumes, got {img.shape}."
        )
    if img.affine is None:
        raise InputError(f"expected {what} to have an affine, got none.")
    full = Region(Volume(np.ones(shape[:3], bool), img.affine), template=template)
    n_maps = shape[3] if len(shape) == 4 else 1

    def read(space: Region) -> np.ndarray:
        mask = space.volume.mask
        values = np.empty((n_maps, space.n_places))
        # Blocks of volumes, in the order of the file: the whole image may not fit into memory.
        step = max(1, _READ_BYTES // (8 * mask.size))
        for start in range(0, n_maps, step):
            if len(img.shape) == 3:
                block = np.asanyarray(img.dataobj)[..., None]
            else:
                later = (0,) * (len(img.shape) - 4)
                block = np.asanyarray(img.dataobj[(..., slice(start, start + step), *later)])
            if block.dtype.kind not in "fiub":
                raise TypeError(f"expected real numbers in {what}, got {block.dtype}.")
            values[start : start + step] = block[mask].T
        return values

    return Image(full, n_maps, read)


def _open_many(images: Sequence[Any], what: str) -> Image:
    """Open several images of the same places, one after the other."""
    if not images:
        raise InputError(f"expected at least one image as {what}, got an empty list.")
    opened = [open_image(img, f"{what} {i}") for i, img in enumerate(images)]
    first = opened[0].space
    for i, other in enumerate(opened[1:], start=1):
        chosen = other.space.positions(first)
        if not chosen.all() or other.space.n_places != first.n_places:
            raise InputError(f"expected {what} {i} to have the places of {what} 0, got others.")
    return Image(
        first,
        sum(image.n_maps for image in opened),
        lambda space: np.concatenate([image.read(space) for image in opened]),
    )


def _open_hemispheres(images: Mapping[str, Any], what: str) -> Image:
    """Open the values of vertices of one or both hemispheres."""
    for part in images:
        check_choice(part, ("left", "right"), what=f"hemisphere of {what}")
    arrays = {part: vertex_values(images[part], f"{what} ({part})")
              for part in ("left", "right") if part in images}  # fmt: skip
    if not arrays:
        raise InputError(f"expected 'left' or 'right' in {what}, got an empty mapping.")
    if len({len(a) for a in arrays.values()}) > 1:
        counts = {part: len(a) for part, a in arrays.items()}
        raise InputError(f"expected as many maps in both hemispheres of {what}, got {counts}.")
    full = Region(**{part: np.ones(a.shape[1], bool) for part, a in arrays.items()})

    def read(space: Region) -> np.ndarray:
        return np.hstack([arrays[part][:, mask] for part, mask in space.parts()])

    return Image(full, len(next(iter(arrays.values()))), read)


def vertex_values(img: Any, what: str) -> np.ndarray:
    """Return the values of a hemisphere, (n_maps, n_vertices)."""
    import nibabel

    if isinstance(img, (list, tuple)):
        rows = [vertex_values(one, what) for one in img]
        if len({row.shape[1] for row in rows}) != 1:
            raise InputError(f"expected the same number of vertices in all files of {what}.")
        return np.concatenate(rows)
    if isinstance(img, (str, os.PathLike)):
        img = _load(img, what)
    if isinstance(img, nibabel.GiftiImage):
        arrays = [d.data for d in img.darrays]
        if not arrays or len({a.shape for a in arrays}) != 1:
            raise InputError(f"expected arrays of one length in {what}, got {len(arrays)}.")
        # Some tools write one array with a column for each map.
        values = arrays[0].T if arrays[0].ndim == 2 and len(arrays) == 1 else np.stack(arrays)
    elif isinstance(img, nibabel.spatialimages.SpatialImage):
        # FreeSurfer's .mgh of a surface: (n_vertices, 1, 1) or (n_vertices, 1, 1, n_maps).
        values = np.asanyarray(img.dataobj)
        values = values.reshape(values.shape[0], -1).T if values.shape[1:3] == (1, 1) else values
    else:
        values = np.atleast_2d(np.asarray(img))
    if values.dtype.kind not in "fiub":
        raise TypeError(f"expected real numbers in {what}, got {values.dtype}.")
    if values.ndim != 2:
        raise InputError(
            f"expected {what} of shape (n_maps, n_vertices), got {values.shape}; is it the "
            "geometry of a surface?"
        )
    return np.asarray(values, dtype=np.float64)


def _open_cifti(img, what: str, template: str | None) -> Image:
    """Open a CIFTI image of maps or of a time series."""
    from nibabel.cifti2 import BrainModelAxis

    axis = img.header.get_axis(img.ndim - 1)
    if img.ndim != 2 or not isinstance(axis, BrainModelAxis):
        raise InputError(
            f"expected maps of grayordinates in {what} (dscalar, dlabel or dtseries), got "
            f"{type(axis).__name__} of shape {img.shape}."
        )
    masks: dict[str, Any] = {}
    columns: dict[str, np.ndarray] = {}
    places = np.arange(len(axis))
    for part in ("left", "right"):
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
            f"expected cortex and voxels in {what}, got also vertices of other surfaces: "
            f"{sorted(set(axis.name))}."
        )
    full = Region(**masks, template=template)

    def read(space: Region) -> np.ndarray:
        own = dict(full.parts())
        chosen = np.concatenate(
            [columns[part][mask[own[part]]] for part, mask in space.parts()]
        )  # fmt: skip
        return np.asarray(img.dataobj, dtype=np.float64)[:, chosen]

    return Image(full, img.shape[0], read)


def _load(path: str | os.PathLike[str], what: str):
    """Read an image file, or say what is wrong with it."""
    import nibabel

    if not Path(path).is_file():
        raise FileNotFoundError(f"expected an image file as {what}, but {path} does not exist.")
    try:
        return nibabel.load(path)
    except nibabel.filebasedimages.ImageFileError as err:
        raise InputError(f"expected an image file as {what}, got {path}: {err}") from err


def _template(path: str | os.PathLike[str]) -> str | None:
    """Return the space that a file's name states, as in BIDS."""
    found = re.search(r"_space-([0-9A-Za-z]+)(?:_|\.)", Path(path).name)
    return found.group(1) if found else None


def _hemisphere(img, file: Any, what: str) -> str:
    """Return the hemisphere of a GIFTI image from its metadata or its file's name."""
    metas = [img.meta, *(d.meta for d in img.darrays)]
    stated = " ".join(str(meta.get("AnatomicalStructurePrimary", "")) for meta in metas)
    name = Path(file or "").name
    for part in ("left", "right"):
        if f"Cortex{part.title()}" in stated:
            return part
    for part, letter in (("left", "L"), ("right", "R")):
        if re.search(rf"(hemi-{letter}|^{letter.lower()}h\.|\.{letter}\.)", name):
            return part
    raise InputError(
        f"expected to know the hemisphere of {what}, but neither its metadata nor its name "
        f"{name!r} says it. Give a mapping, {{'left': ..., 'right': ...}}."
    )
