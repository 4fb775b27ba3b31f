"""Simulated data on the template cortex: models are planted at known vertices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

from rsa_faces._core.checks import as_rng, check_above, check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces.datasets.simulated_brain import (
    _coordinates,
    _names,
    check_planted,
    simulated_layers,
)
from rsa_faces.rdm import RDMs

HEMISPHERES = ("left", "right")
# Where models are planted by default: near the occipital pole, on the fusiform gyrus, in the
# superior temporal sulcus; in mm of the template.
_PLACES = (("left", (-12, -95, -2)), ("right", (40, -52, -18)), ("right", (54, -42, 8)))


@dataclass(frozen=True, eq=False)
class SimulatedCortex:
    """The outcome of :func:`simulated_cortex`.

    Parameters
    ----------
    name : str
        Always "simulated": say it wherever these data are shown.
    imgs : tuple of dict
        For each subject "left" and "right" as nibabel.GiftiImage on fsaverage5, an array for each
        entry of `conditions`, in float32.
    truth : dict of str to ndarray of int, shape (10242,)
        For each hemisphere the number of the model planted at each vertex, from 0; −1 where none.
    conditions, runs : tuple of str
        Condition and run of each array.
    models : RDMs
        All models, planted or not.
    regions : DataFrame
        One row for each region: model, hemisphere, vertex (its middle), x, y, z (mm), radius (mm,
        along the cortex), n_vertices, left_out (as for
        :func:`rsa_faces.datasets.simulated_brain`).
    signal : float
        Standard deviation of the planted patterns; that of the noise is 1.
    seed : int

    See Also
    --------
    simulated_cortex : Simulate a group's cortex.
    rsa_faces.datasets.SimulatedBrain : The outcome of :func:`simulated_brain`.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> cortex = rf.datasets.simulated_cortex(n_subjects=1)
    >>> sorted(cortex.imgs[0]), len(cortex.conditions)
    (['left', 'right'], 48)
    """

    name: str
    imgs: tuple[dict[str, Any], ...]
    truth: dict[str, np.ndarray]
    conditions: tuple[str, ...]
    runs: tuple[str, ...]
    models: RDMs
    regions: pd.DataFrame
    signal: float
    seed: int

    def __repr__(self) -> str:
        planted = ", ".join(map(repr, self.regions["model"])) or "none"
        return (
            f"SimulatedCortex({len(self.imgs)} subjects, {len(set(self.conditions))} conditions × "
            f"{len(set(self.runs))} runs, {planted} of {len(self.models)} models planted, signal "
            f"{self.signal:g})"
        )


def simulated_cortex(
    models: RDMs | None = None,
    *,
    planted: Mapping[str, tuple[str, int]] | None = None,
    n_subjects: int = 10,
    n_runs: int = 2,
    region_radius: float = 15.0,
    signal: float = 1.0,
    seed: int = 0,
) -> SimulatedCortex:
    """Simulate a group's cortex (fsaverage5), where models hold in known places and nowhere else.

    Parameters
    ----------
    models : RDMs, optional
        Whole model RDMs with different names (label ``name``, else ``layer``). By default those
        of :func:`simulated_layers`.
    planted : mapping of str to (hemisphere, vertex), optional
        The middle of each model's region. By default the first model is near the left occipital
        pole, the middle one on the right fusiform gyrus, the last in the right superior temporal
        sulcus. An empty mapping plants none.
    n_subjects : int, default 10
    n_runs : int, default 2
        Each holds every condition once.
    region_radius : float, default 15.0
        In mm along the edges of the midthickness surface.
    signal : float, default 1.0
        Standard deviation over conditions of a planted pattern at a vertex, in units of that of
        the noise.
    seed : int, default 0

    Returns
    -------
    SimulatedCortex

    Raises
    ------
    InputError
        If a model has missing pairs or no distances, names are not there or not unique, there is
        no such hemisphere or vertex, regions overlap, or an option is out of range.

    See Also
    --------
    simulated_brain : Simulate a group of brains in which models hold in known places.

    Notes
    -----
    The generative model is that of :func:`rsa_faces.datasets.simulated_brain`, with vertices for
    voxels: y = signal · Σ_m [v in region m] Σ_d Z_m(k, d) w_s(d, v) + e, with noise e that is
    independent over vertices.

    Examples
    --------
    >>> from rsa_faces.datasets import simulated_cortex
    >>> simulated_cortex(n_subjects=1).regions[["model", "hemisphere", "n_vertices"]]
                   model hemisphere  n_vertices
    0  simulated layer_1       left          79
    1  simulated layer_3      right          77
    2  simulated layer_5      right         128
    """
    from nibabel import gifti

    models = simulated_layers(seed=seed) if models is None else models
    names = _names(models)
    check_count(n_subjects, what="n_subjects")
    check_count(n_runs, what="n_runs")
    check_above(region_radius, 0, what="region_radius to be a number")
    check_above(signal, 0, what="signal to be a number", least=True)
    rng = as_rng(seed)
    meshes = {side: _mesh(side) for side in HEMISPHERES}
    if planted is None:
        chosen = dict.fromkeys([names[0], names[len(names) // 2], names[-1]])
        planted = {
            name: (side, int(np.linalg.norm(meshes[side][0] - place, axis=1).argmin()))
            for name, (side, place) in zip(chosen, _PLACES, strict=False)
        }
    truth = {side: np.full(len(meshes[side][0]), -1) for side in HEMISPHERES}
    rows, coordinates = [], {}
    for name, (side, vertex) in planted.items():
        check_planted(name, names)
        check_choice(side, HEMISPHERES, what="hemisphere")
        disc = _disc(*meshes[side], check_count(vertex, what="vertex", low=0), region_radius)
        if (truth[side][disc] >= 0).any():
            raise InputError(
                f"expected regions apart from each other, but that of {name!r} overlaps with "
                "another. Choose other vertices or a smaller region_radius."
            )
        truth[side][disc] = names.index(name)
        coordinates[name], left_out = _coordinates(models, names.index(name))
        rows.append(
            {
                "model": name,
                "hemisphere": side,
                "vertex": int(vertex),
                **dict(zip("xyz", meshes[side][0][vertex].tolist(), strict=True)),
                "radius": float(region_radius),
                "n_vertices": int(disc.sum()),
                "left_out": left_out,
            }
        )
    imgs = []
    for _ in range(n_subjects):
        sides = {}
        for side in HEMISPHERES:
            pattern = np.zeros((models.n_conditions, len(truth[side])))
            for row in rows:
                if row["hemisphere"] != side:
                    continue
                z = coordinates[row["model"]]
                here = truth[side] == names.index(row["model"])
                weights = rng.normal(size=(z.shape[1], int(here.sum())))
                pattern[:, here] = signal * z @ weights
            data = np.tile(pattern, (n_runs, 1))
            data += rng.normal(size=data.shape)
            meta = gifti.GiftiMetaData({"AnatomicalStructurePrimary": f"Cortex{side.title()}"})
            sides[side] = gifti.GiftiImage(
                darrays=[gifti.GiftiDataArray(row) for row in data.astype(np.float32)], meta=meta
            )
        imgs.append(sides)
    columns = ["model", "hemisphere", "vertex", *"xyz", "radius", "n_vertices", "left_out"]
    return SimulatedCortex(
        "simulated",
        tuple(imgs),
        truth,
        tuple(models.conditions) * n_runs,
        tuple(f"run-{r + 1}" for r in range(n_runs) for _ in models.conditions),
        models,
        pd.DataFrame(rows, columns=columns),
        float(signal),
        seed,
    )


def _mesh(side: str) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices and faces of the template's midthickness, which comes with nilearn."""
    from nilearn.datasets import fetch_surf_fsaverage
    from nilearn.surface import load_surf_mesh

    files = fetch_surf_fsaverage("fsaverage5")
    white, pial = (load_surf_mesh(files[f"{part}_{side}"]) for part in ("white", "pial"))
    return (white.coordinates + pial.coordinates) / 2, np.asarray(white.faces)


def _disc(vertices: np.ndarray, faces: np.ndarray, middle: int, radius: float) -> np.ndarray:
    """Return which vertices are within a radius of one, along edges."""
    if middle >= len(vertices):
        raise InputError(f"expected a vertex from 0 to {len(vertices) - 1}, got {middle}.")
    pairs = np.concatenate([faces[:, [a, b]] for a, b in ((0, 1), (1, 2), (0, 2))])
    pairs = np.unique(np.sort(pairs), axis=0)
    length = np.linalg.norm(vertices[pairs[:, 0]] - vertices[pairs[:, 1]], axis=1)
    graph = sparse.csr_array((length, pairs.T), shape=(len(vertices), len(vertices)))
    return dijkstra(graph, directed=False, indices=middle, limit=radius) <= radius
