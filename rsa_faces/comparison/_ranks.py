"""Ranks, codes and ties of many RDM vectors at once."""

from __future__ import annotations

import numpy as np


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
    n_rows, n_pairs = vectors.shape
    ranks = np.empty((n_rows, n_pairs))
    order = np.argsort(vectors, axis=1, kind="stable")
    position = np.arange(n_pairs)
    for row, index, out in zip(vectors, order, ranks, strict=True):
        sorted_row = row[index]
        first = np.concatenate([[True], sorted_row[1:] != sorted_row[:-1]])
        if first.all():
            out[index] = position + 1.0
            continue
        starts = np.flatnonzero(first)
        ends = np.append(starts[1:], n_pairs)
        out[index] = np.repeat((starts + ends + 1) / 2.0, ends - starts)
    return ranks


def dense_codes(vectors: np.ndarray) -> np.ndarray:
    """Return each row's values as integers 0, 1, … in their order; equal values share one."""
    codes = np.empty(vectors.shape, dtype=np.int64)
    for row, out in zip(vectors, codes, strict=True):
        out[:] = np.unique(row, return_inverse=True)[1]
    return codes


def tied_pairs(codes: np.ndarray) -> np.ndarray:
    """Count, in each row of codes, the pairs of entries that are equal."""
    counts = [np.bincount(row) for row in codes]
    return np.array([(c * (c - 1) // 2).sum() for c in counts], dtype=np.int64)
