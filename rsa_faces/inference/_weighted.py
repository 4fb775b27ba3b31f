"""Similarities of resampled RDMs, without resampling anything.

A bootstrap sample of conditions is a vector of counts c. Its RDM holds the pair (i, j) c_i c_j
times, and no pair of a condition with its own copy. Every sum over pairs is then a weighted sum
over the original pairs, and the average rank of a pair in the resampled vector follows from the
cumulative weights in one fixed order. All functions below take weights of shape (n_samples,
n_pairs) and give exactly what resampling and comparing would give.
"""

from __future__ import annotations

import numpy as np

from rsa_faces.comparison.methods import COV_METHODS

# Samples handled together. Fixed, so that results do not depend on memory or processors.
BLOCK = 32
_MODELS = 32


def pair_weights(counts: np.ndarray) -> np.ndarray:
    """Return c_i c_j for the pairs of the upper triangle; counts (n_samples, n_conditions)."""
    row, col = np.triu_indices(counts.shape[1], k=1)
    return counts[:, row].astype(np.float64) * counts[:, col]


def weighted_similarities(
    model: np.ndarray, data: np.ndarray, counts: np.ndarray, method: str
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
    """
    if method in COV_METHODS:
        return _whitened(model, data, counts, centre=method == "corr_cov")
    weights = pair_weights(counts)
    missing = np.isnan(data)
    similarity = np.empty((len(counts), len(model), len(data)))
    masks, group = np.unique(missing, axis=0, return_inverse=True)
    for i, mask in enumerate(masks):
        columns = np.flatnonzero(group == i)
        masked = weights if not mask.any() else weights * ~mask
        filled = np.where(mask, 0.0, data[columns])
        similarity[:, :, columns] = _SIMILARITIES[method](model, filled, masked)
    return similarity


def weighted_ceilings(
    data: np.ndarray, counts: np.ndarray, subjects: np.ndarray, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper noise ceilings of resampled data, each of shape (n_samples,).

    Parameters
    ----------
    data : ndarray, shape (n_subjects, n_pairs)
        One RDM per subject; NaN is a pair not measured.
    counts : ndarray, shape (n_samples, n_conditions)
        How often each condition is in each sample.
    subjects : ndarray, shape (n_samples, n_subjects)
        How often each subject is in each sample. All copies of a subject leave together for the
        lower ceiling. NaN where only one subject is left.
    method : str
        A comparison method.
    """
    if len(counts) == 1:
        counts = np.broadcast_to(counts, (len(subjects), counts.shape[1]))
    if method in _LINEAR and not np.isnan(data).any():
        distinct = counts if len(np.unique(counts, axis=0)) > 1 else counts[:1]
        if method in COV_METHODS:
            white, squares = _whitened_inner(data, data, distinct, centre=method == "corr_cov")
            scale = np.sqrt(squares[0])
            between = white[0] / (scale[:, :, None] * scale[:, None, :])
        else:
            between = weighted_similarities(data, data, distinct, method)
        between = np.broadcast_to(between, (len(subjects), *between.shape[1:]))
        return _ceilings_from_inner_products(between, subjects)
    return _ceilings_from_pools(data, counts, subjects, method)


def _ceilings_from_inner_products(
    between: np.ndarray, subjects: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return ceilings where the pool is a sum of scaled RDMs: their inner products tell all."""
    subjects = subjects.astype(np.float64)
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


def _ceilings_from_pools(
    data: np.ndarray, counts: np.ndarray, subjects: np.ndarray, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return ceilings from the pooled RDMs themselves: needed for ranks and for missing pairs."""
    weights = pair_weights(counts)
    missing = np.isnan(data)
    present = np.where(missing, 0.0, 1.0)
    subjects = subjects.astype(np.float64)
    normal = np.stack(
        [
            _normalised(np.where(m, 0.0, v), weights * p, method) * p
            for v, m, p in zip(data, missing, present, strict=True)
        ],
        axis=1,
    )
    # (n_samples, n_pairs): sum and number of the subjects that have each pair
    total = np.einsum("bs,bsp->bp", subjects, normal)
    number = subjects @ present
    lower = np.full(subjects.shape, np.nan)
    upper = np.full(subjects.shape, np.nan)
    for s in range(len(data)):
        here = weights * present[s]
        own = np.where(missing[s], 0.0, data[s])[None]
        share = subjects[:, s, None]
        for out, pool, count in (
            (upper, total, number),
            (lower, total - share * normal[:, s], number - share * present[s]),
        ):
            with np.errstate(divide="ignore", invalid="ignore"):
                pooled = np.where(count > 0, pool / count, 0.0) if missing.any() else pool
            masked = here * (count > 0)
            out[:, s] = _one_to_one(own, pooled, masked, method)
    return _mean_over(lower, subjects), _mean_over(upper, subjects)


def _mean_over(values: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """Return the mean over subjects, weighted by how often each is in the sample."""
    used = subjects > 0
    return np.where(used, values * subjects, 0.0).sum(axis=1) / subjects.sum(axis=1)


def _normalised(vector: np.ndarray, weights: np.ndarray, method: str) -> np.ndarray:
    """Return one RDM per sample, scaled as the method's pooling wants, (n_samples, n_pairs)."""
    if method in _RANKED:
        return _Ranker(vector).ranks(weights)
    total = weights.sum(axis=1, keepdims=True)
    centred = vector - (weights @ vector)[:, None] / total if method == "pearson" else vector
    with np.errstate(divide="ignore", invalid="ignore"):
        return centred / np.sqrt((weights * centred**2).sum(axis=1, keepdims=True) / total)


def _one_to_one(own: np.ndarray, pooled: np.ndarray, weights: np.ndarray, method: str):
    """Return the similarity of one subject and each sample's pooled RDM, (n_samples,)."""
    if method in _KENDALL:
        return np.array(
            [
                _kendall(own, pool[None], w[None], method)[0, 0, 0]
                for pool, w in zip(pooled, weights, strict=True)
            ]
        )
    if method in _RANKED:
        x = _centred_ranks(_Ranker(own[0]).ranks(weights), weights)
        y = _centred_ranks(_ranks_of_each(pooled, weights), weights)
    else:
        total = weights.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            x, y = (
                v - (weights * v).sum(axis=1, keepdims=True) / total if method == "pearson" else v
                for v in (np.broadcast_to(own, pooled.shape), pooled)
            )
    sums = [np.einsum("bp,bp,bp->b", weights, a, b) for a, b in ((x, y), (x, x), (y, y))]
    return _finish(*sums, weights.sum(axis=1), method)


def _finish(xy, xx, yy, n, method) -> np.ndarray:
    """Turn sums of products into a similarity; NaN where a side is constant."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if method == "rho-a":
            constant = (xx <= 0) | (yy <= 0)
            return np.where(constant, np.nan, xy * 12.0 / (n**3 - n))
        return np.where((xx <= 0) | (yy <= 0), np.nan, xy / np.sqrt(xx * yy))


def _linear(model: np.ndarray, data: np.ndarray, weights: np.ndarray, method: str) -> np.ndarray:
    """Pearson or cosine under weights, from matrix products of weights and products of RDMs."""
    # Centring and scaling once leaves Pearson as it is and spares digits in the sums below.
    model, data = (_standard(v) if method == "pearson" else v for v in (model, data))
    n = weights.sum(axis=1)
    xx, yy = (weights @ (v**2).T for v in (model, data))
    xy = np.stack([(weights * y) @ model.T for y in data], axis=2)
    if method == "pearson":
        x, y = weights @ model.T, weights @ data.T
        xy -= x[:, :, None] * y[:, None, :] / n[:, None, None]
        xx = _positive(xx - x**2 / n[:, None], xx)
        yy = _positive(yy - y**2 / n[:, None], yy)
    return _finish(xy, xx[:, :, None], yy[:, None, :], n[:, None, None], method)


def _positive(difference: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return 0 where what is left of a sum of squares is rounding: the RDM is constant there."""
    return np.where(difference > 1e-13 * of, difference, 0.0)


def _standard(vectors: np.ndarray) -> np.ndarray:
    """Return rows with mean 0 and variance 1; constant rows become 0."""
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    centred[(vectors == vectors[:, :1]).all(axis=1)] = 0.0
    scale = np.sqrt((centred**2).mean(axis=1, keepdims=True))
    return centred / np.where(scale > 0, scale, 1.0)


class _Ranker:
    """Average ranks of one RDM in every resample: sorted once, then cumulative weights."""

    def __init__(self, vector: np.ndarray) -> None:
        self.order = np.argsort(vector, kind="stable")
        self.inverse = np.empty_like(self.order)
        self.inverse[self.order] = np.arange(len(vector))
        ordered = vector[self.order]
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        self.starts = starts if len(starts) < len(vector) else None
        self.group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(vector))))

    def ranks(self, weights: np.ndarray) -> np.ndarray:
        """Return ranks, (n_samples, n_pairs): cumulative weight − (w − 1) / 2, ties together."""
        ordered = weights[:, self.order]
        if self.starts is None:
            ranks = np.cumsum(ordered, axis=1)
            ranks -= ordered / 2
            ranks += 0.5
            return ranks[:, self.inverse]
        grouped = np.add.reduceat(ordered, self.starts, axis=1)
        ranks = np.cumsum(grouped, axis=1) - (grouped - 1) / 2
        return ranks[:, self.group[self.inverse]]


def _ranks_of_each(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return average ranks where every sample has an RDM of its own, (n_samples, n_pairs)."""
    order = np.argsort(vectors, axis=1)
    values = np.take_along_axis(vectors, order, axis=1)
    ordered = np.take_along_axis(weights, order, axis=1)
    cumulative = np.cumsum(ordered, axis=1)
    n_pairs = vectors.shape[1]
    position = np.broadcast_to(np.arange(n_pairs), vectors.shape)
    new = np.ones(vectors.shape, dtype=bool)
    new[:, 1:] = values[:, 1:] != values[:, :-1]
    first = np.maximum.accumulate(np.where(new, position, 0), axis=1)
    last_of_group = np.ones(vectors.shape, dtype=bool)
    last_of_group[:, :-1] = new[:, 1:]
    last = np.minimum.accumulate(
        np.where(last_of_group, position, n_pairs - 1)[:, ::-1], axis=1
    )[:, ::-1]
    before = np.take_along_axis(cumulative - ordered, first, axis=1)
    upto = np.take_along_axis(cumulative, last, axis=1)
    ranks = np.empty_like(cumulative)
    np.put_along_axis(ranks, order, (before + upto + 1) / 2, axis=1)
    return ranks


def _centred_ranks(ranks: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return ranks minus their weighted mean, which is (n + 1) / 2 for n entries."""
    return ranks - (weights.sum(axis=1, keepdims=True) + 1) / 2


def _rank_correlation(
    model: np.ndarray, data: np.ndarray, weights: np.ndarray, method: str
) -> np.ndarray:
    """Spearman or rho-a under weights."""
    n = weights.sum(axis=1)
    y = np.stack([_centred_ranks(_Ranker(v).ranks(weights), weights) for v in data], axis=1)
    weighted_y = y * weights[:, None, :]
    yy = np.einsum("bsp,bsp->bs", y, weighted_y)
    similarity = np.empty((len(weights), len(model), len(data)))
    for start in range(0, len(model), _MODELS):
        part = slice(start, start + _MODELS)
        x = np.stack(
            [_centred_ranks(_Ranker(v).ranks(weights), weights) for v in model[part]], axis=1
        )
        xy = x @ weighted_y.transpose(0, 2, 1)
        x *= x
        xx = np.einsum("bmp,bp->bm", x, weights)
        similarity[:, part] = _finish(
            xy, xx[:, :, None], yy[:, None, :], n[:, None, None], method
        )
    return similarity


def _kendall(model: np.ndarray, data: np.ndarray, weights: np.ndarray, method: str) -> np.ndarray:
    """tau-a or tau-b under weights; copies of one entry are ties."""
    from rsa_faces.comparison._ranks import dense_codes, kendall_sums

    codes = dense_codes(model), dense_codes(data)
    sums = kendall_sums(*codes, weights).astype(np.float64)
    n = weights.sum(axis=1)
    total = n * (n - 1) / 2
    untied = []
    for side in codes:
        same = np.stack(
            [
                (np.stack([np.bincount(row, w) for w in weights]) ** 2).sum(axis=1)
                for row in side
            ],
            axis=1,
        )
        untied.append(total[:, None] - (same - n[:, None]) / 2)
    product = untied[0][:, :, None] * untied[1][:, None, :]
    scale = np.broadcast_to(total[:, None, None], product.shape)
    if method == "kendall":
        scale = np.sqrt(product)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(product > 0, sums / scale, np.nan)


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
    xy = np.stack([(weights * y) @ model.T for y in data], axis=2)
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
_RANKED = frozenset({"spearman", "rho-a"}) | _KENDALL
_SIMILARITIES = {
    "pearson": lambda m, d, w: _linear(m, d, w, "pearson"),
    "cosine": lambda m, d, w: _linear(m, d, w, "cosine"),
    "spearman": lambda m, d, w: _rank_correlation(m, d, w, "spearman"),
    "rho-a": lambda m, d, w: _rank_correlation(m, d, w, "rho-a"),
    "kendall": lambda m, d, w: _kendall(m, d, w, "kendall"),
    "tau-a": lambda m, d, w: _kendall(m, d, w, "tau-a"),
}
