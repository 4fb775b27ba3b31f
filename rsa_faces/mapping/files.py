"""Maps as files that other tools read: NIfTI or GIFTI, and tables."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_arguments
from rsa_faces._core.files import atomic_path
from rsa_faces._core.tables import write_table
from rsa_faces.brain import Volume
from rsa_faces.mapping._map import SearchlightMap


def write_map(
    maps: SearchlightMap,
    folder: str | os.PathLike[str],
    *,
    n_peaks: int = 10,
    min_distance: float = 16.0,
    fill: float = np.nan,
) -> list[Path]:
    """Write a map as images and tables that other tools read.

    Parameters
    ----------
    maps : SearchlightMap
    folder : path-like
        Made if it is not there; files of these names are replaced, each whole or not at all.
    n_peaks : int, default 10
        For each model at most this many.
    min_distance : float, default 16.0
        Between peaks, in mm.
    fill : float, default NaN
        Value outside the mask and of centres without a similarity. Some viewers want 0.

    Returns
    -------
    list of Path
        ``similarity`` (one volume or array for each model), ``n_voxels`` and ``n_left_out``, as
        ``.nii.gz`` or on a surface ``.shape.gii``; ``models.csv`` (number, from 1, name, labels)
        and ``peaks.csv``. The same map gives the same bytes. For CIFTI see
        :func:`rsa_faces.mapping.to_cifti`.

    Raises
    ------
    InputError
        If `n_peaks` or `min_distance` are out of range.

    See Also
    --------
    rsa_faces.searchlight : Compare the RDM in the sphere around every voxel with models.

    Examples
    --------
    >>> import tempfile
    >>> import nibabel
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.mapping import searchlight, write_map
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(12)]
    >>> model = rf.RDMs(rng.random(66), names, "simulated", {"name": ["a model"]})
    >>> affine = np.diag([3.0, 3, 3, 1])
    >>> img = nibabel.Nifti1Image(rng.normal(size=(6, 6, 6, 12)), affine)
    >>> mask = nibabel.Nifti1Image(np.ones((6, 6, 6), np.uint8), affine)
    >>> maps = searchlight(img, mask_img=mask, conditions=names, models=model, radius=6.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in write_map(maps, folder)]
    ['similarity.nii.gz', 'n_voxels.nii.gz', 'n_left_out.nii.gz', 'models.csv', 'peaks.csv']
    """
    check_arguments(write_map, locals())
    peaks = pd.concat(
        [maps.peaks(i, n=n_peaks, min_distance=min_distance) for i in range(len(maps.names))],
        ignore_index=True,
    )
    models = maps.labels.drop(columns=["name", "number"], errors="ignore").reset_index(drop=True)
    models.insert(0, "name", maps.names)
    models.insert(0, "number", range(1, len(models) + 1))
    images = {
        "similarity": (maps.similarity, maps.names, fill),
        "n_voxels": (maps.n_voxels[None], ["number of voxels used"], 0.0),
        "n_left_out": (maps.n_left_out[None], ["number of voxels left out"], 0.0),
    }
    folder, paths = Path(folder), []
    suffix = ".nii.gz" if isinstance(maps.space, Volume) else ".shape.gii"
    for name, (rows, names, outside) in images.items():
        paths.append(folder / f"{name}{suffix}")
        with atomic_path(paths[-1]) as temporary:
            content = maps.space.image(rows, outside, names).to_bytes()
            # Without the time of writing.
            content = gzip.compress(content, mtime=0) if suffix == ".nii.gz" else content
            temporary.write_bytes(content)
    for name, table in (("models", models), ("peaks", peaks)):
        paths.append(folder / f"{name}.csv")
        write_table(table, paths[-1])
    return paths
