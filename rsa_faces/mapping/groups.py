"""Searchlight maps of several subjects: tests, noise ceilings, and the best model of each place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_arguments, check_choice, check_count, parse_bytes
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.names import as_names
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.warning import warn
from rsa_faces.brain import Surface, Volume
from rsa_faces.comparison import Method, resolve
from rsa_faces.inference.maps import SignFlipTest, sign_flip_test
from rsa_faces.mapping._map import BestModels, SearchlightMap, best_of, depths
from rsa_faces.mapping.peaks import neighbours

HELD_OUT = (
    "At each place the model was chosen in the other subjects and its similarity measured in the "
    "subject left out; index is the choice of all subjects together."
)


@dataclass(frozen=True, eq=False, repr=False)
class CeilingMap(BaseResult, figure="plot_map"):
    """Noise ceilings at every place, in units of the method.

    Parameters
    ----------
    lower, upper : ndarray, shape (n_centers,)
        Mean similarity of each subject's RDM with the others' pooled RDM, and with everyone's;
        NaN where a subject has no RDM, or not all pairs.
    n_voxels : ndarray of int, shape (n_subjects, n_centers)
        Voxels each RDM was made from.
    n_subjects : int
    measure, method : str
    radius : float
        In mm.
    space : Volume or Surface

    See Also
    --------
    ceiling_map : Compute the noise ceiling at every place.
    rsa_faces.searchlight : Compare the RDM in the sphere around every voxel with models.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(8)]
    >>> model = rf.RDMs(rng.random((2, 28)), names, "simulated", {"name": ["one", "two"]})
    >>> mask = nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4))
    >>> imgs = [nibabel.Nifti1Image(rng.normal(size=(4, 4, 4, 8)), np.eye(4)) for _ in range(3)]
    >>> found = rf.mapping.ceiling_map(imgs, mask_img=mask, conditions=names, radius=2.0,
    ...                                progress=False)
    >>> found.lower.shape, bool((found.lower < found.upper).all())
    ((64,), True)
    """

    lower: np.ndarray
    upper: np.ndarray
    n_voxels: np.ndarray
    n_subjects: int
    measure: str
    method: str
    radius: float
    space: Volume | Surface

    @property
    def table(self) -> pd.DataFrame:
        """One row per bound: the mean and the largest noise ceiling of all centres."""
        bounds = pd.DataFrame({"lower": self.lower, "upper": self.upper})
        table = pd.DataFrame({"mean_ceiling": bounds.mean(), "max_ceiling": bounds.max()})
        return table.rename_axis("bound").reset_index()

    def __repr__(self) -> str:
        return (
            f"CeilingMap({self.n_subjects} subjects, {len(self.lower)} centers, radius "
            f"{self.radius:g} mm, {self.measure!r}, {self.method!r})"
        )

    def to_img(self, bound: str = "lower", *, fill: float = np.nan):
        """Return one of the bounds as an image.

        Parameters
        ----------
        bound : {"lower", "upper"}, default "lower"
        fill : float, default NaN
            Value outside the mask and of centres without a ceiling.

        Returns
        -------
        nibabel.Nifti1Image, or GiftiImage of a surface
        """
        check_choice(bound, ["lower", "upper"], what="bound")
        return self.space.to_img(getattr(self, bound), fill=fill)


@keep_warnings
def ceiling_map(
    imgs: Iterable[Any] | Mapping[str, Any],
    *,
    conditions: Sequence[str] | Sequence[Sequence[str]],
    mask_img: Any = None,
    mesh: Surface | tuple[np.ndarray, np.ndarray] | None = None,
    radius: float = 8.0,
    measure: str = "correlation",
    method: str = "spearman",
    folds: Sequence[Any] | Sequence[Sequence[Any]] | None = None,
    noise: str | None = None,
    noise_from: str = "all",
    residuals: Sequence[Any] | None = None,
    n_estimated: int | Mapping[Any, int] | Sequence[Any] = 0,
    blocks: Labels | None = None,
    min_voxels: int = 5,
    share: tuple[int, int] = (0, 1),
    budget: str | int = "4GB",
    n_jobs: int | None = None,
    progress: bool = True,
) -> CeilingMap:
    """Compute the noise ceiling at every place, from the data of several subjects in one space.

    Parameters
    ----------
    imgs : iterable of nibabel images, paths, or ndarrays, or mapping of subject to one
        One for each subject, at least 2, as :func:`searchlight` takes them. Errors name subjects,
        or count them from 0.
    conditions, folds
        As for :func:`searchlight`, for all subjects; or a sequence for each subject.
    mask_img, mesh, radius, measure, noise, noise_from, blocks, min_voxels, n_jobs, progress
        As for :func:`searchlight`, for all subjects.
    residuals : sequence, optional
        For each subject as for :func:`searchlight`.
    n_estimated : int or sequence, default 0
        As for :func:`searchlight`, for all subjects or for each.
    share : (int, int), default (0, 1)
        Which of how many shares of the centres to compute, from 0, so that several machines do a
        map together; the bounds of all other centres are NaN, their numbers of voxels 0.
    method : str, default "spearman"
        As for :func:`searchlight`; Kendall's and functions of the user take longer.
    budget : str or int, default "4GB"
        The patterns of all subjects must fit (8 bytes per voxel and condition, and fold). RDMs
        are made, compared and given up block by block.

    Returns
    -------
    CeilingMap

    Raises
    ------
    InputError
        With fewer than 2 subjects, subjects in different spaces, or as :func:`searchlight`.

    Warns
    -----
    UserWarning
        Of how many centres have no ceiling because a subject has no RDM there.

    See Also
    --------
    rsa_faces.searchlight : Compare the RDM in the sphere around every voxel with models.

    Notes
    -----
    At each centre as :func:`rsa_faces.noise_ceiling` [1]_. Without any shared structure the upper
    ceiling of n subjects is still about 1/√n: no place should be judged by it alone.

    References
    ----------
    .. [1] Nili H. et al. (2014). PLoS Computational Biology 10, e1003553.
       doi:10.1371/journal.pcbi.1003553

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from rsa_faces.mapping import ceiling_map
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(8)]
    >>> imgs = [nibabel.Nifti1Image(rng.normal(size=(4, 4, 4, 8)), np.eye(4)) for _ in range(3)]
    >>> mask = nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4))
    >>> ceiling_map(imgs, mask_img=mask, conditions=names, radius=2.0, progress=False)
    CeilingMap(3 subjects, 64 centers, radius 2 mm, 'correlation', 'spearman')
    """
    check_arguments(ceiling_map, locals())
    from rsa_faces._kernels.spheres import FINE
    from rsa_faces.mapping import _stream
    from rsa_faces.mapping._patterns import Patterns, load_patterns

    method = resolve(method)
    check_count(min_voxels, what="min_voxels")
    allowed = parse_bytes(budget)
    names = list(imgs) if isinstance(imgs, Mapping) else None
    imgs = list(imgs.values() if isinstance(imgs, Mapping) else imgs)
    names = names or [f"subject {k}" for k in range(len(imgs))]
    if not isinstance(n_estimated, Sequence):
        n_estimated = [n_estimated] * len(imgs)
    of_subjects: dict[str, list[Any]] = {
        "conditions": _per_subject(conditions, len(imgs)),
        "folds": _per_subject(folds, len(imgs)),
        "residuals": [None] * len(imgs) if residuals is None else list(residuals),
        "n_estimated": list(n_estimated),
    }
    for what, given in of_subjects.items():
        if len(given) != len(imgs):
            raise InputError(f"expected {what} of {len(imgs)} subjects, got {len(given)}.")
    order = list(dict.fromkeys(as_names(of_subjects["conditions"][0]))) if imgs else []
    subjects: list[Patterns] = []
    for k, (name, img) in enumerate(zip(names, imgs, strict=True)):
        used = sum(p.n_bytes for p in subjects)
        try:
            patterns = load_patterns(
                img,
                mask_img=mask_img,
                mesh=mesh,
                order=order,
                measure=measure,
                noise=noise,
                noise_from=noise_from,
                # All subjects stay in memory: each may take what those before it left.
                budget=allowed - used,
                **{what: given[k] for what, given in of_subjects.items()},
            )
        except InputError as err:
            raise InputError(f"{name}: {err}") from err
        subjects.append(patterns)
        if not patterns.space.equals(subjects[0].space):
            raise InputError(
                f"expected all subjects in one space, but {name} is in {patterns.space} and "
                f"{names[0]} in {subjects[0].space}."
            )
    if (n_subjects := len(subjects)) < 2:
        raise InputError(f"expected at least 2 subjects for a noise ceiling, got {n_subjects}.")
    space = subjects[0].space
    searchlights = space.searchlights(radius)
    n_centers, n_pairs = searchlights.n_centers, len(order) * (len(order) - 1) // 2
    bounds = np.full((2, n_centers), np.nan)
    n_voxels = np.zeros((n_subjects, n_centers), np.int32)
    n_threads = _stream.n_workers(
        n_jobs,
        allowed,
        sum(p.n_bytes for p in subjects) + bounds.nbytes + n_voxels.nbytes,
        searchlights,
        subjects[0],
        n_pairs,
        2 * n_subjects,
    )
    size = _stream.block_size(n_pairs)
    pairs = _stream.pairs_within(blocks, order)

    def work(centers: np.ndarray) -> None:
        indptr, indices = searchlights.batch(centers)
        vectors = np.zeros((n_subjects, len(centers), n_pairs))
        state = np.empty((n_subjects, len(centers)), np.int8)
        n_used = np.empty(state.shape, np.int32)
        for s, patterns in enumerate(subjects):
            patterns.fill(indptr, indices, min_voxels, vectors[s], n_used[s], state[s])
        n_voxels[:, centers] = n_used
        # A place where one subject has no RDM has no ceiling: bounds depend on the number of
        # subjects, and the map would show who was measured where.
        everywhere = (state == FINE).all(axis=0)
        if everywhere.any():
            whole = np.ascontiguousarray(vectors[:, everywhere])
            bounds[:, centers[everywhere]] = np.mean(
                [_ceilings(whole[..., inside], method) for inside in pairs], axis=0
            )

    own = _stream.share_of(searchlights.order, share, size)
    _stream.in_blocks(work, own, size, n_threads, progress)
    if (n_none := int(np.isnan(bounds[0, own]).sum())) > 0:
        warn(
            f"{n_none} of {len(own)} centres have no noise ceiling: a subject has fewer than "
            f"{min_voxels} usable voxels there, or pairs without a dissimilarity."
        )
    return CeilingMap(
        bounds[0],
        bounds[1],
        n_voxels,
        n_subjects,
        subjects[0].measure.name,
        method.name,
        float(radius),
        space,
    )


def _per_subject(values: Any, n_subjects: int) -> list:
    """Return what is given for each subject, or for all of them, as a list over subjects."""
    if values is None:
        return [None] * n_subjects
    values = list(values)
    each = bool(values) and isinstance(values[0], (list, tuple, np.ndarray))
    return values if each else [values] * n_subjects


def _ceilings(vectors: np.ndarray, method: Method) -> np.ndarray:
    """Return lower and upper ceilings, (2, n_centers), of RDMs (n_subjects, n_centers, n_pairs)."""
    pooled = np.stack([method.pooling(v, np.ones_like(v)) for v in vectors])
    total = pooled.sum(axis=0)
    similarity = np.zeros((2, vectors.shape[1]))
    for own, part in zip(vectors, pooled, strict=True):
        # Lower bound: a subject against the others; upper: against all, the subject among them.
        for bound, pool in zip(similarity, (total - part, total), strict=True):
            bound += _row_by_row(own, pool, method)
    return similarity / len(vectors)


def _row_by_row(own: np.ndarray, pool: np.ndarray, method: Method) -> np.ndarray:
    """Return the similarity of each RDM with the pool of the same place, (n_centers,)."""
    if method.factors is not None:
        of_model, of_data = method.factors
        return np.einsum("bp,bp->b", of_data(own), of_model(pool))
    return np.array([method(a[None], b[None])[0, 0] for a, b in zip(pool, own, strict=True)])


@keep_warnings
def best_model_map(maps: Sequence[SearchlightMap]) -> BestModels:
    """Find the best model of each place, chosen in the other subjects.

    Parameters
    ----------
    maps : sequence of SearchlightMap
        One for each subject, at least 3, of the same models in the same space.

    Returns
    -------
    BestModels
        `similarity` is the mean over subjects of the similarity with the model that is best in the
        mean of all other subjects: not biased by the choice. `share` says in how many of these
        choices it was the model of `index`, from 0 to 1. Test `subjects` against 0 with
        :func:`rsa_faces.inference.sign_flip_test`.

    Raises
    ------
    InputError
        With fewer than 3 subjects, or maps of other models or in other spaces.

    See Also
    --------
    rsa_faces.searchlight : Compare the RDM in the sphere around every voxel with models.
    rsa_faces.figures.plot_best_models : Draw which model is best at each place.

    Notes
    -----
    A place where any subject lacks a similarity with any model that has one elsewhere has no best
    model (−1, NaN). Of models that are equally good the first is chosen. The best model of noise
    has a similarity of 0 on average, of :meth:`SearchlightMap.best` one above 0.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.mapping import best_model_map, searchlight
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(8)]
    >>> imgs = [nibabel.Nifti1Image(rng.normal(size=(4, 4, 4, 8)), np.eye(4)) for _ in range(3)]
    >>> mask = nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4))
    >>> models = rf.RDMs(rng.random((2, 28)), names, "simulated", {"name": ["one", "two"]})
    >>> maps = [
    ...     searchlight(img, mask_img=mask, conditions=names, models=models, radius=2.0)
    ...     for img in imgs
    ... ]
    >>> best_model_map(maps).names
    ('one', 'two')
    """
    stack = _stack(maps, None, 3)
    defined = ~np.isnan(stack).all(axis=(0, 2))
    whole = ~np.isnan(stack[:, defined]).any(axis=(0, 1))
    # The sum of the others is all less one's own: no loop over who is left out.
    total = stack.sum(axis=0)
    index = np.full(stack.shape[2], -1)
    held_out = np.full((len(stack), stack.shape[2]), np.nan)
    chosen = np.full(held_out.shape, -1)
    places = np.flatnonzero(whole)
    index[places] = best_of(total[:, places])[0]
    for s, own in enumerate(stack):
        chosen[s, places] = best_of((total - own)[:, places])[0]
        # Chosen in the same data, the largest of many similarities is above 0 of noise alone.
        held_out[s, places] = own[chosen[s, places], places]
    share = np.where(whole, (chosen == index).mean(axis=0), np.nan)
    return BestModels(
        index,
        held_out.mean(axis=0),
        share,
        held_out,
        maps[0].names,
        maps[0].space,
        depths(maps[0].labels),
        notes=(HELD_OUT,),
    )


@keep_warnings
def mean_map(maps: Sequence[SearchlightMap]) -> SearchlightMap:
    """Average the maps of several subjects, for figures and tables.

    Parameters
    ----------
    maps : sequence of SearchlightMap
        One for each subject, of the same models in the same space.

    Returns
    -------
    SearchlightMap
        Mean similarity; NaN where any subject has none. `n_voxels` is the smallest and
        `n_left_out` the largest number of the subjects.

    Raises
    ------
    InputError
        With fewer than 2 subjects, or maps of other models or in other spaces.

    See Also
    --------
    rsa_faces.searchlight : Compare the RDM in the sphere around every voxel with models.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(8)]
    >>> model = rf.RDMs(rng.random(28), names, "simulated", {"name": ["one"]})
    >>> mask = nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4))
    >>> imgs = [nibabel.Nifti1Image(rng.normal(size=(4, 4, 4, 8)), np.eye(4)) for _ in range(2)]
    >>> maps = [rf.searchlight(img, mask_img=mask, conditions=names, models=model, radius=2.0,
    ...                        progress=False) for img in imgs]
    >>> mean = rf.mapping.mean_map(maps)
    >>> np.allclose(mean.similarity, (maps[0].similarity + maps[1].similarity) / 2)
    True
    """
    maps = list(maps)
    similarity = _stack(maps, None, 2)
    # One model comes without its axis.
    similarity = similarity.mean(axis=0).reshape(maps[0].similarity.shape)
    return dataclasses.replace(
        maps[0],
        similarity=similarity,
        n_voxels=np.min([m.n_voxels for m in maps], axis=0),
        n_left_out=np.max([m.n_left_out for m in maps], axis=0),
        n_too_few=int(np.isnan(similarity).all(axis=0).sum()),
        n_undefined=max(m.n_undefined for m in maps),
    )


def group_test(
    maps: Sequence[SearchlightMap],
    *,
    model: int | str | None = None,
    minus: int | str | None = None,
    statistic: str = "tfce",
    threshold: float | None = None,
    tail: str = "two-sided",
    n_permutations: int = 9999,
    seed: int = 0,
) -> SignFlipTest:
    """Test where similarity with a model differs from 0 over subjects, or from another model's.

    Parameters
    ----------
    maps : sequence of SearchlightMap
        One for each subject, in one space (normalised brains, or a template surface).
    model : int or str, optional
        Number or name of the model; may be left out if there is one only.
    minus : int or str, optional
        A second model, whose similarity is subtracted first.
    statistic : {"tfce", "max", "cluster-mass"}, default "tfce"
        As for :func:`rsa_faces.inference.sign_flip_test`. Neighbours are the voxels that share a
        side, or the vertices that share an edge.
    threshold, tail, n_permutations, seed
        As for :func:`rsa_faces.inference.sign_flip_test`.

    Returns
    -------
    SignFlipTest
        Arrays have one entry per centre: ``maps[0].space.to_img(test.p)`` is an image. p values
        are corrected for all centres.

    Raises
    ------
    InputError
        If maps are of other models or in other spaces, there is no such model, or as
        :func:`rsa_faces.inference.sign_flip_test`.

    Warns
    -----
    UserWarning
        Of how many centres are left out because some subjects have no similarity there.

    See Also
    --------
    rsa_faces.searchlight : Compare the RDM in the sphere around every voxel with models.
    rsa_faces.inference.sign_flip_test : Test where similarities differ from 0 over subjects.
    peak_table : Find the places where a map is larger than at all places around.

    Notes
    -----
    Similarities are not transformed. Flipping signs tests that they are symmetric around 0: the
    mean of a similarity that cannot be negative, or is biased, is not tested by it. Similarities
    with correlation distances of noise are skewed a little to the right (0.13 in simulation with
    24 conditions; with crossnobis not at all): a one-sided t of 10 subjects exceeds its bound of
    0.05 at 0.047 of places above and 0.053 below.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(8)]
    >>> model = rf.RDMs(rng.random(28), names, "simulated", {"name": ["one"]})
    >>> mask = nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4))
    >>> imgs = [nibabel.Nifti1Image(rng.normal(size=(4, 4, 4, 8)), np.eye(4)) for _ in range(6)]
    >>> maps = [rf.searchlight(img, mask_img=mask, conditions=names, models=model, radius=2.0,
    ...                        progress=False) for img in imgs]
    >>> test = rf.mapping.group_test(maps, statistic="max")
    >>> test.p.shape, test.n_subjects, test.exact
    ((64,), 6, True)
    """
    check_arguments(group_test, locals())
    values = values_of(maps, model, minus)
    graph = None if statistic == "max" else neighbours(maps[0].space)
    return sign_flip_test(
        values,
        statistic=statistic,
        neighbours=graph,
        threshold=threshold,
        tail=tail,
        n_permutations=n_permutations,
        seed=seed,
    )


def values_of(maps: Sequence[SearchlightMap], model, minus) -> np.ndarray:
    """Return what is tested, (n_subjects, n_centers): NaN in all subjects where one has none."""
    values = _stack(maps, model, 2)
    if minus is not None:
        values = values - _stack(maps, minus, 2)
    missing = np.isnan(values)
    partly = missing.any(axis=0) & ~missing.all(axis=0)
    if partly.any():
        warn(
            f"{int(partly.sum())} of {values.shape[1]} centres are left out: some of "
            f"{len(values)} subjects have no similarity there."
        )
        # Over fewer subjects t would mean another thing at each place, and flips could not be the
        # same everywhere.
        values[:, partly] = np.nan
    return values


def _stack(maps: Sequence[SearchlightMap], model, n_least: int) -> np.ndarray:
    """Return similarities of all subjects: with one model, or (n_subjects, n_models, n_centers)."""
    maps = list(maps)
    if len(maps) < n_least:
        raise InputError(f"expected maps of at least {n_least} subjects, got {len(maps)}.")
    first = maps[0]
    for i, other in enumerate(maps[1:], start=1):
        if not other.space.equals(first.space):
            raise InputError(
                f"expected all maps in one space, but map {i} is in {other.space} and map 0 in "
                f"{first.space}. Normalise them to one template and mask first."
            )
        for what in ("names", "measure", "method", "radius"):
            if getattr(other, what) != getattr(first, what):
                raise InputError(
                    f"expected all maps with the same {what}, but map {i} has "
                    f"{getattr(other, what)!r} and map 0 {getattr(first, what)!r}."
                )
    if model is not None or len(first.names) == 1 and n_least == 2:
        model = first.model_index(model)
        return np.stack([m.similarity[model] for m in maps])
    return np.stack([m.similarity for m in maps])
