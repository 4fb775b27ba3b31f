"""Flexible models: parameters are fitted, and always judged on held-out data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_arguments, check_choice, check_count
from rsa_faces._core.deprecated import renamed_argument
from rsa_faces._core.labels import Labels
from rsa_faces._core.numbers import mean_defined
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.warning import warn
from rsa_faces.comparison import Method, align_pair, resolve
from rsa_faces.inference._design import Design, Units
from rsa_faces.inference._dyadic import with_closed_form
from rsa_faces.inference._held_out import (
    Layers,
    Splits,
    check_folds,
    draw_folds,
    fold_weights,
    held_out_means,
    layers_of,
)
from rsa_faces.inference._region import Outcome, Region, largest_within, regions_of, result_of
from rsa_faces.inference._result import Result
from rsa_faces.inference.bootstrap import (
    Estimate,
    contrast_variances,
    corrected,
    draw,
    in_blocks,
    mean_over_subjects,
)
from rsa_faces.rdm import RDMs
from rsa_faces.rdm._rdms import check_measured

#: Kinds of flexible models, and what their prediction is called in the column `layer`.
FITS = {"nnls": "weighted layers", "interpolation": "interpolated layers", "select": "best layer"}
#: Repetitions of the cross-validation of the observed data.
REPETITIONS = 100
#: Folds of conditions and subjects, of all samples, that plain forms do while loops are compiled.
PLAIN = 6000
_SPLITS = 32


@dataclass(frozen=True, eq=False)
class _Options:
    """How models are fitted and held out."""

    fit: str
    by_model: str
    method: Method
    n_folds: int
    n_cv: int

    def __post_init__(self):
        check_choice(self.fit, FITS, what="fit")
        check_count(self.n_cv, what="n_cv", low=2)


@dataclass(frozen=True, eq=False, repr=False)
class BestLayer(BaseResult, figure="plot_models"):
    """How well the best layer of each network predicts, when data that are held out choose it.

    Parameters
    ----------
    result : Result
        One row per network and region: similarity on the held-out data, with its interval. The
        columns are those of :func:`rsa_faces.evaluate`.
    chosen : DataFrame
        One row per region and layer: `region`, `network`, `layer`, `layer_index`, `depth`, and
        `share`, from 0 to 1: in how many of the folds of the observed data this layer was the
        best for the training data.

    See Also
    --------
    best_layer : Choose the best layer of each network, and judge it by data that did not choose it.
    rsa_faces.Result : The outcome of :func:`rsa_faces.evaluate`.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> behaviour = d92.rdms.sel(region="behaviour")
    >>> models = d92.models.with_labels(network="models", layer=d92.models.labels["name"])
    >>> best = rf.inference.best_layer(models, behaviour, method="pearson", n_boot=20)
    >>> best.chosen.columns.tolist(), len(best.result.table)
    (['region', 'network', 'layer', 'layer_index', 'depth', 'share'], 1)
    """

    result: Result
    chosen: pd.DataFrame

    def _drawn(self) -> Result:
        return self.result

    @property
    def table(self) -> pd.DataFrame:
        """The table of the result (a copy)."""
        return self.result.table

    def __repr__(self) -> str:
        return f"BestLayer({len(self.chosen)} layers)\n{self.result!r}"


@renamed_argument("bootstrap", "generalise_to")
@keep_warnings
def evaluate_flexible(
    model: RDMs,
    data: RDMs,
    *,
    fit: str = "nnls",
    by_model: str = "network",
    method: str = "cosine",
    n_folds: int = 2,
    n_cv: int = 2,
    generalise_to: str = "both",
    uncertainty: str = "bootstrap",
    n_boot: int = 1000,
    by: str = "subject",
    groups: Labels | None = None,
    blocks: Labels | None = None,
    seed: int = 0,
    alpha: float = 0.05,
    correction: str = "fdr",
    family: str = "region",
    tail: str = "two-sided",
    subset: str = "all",
) -> Result:
    """Evaluate models that are fitted, on conditions and subjects that did not fit them.

    Parameters
    ----------
    model : RDMs
        Layer RDMs. Those with the same value of the label `by_model` are one flexible model.
    data : RDMs
        RDMs of subjects, every pair (within a run) measured. If there is a label ``region``, each
        region is evaluated on its own.
    fit : {"nnls", "interpolation", "select"}, default "nnls"
        The weighted sum of a network's layers with weights of at least 0, the mixture of two
        neighbouring layers (in the order of the label ``layer_index``, else of the rows), or the
        one layer, that is most similar to the training data.
    by_model : str, default "network"
        Label that tells the flexible models apart.
    method : str, default "cosine"
        Comparison method, as in :func:`rsa_faces.compare`.
    n_folds : int, default 2
        Folds of conditions, and of subjects (at most as many as there are subjects). More folds
        leave more conditions to fit with, but see the notes.
    n_cv : int, default 2
        Repetitions of the cross-validation in each bootstrap sample, at least 2.
    uncertainty : {"bootstrap", "analytic"}, default "bootstrap"
        There is no closed form: what a condition does to the fit is not known. With "analytic"
        samples are drawn all the same, and a note says so.
    generalise_to, n_boot, by, groups, blocks, seed, alpha, correction, family, tail, subset
        As in :func:`rsa_faces.evaluate`.

    Returns
    -------
    Result
        One row per flexible model and region, with the columns of :func:`rsa_faces.evaluate`;
        `layer` tells the kind of model. `similarity` is the mean over subjects of the similarity
        with held-out data, over all folds of 100 repetitions of the cross-validation. Ceilings are
        cross-validated with the same folds.

    Raises
    ------
    ConditionMismatchError
        If model and data hold different conditions.
    InputError
        If there are too few conditions for the folds, one subject is to be drawn from, a pair is
        missing (NaN), or an option is unknown.

    Warns
    -----
    UserWarning
        For each note of the result.

    See Also
    --------
    best_layer : Choose the best layer of each network, and judge it by data that did not choose it.
    fit_layers : Fit flexible models to all data: their weights, without any similarity.
    reweighted_similarity : Predict data RDMs by reweighted features.

    Notes
    -----
    Conditions and subjects are divided at random. Parameters are fitted to the training subjects'
    pairs of training conditions, and judged by the test subjects' pairs of test conditions: no
    condition and no subject is on both sides, and pairs of a training with a test condition are
    not used. Each fold has at least 3 distinct conditions. All copies of a condition, of the
    conditions of a group, and of a subject in a bootstrap sample are in one fold. With one subject
    (or one distinct subject in a bootstrap sample) only conditions are held out. With `blocks`
    every fold takes its share of each run, one set of parameters is fitted to the pairs within
    runs, each run centred and scaled on its own, and predictions are judged within runs.

    What "nnls" and "interpolation" maximise: the similarity with the pooled training subjects (the
    mean after scaling to unit root mean square; for pearson, corr_cov and the rank methods
    z-scores), by the cosine for cosine, by Pearson's correlation for pearson and for the rank
    methods (of values, not of ranks), by the whitened similarity for cosine_cov and corr_cov.
    Non-negative least squares gives this maximum where any layer is positively related to the
    data; where none is, the maximum is the single least negatively related layer. "select"
    maximises the mean similarity with the training subjects, by `method` itself. Predictions are
    judged by `method`. A fold in which a similarity is undefined (a prediction constant over the
    test pairs) is left out for that model.

    Standard errors: as in :func:`rsa_faces.evaluate`, from variances V freed of the share that
    comes from the random folds, as in [1]_: (n_cv · V(mean over repetitions) − V(one repetition))
    / (n_cv − 1), in each bootstrap; where that is not positive, V(mean over repetitions). What the
    100 repetitions leave of that share in the estimate itself is added.

    Similarities within a fold rest on few conditions and are a little lower than over many: in a
    simulation (pearson) those of 12 held-out conditions agreed with 12 new ones, and were 0.019
    below those of 36 new ones. Compare them with the ceilings and models here, which share this,
    not with similarities over all conditions.

    In simulations of two equally good models (40 conditions, 16 subjects, 400 bootstrap samples)
    the difference was significant at 0.05 in 4.5 % of 1,100 studies with 2 folds. With 4, standard
    errors come out about 10 % too small (7.6 % of 1,200 studies; 7.0 % with fixed models judged on
    the same folds, so that it is the folds and not the fits): a note says so at run time.

    Ceilings, lower: similarity of the test subjects with the pooled training subjects, upper: with
    everyone pooled, both on the test pairs [1]_.

    `max_similarity` is that of a sum of all layers (for "select" the largest of any layer).

    References
    ----------
    .. [1] Schütt H. H. et al. (2023). eLife 12, e82566. doi:10.7554/eLife.82566
    .. [2] Khaligh-Razavi S.-M., Kriegeskorte N. (2014). PLoS Computational Biology 10, e1003915.
       doi:10.1371/journal.pcbi.1003915

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.inference import evaluate_flexible
    >>> d92 = rf.datasets.images92()
    >>> behaviour = d92.rdms.sel(region="behaviour")
    >>> models = d92.models.with_labels(network="all models")
    >>> result = evaluate_flexible(models, behaviour, n_boot=20)
    >>> result.to_frame()[["region", "network", "layer", "n_subjects"]]
          region     network            layer  n_subjects
    0  behaviour  all models  weighted layers          16
    """
    check_arguments(evaluate_flexible, locals())
    design = Design.of(locals())
    options = _Options(fit, by_model, resolve(method), n_folds, n_cv)
    return _flexible(model, data, options, design, subset)[0]


@renamed_argument("bootstrap", "generalise_to")
@keep_warnings
def best_layer(
    model: RDMs,
    data: RDMs,
    *,
    by_model: str = "network",
    method: str = "rho-a",
    n_folds: int = 2,
    n_cv: int = 2,
    generalise_to: str = "both",
    uncertainty: str = "bootstrap",
    n_boot: int = 1000,
    by: str = "subject",
    groups: Labels | None = None,
    blocks: Labels | None = None,
    seed: int = 0,
    alpha: float = 0.05,
    correction: str = "fdr",
    family: str = "region",
    tail: str = "two-sided",
    subset: str = "all",
) -> BestLayer:
    """Choose the best layer of each network, and judge it by data that did not choose it.

    Parameters
    ----------
    model, data, by_model, method, n_folds, n_cv, generalise_to, uncertainty, n_boot, by, groups, \
blocks, seed, alpha, correction, family, tail, subset
        As in :func:`evaluate_flexible`.

    Returns
    -------
    BestLayer
        Similarities on held-out conditions and subjects, and how often each layer was chosen.

    Raises
    ------
    ConditionMismatchError, InputError
        As in :func:`evaluate_flexible`.

    See Also
    --------
    rsa_faces.evaluate : Evaluate how well models predict data.
    evaluate_flexible : Evaluate models with fitted weights.

    Notes
    -----
    :func:`evaluate_flexible` with ``fit="select"``. The similarity of the layer that is best in
    all data, with the same data, is too high; it is not given.

    References
    ----------
    .. [1] Schütt H. H. et al. (2023). eLife 12, e82566. doi:10.7554/eLife.82566

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.inference import best_layer
    >>> d92 = rf.datasets.images92()
    >>> behaviour = d92.rdms.sel(region="behaviour")
    >>> models = d92.models.with_labels(network="models", layer=d92.models.labels["name"])
    >>> best = best_layer(models, behaviour, method="pearson", n_boot=20)
    >>> bool(best.chosen["share"].sum().round(9) == 1)
    True
    """
    check_arguments(best_layer, locals())
    design = Design.of(locals())
    options = _Options("select", by_model, resolve(method), n_folds, n_cv)
    return BestLayer(*_flexible(model, data, options, design, subset))


def fit_layers(
    model: RDMs,
    data: RDMs,
    *,
    fit: str = "nnls",
    by_model: str = "network",
    method: str = "cosine",
    by: str = "subject",
    blocks: Labels | None = None,
) -> pd.DataFrame:
    """Fit flexible models to all data: their weights, without any similarity.

    Parameters
    ----------
    model, data, fit, by_model, method, by, blocks
        As in :func:`evaluate_flexible`.

    Returns
    -------
    DataFrame
        One row per region and layer: `region`, `network`, `layer`, `layer_index`, `depth` and
        `weight`, at least 0, in units of the RDMs as given; the weights of a network have a sum
        of squares of 1.

    Raises
    ------
    ConditionMismatchError, InputError
        As in :func:`evaluate_flexible`.

    See Also
    --------
    evaluate_flexible : Evaluate models with fitted weights.

    Notes
    -----
    The similarity of this fit with the data it was fitted to is no evidence for a model: see
    :func:`evaluate_flexible`.

    References
    ----------
    .. [1] Khaligh-Razavi S.-M., Kriegeskorte N. (2014). PLoS Computational Biology 10, e1003915.
       doi:10.1371/journal.pcbi.1003915

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.inference import fit_layers
    >>> model = rf.RDMs([[1.0, 0, 0], [0, 1, 1]], list("abc"), "m", {"network": "n"})
    >>> data = rf.RDMs([[3.0, 4, 4]], list("abc"), "d")
    >>> fit_layers(model, data)["weight"].round(3).tolist()
    [0.6, 0.8]
    """
    check_arguments(fit_layers, locals())
    check_choice(fit, FITS, what="fit")
    method = resolve(method)
    design = Design(by=by, blocks=blocks)
    model, data, used = aligned(model, data, design)
    layers, scale = layers_of(model, by_model, method, used)
    frames = []
    for region in regions_of(data, design, method, "all"):
        n = len(region.data)
        once = Splits(
            np.ones((1, model.n_conditions)),
            np.full((1, model.n_conditions), -1),
            ((np.ones((1, n)), np.full((1, n), -1)),),
        )
        weights = fold_weights(layers, region.data.vectors, once, region.units, fit, method, 1, 1)
        # Back to the layers as they were given; layers were scaled for the fit.
        weights = weights[0, 0, 0] / scale
        for rows in layers.networks:
            weights[rows] /= np.sqrt((weights[rows] ** 2).sum())
        frames.append(layers.names.assign(region=region.name, weight=weights))
    columns = ["region", "network", "layer", "layer_index", "depth", "weight"]
    return pd.concat(frames, ignore_index=True)[columns]


def aligned(model: RDMs, data: RDMs, design: Design) -> tuple[RDMs, RDMs, np.ndarray]:
    """Return both in the model's order of conditions, and which pairs are used.

    Raises
    ------
    InputError
        If a pair that is used is missing.
    """
    model, data = align_pair(model, data)
    used = design.units(model.conditions).used
    check_measured(model, "the model RDMs of a flexible model", used)
    check_measured(data, "the data RDMs of a flexible model", used)
    return model, data, used


def _cv_means(layers, data, splits, n_repeats, *options) -> np.ndarray:
    """Return held-out means and ceilings of all samples, for each way to draw subjects.

    Shape (n_ways, n_samples, n_repeats, n_columns).
    """

    def of_block(part: slice) -> np.ndarray:
        here = splits[part]
        similarities, _ = held_out_means(layers, data, here, *options)
        means = [
            mean_over_subjects(mean_defined(similarity, 1), counts)
            for similarity, (counts, _) in zip(similarities, here.subjects, strict=True)
        ]
        return np.stack(means, axis=1)

    means = in_blocks(of_block, len(splits), _SPLITS)
    return means.transpose(1, 0, 2).reshape(means.shape[1], -1, n_repeats, means.shape[2])


def _cv_variances(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return variances of columns and of differences, without the share of the random folds."""
    n_cv = samples.shape[1]
    # All repetitions of a sample or none: their mean and each of them have to be of the same
    # samples.
    samples = np.where(np.isnan(samples).any(axis=1, keepdims=True), np.nan, samples)
    of_mean = contrast_variances(samples.mean(axis=1))
    single = [contrast_variances(samples[:, r]) for r in range(n_cv)]
    variances = []
    for mean, parts in zip(of_mean, zip(*single, strict=True), strict=True):
        # The variance of a mean over n repetitions is that of the sample plus 1/n of that of the
        # random folds, of one repetition the sum of both: solved for the first.
        corrected = (n_cv * mean - np.mean(parts, axis=0)) / (n_cv - 1)
        # By chance it may come out below 0, where no error was meant: then the folds' share stays
        # in.
        variances.append(np.where(corrected > 0, corrected, mean))
    of_columns, of_differences = variances
    return of_columns, of_differences


def _flexible(
    model: RDMs, data: RDMs, options: _Options, design: Design, subset: str
) -> tuple[Result, pd.DataFrame]:
    """Put the regions' results together."""
    model, data, used = aligned(model, data, design)
    design, notes = with_closed_form(design, options.method, without="what is held out of fits")
    layers, _ = layers_of(model, options.by_model, options.method, used)
    results, chosen = [], []
    for region in regions_of(data, design, options.method, subset):
        outcome, share = _fitted(layers, region, options)
        outcome.notes[:0] = notes
        results.append(result_of(region, outcome))
        chosen.append(layers.names.assign(region=region.name, share=share))
    result = Result.concat(results)
    for note in result.notes:
        warn(note)
    columns = ["region", "network", "layer", "layer_index", "depth", "share"]
    return result, pd.concat(chosen, ignore_index=True)[columns]


def _fitted(
    layers: Layers, region: Region, options: _Options
) -> tuple[Outcome, np.ndarray | float]:
    """Return what is found of fitted models in a region, and how often each layer was chosen."""
    design, data, where = region.design, region.data, region.where
    n_subjects, n_conditions = len(data), data.n_conditions
    units = region.units
    notes = region.check_numbers()
    fewest = check_folds(options.n_folds, units, design.draws_conditions, where)
    folds = options.n_folds, min(options.n_folds, n_subjects)
    fit = units, options.fit, options.method, *folds
    if n_subjects == 1:
        notes.append(
            f"{where}: one subject, so models are fitted and judged on the same subject; only "
            "conditions are held out."
        )
    if options.n_folds > 2:
        notes.append(
            f"{where}: with more than 2 folds, standard errors come out about 10 % too small in "
            "simulations; a test at 5 % rejects 6 to 9 %."
        )
    # By size alone: last digits differ, and must not depend on what was done before.
    n_splits = REPETITIONS + design.n_boot * options.n_cv * (
        1 + 2 * (design.generalise_to == "both")
    )
    compiled = n_splits * folds[0] * folds[1] > PLAIN
    rng = as_rng(design.seed)
    draws = draw(design, region.units, n_subjects, rng, fewest=fewest)

    def split(n: int, n_repeats: int, counts=None, *ways) -> Splits:
        counts = np.ones((n, n_conditions)) if counts is None else counts
        counts = np.repeat(counts, n_repeats, axis=0)
        subjects = [np.ones((n, n_subjects)) if way is None else way for way in ways]
        subjects = [np.repeat(way, n_repeats, axis=0) for way in subjects]
        each = Units.of_groups(np.arange(n_subjects))
        return Splits(
            counts,
            draw_folds(rng, counts, units, folds[0]),
            tuple((way, draw_folds(rng, way, each, folds[1])) for way in subjects),
            compiled,
        )

    observed = split(1, REPETITIONS, None, None)
    similarity, weights = _observed(layers, data.vectors, observed, *fit)
    by_fold = similarity[:, :, :-2]
    n_networks = by_fold.shape[2]
    names = _network_names(layers, options.fit)
    undefined = np.isnan(by_fold).mean(axis=(0, 1, 3))
    for name, share in zip(names["network"], undefined, strict=True):
        if share > 0:
            notes.append(
                f"{where}: no similarity is defined for {name} in {share:.1%} of the folds "
                "(constant over the test pairs); those are left out."
            )
    repetitions = mean_over_subjects(mean_defined(similarity, 1), observed.subjects[0][0])
    means = mean_defined(repetitions)
    ways: list[tuple[str, bool, tuple[np.ndarray | None, ...]]]
    ways = [("subjects", draws.subjects is not None, (None, draws.subjects))]
    ways.append(("conditions", draws.conditions is not None, (draws.conditions, None)))
    if design.generalise_to == "both":
        ways[1] = ("conditions", True, (draws.conditions, None, draws.subjects))
    samples: dict[str, np.ndarray] = {}
    for kind, is_drawn, drawn in ways:
        if is_drawn:
            splits = split(design.n_boot, options.n_cv, *drawn)
            resampled = _cv_means(layers, data.vectors, splits, options.n_cv, *fit)
            samples |= dict(zip((kind, "both"), resampled, strict=False))
    variances = corrected({kind: _cv_variances(some) for kind, some in samples.items()}, draws)
    # What the random folds leave of their variance in the mean over repetitions.
    variance, of_differences = (
        value + extra / REPETITIONS
        for value, extra in zip(variances, contrast_variances(repetitions), strict=True)
    )
    freedom = design.freedom(n_subjects, region.units)
    per_subject = mean_defined(mean_defined(by_fold, 1))
    low, high = means[n_networks:] if n_subjects > 1 else (np.nan, np.nan)
    outcome = Outcome(
        names,
        Estimate(
            per_subject,
            variance,
            of_differences,
            freedom,
            samples[design.generalise_to].mean(axis=1),
        ),
        means[:n_networks],
        (low, high),
        _largest(layers, region, options.fit),
        options.method.name,
        notes,
        {
            "fit": options.fit,
            "by_model": options.by_model,
            "n_folds": options.n_folds,
            "n_subject_folds": folds[1],
            "n_cv": options.n_cv,
        },
    )
    return outcome, (weights > 0).mean(axis=(0, 1, 2)) if options.fit == "select" else np.nan


def _observed(layers, data, splits, *options):
    """Return held-out similarities and weights of the observed data, block by block."""
    parts = [
        held_out_means(layers, data, splits[start : start + _SPLITS], *options)
        for start in range(0, len(splits), _SPLITS)
    ]
    similarity = np.concatenate([similarities[0] for similarities, _ in parts])
    return similarity, np.concatenate([weights for _, weights in parts])


def _network_names(layers: Layers, fit: str) -> pd.DataFrame:
    """Return one row per flexible model."""
    return pd.DataFrame(
        {
            "network": [layers.names["network"].iloc[rows.start] for rows in layers.networks],
            "layer": FITS[fit],
            "layer_index": 0,
            "depth": np.nan,
        }
    )


def _largest(layers: Layers, region: Region, fit: str) -> np.ndarray:
    """Return the largest similarity that ties allow each flexible model."""
    largest = []
    for rows in layers.networks:
        vectors = layers.vectors[rows]
        if fit != "select":
            # Unequal weights: what is tied in this sum is tied in any.
            vectors = (np.sqrt(np.arange(2, 2 + len(vectors))) @ vectors)[None]
        model = RDMs(vectors, region.data.conditions, "layers")
        limits = largest_within(model, region.units, region.method)
        largest.append(np.nanmax(limits) if not np.isnan(limits).all() else np.nan)
    return np.array(largest)
