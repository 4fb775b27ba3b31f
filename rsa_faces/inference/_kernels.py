"""Compiled inner loops of the rank methods: ranks of resampled RDMs and their products.

They release the interpreter lock and use one thread; callers run them side by side.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_DIGIT = 11  # bits sorted in one pass of the radix sort


@njit(nogil=True, cache=True)
def centred_ranks(order, new_group, weights):  # noqa: D417
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
def pooled_rank_sums(doubled, subjects, weights):  # noqa: D417
    """Correlate each subject's ranks with the ranks of the pooled others and of everyone.

    Parameters
    ----------
    doubled : ndarray of int, shape (n_samples, n_pairs, n_subjects)
        Twice the average ranks, which are whole numbers.
    subjects : ndarray of int, shape (n_samples, n_subjects)
        How often each subject is in each sample.
    weights : ndarray, shape (n_samples, n_pairs)

    Returns
    -------
    sums : ndarray, shape (2, n_samples, n_subjects, 3)
        For the others (0) and everyone (1): weighted sums of products, of the subject's squares
        and of the pool's squares, of centred average ranks. Zeros where a subject is not in the
        sample, or is alone.
    """
    n_samples, n_pairs, n_subjects = doubled.shape
    sums = np.zeros((2, n_samples, n_subjects, 3))
    present = np.empty(n_pairs, np.int64)
    keys = np.empty(n_pairs, np.int64)
    index = np.empty(n_pairs, np.int64)
    other_keys = np.empty(n_pairs, np.int64)
    other_index = np.empty(n_pairs, np.int64)
    ranks = np.empty(n_pairs)
    histogram = np.empty(1 << _DIGIT, np.int64)
    for b in range(n_samples):
        n_present = 0
        n = 0.0
        for p in range(n_pairs):
            if weights[b, p] > 0.0:
                present[n_present] = p
                n_present += 1
                n += weights[b, p]
        middle = (n + 1.0) / 2.0
        drawn = subjects[b].sum()
        # First everyone (once), then the others of each subject.
        for s in range(-1, n_subjects):
            if s >= 0 and (subjects[b, s] == 0 or subjects[b, s] == drawn):
                continue
            largest = 0
            for i in range(n_present):
                p = present[i]
                key = 0
                for t in range(n_subjects):
                    if t != s:
                        key += subjects[b, t] * doubled[b, p, t]
                keys[i] = key
                index[i] = i
                largest = max(largest, key)
            shift = 0
            while (largest >> shift) > 0:
                histogram[:] = 0
                for i in range(n_present):
                    histogram[(keys[i] >> shift) & ((1 << _DIGIT) - 1)] += 1
                place = 0
                for digit in range(1 << _DIGIT):
                    count = histogram[digit]
                    histogram[digit] = place
                    place += count
                for i in range(n_present):
                    digit = (keys[i] >> shift) & ((1 << _DIGIT) - 1)
                    to = histogram[digit]
                    histogram[digit] += 1
                    other_keys[to] = keys[i]
                    other_index[to] = index[i]
                keys, other_keys = other_keys, keys
                index, other_index = other_index, index
                shift += _DIGIT
            before = 0.0
            start = 0
            square = 0.0
            while start < n_present:
                stop = start
                group = 0.0
                while stop < n_present and keys[stop] == keys[start]:
                    group += weights[b, present[index[stop]]]
                    stop += 1
                rank = before + (group + 1.0) / 2.0 - middle
                for i in range(start, stop):
                    ranks[index[i]] = rank
                square += group * rank * rank
                before += group
                start = stop
            for t in range(n_subjects):
                if subjects[b, t] == 0 or (s >= 0 and t != s):
                    continue
                product = 0.0
                own = 0.0
                for i in range(n_present):
                    p = present[i]
                    score = doubled[b, p, t] / 2.0 - middle
                    product += weights[b, p] * score * ranks[i]
                    own += weights[b, p] * score * score
                which = 1 if s < 0 else 0
                sums[which, b, t, 0] = product
                sums[which, b, t, 1] = own
                sums[which, b, t, 2] = square
    return sums
