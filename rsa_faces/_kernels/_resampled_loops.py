"""Compiled: ranks of resampled RDMs, and lengths of shuffled ones. See ``resampled``.

They release the interpreter lock and use one thread; callers run them side by side.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def resampled_ranks(order, new, places, weights):  # noqa: D417
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
def shuffled_lengths(square, orders, lengths, start, stop):  # noqa: D417
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
