"""Flexible models: parameters are fitted, and always judged on held-out data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from scipy.linalg import cho_factor, cho_solve

from rsa_faces._errors import InputError
from rsa_faces._validation import as_rng, check_choice, check_count, check_unique_names
from rsa_faces.comparison import METHODS, align_pair, max_similarity
from rsa_faces.comparison.methods import COV_METHODS, RANK_METHODS
from rsa_faces.inference._result import CEILINGS, PAIRS, SUBJECTS, TABLE, Result
from rsa_faces.inference._subjects import subject_means
from rsa_faces.inference._weighted import _standard, _whitened_inner, weighted_similarities
from rsa_faces.inference.bootstrap import (
    _in_blocks,
    contrast_variances,
    draw_counts,
    dual_variance,
)
from rsa_faces.inference.ceilings import shared_structure
from rsa_faces.inference.evaluate import (
    BOOTSTRAPS,
    _group_codes,
    _p_values,
    _pairs,
    check_design,
)
from rsa_faces.inference.multiple import CORRECTIONS, adjust
from rsa_faces.rdm import RDMs

#: Kinds of flexible models, and what their prediction is called in the column `layer`.
FITS = {"nnls": "weighted layers", "interpolation": "interpolated layers", "select": "best layer"}
#: Repetitions of the cross-validation of the observed data.
REPETITIONS = 100
_SPLITS = 32
_RANK_BLOCK = 16
_MEMORY = 64 * 2**20
_LARGEST_GRAM = 16_000


@dataclass(frozen=True, eq=False)
class BestLayer:
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
    """

    result: Result
    chosen: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Reweighting:
    """How well reweighted features predict data RDMs.

    Parameters
    ----------
    folds : DataFrame
        One row per fold: `fold`, `n_train` and `n_test` (conditions), `penalty` chosen within the
        training conditions, `similarity` of the reweighted prediction with the held-out pairs, and
        `unweighted`, the similarity of the same features, all with weight 1, with the same pairs.
    similarity, unweighted : float
        Means over folds.
    penalty : float
        Chosen by cross-validation over all conditions; used for `fitted` and `weights`.
    weights : ndarray, shape (n_features,)
        Fitted to all data, in units of the pooled data RDM per squared standard deviation of the
        feature.
    fitted : RDMs
        The prediction fitted to all data. Its similarity with these data is no evidence.
    """

    folds: pd.DataFrame
    similarity: float
    unweighted: float
    penalty: float
    weights: np.ndarray
    fitted: RDMs


@dataclass(frozen=True, eq=False)
class _Layers:
    """Layer RDMs of all networks in one array, one network after the other."""

    vectors: np.ndarray
    starts: np.ndarray
    names: pd.DataFrame

    @property
    def networks(self) -> list[slice]:
        """The rows of each network."""
        return [slice(a, b) for a, b in zip(self.starts[:-1], self.starts[1:], strict=True)]


@dataclass(frozen=True, eq=False)
class _Splits:
    """Counts and folds of every repetition of the cross-validation, (n_splits, n_items).

    `subjects` holds counts and folds of one or more ways to draw subjects for the same conditions.
    """

    counts: np.ndarray
    folds: np.ndarray
    subjects: tuple[tuple[np.ndarray, np.ndarray], ...]

    def __getitem__(self, part: slice) -> _Splits:
        subjects = tuple((counts[part], folds[part]) for counts, folds in self.subjects)
        return _Splits(self.counts[part], self.folds[part], subjects)

    def __len__(self) -> int:
        return len(self.counts)


def evaluate_flexible(
    model: RDMs,
    data: RDMs,
    *,
    fit: str = "nnls",
    by_model: str = "network",
    method: str = "cosine",
    n_folds: int | None = None,
    n_cv: int = 2,
    n_boot: int = 1000,
    bootstrap: str = "both",
    by: str = "subject",
    groups: Mapping[str, object] | None = None,
    seed: int = 0,
    alpha: float = 0.05,
    correction: str = "fdr",
    subset: str = "all",
) -> Result:
    """Evaluate models that are fitted, on conditions and subjects that did not fit them.

    Parameters
    ----------
    model : RDMs
        Layer RDMs. Those with the same value of the label `by_model` are one flexible model.
    data : RDMs
        RDMs of subjects, every pair measured. If there is a label ``region``, each region is
        evaluated on its own.
    fit : {"nnls", "interpolation", "select"}, default "nnls"
        The weighted sum of a network's layers with weights of at least 0, the mixture of two
        neighbouring layers (in the order of the label ``layer_index``, else of the rows), or the
        one layer, that is most similar to the training data.
    by_model : str, default "network"
        Label that tells the flexible models apart.
    method : str, default "cosine"
        Comparison method, as in :func:`rsa_faces.compare`.
    n_folds : int, optional
        Folds of conditions, and of subjects (at most as many as there are subjects). By default 2
        to 5, by the number of conditions.
    n_cv : int, default 2
        Repetitions of the cross-validation in each bootstrap sample, at least 2.
    n_boot, bootstrap, by, groups, seed, alpha, correction, subset
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

    Notes
    -----
    Conditions and subjects are divided at random. Parameters are fitted to the training subjects'
    pairs of training conditions, and judged by the test subjects' pairs of test conditions: no
    condition and no subject is on both sides, and pairs of a training with a test condition are
    not used. Each fold has at least 3 distinct conditions. All copies of a condition, of the
    conditions of a group, and of a subject in a bootstrap sample are in one fold. With one subject
    (or one distinct subject in a bootstrap sample) only conditions are held out.

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

    The corrected variance is noisy. In a simulation of two equally good models (40 conditions, 16
    subjects, 250 runs) their difference was significant at 0.05 in 7.6 % of runs with 100 bootstrap
    samples, in 4.4 % with 400: take at least 400.

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
    >>> from rsa_faces.inference.flexible import evaluate_flexible
    >>> d92 = rf.datasets.images92()
    >>> behaviour = d92.rdms.sel(region="behaviour")
    >>> models = d92.models.with_labels(network="all models")
    >>> result = evaluate_flexible(models, behaviour, n_boot=20)
    >>> result.to_frame()[["region", "network", "layer", "n_subjects"]]
          region     network            layer  n_subjects
    0  behaviour  all models  weighted layers          16
    """
    result, _ = _flexible(
        model, data, fit, by_model, method, n_folds, n_cv, n_boot, bootstrap, by, groups, seed,
        alpha, correction, subset,
    )  # fmt: skip
    for note in result.notes:
        warnings.warn(note, stacklevel=2)
    return result


def best_layer(
    model: RDMs,
    data: RDMs,
    *,
    by_model: str = "network",
    method: str = "rho-a",
    n_folds: int | None = None,
    n_cv: int = 2,
    n_boot: int = 1000,
    bootstrap: str = "both",
    by: str = "subject",
    groups: Mapping[str, object] | None = None,
    seed: int = 0,
    alpha: float = 0.05,
    correction: str = "fdr",
    subset: str = "all",
) -> BestLayer:
    """Choose the best layer of each network, and judge it by data that did not choose it.

    Parameters
    ----------
    model, data, by_model, method, n_folds, n_cv, n_boot, bootstrap, by, groups, seed, alpha, \
correction, subset
        As in :func:`evaluate_flexible`.

    Returns
    -------
    BestLayer
        Similarities on held-out conditions and subjects, and how often each layer was chosen.

    Raises
    ------
    ConditionMismatchError, InputError
        As in :func:`evaluate_flexible`.

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
    >>> from rsa_faces.inference.flexible import best_layer
    >>> d92 = rf.datasets.images92()
    >>> behaviour = d92.rdms.sel(region="behaviour")
    >>> models = d92.models.with_labels(network="models", layer=d92.models.labels["name"])
    >>> best = best_layer(models, behaviour, method="pearson", n_boot=20)
    >>> bool(best.chosen["share"].sum().round(9) == 1)
    True
    """
    result, chosen = _flexible(
        model, data, "select", by_model, method, n_folds, n_cv, n_boot, bootstrap, by, groups,
        seed, alpha, correction, subset,
    )  # fmt: skip
    for note in result.notes:
        warnings.warn(note, stacklevel=2)
    return BestLayer(result, chosen)


def fit_layers(
    model: RDMs,
    data: RDMs,
    *,
    fit: str = "nnls",
    by_model: str = "network",
    method: str = "cosine",
    by: str = "subject",
) -> pd.DataFrame:
    """Fit flexible models to all data: their weights, without any similarity.

    Parameters
    ----------
    model, data, fit, by_model, method, by
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
    >>> from rsa_faces.inference.flexible import fit_layers
    >>> model = rf.RDMs([[1.0, 0, 0], [0, 1, 1]], list("abc"), "m", {"network": "n"})
    >>> data = rf.RDMs([[3.0, 4, 4]], list("abc"), "d")
    >>> fit_layers(model, data)["weight"].round(3).tolist()
    [0.6, 0.8]
    """
    check_choice(fit, FITS, what="fit")
    check_choice(method, METHODS, what="comparison method")
    model, data = _aligned(model, data)
    layers, scale = _layers(model, by_model, method)
    frames = []
    for region, part in _regions(data, by):
        n = len(part)
        once = _Splits(
            np.ones((1, model.n_conditions)),
            np.full((1, model.n_conditions), -1),
            ((np.ones((1, n)), np.full((1, n), -1)),),
        )
        weights = fold_weights(layers, part.vectors, once, fit, method, 1, 1)[0, 0, 0] / scale
        for rows in layers.networks:
            weights[rows] /= np.sqrt((weights[rows] ** 2).sum())
        frames.append(layers.names.assign(region=region, weight=weights))
    columns = ["region", "network", "layer", "layer_index", "depth", "weight"]
    return pd.concat(frames, ignore_index=True)[columns]


# --- regions, layers, folds ----------------------------------------------------------------------


def _aligned(model: RDMs, data: RDMs) -> tuple[RDMs, RDMs]:
    """Return both in the model's order of conditions, if no pair is missing."""
    model, data = align_pair(model, data)
    for rdms, what in ((model, "model"), (data, "data")):
        if (missing := int(np.isnan(rdms.vectors).sum())) > 0:
            raise InputError(
                f"expected every pair measured in the {what} RDMs of a flexible model, but "
                f"{missing} are missing (NaN). Leave those conditions out with subset()."
            )
    return model, data


def _regions(data: RDMs, by: str) -> list[tuple[str, RDMs]]:
    """Return the name of each region and its RDMs, one per subject."""
    labels = data.labels
    if "region" not in labels:
        return [("", subject_means(data, by))]
    names = dict.fromkeys(labels["region"])
    return [(str(name), subject_means(data.sel(region=name), by)) for name in names]


def _layers(model: RDMs, by_model: str, method: str) -> tuple[_Layers, np.ndarray]:
    """Return layers scaled for the method, network after network, and what they were divided by."""
    labels = model.labels
    check_choice(by_model, labels.columns, what="label that tells flexible models apart")
    if labels[by_model].isna().any():
        raise InputError(
            f"expected a value of {by_model!r} for every model RDM, but "
            f"{int(labels[by_model].isna().sum())} of {len(labels)} have none."
        )
    names = pd.DataFrame(
        {
            "network": labels[by_model].astype(str),
            "layer": labels["layer"].fillna("").astype(str) if "layer" in labels else "",
            "layer_index": labels.get("layer_index", 0),
            "depth": labels["depth"].astype(float) if "depth" in labels else np.nan,
        }
    )
    networks = list(dict.fromkeys(names["network"]))
    index = names["layer_index"].to_numpy()
    order = []
    for network in networks:
        rows = np.flatnonzero(names["network"] == network)
        order.append(rows[np.argsort(index[rows], kind="stable")])
    starts = np.cumsum([0, *map(len, order)])
    order = np.concatenate(order)
    vectors = model.vectors[order]
    scaled = vectors / _scale(np.sqrt((vectors**2).mean(axis=1, keepdims=True)))
    scale = _scale(np.sqrt((vectors**2).mean(axis=1)))
    if _linear_part(method) in {"pearson", "corr_cov"}:
        scaled, scale = _standard(vectors), _scale(vectors.std(axis=1))
    return _Layers(scaled, starts, names.iloc[order].reset_index(drop=True)), scale


def _scale(spread: np.ndarray) -> np.ndarray:
    """Return what to divide by: 1 where there is nothing."""
    return np.where(spread > 0, spread, 1.0)


def _linear_part(method: str) -> str:
    """Return the method by whose sums of products weights are fitted."""
    return "pearson" if method in RANK_METHODS else method


def _default_folds(n: float) -> int:
    """Return 2 to 5 folds for this many conditions."""
    return 2 + int(np.searchsorted([12, 24, 40], n, side="right"))


def _check_folds(n_folds, groups: np.ndarray, bootstrap: str, where: str) -> tuple[int, int]:
    """Return the number of folds and the fewest groups a sample must hold."""
    n_groups = int(groups.max()) + 1
    smallest = int(np.bincount(groups).min())
    per_fold = 3 if smallest == 1 else 2
    # Of n conditions a bootstrap sample holds about 63 %.
    expected = n_groups if bootstrap == "subjects" else (1 - np.exp(-1)) * n_groups
    if n_folds is None:
        n_folds = max(2, min(_default_folds(expected), int(expected // per_fold)))
    check_count(n_folds, what="n_folds", low=2)
    if n_folds * per_fold > expected:
        held = f"{n_groups}"
        if bootstrap != "subjects":
            held += f", of which a bootstrap sample holds about {expected:.0f}"
        what = "conditions" if smallest == 1 else "groups of conditions"
        raise InputError(
            f"expected at least {n_folds * per_fold} distinct {what} in {where} for {n_folds} "
            f"folds of at least {per_fold}, got {held}. Use fewer folds, or more conditions."
        )
    return n_folds, n_folds * per_fold


def _draw_folds(rng, counts: np.ndarray, groups: np.ndarray, n_folds: int) -> np.ndarray:
    """Return the fold of each item, -1 where it is not in the sample; whole groups, equal folds."""
    first = np.unique(groups, return_index=True)[1]
    drawn = counts[:, first] > 0
    keys = np.where(drawn, rng.random(drawn.shape), 2.0)
    rank = np.argsort(np.argsort(keys, axis=1), axis=1)
    return np.where(drawn, rank % n_folds, -1)[:, groups]


# --- fits ----------------------------------------------------------------------------------------


def fold_weights(
    layers: _Layers,
    data: np.ndarray,
    splits: _Splits,
    fit: str,
    method: str,
    n_folds: int,
    n_subject_folds: int,
) -> np.ndarray:
    """Fit all networks with each fold of conditions and of subjects left out.

    Returns weights of the scaled layers, (n_splits, n_folds, n_subject_folds, n_layers), the
    folds of all ways to draw subjects one after the other; NaN where no layer of a network differs
    between the training pairs.
    """
    fold = np.arange(n_folds)[None, :, None]
    train = np.where(splits.folds[:, None] != fold, splits.counts[:, None], 0.0)
    train = train.reshape(-1, train.shape[2])
    subjects = np.concatenate(
        [_training_subjects(*drawn, n_subject_folds) for drawn in splits.subjects], axis=1
    )
    shape = (len(splits), n_folds, subjects.shape[1], len(layers.vectors))
    if fit == "select" and method in RANK_METHODS:
        similarity = np.concatenate(
            [
                weighted_similarities(layers.vectors, data, train[i : i + _RANK_BLOCK], method)
                for i in range(0, len(train), _RANK_BLOCK)
            ]
        ).reshape(*shape[:2], shape[3], len(data))
        return _best_of_each(_pooled(similarity, subjects), layers)
    weights = np.empty(shape)
    products = _inner_products(layers, data, train, _linear_part(method))
    for rows, (xx, xy, yy, plain) in zip(layers.networks, products, strict=True):
        size = rows.stop - rows.start
        length = np.sqrt(yy if fit == "select" else plain)
        scaled = xy / np.where(length > 0, length, np.inf)[:, None, :]
        target = _pooled(scaled.reshape(*shape[:2], size, -1), subjects)
        gram = xx.reshape(*shape[:2], size, size)
        weights[..., rows] = _FITTED[fit](gram, target)
    return weights


def _training_subjects(counts: np.ndarray, folds: np.ndarray, n_folds: int) -> np.ndarray:
    """Return counts of the training subjects, (n_splits, n_folds, n_subjects)."""
    counts = counts[:, None]
    train = np.where(folds[:, None] != np.arange(n_folds)[None, :, None], counts, 0.0)
    # With one distinct subject only conditions are held out.
    return np.where(train.any(axis=2, keepdims=True), train, counts)


def _pooled(products: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """Sum (n_splits, n_folds, n_layers, n_subjects) over training subjects, for each fold of them.

    Returns (n_splits, n_folds, n_subject_folds, n_layers).
    """
    return np.matmul(products, subjects.transpose(0, 2, 1)[:, None]).transpose(0, 1, 3, 2)


def _inner_products(layers: _Layers, data: np.ndarray, counts: np.ndarray, method: str):
    """Return (xᵀx, xᵀy, yᵀy, yᵀy not whitened) of each network in every training sample.

    Shapes (n, n_layers, n_layers), (n, n_layers, n_subjects) and twice (n, n_subjects). Layers
    that are constant in a sample have zeros.
    """
    if method in COV_METHODS:
        return [_whitened_products(layers.vectors[rows], data, counts, method)
                for rows in layers.networks]  # fmt: skip
    centre = method == "pearson"
    y = _standard(data) if centre else data
    row, col = np.triu_indices(counts.shape[1], k=1)
    upper = [np.triu_indices(s.stop - s.start) for s in layers.networks]
    n_subjects = len(data)
    columns = max(len(u[0]) + (s.stop - s.start) * n_subjects
                  for u, s in zip(upper, layers.networks, strict=True))  # fmt: skip
    step = max(1, _MEMORY // (8 * (columns + len(counts))))
    squares = [np.zeros((len(counts), len(u[0]))) for u in upper]
    across = [np.zeros((len(counts), (s.stop - s.start) * n_subjects)) for s in layers.networks]
    own = np.zeros((len(counts), n_subjects))
    sums = np.zeros((len(counts), len(layers.vectors) + n_subjects))
    total = np.zeros(len(counts))
    # In blocks of pairs, so that products of RDMs never fill the memory.
    for start in range(0, len(row), step):
        part = slice(start, start + step)
        weights = counts[:, row[part]] * counts[:, col[part]]
        here = y[:, part]
        own += weights @ (here**2).T
        total += weights.sum(axis=1)
        if centre:
            sums += weights @ np.vstack([layers.vectors[:, part], here]).T
        for rows, (a, b), xx, xy in zip(layers.networks, upper, squares, across, strict=True):
            x = layers.vectors[rows, part]
            xx += weights @ (x[a] * x[b]).T
            xy += weights @ (x[:, None] * here).reshape(-1, here.shape[1]).T
    products = []
    mean_y = sums[:, len(layers.vectors) :]
    own = _cleared(own - mean_y**2 / total[:, None], own)
    for rows, (a, b), xx, xy in zip(layers.networks, upper, squares, across, strict=True):
        size = rows.stop - rows.start
        square = np.empty((len(counts), size, size))
        square[:, a, b] = square[:, b, a] = xx
        xy = xy.reshape(len(counts), size, n_subjects)
        raw = np.einsum("nkk->nk", square).copy()
        if centre:
            mean_x = sums[:, rows]
            square -= mean_x[:, :, None] * mean_x[:, None, :] / total[:, None, None]
            xy = xy - mean_x[:, :, None] * mean_y[:, None, :] / total[:, None, None]
        products.append((*_without_constant(square, xy, raw), own, own))
    return products


def _whitened_products(vectors: np.ndarray, data: np.ndarray, counts: np.ndarray, method: str):
    """Return what :func:`_inner_products` does for one network, whitened."""
    size = len(vectors)
    (white, _, own), squares = _whitened_inner(
        vectors, np.vstack([vectors, data]), counts, centre=method == "corr_cov"
    )
    own_layers = own[:, :size] > 0
    raw = np.where(own_layers, 0.0, np.inf)
    return (*_without_constant(white[:, :, :size].copy(), white[:, :, size:], raw),
            own[:, size:], squares[1][:, size:])  # fmt: skip


def _cleared(difference: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Return 0 where what is left of a sum of squares is rounding."""
    return np.where(difference > 1e-12 * raw, difference, 0.0)


def _without_constant(square: np.ndarray, across: np.ndarray, raw: np.ndarray):
    """Return inner products with zeros for layers that are constant in a sample."""
    constant = ~(np.einsum("nkk->nk", square) > 1e-12 * raw)
    square[constant] = 0.0
    square.transpose(0, 2, 1)[constant] = 0.0
    return square, np.where(constant[:, :, None], 0.0, across)


def _single_scores(gram: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return how similar each layer alone is to the target, up to a factor; NaN if constant."""
    length = np.sqrt(np.einsum("...kk->...k", gram))[:, :, None]
    return np.divide(target, length, out=np.full(target.shape, np.nan), where=length > 0)


def _one_hot(scores: np.ndarray) -> np.ndarray:
    """Return weight 1 for the best layer (the first of equals), NaN where none has a score."""
    best = np.argmax(np.where(np.isnan(scores), -np.inf, scores), axis=-1)[..., None]
    weights = np.zeros(scores.shape)
    np.put_along_axis(weights, best, 1.0, axis=-1)
    weights[np.isnan(scores).all(axis=-1)] = np.nan
    return weights


def _best_of_each(scores: np.ndarray, layers: _Layers) -> np.ndarray:
    """Return the weights of the best layer of each network."""
    return np.concatenate([_one_hot(scores[..., rows]) for rows in layers.networks], axis=-1)


def _fit_nnls(gram: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the weights ≥ 0 of the prediction most similar to the target."""
    from rsa_faces.inference._fits import nnls_gram

    size = gram.shape[-1]
    weights = nnls_gram(
        np.ascontiguousarray(gram.reshape(-1, size, size)),
        np.ascontiguousarray(target.reshape(-1, *target.shape[2:])),
    ).reshape(target.shape)
    # Where all are negatively related, the cosine has its maximum at a single layer.
    alone = ~weights.any(axis=-1)
    weights[alone] = _one_hot(_single_scores(gram, target))[alone]
    return weights


def _fit_interpolation(gram: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the weights of the most similar mixture of two neighbouring layers."""
    single = _single_scores(gram, target)
    weights = _one_hot(single)
    size = gram.shape[-1]
    if size == 1:
        return weights
    diagonal = np.einsum("...kk->...k", gram)[:, :, None]
    beside = np.einsum("...kk->...k", gram[..., :-1, 1:])[:, :, None]
    first, second = target[..., :-1], target[..., 1:]
    a = diagonal[..., 1:] * first - beside * second
    b = diagonal[..., :-1] * second - beside * first
    length = a**2 * diagonal[..., :-1] + 2 * a * b * beside + b**2 * diagonal[..., 1:]
    determinant = diagonal[..., :-1] * diagonal[..., 1:] - beside**2
    inside = (a > 0) & (b > 0) & (determinant > 1e-12 * diagonal[..., :-1] * diagonal[..., 1:])
    score = np.full(a.shape, -np.inf)
    np.divide(a * first + b * second, np.sqrt(np.maximum(length, 0)), out=score, where=inside)
    best = np.argmax(score, axis=-1)[..., None]
    highest = np.take_along_axis(score, best, axis=-1)[..., 0]
    alone = np.where(np.isnan(single), -np.inf, single).max(axis=-1)
    mixed = np.zeros(target.shape)
    np.put_along_axis(mixed, best, np.take_along_axis(a, best, axis=-1), axis=-1)
    np.put_along_axis(mixed, best + 1, np.take_along_axis(b, best, axis=-1), axis=-1)
    better = highest > alone
    weights[better] = mixed[better] / mixed[better].sum(axis=-1, keepdims=True)
    return weights


_FITTED = {
    "nnls": _fit_nnls,
    "interpolation": _fit_interpolation,
    "select": lambda gram, target: _one_hot(_single_scores(gram, target)),
}


# --- cross-validation ----------------------------------------------------------------------------


def _held_out(layers, data, splits, fit, method, n_folds, n_subject_folds):
    """Return held-out similarities, (n_splits, n_folds, n_networks + 2, n_subjects), and weights.

    One array of similarities for each way to draw subjects.
    """
    from rsa_faces.inference._fits import CODES, held_out_similarities

    weights = fold_weights(layers, data, splits, fit, method, n_folds, n_subject_folds)
    similarities = [
        held_out_similarities(
            layers.vectors, layers.starts, fitted, data, splits.counts, splits.folds, *drawn,
            CODES[method],
        )
        for fitted, drawn in zip(
            np.split(weights, len(splits.subjects), axis=2), splits.subjects, strict=True
        )
    ]  # fmt: skip
    return similarities, weights


def _mean_over_folds(similarity: np.ndarray) -> np.ndarray:
    """Return means over the folds in which a similarity is defined, (n_splits, n_columns, n_s)."""
    defined = ~np.isnan(similarity)
    total = np.where(defined, similarity, 0.0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return total / defined.sum(axis=1)


def _mean_over_subjects(similarity: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return means over drawn subjects, (n_splits, n_columns); NaN where one is undefined."""
    used = counts[:, None] > 0
    total = np.where(used, similarity, 0.0) * counts[:, None]
    return total.sum(axis=2) / counts.sum(axis=1, keepdims=True)


def _cv_means(layers, data, splits, n_repeats, *options) -> np.ndarray:
    """Return held-out means and ceilings of all samples, for each way to draw subjects.

    Shape (n_ways, n_samples, n_repeats, n_columns).
    """

    def of_block(part: slice) -> np.ndarray:
        here = splits[part]
        similarities, _ = _held_out(layers, data, here, *options)
        means = [
            _mean_over_subjects(_mean_over_folds(similarity), counts)
            for similarity, (counts, _) in zip(similarities, here.subjects, strict=True)
        ]
        return np.stack(means, axis=1)

    means = _in_blocks(of_block, len(splits), _SPLITS)
    return means.transpose(1, 0, 2).reshape(means.shape[1], -1, n_repeats, means.shape[2])


def _cv_variances(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return variances of columns and of differences, without the share of the random folds."""
    n_cv = samples.shape[1]
    samples = np.where(np.isnan(samples).any(axis=1, keepdims=True), np.nan, samples)
    of_mean = contrast_variances(samples.mean(axis=1))
    single = [contrast_variances(samples[:, r]) for r in range(n_cv)]
    variances = []
    for mean, parts in zip(of_mean, zip(*single, strict=True), strict=True):
        corrected = (n_cv * mean - np.mean(parts, axis=0)) / (n_cv - 1)
        variances.append(np.where(corrected > 0, corrected, mean))
    return tuple(variances)


def _flexible(
    model, data, fit, by_model, method, n_folds, n_cv, n_boot, bootstrap, by, groups, seed, alpha,
    correction, subset,
) -> tuple[Result, pd.DataFrame]:  # fmt: skip
    """Check the options and put the regions' results together."""
    check_choice(fit, FITS, what="fit")
    check_choice(method, METHODS, what="comparison method")
    check_choice(bootstrap, BOOTSTRAPS, what="bootstrap")
    check_choice(correction, CORRECTIONS, what="correction")
    check_count(n_boot, what="n_boot", low=2)
    check_count(n_cv, what="n_cv", low=2)
    if not 0 < alpha < 1:
        raise InputError(f"expected alpha between 0 and 1, got {alpha!r}.")
    model, data = _aligned(model, data)
    layers, _ = _layers(model, by_model, method)
    codes = _group_codes(groups, model.conditions)
    results, chosen = [], []
    for region, part in _regions(data, by):
        result, choices = _evaluate_region(
            layers, part, region, subset, fit, by_model, method, n_folds, n_cv, n_boot, bootstrap,
            by, codes, seed, alpha, correction,
        )  # fmt: skip
        results.append(result)
        chosen.append(choices)
    return Result.concat(results), pd.concat(chosen, ignore_index=True)


def _evaluate_region(
    layers, data, region, subset, fit, by_model, method, n_folds, n_cv, n_boot, bootstrap, by,
    groups, seed, alpha, correction,
) -> tuple[Result, pd.DataFrame]:  # fmt: skip
    """Return the result of one region and how often each layer was chosen."""
    n_subjects, n_conditions = len(data), data.n_conditions
    n_groups = int(groups.max()) + 1
    where = f"region {region!r}" if region else "the data"
    where += "" if subset == "all" else f", {subset}"
    notes = check_design(
        n_subjects=n_subjects, n_conditions=n_groups, bootstrap=bootstrap, what=where
    )
    n_folds, fewest = _check_folds(n_folds, groups, bootstrap, where)
    n_subject_folds = min(n_folds, n_subjects)
    options = (fit, method, n_folds, n_subject_folds)
    if n_subjects == 1:
        notes.append(
            f"{where}: one subject, so models are fitted and judged on the same subject; only "
            "conditions are held out. No noise ceiling."
        )
    rng = as_rng(seed)

    def split(n: int, n_repeats: int, counts=None, *ways) -> _Splits:
        counts = np.ones((n, n_conditions)) if counts is None else counts
        counts = np.repeat(counts, n_repeats, axis=0)
        subjects = [np.ones((n, n_subjects)) if way is None else way for way in ways]
        subjects = [np.repeat(way, n_repeats, axis=0) for way in subjects]
        own = np.arange(n_subjects)
        return _Splits(
            counts,
            _draw_folds(rng, counts, groups, n_folds),
            tuple((way, _draw_folds(rng, way, own, n_subject_folds)) for way in subjects),
        )

    drawn_conditions = drawn_subjects = None
    if bootstrap != "subjects":
        drawn_conditions = draw_counts(rng, n_boot, groups, min_distinct=fewest)
    if bootstrap != "conditions":
        drawn_subjects = draw_counts(rng, n_boot, np.arange(n_subjects))
    observed = split(1, REPETITIONS, None, None)
    similarity, weights = _observed(layers, data.vectors, observed, *options)
    by_fold = similarity[:, :, :-2]
    n_networks = by_fold.shape[2]
    names = _network_names(layers, fit)
    undefined = np.isnan(by_fold).mean(axis=(0, 1, 3))
    for name, share in zip(names["network"], undefined, strict=True):
        if share > 0:
            notes.append(
                f"{where}: no similarity is defined for {name} in {share:.1%} of the folds "
                "(constant over the test pairs); those are left out."
            )
    repetitions = _mean_over_subjects(_mean_over_folds(similarity), observed.subjects[0][0])
    means = _mean_defined(repetitions)
    per_subject = _mean_defined(_mean_over_folds(by_fold))
    samples = {}
    if bootstrap != "conditions":
        splits = split(n_boot, n_cv, None, drawn_subjects)
        (samples["subjects"],) = _cv_means(layers, data.vectors, splits, n_cv, *options)
    if bootstrap == "conditions":
        splits = split(n_boot, n_cv, drawn_conditions, None)
        (samples["conditions"],) = _cv_means(layers, data.vectors, splits, n_cv, *options)
    if bootstrap == "both":
        splits = split(n_boot, n_cv, drawn_conditions, None, drawn_subjects)
        samples["conditions"], samples["both"] = _cv_means(
            layers, data.vectors, splits, n_cv, *options
        )
    parts = {name: _cv_variances(values) for name, values in samples.items()}
    variances = []
    # What the random folds leave of their variance in the mean over repetitions.
    folds = contrast_variances(repetitions)
    factors = {"subjects": n_subjects, "conditions": n_groups}
    for i, extra in enumerate(folds):
        if bootstrap == "both":
            value = dual_variance(
                parts["subjects"][i], parts["conditions"][i], parts["both"][i], n_subjects, n_groups
            )
        else:
            n = factors[bootstrap]
            value = parts[bootstrap][i] * n / (n - 1)
        variances.append(value + extra / REPETITIONS)
    variance, difference_variance = variances
    low, high = means[n_networks:] if n_subjects > 1 else (np.nan, np.nan)
    means = means[:n_networks]
    p_reliable, reliable = np.nan, None
    if n_subjects > 1:
        p_reliable = shared_structure(data, method=method, by=by, seed=seed)
        reliable = bool(p_reliable < alpha and low > 0)
        if not reliable:
            notes.append(
                f"{where}: no reliable signal. The subjects do not share structure (lower ceiling "
                f"{low:.3f}, permutation p = {p_reliable:.3f})."
            )
    freedom = {
        "subjects": n_subjects, "conditions": n_groups, "both": min(n_subjects, n_groups),
    }[bootstrap] - 1  # fmt: skip
    common = {"subset": subset, "region": region}
    counts = {"n_subjects": n_subjects, "n_conditions": n_conditions}
    sem = np.sqrt(variance[:n_networks])
    half = stats.t.ppf(1 - alpha / 2, freedom) * sem
    p = _p_values(means, sem, freedom)
    p_ceiling = _p_values(
        means - low, np.sqrt(difference_variance[:n_networks, n_networks]), freedom
    )
    table = names.assign(
        **common, **counts,
        method=method,
        similarity=means,
        sem=sem,
        ci_low=means - half,
        ci_high=means + half,
        p=p,
        p_corrected=adjust(p, method=correction),
        p_ceiling=p_ceiling,
        p_ceiling_corrected=adjust(p_ceiling, method=correction),
        max_similarity=_largest(layers, data, fit, method),
        ceiling_low=low,
        ceiling_high=high,
        reliable=reliable,
        n_pairs=data.n_pairs,
    )[list(TABLE)]  # fmt: skip
    ceiling_sem = np.sqrt(variance[n_networks:]) if n_subjects > 1 else (np.nan, np.nan)
    ceilings = pd.DataFrame(
        [
            {
                **common, **counts,
                "method": method,
                "ceiling_low": low, "ceiling_low_sem": ceiling_sem[0],
                "ceiling_high": high, "ceiling_high_sem": ceiling_sem[1],
                "p_reliable": p_reliable, "reliable": reliable,
            }
        ]
    )[list(CEILINGS)]  # fmt: skip
    settings = {
        "method": method,
        "given": [],
        "bootstrap": bootstrap,
        "interval": "t",
        "n_boot": n_boot,
        "seed": seed,
        "alpha": alpha,
        "correction": correction,
        "degrees_of_freedom": freedom,
        "generalises_to": BOOTSTRAPS[bootstrap],
        "fit": fit,
        "by_model": by_model,
        "n_folds": n_folds,
        "n_subject_folds": n_subject_folds,
        "n_cv": n_cv,
    }
    subjects = names.loc[np.repeat(np.arange(n_networks), n_subjects), ["network", "layer"]].assign(
        **common,
        subject=np.tile(data.labels[by].astype(str).to_numpy(), n_networks),
        similarity=per_subject.ravel(),
    )[list(SUBJECTS)]
    pairs = _pairs(names, means, difference_variance, freedom, correction)
    result = Result(
        table,
        pairs.assign(**common, **counts)[list(PAIRS)],
        subjects.reset_index(drop=True),
        ceilings,
        settings,
        tuple(notes),
    )
    share = (weights > 0).mean(axis=(0, 1, 2)) if fit == "select" else np.nan
    return result, layers.names.assign(region=region, share=share)[
        ["region", "network", "layer", "layer_index", "depth", "share"]
    ]


def _observed(layers, data, splits, *options):
    """Return held-out similarities and weights of the observed data, block by block."""
    parts = [
        _held_out(layers, data, splits[start : start + _SPLITS], *options)
        for start in range(0, len(splits), _SPLITS)
    ]
    similarity = np.concatenate([similarities[0] for similarities, _ in parts])
    return similarity, np.concatenate([weights for _, weights in parts])


def _mean_defined(values: np.ndarray) -> np.ndarray:
    """Return means over the first axis of what is defined; NaN where nothing is."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values, 0.0).sum(axis=0) / defined.sum(axis=0)


def _network_names(layers: _Layers, fit: str) -> pd.DataFrame:
    """Return one row per flexible model."""
    return pd.DataFrame(
        {
            "network": [layers.names["network"].iloc[rows.start] for rows in layers.networks],
            "layer": FITS[fit],
            "layer_index": 0,
            "depth": np.nan,
        }
    )


def _largest(layers: _Layers, data: RDMs, fit: str, method: str) -> np.ndarray:
    """Return the largest similarity that ties allow each flexible model."""
    largest = []
    for rows in layers.networks:
        vectors = layers.vectors[rows]
        if fit != "select":
            # Unequal weights: what is tied in this sum is tied in any.
            vectors = (np.sqrt(np.arange(2, 2 + len(vectors))) @ vectors)[None]
        found = max_similarity(RDMs(vectors, data.conditions, "layers"), method=method)
        largest.append(np.nanmax(found) if not np.isnan(found).all() else np.nan)
    return np.array(largest)


# --- reweighted features -------------------------------------------------------------------------


def reweighted_similarity(
    patterns: np.ndarray,
    data: RDMs,
    *,
    conditions: Sequence[str],
    method: str = "pearson",
    n_folds: int = 5,
    penalties: Sequence[float] = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3),
    nonnegative: bool = False,
    by: str = "subject",
    groups: Mapping[str, object] | None = None,
    seed: int = 0,
) -> Reweighting:
    """Predict data RDMs by features (channels) of a layer, each with a weight of its own.

    Parameters
    ----------
    patterns : ndarray, shape (n_conditions, n_features)
        Activations of one layer.
    data : RDMs
        RDMs of one or more subjects over the same conditions, every pair measured.
    conditions : sequence of str
        Names of the rows of `patterns`.
    method : str, default "pearson"
        How predictions are compared with the data, also to choose the penalty.
    n_folds : int, default 5
        Folds of conditions, at least 2, of at least 3 conditions each.
    penalties : sequence of float, default 0.001 to 1000
        Ridge penalties to choose from, above 0, in units of the mean square of the centred
        feature dissimilarities, summed over features.
    nonnegative : bool, default False
        Whether weights must be at least 0 (at most 1000 features).
    by : str, default "subject"
        Label that tells subjects apart; several RDMs of one are averaged.
    groups : mapping of condition to group, optional
        Conditions of a group are in the same fold.
    seed : int, default 0
        Of the folds.

    Returns
    -------
    Reweighting

    Raises
    ------
    ConditionMismatchError
        If `conditions` and the data's conditions differ.
    InputError
        If patterns are not finite or of another shape, a pair is missing, there are too few
        conditions for the folds, or both features and pairs are too many to be solved.

    Notes
    -----
    The dissimilarity of conditions i and j is predicted as Σ_k w_k (x_ik − x_jk)² + w_0, with
    features z-scored over all conditions (constant ones are left out). The w minimise the squared
    error over the training pairs plus λ Σ w_k² (w_0 is free), as in feature-reweighted RSA [1]_;
    the target is the mean of the subjects' z-scored RDMs. λ = penalty · Σ_k var(D_k), over the
    training pairs, with D_k the feature's squared differences. For each fold of conditions the
    penalty is chosen by cross-validation within the training conditions, the weights are fitted to
    all pairs of training conditions, and the prediction is compared with every subject's pairs of
    test conditions: no condition is on both sides. Subjects are not held out.

    Where features outnumber pairs, the equivalent problem in the pairs is solved (kernel form).

    The paper [1]_ differs in details, among them how patterns are scaled and penalties chosen.

    References
    ----------
    .. [1] Kaniuth P., Hebart M. N. (2022). NeuroImage 257, 119294.
       doi:10.1016/j.neuroimage.2022.119294

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.inference.flexible import reweighted_similarity
    >>> x = np.random.default_rng(0).normal(size=(24, 10))
    >>> names = [f"image {i}" for i in range(24)]
    >>> data = rf.compute_rdms(x[:, :2], conditions=names, measure="sqeuclidean")
    >>> found = reweighted_similarity(x, data, conditions=names)
    >>> bool(found.similarity > 0.99), bool(found.unweighted < 0.7)
    (True, True)
    """
    check_choice(method, METHODS, what="comparison method")
    names = check_unique_names(conditions, what="condition")
    x = np.asarray(patterns, dtype=np.float64)
    if x.ndim != 2 or len(x) != len(names):
        raise InputError(
            f"expected patterns of shape ({len(names)}, n_features), one row per condition, got "
            f"{x.shape}."
        )
    if not np.isfinite(x).all():
        raise InputError(f"expected finite patterns, got {int((~np.isfinite(x)).sum())} that are "
                         "NaN or infinite.")  # fmt: skip
    penalties = np.asarray(list(penalties), dtype=np.float64)
    if not penalties.size or not (np.isfinite(penalties) & (penalties > 0)).all():
        raise InputError(f"expected penalties above 0, got {penalties.tolist()}.")
    subjects = subject_means(data.align(names), by)
    subjects, _ = _aligned(subjects, subjects)
    n_used = int((x.std(axis=0) > 0).sum())
    if not n_used:
        raise InputError("expected features that differ between conditions, got constant ones.")
    if nonnegative and n_used > 1000:
        raise InputError(f"expected at most 1000 features with nonnegative=True, got {n_used}.")
    if min(n_used, subjects.n_pairs) > _LARGEST_GRAM:
        raise InputError(
            f"expected at most {_LARGEST_GRAM} features or pairs, got {n_used} features and "
            f"{subjects.n_pairs} pairs. Reduce the features (principal components) first."
        )
    codes = _group_codes(groups, names)
    n_folds, _ = _check_folds(n_folds, codes, "subjects", "the data")
    rng = as_rng(seed)
    once = np.ones((1, len(names)))
    folds = _draw_folds(rng, once, codes, n_folds)[0]
    problem = _Ridge(x, subjects, penalties, nonnegative, method)
    rows = []
    for fold in range(n_folds):
        train, test = (np.flatnonzero(chosen) for chosen in (folds != fold, folds == fold))
        penalty = problem.choose(train, codes, n_folds, rng)
        fitted = problem.fit(train, [penalty])
        similarity, unweighted = problem.judge(fitted, test)
        rows.append((fold, len(train), len(test), penalty, similarity[0], unweighted))
    everything = np.arange(len(names))
    penalty = problem.choose(everything, codes, n_folds, rng)
    weights, constant = problem.fit(everything, [penalty])
    row, col = np.triu_indices(len(names), k=1)
    fitted = RDMs(
        problem.predict((weights, constant), row, col)[0], names, "reweighted, fitted to all data"
    )
    all_weights = np.zeros(x.shape[1])
    all_weights[problem.used] = weights[0]
    table = pd.DataFrame(
        rows, columns=["fold", "n_train", "n_test", "penalty", "similarity", "unweighted"]
    )
    return Reweighting(
        table, float(table["similarity"].mean()), float(table["unweighted"].mean()),
        float(penalty), all_weights, fitted,
    )  # fmt: skip


class _Ridge:
    """Ridge of pooled dissimilarities on squared differences of features."""

    def __init__(self, patterns, subjects: RDMs, penalties, nonnegative, method):
        spread = patterns.std(axis=0)
        self.used = spread > 0
        self.x = (patterns[:, self.used] - patterns[:, self.used].mean(axis=0)) / spread[self.used]
        self.subjects = subjects
        self.target = _standard(subjects.vectors).mean(axis=0)
        self.penalties, self.nonnegative, self.method = penalties, nonnegative, method
        self.matrix = np.zeros((len(patterns),) * 2)
        row, col = np.triu_indices(len(patterns), k=1)
        self.matrix[row, col] = self.matrix[col, row] = self.target

    def choose(self, train: np.ndarray, groups: np.ndarray, n_folds: int, rng) -> float:
        """Return the penalty with the highest mean similarity in folds of these conditions."""
        if len(self.penalties) == 1:
            return float(self.penalties[0])
        own = np.unique(groups[train], return_inverse=True)[1]
        per_fold = 3 if np.bincount(own).min() == 1 else 2
        n_folds = max(2, min(n_folds, (int(own.max()) + 1) // per_fold))
        folds = _draw_folds(rng, np.ones((1, len(train))), own, n_folds)[0]
        scores = [
            self.judge(self.fit(train[folds != f], self.penalties), train[folds == f])[0]
            for f in range(n_folds)
        ]
        scores = _mean_defined(np.array(scores))
        if np.isnan(scores).all():
            return float(self.penalties.max())
        # The largest of equally good ones.
        best = np.flatnonzero(scores == np.nanmax(scores))
        return float(self.penalties[best].max())

    def fit(self, train: np.ndarray, penalties) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (n_penalties, n_features) and constants, fitted to these conditions."""
        row, col = (train[i] for i in np.triu_indices(len(train), k=1))
        y = self.matrix[row, col]
        n_features = self.x.shape[1]
        mean = self._pairs_mean(row, col)
        centred = y - y.mean()
        if n_features <= len(row) or self.nonnegative:
            gram = np.zeros((n_features, n_features))
            right = np.zeros(n_features)
            for part in self._blocks(len(row), n_features):
                d = (self.x[row[part]] - self.x[col[part]]) ** 2 - mean
                gram += d.T @ d
                right += d.T @ centred[part]
            scale = np.trace(gram) / len(row)
            eye = np.eye(n_features)
            if self.nonnegative:
                from rsa_faces.inference._fits import nnls_gram

                stacked = np.stack([gram + p * scale * eye for p in penalties])
                target = np.tile(right, (len(stacked), 1, 1))
                weights = nnls_gram(stacked, target)[:, 0]
            else:
                weights = np.stack([_solve(gram + p * scale * eye, right) for p in penalties])
        else:
            gram = np.zeros((len(row), len(row)))
            for part in self._blocks(n_features, len(row)):
                d = (self.x[row, part] - self.x[col, part]) ** 2 - mean[part]
                gram += d @ d.T
            scale = np.trace(gram) / len(row)
            eye = np.eye(len(row))
            dual = np.stack([_solve(gram + p * scale * eye, centred) for p in penalties])
            weights = np.empty((len(penalties), n_features))
            for part in self._blocks(n_features, len(row)):
                d = (self.x[row, part] - self.x[col, part]) ** 2 - mean[part]
                weights[:, part] = dual @ d
        return weights, y.mean() - weights @ mean

    def predict(self, fitted, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Return predicted dissimilarities, (n_penalties, n_pairs)."""
        weights, constant = fitted
        parts = [
            weights @ ((self.x[row[part]] - self.x[col[part]]) ** 2).T
            for part in self._blocks(len(row), self.x.shape[1])
        ]
        return np.concatenate(parts, axis=1) + constant[:, None]

    def judge(self, fitted, test: np.ndarray) -> tuple[np.ndarray, float]:
        """Return mean similarities with the subjects, of each penalty and without weights."""
        row, col = (test[i] for i in np.triu_indices(len(test), k=1))
        n_features = self.x.shape[1]
        plain = self.predict((np.ones((1, n_features)), np.zeros(1)), row, col)
        predictions = np.vstack([self.predict(fitted, row, col), plain])
        conditions = [self.subjects.conditions[i] for i in test]
        similarity = weighted_similarities(
            predictions, self.subjects.subset(conditions).vectors, np.ones((1, len(test))),
            self.method,
        )[0]  # fmt: skip
        means = _mean_defined(similarity.T)
        return means[:-1], float(means[-1])

    def _pairs_mean(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Return the mean squared difference of each feature over pairs of these conditions."""
        members = np.union1d(row, col)
        n = len(members)
        return 2 * self.x[members].var(axis=0) * n / (n - 1)

    @staticmethod
    def _blocks(n: int, width: int) -> list[slice]:
        """Return slices of n whose arrays of this width stay within the memory."""
        step = max(1, _MEMORY // (8 * width))
        return [slice(start, start + step) for start in range(0, n, step)]


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve a positive definite system."""
    return cho_solve(cho_factor(matrix, overwrite_a=True), right)
