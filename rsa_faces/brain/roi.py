"""Regions of interest: masks, atlases, spheres, and voxels that a localiser chooses."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsa_faces._core.checks import check_above, check_choice, check_count, check_enough
from rsa_faces._core.errors import InputError
from rsa_faces._core.warning import warn
from rsa_faces.brain._labels import background, freesurfer_label, label_maps
from rsa_faces.brain._region import Region
from rsa_faces.brain.images import open_image
from rsa_faces.brain.masks import as_region, read_image
from rsa_faces.brain.spheres import Volume

# As for searchlights: affines are stored in single precision.
_SLACK = 1 + 1e-6


def load_roi(
    img: Any,
    *,
    name: str | None = None,
    hemisphere: str | None = None,
    n_vertices: int | None = None,
    template: str | None = None,
    threshold: float | None = None,
) -> Region:
    """Read a mask: a NIfTI, GIFTI or CIFTI image, or a FreeSurfer label.

    Parameters
    ----------
    img : image, mapping or path-like
        Exactly 1 inside and 0 (or NaN) outside; other values need a `threshold`, or are an atlas
        (:func:`atlas_rois`). A mapping of "left" and "right" to GIFTI for both hemispheres.
        FreeSurfer's ``.label`` files list vertices.
    name : str, optional
        By default that of the file, without folder and ending.
    hemisphere : {"left", "right"}, optional
        For a label file; by default from the name (``lh.``, ``rh.``).
    n_vertices : int, optional
        For a label file, which does not say it: number of vertices of the hemisphere.
    template : str, optional
        Space of the image, such as "MNI152NLin6Asym"; by default from the name (``space-…``).
    threshold : float, optional
        For probabilities and other values: places above it are inside.

    Returns
    -------
    Region

    Raises
    ------
    InputError
        If the mask is empty, holds other values without a `threshold`, or a label file does not
        fit.

    See Also
    --------
    atlas_rois : Return regions of an atlas by name.
    roi_sphere : Return the voxels within a radius of a point.
    localiser_roi : Return the voxels or vertices of a parcel.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from rsa_faces.brain import load_roi
    >>> mask = np.zeros((4, 4, 4), np.int8)
    >>> mask[1, 1:3, 1] = 1
    >>> load_roi(nibabel.Nifti1Image(mask, np.eye(4)), name="FFA")
    Region('FFA', 2 voxels)
    """
    is_path = isinstance(img, (str, os.PathLike))
    if name is None:
        name = _stem(img) if is_path else ""
    if is_path and Path(img).suffix == ".label":
        return freesurfer_label(Path(img), name, hemisphere, n_vertices, template)
    if hemisphere is not None:
        img = {check_choice(hemisphere, ("left", "right"), what="hemisphere"): img}
    region = as_region(img, "the mask", name=name, threshold=threshold)
    return region if template is None else _with_template(region, template)


def atlas_rois(
    atlas: Any,
    labels: str | Sequence[str] | Mapping[str, Any] | None = None,
    *,
    table: Any = None,
    template: str | None = None,
) -> dict[str, Region]:
    """Return regions of an atlas by name.

    Parameters
    ----------
    atlas : Bunch, image, mapping or path-like
        An atlas of nilearn (``nilearn.datasets.fetch_atlas_…``, with label images); a NIfTI label
        image; a GIFTI ``.label.gii`` or CIFTI dlabel; FreeSurfer's ``.annot``; a mapping of "left"
        and "right" to ``.annot`` or ``.label.gii``.
    labels : str, sequence of str or mapping, optional
        Names to return; or a mapping of a new name to one name or several, which are joined
        (``{"FG": ["FG1", "FG2"]}``). By default all but the background.
    table : DataFrame, mapping or path-like, optional
        Names of the labels of an image: a table (.tsv or .csv) with the columns ``index`` and
        ``name``, as in BIDS, or a mapping of index to name. Atlases of nilearn, GIFTI, CIFTI and
        FreeSurfer bring their own.
    template : str, optional
        Space of the atlas; by default as nilearn or the name of the file state it.

    Returns
    -------
    dict of str to Region
        In the order asked for, or of the atlas. With both hemispheres a name covers both if it is
        in both.

    Raises
    ------
    InputError
        If a label does not occur (the nearest is named) or has no place, an index has no name, or
        the atlas is probabilistic.

    See Also
    --------
    load_roi : Read a mask: a NIfTI, GIFTI or CIFTI image, or a FreeSurfer label.
    roi_sphere : Return the voxels within a radius of a point.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from rsa_faces.brain import atlas_rois
    >>> labels = np.zeros((4, 4, 4), np.int16)
    >>> labels[1], labels[2] = 1, 2
    >>> img = nibabel.Nifti1Image(labels, np.eye(4))
    >>> atlas_rois(img, table={1: "V1", 2: "V2"})["V2"]
    Region('V2', 16 voxels)
    """
    space, values, names, stated = label_maps(atlas, table)
    template = template or stated
    if template is not None:
        space = _with_template(space, template)
    present = set(np.unique(values).tolist())
    if labels is None:
        wanted = {
            name: [name]
            for name, index in names.items()
            if not background(name, index) and present & set(index)
        }
    elif isinstance(labels, Mapping):
        wanted = {
            str(new): [old] if isinstance(old, str) else [str(o) for o in old]
            for new, old in labels.items()
        }
    else:
        wanted = {str(n): [str(n)] for n in ([labels] if isinstance(labels, str) else labels)}
    check_enough(len(wanted), 1, "label of the atlas")
    regions = {}
    for new, olds in wanted.items():
        for old in olds:
            check_choice(old, names, what="label of the atlas")
        inside = np.isin(values, [index for old in olds for index in names[old]])
        if not inside.any():
            raise InputError(
                f"expected places with the label {new!r}, but no place of the atlas has it."
            )
        regions[new] = space.keep(inside, name=new)
    return regions


def roi_sphere(
    center: Sequence[float],
    radius: float,
    *,
    like: Any,
    name: str | None = None,
    template: str | None = None,
) -> Region:
    """Return the voxels within a radius of a point.

    Parameters
    ----------
    center : sequence of 3 floats
        x, y, z in mm, in the space of `like`: MNI coordinates need images in MNI space.
    radius : float
        In mm. Voxels whose centres are up to this far away belong to it.
    like : Patterns, Region, image or path-like
        Whose voxels: those of the mask of patterns or of a region, or the whole grid of an image.
    name : str, optional
        By default the coordinates.
    template : str, optional
        Space of `center`, such as "MNI152NLin2009cAsym"; an error if that of `like` is known and
        another.

    Returns
    -------
    Region
        Cut off at the border of the mask.

    Raises
    ------
    InputError
        If `center` or `radius` is no point or length, or no voxel is within the radius.

    See Also
    --------
    load_roi : Read a mask: a NIfTI, GIFTI or CIFTI image, or a FreeSurfer label.
    atlas_rois : Return regions of an atlas by name.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.brain import Region, Volume, roi_sphere
    >>> brain = Region(Volume(np.ones((9, 9, 9), bool), np.diag([3.0, 3, 3, 1])))
    >>> roi_sphere((12, 12, 12), 3, like=brain, name="FFA")
    Region('FFA', 7 voxels)
    """
    from rsa_faces.brain._region import check_template

    point = np.asarray(center, dtype=np.float64)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise InputError(f"expected center to be x, y, z in mm, got {center!r}.")
    check_above(radius, 0, what="radius to be a length in mm")
    space = getattr(like, "space", like)
    if not isinstance(space, Region):
        space = open_image(space, "like").space
    if space.volume is None:
        raise InputError("expected voxels to put a sphere into, got vertices of surfaces only.")
    name = "({:g}, {:g}, {:g})".format(*point) if name is None else name
    if template is not None:
        check_template(Region(space.volume, name=name, template=template), space)
    distance = np.linalg.norm(space.volume.coordinates - point, axis=1)
    inside = distance <= radius * _SLACK
    if not inside.any():
        raise InputError(
            f"expected voxels within {radius:g} mm of {tuple(point.tolist())}, but the nearest is "
            f"{distance.min():.4g} mm away: the sphere lies outside the brain, or is smaller than "
            "a voxel."
        )
    mask = np.zeros(space.volume.mask.shape, dtype=bool)
    mask[tuple(space.volume.indices[inside].T)] = True
    return Region(Volume(mask, space.volume.affine), name=name, template=space.template)


def localiser_roi(
    contrast: Any,
    parcel: Any,
    n_voxels: int = 100,
    *,
    name: str | None = None,
    resample: bool = False,
) -> Region:
    """Return the voxels or vertices of a parcel that respond most in a localiser contrast.

    Parameters
    ----------
    contrast : image, mapping or path-like
        One map, such as t of faces minus objects; larger is more selective.
    parcel : Region, image, mapping or path-like
        Where to look.
    n_voxels : int, default 100
        How many to take; places on both hemispheres compete.
    name : str, optional
        By default that of the parcel.
    resample : bool, default False
        Put a parcel on another grid onto that of the contrast, by nearest neighbour.

    Returns
    -------
    Region
        On the grid of the contrast.

    Raises
    ------
    InputError
        If grids differ, or the parcel has fewer places with a value that is not NaN.

    Warns
    -----
    UserWarning
        If places of the parcel are NaN in the contrast (they are counted), or a place that is
        taken has a contrast of 0 or below.

    See Also
    --------
    load_roi : Read a mask: a NIfTI, GIFTI or CIFTI image, or a FreeSurfer label.
    face_selective : Find the electrodes that prefer faces.

    Notes
    -----
    Of equal values the one that comes first in the order of places is taken. The localiser must
    be data other than those whose RDMs are made: voxels chosen on the same data favour what they
    were chosen for.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from rsa_faces.brain import Region, Volume, localiser_roi
    >>> t = np.arange(64.0).reshape(4, 4, 4)
    >>> parcel = Region(Volume(np.ones((4, 4, 4), bool), np.eye(4)), name="FFA")
    >>> localiser_roi(nibabel.Nifti1Image(t, np.eye(4)), parcel, 10)
    Region('FFA', 10 voxels)
    """
    check_count(n_voxels, what="n_voxels")
    parcel = as_region(parcel, "parcel")
    space, values = read_image(contrast, parcel, "contrast", resample=resample)
    if len(values) != 1:
        raise InputError(f"expected one map as contrast, got {len(values)}.")
    values = values[0]
    known = ~np.isnan(values)
    if int(known.sum()) < n_voxels:
        raise InputError(
            f"expected at least {n_voxels} places with a contrast in parcel {parcel.name!r}, got "
            f"{int(known.sum())} of {len(values)} (others are NaN). Take fewer."
        )
    if not known.all():
        warn(
            f"{int((~known).sum())} of {len(values)} places of parcel {parcel.name!r} are NaN in "
            "the contrast and cannot be taken."
        )
    # A fixed number rather than a threshold: RDMs of regions of different sizes would differ in
    # noise.
    order = np.argsort(np.where(known, -values, np.inf), kind="stable")[:n_voxels]
    if low := int((values[order] <= 0).sum()):
        warn(
            f"{low} of {n_voxels} places taken in parcel {parcel.name!r} have a contrast of 0 or "
            "below: they are not selective. Take fewer."
        )
    chosen = np.zeros(len(values), dtype=bool)
    chosen[order] = True
    return space.keep(chosen, name=parcel.name if name is None else name)


def _stem(path: str | os.PathLike[str]) -> str:
    """Return the name of a file without its endings."""
    stem = Path(path).name
    for ending in (".gz", ".nii", ".gii", ".mgz", ".mgh", ".label", ".annot", ".func", ".shape"):
        stem = stem.removesuffix(ending)
    return stem


def _with_template(region: Region, template: str) -> Region:
    """Return the same region in a space that is known."""
    return Region(region.volume, region.left, region.right, name=region.name, template=template)
