"""Encoding: how well features predict responses of voxels, electrodes or cells, linearly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.chance import p_of
from rsa_faces._core.checks import as_rng, check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels, by_name
from rsa_faces._core.names import is_missing, named_layers
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces.analyses._gram import grams
from rsa_faces.analyses._inputs import as_layers, check_finite, codes_of, matched
from rsa_faces.analyses._intervals import blocks_of, refitted_interval
from rsa_faces.analyses._ridge import STRENGTHS, check_strengths, deal_folds
from rsa_faces.analyses.face_code._cells import as_responses, ceilings, check_varying
from rsa_faces.analyses.face_code._face_space import FaceSpace
from rsa_faces.analyses.information._encoding import R2, TARGETS, Predictions
from rsa_faces.inference._orders import exchanges
from rsa_faces.inference.bootstrap import draws_of

_N_BOOT = 1000


@dataclass(frozen=True, eq=False, repr=False)
class Encoding(BaseResult, figure="plot_encoding"):
    """How well each layer predicts responses.

    Attributes
    ----------
    table : DataFrame
        One row per layer and region; see :func:`encoding`.
    parts : DataFrame
        One row per layer, region and feature space: ``space``, ``part`` of r2 (product measure;
        the parts of a model sum to its r2), ``ci_low``, ``ci_high``.
    differences : DataFrame
        One row per other layer and region: ``layer``, ``against``, ``region``, ``difference`` of r
        for the same responses (mean over folds), ``ci_low``, ``ci_high``, ``p`` (two-sided);
        ``r2_difference`` of held-out explained variance, ``r2_ci_low``, ``r2_ci_high``, ``r2_p``
        over folds of conditions (for other faces, these targets), and ``targets_ci_low``,
        ``targets_ci_high``, ``targets_p`` over targets (for other cells, these faces).
    targets : DataFrame
        One row per layer and target: ``layer``, ``region``, ``target``, ``r``, ``r2``,
        ``ceiling``, ``p_signal``.
    settings : dict
        Options, for provenance.

    See Also
    --------
    encoding : Predict responses from each layer by banded ridge regression.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import encoding
    >>> x = np.random.default_rng(0).normal(size=(2, 40, 5))
    >>> names = [f"face {i}" for i in range(40)]
    >>> found = encoding({"a": x[0], "b": x[1]}, 3 * x[1] + x[0], conditions=names,
    ...                  n_permutations=19)
    >>> bool(found.differences["difference"][0] > 0.3)
    True
    """

    table: pd.DataFrame
    parts: pd.DataFrame
    differences: pd.DataFrame
    targets: pd.DataFrame

    def __repr__(self) -> str:
        n, k = self.targets["target"].nunique(), self.table["layer"].nunique()
        return f"Encoding({n} targets in {self.table['region'].nunique()} regions, {k} layers)"


@keep_warnings
def encoding(
    activations,
    responses,
    *,
    conditions: Sequence[str] | None = None,
    beside: Mapping[str, Any] | None = None,
    regions: Mapping[str, str] | pd.Series | None = None,
    across: Labels | None = None,
    within: Labels | None = None,
    against: str | None = None,
    n_folds: int = 5,
    n_mixtures: int = 20,
    n_permutations: int = 200,
    strengths: Sequence[float] = STRENGTHS,
    standardize: bool = False,
    match: str = "same",
    seed: int = 0,
    progress: bool = True,
) -> Encoding:
    """Predict responses of voxels, electrodes or cells from each layer by banded ridge regression.

    Parameters
    ----------
    activations : Activations, or mapping of layer to ndarray (n_conditions, n_channels)
        Features; for a plain mapping give `conditions`. Layers of a network, or sets of features
        that are to be compared (landmarks, pixels, a layer each of several networks, each a
        :class:`FaceSpace` of the same faces).
    responses : DataFrame (n_conditions, n_targets), list of DataFrame, or ndarray
        Of one subject, by condition; a list has one frame per repeat, an array the shape
        (n_conditions, n_targets) or (n_repeats, n_conditions, n_targets), in the order of
        `conditions`.
    conditions : sequence of str, optional
        The name of each row of a plain mapping and of an array.
    beside : mapping of name to ndarray or DataFrame (n_conditions, n_features), optional
        Further feature spaces, each with a penalty of its own (banded ridge [1]_), in the same
        model as every layer; rows of arrays are in the order of the activations.
    regions : mapping or Series, target to region, optional
        By default all targets are of one region.
    across : mapping or Series, condition to person, optional
        People are left out, drawn and exchanged whole. By default every condition is another.
    within : mapping or Series, condition to cell, optional
        Cells of the other factors of the design (tuples for several): conditions are exchanged
        inside them only; people with as many conditions in each.
    against : str, optional
        The layer that others are compared with; the first by default.
    n_folds : int, default 5
        Fewer where folds would hold a single person.
    n_mixtures : int, default 20
        Of the spaces, tried with each strength, where there are several: each alone, all alike,
        and at random (Dirichlet).
    n_permutations : int, default 200
        All is fitted anew for each.
    strengths : sequence of float
        Of the ridge; as for :func:`rsa_faces.analyses.readout`. Strength and mixture are chosen
        for each target by leaving out training people.
    standardize : bool, default False
        Divide each channel by its standard deviation over the training conditions.
    match : {"same", "intersection"}, default "same"
        As for :func:`rsa_faces.analyses.readout`.
    seed : int, default 0
    progress : bool, default True
        Show a bar, on a terminal.

    Returns
    -------
    Encoding
        Its table has, per layer and region: ``network``, ``layer``, ``layer_index``, ``depth``,
        ``region``; ``r`` and ``r2`` (held out, means over targets) with ``ci_low``, ``ci_high`` of
        r (95 %, drawing people); ``p``, ``p_corrected`` (largest r of all rows); ``ceiling`` of r
        (root of the explainable share of variance, mean over targets; NaN without repeats);
        ``chance`` (mean r of exchanged responses);
        ``n_targets``, ``n_conditions``, ``n_people``.

    Raises
    ------
    ConditionMismatchError
        If names of features and responses differ and `match` is "same".
    InputError
        If values are not finite or do not vary, a space beside has other rows or the name of a
        layer, a target has no
        region, there are fewer than 4 people, or an option is unknown.

    See Also
    --------
    rsa_faces.evaluate : Evaluate how well models predict data, by their geometry.
    axis_tuning : Find each cell's axis in a face space.
    rsa_faces.figures.plot_encoding : Draw how well layers predict responses, beside RSA.

    Notes
    -----
    Predictions and responses are taken less their means within each fold that was left out. The
    part of a space is its product measure, Σ ŷ_s (2y − ŷ) / Σ y² [1]_: r2 = Σ_s part; parts can be
    below 0. Without any effect r is below 0 on average (where features happen to fit, predictions
    are larger): ``chance`` is what responses that changed places give.

    Predictions and parts are those of himalaya's random search over the same mixtures, with one
    person left out at a time (r differs by less than 1e-12), in an eighth of its time or less, as
    errors of people left out are exact here without fitting anew
    (``scripts/compare_banded_ridge.py``).

    For p, responses of whole people change places, all targets together, and all is fitted and
    chosen anew: p = (1 + #{r of exchanged ≥ r}) / (1 + n_permutations). A difference is the mean
    over folds of differences of r (or r2), and its interval and p are those of the corrected
    resampled t, as folds share training conditions [2]_; over targets it is a paired t test of
    their means over folds. Conclusions for both other faces and other cells need both. Without an
    effect p ≤ 0.05 in 3.5 to 6.0 % of 400 simulated studies in each of three designs, with one in
    all (``scripts/simulate_third_factor.py --only encode``; differences: ``--only difference``).

    Intervals are those of other people (conditions without `across`), and of fits to other people
    (:func:`rsa_faces.analyses.readout`), each part's as well; strengths and mixtures stay. They are
    of this subject (brain) only. Over several subjects take the r of each to a t test.

    References
    ----------
    .. [1] Dupré la Tour T., Eickenberg M., Nunez-Elizalde A. O., Gallant J. L. (2022). NeuroImage
       264, 119728. doi:10.1016/j.neuroimage.2022.119728
    .. [2] Nadeau C., Bengio Y. (2003). Machine Learning 52, 239-281. doi:10.1023/A:1024068626366

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import encoding
    >>> rng = np.random.default_rng(0)
    >>> names = [f"face {i}" for i in range(80)]
    >>> early, late = rng.normal(size=(2, 80, 12))
    >>> voxels = late @ rng.normal(size=(12, 5)) + rng.normal(size=(80, 5))  # simulated
    >>> found = encoding({"early": early, "late": late}, voxels, conditions=names,
    ...                  n_permutations=99)
    >>> found.table[["layer", "p"]]
       layer     p
    0  early  0.87
    1   late  0.01
    """
    check_count(n_folds, what="n_folds", low=2)
    check_count(n_mixtures, what="n_mixtures")
    check_count(n_permutations, what="n_permutations")
    chosen = check_strengths(strengths)
    rng = as_rng(seed)
    if isinstance(activations, dict):
        is_space = {name: isinstance(x, FaceSpace) for name, x in activations.items()}
        activations = {k: x.coordinates if is_space[k] else x for k, x in activations.items()}
    layers = as_layers(activations, conditions)
    faces, targets, values = as_responses(responses, conditions)
    labels = [("responses", dict(zip(faces, range(len(faces)), strict=True)))]
    labels += [("across", across)] if across is not None else []
    labels += [("within", within)] if within is not None else []
    every = layers.conditions
    layers, found, _ = matched(layers, labels, match)
    values = values[:, found[0]]
    n = len(layers.conditions)
    units = codes_of(found[1])[0] if across is not None else np.arange(n)
    cells = codes_of(found[-1])[0] if within is not None else np.zeros(n, np.int64)
    n_people = int(units.max()) + 1
    if n_people < 4:
        raise InputError(f"expected at least 4 people (or conditions), got {n_people}.")
    if twice := sorted(set(beside or {}) & set(layers.arrays)):
        raise InputError(f"expected other names beside than those of layers, got {twice[0]!r}.")
    check_varying(values, targets, of="targets")
    others = _spaces(beside or {}, every, layers.rows)
    against = check_choice(against or next(iter(layers.arrays)), layers.arrays, what="against")
    region = _regions(regions, targets)
    names = list(dict.fromkeys(region))
    of_region = np.array([[r == name for r in region] for name in names], float)
    of_region /= of_region.sum(axis=1, keepdims=True)
    # Two people in each fold at least: one alone, less the mean of the fold, would be nothing.
    fold_of = deal_folds(units, min(n_folds, n_people // 2), rng)
    study = Predictions(values.mean(axis=0), units, fold_of, of_region)
    block = blocks_of(units, fold_of)
    orders = exchanges(units, cells)(rng, n_permutations)
    draws = draws_of(n_people, _N_BOOT, rng)[:, units]
    mixtures = _mixtures(1 + len(others), n_mixtures, rng)
    trains = [np.flatnonzero(fold_of != f) for f in range(int(fold_of.max()) + 1)]
    kernels = {name: _kernel(x, trains, name, standardize) for name, x in others.items()}

    rows, null, parts, single, predicted = [], [], [], [], {}
    ceiling, p_signal = ceilings(values)
    # A share of variance: its root bounds r.
    ceiling = np.sqrt(np.where(ceiling > 0, ceiling, np.nan))
    with progress_bar("encoding", len(layers), show=progress) as tell:
        for i, (layer, patterns) in enumerate(layers.items()):
            check_finite(patterns, layers.conditions, layer)
            own = _kernel(patterns, trains, layer, standardize)
            every = [own, *kernels.values()]
            spaces, r_without, parts_without = study.refitted(
                every, trains, mixtures, chosen, block
            )
            whole = predicted[layer] = spaces.sum(axis=0)
            r = study.r(whole)
            null.append(study.exchanged(every, trains, mixtures, chosen, orders))
            shares, of_draws = study.parts(spaces, draws)
            # Of each fold a mean is taken off: so many people fewer are independent.
            taken = {"n": n_people, "n_groups": len(trains)}
            ends = refitted_interval(of_region @ r, study.drawn_r(whole, draws), r_without, **taken)
            of_parts = refitted_interval(
                shares @ of_region.T,
                of_draws.swapaxes(0, 1),
                parts_without,
                **taken,
                correlation=False,
            )
            place = {"layer": layer, "layer_index": i, "depth": layers.depth[layer]}
            for k, name in enumerate(names):
                inside = of_region[k] > 0
                row = {"network": layers.network, **place, "region": name}
                row |= {"r": of_region[k] @ r, "r2": of_region[k] @ shares.sum(axis=0)}
                row |= {"ci_low": ends[0, k], "ci_high": ends[1, k]}
                rows.append({**row, "ceiling": _mean(ceiling[inside]), "n_targets": inside.sum()})
                for s, space in enumerate([layer, *others]):
                    part = {"layer": layer, "region": name, "space": space}
                    part |= {"part": of_region[k] @ shares[s]}
                    low, high = of_parts[:, s, k]
                    parts.append({**part, "ci_low": low, "ci_high": high})
            columns = {"layer": layer, "region": region, "target": targets, "r": r}
            columns |= {"r2": shares.sum(axis=0), "ceiling": ceiling, "p_signal": p_signal}
            single.append(pd.DataFrame(columns))
            tell(i + 1)
    table = pd.DataFrame(rows)
    null = np.concatenate(null, axis=1).T
    table["chance"] = null.mean(axis=1)
    table["p"], table["p_corrected"] = p_of(table["r"], null)
    differences = [
        {"layer": layer, "against": against, "region": name, **difference}
        for layer, one in predicted.items()
        if layer != against
        for name, difference in zip(names, study.differences(one, predicted[against]), strict=True)
    ]
    settings = {
        "n_folds": len(trains),
        "n_mixtures": len(mixtures),
        "n_permutations": n_permutations,
        "strengths": chosen.tolist(),
        "standardize": standardize,
        "match": match,
        "seed": seed,
    }
    columns = ["layer", "against", "region", "difference", "ci_low", "ci_high", "p", *R2, *TARGETS]
    return Encoding(
        table.assign(n_conditions=n, n_people=n_people),
        pd.DataFrame(parts),
        pd.DataFrame(differences, columns=columns),
        pd.concat(single, ignore_index=True),
        settings=settings,
    )


def _mean(values: np.ndarray) -> float:
    """Return the mean of what is known; NaN of nothing."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


def _kernel(patterns, trains, name: str, standardize: bool) -> np.ndarray:
    """Return inner products for each fold, each with a mean squared length of 1 in training."""
    products, n_varying = grams(patterns, trains, standardize=standardize)
    if not n_varying.all():
        raise InputError(f"expected channels that vary, but {name!r} has none.")
    lengths = [np.diag(p)[train].mean() for p, train in zip(products, trains, strict=True)]
    return products / np.array(lengths)[:, None, None]


def _spaces(beside: Mapping[str, Any], conditions, rows) -> dict[str, np.ndarray]:
    """Return feature spaces of the conditions that take part."""
    if not beside:
        return {}
    spaces = {name: values[rows] for name, values in named_layers(beside, conditions)[0].items()}
    for name, patterns in spaces.items():
        check_finite(patterns, [conditions[i] for i in rows], name)
    return spaces


def _regions(regions, targets: Sequence[str]) -> list[str]:
    """Return each target's region."""
    if regions is None:
        return ["all"] * len(targets)
    by_region = by_name(regions, what="regions", of="target")
    if lacking := [t for t in targets if is_missing(by_region.get(t))]:
        raise InputError(
            f"expected a region for every target, but {len(lacking)} have none: "
            f"{', '.join(map(repr, lacking[:5]))}."
        )
    return [str(by_region[target]) for target in targets]


def _mixtures(n_spaces: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return shares of the spaces, (n_mixtures, n_spaces): all alike, each alone, at random."""
    if n_spaces == 1:
        return np.ones((1, 1))
    fixed = np.vstack([np.full(n_spaces, 1 / n_spaces), np.eye(n_spaces)])
    return np.vstack([fixed, rng.dirichlet(np.ones(n_spaces), size=max(n - len(fixed), 0))])
