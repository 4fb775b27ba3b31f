"""Intervals: of what people drawn again give, and of rates."""

from __future__ import annotations

import numpy as np
from scipy import stats

from rsa_faces._core.warning import warn

_ENOUGH = 20  # people, for whom intervals of 95 % of held-out correlations hold in about 90 %


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


def say_if_few(n_people: int) -> None:
    """Say that intervals of a held-out correlation are too narrow, where people are few.

    People are drawn from what was predicted, and nothing is trained anew: what other people would
    have taught is not in the interval (``scripts/simulate_intervals.py``).
    """
    if n_people < _ENOUGH:
        warn(
            f"intervals of held-out correlations of {n_people} people (or conditions) are too "
            "narrow, as nothing is trained anew on others: of 12 people, those of 95 % held the "
            "truth in about 84 % of simulated studies. p values do not go by them."
        )
