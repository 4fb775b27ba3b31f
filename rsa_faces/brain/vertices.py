"""Values of the vertices of a hemisphere, and which hemisphere a file is of."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from rsa_faces._core.errors import InputError
from rsa_faces.brain.files import image_files, load_file, readable

__all__ = ["read_vertices"]

HEMISPHERES = ("left", "right")


def read_vertices(img: Any, what: str = "img") -> np.ndarray:
    """Return the values of one hemisphere, (n_maps, n_vertices), whichever it is.

    Parameters
    ----------
    img : image, array, path-like or sequence
        GIFTI, or NIfTI or MGH of a surface; a file, a pattern, a folder or a list of these; or an
        array, shape (n_maps, n_vertices).
    what : str
        Its role, for errors.

    Returns
    -------
    ndarray of float64

    See Also
    --------
    rsa_faces.brain.load_surface : Read the geometry of a hemisphere.
    open_image : Open an image of any kind; values are read when they are asked for.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from rsa_faces.brain.vertices import read_vertices
    >>> array = nibabel.gifti.GiftiDataArray(np.arange(5, dtype=np.float32))
    >>> read_vertices(nibabel.GiftiImage(darrays=[array]))
    array([[0., 1., 2., 3., 4.]])
    """
    return vertices_and_sides(img, what)[0]


def vertices_and_sides(img: Any, what: str) -> tuple[np.ndarray, set[str]]:
    """Return the values of a hemisphere, and which hemispheres its files state."""
    import nibabel

    if isinstance(img, (str, os.PathLike)):
        files = image_files(img, what)
        if len(files) > 1 or files[0] != Path(img):
            img = files
        else:
            sign = ", " if what.endswith(")") else " ("
            what = f"{what.removesuffix(')')}{sign}{files[0].name})"
            img = load_file(files[0], what)
    if isinstance(img, (list, tuple)) and not np.isscalar(img[0] if img else 0.0):
        rows, stated = zip(*(vertices_and_sides(one, what) for one in img), strict=True)
        if len({row.shape[1] for row in rows}) != 1:
            raise InputError(f"expected the same number of vertices in all files of {what}.")
        return np.concatenate(rows), set().union(*stated)
    if isinstance(img, nibabel.GiftiImage):
        return vertices_of(img, what), _stated_hemispheres(img)
    return vertices_of(img, what), set()


def vertices_of(img: Any, label: str) -> np.ndarray:
    """Return the values of an open image of one hemisphere, or of an array."""
    import nibabel

    if isinstance(img, nibabel.GiftiImage):
        intents = {int(d.intent) for d in img.darrays}
        arrays = [d.data for d in img.darrays]
        if intents & {1008, 1009}:  # points and triangles
            raise InputError(
                f"expected values of vertices in {label}, but it is the geometry of a surface."
            )
        if not arrays or len({a.shape for a in arrays}) != 1:
            raise InputError(f"expected arrays of one length in {label}, got {len(arrays)}.")
        # Some tools write one array with a column for each map.
        values = arrays[0].T if arrays[0].ndim == 2 and len(arrays) == 1 else np.stack(arrays)
    elif isinstance(img, nibabel.spatialimages.SpatialImage):
        if not is_surface(img):
            raise InputError(
                f"expected vertices of a surface in {label}, got a volume of shape {img.shape}."
            )
        with readable(label):
            values = np.asanyarray(img.dataobj)
        values = values.reshape(values.shape[0], -1).T
    else:
        values = np.atleast_2d(np.asarray(img))
    if values.dtype.kind not in "fiub":
        raise TypeError(f"expected real numbers in {label}, got {values.dtype}.")
    if values.ndim != 2:
        raise InputError(
            f"expected {label} of shape (n_maps, n_vertices), got {values.shape}; is it the "
            "geometry of a surface?"
        )
    return np.asarray(values, dtype=np.float64)


def is_surface(img: Any) -> bool:
    """Whether an image of nibabel holds vertices: one row along the first axis, as FreeSurfer's."""
    import nibabel

    shape = getattr(img, "shape", ())
    return (
        isinstance(img, nibabel.spatialimages.SpatialImage)
        and not isinstance(img, nibabel.Cifti2Image)
        and len(shape) >= 3
        and shape[0] > 1
        and shape[1:3] == (1, 1)
    )


def hemisphere_of(img: Any, path: Path | None, label: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the hemisphere of an image from its metadata or its file's name, and what to note."""
    import nibabel

    stated = _stated_hemispheres(img) if isinstance(img, nibabel.GiftiImage) else set()
    name = Path(path or "").name
    named = {
        part
        for part, letter in (("left", "L"), ("right", "R"))
        if re.search(rf"(hemi-{letter}|^{letter.lower()}h\.|\.{letter}\.|_{letter}\.)", name)
    }
    if len(stated) == 1:
        part = next(iter(stated))
        notes = []
        if named and named != stated:
            other = next(iter(named - stated))
            both = f"states the {part} hemisphere, but is named as the {other} one"
            notes = [(f"{both}; taken is the {part} one", label)]
        return part, notes
    if len(named) == 1:
        return next(iter(named)), []
    raise InputError(
        f"expected to know the hemisphere of {label}, but neither its metadata nor its name "
        f"{name!r} says it. Give a mapping, {{'left': ..., 'right': ...}}."
    )


def _stated_hemispheres(img: Any) -> set[str]:
    """Return the hemispheres that the metadata of a GIFTI image state."""
    metas = [img.meta, *(d.meta for d in img.darrays)]
    stated = " ".join(str(meta.get("AnatomicalStructurePrimary", "")) for meta in metas)
    return {part for part in HEMISPHERES if f"Cortex{part.title()}" in stated}
