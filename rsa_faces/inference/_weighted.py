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


def _rank_correlation(
    model: np.ndarray, data: np.ndarray, weights: np.ndarray, method: str
) -> np.ndarray:
    """Spearman or rho-a under weights."""
    from rsa_faces._kernels.resampled import resampled_ranks
    from rsa_faces._kernels.sort import sort_rows

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
    from rsa_faces._kernels.kendall import kendall_sums

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


_KENDALL = frozenset({"kendall", "tau-a"})
_SIMILARITIES = {
    "pearson": lambda m, d, w: _linear(m, d, w, "pearson"),
    "cosine": lambda m, d, w: _linear(m, d, w, "cosine"),
    "spearman": lambda m, d, w: _rank_correlation(m, d, w, "spearman"),
    "rho-a": lambda m, d, w: _rank_correlation(m, d, w, "rho-a"),
    "kendall": lambda m, d, w: _kendall(m, d, w, "kendall"),
    "tau-a": lambda m, d, w: _kendall(m, d, w, "tau-a"),
}
