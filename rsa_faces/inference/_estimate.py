"""What is known of mean similarities: theirs and their errors, however these were found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Estimate:
    """Similarities with what is known of their errors.

    Parameters
    ----------
    similarity : ndarray, shape (n_model, n_subjects)
        Observed.
    variance : ndarray, shape (n_model + 2,)
        Variances of the models' means, then of the lower and upper ceiling.
    difference_variance : ndarray, shape (n_model + 2, n_model + 2)
        The same of all differences.
    freedom : int
        Degrees of freedom of t-tests.
    samples : ndarray, shape (n_boot, n_model + 2)
        Bootstrap samples of what was drawn; none with an analytic uncertainty.
    """

    similarity: np.ndarray
    variance: np.ndarray
    difference_variance: np.ndarray
    freedom: int
    samples: np.ndarray


def of_differences(covariance: np.ndarray) -> np.ndarray:
    """Return the variance of the difference of any two columns, (n, n)."""
    own = np.diagonal(covariance)
    total = own[:, None] + own
    difference = total - 2 * covariance
    # What rounding leaves of two columns that are the same.
    return np.where(np.abs(difference) < 1e-13 * np.abs(total), 0.0, difference)
