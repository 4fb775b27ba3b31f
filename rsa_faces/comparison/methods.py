"""Comparison methods: how similar two RDM vectors are.

Every method takes model vectors (n_model, n_pairs) and data vectors (n_data, n_pairs) without NaN
and returns similarities (n_model, n_data). A row with no similarity (a constant one) gives NaN.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rsa_faces._kernels.ranks import centred_ranks

_BLOCK = 512  # RDMs ranked together


def pearson(model: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Pearson correlation of dissimilarities, -1 to 1."""
    return _unit(_centred(model)) @ _unit(_centred(data)).T


def spearman(model: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Spearman correlation: Pearson of average ranks, -1 to 1; below 1 where one side has ties."""
    products, squares_model, squares_data = _rank_products(model, data)
    with np.errstate(divide="ignore", invalid="ignore"):
        return products / np.sqrt(np.outer(squares_model, squares_data))


def rho_a(model: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Spearman correlation expected when ties are broken at random [1]_.

    Σ (r_x − r̄)(r_y − r̄) · 12 / (n³ − n) with average ranks r. Without ties it is Spearman's.

    References
    ----------
    .. [1] Schütt H. H. et al. (2023). eLife 12, e82566. doi:10.7554/eLife.82566
    """
    n = model.shape[1]
    products, squares_model, squares_data = _rank_products(model, data)
    products[(squares_model == 0)[:, None] | (squares_data == 0)] = np.nan
    return products * (12.0 / (float(n) ** 3 - n))


def kendall(model: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Kendall's tau-b: concordant minus discordant over the geometric mean of untied pairs."""
    sums, untied_model, untied_data = _kendall(model, data)
    return sums / np.sqrt(np.outer(untied_model.astype(float), untied_data))


def tau_a(model: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Kendall's tau-a: concordant minus discordant over all pairs, -1 to 1 [1]_.

    References
    ----------
    .. [1] Nili H. et al. (2014). PLoS Computational Biology 10, e1003553.
       doi:10.1371/journal.pcbi.1003553
    """
    n = model.shape[1]
    return _kendall(model, data)[0] / (n * (n - 1) / 2)


def cosine(model: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Cosine of the angle between dissimilarity vectors, -1 to 1."""
    return _unit(model) @ _unit(data).T


def corr_cov(model: np.ndarray, data: np.ndarray, sigma_k: np.ndarray | None = None) -> np.ndarray:
    """Whitened Pearson correlation: centred vectors, then as `cosine_cov` [1]_.

    References
    ----------
    .. [1] Diedrichsen J. et al. (2021). Neurons, Behavior, Data analysis, and Theory 5(3).
       doi:10.51628/001c.27664
    """
    return cosine_cov(_nan_if_constant(_centred(model)), _nan_if_constant(_centred(data)), sigma_k)


def cosine_cov(
    model: np.ndarray, data: np.ndarray, sigma_k: np.ndarray | None = None
) -> np.ndarray:
    """Whitened cosine, xᵀ V⁻¹ y / √(xᵀ V⁻¹ x · yᵀ V⁻¹ y) [1]_.

    V is the covariance of the estimates of dissimilarities under noise alone, when the patterns'
    estimates covary over conditions as `sigma_k` (n_conditions, n_conditions; None: independent).

    References
    ----------
    .. [1] Diedrichsen J. et al. (2021). Neurons, Behavior, Data analysis, and Theory 5(3).
       doi:10.51628/001c.27664
    """
    # Together, so that V is inverted once.
    white_model, white_data = np.split(whitened(np.vstack([model, data]), sigma_k), [len(model)])
    norms = [
        np.sqrt(np.einsum("ij,ij->i", v, w)) for v, w in ((model, white_model), (data, white_data))
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        return white_model @ data.T / np.outer(*norms)


def weighted(
    model: np.ndarray, data: np.ndarray, weights: np.ndarray, method: str = "pearson"
) -> np.ndarray:
    """Pearson, Spearman or cosine with a weight for each pair of each data RDM.

    The same as if every pair were there as often as its weight says: sums are weighted, and the
    rank of a pair is the weight below it plus half the weight of its ties. Pairs of weight 0 do not
    count.
    """
    similarity = np.empty((len(model), len(data)))
    for j, (row, w) in enumerate(zip(data, weights, strict=True)):
        counts = w > 0
        # Only ratios of weights matter.
        w = w[counts] / w[counts].sum()
        x, y = model[:, counts], row[None, counts]
        if method == "spearman":
            x, y = _weighted_ranks(x, w), _weighted_ranks(y, w)
        if method != "cosine":
            x, y = _weighted_centred(x, w), _weighted_centred(y, w)
        similarity[:, j] = (_unit(x * np.sqrt(w)) @ _unit(y * np.sqrt(w)).T)[:, 0]
    return similarity


def partial(
    model: np.ndarray, data: np.ndarray, given: np.ndarray, method: str = "pearson"
) -> np.ndarray:
    """Partial correlation: what is left of Pearson or Spearman once `given` is regressed out."""
    correlations = METHODS[method](np.vstack([model, given]), np.vstack([data, given]))
    return partial_correlations(correlations[None], len(given))[0]


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
    inverse = np.linalg.pinv(np.where(undefined, 0.0, zz), hermitian=True, rcond=1e-10)
    inverse = np.where(undefined, np.nan, inverse)
    left_x = 1 - np.einsum("bmg,bgh,bmh->bm", xz, inverse, xz, optimize=True)
    left_y = 1 - np.einsum("bgd,bgh,bhd->bd", zy, inverse, zy, optimize=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        # What is left of a variance of 1, where it is more than rounding.
        left_x, left_y = (np.where(v > 1e-12, v, np.nan) for v in (left_x, left_y))
        return (xy - xz @ inverse @ zy) / np.sqrt(left_x[:, :, None] * left_y[:, None, :])


def whitened(vectors: np.ndarray, sigma_k: np.ndarray | None = None) -> np.ndarray:
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
        own = (sums - sums.sum(axis=1, keepdims=True) / (2 * n)) / n
        return (vectors - own[:, row] - own[:, col]) / 2
    from scipy.linalg import cho_factor, cho_solve

    xi = (
        sigma_k[np.ix_(row, row)] + sigma_k[np.ix_(col, col)]
        - sigma_k[np.ix_(row, col)] - sigma_k[np.ix_(col, row)]
    )  # fmt: skip
    return cho_solve(cho_factor(xi * xi), vectors.T).T


#: Name of each method and its function.
METHODS: dict[str, Callable[..., np.ndarray]] = {
    "pearson": pearson,
    "spearman": spearman,
    "rho-a": rho_a,
    "kendall": kendall,
    "tau-a": tau_a,
    "cosine": cosine,
    "corr_cov": corr_cov,
    "cosine_cov": cosine_cov,
}

#: Methods that allow for a partial correlation.
PARTIAL_METHODS = frozenset({"pearson", "spearman"})
#: Methods that allow for weights of pairs.
WEIGHTED_METHODS = frozenset({"pearson", "spearman", "cosine"})
#: Methods that use ranks only.
RANK_METHODS = frozenset({"spearman", "rho-a", "kendall", "tau-a"})
#: Methods that whiten by the covariance of dissimilarities.
COV_METHODS = frozenset({"corr_cov", "cosine_cov"})


def _centred(vectors: np.ndarray) -> np.ndarray:
    """Return rows minus their mean; exactly 0 for constant rows."""
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    centred[(vectors == vectors[:, :1]).all(axis=1)] = 0.0
    return centred


def _weighted_centred(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return rows minus their weighted mean (weights sum to 1); exactly 0 for constant rows."""
    centred = vectors - (vectors @ weights)[:, None]
    centred[(vectors == vectors[:, :1]).all(axis=1)] = 0.0
    return centred


def _weighted_ranks(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return for each entry the weight below it plus half the weight of its ties."""
    ranks = np.empty(vectors.shape)
    for out, vector in zip(ranks, vectors, strict=True):
        code = np.unique(vector, return_inverse=True)[1]
        group = np.bincount(code, weights)
        out[:] = (np.cumsum(group) - group / 2)[code]
    return ranks


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Return rows of length 1; NaN for rows of zeros."""
    scale = np.abs(vectors).max(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = vectors / scale
        return scaled / np.sqrt(np.einsum("ij,ij->i", scaled, scaled))[:, None]


def _nan_if_constant(centred: np.ndarray) -> np.ndarray:
    """Return centred rows, NaN where all is 0."""
    centred[~centred.any(axis=1)] = np.nan
    return centred


def _rank_products(model: np.ndarray, data: np.ndarray):
    """Return inner products of centred average ranks, and the sums of squares of each side."""
    x, squares_model = centred_ranks(model)
    products, squares_data = np.empty((len(model), len(data))), np.empty(len(data))
    # In blocks: the ranks of many RDMs need not be in memory together.
    for start in range(0, len(data), _BLOCK):
        part = slice(start, start + _BLOCK)
        y, squares_data[part] = centred_ranks(data[part])
        products[:, part] = x @ y.T
    return products, squares_model, squares_data


def _kendall(model: np.ndarray, data: np.ndarray):
    """Return Kendall's sums and the untied pairs of each side, NaN for constant rows."""
    from rsa_faces._kernels.kendall import kendall_sums

    sums, untied_model, untied_data = kendall_sums(model, data)
    sums = sums.astype(float)
    sums[untied_model == 0] = np.nan
    sums[:, untied_data == 0] = np.nan
    return sums, untied_model, untied_data
