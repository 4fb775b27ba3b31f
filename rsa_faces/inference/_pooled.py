"""Noise ceilings of resampled RDMs: each subject with the pooled RDM of the others and of all.

As in `_weighted`, a resample of conditions is a vector of counts, and nothing is resampled.
"""

from __future__ import annotations

import numpy as np

from rsa_faces._kernels.ranks import dense_codes
from rsa_faces.comparison.methods import COV_METHODS, RANK_METHODS
from rsa_faces.inference._weighted import (
    _KENDALL,
    _drawn_pairs,
    _finish,
    _kendall,
    _whitened_inner,
    pair_weights,
    weighted_similarities,
)


def subject_ceilings(
    data: np.ndarray, counts: np.ndarray, method: str, given: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return each subject's share in the lower and upper noise ceiling of resampled data.

    Parameters
    ----------
    data : ndarray, shape (n_subjects, n_pairs)
        One RDM per subject; NaN is a pair not measured.
    counts : ndarray, shape (n_samples, n_conditions)
        How often each condition is in each sample.
    method : str
        A comparison method.
    given : ndarray, shape (n_given, n_pairs), optional
        RDMs to regress out: the ceiling is that of what is left of each subject, scaled to the
        same variance and pooled as it is.

    Returns
    -------
    lower, upper : ndarray, shape (n_samples, n_subjects)
        Similarity with the pooled others, NaN with one subject, and with everyone's pool.
    """
    complete = not np.isnan(data).any()
    if given is None and not complete:
        lower, upper = _from_pools(data, counts, method)
    elif given is None and method in RANK_METHODS:
        lower, upper = _from_ranks(data, counts, method)
    else:
        lower, upper = _from_inner_products(data, counts, method, given)
    return (np.full_like(lower, np.nan) if len(data) == 1 else lower), upper


def _from_inner_products(data, counts, method, given) -> tuple[np.ndarray, np.ndarray]:
    """Where the pool is a sum of scaled RDMs, their inner products tell all."""
    if method in COV_METHODS:
        white, squares = _whitened_inner(data, data, counts, centre=method == "corr_cov")
        scale = np.sqrt(squares[0])
        between = white[0] / (scale[:, :, None] * scale[:, None, :])
    else:
        between = weighted_similarities(data, data, counts, method, given)
    own = np.einsum("bss->bs", between)
    to_all = between.sum(axis=2)
    norm = to_all.sum(axis=1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        upper = to_all / np.sqrt(own * norm)
        return (to_all - own) / np.sqrt(own * (norm - 2 * to_all + own)), upper


def _from_ranks(data, counts, method) -> tuple[np.ndarray, np.ndarray]:
    """Where every subject has every pair: whole numbers in compiled loops."""
    from rsa_faces._kernels.resampled import pooled_sums, resampled_ranks
    from rsa_faces._kernels.sort import sort_rows

    sides = sort_rows(data)
    by_order = method in _KENDALL
    codes = dense_codes(data).astype(np.int32) if by_order else np.zeros(data.shape, np.int32)
    sums = np.empty((len(counts), 2, len(data), 3))
    totals = np.empty((len(counts), 1))
    for b, places, weights in _drawn_pairs(pair_weights(counts)):
        totals[b] = n = weights.sum()
        # Twice the ranks from 1, whole numbers: their sums are sorted digit by digit.
        ranks = resampled_ranks(*sides, places, weights)[0][:, :-1]
        doubled = (2 * ranks + (n + 1)).astype(np.int32)
        here = codes[:, places < len(weights) - 1] if by_order else codes[:, : len(weights) - 1]
        sums[b] = pooled_sums(doubled, here, weights[:-1].astype(np.float64), by_order)
    lower, upper = _finish(*sums.transpose(3, 1, 0, 2), totals, method)
    return lower, upper


def _from_pools(data, counts, method) -> tuple[np.ndarray, np.ndarray]:
    """Where pairs are missing: from the pooled RDMs themselves, over those that have each pair."""
    weights = pair_weights(counts)
    missing = np.isnan(data)
    present = np.where(missing, 0.0, 1.0)
    filled = np.where(missing, 0.0, data)
    scaled = np.stack(
        [_scaled(v, weights * p, method) * p for v, p in zip(filled, present, strict=True)],
        axis=1,
    )
    total, number = scaled.sum(axis=1), present.sum(axis=0)
    ceilings = np.full((2, len(counts), len(data)), np.nan)
    for s in range(len(data)):
        pools = (total - scaled[:, s], number - present[s]), (total, number)
        for which, (pool, count) in enumerate(pools):
            here = weights * present[s] * (count > 0)
            pooled = np.divide(pool, count, out=np.zeros_like(pool), where=count > 0)
            ceilings[which, :, s] = _one_to_one(filled[s], pooled, here, method)
    return ceilings[0], ceilings[1]


def _scaled(vector: np.ndarray, weights: np.ndarray, method: str) -> np.ndarray:
    """Return one RDM per sample, scaled as the method's pooling wants, (n_samples, n_pairs)."""
    if method in RANK_METHODS:
        # From 1, as they are pooled: where pairs are missing, the mean rank differs.
        return _ranks(vector, weights) + (weights.sum(axis=1, keepdims=True) + 1) / 2
    total = weights.sum(axis=1, keepdims=True)
    centred = vector - (weights @ vector)[:, None] / total if method == "pearson" else vector
    with np.errstate(divide="ignore", invalid="ignore"):
        return centred / np.sqrt((weights * centred**2).sum(axis=1, keepdims=True) / total)


def _one_to_one(own: np.ndarray, pooled: np.ndarray, weights: np.ndarray, method: str):
    """Return the similarity of one subject and each sample's pooled RDM, (n_samples,)."""
    if method in _KENDALL:
        return np.array(
            [
                _kendall(own[None], pool[None], w[None], method)[0, 0, 0]
                for pool, w in zip(pooled, weights, strict=True)
            ]
        )
    if method in RANK_METHODS:
        x, y = _ranks(own, weights), _ranks(pooled, weights)
    else:
        total = weights.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            x, y = (
                v - (weights * v).sum(axis=1, keepdims=True) / total if method == "pearson" else v
                for v in (np.broadcast_to(own, pooled.shape), pooled)
            )
    sums = [np.einsum("bp,bp,bp->b", weights, a, b) for a, b in ((x, y), (x, x), (y, y))]
    return _finish(*sums, weights.sum(axis=1), method)


def _ranks(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return centred average ranks of one RDM, or of one for each sample, (n_samples, n_pairs)."""
    vectors = np.broadcast_to(vectors, weights.shape)
    order = np.argsort(vectors, axis=1)
    values = np.take_along_axis(vectors, order, axis=1)
    ordered = np.take_along_axis(weights, order, axis=1)
    new = np.ones(vectors.shape, dtype=bool)
    new[:, 1:] = values[:, 1:] != values[:, :-1]
    # All samples in one line: groups of equal values, never across samples.
    starts = np.flatnonzero(new)
    grouped = np.add.reduceat(ordered.ravel(), starts)
    ranks = np.cumsum(grouped) - (grouped - 1) / 2
    lengths = np.diff(np.append(starts, new.size))
    before = np.cumsum(weights.sum(axis=1)) - weights.sum(axis=1)
    middle = before + (weights.sum(axis=1) + 1) / 2
    ordered = np.repeat(ranks, lengths).reshape(vectors.shape) - middle[:, None]
    result = np.empty_like(ordered)
    np.put_along_axis(result, order, ordered, axis=1)
    return result
