"""Student's t: tests and intervals of estimates with a standard error."""

from __future__ import annotations

import numpy as np
from scipy import stats


def t_test(
    estimate: np.ndarray | float,
    sem: np.ndarray | float,
    freedom: np.ndarray | float,
    tail: str = "two-sided",
) -> np.ndarray:
    """Return p of estimates against 0; NaN where the error is NaN, or both are 0.

    Examples
    --------
    >>> from rsa_faces._core.student import t_test
    >>> t_test([0.0, 2.0], 1.0, 10).round(4)
    array([1.    , 0.0734])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.divide(estimate, sem)
    if tail == "two-sided":
        return 2 * stats.t.sf(np.abs(t), freedom)
    return stats.t.sf(t if tail == "greater" else -t, freedom)


def half_width(
    sem: np.ndarray | float, freedom: np.ndarray | float, alpha: float = 0.05
) -> np.ndarray:
    """Return half the width of two-sided intervals; NaN without a degree of freedom.

    Examples
    --------
    >>> from rsa_faces._core.student import half_width
    >>> half_width([1.0, 2.0], 10).round(3)
    array([2.228, 4.456])
    """
    return stats.t.ppf(1 - alpha / 2, freedom) * np.asarray(sem)


def jackknife_error(left_out: np.ndarray) -> np.ndarray:
    """Return the standard error of an estimate from those without each unit, (n_units, ...).

    Examples
    --------
    >>> from rsa_faces._core.student import jackknife_error
    >>> jackknife_error([2.5, 2.0, 1.5])  # of the mean of 1, 2 and 3
    np.float64(0.5773502691896257)
    """
    return np.sqrt((len(left_out) - 1) * np.var(left_out, axis=0))
