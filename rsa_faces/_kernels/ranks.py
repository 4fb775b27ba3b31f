"""Ranks, codes and ties of many RDM vectors at once."""

from __future__ import annotations

import numpy as np

from rsa_faces._kernels.sort import rank_rows, sort_rows


def average_ranks(vectors: np.ndarray) -> np.ndarray:
    """Rank each row from 1; equal values share the mean of their ranks.

    Parameters
    ----------
    vectors : ndarray, shape (n_rows, n_pairs)
        Without NaN.

    Returns
    -------
    ndarray, shape (n_rows, n_pairs)
    """
    return centred_ranks(vectors)[0] + (vectors.shape[1] + 1) / 2


def centred_ranks(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return average ranks minus their mean, and their sums of squares (0 for a constant row)."""
    return rank_rows(vectors)


def dense_codes(vectors: np.ndarray) -> np.ndarray:
    """Return each row's values as integers 0, 1, … in their order; equal values share one."""
    order, new = sort_rows(vectors)
    codes = np.empty(vectors.shape, dtype=np.int64)
    np.put_along_axis(codes, order, np.cumsum(new, axis=1) - 1, axis=1)
    return codes
