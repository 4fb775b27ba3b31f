"""Intervals: of what people drawn again give, and of rates."""

from __future__ import annotations

import numpy as np
from scipy import stats

from rsa_faces._core.numbers import fisher_z
from rsa_faces._core.student import half_width, jackknife_error

_N_BLOCKS = 20  # of people that are left out together


def narrow(n: int, n_groups: int = 1) -> float:
    """Return how much less than the true spread that of samples of n people is."""
    return np.sqrt((n - n_groups) / n)


def percentile_interval(
    samples: np.ndarray, n: int, level: float = 0.95, *, n_groups: int = 1, rate: bool = False
) -> np.ndarray:
    """Return both ends of the interval of what was drawn; NaN where no sample is defined.

    Percentiles of the samples, as much further out as few units ask for: by Student's t, and
    because samples of n spread less than as many others would (Hesterberg 2015,
    doi:10.1080/00031305.2015.1089789).

    Parameters
    ----------
    samples : ndarray, shape (n_boot, ...)
    n : int
        Number of independent units that were drawn: people, or groups of them that were drawn
        whole; not images.
    level : float, default 0.95
    n_groups : int, default 1
        Within how many groups they were drawn, or means of how many were taken off.
    rate : bool, default False
        Values are means over units of something between 0 and 1: where all units are alike, all
        samples are, and the interval is that of n units that hit or miss.

    Returns
    -------
    ndarray, shape (2, ...)
    """
    samples = np.asarray(samples, float)
    ends = np.full((2, *samples.shape[1:]), np.nan)
    known = np.isfinite(samples).any(axis=0)
    if (free := n - n_groups) < 1 or not known.any():
        return ends
    share = stats.norm.cdf(stats.t.ppf((1 - level) / 2, free) / narrow(n, n_groups))
    ends[:, known] = np.nanpercentile(samples[:, known], [100 * share, 100 - 100 * share], axis=0)
    if rate and (alike := np.ptp(ends, axis=0) <= 1e-12).any():
        ends[:, alike] = interval_of_rate(ends[0, alike], 0.0, n, 1 - level)
    return ends


def interval_of_rate(rate, error, n, alpha: float) -> np.ndarray:
    """Return that of Clopper and Pearson for as many independent units as give this error.

    Dependent ones are fewer than they look. An error of 0, where all units are alike, says nothing
    of that: then for n independent ones. Numbers or arrays; (2, ...).
    """
    rate, error = np.asarray(rate, float), np.asarray(error, float)
    spread = rate * (1 - rate)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Of n independent units a rate has the variance p(1 - p) / n.
        n = np.where((spread > 0) & ~(error**2 <= 1e-12 * spread), spread / error**2, n)
    hits = rate * n
    low = stats.beta.ppf(alpha / 2, hits, n - hits + 1)
    high = stats.beta.ppf(1 - alpha / 2, hits + 1, n - hits)
    return np.array([np.where(rate > 0, low, rate), np.where(rate < 1, high, rate)])


def blocks_of(units: np.ndarray, fold_of: np.ndarray) -> np.ndarray:
    """Return each condition's block, from 0: units (people) whole, those of a fold apart."""
    kinds, first, own = np.unique(units, return_index=True, return_inverse=True)
    block = np.empty(len(kinds), np.int64)
    block[np.lexsort((kinds, fold_of[first]))] = np.arange(len(kinds)) % _N_BLOCKS
    return block[own]


def refitted_interval(
    value: np.ndarray,
    samples: np.ndarray,
    left_out: np.ndarray,
    n: int,
    *,
    n_groups: int = 1,
    correlation: bool = True,
) -> np.ndarray:
    """Return both ends of the interval of 95 % of what is predicted of people left out.

    Predictions vary with the people they are of, and with those who taught them. Samples of people
    who were predicted know nothing of the second. A jackknife that fits anew without each block of
    people knows of both, but counts twice what one person's teaching does to another's prediction
    (Efron and Stein 1981, doi:10.1214/aos/1176345462). So the variance is the mean of both, which
    counts it once (``scripts/simulate_intervals.py``); correlations by Fisher's z.

    Parameters
    ----------
    value : ndarray, shape (...)
    samples : ndarray, shape (n_boot, ...)
        Of people drawn with replacement, nothing fitted anew.
    left_out : ndarray, shape (n_blocks, ...)
        Without each block (:func:`blocks_of`), fitted anew.
    n : int
        Number of people.
    n_groups : int, default 1
        Means of how many groups of them were taken off.
    correlation : bool, default True

    Returns
    -------
    ndarray, shape (2, ...)
        NaN where one block is undefined.
    """
    to_z = fisher_z if correlation else np.asarray
    value, samples, left_out = (to_z(x) for x in (value, samples, left_out))
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = np.nanvar(samples, axis=0) / narrow(n, n_groups) ** 2
    error = np.sqrt((drawn + jackknife_error(left_out) ** 2) / 2)
    half = half_width(error, len(left_out) - 1)
    ends = np.array([value - half, value + half])
    return np.tanh(ends) if correlation else ends
