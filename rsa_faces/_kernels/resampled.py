"""Compiled inner loops of the rank methods: ranks of resampled RDMs and their products.

They release the interpreter lock and use one thread; callers run them side by side.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_DIGIT = 11  # bits sorted in one pass of the radix sort
_MASK = (1 << _DIGIT) - 1
_INDEX = 31  # bits of a key that hold where the entry came from
_LOW = (1 << _INDEX) - 1


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
    weights : ndarray of int, shape (n_drawn + 1,)
        How often each pair is in the sample; 0 at the end.

    Returns
    -------
    ranks : ndarray, shape (n_rdms, n_drawn + 1)
        Average ranks, cumulative weight − (w − 1) / 2 with ties together, minus their mean. Of no
        meaning at the end, but finite.
    squares : ndarray, shape (n_rdms,)
        Weighted sums of squared centred ranks.
    """
    n_rdms, n_pairs = order.shape
    total = np.int64(0)
    for w in weights:
        total += w
    ranks = np.empty((n_rdms, len(weights)))
    squares = np.zeros(n_rdms)
    for m in range(n_rdms):
        out = ranks[m]
        # No pair is there if all were drawn.
        out[-1] = 0.0
        # Twice the cumulative weight, counted from twice the mean rank, total + 1.
        before = -total
        square = 0.0
        if new[m].all():
            for i in range(n_pairs):
                place = places[order[m, i]]
                w = weights[place]
                rank = 0.5 * (before + w)
                out[place] = rank
                square += w * rank * rank
                before += 2 * w
        else:
            start = 0
            while start < n_pairs:
                group = weights[places[order[m, start]]]
                stop = start + 1
                while stop < n_pairs and not new[m, stop]:
                    group += weights[places[order[m, stop]]]
                    stop += 1
                rank = 0.5 * (before + group)
                square += group * rank * rank
                for i in range(start, stop):
                    out[places[order[m, i]]] = rank
                before += 2 * group
                start = stop
        squares[m] = square
    return ranks, squares


@njit(nogil=True, cache=True)
def _sort(keys, n, keys_to, histogram):  # noqa: D417
    """Sort the first n keys by all bits from _INDEX on, digit by digit. Return them."""
    largest = np.int64(0)
    for i in range(n):
        largest = max(largest, keys[i])
    shift = _INDEX
    while (largest >> shift) > 0:
        histogram[:] = 0
        for i in range(n):
            histogram[(keys[i] >> shift) & _MASK] += 1
        place = 0
        for digit in range(_MASK + 1):
            count = histogram[digit]
            histogram[digit] = place
            place += count
        for i in range(n):
            digit = (keys[i] >> shift) & _MASK
            keys_to[histogram[digit]] = keys[i]
            histogram[digit] += 1
        keys, keys_to = keys_to, keys
        shift += _DIGIT
    return keys


@njit(nogil=True, cache=True)
def pooled_sums(doubled, codes, weights, kendall):  # noqa: D417
    """Compare each subject with the ranks of the pooled others and of everyone, in one sample.

    Parameters
    ----------
    doubled : ndarray of int, shape (n_subjects, n_drawn)
        Twice the average ranks from 1, which are whole numbers, of the pairs that were drawn.
    codes : ndarray of int, shape (n_subjects, n_drawn)
        Each subject's values as 0, 1, … in their order. Used by Kendall only.
    weights : ndarray, shape (n_drawn,)
        How often each pair is in the sample, at least 1.
    kendall : bool
        Sums for Kendall's coefficients instead of rank correlations.

    Returns
    -------
    sums : ndarray, shape (2, n_subjects, 3)
        For the others (0) and everyone (1). Rank correlations: weighted sums of products, of the
        subject's squares and of the pool's squares, of centred average ranks. Kendall: concordant
        minus discordant pairs of entries, and pairs untied in the subject and in the pool. Zeros
        for the others if there are none.
    """
    n_subjects, n = doubled.shape
    sums = np.zeros((2, n_subjects, 3))
    totals = np.zeros(n, np.int64)
    keys = np.empty(n, np.int64)
    spare = np.empty(n, np.int64)
    ranks = np.empty(n)
    histogram = np.empty(_MASK + 1, np.int64)
    here = np.arange(n)
    index = np.empty(n, np.int64)
    groups = np.empty(n + 1, np.int64)
    n_codes = codes.max() + 1
    tree = np.empty(n_codes + 1)
    bucket = np.empty(n_codes)
    for t in range(n_subjects):
        for i in range(n):
            totals[i] += doubled[t, i]
    weight = 0.0
    for i in range(n):
        weight += weights[i]
    middle = (weight + 1.0) / 2.0
    # First everyone (once), then the others of each subject.
    for s in range(-1, n_subjects if n_subjects > 1 else 0):
        if s < 0:
            for i in range(n):
                keys[i] = (totals[i] << _INDEX) | i
        else:
            for i in range(n):
                keys[i] = ((totals[i] - doubled[s, i]) << _INDEX) | i
        ordered = _sort(keys, n, spare, histogram)
        before = 0.0
        square = 0.0
        tied = 0.0
        n_groups = 0
        start = 0
        while start < n:
            groups[n_groups] = start
            n_groups += 1
            stop = start
            group = 0.0
            key = ordered[start] >> _INDEX
            while stop < n and (ordered[stop] >> _INDEX) == key:
                group += weights[ordered[stop] & _LOW]
                stop += 1
            rank = before + (group + 1.0) / 2.0 - middle
            for i in range(start, stop):
                ranks[ordered[i] & _LOW] = rank
            square += group * rank * rank
            tied += group * group
            before += group
            start = stop
        groups[n_groups] = n
        if kendall:
            for i in range(n):
                index[i] = ordered[i] & _LOW
        which = 1 if s < 0 else 0
        for t in range(n_subjects):
            if s >= 0 and t != s:
                continue
            if kendall:
                total, own_tied = _concordance(
                    codes[t], weights, here, index, groups, n_groups, tree, bucket
                )
                sums[which, t, 0] = total
                sums[which, t, 1] = (weight * weight - own_tied) / 2.0
                sums[which, t, 2] = (weight * weight - tied) / 2.0
                continue
            product = 0.0
            own = 0.0
            for i in range(n):
                score = doubled[t, i] / 2.0 - middle
                product += weights[i] * score * ranks[i]
                own += weights[i] * score * score
            sums[which, t, 0] = product
            sums[which, t, 1] = own
            sums[which, t, 2] = square
    return sums


@njit(nogil=True, cache=True)
def _concordance(codes, weights, present, index, groups, n_groups, tree, bucket):  # noqa: D417
    """Return concordant minus discordant pairs, and the sum of squared ties of `codes`.

    Entries come in the order of the pool, tied ones in a group; a Fenwick tree over the codes
    tells how many before are below.
    """
    size = codes.max() + 1
    tree[: size + 1] = 0.0
    bucket[:size] = 0.0
    inside = 0.0
    total = 0.0
    for g in range(n_groups):
        for i in range(groups[g], groups[g + 1]):
            p = present[index[i]]
            below = 0.0
            node = codes[p]
            while node > 0:
                below += tree[node]
                node &= node - 1
            total += weights[p] * (2.0 * below + bucket[codes[p]] - inside)
        for i in range(groups[g], groups[g + 1]):
            p = present[index[i]]
            bucket[codes[p]] += weights[p]
            inside += weights[p]
            node = codes[p] + 1
            while node <= size:
                tree[node] += weights[p]
                node += node & -node
    tied = 0.0
    for code in range(size):
        tied += bucket[code] * bucket[code]
    return total, tied


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
