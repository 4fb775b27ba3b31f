"""Compiled inner loops of the rank methods: ranks of resampled RDMs and their products.

They release the interpreter lock and use one thread; callers run them side by side.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_DIGIT = 11  # bits sorted in one pass of the radix sort
_MASK = (1 << _DIGIT) - 1


@njit(nogil=True, cache=True)
def resampled_ranks(order, new_group, weights):  # noqa: D417
    """Rank fixed RDMs in every resample.

    Parameters
    ----------
    order : ndarray of int, shape (n_rdms, n_pairs)
        Pairs of each RDM from the smallest value to the largest.
    new_group : ndarray of bool, shape (n_rdms, n_pairs)
        Whether an entry in that order differs from the one before it.
    weights : ndarray, shape (n_samples, n_pairs)
        How often each pair is in each sample.

    Returns
    -------
    ranks : ndarray, shape (n_samples, n_rdms, n_pairs)
        Average ranks, cumulative weight − (w − 1) / 2 with ties together, minus their mean. Of no
        meaning where the weight is 0.
    squares : ndarray, shape (n_samples, n_rdms)
        Weighted sums of squared centred ranks.
    """
    n_rdms, n_pairs = order.shape
    n_samples = len(weights)
    ranks = np.empty((n_samples, n_rdms, n_pairs))
    squares = np.zeros((n_samples, n_rdms))
    for m in range(n_rdms):
        tied = not new_group[m].all()
        for b in range(n_samples):
            w = weights[b]
            out = ranks[b, m]
            # Ranks are counted from minus the mean rank, (n + 1) / 2.
            before = -w.sum() / 2.0
            total = 0.0
            if not tied:
                for i in range(n_pairs):
                    p = order[m, i]
                    rank = before + w[p] / 2.0
                    out[p] = rank
                    total += w[p] * rank * rank
                    before += w[p]
            else:
                start = 0
                while start < n_pairs:
                    group = w[order[m, start]]
                    stop = start + 1
                    while stop < n_pairs and not new_group[m, stop]:
                        group += w[order[m, stop]]
                        stop += 1
                    rank = before + group / 2.0
                    total += group * rank * rank
                    for i in range(start, stop):
                        out[order[m, i]] = rank
                    before += group
                    start = stop
            squares[b, m] = total
    return ranks, squares


@njit(nogil=True, cache=True)
def _sort(keys, index, n, keys_to, index_to, histogram):  # noqa: D417
    """Sort the first n keys, 0 or more, digit by digit; index goes along. Return both."""
    largest = 0
    for i in range(n):
        largest = max(largest, keys[i])
    shift = 0
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
            to = histogram[digit]
            histogram[digit] += 1
            keys_to[to] = keys[i]
            index_to[to] = index[i]
        keys, keys_to = keys_to, keys
        index, index_to = index_to, index
        shift += _DIGIT
    return keys, index


@njit(nogil=True, cache=True)
def pooled_sums(doubled, codes, subjects, weights, kendall):  # noqa: D417
    """Compare each subject with the ranks of the pooled others and of everyone.

    Parameters
    ----------
    doubled : ndarray of int, shape (n_samples or 1, n_pairs, n_subjects)
        Twice the average ranks, which are whole numbers.
    codes : ndarray of int, shape (n_subjects, n_pairs)
        Each subject's values as 0, 1, … in their order.
    subjects : ndarray of int, shape (n_samples, n_subjects)
        How often each subject is in each sample.
    weights : ndarray, shape (n_samples or 1, n_pairs)
    kendall : bool
        Sums for Kendall's coefficients instead of rank correlations.

    Returns
    -------
    sums : ndarray, shape (2, n_samples, n_subjects, 3)
        For the others (0) and everyone (1). Rank correlations: weighted sums of products, of the
        subject's squares and of the pool's squares, of centred average ranks. Kendall: concordant
        minus discordant pairs of entries, and pairs untied in the subject and in the pool. Zeros
        where a subject is not in the sample, or is alone.
    """
    n_samples, n_subjects = subjects.shape
    n_pairs = doubled.shape[1]
    sums = np.zeros((2, n_samples, n_subjects, 3))
    present = np.empty(n_pairs, np.int64)
    totals = np.empty(n_pairs, np.int64)
    buffers = np.empty((4, n_pairs), np.int64)
    ranks = np.empty(n_pairs)
    groups = np.empty(n_pairs + 1, np.int64)
    histogram = np.empty(_MASK + 1, np.int64)
    tree = np.empty(n_pairs + 1)
    bucket = np.empty(n_pairs)
    for b in range(n_samples):
        twice = doubled[b if len(doubled) > 1 else 0]
        w = weights[b if len(weights) > 1 else 0]
        n_present = 0
        n = 0.0
        for p in range(n_pairs):
            if w[p] > 0.0:
                total = 0
                for t in range(n_subjects):
                    total += subjects[b, t] * twice[p, t]
                totals[n_present] = total
                present[n_present] = p
                n_present += 1
                n += w[p]
        middle = (n + 1.0) / 2.0
        drawn = subjects[b].sum()
        # First everyone (once), then the others of each subject.
        for s in range(-1, n_subjects):
            if s >= 0 and (subjects[b, s] == 0 or subjects[b, s] == drawn):
                continue
            for i in range(n_present):
                buffers[0, i] = totals[i]
                if s >= 0:
                    buffers[0, i] -= subjects[b, s] * twice[present[i], s]
                buffers[1, i] = i
            keys, index = _sort(
                buffers[0], buffers[1], n_present, buffers[2], buffers[3], histogram
            )
            before = 0.0
            square = 0.0
            tied = 0.0
            n_groups = 0
            start = 0
            while start < n_present:
                groups[n_groups] = start
                n_groups += 1
                stop = start
                group = 0.0
                while stop < n_present and keys[stop] == keys[start]:
                    group += w[present[index[stop]]]
                    stop += 1
                rank = before + (group + 1.0) / 2.0 - middle
                for i in range(start, stop):
                    ranks[index[i]] = rank
                square += group * rank * rank
                tied += group * group
                before += group
                start = stop
            groups[n_groups] = n_present
            which = 1 if s < 0 else 0
            for t in range(n_subjects):
                if subjects[b, t] == 0 or (s >= 0 and t != s):
                    continue
                if kendall:
                    total, own_tied = _concordance(
                        codes[t], w, present, index, groups, n_groups, tree, bucket
                    )
                    sums[which, b, t, 0] = total
                    sums[which, b, t, 1] = (n * n - own_tied) / 2.0
                    sums[which, b, t, 2] = (n * n - tied) / 2.0
                    continue
                product = 0.0
                own = 0.0
                for i in range(n_present):
                    p = present[i]
                    score = twice[p, t] / 2.0 - middle
                    product += w[p] * score * ranks[i]
                    own += w[p] * score * score
                sums[which, b, t, 0] = product
                sums[which, b, t, 1] = own
                sums[which, b, t, 2] = square
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
    total = np.empty((n_conditions, n_conditions))
    for k in range(start, stop):
        total[:] = 0.0
        for s in range(n_rdms):
            order = orders[k, s]
            for i in range(n_conditions):
                row = square[s, order[i]]
                for j in range(i + 1, n_conditions):
                    total[i, j] += row[order[j]]
        lengths[k] = 0.0
        for i in range(n_conditions):
            for j in range(i + 1, n_conditions):
                lengths[k] += total[i, j] * total[i, j]
