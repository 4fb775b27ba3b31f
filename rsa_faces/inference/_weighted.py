"""Similarities of resampled RDMs, without resampling anything.

A bootstrap sample of conditions is a vector of counts c. Its RDM holds the pair (i, j) c_i c_j
times, and no pair of a condition with its own copy. Every sum over pairs is then a weighted sum
over the original pairs, and the average rank of a pair in the resampled vector follows from the
cumulative weights in one fixed order. All functions below take weights of shape (n_samples,
n_pairs) and give exactly what resampling and comparing would give.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rsa_faces.comparison._ranks import dense_codes
from rsa_faces.comparison.methods import COV_METHODS, partial_correlations

# Samples handled together: as many as fit caches.
BLOCK, LINEAR_BLOCK = 32, 128
_MODELS = 16


def pair_weights(counts: np.ndarray) -> np.ndarray:
    """Return c_i c_j for the pairs of the upper triangle; counts (n_samples, n_conditions)."""
    row, col = np.triu_indices(counts.shape[1], k=1)
    return counts[:, row].astype(np.float64) * counts[:, col]


def weighted_similarities(
    model: np.ndarray,
    data: np.ndarray,
    counts: np.ndarray,
    method: str,
    given: np.ndarray | None = None,
) -> np.ndarray:
    """Return similarities of resampled RDMs, shape (n_samples, n_model, n_data).

    Parameters
    ----------
    model, data : ndarray, shape (n_model, n_pairs) and (n_data, n_pairs)
        NaN in `data` is a pair not measured.
    counts : ndarray, shape (n_samples, n_conditions)
        How often each condition is in each sample.
    method : str
        A comparison method.
    given : ndarray, shape (n_given, n_pairs), optional
        RDMs to regress out of both sides; nothing may be missing then.
    """
    if given is not None:
        sides = (np.vstack([side, given]) for side in (model, data))
        correlations = weighted_similarities(*sides, counts, method)
        return partial_correlations(correlations, len(given))
    if method in COV_METHODS:
        return _whitened(model, data, counts, centre=method == "corr_cov")
    weights = pair_weights(counts)
    missing = np.isnan(data)
    if not missing.any():
        return _SIMILARITIES[method](model, data, weights)
    similarity = np.empty((len(counts), len(model), len(data)))
    masks, group = np.unique(missing, axis=0, return_inverse=True)
    for i, mask in enumerate(masks):
        columns = np.flatnonzero(group == i)
        filled = np.where(mask, 0.0, data[columns])
        similarity[:, :, columns] = _SIMILARITIES[method](model, filled, weights * ~mask)
    return similarity


def weighted_ceilings(
    data: np.ndarray,
    counts: np.ndarray,
    *subjects: np.ndarray,
    method: str,
    given: np.ndarray | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return lower and upper noise ceilings of resampled data for each way to draw subjects.

    Parameters
    ----------
    data : ndarray, shape (n_subjects, n_pairs)
        One RDM per subject; NaN is a pair not measured.
    counts : ndarray, shape (n_samples, n_conditions) or (1, n_conditions)
        How often each condition is in each sample (or in all).
    *subjects : ndarray, shape (n_samples, n_subjects)
        How often each subject is in each sample. All copies of a subject leave together for the
        lower ceiling.
    method : str
        A comparison method.
    given : ndarray, shape (n_given, n_pairs), optional
        RDMs to regress out: the ceiling is that of what is left of each subject, scaled to the
        same variance and pooled as it is.

    Returns
    -------
    list of (lower, upper)
        Each of shape (n_samples,), one pair per element of `subjects`; `lower` is NaN where only
        one subject is left.
    """
    complete = not np.isnan(data).any()
    if given is not None or (method in _LINEAR and complete):
        if method in COV_METHODS:
            white, squares = _whitened_inner(data, data, counts, centre=method == "corr_cov")
            scale = np.sqrt(squares[0])
            between = white[0] / (scale[:, :, None] * scale[:, None, :])
        else:
            between = weighted_similarities(data, data, counts, method, given)
        return [_ceilings_from_inner_products(between, drawn) for drawn in subjects]
    if method in _RANKED and complete:
        return _ceilings_from_ranks(data, counts, subjects, method)
    return [_ceilings_from_pools(data, counts, drawn, method) for drawn in subjects]


def _ceilings_from_inner_products(
    between: np.ndarray, subjects: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return ceilings where the pool is a sum of scaled RDMs: their inner products tell all."""
    between = np.broadcast_to(between, (len(subjects), *between.shape[1:]))
    own = np.einsum("bss->bs", between)
    to_all = np.einsum("bst,bt->bs", between, subjects)
    norm = np.einsum("bs,bs->b", to_all, subjects)[:, None]
    norm_others = norm - 2 * subjects * to_all + subjects**2 * own
    alone = (subjects > 0).sum(axis=1) < 2
    with np.errstate(divide="ignore", invalid="ignore"):
        upper = to_all / np.sqrt(own * norm)
        lower = (to_all - subjects * own) / np.sqrt(own * norm_others)
    lower[alone] = np.nan
    return _mean_over(lower, subjects), _mean_over(upper, subjects)


def _ceilings_from_ranks(
    data: np.ndarray, counts: np.ndarray, subjects: tuple[np.ndarray, ...], method: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return ceilings of rank methods where every subject has every pair."""
    from rsa_faces.comparison._sort import sort_rows
    from rsa_faces.inference._kernels import pooled_sums, resampled_ranks

    sides = sort_rows(data)
    kendall = method in _KENDALL
    codes = dense_codes(data).astype(np.int32) if kendall else np.zeros(data.shape, np.int32)
    sums = [np.empty((len(drawn), 2, len(data), 3)) for drawn in subjects]
    totals = np.empty((len(counts), 1))
    for b, places, weights in _drawn_pairs(pair_weights(counts)):
        totals[b] = n = weights.sum()
        # Twice the ranks from 1, whole numbers: their sums are sorted digit by digit.
        ranks = resampled_ranks(*sides, places, weights)[0][:, :-1]
        doubled = (2 * ranks + (n + 1)).astype(np.int32)
        here = codes[:, places < len(weights) - 1] if kendall else codes[:, : len(weights) - 1]
        used = weights[:-1].astype(np.float64)
        for out, drawn in zip(sums, subjects, strict=True):
            for row in (b,) if len(counts) > 1 else range(len(drawn)):
                out[row] = pooled_sums(doubled, here, drawn[row].astype(np.int64), used, kendall)
    ceilings = []
    for out, drawn in zip(sums, subjects, strict=True):
        lower, upper = _finish(*out.transpose(3, 1, 0, 2), totals, method)
        ceilings.append((_mean_over(lower, drawn), _mean_over(upper, drawn)))
    return ceilings


def _ceilings_from_pools(
    data: np.ndarray, counts: np.ndarray, subjects: np.ndarray, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return ceilings from the pooled RDMs themselves: needed where pairs are missing."""
    counts = np.broadcast_to(counts, (len(subjects), counts.shape[1]))
    weights = pair_weights(counts)
    missing = np.isnan(data)
    present = np.where(missing, 0.0, 1.0)
    filled = np.where(missing, 0.0, data)
    scaled = np.stack(
        [_scaled(v, weights * p, method) * p for v, p in zip(filled, present, strict=True)],
        axis=1,
    )
    # (n_samples, n_pairs): sum and number of the subjects that have each pair
    total = np.einsum("bs,bsp->bp", subjects, scaled)
    number = subjects @ present
    ceilings = np.full((2, *subjects.shape), np.nan)
    for s in range(len(data)):
        rows = np.flatnonzero(subjects[:, s])
        share = subjects[rows, s, None]
        pools = (
            (total[rows] - share * scaled[rows, s], number[rows] - share * present[s]),
            (total[rows], number[rows]),
        )
        for which, (pool, count) in enumerate(pools):
            here = weights[rows] * present[s] * (count > 0)
            pooled = np.divide(pool, count, out=np.zeros_like(pool), where=count > 0)
            ceilings[which, rows, s] = _one_to_one(filled[s], pooled, here, method)
    return _mean_over(ceilings[0], subjects), _mean_over(ceilings[1], subjects)


def _mean_over(values: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """Return the mean over subjects, weighted by how often each is in the sample."""
    used = subjects > 0
    return np.where(used, values * subjects, 0.0).sum(axis=1) / subjects.sum(axis=1)


def _scaled(vector: np.ndarray, weights: np.ndarray, method: str) -> np.ndarray:
    """Return one RDM per sample, scaled as the method's pooling wants, (n_samples, n_pairs)."""
    if method in _RANKED:
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
    if method in _CORRELATED_RANKS:
        x, y = _ranks(own, weights), _ranks(pooled, weights)
        return _of_scores(x, y, weights, method)
    total = weights.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = (
            v - (weights * v).sum(axis=1, keepdims=True) / total if method == "pearson" else v
            for v in (np.broadcast_to(own, pooled.shape), pooled)
        )
    return _of_scores(x, y, weights, method)


def _of_scores(x: np.ndarray, y: np.ndarray, weights: np.ndarray, method: str) -> np.ndarray:
    """Return similarities row by row of centred ranks or values, (n_samples,)."""
    sums = [np.einsum("bp,bp,bp->b", weights, a, b) for a, b in ((x, y), (x, x), (y, y))]
    return _finish(*sums, weights.sum(axis=1), method)


def _finish(xy, xx, yy, n, method) -> np.ndarray:
    """Turn sums into a similarity; NaN where a side is constant (no squares, no untied pairs)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if method == "rho-a":
            similarity = xy * 12.0 / (n**3 - n)
        elif method == "tau-a":
            similarity = xy / (n * (n - 1) / 2)
        else:
            similarity = xy / np.sqrt(xx * yy)
        return np.where((xx <= 0) | (yy <= 0), np.nan, similarity)


def _linear(model: np.ndarray, data: np.ndarray, weights: np.ndarray, method: str) -> np.ndarray:
    """Pearson or cosine under weights, from matrix products of weights and products of RDMs."""
    # Centring and scaling once leaves Pearson as it is and spares digits in the sums below.
    model, data = (_standard(v) if method == "pearson" else v for v in (model, data))
    n = weights.sum(axis=1)
    xx, yy = (weights @ (v**2).T for v in (model, data))
    xy = _weighted_products(model, data, weights)
    if method == "pearson":
        x, y = weights @ model.T, weights @ data.T
        xy -= x[:, :, None] * y[:, None, :] / n[:, None, None]
        xx = _positive(xx - x**2 / n[:, None], xx)
        yy = _positive(yy - y**2 / n[:, None], yy)
    return _finish(xy, xx[:, :, None], yy[:, None, :], n[:, None, None], method)


def _weighted_products(model: np.ndarray, data: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return Σ w x y of all samples, models and data, by the way with the smaller copies."""
    if len(model) <= len(weights):
        products = (model[:, None, :] * data).reshape(-1, model.shape[1])
        return (weights @ products.T).reshape(len(weights), len(model), len(data))
    return np.stack([(weights * y) @ model.T for y in data], axis=2)


def _positive(difference: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return 0 where what is left of a sum of squares is rounding: the RDM is constant there."""
    return np.where(difference > 1e-13 * of, difference, 0.0)


def _standard(vectors: np.ndarray) -> np.ndarray:
    """Return rows with mean 0 and variance 1; constant rows become 0."""
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    centred[(vectors == vectors[:, :1]).all(axis=1)] = 0.0
    scale = np.sqrt((centred**2).mean(axis=1, keepdims=True))
    return centred / np.where(scale > 0, scale, 1.0)


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


def _rank_correlation(
    model: np.ndarray, data: np.ndarray, weights: np.ndarray, method: str
) -> np.ndarray:
    """Spearman or rho-a under weights."""
    from rsa_faces.comparison._sort import sort_rows
    from rsa_faces.inference._kernels import resampled_ranks

    sides = [sort_rows(side) for side in (model, data)]
    xy = np.empty((len(weights), len(model), len(data)))
    xx, yy = np.empty(xy.shape[:2]), np.empty((len(weights), len(data)))
    for b, places, drawn in _drawn_pairs(weights):
        y, yy[b] = resampled_ranks(*sides[1], places, drawn)
        y *= drawn
        for start in range(0, len(model), _MODELS):
            part = slice(start, start + _MODELS)
            x, xx[b, part] = resampled_ranks(*(s[part] for s in sides[0]), places, drawn)
            xy[b, part] = x @ y.T
    n = weights.sum(axis=1)
    return _finish(xy, xx[:, :, None], yy[:, None, :], n[:, None, None], method)


def _drawn_pairs(weights: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield each sample, where each pair is among those drawn, and the weights of these.

    Pairs that were not drawn share a last place of weight 0.
    """
    for b, w in enumerate(weights):
        drawn = np.flatnonzero(w)
        places = np.full(len(w), len(drawn), dtype=np.int32)
        places[drawn] = np.arange(len(drawn))
        yield b, places, np.append(w[drawn], 0).astype(np.int64)


def _kendall(model: np.ndarray, data: np.ndarray, weights: np.ndarray, method: str) -> np.ndarray:
    """tau-a or tau-b under weights; copies of one entry are ties."""
    from rsa_faces.comparison._kendall import kendall_sums

    sums, *untied = kendall_sums(model, data, weights)
    n = weights.sum(axis=1)
    return _finish(
        sums.astype(float), untied[0][:, :, None], untied[1][:, None, :], n[:, None, None], method
    )


def _whitened(
    model: np.ndarray, data: np.ndarray, counts: np.ndarray, *, centre: bool
) -> np.ndarray:
    """cosine_cov or corr_cov under weights."""
    (xy, xx, yy), _ = _whitened_inner(model, data, counts, centre=centre)
    return _finish(xy, xx[:, :, None], yy[:, None, :], None, "cosine")


def _whitened_inner(model: np.ndarray, data: np.ndarray, counts: np.ndarray, *, centre: bool):
    """Return (xᵀV⁻¹y, xᵀV⁻¹x, yᵀV⁻¹y) and (xᵀx, yᵀy) in every resample.

    V restricted to the pairs of a resample is A Aᵀ + 2 I, with A the incidence of its pairs and
    positions. V⁻¹ x is the same for all copies of a condition, so the system to solve has one
    unknown per condition: (diag(g) + 1 cᵀ) u = r, g = n + 2 − 2c, r the row sums of x.
    """
    weights = pair_weights(counts)
    counts = counts.astype(np.float64)
    n_conditions = counts.shape[1]
    total = counts.sum(axis=1, keepdims=True)
    share = counts / (total + 2 - 2 * counts)
    gamma = 1 + share.sum(axis=1)
    row, col = np.triu_indices(n_conditions, k=1)
    n = weights.sum(axis=1)

    def row_sums(vectors: np.ndarray, mean: np.ndarray) -> np.ndarray:
        square = np.zeros((len(vectors), n_conditions, n_conditions))
        square[:, row, col] = square[:, col, row] = vectors
        sums = (counts @ square).transpose(1, 0, 2)
        return sums - mean[:, :, None] * (total - counts)[:, None, :]

    if centre:
        model, data = _standard(model), _standard(data)
    means = [weights @ v.T / n[:, None] * centre for v in (model, data)]
    xy = _weighted_products(model, data, weights)
    xy -= means[0][:, :, None] * means[1][:, None, :] * n[:, None, None]
    squares = [weights @ (v**2).T for v in (model, data)]
    squares = [_positive(q - n[:, None] * m**2, q) for q, m in zip(squares, means, strict=True)]
    rows = [row_sums(v, m) for v, m in zip((model, data), means, strict=True)]
    once = [np.einsum("bmk,bk->bm", r, share) for r in rows]
    across = (rows[0] * share[:, None, :]) @ rows[1].transpose(0, 2, 1)
    white = xy - across + once[0][:, :, None] * once[1][:, None, :] / gamma[:, None, None]
    selves = [
        _positive(q - np.einsum("bmk,bk,bmk->bm", r, share, r) + o**2 / gamma[:, None], q)
        for q, r, o in zip(squares, rows, once, strict=True)
    ]
    return (white / 2, selves[0] / 2, selves[1] / 2), squares


_LINEAR = frozenset({"pearson", "cosine"}) | COV_METHODS
_KENDALL = frozenset({"kendall", "tau-a"})
_CORRELATED_RANKS = frozenset({"spearman", "rho-a"})
_RANKED = _CORRELATED_RANKS | _KENDALL
_SIMILARITIES = {
    "pearson": lambda m, d, w: _linear(m, d, w, "pearson"),
    "cosine": lambda m, d, w: _linear(m, d, w, "cosine"),
    "spearman": lambda m, d, w: _rank_correlation(m, d, w, "spearman"),
    "rho-a": lambda m, d, w: _rank_correlation(m, d, w, "rho-a"),
    "kendall": lambda m, d, w: _kendall(m, d, w, "kendall"),
    "tau-a": lambda m, d, w: _kendall(m, d, w, "tau-a"),
}
