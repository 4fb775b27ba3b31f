"""Maps of both hemispheres and of the volume in one CIFTI file."""

from __future__ import annotations

from typing import Any

import numpy as np

from rsa_faces._core.errors import InputError
from rsa_faces.brain import Region, Surface, Volume
from rsa_faces.brain._region import cifti_image
from rsa_faces.mapping._map import SearchlightMap


def to_cifti(
    *,
    left: SearchlightMap | None = None,
    right: SearchlightMap | None = None,
    volume: SearchlightMap | None = None,
):
    """Put maps of the same models into one CIFTI-2 image, a row for each model.

    Parameters
    ----------
    left, right : SearchlightMap, optional
        Maps on the surface of each hemisphere.
    volume : SearchlightMap, optional
        A map of voxels, such as those below the cortex; its structure is called "other".

    Returns
    -------
    nibabel.Cifti2Image
        Shape (n_models, n_places), in float32; rows are named after the models. Places of a map
        without a similarity are NaN, places outside its mask are not part of the file. Save it
        as ``name.dscalar.nii``.

    Raises
    ------
    InputError
        If there is no map, maps have different models, measures or methods, or a map of a
        hemisphere is not on a surface, or that of the volume is.

    See Also
    --------
    rsa_faces.mapping.write_map : Write a map as images and tables that other tools read.
    rsa_faces.searchlight : Compare the RDM in the sphere around every voxel with models.

    References
    ----------
    .. [1] Glasser M. F. et al. (2013). NeuroImage 80, 105-124.
       doi:10.1016/j.neuroimage.2013.04.127

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.mapping import searchlight, to_cifti
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(12)]
    >>> model = rf.RDMs(rng.random(66), names, "simulated", {"name": ["a model"]})
    >>> affine = np.diag([3.0, 3, 3, 1])
    >>> img = nibabel.Nifti1Image(rng.normal(size=(6, 6, 6, 12)), affine)
    >>> mask = nibabel.Nifti1Image(np.ones((6, 6, 6), np.uint8), affine)
    >>> maps = searchlight(img, mask_img=mask, conditions=names, models=model, radius=6.0)
    >>> to_cifti(volume=maps).shape
    (1, 216)
    """
    given = {"left": left, "right": right, "volume": volume}
    given = {name: one for name, one in given.items() if one is not None}
    if not given:
        raise InputError("expected at least one map: left, right or volume.")
    first_name, first = next(iter(given.items()))
    for name, one in given.items():
        if not isinstance(one, SearchlightMap):
            raise TypeError(f"expected {name} to be a SearchlightMap, got {type(one).__name__}.")
        for what in ("names", "measure", "method"):
            if getattr(one, what) != getattr(first, what):
                raise InputError(
                    f"expected maps with the same {what}, but {name} has {getattr(one, what)!r} "
                    f"and {first_name} {getattr(first, what)!r}."
                )
        kind = Volume if name == "volume" else Surface
        if not isinstance(one.space, kind):
            raise InputError(f"expected {name} to be a map in a {kind.__name__}, got {one.space}.")
    places: dict[str, Any] = {
        n: one.space if n == "volume" else one.space.mask for n, one in given.items()
    }
    values = np.concatenate([one.similarity for one in given.values()], axis=1)
    return cifti_image(Region(**places), values, first.names)
