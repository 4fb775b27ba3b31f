"""Choices and means of numbers that rounding must not decide."""

from __future__ import annotations

import numpy as np

from rsa_faces._core.errors import InputError

#: Scores that differ by less than this share of the largest are equal.
EQUAL = 1e-9


def best_index(scores: np.ndarray, axis: int = -1, *, last: bool = False) -> np.ndarray:
    """Return where the largest score is: of equal ones the first, or the last.

    Parameters
    ----------
    scores : ndarray
        NaN is below all others.
    axis : int, default -1
    last : bool, default False
        Take the last of equal ones (the strongest of penalties in ascending order).

    Returns
    -------
    ndarray of int
        Scores are equal if they differ by at most 1e-9 of the largest absolute value: sums in
        another order differ in their last digits, and must not decide.

    Examples
    --------
    >>> from rsa_faces._core.numbers import best_index
    >>> best_index([0.1 + 0.2, 0.3, 0.1]), best_index([0.1 + 0.2, 0.3, 0.1], last=True)
    (np.int64(0), np.int64(1))
    """
    scores = np.asarray(scores, dtype=np.float64)
    known = np.where(np.isnan(scores), -np.inf, scores)
    largest = known.max(axis=axis, keepdims=True)
    size = np.where(np.isfinite(known), np.abs(known), 0.0).max(axis=axis, keepdims=True)
    equal = known >= largest - EQUAL * size
    if last:
        return scores.shape[axis] - 1 - np.flip(equal, axis=axis).argmax(axis=axis)
    return equal.argmax(axis=axis)


def fisher_z(r: np.ndarray) -> np.ndarray:
    """Return artanh of correlations; finite at −1 and 1, where rounding decides how far.

    Examples
    --------
    >>> from rsa_faces._core.numbers import fisher_z
    >>> fisher_z([0.0, 0.5, 1.0]).round(2)
    array([ 0.  ,  0.55, 14.16])
    """
    return np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))


def mean_correlation(r: np.ndarray, *, what: str = "correlations") -> float:
    """Return the mean of correlations by Fisher's z, tanh(mean(artanh r)).

    Raises
    ------
    InputError
        If one is below −1 or above 1 by more than rounding.

    Examples
    --------
    >>> from rsa_faces._core.numbers import mean_correlation
    >>> round(mean_correlation([0.5, 0.9]), 3)
    0.766
    """
    r = np.asarray(r, dtype=np.float64)
    if (np.abs(r) > 1 + EQUAL).any():
        raise InputError(f"expected {what} from -1 to 1, got {r[np.abs(r) > 1][0]:.6g}.")
    return float(np.tanh(fisher_z(r).mean()))


def mean_defined(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Return means over an axis of what is defined; NaN where nothing is."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values, 0.0).sum(axis=axis) / defined.sum(axis=axis)


def spearman_brown(r: float) -> float:
    """Return the reliability of the whole from the correlation of its halves, 2r / (1 + r)."""
    return 2 * r / (1 + r)
