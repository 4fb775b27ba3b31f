"""Non-negative least squares from inner products."""

from __future__ import annotations

import numpy as np

from rsa_faces._kernels.choice import call


def nnls(gram: np.ndarray, target: np.ndarray, *, compiled: bool) -> np.ndarray:
    """Solve non-negative least squares from inner products.

    Parameters
    ----------
    gram : ndarray, shape (n_problems, n_predictors, n_predictors)
        XᵀX of each problem. A predictor whose diagonal is 0 gets no weight.
    target : ndarray, shape (n_problems, n_targets, n_predictors)
        Xᵀy of each problem.
    compiled : bool
        Whether there are so many problems that compiling pays.

    Returns
    -------
    ndarray, shape (n_problems, n_targets, n_predictors)
        The w ≥ 0 that minimise ‖y − X w‖.
    """
    if compiled:
        from rsa_faces._kernels._fits_loops import nnls_gram

        return call(nnls_gram, np.ascontiguousarray(gram), np.ascontiguousarray(target))
    from scipy import optimize

    weights = np.zeros(target.shape)
    for j, square in enumerate(gram):
        used = np.flatnonzero(np.diagonal(square) > 0)
        if not len(used):
            continue  # SciPy's solver frees memory twice where there is nothing to solve
        scale = np.sqrt(np.diagonal(square)[used])
        values, vectors = np.linalg.eigh(square[np.ix_(used, used)] / np.outer(scale, scale))
        # Rows R with RᵀR the inner products, and z with Rᵀz the targets.
        length = np.sqrt(np.maximum(values, 0.0))[:, None]
        # Lengths are roots: this is 1e-14 of a sum of squares, which is rounding.
        rows, kept = length * vectors.T, length[:, 0] > 1e-7
        for t, own in enumerate(target[j][:, used] / scale):
            z = (vectors.T[kept] @ own) / length[kept, 0]
            weights[j, t, used] = optimize.nnls(rows[kept], z)[0] / scale
    return weights
