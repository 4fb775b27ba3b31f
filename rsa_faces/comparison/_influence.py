"""Influence functions: by how much each pair of conditions moves a similarity.

Each function takes model vectors (n_model, n_pairs) and data vectors (n_data, n_pairs) without NaN
and returns influences ψ of shape (n_model, n_data, n_pairs): the derivative of the similarity by
the weight of a pair, all weights 1 before. A similarity depends on the relative weights only, so
influences sum to 0 over pairs. Where a similarity is undefined, so are they (NaN).

Some take weights of evidence, (n_pairs,), under which RDMs are compared: the influence of a pair is
then that of being there more often with its weight.
"""

from __future__ import annotations

import numpy as np

from rsa_faces._kernels.concordance import concordances
from rsa_faces.comparison._forms import Covariance, centred, is_constant, whitened

Weights = np.ndarray | None


def pearson(model: np.ndarray, data: np.ndarray, weights: Weights = None) -> np.ndarray:
    """Influences on Pearson's correlation, (x y − r (x² + y²) / 2) / n with z-scores x and y."""
    return cosine(centred(model, weights), centred(data, weights), weights)


def cosine(model: np.ndarray, data: np.ndarray, weights: Weights = None) -> np.ndarray:
    """Influences on the cosine: as Pearson's, with x and y of mean square 1, not centred."""
    return _of_products(_unit_square(model, weights), _unit_square(data, weights), weights)


def spearman(model: np.ndarray, data: np.ndarray, weights: Weights = None) -> np.ndarray:
    """Influences on Spearman's correlation: Pearson's of ranks, and what a pair does to ranks.

    A pair raises the ranks of all pairs above it: Σ_q [x_q > x_p] (y_q − r x_q) / n, and the same
    the other way round.
    """
    sides = [_Ranked(v, weights) for v in (model, data)]
    x, y = (_unit_square(side.ranks, weights) for side in sides)
    influence = _of_products(x, y, weights)
    own = np.ones(x.shape[1]) if weights is None else weights
    share = own / own.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = [np.sqrt(side.ranks**2 @ share) for side in sides]
        for j in range(len(data)):
            r = x @ (share * y[j])
            influence[:, j] += own * sides[0].above(y[j] - r[:, None] * x) / spread[0][:, None]
            influence[:, j] += own * sides[1].above(x - r[:, None] * y[j], row=j) / spread[1][j]
    return influence


def rho_a(model: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Influences on the expected Spearman correlation: (12 (x y + X(y) + Y(x)) − 3 ρ) / n.

    With centred ranks x and y divided by n, X(y)_p = Σ_q [x_q > x_p] y_q / n.
    """
    sides = [_Ranked(v) for v in (model, data)]
    n = model.shape[1]
    x, y = (side.ranks / n for side in sides)
    influence = x[:, None] * y
    for j in range(len(data)):
        influence[:, j] += sides[0].above(np.broadcast_to(y[j], x.shape))
        influence[:, j] += sides[1].above(x, row=j)
    influence -= influence.mean(axis=2, keepdims=True)
    influence *= 12.0 / n
    for values, axis in ((x, 0), (y, 1)):
        # A vector without differences has no correlation, and so no pair has a say in it.
        constant = ~values.any(axis=1)
        influence[(slice(None),) * axis + (constant,)] = np.nan
    return influence


def tau_a(model: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Influences on tau-a: 2 (share of concordant minus discordant with this pair − tau-a) / n."""
    n = model.shape[1]
    sums = concordances(model, data)
    influence = (sums - sums.mean(axis=2, keepdims=True)) * (2.0 / (n * (n - 1)))
    for values, axis in ((model, 0), (data, 1)):
        influence[(slice(None),) * axis + (is_constant(values),)] = np.nan
    return influence


def kendall(model: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Influences on tau-b: of the concordant minus discordant, and of the untied on each side."""
    sums = concordances(model, data)
    untied = [_untied(v) for v in (model, data)]
    total = sums.sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = [u / u.sum(axis=1, keepdims=True) for u in untied]
        scale = np.sqrt(np.outer(untied[0].sum(axis=1), untied[1].sum(axis=1)))
        tau = (total / scale)[:, :, None]
        # Every pair of entries is in both sums of the two, so that factors of 2 cancel.
        return 2 * sums / scale[:, :, None] - tau * (shares[0][:, None] + shares[1])


def cosine_cov(
    model: np.ndarray, data: np.ndarray, sigma_k: Covariance | None = None
) -> np.ndarray:
    """Influences on the whitened cosine.

    Drawing a condition anew changes V too. What a condition does is therefore not the sum of what
    its pairs do with V as it is: the difference is shared out evenly among its pairs, so that
    sums over the pairs of a condition are right. Not where patterns covary (`sigma_k`), for which
    what conditions do is found by leaving them out.
    """
    if sigma_k is None:
        return _of_whitened(model, data)
    scaled = [_unit_square(v) for v in (model, data)]
    white = [v @ sigma_k.precision for v in scaled]
    return _of_inner_products(scaled, white)[0]


def corr_cov(model: np.ndarray, data: np.ndarray, sigma_k: Covariance | None = None) -> np.ndarray:
    """Influences on the whitened correlation: as those on the whitened cosine, once centred."""
    return cosine_cov(centred(model), centred(data), sigma_k)


def partial_pearson(model: np.ndarray, data: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Influences on a partial correlation: as on a correlation, of what is left of both sides.

    What a pair does to the regressions has no influence: residuals are orthogonal to what is given.
    """
    given = centred(given)
    return _of_products(*(_unit_square(residuals(centred(v), given)[0]) for v in (model, data)))


def partial_spearman(model: np.ndarray, data: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Influences on a partial correlation of ranks, also by way of the ranks of `given`."""
    sides = [_Ranked(v) for v in (model, data, given)]
    (x, of_x), (y, of_y) = (residuals(s.ranks, sides[2].ranks) for s in sides[:2])
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = [np.sqrt((v**2).mean(axis=1)) for v in (x, y)]
        x, y = _unit_square(x), _unit_square(y)
        influence = _of_products(x, y)
        for j in range(len(data)):
            r = (x @ y[j] / x.shape[1])[:, None]
            # How r changes with a residual: along what is left of the other side, at fixed length.
            by_x = (y[j] - r * x) / spread[0][:, None]
            by_y = (x - r * y[j]) / spread[1][j]
            influence[:, j] += sides[0].above(by_x) + sides[1].above(by_y, row=j)
            for g in range(len(given)):
                # Ranks of `given` move as well, and take both residuals along by their slopes.
                moved = by_x * of_x[:, g, None] + by_y * of_y[j, g]
                influence[:, j] -= sides[2].above(moved, row=g)
    return influence


class _Ranked:
    """Ranks of rows, and sums over the entries above each."""

    def __init__(self, vectors: np.ndarray, weights: Weights = None):
        n = vectors.shape[1]
        own = np.ones(n) if weights is None else weights
        self.share = own / own.sum()
        self.order = np.argsort(vectors, axis=1, kind="stable")
        ordered = np.take_along_axis(vectors, self.order, axis=1)
        new = np.ones(vectors.shape, dtype=bool)
        new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        last = np.ones(vectors.shape, dtype=bool)
        last[:, :-1] = new[:, 1:]
        place = np.arange(n)
        #: First and last place of the group of equal values at each place.
        self.first = np.maximum.accumulate(np.where(new, place, 0), axis=1)
        self.last = np.minimum.accumulate(np.where(last, place, n)[:, ::-1], axis=1)[:, ::-1]
        self.ranks = np.empty(vectors.shape)
        #: Average ranks minus their mean; each entry counts as many ranks as its weight.
        ends = np.zeros((len(vectors), n + 1))
        np.cumsum(own[self.order], axis=1, out=ends[:, 1:])
        middle = np.take_along_axis(ends, self.first, axis=1)
        middle += np.take_along_axis(ends, self.last + 1, axis=1)
        middle -= own.sum()
        np.put_along_axis(self.ranks, self.order, middle / 2, axis=1)

    def above(self, values: np.ndarray, row: int | None = None) -> np.ndarray:
        """Return the mean of `values`, 0 but for the entries above each and half of its equals.

        `values` (n_rows, n_pairs); in the order of each row, or all in the order of one.
        """
        values = values * self.share
        if row is None:
            order, first, last = self.order, self.first, self.last
        else:
            order, first, last = (
                np.broadcast_to(v[row], values.shape) for v in (self.order, self.first, self.last)
            )
        sums = np.zeros((len(values), values.shape[1] + 1))
        np.cumsum(np.take_along_axis(values, order, axis=1), axis=1, out=sums[:, 1:])
        below = np.take_along_axis(sums, first, axis=1)
        until = np.take_along_axis(sums, last + 1, axis=1)
        result = np.empty(values.shape)
        np.put_along_axis(result, order, sums[:, -1:] - (below + until) / 2, axis=1)
        return result


def _of_products(x: np.ndarray, y: np.ndarray, weights: Weights = None) -> np.ndarray:
    """Return (x y − r (x² + y²) / 2) / n for rows of mean square 1."""
    share = 1 / x.shape[1] if weights is None else weights / weights.sum()
    influence = x[:, None] * y
    r = (influence * share).sum(axis=2)[:, :, None]
    influence -= r / 2 * (x**2)[:, None]
    influence -= r / 2 * y**2
    influence *= share
    return influence


def _of_inner_products(scaled: list[np.ndarray], white: list[np.ndarray]) -> tuple:
    """Return influences with V as it is; and, for more, √(xᵀ V⁻¹ x · yᵀ V⁻¹ y), r and squares."""
    own = [(v * w).sum(axis=1) for v, w in zip(scaled, white, strict=True)]
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.sqrt(np.outer(*own))
        r = (scaled[0] @ white[1].T / scale)[:, :, None]
        shares = [v * w / o[:, None] for v, w, o in zip(scaled, white, own, strict=True)]
        products = scaled[0][:, None] * white[1] + white[0][:, None] * scaled[1]
        influence = products / (2 * scale[:, :, None])
        influence -= r / 2 * (shares[0][:, None] + shares[1])
    return influence, scale, r, own


def _of_whitened(model: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Return influences on xᵀ V⁻¹ y / √(xᵀ V⁻¹ x · yᵀ V⁻¹ y)."""
    n_pairs = model.shape[1]
    size = round((1 + np.sqrt(1 + 8 * n_pairs)) / 2)
    row, col = np.triu_indices(size, k=1)
    scaled = [_unit_square(v) for v in (model, data)]
    square = []
    for side in scaled:
        square.append(np.zeros((len(side), size, size)))
        square[-1][:, row, col] = square[-1][:, col, row] = side
    sums = [s.sum(axis=2) for s in square]
    white = [whitened(v) for v in scaled]
    influence, scale, r, own = _of_inner_products(scaled, white)
    own_nodes = [_whitened_nodes(s, s, r, r, same=True) for s, r in zip(square, sums, strict=True)]
    with np.errstate(divide="ignore", invalid="ignore"):
        nodes = [p / o[:, None] for p, o in zip(own_nodes, own, strict=True)]
        node = _whitened_nodes(*square, *sums) / scale[:, :, None]
        node -= r / 2 * (nodes[0][:, None] + nodes[1])
    here = np.zeros((*influence.shape[:2], size))
    for i in range(size):
        here[:, :, i] = influence[:, :, (row == i) | (col == i)].sum(axis=2)
    missing = node - here
    # Shares a_i + a_j of the pairs of i sum to (size − 2) a_i once Σ a = 0.
    missing = (missing - missing.mean(axis=2, keepdims=True)) / (size - 2)
    return influence + missing[:, :, row] + missing[:, :, col]


def _whitened_nodes(x, y, sum_x, sum_y, *, same: bool = False) -> np.ndarray:
    """Return the derivative of xᵀ V⁻¹ y by the count of each condition, (n_x, n_y, size).

    `x`, `y` are squares, `sum_x`, `sum_y` their row sums; of each row with itself if `same`. With
    counts c, 2 xᵀ V⁻¹ y = Σ c_i c_j x_ij y_ij − Σ s_i r_i r'_i + o o' / γ, where s_i = c_i /
    (Σ c + 2 − 2 c_i), r_i = Σ c_j x_ij, o = Σ s_i r_i, γ = 1 + Σ s_i (see `_whitened_inner`).
    """
    size = x.shape[1]
    if same:
        pairs = (x * y).sum(axis=2)
        moved = 2 * np.einsum("mik,mi->mk", x, sum_y)
    else:
        pairs = np.einsum("mij,sij->msi", x, y, optimize=True)
        moved = np.einsum("mik,si->msk", x, sum_y) + np.einsum("mi,sik->msk", sum_x, y)
        sum_x, sum_y = sum_x[:, None], sum_y[None]
    own, all_ = 1 / size + 2 / size**2, 1 / size**2
    product = sum_x * sum_y
    first = product * own - product.sum(axis=-1, keepdims=True) * all_
    total = [s.sum(axis=-1, keepdims=True) for s in (sum_x, sum_y)]
    change = [s * (own + 1 / size) - t * all_ for s, t in zip((sum_x, sum_y), total, strict=True)]
    once = [t / size for t in total]
    last = (change[0] * once[1] + once[0] * change[1]) / 2
    last = last - once[0] * once[1] * (2 / size**2) / 4
    return (pairs - first - moved / size + last) / 2


def residuals(values: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what is left of rows, and their regression weights, (n_rows, n_given)."""
    # What is given may follow from the rest of it (two copies of an RDM): the shortest weights
    # then.
    weights = np.linalg.lstsq(given.T, values.T, rcond=1e-10)[0].T
    rest = values - weights @ given
    # A model that is among the given ones leaves rounding, whose correlation with data is noise.
    nothing = (rest**2).sum(axis=1) <= 1e-12 * (values**2).sum(axis=1)
    rest[nothing] = 0.0
    return rest, weights


def _unit_square(vectors: np.ndarray, weights: Weights = None) -> np.ndarray:
    """Return rows of mean square 1; NaN for rows of zeros."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = vectors / np.abs(vectors).max(axis=1, keepdims=True)
        return scaled / np.sqrt(np.average(scaled**2, axis=1, weights=weights))[:, None]


def _untied(vectors: np.ndarray) -> np.ndarray:
    """Return from how many others of its row each entry differs."""
    n = vectors.shape[1]
    ranked = _Ranked(vectors)
    untied = np.empty(vectors.shape)
    np.put_along_axis(untied, ranked.order, n - 1.0 - (ranked.last - ranked.first), axis=1)
    return untied
