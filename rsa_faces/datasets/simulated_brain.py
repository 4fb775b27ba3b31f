"""A small simulated brain: models are planted in known places, so that maps can be judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_above, check_count, nearest
from rsa_faces._core.errors import InputError
from rsa_faces.rdm import RDMs

GENERATIVE_MODEL = (
    "All data are simulated. In subject s, run r, condition k and voxel v the image is "
    "y = signal · Σ_m [v in the region of model m] Σ_d Z_m(k, d) w_s(d, v) + e. Z_m are the "
    "coordinates of the conditions that classical scaling finds for model m (squared Euclidean "
    "distances; dimensions with negative eigenvalues left out; mean variance over conditions 1), "
    "w_s are normal and independent in every voxel and subject and the same in all runs, e is "
    "normal noise of variance 1, independent over subjects, runs and conditions, smooth over "
    "voxels if asked."
)
# Where regions are by default, in shares of the half axes of the brain, far from each other.
_PLACES = np.array(
    [
        [-0.45, -0.5, -0.2],
        [0.45, 0.0, 0.25],
        [-0.4, 0.5, 0.2],
        [0.4, 0.55, -0.3],
        [0.45, -0.6, -0.15],
        [-0.5, 0.0, 0.35],
    ]
)


@dataclass(frozen=True, eq=False)
class SimulatedBrain:
    """The outcome of :func:`simulated_brain`.

    Parameters
    ----------
    name : str
        Always "simulated": say it wherever these data are shown.
    imgs : tuple of nibabel.Nifti1Image
        One for each subject, one volume for each entry of `conditions`, in float32.
    mask_img : nibabel.Nifti1Image
        1 in the brain, an ellipsoid.
    truth_img : nibabel.Nifti1Image
        The number of the model that is planted in each voxel, from 1; 0 where none is.
    conditions, runs : tuple of str
        Condition and run of each volume.
    models : RDMs
        All models, planted or not.
    regions : DataFrame
        One row for each region: model, i, j, k (centre, in voxels), x, y, z (in mm), radius (in
        mm), n_voxels, left_out (share of the model's squared eigenvalues that no pattern can
        have, because distances are not Euclidean; from 0 to 1).
    signal : float
        Standard deviation of the planted patterns; that of the noise is 1.
    seed : int
    note : str
        The generative model in words.

    See Also
    --------
    simulated_brain : Simulate a group of brains in which models hold in known places.
    rsa_faces.datasets.SimulatedCortex : The outcome of :func:`simulated_cortex`.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> brain = rf.datasets.simulated_brain(n_subjects=1)
    >>> brain.imgs[0].shape, len(brain.conditions), sorted(set(brain.runs))
    ((20, 24, 18, 48), 48, ['run-1', 'run-2'])
    """

    name: str
    imgs: tuple[Any, ...]
    mask_img: Any
    truth_img: Any
    conditions: tuple[str, ...]
    runs: tuple[str, ...]
    models: RDMs
    regions: pd.DataFrame
    signal: float
    seed: int
    note: str = GENERATIVE_MODEL

    def __repr__(self) -> str:
        planted = ", ".join(map(repr, self.regions["model"])) or "none"
        return (
            f"SimulatedBrain({len(self.imgs)} subjects, {int(self._inside.sum())} voxels, "
            f"{len(set(self.conditions))} conditions × {len(set(self.runs))} runs, {planted} of "
            f"{len(self.models)} models planted, signal {self.signal:g})"
        )

    @property
    def truth(self) -> np.ndarray:
        """Number of the planted model at each voxel of the mask, from 0; −1 where none is."""
        return np.asanyarray(self.truth_img.dataobj)[self._inside].astype(int) - 1

    def reached(self, radius: float) -> np.ndarray:
        """Return the voxels whose searchlights can hold a planted pattern.

        Parameters
        ----------
        radius : float
            In mm.

        Returns
        -------
        ndarray of bool, shape (n_voxels,)
            Voxels of the mask up to `radius` from a voxel with a planted model. At all others no
            model is true.
        """
        from scipy.spatial import cKDTree

        places = np.argwhere(self._inside) @ self.mask_img.affine[:3, :3].T
        planted = places[self.truth >= 0]
        if not len(planted):
            return np.zeros(len(places), bool)
        return cKDTree(planted).query(places)[0] <= radius * (1 + 1e-6)

    @property
    def _inside(self) -> np.ndarray:
        return np.asanyarray(self.mask_img.dataobj) > 0


def simulated_brain(
    models: RDMs | None = None,
    *,
    planted: Mapping[str, Sequence[int]] | Sequence[str] | None = None,
    n_subjects: int = 12,
    n_runs: int = 2,
    shape: tuple[int, int, int] = (20, 24, 18),
    voxel_size: float = 3.0,
    region_radius: float = 9.0,
    signal: float = 1.0,
    smoothness: float = 0.0,
    seed: int = 0,
) -> SimulatedBrain:
    """Simulate a group of brains in which models hold in known places, and nowhere else.

    Parameters
    ----------
    models : RDMs, optional
        Whole model RDMs with different names (label ``name``, else ``layer``). By default those
        of :func:`simulated_layers`.
    planted : mapping of str to (i, j, k), or sequence of str, optional
        Which models are planted, and the voxel in the middle of their region; places are chosen
        for a sequence, of at most 6. By default the first, the middle and the last model.
        An empty sequence plants none.
    n_subjects : int, default 12
    n_runs : int, default 2
        Each holds every condition once.
    shape : (int, int, int), default (20, 24, 18)
        Voxels of the image; the brain is the ellipsoid in it.
    voxel_size : float, default 3.0
        In mm.
    region_radius : float, default 9.0
        Of each region, in mm.
    signal : float, default 1.0
        Standard deviation over conditions of a planted pattern in a voxel, in units of that of
        the noise. With 0 no model is true anywhere.
    smoothness : float, default 0.0
        Full width at half maximum of the noise over voxels, in mm.
    seed : int, default 0

    Returns
    -------
    SimulatedBrain

    Raises
    ------
    InputError
        If a model has missing pairs or no distances, names are not there or not unique, a region
        leaves the brain, overlaps another or has no voxels, or an option is out of range.

    See Also
    --------
    simulated_cortex : Simulate a group's cortex.
    rsa_faces.searchlight : Compare the RDM in the sphere around every voxel with models.

    Notes
    -----
    y = signal · Σ_m [v in region m] Σ_d Z_m(k, d) w_s(d, v) + e. With Z Zᵀ = −½ H D H (classical
    scaling [1]_, H takes off the mean), the expected squared Euclidean distance of two conditions
    over the n voxels of a region is n · signal² · D, in units in which conditions have a mean
    variance of 1, plus 2 n of noise for a single run. Distances D that are not squared Euclidean
    cannot be had exactly: `left_out` says how much is missing.

    Subjects share the models and the places, no patterns. What is measured in two runs shares the
    planted patterns and no noise.

    References
    ----------
    .. [1] Torgerson W. S. (1952). Psychometrika 17, 401-419. doi:10.1007/BF02288916

    Examples
    --------
    >>> from rsa_faces.datasets import simulated_brain
    >>> brain = simulated_brain(n_subjects=2)
    >>> brain.name
    'simulated'
    >>> brain.regions[["model", "i", "j", "k", "n_voxels"]]
                   model   i   j   k  n_voxels
    0  simulated layer_1   5   6   7       123
    1  simulated layer_3  14  12  11       123
    2  simulated layer_5   6  17  10       123
    """
    import nibabel
    from scipy.ndimage import gaussian_filter

    models = simulated_layers(seed=seed) if models is None else models
    names = _names(models)
    check_count(n_subjects, what="n_subjects")
    check_count(n_runs, what="n_runs")
    for value, what, low in (
        (voxel_size, "voxel_size", 0.0),
        (region_radius, "region_radius", 0.0),
        (signal, "signal", -1.0),
        (smoothness, "smoothness", -1.0),
    ):
        check_above(value, 0, what=f"{what} to be a number", least=low < 0)
    rng = as_rng(seed)
    inside, affine = _ellipsoid(shape), np.diag([voxel_size] * 3 + [1.0])
    # The middle of the image is at 0 mm.
    affine[:3, 3] = -voxel_size * (np.array(inside.shape) - 1) / 2
    centers = _centers(planted, names, inside.shape)
    truth, counts = _regions(centers, names, inside, region_radius / voxel_size)
    coordinates = {name: _coordinates(models, names.index(name)) for name in centers}
    n_conditions = models.n_conditions
    sigma = smoothness / voxel_size / np.sqrt(8 * np.log(2))
    imgs = []
    for _ in range(n_subjects):
        pattern = np.zeros((*inside.shape, n_conditions))
        for name, (places, _) in coordinates.items():
            here = truth == names.index(name) + 1
            weights = rng.normal(size=(int(here.sum()), places.shape[1]))
            pattern[here] = signal * weights @ places.T
        noise = rng.normal(size=(*inside.shape, n_runs, n_conditions))
        if sigma > 0:
            noise = gaussian_filter(noise, sigma, axes=(0, 1, 2), mode="wrap")
            noise /= noise.std()
        noise += pattern[..., None, :]
        noise[~inside] = 0.0
        data = noise.reshape(*inside.shape, n_runs * n_conditions).astype(np.float32)
        imgs.append(nibabel.Nifti1Image(data, affine))
    regions = pd.DataFrame(
        [
            {
                "model": name,
                **dict(zip("ijk", center, strict=True)),
                **dict(zip("xyz", affine[:3, :3] @ center + affine[:3, 3], strict=True)),
                "radius": float(region_radius),
                "n_voxels": counts[name],
                "left_out": coordinates[name][1],
            }
            for name, center in centers.items()
        ],
        columns=["model", *"ijkxyz", "radius", "n_voxels", "left_out"],
    )
    runs = [f"run-{r + 1}" for r in range(n_runs) for _ in models.conditions]
    return SimulatedBrain(
        "simulated",
        tuple(imgs),
        nibabel.Nifti1Image(inside.astype(np.uint8), affine),
        nibabel.Nifti1Image(truth.astype(np.int16), affine),
        tuple(models.conditions) * n_runs,
        tuple(runs),
        models,
        regions,
        float(signal),
        seed,
    )


def simulated_layers(n_layers: int = 5, *, n_conditions: int = 24, seed: int = 0) -> RDMs:
    """Simulate the RDMs of a network whose geometry turns into another from layer to layer.

    Parameters
    ----------
    n_layers : int, default 5
        At least 2.
    n_conditions : int, default 24
        At least 4.
    seed : int, default 0

    Returns
    -------
    RDMs
        Squared Euclidean distances, labels name, network ("simulated"), layer, layer_index and
        depth (from 0 to 1).

    See Also
    --------
    simulated_brain : Simulate a group of brains in which models hold in known places.
    rsa_faces.datasets.simulated_cortex : Simulate a group's cortex.

    Notes
    -----
    The features of layer l are cos(θ) A + sin(θ) B with θ from 0 to 90° in equal steps; A and B
    are normal, with 6 columns: neighbouring layers resemble each other, the first and the last
    do not.

    Examples
    --------
    >>> from rsa_faces.datasets import simulated_layers
    >>> simulated_layers()
    RDMs(5 RDMs, 24 conditions, measure='sqeuclidean', labels: name, network, layer, ...)
    """
    from rsa_faces.rdm import compute_rdms, concat

    check_count(n_layers, what="n_layers", low=2)
    check_count(n_conditions, what="n_conditions", low=4)
    first, last = as_rng(seed).normal(size=(2, n_conditions, 6))
    conditions = [f"simulated {i + 1:02d}" for i in range(n_conditions)]
    angles = np.linspace(0.0, np.pi / 2, n_layers)
    rdms = concat(
        [
            compute_rdms(
                np.cos(angle) * first + np.sin(angle) * last,
                conditions=conditions,
                measure="sqeuclidean",
            )
            for angle in angles
        ]
    )
    layers = [f"layer_{i + 1}" for i in range(n_layers)]
    return rdms.with_labels(
        name=[f"simulated {layer}" for layer in layers],
        network=["simulated"] * n_layers,
        layer=layers,
        layer_index=list(range(n_layers)),
        depth=np.linspace(0.0, 1.0, n_layers),
    )


def _names(models: RDMs) -> list[str]:
    """Return the names of the models, checked."""
    if not isinstance(models, RDMs):
        raise TypeError(f"expected models as RDMs, got {type(models).__name__}.")
    column = next((c for c in ("name", "layer") if c in models.labels), None)
    if column is None:
        raise InputError(
            "expected models with the label 'name', got the labels "
            f"{list(models.labels.columns)}. Add them: models.with_labels(name=[...])."
        )
    names = [str(name) for name in models.labels[column]]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"expected models of different names, got {twice[0]!r} more than once.")
    if (missing := int(np.isnan(models.vectors).sum())) > 0:
        raise InputError(f"expected models without missing pairs, got {missing} NaN.")
    return names


def check_planted(name: str, names: list[str]) -> None:
    """Raise unless a planted model is one of the models."""
    if name not in names:
        raise InputError(
            f"expected planted models among the {len(names)} models, got {name!r}."
            f"{nearest(str(name), names)}"
        )


def _ellipsoid(shape) -> np.ndarray:
    """Return the largest ellipsoid in an image, with a margin of half a voxel."""
    shape = tuple(check_count(n, what="shape", low=6) for n in shape)
    if len(shape) != 3:
        raise InputError(f"expected shape to hold 3 numbers of voxels, got {shape}.")
    half = (np.array(shape) - 1) / 2
    grid = (np.indices(shape).reshape(3, -1).T - half) / half
    return (np.einsum("ij,ij->i", grid, grid) <= 1.0).reshape(shape)


def _centers(planted, names: list[str], shape) -> dict[str, np.ndarray]:
    """Return the middle voxel of the region of each planted model."""
    if planted is None:
        planted = list(dict.fromkeys([names[0], names[len(names) // 2], names[-1]]))
    for name in planted:
        check_planted(name, names)
    if isinstance(planted, Mapping):
        return {name: np.array(center, dtype=int) for name, center in planted.items()}
    if len(planted) > len(_PLACES):
        raise InputError(
            f"expected at most {len(_PLACES)} models without places, got {len(planted)}: give the "
            "places, {name: (i, j, k)}."
        )
    half = (np.array(shape) - 1) / 2
    places = np.rint(half + _PLACES[: len(planted)] * half).astype(int)
    return dict(zip(planted, places, strict=True))


def _regions(centers, names, inside, radius: float) -> tuple[np.ndarray, dict[str, int]]:
    """Return the number of the planted model of each voxel, and how many voxels each has."""
    truth, counts = np.zeros(inside.shape, int), {}
    grid = np.indices(inside.shape).reshape(3, -1).T
    for name, center in centers.items():
        if center.shape != (3,):
            raise InputError(f"expected a place (i, j, k) for {name!r}, got {center.tolist()}.")
        ball = (np.linalg.norm(grid - center, axis=1) <= radius + 1e-9).reshape(inside.shape)
        n_out = int((ball & ~inside).sum())
        if n_out or not ball.any():
            raise InputError(
                f"expected the region of {name!r} within the brain, but {n_out} of its "
                f"{int(ball.sum())} voxels around {center.tolist()} are outside. Choose another "
                "place, a smaller region_radius or a larger shape."
            )
        if (truth[ball] > 0).any():
            other = names[truth[ball].max() - 1]
            raise InputError(
                f"expected regions apart from each other, but those of {name!r} and {other!r} "
                "overlap. Choose other places or a smaller region_radius."
            )
        truth[ball] = names.index(name) + 1
        counts[name] = int(ball.sum())
    return truth, counts


def _coordinates(models: RDMs, i: int) -> tuple[np.ndarray, float]:
    """Return coordinates of the conditions, (n_conditions, n_dimensions), and what is left out."""
    matrix = models.matrices()[i].copy()
    np.fill_diagonal(matrix, 0.0)
    centring = np.eye(len(matrix)) - 1.0 / len(matrix)
    values, vectors = np.linalg.eigh(-0.5 * centring @ matrix @ centring)
    # Distances that are not Euclidean have negative values, for which there are no coordinates:
    # they are left out, and how much they are is said.
    keep = values > 1e-9 * np.abs(values).max()
    if not keep.any():
        raise InputError(f"expected a model with distances, but all of model {i} are 0.")
    kept = values[keep]
    left_out = float(np.sum(values[values < 0] ** 2) / np.sum(values**2))
    # Mean squared length over conditions 1.
    return vectors[:, keep] * np.sqrt(kept / kept.sum() * len(matrix)), left_out
