"""Measurements of faces, and whether a layer's embedding tells them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.chance import p_of
from rsa_faces._core.checks import as_rng, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces.analyses._gram import grams
from rsa_faces.analyses._inputs import as_layers, check_finite, codes_of, matched
from rsa_faces.analyses._intervals import refitted_interval
from rsa_faces.analyses._ridge import STRENGTHS, check_strengths, deal_folds, fit_fold
from rsa_faces.analyses._targets import Numbers
from rsa_faces.analyses.information._measurements import (
    face_size,
    measure_landmarks,
    read_landmarks,
    rows_of,
)
from rsa_faces.inference._orders import exchanges
from rsa_faces.inference.bootstrap import draws_of

__all__ = [
    "LandmarkReadout",
    "face_size",
    "landmark_readout",
    "measure_landmarks",
    "read_landmarks",
]
_N_BOOT = 2000


@dataclass(frozen=True, eq=False, repr=False)
class LandmarkReadout(BaseResult, figure="plot_landmark_readout"):
    """What each layer tells about each measurement.

    Attributes
    ----------
    table : DataFrame
        One row per layer and measurement; see :func:`landmark_readout`.
    predictions : DataFrame
        ``layer``, ``measurement``, ``condition``, ``measured``, ``predicted`` (held out), ``fold``.
    settings : dict
        Options, for provenance.

    See Also
    --------
    landmark_readout : Read measurements of faces from each layer, cross-validated over people.
    rsa_faces.figures.plot_landmark_readout

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses import landmark_readout
    >>> rng = np.random.default_rng(0)
    >>> names = [f"face {i}" for i in range(40)]
    >>> nose = pd.DataFrame({"nose length": rng.normal(50, 5, 40)}, names)
    >>> x = rng.normal(size=(40, 5)) + nose.to_numpy()  # simulated
    >>> found = landmark_readout({"fc": x}, nose, conditions=names, n_permutations=19)
    >>> len(found.table), len(found.predictions)
    (1, 40)
    """

    table: pd.DataFrame
    predictions: pd.DataFrame

    def __repr__(self) -> str:
        n_layers, n = self.table["layer"].nunique(), self.table["measurement"].nunique()
        return f"LandmarkReadout({n_layers} layers, {n} measurements)"


@keep_warnings
def landmark_readout(
    activations,
    measurements: pd.DataFrame,
    *,
    conditions: Sequence[str] | None = None,
    across: Labels | None = None,
    within: Labels | None = None,
    baseline: pd.DataFrame | None = None,
    n_folds: int = 10,
    n_permutations: int = 1000,
    strengths: Sequence[float] = STRENGTHS,
    standardize: bool = False,
    match: str = "same",
    seed: int = 0,
    progress: bool = True,
) -> LandmarkReadout:
    """Read measurements of faces from each layer, cross-validated over people.

    Parameters
    ----------
    activations : Activations, or mapping of layer to ndarray (n_conditions, n_channels)
        Features; for a plain mapping give `conditions`.
    measurements : DataFrame, shape (n_conditions, n_measurements)
        Indexed by condition, such as from :func:`measure_landmarks`.
    conditions : sequence of str, optional
        The name of each row of a plain mapping.
    across : mapping or Series, condition to person, optional
        People are left out whole. By default every condition is another person.
    within : mapping or Series, condition to cell, optional
        Cells of the other factors of the design, such as the view of an identity × expression ×
        view design (tuples for several factors): measurements move to a
        condition in the same cell.
    baseline : DataFrame, shape (n_conditions, n_numbers), optional
        What layers are compared with, such as the face's size: ``face_size(landmarks)[["size"]]``.
    n_folds : int, default 10
        People are dealt into folds at random.
    n_permutations : int, default 1000
        Of people, the same for all layers and measurements.
    strengths : sequence of float
        Of the ridge, times the mean squared length of the training patterns; chosen per layer
        and measurement by leaving out one person at a time within the training people.
    standardize : bool, default False
        Give every channel the same variance over the training people, as :func:`readout` does.
    match : {"same", "intersection"}, default "same"
        Whether activations, measurements and the rest must have the same conditions.
    seed : int, default 0
    progress : bool, default True
        Show a progress bar on a terminal if it takes longer than two seconds.

    Returns
    -------
    LandmarkReadout
        Its table: ``network``, ``layer``, ``layer_index``, ``depth``, ``measurement``; ``r`` and
        ``r2`` of predictions for people left out and ``chance`` (mean r of permutations), as in
        :func:`readout`; ``ci_low``, ``ci_high`` (95 %, of r, as there; of a gain alike);
        ``p``, ``p_corrected`` (largest r over layers and measurements). With a baseline
        also ``baseline_r``, ``baseline_r2``: the same read-out from the baseline alone;
        ``gain`` = r2 - baseline_r2 with ``gain_low``, ``gain_high``; ``r_beyond``, ``p_beyond``,
        ``p_beyond_corrected``: read-out of what the baseline leaves. ``n_conditions``,
        ``n_people``, ``n_left_out``.

    Raises
    ------
    InputError
        If values are not finite or do not vary, conditions do not match, or there are fewer than
        3 people or none that can be exchanged.

    See Also
    --------
    measure_landmarks : Measure faces: distances between landmarks, and where the head points.
    face_size : Return how large a face is in its image, and where.
    rsa_faces.figures.plot_landmark_readout

    Notes
    -----
    Ridge regression as in :func:`readout`. r2 = 1 - Σ(y - ŷ)² / Σ(y - ȳ_train)², negative if the
    prediction is worse than the mean.
    Permutations exchange the measurements of whole people [1]_, between people with as many
    conditions: p = (1 + #{permuted r ≥ r}) / (1 + n_permutations). ``r_beyond`` reads residuals
    of the measurement after least squares on the baseline (over all conditions): whether features
    tell what size does not. Distances in pixels grow with the size of the face in the image, and
    networks that see a crop of fixed size cannot know it: give relative distances too. In
    simulations without an effect 4.6 to 5.4 % of 1,200 read-outs had p ≤ 0.05, and 2.3 to 3.8 %
    p_beyond ≤ 0.05 where features told the size.

    References
    ----------
    .. [1] Winkler A. M. et al. (2015). NeuroImage 123, 253-268.
       doi:10.1016/j.neuroimage.2015.05.092

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from rsa_faces.analyses.information.landmarks import landmark_readout
    >>> rng = np.random.default_rng(0)
    >>> names = [f"face {i}" for i in range(60)]
    >>> nose = pd.DataFrame({"nose length": rng.normal(50, 5, 60)}, names)
    >>> features = rng.normal(size=(60, 20))
    >>> features[:, 0] += nose["nose length"]  # simulated: one channel measures noses
    >>> found = landmark_readout({"layer": features}, nose, conditions=names, n_permutations=99)
    >>> bool(found.table["r"][0] > 0.8), float(found.table["p"][0])
    (True, 0.01)
    """
    return read_measurements(
        activations,
        measurements,
        conditions=conditions,
        across=across,
        within=within,
        baseline=baseline,
        n_folds=n_folds,
        n_permutations=n_permutations,
        strengths=strengths,
        standardize=standardize,
        match=match,
        seed=seed,
        progress=progress,
    )[0]


def read_measurements(
    activations,
    measurements: pd.DataFrame,
    *,
    conditions,
    across,
    within,
    baseline,
    n_folds,
    n_permutations,
    strengths,
    standardize,
    match,
    seed,
    progress,
) -> tuple[LandmarkReadout, dict[str, np.ndarray]]:
    """Return what :func:`landmark_readout` does, and what is predicted without blocks of people.

    Of each layer predictions and training means, (n_measurements, 2, n_blocks, n_conditions).
    """
    check_count(n_folds, what="n_folds", low=2)
    check_count(n_permutations, what="n_permutations")
    ridge = check_strengths(strengths)
    rng = as_rng(seed)
    layers = as_layers(activations, conditions)
    tables = [("measurements", measurements)] + [("baseline", baseline)] * (baseline is not None)
    wanted = [(what, rows_of(frame, what)) for what, frame in tables]
    wanted += [("across", across)] if across is not None else []
    wanted += [("within", within)] if within is not None else []
    layers, found, n_left_out = matched(layers, wanted, match)
    n = len(layers.conditions)
    cells = codes_of(found.pop())[0] if within is not None else np.zeros(n, np.int64)
    values = np.array(found[0]).T
    people = codes_of(found[-1])[0] if across is not None else np.arange(n)
    if people.max() < 2:
        raise InputError(f"expected at least 3 people, got {people.max() + 1}.")
    names = [str(name) for name in measurements.columns]
    targets = [_target(v, name) for v, name in zip(values, names, strict=True)]
    fold_of = deal_folds(people, n_folds, rng)
    orders = exchanges(people, cells)(rng, n_permutations)
    draws = draws_of(int(people.max()) + 1, _N_BOOT, rng)
    split = [
        (np.flatnonzero(fold_of != f), np.flatnonzero(fold_of == f)) for f in np.unique(fold_of)
    ]

    def parts(patterns: np.ndarray, layer: str, equal: bool) -> list:
        check_finite(patterns, layers.conditions, layer)
        products, n_varying = grams(patterns, [train for train, _ in split], standardize=equal)
        if not n_varying.all():
            raise InputError(
                f"expected channels that vary over conditions, but layer {layer!r} has none."
            )
        return [
            fit_fold(product, train, test, ridge, people[train])
            for product, (train, test) in zip(products, split, strict=True)
        ]

    if baseline is not None:
        known = np.array(found[1])
        alone = parts(known, "baseline", True)
        base = [
            (*target.scores(alone, target.values[None], n), target.left_out(people))
            for target in targets
        ]
        design = np.column_stack([np.ones(n), known])
        residuals = values - (design @ np.linalg.lstsq(design, values.T, rcond=None)[0]).T
        beyond = [
            _residual(v, old, name) for v, old, name in zip(residuals, values, names, strict=True)
        ]
    rows, shown, null, null_beyond, left_out = [], [], [], [], {}
    with progress_bar("landmarks", len(layers) * len(names), show=progress) as tell:
        for i, (layer, patterns) in enumerate(layers.items()):
            folds, left_out[layer] = parts(patterns, layer, standardize), []
            for j, (name, target) in enumerate(zip(names, targets, strict=True)):
                y = target.values
                predicted, scores = target.scores(folds, np.vstack([y, y[orders]]), n)
                null.append(scores[1:, 0])
                low, high = target.interval(predicted, predicted, people, draws)
                *without, kept = target.left_out(people)
                left_out[layer].append(without)
                row = {
                    "network": layers.network,
                    "layer": layer,
                    "layer_index": i,
                    "depth": layers.depth[layer],
                    "measurement": name,
                    "r": scores[0, 0],
                    "r2": scores[0, 1],
                    "chance": scores[1:, 0].mean(),
                    "ci_low": low,
                    "ci_high": high,
                }
                if baseline is not None:
                    before, (score,), (other, *_) = base[j]
                    told = (predicted, before, *without, other, kept)
                    gain = _gain(y, *told, fold_of, people, draws)
                    rest = beyond[j].values
                    further = beyond[j].scores(folds, np.vstack([rest, rest[orders]]), n)[1]
                    null_beyond.append(further[1:, 0])
                    row |= {
                        "baseline_r": score[0],
                        "baseline_r2": score[1],
                        "gain": row["r2"] - score[1],
                        "gain_low": gain[0],
                        "gain_high": gain[1],
                        "r_beyond": further[0, 0],
                    }
                rows.append(row)
                shown.append(
                    pd.DataFrame(
                        {
                            "layer": layer,
                            "measurement": name,
                            "condition": layers.conditions,
                            "measured": y,
                            "predicted": predicted,
                            "fold": fold_of,
                        }
                    )
                )
                tell(len(rows))
    table = pd.DataFrame(rows)
    p, corrected = p_of(table["r"], null)
    table.insert(10, "p", p)
    table.insert(11, "p_corrected", corrected)
    if baseline is not None:
        table["p_beyond"], table["p_beyond_corrected"] = p_of(table["r_beyond"], null_beyond)
    table = table.assign(n_conditions=n, n_people=int(people.max()) + 1, n_left_out=n_left_out)
    settings = {
        "n_folds": len(split),
        "n_permutations": n_permutations,
        "strengths": ridge.tolist(),
        "standardize": standardize,
        "match": match,
        "seed": seed,
        "baseline": [] if baseline is None else [str(name) for name in baseline.columns],
    }
    found = LandmarkReadout(table, pd.concat(shown, ignore_index=True), settings=settings)
    return found, {layer: np.array(values) for layer, values in left_out.items()}


def _target(values: np.ndarray, name: str) -> Numbers:
    """Return a measurement as a target."""
    if np.ptp(values) == 0:
        raise InputError(f"expected measurements that vary, but {name!r} is {values[0]:g} in all.")
    return Numbers(values)


def _residual(left: np.ndarray, values: np.ndarray, name: str) -> Numbers:
    """Return what the baseline leaves of a measurement as a target."""
    if left.std() <= 1e-9 * values.std():
        raise InputError(
            f"expected measurements that are not the baseline itself, but {name!r} is a sum of "
            "its columns. Leave it out of either."
        )
    return Numbers(left)


def _gain(y, predicted, before, without, means_without, other, kept, fold_of, people, draws):
    """Return the interval of the difference of r2, people drawn and left out whole."""
    # What is known without features: the mean of the faces that were trained on.
    means = np.array([y[fold_of != fold].mean() for fold in fold_of])
    total = np.bincount(people, (y - means) ** 2)
    saved = np.bincount(people, (y - before) ** 2 - (y - predicted) ** 2)
    samples = (draws @ saved) / (draws @ total)
    parts = (y - other) ** 2 - (y - without) ** 2, (y - means_without) ** 2
    left_out = np.divide(*((part * kept).sum(axis=1) for part in parts))
    value = saved.sum() / total.sum()
    return refitted_interval(value, samples, left_out, draws.shape[1], correlation=False)
