"""Chance: how often permutations reach what was observed."""

from __future__ import annotations

import numpy as np

# Sums in another order differ in their last digits.
_ROUNDING = 1e-12


def reached(null: np.ndarray, observed: np.ndarray, size: np.ndarray | float = 1.0) -> np.ndarray:
    """Tell which values of permutations are at least what was observed.

    Parameters
    ----------
    null : ndarray
        Values of permutations. What is undefined (NaN) in one of them counts as reached: it does
        not show that the observed value is rare.
    observed : ndarray
        Broadcast against them.
    size : ndarray or float, default 1
        Size of the numbers that the observed value is made of, where it is larger than the value.
        What differs by at most 1e-12 of the larger of both counts as equal, at 0 as well.

    Returns
    -------
    ndarray of bool

    Examples
    --------
    >>> from rsa_faces._core.chance import reached
    >>> reached([0.1, 0.1 + 0.2, float("nan")], 0.3)
    array([False,  True,  True])
    """
    observed = np.asarray(observed, dtype=np.float64)
    return ~(np.asarray(null) < observed - _ROUNDING * np.maximum(np.abs(observed), size))


def share(n_reached: np.ndarray, n: int, observed: np.ndarray | float) -> np.ndarray:
    """Return p, (1 + number reached) / (1 + n); NaN of an undefined value, or if n is 0."""
    p = (1 + np.asarray(n_reached)) / (1 + n)
    return np.where(np.isnan(observed) | (n == 0), np.nan, p)[()]


def p_of(observed: np.ndarray, null: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return p of each value, alone and against the largest of all in the same permutation.

    Parameters
    ----------
    observed : array_like, shape (...)
        Values that are tested together (Westfall and Young); an undefined one (NaN) has p NaN, and
        is not among those that the largest is of.
    null : array_like, shape (..., n_permutations)

    Returns
    -------
    p, p_corrected : ndarray, shape (...)
        From 1 / (1 + n_permutations) to 1; NaN without permutations.

    Examples
    --------
    >>> from rsa_faces._core.chance import p_of
    >>> p_of([0.5, 0.3], [[0.1, 0.2, 0.6], [0.4, 0.1, 0.0]])
    (array([0.5, 0.5]), array([0.5 , 0.75]))
    """
    observed, null = np.asarray(observed, dtype=np.float64), np.asarray(null, dtype=np.float64)
    n, largest = null.shape[-1], largest_of(null, observed)
    alone, together = (reached(x, observed[..., None]).sum(axis=-1) for x in (null, largest))
    return share(alone, n, observed), share(together, n, observed)


def largest_of(null: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return the largest of each permutation over what is defined; null (..., n_permutations).

    What one permutation leaves undefined may be as large as any.
    """
    known = null[~np.isnan(observed)]
    return np.where(np.isnan(known), np.inf, known).max(axis=0, initial=-np.inf)
