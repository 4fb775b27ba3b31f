"""Ridge regression on inner products: everything that does not depend on the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import helmert

from rsa_faces._core.errors import InputError

# In units of the mean squared length of the training patterns.
STRENGTHS = tuple(10.0 ** np.arange(-4.0, 3.0))


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold: predictions and errors left out are linear in the training target.

    ``smoother[k] @ y`` are predictions of the held-out conditions at strength k;
    ``y @ errors[k] @ y`` is the sum of squared errors of training conditions when each (or each
    group) is left out in turn. ``products @ duals[k] @ y`` are predictions less the training mean.
    `errors` and `duals` are None where the strength is given.
    """

    train: np.ndarray
    test: np.ndarray
    smoother: np.ndarray
    errors: np.ndarray | None
    duals: np.ndarray | None = None

    def without(self, k: int, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return training targets that are fitted as if some rows were not there.

        Targets of these are replaced by what the other rows predict of them: a fit to them changes
        nothing, so that ``smoother[k] @`` the result is what is predicted without them, exactly.
        NaN if no row would be left.
        """
        if len(rows) == len(y):
            return np.full_like(y, np.nan)
        y = y.copy()
        if len(rows):
            left = self.duals[k][rows]
            y[rows] -= np.linalg.solve(left[:, rows], left @ y)
        return y


def fit_fold(
    products: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    strengths: np.ndarray,
    left_out: np.ndarray | None,
) -> Fold:
    """Solve ridge regression with intercept at all strengths.

    Parameters
    ----------
    products : ndarray, shape (n, n)
        Of all patterns, centred over the training rows.
    train, test : ndarray of int
    strengths : ndarray, shape (n_strengths,)
        In units of the mean squared length of the training patterns.
    left_out : ndarray of int, shape (n_train,), or None
        Which training conditions are left out together.

    Notes
    -----
    With V, s the eigenvectors and eigenvalues of the inner products K within the complement of
    the constant (the intercept is not penalised), residuals are R y, R = V diag(λ/(s+λ)) Vᵀ, and
    those of a group g that is left out are R_gg⁻¹ (R y)_g, exactly.
    """
    n = len(train)
    # The intercept takes one dimension of the training patterns: orthonormal contrasts are what is
    # left of them.
    contrasts = helmert(n)
    values, vectors = np.linalg.eigh(contrasts @ products[np.ix_(train, train)] @ contrasts.T)
    values = np.maximum(values, 0.0)
    vectors = contrasts.T @ vectors
    # In units of the patterns, so that a strength means the same for every layer.
    scale = values.sum() / n or 1.0
    # s + λ, shape (n_strengths, n - 1)
    sums = values + (strengths * scale)[:, None]
    to_test = products[np.ix_(test, train)] @ vectors
    # 1 / n: the intercept, the mean of the training targets.
    smoother = (to_test / sums[:, None]) @ vectors.T + 1 / n
    if left_out is None:
        return Fold(train, test, smoother, None)
    residuals = (vectors * (1 / sums)[:, None]) @ vectors.T
    held_out = _left_out(residuals, left_out)
    # Of targets y the sum of squared errors is yᵀEy: permuted ones need no fit of their own.
    return Fold(train, test, smoother, held_out.transpose(0, 2, 1) @ held_out, residuals)


def _left_out(residuals: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return R_gg⁻¹ R_g of every group g; a factor λ in R cancels. Shape (n_strengths, n, n)."""
    left = np.empty_like(residuals)
    kinds, sizes = np.unique(groups, return_counts=True)
    for size in np.unique(sizes):
        # Groups of one size are solved together: (n_groups, size) rows.
        rows = np.array([np.flatnonzero(groups == g) for g in kinds[sizes == size]])
        within = residuals[:, rows[:, :, None], rows[:, None, :]]
        left[:, rows] = np.linalg.solve(within, residuals[:, rows])
    return left


def deal_folds(groups: np.ndarray, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """Return each condition's fold: groups in random order are dealt out like cards."""
    n_groups = int(groups.max()) + 1
    if n_groups <= n_folds:
        return groups.copy()
    fold_of = np.empty(n_groups, dtype=np.int64)
    fold_of[rng.permutation(n_groups)] = np.arange(n_groups) % n_folds
    return fold_of[groups]


def check_strengths(strengths: Sequence[float]) -> np.ndarray:
    """Return strengths as an array; all finite and above 0."""
    chosen = np.asarray(strengths, float)
    if chosen.ndim != 1 or not len(chosen) or not (np.isfinite(chosen) & (chosen > 0)).all():
        raise InputError(f"expected strengths above 0, got {list(strengths)!r}.")
    return chosen


def middle(strengths: np.ndarray) -> float:
    """Return the strength to take where nothing can be left out to choose one."""
    return float(np.sort(strengths)[(len(strengths) - 1) // 2])


def can_leave_out(labels: np.ndarray, groups: np.ndarray) -> bool:
    """Return whether every class is still there when any one group is left out."""
    if len(np.unique(groups)) < 2:
        return False
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    counts: Sequence[int] = np.unique(pairs[0], return_counts=True)[1]
    return min(counts) > 1
