"""Ties: dissimilarities that are equal but for rounding are made equal where an RDM is made.

Rank methods count a difference in the last digit like any other. Each measure knows how far the
rounding of its own computation goes; values closer than that, one after the other in order, become
one value: 0 (or 2, of angles) if that is among them, otherwise the middle one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rsa_faces._core.warning import warn
from rsa_faces._kernels.sort import any_closer

if TYPE_CHECKING:
    from rsa_faces.rdm._rdms import RDMs

UNIT = 2.0**-53
#: Of numbers that were read, not computed: the last digit of float64.
_LAST_DIGIT = 4 * UNIT


def rounding_of_sums(n_channels: int) -> float:
    """Return how far rounding goes in a sum of products over channels, over its length.

    Blocks of channels are summed in vectors; errors of random sign grow with the root of the
    number of terms. A factor of about four above the largest error in simulated data.
    """
    return UNIT * (8.0 + 2.0 * np.sqrt(n_channels))


def settle(values: np.ndarray, rounding, *, exact: tuple[float, ...] = (0.0,)) -> np.ndarray:
    """Make values equal that rounding alone sets apart.

    Parameters
    ----------
    values : ndarray, shape (n_pairs,) or (n_rdms, n_pairs)
        NaN stays.
    rounding : float or ndarray, like `values`
        How far each value may be from what it should be.
    exact : tuple of float
        Values that win over the middle of those they are tied with.

    Returns
    -------
    ndarray
        `values` themselves where there is nothing to do.
    """
    rows = np.atleast_2d(values)
    if rows.shape[1] < 2:
        return values
    bounds = np.broadcast_to(rounding, rows.shape)
    # First a cheap look: most RDMs have no two values this close, and are done with.
    limit = 2.0 * np.nanmax(bounds, axis=1, initial=0.0)
    if not limit.any():
        return values
    with np.errstate(invalid="ignore"):
        close = any_closer(rows, limit)
        for number in exact:
            if (near := np.abs(rows - number) <= bounds).any():
                close |= (near & (rows != number)).any(axis=1)
    if not close.any():
        return values
    settled = rows.copy()
    for i in np.flatnonzero(close):
        settled[i] = _settled(rows[i], bounds[i], exact)
    return settled.reshape(values.shape)


def _settled(values: np.ndarray, rounding: np.ndarray, exact: tuple[float, ...]) -> np.ndarray:
    """Settle one RDM."""
    order = np.argsort(values, kind="stable")
    order = order[: len(order) - int(np.isnan(values).sum())]
    ordered, bound = values[order], rounding[order]
    # Chains of neighbours are one value: where they end, the next is surely another.
    apart = np.diff(ordered) > bound[1:] + bound[:-1]
    starts = np.concatenate([[0], 1 + np.flatnonzero(apart)])
    stops = np.append(starts[1:], len(ordered))
    # The median of a chain: one of its own values, whatever rounding did at its ends.
    chosen = ordered[(starts + stops - 1) // 2]
    group = np.repeat(np.arange(len(starts)), stops - starts)
    for number in exact:
        chosen[group[np.abs(ordered - number) <= bound]] = number
    settled = values.copy()
    settled[order] = chosen[group]
    return settled


def values_repeat(patterns: np.ndarray) -> bool:
    """Return whether dissimilarities of patterns may be tied, from some of their channels.

    They may where values other than 0 come again and again (codes, counts), where patterns are
    equal, and with three channels or fewer. Otherwise only collinear patterns are, which shows in
    single dissimilarities of 0 or 2.
    """
    if patterns.shape[1] <= 3:
        return True
    few = patterns[:, :: max(1, patterns.shape[1] // 128)]
    if len({row.tobytes() for row in few + 0.0}) < len(few):  # -0.0 becomes 0.0
        return True
    # Silent channels repeat in any layer after a ReLU, and tie no distances.
    values = few[few != 0]
    return len(np.unique(values)) < 0.9 * len(values)


def noted(rdms: RDMs, where: str) -> RDMs:
    """Return RDMs that were read as they are; warn of values only rounding sets apart."""
    if n := n_almost_tied(rdms.vectors):
        warn(
            f"{n} dissimilarities of {where} differ from another of their RDM in the last digit "
            "only, as equal ones do after rounding; rank methods count that. They are left as they "
            "are: make the RDMs again, or round them, if they should be equal."
        )
    return rdms


def n_almost_tied(vectors: np.ndarray) -> int:
    """Return how many values differ from the next larger one of their RDM by rounding only."""
    n, rows = 0, np.atleast_2d(vectors)
    largest = np.fmax.reduce(np.abs(rows), axis=1, initial=0.0)
    for row in rows[any_closer(rows, _LAST_DIGIT * largest)]:
        ordered = np.sort(row)
        gaps = np.diff(ordered)
        n += int(((gaps > 0) & (gaps <= _LAST_DIGIT * np.abs(ordered[1:]))).sum())
    return n
