"""Held-out similarities of fitted models: layers, folds, fits and what they predict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.numbers import best_index
from rsa_faces._kernels.choice import call
from rsa_faces._kernels.fits import nnls
from rsa_faces.comparison import METHODS, Method, resolve
from rsa_faces.comparison._forms import pair_weights, standard
from rsa_faces.inference._design import Units
from rsa_faces.inference._region import model_names
from rsa_faces.inference._study import Study, pairs_of
from rsa_faces.inference._subjects import check_known
from rsa_faces.inference._weighted import weighted_similarities
from rsa_faces.rdm import RDMs
from rsa_faces.rdm._rdms import pair_index

_RANK_BLOCK = 16
MEMORY = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Layers:
    """Layer RDMs of all networks in one array, one network after the other."""

    vectors: np.ndarray
    starts: np.ndarray
    names: pd.DataFrame

    @property
    def networks(self) -> list[slice]:
        """The rows of each network."""
        return [slice(a, b) for a, b in zip(self.starts[:-1], self.starts[1:], strict=True)]


@dataclass(frozen=True, eq=False)
class Splits:
    """Counts and folds of every repetition of the cross-validation, (n_splits, n_items).

    `subjects` holds counts and folds of one or more ways to draw subjects for the same conditions;
    `compiled` says whether there are so many that compiling loops pays.
    """

    counts: np.ndarray
    folds: np.ndarray
    subjects: tuple[tuple[np.ndarray, np.ndarray], ...]
    compiled: bool = False

    def __getitem__(self, part: slice) -> Splits:
        subjects = tuple((counts[part], folds[part]) for counts, folds in self.subjects)
        return Splits(self.counts[part], self.folds[part], subjects, self.compiled)

    def __len__(self) -> int:
        return len(self.counts)


def layers_of(
    model: RDMs, by_model: str, method: str | Method, used: np.ndarray
) -> tuple[Layers, np.ndarray]:
    """Return layers scaled for the method, network after network, and what they were divided by.

    `used` says which pairs count, (n_pairs,); layers are 0 at the others.
    """
    method = resolve(method)
    labels = model.labels
    check_choice(by_model, labels.columns, what="label that tells flexible models apart")
    check_known(by_model, labels[by_model].isna(), "model RDM")
    names = model_names(model).assign(network=labels[by_model].astype(str))
    networks = list(dict.fromkeys(names["network"]))
    index = names["layer_index"].to_numpy()
    order = []
    for network in networks:
        rows = np.flatnonzero(names["network"] == network)
        order.append(rows[np.argsort(index[rows], kind="stable")])
    starts = np.cumsum([0, *map(len, order)])
    order = np.concatenate(order)
    vectors, scaled = model.vectors[order][:, used], np.zeros((len(order), len(used)))
    scale = _scale(np.sqrt((vectors**2).mean(axis=1)))
    scaled[:, used] = vectors / scale[:, None]
    if _linear_part(method).centres:
        scaled[:, used], scale = standard(vectors), _scale(vectors.std(axis=1))
    return Layers(scaled, starts, names.iloc[order].reset_index(drop=True)), scale


def _scale(spread: np.ndarray) -> np.ndarray:
    """Return what to divide by: 1 where there is nothing."""
    return np.where(spread > 0, spread, 1.0)


def _linear_part(method: Method) -> Method:
    """Return the method by whose sums of products weights are fitted."""
    return method if method.linear else METHODS["pearson"]


def check_folds(n_folds: int, units: Units, drawn: bool, where: str) -> int:
    """Return the fewest groups a sample must hold in a run, if there are enough for the folds."""
    check_count(n_folds, what="n_folds", low=2)
    smallest = int(np.bincount(units.groups).min())
    per_fold = 3 if smallest == 1 else 2
    what = "conditions" if smallest == 1 else "groups of conditions"
    for name, run in zip(units.names, units.runs, strict=True):
        n_groups = len(np.unique(units.groups[run]))
        # Of n conditions a bootstrap sample holds about 63 %.
        expected = (1 - np.exp(-1)) * n_groups if drawn else n_groups
        if n_folds * per_fold > expected:
            held = f"{n_groups}"
            if drawn:
                held += f", of which a bootstrap sample holds about {expected:.0f}"
            place = where if len(units.names) == 1 else f"run {name!r} of {where}"
            raise InputError(
                f"expected at least {n_folds * per_fold} distinct {what} in {place} for {n_folds} "
                f"folds of at least {per_fold}, got {held}. Use fewer folds, or more conditions."
            )
    return n_folds * per_fold


def draw_folds(rng, counts: np.ndarray, units: Units, n_folds: int) -> np.ndarray:
    """Return the fold of each condition, -1 where it is not in the sample.

    Whole groups, and folds of equal size, in each run (if no group is in several).
    """
    first = np.unique(units.groups, return_index=True)[1]
    drawn, strata = counts[:, first] > 0, units.strata
    # Groups that were not drawn sort behind all that were, and get no fold.
    keys = np.where(drawn, rng.random(drawn.shape), 2.0)
    rank = np.empty(drawn.shape, int)
    for stratum in range(int(strata.max()) + 1):
        own = strata == stratum
        # Ranks of random numbers, modulo the folds: folds of a run differ by one group at most.
        rank[:, own] = np.argsort(np.argsort(keys[:, own], axis=1), axis=1)
    return np.where(drawn, rank % n_folds, -1)[:, units.groups]


def fold_weights(
    layers: Layers,
    data: np.ndarray,
    splits: Splits,
    units: Units,
    fit: str,
    method: Method,
    n_folds: int,
    n_subject_folds: int,
) -> np.ndarray:
    """Fit all networks with each fold of conditions and of subjects left out.

    Returns weights of the scaled layers, (n_splits, n_folds, n_subject_folds, n_layers), the
    folds of all ways to draw subjects one after the other; NaN where no layer of a network differs
    between the training pairs. In runs, what is most similar to the data of all of them together,
    each centred and scaled on its own.
    """
    fold = np.arange(n_folds)[None, :, None]
    # A sample holds a condition several times: all its copies are in one fold, or it would be
    # tested on itself.
    train = np.where(splits.folds[:, None] != fold, splits.counts[:, None], 0.0)
    train = train.reshape(-1, train.shape[2])
    subjects = np.concatenate(
        [training_subjects(*drawn, n_subject_folds) for drawn in splits.subjects], axis=1
    )
    shape = (len(splits), n_folds, subjects.shape[1], len(layers.vectors))
    # Ranks have no products that a mean over subjects could be taken of before they are compared.
    if fit == "select" and not (method.linear and len(units.names) == 1):
        study = Study(layers.vectors, data, method, units)
        similarity = np.concatenate(
            [
                study.similarities(train[i : i + _RANK_BLOCK])
                for i in range(0, len(train), _RANK_BLOCK)
            ]
        ).reshape(*shape[:2], shape[3], len(data))
        pooled = _pooled(similarity, subjects)
        return np.concatenate([_one_hot(pooled[..., rows]) for rows in layers.networks], axis=-1)
    sums: list[list[Any]] = [[0.0, 0.0] for _ in layers.networks]
    for run in units.runs:
        pairs = pairs_of(run, len(units.groups))
        here = replace(layers, vectors=layers.vectors[:, pairs]), data[:, pairs], train[:, run]
        products = _inner_products(*here, _linear_part(method))
        for total, (xx, xy, yy, plain) in zip(sums, products, strict=True):
            # Subjects count as the method pools them, by the length of their RDM in this sample.
            length = np.sqrt(yy if fit == "select" else plain)
            total[0] = total[0] + xx
            total[1] = total[1] + xy / np.where(length > 0, length, np.inf)[:, None, :]
    weights = np.empty(shape)
    for rows, (gram, target) in zip(layers.networks, sums, strict=True):
        size = rows.stop - rows.start
        pooled = _pooled(target.reshape(*shape[:2], size, -1), subjects)
        square = gram.reshape(*shape[:2], size, size)
        if fit == "nnls":
            weights[..., rows] = _fit_nnls(square, pooled, compiled=splits.compiled)
        elif fit == "interpolation":
            weights[..., rows] = _fit_interpolation(square, pooled)
        else:
            weights[..., rows] = _one_hot(_single_scores(square, pooled))
    return weights


def training_subjects(counts: np.ndarray, folds: np.ndarray, n_folds: int) -> np.ndarray:
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


def _inner_products(layers: Layers, data: np.ndarray, counts: np.ndarray, method: Method):
    """Return (xᵀx, xᵀy, yᵀy, yᵀy not whitened) of each network in every training sample.

    Shapes (n, n_layers, n_layers), (n, n_layers, n_subjects) and twice (n, n_subjects). Layers
    that are constant in a sample have zeros.
    """
    if method.whitened:
        return [
            _whitened_products(layers.vectors[rows], data, counts, method)
            for rows in layers.networks
        ]
    centre = method.centres
    y = standard(data) if centre else data
    row, col = np.triu_indices(counts.shape[1], k=1)
    upper = [np.triu_indices(s.stop - s.start) for s in layers.networks]
    n_subjects = len(data)
    columns = max(
        len(u[0]) + (s.stop - s.start) * n_subjects
        for u, s in zip(upper, layers.networks, strict=True)
    )
    step = max(1, MEMORY // (8 * (columns + len(counts))))
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
    centred = own - mean_y**2 / total[:, None]
    own = np.where(centred > 1e-12 * own, centred, 0.0)  # what is below is rounding
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


def _whitened_products(vectors: np.ndarray, data: np.ndarray, counts: np.ndarray, method: Method):
    """Return what :func:`_inner_products` does for one network, whitened."""
    size = len(vectors)
    # A method of `_linear_part` has inner products.
    (white, _, own), squares = method.inner(  # type: ignore[misc]
        vectors, np.vstack([vectors, data]), counts
    )
    own_layers = own[:, :size] > 0
    raw = np.where(own_layers, 0.0, np.inf)
    return (
        *_without_constant(white[:, :, :size].copy(), white[:, :, size:], raw),
        own[:, size:],
        squares[1][:, size:],
    )


def _without_constant(square: np.ndarray, across: np.ndarray, raw: np.ndarray):
    """Return inner products with zeros for layers that are constant in a sample."""
    # A layer that is the same for all conditions of a sample has a variance of 0 but for rounding,
    # and scaling by that would make a perfect predictor of noise.
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
    best = best_index(scores)[..., None]
    weights = np.zeros(scores.shape)
    np.put_along_axis(weights, best, 1.0, axis=-1)
    weights[np.isnan(scores).all(axis=-1)] = np.nan
    return weights


def _fit_nnls(gram: np.ndarray, target: np.ndarray, *, compiled: bool) -> np.ndarray:
    """Return the weights ≥ 0 of the prediction most similar to the target."""
    size = gram.shape[-1]
    weights = nnls(
        gram.reshape(-1, size, size), target.reshape(-1, *target.shape[2:]), compiled=compiled
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
    # Cramer's rule for the two weights of the best mixture, of all pairs of neighbours at once.
    first, second = target[..., :-1], target[..., 1:]
    a = diagonal[..., 1:] * first - beside * second
    b = diagonal[..., :-1] * second - beside * first
    length = a**2 * diagonal[..., :-1] + 2 * a * b * beside + b**2 * diagonal[..., 1:]
    determinant = diagonal[..., :-1] * diagonal[..., 1:] - beside**2
    # Both weights above 0, as a mixture has them; and two neighbours that are the same layer but
    # for rounding have no best mixture: the determinant is 1 - r², times both squares.
    inside = (a > 0) & (b > 0) & (determinant > 1e-12 * diagonal[..., :-1] * diagonal[..., 1:])
    score = np.full(a.shape, -np.inf)
    np.divide(a * first + b * second, np.sqrt(np.maximum(length, 0)), out=score, where=inside)
    best = best_index(score)[..., None]
    highest = np.take_along_axis(score, best, axis=-1)[..., 0]
    alone = np.where(np.isnan(single), -np.inf, single).max(axis=-1)
    mixed = np.zeros(target.shape)
    np.put_along_axis(mixed, best, np.take_along_axis(a, best, axis=-1), axis=-1)
    np.put_along_axis(mixed, best + 1, np.take_along_axis(b, best, axis=-1), axis=-1)
    # A mixture that is no better than a layer alone is that layer: rounding must not decide it.
    better = highest > alone
    weights[better] = mixed[better] / mixed[better].sum(axis=-1, keepdims=True)
    return weights


def held_out_means(layers, data, splits, units, fit, method, n_folds, n_subject_folds):
    """Return held-out similarities, (n_splits, n_folds, n_networks + 2, n_subjects), and weights.

    One array of similarities for each way to draw subjects; means over runs, NaN for folds with
    fewer than 3 conditions in one.
    """
    weights = fold_weights(layers, data, splits, units, fit, method, n_folds, n_subject_folds)
    compare, code = held_out_plain, method
    if splits.compiled and method.code is not None:
        from rsa_faces._kernels._fits_loops import held_out_similarities

        compare, code = partial(call, held_out_similarities), method.code
    ways = list(zip(np.split(weights, len(splits.subjects), axis=2), splits.subjects, strict=True))
    totals: list[Any] = [0.0] * len(ways)
    for run in units.runs:
        pairs = pairs_of(run, len(units.groups))
        # The compiled loop is for rows that lie one after the other in memory.
        sides = [np.take(v, pairs, axis=1) for v in (layers.vectors, data)]
        conditions = tuple(np.take(v, run, axis=1) for v in (splits.counts, splits.folds))
        small = np.array([((conditions[1] == f).sum(axis=1) < 3) for f in range(n_folds)]).T
        for way, (fitted, drawn) in enumerate(ways):
            of_run = compare(sides[0], layers.starts, fitted, sides[1], conditions, drawn, code)
            of_run[small] = np.nan
            totals[way] = totals[way] + of_run / len(units.names)
    return totals, weights


def held_out_plain(
    layers, starts, weights, data, conditions, subjects, method: Method
) -> np.ndarray:
    """Do what :func:`rsa_faces._kernels._fits_loops.held_out_similarities` does, for every method.

    Its arguments, but the method itself for its number in the compiled loops.
    """
    (counts, folds), (subject_counts, subject_folds) = conditions, subjects
    n_splits, n_folds, n_subject_folds, _ = weights.shape
    n_networks, n_conditions = len(starts) - 1, counts.shape[1]
    result = np.full((n_splits, n_folds, n_networks + 2, len(data)), np.nan)
    for t, f in np.ndindex(n_splits, n_folds):
        members = np.flatnonzero((folds[t] == f) & (counts[t] > 0))
        row, col = np.triu_indices(len(members), k=1)
        pairs = pair_index(members[row], members[col], n_conditions)
        here, own, drawn = layers[:, pairs], data[:, pairs], counts[t, members][None]
        # Ceilings are of the test pairs only, pooled there: those of all pairs would be another
        # question.
        scaled = np.nan_to_num(method.pooling(own, np.tile(pair_weights(drawn), (len(own), 1))))
        share = subject_counts[t]
        for g in range(n_subject_folds):
            tested = np.flatnonzero((subject_folds[t] == g) & (share > 0))
            if not len(tested):
                continue
            fitted = [
                weights[t, f, g, a:b] @ here[a:b] for a, b in zip(starts, starts[1:], strict=False)
            ]
            train = np.where(subject_folds[t] == g, 0, share)
            # Nobody but the tested subject: there is no ceiling.
            of_others = train @ scaled if train.any() else np.full(len(pairs), np.nan)
            models = np.stack([*fitted, of_others, share @ scaled])
            known = np.flatnonzero(np.isfinite(models).all(axis=1))
            result[t, f, known[:, None], tested] = weighted_similarities(
                models[known], own[tested], drawn, method
            )[0]
    return result
