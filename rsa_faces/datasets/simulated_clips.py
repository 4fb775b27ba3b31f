"""Simulated clips of heads that turn, shown in runs, and simulated subjects who see them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from rsa_faces._core.checks import check_arguments, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.tables import write_table
from rsa_faces.datasets.simulated_faces import simulated_faces
from rsa_faces.rdm import RDMs
from rsa_faces.stimuli import _video
from rsa_faces.stimuli.clips import ClipSet, load_clips

#: What each simulated region sees: names of models of the simulated faces.
REGIONS = {
    "simulated behaviour": ("face shape", "facial actions"),
    "simulated FFA": ("face shape",),
    "simulated STS": ("facial actions",),
}
_YAWS = (-30, 0, 30)
_RATE, _HELD = 15, 5  # pictures per second, and pictures of each view
_NOISE = 1.5  # of a subject, in standard deviations of what a region sees


def simulated_clips(
    folder: str | os.PathLike[str],
    *,
    n_runs: int = 12,
    n_per_run: int = 10,
    n_subjects: int = 8,
    seed: int = 0,
) -> ClipSet:
    """Write clips of simulated heads, and what simulated subjects make of them.

    Parameters
    ----------
    folder : path-like
        Made if missing. It gets the clips (``.mp4``); ``clips.csv``, their manifest with the
        columns ``identity``, ``expression``, ``run`` and ``simulated``; ``subjects.h5``, an RDM of
        each subject in each region (labels ``region`` and ``subject``); ``models.h5``, what the
        heads were made from ("face shape" and "facial actions").
    n_runs, n_per_run : int, default 12 and 10
        Runs, and clips shown in each (at least 6): together at most 126, each an identity with an
        expression. Clips of different runs were never seen together: their pairs are NaN.
    n_subjects : int, default 8
        Subjects, the same in all regions (at least 2).
    seed : int, default 0
        Of which clip is in which run, and of the subjects' noise.

    Returns
    -------
    ClipSet
        Of the clips, one second each: the head turned to the left, frontal, turned to the right,
        coming nearer by a tenth.

    Raises
    ------
    InputError
        If there are not that many clips, or a number is too small.
    MissingExtraError
        If PyAV is not installed.

    See Also
    --------
    rsa_faces.clip_rdms : Build the RDM of each layer over clips.

    Notes
    -----
    Heads are those of :func:`rsa_faces.datasets.simulated_faces`. "simulated FFA" sees face shape,
    "simulated STS" facial actions and "simulated behaviour" the sum of both, each z-scored, with
    independent normal noise of 1.5 standard deviations in each subject. Good for trying out a
    study of clips in runs, such as [1]_; not for conclusions on brains, people or networks.

    References
    ----------
    .. [1] Jiahui G. et al. (2023). PNAS 120, e2304085120. doi:10.1073/pnas.2304085120

    Examples
    --------
    >>> import tempfile
    >>> from rsa_faces.datasets import simulated_clips
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clips = simulated_clips(folder, n_runs=1, n_per_run=6, n_subjects=2)
    >>> clips
    ClipSet(6 clips, metadata: identity, expression, run, simulated)
    """
    check_arguments(simulated_clips, locals())
    check_count(n_runs, what="n_runs")
    check_count(n_per_run, what="n_per_run", low=6)
    check_count(n_subjects, what="n_subjects", low=2)
    faces = simulated_faces()
    table = faces.stimuli.metadata
    shown = table.loc[table["yaw"] == 0, ["identity", "expression"]]
    if n_runs * n_per_run > len(shown):
        raise InputError(
            f"expected at most {len(shown)} clips, each an identity with an expression, got "
            f"{n_runs} runs of {n_per_run}."
        )
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(shown))[: n_runs * n_per_run]
    table = shown.iloc[rows].assign(run=np.repeat(np.arange(1, n_runs + 1), n_per_run))
    frontal = table.index
    names = [f"{row.identity}_{row.expression}" for row in table.itertuples()]
    table = table.assign(simulated=True, file=[f"{name}.mp4" for name in names], id=names)
    folder = Path(folder)
    for name, middle in zip(names, frontal, strict=True):
        views = [faces.stimuli.image(middle.replace("yaw+0", f"yaw{yaw:+d}")) for yaw in _YAWS]
        _video.write(folder / f"{name}.mp4", _turning(views), rate=_RATE)
    first = ["file", "id"]
    write_table(table[[*first, *table.columns.drop(first)]], folder / "clips.csv")
    models = faces.models.sel(name=["face shape", "facial actions"]).subset(list(frontal))
    models = RDMs(models.vectors, names, models.measure, models.labels)
    models.save(folder / "models.h5")
    _subjects(models, table["run"].to_numpy(), n_subjects, rng).save(folder / "subjects.h5")
    return load_clips(folder, manifest=folder / "clips.csv")


def _turning(views: list[np.ndarray]) -> list[np.ndarray]:
    """Return the pictures of a clip: each view held, while the head comes nearer."""
    pictures = []
    n_pictures = len(views) * _HELD
    for i in range(n_pictures):
        view = Image.fromarray(np.asarray(views[i // _HELD]))
        margin = 0.05 * i / (n_pictures - 1)
        box = (margin * view.width, margin * view.height)
        nearer = view.resize(
            view.size,
            Image.Resampling.BILINEAR,
            box=(*box, view.width - box[0], view.height - box[1]),
        )
        pictures.append(np.asarray(nearer))
    return pictures


def _subjects(models: RDMs, runs: np.ndarray, n_subjects: int, rng: np.random.Generator) -> RDMs:
    """Return what each region sees with the noise of each subject; NaN across runs."""
    row, col = np.triu_indices(len(runs), k=1)
    apart = runs[row] != runs[col]
    z = (models.vectors - models.vectors.mean(axis=1, keepdims=True)) / models.vectors.std(
        axis=1, keepdims=True
    )
    of_name = dict(zip(models.labels["name"], z, strict=True))
    vectors, labels = [], []
    for region, seen in REGIONS.items():
        true = np.sum([of_name[name] for name in seen], axis=0)
        true /= true.std()
        noise = rng.normal(scale=_NOISE, size=(n_subjects, len(true)))
        vectors.append(np.where(apart, np.nan, true + noise))
        labels += [(region, f"simulated {i + 1:02d}") for i in range(n_subjects)]
    table = pd.DataFrame(labels, columns=["region", "subject"])
    return RDMs(np.concatenate(vectors), models.conditions, "simulated", table)
