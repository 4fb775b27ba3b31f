"""Compiled inner loops of one pass over channels. Imported when needed: numba is slow to load."""

from __future__ import annotations

from numba import njit

# Sums may be taken in any order, so that they run in vectors; NaN and infinity stay what they are.
_ORDER = {"reassoc", "nsz", "contract"}


@njit(nogil=True, cache=True, fastmath=_ORDER)
def take_means_of_rows(rows, start, stop, rest, offsets, total):
    """Write ``rows[:, start:stop]`` without the mean of each row to `rest`, the means to `offsets`.

    rows (n, any), rest (n, stop − start), offsets (n,) of float64; what was written is added to
    total (stop − start,).
    """
    width = stop - start
    for i in range(len(rows)):
        row, left = rows[i, start:stop], rest[i]
        mean = 0.0
        for k in range(width):
            mean += row[k]
        mean /= width
        offsets[i] = mean
        # In float64: a mean rounded to float32 would leave its error in every channel alike.
        for k in range(width):
            value = left.dtype.type(row[k] - mean)
            left[k] = value
            total[k] += value


@njit(nogil=True, cache=True, fastmath=_ORDER)
def take_mean_row(rest, mean, toward):
    """Take `mean` off each row of `rest`; add what is left, times `mean`, to `toward`.

    rest (n, width), mean (width,), toward (n,) of float64.
    """
    for i in range(len(rest)):
        left = rest[i]
        product = 0.0
        for k in range(len(mean)):
            value = left[k] - mean[k]
            left[k] = value
            product += value * mean[k]
        toward[i] += product
