"""Searchlight: the RDM around every place of the brain, compared with models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rsa_faces._core.checks import check_count, parse_bytes
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.result import keep_warnings
from rsa_faces._core.warning import warn
from rsa_faces.brain import Surface
from rsa_faces.comparison import Method, resolve
from rsa_faces.mapping._map import SearchlightMap, model_names
from rsa_faces.rdm import RDMs


@keep_warnings
def searchlight(
    img: Any,
    *,
    conditions: Sequence[str],
    models: RDMs,
    mask_img: Any = None,
    mesh: Surface | tuple[np.ndarray, np.ndarray] | None = None,
    radius: float = 8.0,
    measure: str = "correlation",
    method: str = "spearman",
    folds: Sequence[Any] | None = None,
    noise: str | None = None,
    noise_from: str = "all",
    residuals: Any = None,
    n_estimated: int | Mapping[Any, int] = 0,
    blocks: Labels | None = None,
    min_voxels: int = 5,
    share: tuple[int, int] = (0, 1),
    budget: str | int = "2GB",
    n_jobs: int | None = None,
    progress: bool = True,
) -> SearchlightMap:
    """Compare the RDM in the sphere around every voxel with models.

    Parameters
    ----------
    img : nibabel image, path, list of these, or ndarray
        Patterns of one subject: a 4-D image with one volume for each entry of `conditions` (betas
        or t values), a list of 3-D images, or with `mesh` an array, shape (n_conditions,
        n_vertices), or GIFTI of the hemisphere. For CIFTI, and both hemispheres at once, see
        :func:`rsa_faces.mapping.image_parts`.
    conditions : sequence of str
        The condition of each volume; those of the models, in any order, and no others. Repeats
        are averaged (for crossnobis within each fold).
    models : RDMs
        Model RDMs, compared all at once. A pair that is NaN is left out for that model.
    mask_img : nibabel image, path, or ndarray of bool
        Voxels to use: all that are not 0 (or NaN), in the space of `img`. Each is the centre of a
        sphere. With `mesh` an array of bool, shape (n_vertices,), or GIFTI; by default all
        vertices.
    mesh : Surface, or (vertices, faces), optional
        Surface of the data, such as :func:`rsa_faces.brain.fsaverage`, or its coordinates in mm,
        shape (n_vertices, 3), and triangles, shape (n_faces, 3). Searchlights are then discs on
        the surface.
    radius : float, default 8.0
        In mm. See :class:`rsa_faces.brain.Spheres` and :class:`rsa_faces.brain.Discs`: spheres are
        cut off at the edge of the mask.
    measure : str, default "correlation"
        How RDMs are made, one of `rsa_faces.rdm.MEASURES`.
    method : str, default "spearman"
        How they are compared, one of `rsa_faces.comparison.METHODS`.
    folds : sequence, optional
        The fold (run, session) of each volume; for crossnobis.
    noise : {"ledoit-wolf", "schaefer-strimmer"}, optional
        For mahalanobis and crossnobis: the noise covariance of the voxels of each sphere, shrunk;
        see :func:`rsa_faces.rdm.noise_covariance`. Without it crossnobis uses the identity.
    noise_from : {"all", "fold"}, default "all"
        One covariance of the residuals of all folds, or for crossnobis one for each fold; then a
        pair of folds uses the mean of its two. As for :meth:`rsa_faces.brain.Patterns.rdms`.
    residuals : nibabel image, path, ndarray, or mapping of fold to these, optional
        What to estimate noise from: residuals of the GLM, in the space of `img`. By default the
        deviations of repeats from their mean (for crossnobis within each fold).
    n_estimated : int or mapping of fold to int, default 0
        How many parameters the GLM of each fold estimated (of all folds together, if `residuals`
        are one image). Too small a number shrinks too little.
    blocks : mapping or Series of condition to run, optional
        Similarities are those within each run, averaged over runs: pairs of conditions of different
        runs are not used.
    min_voxels : int, default 5
        Centres with fewer usable voxels are NaN.
    share : (int, int), default (0, 1)
        Which of how many shares of the centres to map, from 0; all others are NaN.
    budget : str or int, default "2GB"
        Memory for patterns, models and work. It limits how many threads work side by side. While
        the image is read, patterns take up to three times their memory.
    n_jobs : int, optional
        Number of threads; by default one per core.
    progress : bool, default True
        Whether to show a bar, on a terminal.

    Returns
    -------
    SearchlightMap
        Similarities, shape (n_models, n_centers), with how many voxels were used and left out at
        each centre.

    Raises
    ------
    ConditionMismatchError
        If `conditions` and `models` do not hold the same names.
    InputError
        If image and mask differ in shape or affine (nothing is resampled), the mask is empty,
        no centre has enough voxels, the budget is too small, or an option is unknown or missing.

    Warns
    -----
    UserWarning
        Of models that are constant; of how many centres are NaN for want of voxels, and at how
        many some pairs are undefined (a condition without a pattern there).

    See Also
    --------
    rsa_faces.mapping.ceiling_map : Compute the noise ceiling at every place.
    rsa_faces.mapping.best_model_map : Find the best model of each place.
    rsa_faces.mapping.group_test : Test where similarity differs from 0 over subjects.
    rsa_faces.figures.plot_map : Draw a map as slices through the brain, or as views of a surface.

    Notes
    -----
    A voxel that is NaN, infinite or the same in all volumes is left out, of its sphere only; with
    `noise` also one whose residuals are all 0. Pairs that are undefined at a centre are left out
    of the comparison there, as :func:`rsa_faces.compare` does (the whitened methods give NaN).

    The values at each centre are those of :func:`rsa_faces.compute_rdms` and
    :func:`rsa_faces.compare` on the voxels of its sphere [1]_, in float64, and do not depend on
    `budget` and `n_jobs`. A similarity belongs to the sphere, not to its centre: an effect in a
    few voxels shows in all spheres that reach them, and maps are wider than effects by up to the
    radius [2]_.

    References
    ----------
    .. [1] Kriegeskorte N., Goebel R., Bandettini P. (2006). PNAS 103, 3863-3868.
       doi:10.1073/pnas.0600244103
    .. [2] Etzel J. A., Zacks J. M., Braver T. S. (2013). NeuroImage 78, 261-269.
       doi:10.1016/j.neuroimage.2013.03.041

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.mapping import searchlight
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(12)]
    >>> model = rf.RDMs(rng.random(66), names, "simulated", {"name": ["a model"]})
    >>> affine = np.diag([3.0, 3, 3, 1])
    >>> img = nibabel.Nifti1Image(rng.normal(size=(6, 6, 6, 12)), affine)
    >>> mask = nibabel.Nifti1Image(np.ones((6, 6, 6), np.uint8), affine)
    >>> maps = searchlight(img, mask_img=mask, conditions=names, models=model, radius=6.0)
    >>> maps
    SearchlightMap(1 model, 216 centers, radius 6 mm, 'correlation', 'spearman')
    >>> maps.n_voxels.max()
    np.int32(33)
    """
    from rsa_faces._kernels.spheres import FEW, UNDEFINED
    from rsa_faces.mapping import _stream
    from rsa_faces.mapping._patterns import load_patterns

    method = resolve(method)
    check_count(min_voxels, what="min_voxels")
    check_models(models, method)
    allowed = parse_bytes(budget)
    patterns = load_patterns(
        img,
        mask_img=mask_img,
        mesh=mesh,
        conditions=conditions,
        order=models.conditions,
        measure=measure,
        folds=folds,
        noise=noise,
        noise_from=noise_from,
        residuals=residuals,
        n_estimated=n_estimated,
        budget=allowed,
    )
    searchlights = patterns.space.searchlights(radius)
    n_centers, n_pairs = searchlights.n_centers, models.n_pairs
    similarity = np.full((n_centers, len(models)), np.nan)
    n_voxels, n_within = np.zeros(n_centers, np.int32), np.zeros(n_centers, np.int32)
    state = np.zeros(n_centers, np.int8)
    shared = patterns.n_bytes + 2 * models.vectors.nbytes + similarity.nbytes
    n_threads = _stream.n_workers(n_jobs, allowed, shared, searchlights, patterns, n_pairs)
    pairs = _stream.pairs_within(blocks, models.conditions)
    similarities = _stream.WithinRuns(models.vectors, method, pairs)
    size = _stream.block_size(n_pairs)

    def work(centers: np.ndarray) -> None:
        indptr, indices = searchlights.batch(centers)
        n_here = len(centers)
        # The last block is filled up: products always have the same shape.
        vectors, of_block = np.zeros((size, n_pairs)), np.full(size, FEW, np.int8)
        n_used = np.empty(n_here, np.int32)
        patterns.fill(indptr, indices, min_voxels, vectors, n_used, of_block)
        similarity[centers] = similarities(vectors, of_block)[:n_here]
        n_voxels[centers], n_within[centers] = n_used, np.diff(indptr)
        state[centers] = of_block[:n_here]

    own = _stream.share_of(searchlights.order, share, size)
    _stream.in_blocks(work, own, size, n_threads, progress)
    n_few, n_undefined = int((state[own] == FEW).sum()), int((state[own] == UNDEFINED).sum())
    if n_few == n_centers:
        raise InputError(
            f"expected at least {min_voxels} usable voxels within {radius:g} mm of some centre, "
            f"got at most {n_voxels.max()} at any of {n_centers}. Use a larger radius, or a "
            "smaller min_voxels."
        )
    _warn(n_few, n_undefined, n_centers, min_voxels)
    return SearchlightMap(
        np.ascontiguousarray(similarity.T),
        n_voxels,
        n_within - n_voxels,
        patterns.space,
        models.labels,
        models.conditions,
        patterns.measure.name,
        method.name,
        float(radius),
        n_few,
        n_undefined,
    )


def check_models(models: RDMs, method: str | Method) -> None:
    """Check that the models can be compared, and warn of constant ones."""
    if not isinstance(models, RDMs):
        raise TypeError(f"expected models as RDMs, got {type(models).__name__}.")
    method = resolve(method)
    method.check_measured(models.vectors, "the models")
    lowest, highest = np.nanmin(models.vectors, axis=1), np.nanmax(models.vectors, axis=1)
    constant = lowest == highest
    if not method.centres:
        constant &= lowest == 0
    if constant.any():
        names = model_names(models.labels)
        listed = ", ".join(repr(names[i]) for i in np.flatnonzero(constant)[:5])
        warn(
            f"similarity is undefined (NaN) for {int(constant.sum())} models that are constant: "
            f"{listed}."
        )


def _warn(n_few: int, n_undefined: int, n_centers: int, min_voxels: int) -> None:
    """Warn of centres without a similarity, or with one of fewer pairs."""
    if n_few:
        warn(
            f"{n_few} of {n_centers} centres have fewer than {min_voxels} usable voxels and are "
            "NaN (see n_voxels and n_left_out)."
        )
    if n_undefined:
        warn(
            f"at {n_undefined} of {n_centers} centres some pairs of conditions have no "
            "dissimilarity (a pattern is constant or zero there) and are left out."
        )
