"""Cortical surfaces: from files, and fsaverage5, which comes with nilearn (no download)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError, MissingFileError
from rsa_faces.brain.spheres import Surface

HEMISPHERES = ("left", "right")
_PARTS = {
    "midthickness": ("white", "pial"),
    "white": ("white",),
    "pial": ("pial",),
    "inflated": ("infl",),
    "sphere": ("sphere",),
}


def fsaverage(hemisphere: str, *, part: str = "midthickness", mask: Any = None) -> Surface:
    """Return one hemisphere of fsaverage5, 10,242 vertices.

    Parameters
    ----------
    hemisphere : {"left", "right"}
    part : {"midthickness", "white", "pial", "inflated", "sphere"}, default "midthickness"
        Which surface; midthickness is halfway between white and pial. Measure distances on one
        of these three, look at results on "inflated".
    mask : array_like of bool, shape (10242,), optional
        Vertices that are cortex. By default all, the medial wall too: give its mask if you have
        one.

    Returns
    -------
    Surface
        Coordinates in mm.

    Raises
    ------
    InputError
        If hemisphere or part is unknown, or the mask does not fit.

    See Also
    --------
    load_surface : Read the geometry of a hemisphere.
    sulcal_depth : Return the depth of sulci of fsaverage5.
    rsa_faces.searchlight : Compare the RDM in the sphere around every voxel with models.

    References
    ----------
    .. [1] Fischl B., Sereno M. I., Tootell R. B. H., Dale A. M. (1999). Human Brain Mapping 8,
       272-284. doi:10.1002/(SICI)1097-0193(1999)8:4<272::AID-HBM10>3.0.CO;2-4

    Examples
    --------
    >>> from rsa_faces.brain import fsaverage
    >>> fsaverage("left")
    Surface(10242 of 10242 vertices)
    """
    from nilearn.datasets import fetch_surf_fsaverage
    from nilearn.surface import load_surf_mesh

    check_choice(hemisphere, HEMISPHERES, what="hemisphere")
    check_choice(part, _PARTS, what="part of fsaverage")
    files = fetch_surf_fsaverage("fsaverage5")
    meshes = [load_surf_mesh(files[f"{name}_{hemisphere}"]) for name in _PARTS[part]]
    # Midway between white matter and pial surface: sulci are then neither closed nor stretched, so
    # that discs have the same size there and on gyri.
    vertices = np.mean([mesh.coordinates for mesh in meshes], axis=0, dtype=np.float64)
    return Surface(vertices, meshes[0].faces, mask)


def sulcal_depth(hemisphere: str) -> np.ndarray:
    """Return the depth of sulci of fsaverage5, shape (10242,): a background for figures.

    Parameters
    ----------
    hemisphere : {"left", "right"}

    Returns
    -------
    ndarray

    See Also
    --------
    fsaverage : Return one hemisphere of fsaverage5, 10,242 vertices.
    rsa_faces.figures.plot_map : Draw a map as slices through the brain, or as views of a surface.

    Examples
    --------
    >>> from rsa_faces.brain import sulcal_depth
    >>> depth = sulcal_depth("left")
    >>> depth.shape, bool(depth.min() < 0 < depth.max())
    ((10242,), True)
    """
    from nilearn.datasets import fetch_surf_fsaverage
    from nilearn.surface import load_surf_data

    check_choice(hemisphere, HEMISPHERES, what="hemisphere")
    files = fetch_surf_fsaverage("fsaverage5")
    return np.asarray(load_surf_data(files[f"sulc_{hemisphere}"]), dtype=np.float64)


def load_surface(path: str | os.PathLike[str], *, mask: Any = None) -> Surface:
    """Read the geometry of a hemisphere: GIFTI (``.surf.gii``) or FreeSurfer (``lh.white``).

    Parameters
    ----------
    path : path-like
        Take the midthickness or the white surface, not an inflated one.
    mask : array_like of bool, shape (n_vertices,), optional
        Vertices that are cortex. By default all.

    Returns
    -------
    Surface

    Raises
    ------
    MissingFileError
        If there is no such file.
    InputError
        If it holds no geometry, or the mask does not fit.

    See Also
    --------
    fsaverage : Return one hemisphere of fsaverage5, 10,242 vertices.
    sulcal_depth : Return the depth of sulci of fsaverage5.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import nibabel
    >>> import numpy as np
    >>> from rsa_faces.brain import load_surface
    >>> corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], np.float32)  # mm
    >>> triangles = np.array([[0, 1, 2], [1, 2, 3]], np.int32)
    >>> arrays = [nibabel.gifti.GiftiDataArray(a, intent=i) for a, i in
    ...           ((corners, "NIFTI_INTENT_POINTSET"), (triangles, "NIFTI_INTENT_TRIANGLE"))]
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "lh.surf.gii"
    >>> nibabel.save(nibabel.GiftiImage(darrays=arrays), path)
    >>> load_surface(path).n_places
    4
    """
    from nilearn.surface import load_surf_mesh

    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"expected the geometry of a surface, but {path} does not exist.")
    try:
        mesh = load_surf_mesh(str(path))
    except Exception as err:  # whatever the format's reader makes of another file
        raise InputError(
            f"expected the geometry of a surface (.surf.gii, or FreeSurfer's lh.white), got {path}."
        ) from err
    return Surface(mesh.coordinates, np.asarray(mesh.faces), mask)
