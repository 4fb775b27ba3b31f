"""Compiled: ranks of resampled and pooled RDMs, and lengths of shuffled ones. See ``resampled``.

They release the interpreter lock and use one thread; callers run them side by side.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_DIGIT = 11  # bits sorted in one pass, at most
_INDEX = 31  # bits of a key that hold where the entry came from
_LOW = (1 << _INDEX) - 1


@njit(nogil=True, cache=True)
def resampled_ranks(order, new, places, weights):
    """Rank fixed RDMs in one resample.

    Parameters
    ----------
    order : ndarray of int, shape (n_rdms, n_pairs)
        Pairs of each RDM from the smallest value to the largest.
    new : ndarray of bool, shape (n_rdms, n_pairs)
        Whether an entry in that order differs from the one before it.
    places : ndarray of int, shape (n_pairs,)
        Where each pair is among those that were drawn; n_drawn for all others.
    weights : ndarray, shape (n_drawn + 1,)
        How often each pair is in the sample; 0 at the end.

    Returns
    -------
    ranks : ndarray, shape (n_rdms, n_drawn + 1)
        Average ranks, cumulative weight − (w − 1) / 2 with ties together, minus their mean. Of no
        meaning at the end, but finite.
    squares : ndarray, shape (n_rdms,)
        Weighted sums of squared centred ranks.
    """
    n_rdms = len(order)
    ranks = np.empty((n_rdms, len(weights)))
    squares = np.empty(n_rdms)
    for m in range(n_rdms):
        # No pair is there if all were drawn.
        ranks[m, -1] = 0.0
        squares[m] = rank_sorted(order[m], new[m], places, weights, ranks[m])
    return ranks, squares


@njit(nogil=True, cache=True)
def rank_sorted(order, new, places, weights, out):
    """Fill in the centred weighted ranks of one sorted row at their places; return their squares.

    Arguments as for :func:`resampled_ranks`, of one RDM.
    """
    n = len(order)
    total = 0.0
    for w in weights:
        total += w
    # Twice the cumulative weight, counted from twice the mean rank, total + 1.
    before = -total
    square = 0.0
    if new.all():
        for i in range(n):
            place = places[order[i]]
            w = weights[place]
            rank = 0.5 * (before + w)
            out[place] = rank
            square += w * rank * rank
            before += 2 * w
        return square
    start = 0
    while start < n:
        group = weights[places[order[start]]]
        stop = start + 1
        while stop < n and not new[stop]:
            group += weights[places[order[stop]]]
            stop += 1
        rank = 0.5 * (before + group)
        square += group * rank * rank
        for i in range(start, stop):
            out[places[order[i]]] = rank
        before += 2 * group
        start = stop
    return square


@njit(nogil=True, cache=True)
def pooled_sums(doubled, weights):
    """Sum products of each subject's ranks with those of pooled subjects, in one resample.

    Parameters
    ----------
    doubled : ndarray of int64, shape (n_subjects, n_pairs)
        Twice the centred average ranks. Twice their summed range is below 2³², n_pairs below 2³¹.
    weights : ndarray, shape (n_pairs,)
        How often each pair is in the sample, above 0.

    Returns
    -------
    products, squares : ndarray, shape (2, n_subjects)
        Weighted sums with the ranks of the pooled others (0) and of all (1), and of squares of
        these pools' ranks.
    """
    n_subjects, n = doubled.shape
    products = np.zeros((2, n_subjects))
    squares = np.zeros((2, n_subjects))
    totals = np.zeros(n, np.int64)
    for s in range(n_subjects):
        for i in range(n):
            totals[i] += doubled[s, i]
    weight = 0.0
    for i in range(n):
        weight += weights[i]
    keys, spare = np.empty(n, np.int64), np.empty(n, np.int64)
    histogram = np.empty(1 << _DIGIT, np.int32)
    ranks = np.empty(n)
    # First all, then the others of each subject.
    for s in range(-1, n_subjects):
        low = high = totals[0] - (doubled[s, 0] if s >= 0 else 0)
        for i in range(n):
            key = totals[i] - (doubled[s, i] if s >= 0 else 0)
            keys[i] = key
            low, high = min(low, key), max(high, key)
        for i in range(n):
            keys[i] = ((keys[i] - low) << _INDEX) | i
        ordered = _sorted(keys, spare, histogram, high - low)
        # Twice the cumulative weight, counted from twice the mean rank.
        before = -weight
        square = product = 0.0
        start = 0
        while start < n:
            key = ordered[start] >> _INDEX
            stop = start
            group = own = 0.0
            while stop < n and ordered[stop] >> _INDEX == key:
                i = ordered[stop] & _LOW
                group += weights[i]
                if s >= 0:
                    own += weights[i] * doubled[s, i]
                stop += 1
            rank = 0.5 * (before + group)
            square += group * rank * rank
            product += own * rank
            if s < 0:
                for j in range(start, stop):
                    i = ordered[j] & _LOW
                    ranks[i] = rank * weights[i]
            before += 2 * group
            start = stop
        if s >= 0:
            squares[0, s], products[0, s] = square, product / 2
            continue
        squares[1] = square
        for t in range(n_subjects):
            product = 0.0
            for i in range(n):
                product += doubled[t, i] * ranks[i]
            products[1, t] = product / 2
    return products, squares


@njit(nogil=True, cache=True)
def _sorted(keys, spare, histogram, largest):
    """Sort keys by their bits from _INDEX on, of which `largest` is the largest; return them."""
    n_bits = 0
    while largest >> n_bits > 0:
        n_bits += 1
    n_digits = (n_bits + _DIGIT - 1) // _DIGIT
    width = (n_bits + n_digits - 1) // max(n_digits, 1)
    mask = (1 << width) - 1
    for digit in range(n_digits):
        shift = _INDEX + digit * width
        histogram[: mask + 1] = 0
        for key in keys:
            histogram[(key >> shift) & mask] += 1
        place = 0
        for k in range(mask + 1):
            count = histogram[k]
            histogram[k] = place
            place += count
        for key in keys:
            k = (key >> shift) & mask
            spare[histogram[k]] = key
            histogram[k] += 1
        keys, spare = spare, keys
    return keys


@njit(nogil=True, cache=True)
def shuffled_lengths(square, orders, lengths, start, stop):
    """Fill in squared lengths of summed RDM vectors, each RDM in an order of its own.

    Parameters
    ----------
    square : ndarray, shape (n_rdms, n_conditions, n_conditions)
    orders : ndarray of int, shape (n_orders, n_rdms, n_conditions)
    lengths : ndarray, shape (n_orders,)
        Filled from start to stop.
    """
    n_rdms, n_conditions = orders.shape[1:]
    total = np.empty(n_conditions)
    for k in range(start, stop):
        length = 0.0
        for i in range(n_conditions):
            total[:] = 0.0
            for s in range(n_rdms):
                order = orders[k, s]
                row = square[s, order[i]]
                for j in range(i + 1, n_conditions):
                    total[j] += row[order[j]]
            for j in range(i + 1, n_conditions):
                length += total[j] * total[j]
        lengths[k] = length
