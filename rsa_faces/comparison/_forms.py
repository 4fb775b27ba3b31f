"""What methods of comparison are made of: scalings, weighted sums, products and pools of RDMs.

A weighted form takes model vectors (n_model, n_pairs), data vectors (n_data, n_pairs) and weights
(n_samples, n_pairs) and returns similarities (n_samples, n_model, n_data): those of RDMs in which
every pair is there as often as its weight says.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from rsa_faces._core.errors import InputError
from rsa_faces._kernels.kendall import kendall_sums
from rsa_faces._kernels.ranks import average_ranks, centred_ranks, dense_codes
from rsa_faces._kernels.resampled import resampled_ranks
from rsa_faces._kernels.sort import sort_rows

_MODELS = 16  # models ranked together in one sample


def is_constant(vectors: np.ndarray) -> np.ndarray:
    """Return whether all values of a row are equal."""
    return (vectors == vectors[:, :1]).all(axis=1)


def centred(vectors: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return rows minus their (weighted) mean; exactly 0 for constant rows."""
    mean = vectors.mean(axis=1) if weights is None else np.average(vectors, axis=1, weights=weights)
    centred = vectors - mean[:, None]
    # The mean of equal values differs from them in the last digit: left, it would be scaled up to
    # noise.
    centred[is_constant(vectors)] = 0.0
    return centred


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return rows of length 1; NaN for rows of zeros."""
    # Squares of very small or very large values would leave the range of floats.
    scale = np.abs(vectors).max(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = vectors / scale
        return scaled / np.sqrt(np.einsum("ij,ij->i", scaled, scaled))[:, None]


def centred_unit(vectors: np.ndarray) -> np.ndarray:
    """Return rows minus their mean, of length 1; NaN for constant rows."""
    return unit(centred(vectors))


def standard(vectors: np.ndarray) -> np.ndarray:
    """Return rows with mean 0 and variance 1; constant rows become 0."""
    rows = centred(vectors)
    scale = np.sqrt((rows**2).mean(axis=1, keepdims=True))
    return rows / np.where(scale > 0, scale, 1.0)


def centred_or_nan(vectors: np.ndarray) -> np.ndarray:
    """Return rows minus their mean, NaN where they are constant."""
    rows = centred(vectors)
    rows[~rows.any(axis=1)] = np.nan
    return rows


def same(vectors: np.ndarray) -> np.ndarray:
    """Return the rows as they are."""
    return vectors


class Covariance:
    """How pattern estimates covary over conditions, and what follows for dissimilarities.

    Parameters
    ----------
    matrix : ndarray, shape (n_conditions, n_conditions)

    Raises
    ------
    InputError
        When used, if the covariance V of dissimilarities has no inverse.
    """

    def __init__(self, matrix: np.ndarray):
        self.matrix = matrix

    def among(self, conditions: np.ndarray) -> Covariance:
        """Return that of some conditions."""
        return Covariance(self.matrix[np.ix_(conditions, conditions)])

    @cached_property
    def _factor(self) -> tuple:
        """The Cholesky factor of V."""
        from scipy.linalg import cho_factor

        row, col = np.triu_indices(len(self.matrix), k=1)
        xi = self.matrix[np.ix_(row, row)] + self.matrix[np.ix_(col, col)]
        xi -= self.matrix[np.ix_(row, col)] + self.matrix[np.ix_(col, row)]
        # Diedrichsen et al. (2021): the covariance of two dissimilarities is the square of that of
        # the differences of patterns they are made of.
        xi *= xi
        try:
            return cho_factor(xi, overwrite_a=True)
        except np.linalg.LinAlgError as err:
            raise InputError(
                "expected a sigma_k that gives an invertible covariance of dissimilarities; "
                "this one does not. Estimate it from more data, or leave it out."
            ) from err

    def whitened(self, vectors: np.ndarray) -> np.ndarray:
        """Return V⁻¹ x for each row x."""
        from scipy.linalg import cho_solve

        return cho_solve(self._factor, vectors.T).T

    @cached_property
    def precision(self) -> np.ndarray:
        """V⁻¹, (n_pairs, n_pairs)."""
        return self.whitened(np.eye(len(self._factor[0])))


def whitened(vectors: np.ndarray, sigma_k: Covariance | None = None) -> np.ndarray:
    """Return V⁻¹ x for each row x.

    For independent conditions V = A Aᵀ + 2 I, with A the incidence of pairs and conditions, so the
    inverse follows from the row sums of the square RDM: no n_pairs × n_pairs matrix is needed.
    """
    n_pairs = vectors.shape[1]
    n = round((1 + np.sqrt(1 + 8 * n_pairs)) / 2)
    row, col = np.triu_indices(n, k=1)
    if sigma_k is None:
        sums = np.zeros((len(vectors), n))
        for values, out in zip(vectors, sums, strict=True):
            out += np.bincount(row, values, n) + np.bincount(col, values, n)
        # With independent conditions V⁻¹ needs no matrix of pairs by pairs: row and column effects
        # are taken off.
        own = (sums - sums.sum(axis=1, keepdims=True) / (2 * n)) / n
        return (vectors - own[:, row] - own[:, col]) / 2
    return sigma_k.whitened(vectors)


def bounded(similarity: np.ndarray) -> np.ndarray:
    """Return similarities with what rounding adds beyond -1 and 1 taken off."""
    # Only rounding is taken off: a similarity of 1.2 is an error that must be seen.
    return np.where(np.abs(similarity) < 1 + 1e-9, np.clip(similarity, -1.0, 1.0), similarity)


def root(squares: np.ndarray) -> np.ndarray:
    """Return square roots as a column, NaN where there is nothing above 0."""
    return np.sqrt(np.where(squares > 0, squares, np.nan))[:, None]


# Rows whose products are similarities, (side of the model, side of the data).


def unit_ranks(vectors: np.ndarray) -> np.ndarray:
    """Return centred ranks of length 1, for spearman."""
    ranks, squares = centred_ranks(vectors)
    ranks /= root(squares)
    return ranks


def rho_a_ranks(vectors: np.ndarray) -> np.ndarray:
    """Return centred ranks over the length they have without ties, for rho-a."""
    ranks, squares = centred_ranks(vectors)
    n = float(vectors.shape[1])
    ranks /= root(np.where(squares > 0, (n**3 - n) / 12.0, 0.0))
    return ranks


def white_unit(vectors: np.ndarray, scaling=same) -> np.ndarray:
    """Return V⁻¹ x of length 1 in the metric of V⁻¹."""
    vectors = scaling(vectors)
    white = whitened(vectors)
    return white / root(np.einsum("ij,ij->i", vectors, white))


def unit_in_white(vectors: np.ndarray, scaling=same) -> np.ndarray:
    """Return x of length 1 in the metric of V⁻¹."""
    vectors = scaling(vectors)
    return vectors / root(np.einsum("ij,ij->i", vectors, whitened(vectors)))


# Largest similarity with data that have no ties, of a vector that varies.


def no_less(vector: np.ndarray) -> float:
    """Return 1: ties set no limit."""
    return 1.0


def largest_rho_a(vector: np.ndarray) -> float:
    """Return Σ (r − r̄)² · 12 / (n³ − n) of average ranks."""
    return float(12.0 * average_ranks(vector[None]).var() / (float(len(vector)) ** 2 - 1))


def largest_spearman(vector: np.ndarray) -> float:
    """Return the root of that of rho-a."""
    return float(np.sqrt(largest_rho_a(vector)))


def largest_tau_a(vector: np.ndarray) -> float:
    """Return the share of untied pairs of entries."""
    n = len(vector)
    tied = (np.bincount(dense_codes(vector[None])[0]).astype(float) ** 2).sum() - n
    return float(1.0 - tied / (n * (n - 1)))


def largest_kendall(vector: np.ndarray) -> float:
    """Return the root of that of tau-a."""
    return float(np.sqrt(largest_tau_a(vector)))


# Scaling of RDMs before they are pooled: vectors (n_pairs,) or (n, n_pairs), weights alike.


def pool_ranks(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return average ranks from 1: where pairs are missing, the mean rank differs."""
    # Ranks of a subject with fewer pairs are smaller: centred, they would be pooled with others as
    # if they were not.
    return ranks_of(vectors, weights) + (weights.sum(axis=1, keepdims=True) + 1) / 2


def pool_standard(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return z-scores; 0 for constant rows."""
    total = weights.sum(axis=1, keepdims=True)
    mean = (weights * vectors).sum(axis=1, keepdims=True) / total
    return pool_unit(vectors - mean, weights)


def pool_unit(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return rows with a root mean square of 1."""
    vectors = np.broadcast_to(vectors, np.broadcast_shapes(vectors.shape, weights.shape))
    total = weights.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return vectors / np.sqrt((weights * vectors**2).sum(axis=1, keepdims=True) / total)


def ranks_of(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return centred average ranks of one RDM, or of one for each sample, (n_samples, n_pairs).

    0 for pairs of weight 0.
    """
    rows = np.atleast_2d(vectors)
    if (weights == 1).all():
        return np.broadcast_to(centred_ranks(rows)[0], weights.shape)
    order, new = sort_rows(rows)
    ranks = np.zeros(weights.shape)
    for b, w in enumerate(weights):
        own = slice(b, b + 1) if len(rows) > 1 else slice(None)
        ranks[b, w > 0] = next(resampled_ranks([(order[own], new[own])], w))[0][0]
    return ranks


# Weighted forms.


def correlation_of(xy, xx, yy, n=None) -> np.ndarray:
    """Turn sums into a correlation or cosine; NaN where a side has no squares."""
    return _where_defined(lambda: xy / np.sqrt(xx * yy), xx, yy)


def rho_a_of(xy, xx, yy, n) -> np.ndarray:
    """Turn sums of products of ranks into rho-a."""
    return _where_defined(lambda: xy * 12.0 / (n**3 - n), xx, yy)


def tau_a_of(xy, xx, yy, n) -> np.ndarray:
    """Turn concordant minus discordant pairs into tau-a; xx and yy are untied pairs."""
    return _where_defined(lambda: xy / (n * (n - 1) / 2), xx, yy)


def _where_defined(similarity, xx, yy) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((xx <= 0) | (yy <= 0), np.nan, similarity())


def linear(model, data, weights, *, centre: bool) -> np.ndarray:
    """Pearson or cosine under weights, from matrix products of weights and products of RDMs."""
    xy, xx, yy = _inner(model, data, weights, centre)
    return correlation_of(xy, xx[:, :, None], yy[:, None, :])


def linear_inner(model, data, counts, *, centre: bool):
    """Return (xᵀy, xᵀx, yᵀy) and (xᵀx, yᵀy) in every resample: see `whitened_inner`."""
    xy, xx, yy = _inner(model, data, pair_weights(counts), centre)
    return (xy, xx, yy), (xx, yy)


def _inner(model, data, weights, centre: bool):
    # Centring and scaling once leaves Pearson as it is and spares digits in the sums below.
    model, data = (standard(v) if centre else v for v in (model, data))
    n = weights.sum(axis=1)
    xx, yy = (weights @ (v**2).T for v in (model, data))
    xy = weighted_products(model, data, weights)
    if centre:
        x, y = weights @ model.T, weights @ data.T
        xy -= x[:, :, None] * y[:, None, :] / n[:, None, None]
        xx = positive(xx - x**2 / n[:, None], xx)
        yy = positive(yy - y**2 / n[:, None], yy)
    return xy, xx, yy


def weighted_products(model: np.ndarray, data: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return Σ w x y of all samples, models and data, by the way with the smaller copies."""
    # Either models times data or samples times data are copied: whichever is fewer.
    if len(model) <= len(weights):
        products = (model[:, None, :] * data).reshape(-1, model.shape[1])
        return (weights @ products.T).reshape(len(weights), len(model), len(data))
    return np.stack([(weights * y) @ model.T for y in data], axis=2)


def positive(difference: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return 0 where what is left of a sum of squares is rounding: the RDM is constant there."""
    # Of a resample in which an RDM is constant, only rounding is left of its squares: a correlation
    # of it would be any number.
    return np.where(difference > 1e-13 * of, difference, 0.0)


def rank_correlation(model, data, weights, *, finish) -> np.ndarray:
    """Spearman or rho-a under weights."""
    order, new = sort_rows(model)
    parts = [slice(start, start + _MODELS) for start in range(0, len(model), _MODELS)]
    sides = [sort_rows(data), *((order[part], new[part]) for part in parts)]
    xy = np.empty((len(weights), len(model), len(data)))
    xx, yy = np.empty(xy.shape[:2]), np.empty((len(weights), len(data)))
    for b, w in enumerate(weights):
        ranked = resampled_ranks(sides, w)
        y, yy[b] = next(ranked)
        y *= w[w > 0]
        for part, (x, squares) in zip(parts, ranked, strict=True):
            xy[b, part], xx[b, part] = x @ y.T, squares
    n = weights.sum(axis=1, dtype=float)[:, None, None]
    return finish(xy, xx[:, :, None], yy[:, None, :], n)


def concordance(model, data, weights, *, finish) -> np.ndarray:
    """tau-b or tau-a under whole weights; copies of one entry are ties."""
    # Counts are exact whole numbers; their products need not fit into 64 bits.
    sums, *untied = (counts.astype(float) for counts in kendall_sums(model, data, weights))
    n = weights.sum(axis=1, dtype=float)[:, None, None]
    return finish(sums, untied[0][:, :, None], untied[1][:, None, :], n)


# One RDM with another for each sample, under the weights of that sample, (n_samples,).


def paired_linear(own, others, weights, *, centre: bool) -> np.ndarray:
    """Pearson or cosine of `own`, (n_pairs,), with `others`, (n_samples, n_pairs)."""
    total = weights.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = (
            v - (weights * v).sum(axis=1, keepdims=True) / total if centre else v
            for v in (np.broadcast_to(own, others.shape), others)
        )
    return correlation_of(*_paired_sums(x, y, weights))


def paired_ranks(own, others, weights, *, finish) -> np.ndarray:
    """Spearman or rho-a of one RDM with another for each sample."""
    sums = _paired_sums(ranks_of(own, weights), ranks_of(others, weights), weights)
    return finish(*sums, weights.sum(axis=1))


def paired_concordance(own, others, weights, *, finish) -> np.ndarray:
    """tau-b or tau-a of one RDM with another for each sample."""
    parts = zip(np.broadcast_to(own, others.shape), others, weights, strict=True)
    sums = [
        [part[0, 0] for part in kendall_sums(x[None], y[None], w[None], paired=True)]
        for x, y, w in parts
    ]
    return finish(*np.array(sums, float).T, weights.sum(axis=1))


def _paired_sums(x, y, weights) -> list[np.ndarray]:
    return [np.einsum("bp,bp,bp->b", weights, a, b) for a, b in ((x, y), (x, x), (y, y))]


def whitened_resampled(model, data, counts, *, centre: bool, sigma_k=None) -> np.ndarray:
    """cosine_cov or corr_cov of conditions that are there as often as counts say."""
    (xy, xx, yy), _ = whitened_inner(model, data, counts, centre=centre, sigma_k=sigma_k)
    return correlation_of(xy, xx[:, :, None], yy[:, None, :])


def pair_weights(counts: np.ndarray) -> np.ndarray:
    """Return c_i c_j for the pairs of the upper triangle; counts (n_samples, n_conditions)."""
    row, col = np.triu_indices(counts.shape[1], k=1)
    return counts[:, row].astype(np.float64) * counts[:, col]


def whitened_inner(
    model: np.ndarray,
    data: np.ndarray,
    counts: np.ndarray,
    *,
    centre: bool,
    sigma_k: Covariance | None = None,
):
    """Return (xᵀV⁻¹y, xᵀV⁻¹x, yᵀV⁻¹y) and (xᵀx, yᵀy) in every resample.

    V restricted to the pairs of a resample is A Aᵀ + 2 I, with A the incidence of its pairs and
    positions. V⁻¹ x is the same for all copies of a condition, so the system to solve has one
    unknown per condition: (diag(g) + 1 cᵀ) u = r, g = n + 2 − 2c, r the row sums of x. The
    condition with most copies is solved for by itself, because its g may be 0 or below; all others
    are at least 2. Where patterns covary, copies of a condition would too: conditions can be left
    out only.
    """
    if sigma_k is not None:
        return _without_conditions(model, data, counts, sigma_k, centre)
    weights = pair_weights(counts)
    counts = counts.astype(np.float64)
    n_conditions = counts.shape[1]
    total = counts.sum(axis=1, keepdims=True)
    samples, most = np.arange(len(counts)), counts.argmax(axis=1)
    spread = total + 2 - 2 * counts
    own_spread, own_count = spread[samples, most], counts[samples, most]
    spread[samples, most] = np.inf
    share = counts / spread
    gamma = 1 + share.sum(axis=1)
    # How much the condition with most copies counts, once the others are solved for.
    alone = own_count / (own_spread + own_count / gamma)
    row, col = np.triu_indices(n_conditions, k=1)
    n = weights.sum(axis=1)

    def row_sums(vectors: np.ndarray, mean: np.ndarray) -> np.ndarray:
        square = np.zeros((len(vectors), n_conditions, n_conditions))
        square[:, row, col] = square[:, col, row] = vectors
        sums = (counts @ square).transpose(1, 0, 2)
        return sums - mean[:, :, None] * (total - counts)[:, None, :]

    if centre:
        model, data = standard(model), standard(data)
    means = [weights @ v.T / n[:, None] * centre for v in (model, data)]
    xy = weighted_products(model, data, weights)
    xy -= means[0][:, :, None] * means[1][:, None, :] * n[:, None, None]
    squares = [weights @ (v**2).T for v in (model, data)]
    squares = [positive(q - n[:, None] * m**2, q) for q, m in zip(squares, means, strict=True)]
    rows = [row_sums(v, m) for v, m in zip((model, data), means, strict=True)]
    once = [np.einsum("bmk,bk->bm", r, share) for r in rows]
    left = [r[samples, :, most] - o / gamma[:, None] for r, o in zip(rows, once, strict=True)]
    across = (rows[0] * share[:, None, :]) @ rows[1].transpose(0, 2, 1)
    white = xy - across + once[0][:, :, None] * once[1][:, None, :] / gamma[:, None, None]
    white -= left[0][:, :, None] * left[1][:, None, :] * alone[:, None, None]
    selves = []
    for q, r, o, m in zip(squares, rows, once, left, strict=True):
        taken = np.einsum("bmk,bk,bmk->bm", r, share, r) - o**2 / gamma[:, None]
        selves.append(positive(q - taken - alone[:, None] * m**2, q))
    return (white / 2, selves[0] / 2, selves[1] / 2), squares


def _without_conditions(model, data, counts, sigma_k: Covariance, centre: bool):
    """Return what `whitened_inner` does where patterns covary; counts are 0 or 1.

    With P = V⁻¹ of all pairs, that of those that are left is P_rr − P_ro P_oo⁻¹ P_or.
    """
    if not np.isin(counts, [0, 1]).all():
        raise InputError(
            "expected each condition at most once in a sample with `sigma_k`, got copies: how "
            "these would covary is not known. Use uncertainty='analytic'."
        )
    n_model, n = len(model), len(model) + len(data)
    if centre:
        model, data = standard(model), standard(data)
    # The last row is what the mean of each row is taken off with.
    rows = np.vstack([model, data, np.full(model.shape[1], float(centre))])
    grams, squares = np.empty((len(counts), n, n)), np.empty((len(counts), n))
    for b, kept in enumerate(pair_weights(counts) > 0):
        here = np.where(kept, rows, 0.0)
        white = here @ sigma_k.precision
        gram, out = white @ here.T, np.flatnonzero(~kept)
        if out.size:
            across = white[:, out]
            gram -= across @ np.linalg.solve(sigma_k.precision[np.ix_(out, out)], across.T)
        mean = here[:-1].sum(axis=1) / kept.sum() * centre
        plain = (here[:-1] ** 2).sum(axis=1)
        squares[b] = positive(plain - kept.sum() * mean**2, plain)
        grams[b] = gram[:-1, :-1] - mean[:, None] * gram[-1, :-1] - gram[:-1, -1:] * mean
        grams[b] += np.outer(mean, mean) * gram[-1, -1]
    selves = positive(np.einsum("bii->bi", grams), squares)
    return (
        (grams[:, :n_model, n_model:], selves[:, :n_model], selves[:, n_model:]),
        (squares[:, :n_model], squares[:, n_model:]),
    )


def partial_correlations(correlations: np.ndarray, n_given: int) -> np.ndarray:
    """Return partial correlations from correlations.

    Parameters
    ----------
    correlations : ndarray, shape (n_samples, n_model + n_given, n_data + n_given)
        The given RDMs come last on both sides.
    n_given : int

    Returns
    -------
    ndarray, shape (n_samples, n_model, n_data)
        NaN where a side is explained by the given RDMs entirely.
    """
    n_model, n_data = correlations.shape[1] - n_given, correlations.shape[2] - n_given
    xy, xz = correlations[:, :n_model, :n_data], correlations[:, :n_model, n_data:]
    zy, zz = correlations[:, n_model:, :n_data], correlations[:, n_model:, n_data:]
    undefined = np.isnan(zz).any(axis=(1, 2), keepdims=True)
    # A pseudo-inverse, so that RDMs to take out may follow from each other: none has to be left
    # out.
    inverse = np.linalg.pinv(np.where(undefined, 0.0, zz), hermitian=True, rcond=1e-10)
    inverse = np.where(undefined, np.nan, inverse)
    left_x = 1 - np.einsum("bmg,bgh,bmh->bm", xz, inverse, xz, optimize=True)
    left_y = 1 - np.einsum("bgd,bgh,bhd->bd", zy, inverse, zy, optimize=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        # What is left of a variance of 1, where it is more than rounding.
        left_x, left_y = (np.where(v > 1e-12, v, np.nan) for v in (left_x, left_y))
        return (xy - xz @ inverse @ zy) / np.sqrt(left_x[:, :, None] * left_y[:, None, :])
