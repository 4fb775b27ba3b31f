"""Sorting and ranking of many RDM vectors."""

from __future__ import annotations

import numpy as np

from rsa_faces._kernels.choice import call, compiled_pays, in_threads

#: Values after which the compiled form pays.
LIMIT = 4 * 10**7


def sort_rows(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort each row.

    Parameters
    ----------
    vectors : ndarray, shape (n_rows, n_entries)
        Finite; at least one entry.

    Returns
    -------
    order : ndarray of int32, shape (n_rows, n_entries)
        Entries from the smallest to the largest, equal ones in the order they came.
    new : ndarray of bool, shape (n_rows, n_entries)
        Whether an entry in that order is larger than the one before it; the first one is.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float64)
    if not compiled_pays("_sort_loops", vectors.size, LIMIT):
        return plain_sort_rows(vectors)
    from rsa_faces._kernels import _sort_loops

    order = np.empty(vectors.shape, np.int32)
    new = np.empty(vectors.shape, np.bool_)
    in_threads(_sort_loops.sort_rows, len(vectors), vectors, *_range(vectors), order, new)
    return order, new


def plain_sort_rows(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Do what :func:`sort_rows` does, in NumPy."""
    order = np.argsort(vectors, axis=1, kind="stable")
    ordered = np.take_along_axis(vectors, order, axis=1)
    new = np.ones(vectors.shape, np.bool_)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=new[:, 1:])
    return order.astype(np.int32), new


def rank_rows(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return average ranks minus their mean, and their sums of squares.

    Parameters
    ----------
    vectors : ndarray, shape (n_rows, n_entries)
        Finite; at least one entry.

    Returns
    -------
    ranks : ndarray, shape (n_rows, n_entries)
    squares : ndarray, shape (n_rows,)
        0 for a constant row.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float64)
    if not compiled_pays("_sort_loops", vectors.size, LIMIT):
        return plain_rank_rows(vectors)
    from rsa_faces._kernels import _sort_loops

    ranks, squares = np.empty(vectors.shape), np.empty(len(vectors))
    in_threads(_sort_loops.rank_rows, len(vectors), vectors, *_range(vectors), ranks, squares)
    return ranks, squares


def plain_rank_rows(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Do what :func:`rank_rows` does, in NumPy."""
    from rsa_faces._kernels.resampled import plain_resampled_ranks

    return plain_resampled_ranks(*plain_sort_rows(vectors), np.ones(vectors.shape[1]))


def any_closer(rows: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return in which rows two values differ by the row's limit or less, but do differ.

    Parameters
    ----------
    rows : ndarray of float64, shape (n_rows, n_entries)
        NaN is far from all.
    limits : ndarray, shape (n_rows,)

    Returns
    -------
    ndarray of bool, shape (n_rows,)
    """
    close = np.zeros(len(rows), np.bool_)
    # Cells of the compiled form are finer than the values themselves: few are that close.
    coarse = np.fmax.reduce(np.abs(rows), axis=1, initial=0.0) < limits * 2.0**52
    if compiled_pays("_sort_loops", rows.size, LIMIT):
        from rsa_faces._kernels import _sort_loops

        at = np.flatnonzero(coarse)
        call(_sort_loops.any_closer, np.ascontiguousarray(rows), limits, at, close)
    else:
        coarse[:] = False
    for i in np.flatnonzero(~coarse):
        gaps = np.diff(np.sort(rows[i]))
        close[i] = ((gaps > 0) & (gaps <= limits[i])).any()
    return close


def _range(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and largest value of each row."""
    return vectors.min(axis=1), vectors.max(axis=1)
