"""What a searchlight needs of a subject: the patterns at every place, checked, and their space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rsa_faces._core.checks import check_choice, check_enough
from rsa_faces._core.errors import InputError, check_same_names
from rsa_faces._core.labels import per_row
from rsa_faces._core.names import as_names, in_memory, named
from rsa_faces._kernels import spheres
from rsa_faces.brain import Surface, Volume
from rsa_faces.brain._region import Region, grid, same_grid
from rsa_faces.brain.images import Image, open_image
from rsa_faces.brain.masks import as_region, inside_mask
from rsa_faces.brain.vertices import read_vertices
from rsa_faces.rdm._cells import Cells
from rsa_faces.rdm._ties import rounding_of_sums, settle, values_repeat
from rsa_faces.rdm.measures import Measure, check_rates, resolve
from rsa_faces.rdm.noise import (
    ALL_FOLDS,
    NOISE_METHODS,
    Freedom,
    check_freedom,
    check_noise_from,
    estimate,
    freedom_by_fold,
    residuals_by_fold,
    sharing,
)

_NOISE = {
    None: spheres.NO_NOISE,
    "ledoit-wolf": spheres.LEDOIT_WOLF,
    "schaefer-strimmer": spheres.SCHAEFER_STRIMMER,
}
_PRIOR_RATE, _PRIOR_WEIGHT = 1.0, 0.1  # as rsa_faces.rdm.measures.poisson

#: What noise can be estimated from where nothing is repeated.
_INSTEAD = "GLM residuals as `residuals`"


@dataclass(frozen=True, eq=False)
class Patterns:
    """Patterns at every place, as :func:`rsa_faces._kernels.spheres.fill_rdms` wants them."""

    space: Volume | Surface
    values: np.ndarray
    usable: np.ndarray
    measure: Measure
    noise: str | None
    residuals: np.ndarray
    bounds: np.ndarray
    freedom: tuple[Freedom, ...]

    @cached_property
    def repeating(self) -> bool:
        """Whether dissimilarities may be tied: to look for ties takes as long as to make an RDM."""
        return values_repeat(self.values[0][self.usable][:1000].T)

    @cached_property
    def small(self) -> bool:
        """Whether the measure itself takes less time at each place than its loop to compile."""
        steps = int(self.usable.sum()) * self.values.shape[2] ** 2 // 2
        return self.noise is None and steps <= spheres.PLAIN

    @property
    def n_bytes(self) -> int:
        """Memory of the arrays."""
        return self.values.nbytes + self.residuals.nbytes

    def fill(self, indptr, indices, min_voxels, vectors, n_used, state) -> None:
        """Fill the RDMs of a batch of centres."""
        loop, cancels = self.measure.compiled, self.measure.cancels
        if loop is None or (cancels and self.repeating) or self.small:
            self._fill_plain(indptr, indices, min_voxels, vectors, n_used, state)
            return
        spheres.fill_rdms(
            self.values,
            self.usable,
            indptr,
            indices,
            getattr(spheres, loop),
            min_voxels,
            _NOISE[self.noise],
            self.residuals,
            self.bounds,
            np.array([float(f.number) for f in self.freedom]),
            np.array([f.inflation for f in self.freedom]),
            vectors,
            n_used,
            state,
        )
        if cancels:
            return
        # As in the measures themselves: products are over channels without the mean pattern, or of
        # patterns of length 1, whose nearest pairs come from differences.
        sums = rounding_of_sums(int(n_used.max(initial=0)))
        angular = self.measure.angular
        most = np.fmax.reduce(vectors, axis=None)
        nothing = 4.0 * sums**2 if angular else sums * most
        if not (
            self.repeating
            or n_used.min(initial=4) <= 3
            or (np.abs(vectors) <= nothing).any()
            or (angular and most >= 2.0 - sums)
        ):
            return
        if angular:
            # Near pairs are squares of differences of length sqrt(2 v): their error goes with that
            # length and vanishes with it. Others are sums of products, whose error does not.
            near = sums * np.sqrt(2.0 * vectors) + sums**2
            rounding, exact = np.where(vectors < 1e-8, near, sums), (0.0, 2.0)
        else:
            rounding = sums * np.nanmax(np.abs(vectors), axis=1, initial=0.0)[:, None]
            exact = (0.0,)
        vectors[:] = settle(vectors, rounding, exact=exact)

    def _fill_plain(self, indptr, indices, min_voxels, vectors, n_used, state) -> None:
        """Call the measure itself at each centre."""
        for c in range(len(indptr) - 1):
            used = indices[indptr[c] : indptr[c + 1]]
            used = used[self.usable[used]]
            n_used[c] = len(used)
            if len(used) < min_voxels:
                state[c], vectors[c] = spheres.FEW, np.nan
                continue
            here = self.values[:, used].transpose(0, 2, 1)
            if (restore := _RESTORED.get(self.measure.compiled or "")) is not None:
                here = restore(here)
            vectors[c] = self.measure(
                here if self.measure.needs_folds else here[0], *self._noise_of(used)
            )
            undefined = np.isnan(vectors[c]).any()
            state[c] = spheres.UNDEFINED if undefined else spheres.FINE

    def _noise_of(self, used: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the noise covariance of these places, if there is one."""
        if self.noise is None:
            return ()
        covariances = [
            estimate(self.residuals[used, start:stop].T, freedom, self.noise).covariance
            for start, stop, freedom in zip(
                self.bounds[:-1], self.bounds[1:], self.freedom, strict=True
            )
        ]
        return (covariances[0] if len(covariances) == 1 else np.array(covariances),)


def load_patterns(
    img: Any,
    *,
    mask_img: Any,
    mesh: Any,
    conditions: Sequence[str],
    order: Sequence[str],
    measure: str | Measure | Callable[..., np.ndarray],
    folds: Sequence[Any] | None,
    noise: str | None,
    noise_from: str,
    residuals: Any,
    n_estimated: int | Mapping[Any, int],
    budget: int,
) -> Patterns:
    """Read an image or array, average repeats and mark the voxels that can be used.

    Conditions come out in the given order, that of the models.
    """
    measure = resolve(measure)
    if in_memory(img):
        img, _ = named(img, conditions, what="img", repeats=True, missing=True)
    names, folds, cells = rows_of(
        conditions, order, measure, folds, noise, noise_from, residuals is not None
    )
    space, observed = _observations(img, mask_img, mesh, len(names), budget, "img")
    usable = np.isfinite(observed).all(axis=1)
    usable &= observed.max(axis=1) != observed.min(axis=1)
    # The mask leaves these places out; a NaN in a sum that it is multiplied into would stay.
    observed[~usable] = 0.0
    means = _means(observed, cells)
    left: dict[Any, np.ndarray] = {ALL_FOLDS: np.zeros((1, 1))}
    freedom: dict[Any, Freedom] = {ALL_FOLDS: Freedom(1, 1.0)}
    if noise is not None:
        if residuals is None:
            left, freedom = cells.residuals(observed, means, 1, _INSTEAD)
        else:
            left = residuals_by_fold(residuals, folds)
            for fold, given in left.items():
                where = f"residuals of fold {fold!r}" if len(left) > 1 else "residuals"
                other, left[fold] = _observations(given, mask_img, mesh, None, budget, where)
                if not space.equals(other):
                    raise InputError(f"expected {where} in the space of img, {space}, got {other}.")
            freedom = freedom_by_fold({f: v.shape[1] for f, v in left.items()}, n_estimated)
        check_noise_from(noise_from, measure, list(left))
        for deviations in left.values():
            usable &= np.isfinite(deviations).all(axis=1) & deviations.any(axis=1)
    deviations = np.concatenate(list(left.values()), axis=1)
    if noise is not None:
        deviations[~usable] = 0.0
    groups = sharing(left, noise_from)
    sizes = [sum(left[fold].shape[1] for fold in group) for group in groups]
    joined = tuple(Freedom.joined([freedom[fold] for fold in group]) for group in groups)
    for size, one in zip(sizes, joined, strict=True):
        if noise is not None:
            check_freedom(one, size)
    # Folds first: crossnobis multiplies whole folds with each other.
    means = means.reshape(len(means), len(cells.folds), len(order)).transpose(1, 0, 2)
    values = np.ascontiguousarray(means)
    if prepare := _PREPARED.get(measure.compiled or ""):
        values = prepare(values, usable)
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    return Patterns(space, values, usable, measure, noise, deviations, bounds, joined)


def rows_of(
    conditions: Sequence[str],
    order: Sequence[str],
    measure: str | Measure | Callable[..., np.ndarray],
    folds: Sequence[Any] | None,
    noise: str | None,
    noise_from: str,
    has_residuals: bool,
) -> tuple[list[str], list[Any] | None, Cells]:
    """Return condition and fold of each volume, and the cells that they fill; reads no image."""
    measure = resolve(measure)
    _check_options(measure, folds, noise, noise_from, has_residuals)
    names = _names(conditions, order)
    if folds is not None:
        folds = list(per_row(folds, len(names), rows=(names,)))
    cells = Cells.of(names, order, folds, measure)
    if noise is not None and not has_residuals:
        cells.check_repeats(_INSTEAD)
    return names, folds, cells


def _check_options(measure: Measure, folds, noise, noise_from, has_residuals) -> None:
    """Check that measure, folds and noise go together."""
    check_noise_from(noise_from, measure, None)
    if noise is not None:
        check_choice(noise, NOISE_METHODS, what="noise covariance method")
    measure.check(folds=folds, noise=noise)
    if has_residuals and noise is None:
        raise InputError(
            "expected `noise` with `residuals`: how their covariance is shrunk, "
            f"{' or '.join(map(repr, NOISE_METHODS))}."
        )


def _names(conditions: Sequence[str], order: Sequence[str]) -> list[str]:
    """Return the condition of each volume; all those of the models, and no others."""
    names = as_names(conditions)
    hint = "Rename them, or take the common ones with models.subset()."
    check_same_names(order, names, "models", "conditions", hint)
    check_enough(len(order), 3, "conditions")
    return names


def _observations(img, mask_img, mesh, n_expected, budget, what):
    """Return the space and what was measured there, (n_places, n_observations) in float64."""
    if mesh is not None or isinstance(img, np.ndarray):
        return _from_array(img, mask_img, mesh, n_expected, what)
    image = open_image(img, what)
    if image.kind == "grayordinates":
        raise InputError(
            f"expected voxels in {image.label}, got CIFTI: split it with "
            "rsa_faces.mapping.image_parts, which gives a searchlight of each hemisphere its mesh."
        )
    if image.kind == "surface":
        raise InputError(
            f"expected `mesh`, the vertices and faces of the surface, because {image.label} holds "
            f"vertices: {image.space!r}."
        )
    if mask_img is None:
        raise InputError(
            "expected `mask_img`: an image or file that says which voxels are brain, in the space "
            f"of {image.label}."
        )
    space = _mask_of(mask_img, image)
    if image.n_maps == 1 and n_expected is not None and n_expected > 1:
        raise InputError(
            f"expected {image.label} with 4 dimensions, one volume for each of {n_expected} "
            f"conditions, or a list of images, got shape {image.space.volume.mask.shape}."
        )
    _check_number(image.n_maps, n_expected, image.label)
    if (needed := 8 * space.n_places * image.n_maps) > budget:
        raise InputError(
            f"expected a budget above {needed / 1e9:.2g} GB, what {image.n_maps} volumes of "
            f"{space.n_places} voxels take, got {budget / 1e9:.2g} GB."
        )
    observed = np.empty((space.n_places, image.n_maps))
    image.fill(Region(space), observed)
    return space, observed


def _mask_of(mask_img: Any, image: Image) -> Volume:
    """Return the voxels of a mask, which must be on the grid of the image."""
    mask = as_region(mask_img).volume
    # Images of a surface, with or without voxels, were refused.
    own: Volume = image.space.volume  # type: ignore[assignment]
    if mask is None:
        raise InputError(f"expected a mask of voxels for {image.label}, got vertices in mask_img.")
    if not same_grid(mask, own):
        raise InputError(
            f"expected mask_img on the grid of {image.label}, {grid(own)}, got {grid(mask)}. "
            "Resample one to the other first (nilearn.image.resample_to_img)."
        )
    return Volume(mask.mask, own.affine)


def _from_array(img, mask, mesh, n_expected, what):
    """Return a surface and what was measured there."""
    if mesh is None:
        raise InputError(
            f"expected `mesh`, the vertices and faces of the surface, with an array as {what}; for "
            "voxels give an image (nibabel) or its path, which knows where they are."
        )
    if isinstance(mesh, Surface):
        mask = mesh.mask if mask is None else mask
        mesh = mesh.vertices, mesh.faces
    try:
        vertices, faces = mesh
    except (TypeError, ValueError) as err:
        raise InputError(
            f"expected mesh to be a Surface or a pair (vertices, faces), got {type(mesh).__name__}."
        ) from err
    img = img if isinstance(img, np.ndarray) else read_vertices(img, what)
    if img.dtype.kind not in "fiub":
        raise TypeError(f"expected real numbers in {what}, got {img.dtype}.")
    mask = None if mask is None else _vertex_mask(mask)
    surface = Surface(vertices, faces, mask)
    if img.ndim != 2 or img.shape[1] != len(surface.mask):
        raise InputError(
            f"expected {what} of shape (n_conditions, {len(surface.mask)}), one column for each "
            f"vertex, got {img.shape}."
        )
    _check_number(len(img), n_expected, what)
    return surface, np.array(img[:, surface.mask].T, dtype=np.float64, order="C")


def _vertex_mask(mask) -> np.ndarray:
    """Return which vertices are in a mask: an array, or an image of a hemisphere."""
    if isinstance(mask, (np.ndarray, list, tuple)):
        return np.asarray(mask)
    values = read_vertices(mask, "mask_img")
    if len(values) != 1:
        raise InputError(f"expected one map in mask_img, got {len(values)}.")
    return inside_mask(values[0], "mask_img")


def _check_number(n_observations: int, n_expected: int | None, what: str) -> None:
    """Check that there is a condition for each volume."""
    if n_expected is not None and n_observations != n_expected:
        raise InputError(
            f"expected one condition for each of {n_observations} volumes of {what}, got "
            f"{n_expected} conditions."
        )


def _means(observed: np.ndarray, cells: Cells) -> np.ndarray:
    """Return the mean of each cell, (n_places, n_cells)."""
    ordered, counts = observed[:, np.argsort(cells.codes, kind="stable")], cells.counts
    if (counts == 1).all():
        return ordered
    return np.add.reduceat(ordered, np.cumsum(counts) - counts, axis=1) / counts


def _rates(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Return rates drawn towards the prior, and their logarithms."""
    check_rates(values[:, usable].min(initial=0.0))
    rates = (values[0] + _PRIOR_RATE * _PRIOR_WEIGHT) / (1 + _PRIOR_WEIGHT)
    return np.stack([rates, np.log(np.where(usable[:, None], rates, 1.0))])


def _counts(values: np.ndarray) -> np.ndarray:
    """Return what :func:`_rates` was made of."""
    prior = _PRIOR_RATE * _PRIOR_WEIGHT
    return np.maximum(values[:1] * (1 + _PRIOR_WEIGHT) - prior, 0.0)


def _without_mean(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Take the mean pattern off: it is in no difference; without it fewer digits cancel."""
    values -= values.mean(axis=2, keepdims=True)
    return values


_RESTORED = {"POISSON": _counts}
_PREPARED = {
    "POISSON": _rates,
    **dict.fromkeys(("SQEUCLIDEAN", "EUCLIDEAN", "MAHALANOBIS", "CROSSNOBIS"), _without_mean),
}
