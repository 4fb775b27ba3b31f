"""Compiled: a radix sort of many rows, and their ranks. See ``sort``."""

from __future__ import annotations

import numpy as np
from numba import njit

_DIGIT = 11  # bits sorted in one pass
_MASK = (1 << _DIGIT) - 1
N_BINS = _MASK + 1
_INDEX = 31  # bits of a key that hold where the entry came from


@njit(nogil=True, cache=True)
def sort_one(values, low, high, keys, spare, histogram, ordered, order):
    """Sort one row: roughly by digits of the scaled values, then exactly by insertion.

    Scaling to whole numbers keeps the order up to ties, so that few entries are out of place;
    where many are (a value far from all others), a comparison sort takes over.
    """
    n = len(values)
    n_digits = 2 if n <= 1 << 15 else 3
    scale = ((1 << (_DIGIT * n_digits)) - 1) / (high - low) if high > low else 0.0
    # Insertion is fast where digits have nearly sorted; of values that crowd in few cells it would
    # take n² steps.
    patience = 16 * n if np.isfinite(scale) and np.isfinite(high - low) else -1
    if patience > 0:
        for i in range(n):
            # Place and origin in one number: it is moved as a whole, and equal values keep their
            # order.
            keys[i] = (np.int64((values[i] - low) * scale) << _INDEX) | i
        for digit in range(n_digits):
            shift = _INDEX + digit * _DIGIT
            histogram[:] = 0
            for i in range(n):
                histogram[(keys[i] >> shift) & _MASK] += 1
            place = 0
            for k in range(_MASK + 1):
                count = histogram[k]
                histogram[k] = place
                place += count
            for i in range(n):
                k = (keys[i] >> shift) & _MASK
                spare[histogram[k]] = keys[i]
                histogram[k] += 1
            keys, spare = spare, keys
        for i in range(n):
            order[i] = np.int32(keys[i] & ((1 << _INDEX) - 1))
            ordered[i] = values[order[i]]
        for i in range(1, n):
            value = ordered[i]
            if ordered[i - 1] > value:
                here = order[i]
                j = i
                while j > 0 and ordered[j - 1] > value:
                    ordered[j] = ordered[j - 1]
                    order[j] = order[j - 1]
                    j -= 1
                ordered[j] = value
                order[j] = here
                patience -= i - j
                if patience < 0:
                    break
    if patience < 0:
        order[:] = np.argsort(values, kind="mergesort")
        for i in range(n):
            ordered[i] = values[order[i]]


@njit(nogil=True, cache=True)
def sort_rows(vectors, low, high, order, new, start, stop):
    """Sort the rows from start to stop."""
    n = vectors.shape[1]
    keys = np.empty(n, np.int64)
    spare = np.empty(n, np.int64)
    histogram = np.empty(_MASK + 1, np.int32)
    ordered = np.empty(n)
    for row in range(start, stop):
        sort_one(vectors[row], low[row], high[row], keys, spare, histogram, ordered, order[row])
        new[row, 0] = True
        for i in range(1, n):
            new[row, i] = ordered[i] != ordered[i - 1]


@njit(nogil=True, cache=True)
def rank_rows(vectors, low, high, ranks, squares, start, stop):
    """Rank the rows from start to stop."""
    n = vectors.shape[1]
    keys = np.empty(n, np.int64)
    spare = np.empty(n, np.int64)
    histogram = np.empty(_MASK + 1, np.int32)
    ordered = np.empty(n)
    order = np.empty(n, np.int32)
    for row in range(start, stop):
        sort_one(vectors[row], low[row], high[row], keys, spare, histogram, ordered, order)
        total = 0.0
        first = 0
        while first < n:
            after = first + 1
            while after < n and ordered[after] == ordered[first]:
                after += 1
            # Ranks from first + 1 to after, counted from the mean rank (n + 1) / 2.
            rank = (first + after - n) / 2.0
            for i in range(first, after):
                ranks[row, order[i]] = rank
            total += (after - first) * rank * rank
            first = after
        squares[row] = total


@njit(nogil=True, cache=True)
def any_closer(rows, limits, at, close):
    """Fill in whether two values of a row differ by its limit or less, for some of the rows."""
    n = rows.shape[1]
    size = 64
    while size < min(4 * n, 2**26):
        # A power of two, so that a cell is found by masking bits.
        size *= 2
    last, before = np.empty(size, np.int32), np.empty(n, np.int32)
    for row in at:
        last[:] = -1
        close[row] = _is_close(rows[row], limits[row], last, before)


@njit(nogil=True, cache=True)
def _is_close(values, limit, last, before):
    """Return whether two values differ by `limit` or less: such lie in one cell or side by side.

    Cells share places in a table by the last bits of their number; equal values are entered once.
    Of 32 limits a cell holds few values that are further apart.
    """
    n, size = len(values), len(last)
    per_cell = 1.0 / (32.0 * limit)
    for i in range(n):
        value = values[i]
        if np.isnan(value):
            continue
        place = value * per_cell
        cell = np.int64(np.floor(place))
        # Next door only from the edge; twice a limit of it, as places are rounded.
        inside = place - np.floor(place)
        # Equal values are entered once: a row of ties would be a chain of n.
        is_new = True
        for near in range(cell - (inside < 0.0625), cell + 1 + (inside > 0.9375)):
            j = last[near & (size - 1)]
            while j >= 0:
                gap = abs(value - values[j])
                if 0.0 < gap <= limit:
                    return True
                is_new &= gap > 0.0
                j = before[j]
        if is_new:
            before[i] = last[cell & (size - 1)]
            last[cell & (size - 1)] = i
    return False
