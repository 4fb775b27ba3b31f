"""Compiled loops of flexible models: non-negative fits and similarities on held-out pairs."""

from __future__ import annotations

import numpy as np
from numba import njit

from rsa_faces._kernels._kendall_loops import concordance
from rsa_faces._kernels._resampled_loops import rank_sorted
from rsa_faces._kernels._sort_loops import N_BINS, sort_one

# Of predictors of length 1: a slope below the first is 0, a pivot below the second is that of one
# that follows from those before it.
_TOLERANCE = 1e-12
_SINGULAR = 1e-13


@njit(nogil=True, cache=True)
def nnls_gram(gram, target):
    """Solve non-negative least squares from inner products, by the active set of Lawson & Hanson.

    Parameters
    ----------
    gram : ndarray, shape (n_problems, n_predictors, n_predictors)
        XᵀX of each problem. A predictor whose diagonal is 0 gets no weight.
    target : ndarray, shape (n_problems, n_targets, n_predictors)
        Xᵀy of each problem.

    Returns
    -------
    ndarray, shape (n_problems, n_targets, n_predictors)
        The w ≥ 0 that minimise ‖y − X w‖.
    """
    n_problems, n_targets, size = target.shape
    weights = np.zeros(target.shape)
    scale = np.empty(size)
    a = np.empty((size, size))
    b = np.empty(size)
    x = np.empty(size)
    step = np.empty(size)
    factor = np.empty((size, size))
    passive = np.empty(size, np.int64)
    state = np.empty(size, np.int64)  # 0 at its bound, 1 free, 2 tried in vain, 3 never
    for j in range(n_problems):
        for k in range(size):
            d = gram[j, k, k]
            scale[k] = 1.0 / np.sqrt(d) if d > 0.0 else 0.0
        for k in range(size):
            for m in range(size):
                # Predictors of length 1: one tolerance then fits all of them.
                a[k, m] = gram[j, k, m] * scale[k] * scale[m]
        for t in range(n_targets):
            largest = 0.0
            for k in range(size):
                b[k] = target[j, t, k] * scale[k]
                x[k] = 0.0
                state[k] = 0 if scale[k] > 0.0 else 3
                largest = max(largest, abs(b[k]))
            n_passive = 0
            # Rounding could let a predictor come and go for ever; a bound ends that.
            for _ in range(10 * size + 10):
                best = -1
                highest = _TOLERANCE * largest
                for k in range(size):
                    if state[k] == 0:
                        slope = b[k]
                        for i in range(n_passive):
                            slope -= a[k, passive[i]] * x[passive[i]]
                        if slope > highest:
                            best, highest = k, slope
                if best < 0:
                    break
                passive[n_passive] = best
                n_passive += 1
                state[best] = 1
                fine = _solve_passive(a, b, passive, n_passive, factor, step)
                # One that follows from the others, or whose weight rounding makes negative at once,
                # is not tried again before something else has changed.
                if not fine or step[n_passive - 1] <= 0.0:
                    n_passive -= 1
                    state[best] = 2
                    continue
                while True:
                    # As far towards the solution as no weight turns negative.
                    share = 1.0
                    for i in range(n_passive):
                        if step[i] <= 0.0:
                            k = passive[i]
                            share = min(share, x[k] / (x[k] - step[i]))
                    for i in range(n_passive):
                        k = passive[i]
                        x[k] += share * (step[i] - x[k])
                    if share >= 1.0:
                        break
                    kept = 0
                    for i in range(n_passive):
                        k = passive[i]
                        if step[i] <= 0.0 and x[k] <= 1e-15 * largest:
                            x[k] = 0.0
                            state[k] = 0
                        else:
                            passive[kept] = k
                            kept += 1
                    n_passive = kept
                    _solve_passive(a, b, passive, n_passive, factor, step)
                for k in range(size):
                    if state[k] == 2:
                        state[k] = 0
            for k in range(size):
                weights[j, t, k] = x[k] * scale[k]
    return weights


@njit(nogil=True, cache=True)
def _solve_passive(a, b, passive, n, factor, out):
    """Solve for the free predictors by Cholesky; False where the last depends on the others."""
    for i in range(n):
        for m in range(i + 1):
            value = a[passive[i], passive[m]]
            for q in range(m):
                value -= factor[i, q] * factor[m, q]
            if i == m:
                if value <= _SINGULAR:
                    return False
                factor[i, i] = np.sqrt(value)
            else:
                factor[i, m] = value / factor[m, m]
    for i in range(n):
        value = b[passive[i]]
        for q in range(i):
            value -= factor[i, q] * out[q]
        out[i] = value / factor[i, i]
    for i in range(n - 1, -1, -1):
        value = out[i]
        for q in range(i + 1, n):
            value -= factor[q, i] * out[q]
        out[i] = value / factor[i, i]
    return True


@njit(nogil=True, cache=True)
def _transform(values, w, counts, pairs, n, code, targets, room):
    """Bring values to the form that is compared; return its squared length.

    `pairs`: the first and the second condition of each. `targets`, which are filled in: values,
    centred values, or centred ranks; what products are taken with (the whitened values, else the
    same); for Kendall the codes, and then the number of untied pairs is returned. `room` is what
    sorting needs.
    """
    out, other, codes = targets
    if code in (2, 3, 4, 5):
        order, new, ordered, keys, spare, histogram, plain = room
        low, high = values[0], values[0]
        for p in range(n):
            low, high = min(low, values[p]), max(high, values[p])
        sort_one(values[:n], low, high, keys[:n], spare[:n], histogram, ordered[:n], order[:n])
        total = 0.0
        tied = 0.0
        group = 0.0
        n_groups = 0
        for i in range(n):
            new[i] = i == 0 or ordered[i] != ordered[i - 1]
            if new[i]:
                tied += group * group
                group = 0.0
                n_groups += 1
            codes[order[i]] = n_groups - 1
            group += w[order[i]]
            total += w[order[i]]
        tied += group * group
        squares = rank_sorted(order[:n], new[:n], plain, w[:n], out)
        other[:n] = out[:n]
        if code > 3:
            return (total * total - tied) / 2.0
        return squares if n_groups > 1 else 0.0
    mean = 0.0
    raw = 0.0
    if code in (1, 7):
        total = 0.0
        for p in range(n):
            mean += w[p] * values[p]
            raw += w[p] * values[p] * values[p]
            total += w[p]
        mean /= total
    plain = 0.0
    for p in range(n):
        out[p] = values[p] - mean
        other[p] = out[p]
        plain += w[p] * out[p] * out[p]
    # What rounding leaves of a constant RDM is nothing.
    if plain <= 1e-13 * raw:
        return 0.0
    if code < 6:
        return plain
    first, second = pairs
    # V⁻¹ under counts: see _weighted._whitened_inner.
    size = len(counts)
    rows = np.zeros(size)
    for p in range(n):
        rows[first[p]] += counts[second[p]] * out[p]
        rows[second[p]] += counts[first[p]] * out[p]
    total = counts.sum()
    once = 0.0
    gamma = 1.0
    most = np.argmax(counts)
    for i in range(size):
        if i != most:
            g = total + 2.0 - 2.0 * counts[i]
            once += counts[i] / g * rows[i]
            gamma += counts[i] / g
    g = total + 2.0 - 2.0 * counts[most] + counts[most] / gamma
    largest = (rows[most] - once / gamma) / g
    # The sum of c u over all conditions.
    middle = (once + counts[most] * largest) / gamma
    for i in range(size):
        if i == most:
            rows[i] = largest
        else:
            rows[i] = (rows[i] - middle) / (total + 2.0 - 2.0 * counts[i])
    squares = 0.0
    for p in range(n):
        other[p] = (out[p] - rows[first[p]] - rows[second[p]]) / 2.0
        squares += w[p] * out[p] * other[p]
    # Sums of squares that cancel to less than this are a constant row's rounding.
    return squares if squares > 1e-13 * plain else 0.0


@njit(nogil=True, cache=True)
def _groups(order, new, n, ends):
    """Fill in where each group of ties ends in sorted entries; return their number."""
    n_groups = 0
    for i in range(1, n):
        if new[i]:
            ends[n_groups] = i
            n_groups += 1
    ends[n_groups] = n
    return n_groups + 1


@njit(nogil=True, cache=True)
def held_out_similarities(layers, starts, weights, data, conditions, subjects, code):
    """Compare predictions with the test subjects on the pairs of the test conditions.

    Parameters
    ----------
    layers : ndarray, shape (n_layers, n_pairs)
        Layers of all networks, one network after the other.
    starts : ndarray of int, shape (n_networks + 1,)
        Where the layers of each network start.
    weights : ndarray, shape (n_splits, n_folds, n_subject_folds, n_layers)
        Weights fitted when this fold of conditions and of subjects was left out.
    data : ndarray, shape (n_subjects, n_pairs)
    conditions : pair of ndarray, shape (n_splits, n_conditions)
        How often each condition is in the sample, and its fold; -1 where it is not in it.
    subjects : pair of ndarray, shape (n_splits, n_subjects)
        The same of subjects.
    code : int
        `code` of the method (:class:`rsa_faces.comparison.Method`).

    Returns
    -------
    ndarray, shape (n_splits, n_folds, n_networks + 2, n_subjects)
        Similarity of each network's prediction, of the pooled training subjects and of everyone
        pooled, with each subject; NaN where a subject is not in the sample, or none is defined.
    """
    counts, folds = conditions
    subject_counts, subject_folds = subjects
    n_splits, n_folds, n_subject_folds, n_layers = weights.shape
    n_networks = len(starts) - 1
    n_subjects, n_pairs = data.shape
    n_conditions = counts.shape[1]
    result = np.full((n_splits, n_folds, n_networks + 2, n_subjects), np.nan)
    local = np.empty((n_layers, n_pairs))
    values = np.empty(n_pairs)
    w = np.empty(n_pairs)
    first = np.empty(n_pairs, np.int64)
    second = np.empty(n_pairs, np.int64)
    pairs = np.empty(n_pairs, np.int64)
    own = np.empty((n_subjects, n_pairs))
    scaled = np.empty((n_subjects, n_pairs))
    own_codes = np.empty((n_subjects, n_pairs), np.int64)
    own_squares = np.empty(n_subjects)
    out = np.empty(n_pairs)
    other = np.empty(n_pairs)
    codes = np.empty(n_pairs, np.int64)
    ends = np.empty(n_pairs, np.int32)
    whole = np.empty(n_pairs, np.int32)
    below = np.empty((n_pairs // 64 + 1) * 64, np.int32)
    below_64 = np.empty((n_pairs // 4096 + 1) * 64, np.int32)
    tree = np.empty(n_pairs // 4096 + 2, np.int32)
    same = np.empty(n_pairs, np.int32)
    order = np.empty(n_pairs, np.int32)
    new = np.empty(n_pairs, np.bool_)
    room = (
        order,
        new,
        np.empty(n_pairs),
        np.empty(n_pairs, np.int64),
        np.empty(n_pairs, np.int64),
        np.empty(N_BINS, np.int32),
        np.arange(n_pairs),
    )
    members = np.empty(n_conditions, np.int64)
    for t in range(n_splits):
        for f in range(n_folds):
            size = 0
            for i in range(n_conditions):
                if folds[t, i] == f and counts[t, i] > 0:
                    members[size] = i
                    size += 1
            c = np.empty(size)
            for i in range(size):
                c[i] = counts[t, members[i]]
            n = 0
            total = 0.0
            for i in range(size):
                row = members[i]
                before = row * (2 * n_conditions - row - 1) // 2 - row - 1
                for j in range(i + 1, size):
                    pairs[n] = before + members[j]
                    first[n] = i
                    second[n] = j
                    w[n] = c[i] * c[j]
                    total += w[n]
                    n += 1
            for k in range(n_layers):
                for p in range(n):
                    local[k, p] = layers[k, pairs[p]]
            for s in range(n_subjects):
                if subject_counts[t, s] == 0:
                    continue
                for p in range(n):
                    values[p] = data[s, pairs[p]]
                own_squares[s] = _transform(
                    values, w, c, (first, second), n, code, (own[s], other, own_codes[s]), room
                )
                # What is pooled: ranks (doubled: whole numbers, exact ties), or unit squares.
                length = 0.0
                for p in range(n):
                    length += w[p] * own[s, p] * own[s, p]
                for p in range(n):
                    if code in (2, 3, 4, 5):
                        scaled[s, p] = 2.0 * own[s, p]
                    else:
                        scaled[s, p] = own[s, p] / np.sqrt(length) if length > 0.0 else 0.0
            for g in range(n_subject_folds):
                tested = 0.0
                for s in range(n_subjects):
                    if subject_folds[t, s] == g:
                        tested += subject_counts[t, s]
                if tested == 0.0:
                    continue
                for m in range(n_networks + 2):
                    values[:n] = 0.0
                    if m < n_networks:
                        for k in range(starts[m], starts[m + 1]):
                            weight = weights[t, f, g, k]
                            if weight != 0.0:
                                for p in range(n):
                                    values[p] += weight * local[k, p]
                    else:
                        pooled = 0.0
                        for s in range(n_subjects):
                            share = subject_counts[t, s]
                            if share > 0 and (m > n_networks or subject_folds[t, s] != g):
                                pooled += share
                                for p in range(n):
                                    values[p] += share * scaled[s, p]
                        # Nobody but the tested subject: there is no ceiling.
                        if pooled == 0.0:
                            continue
                    if not np.isfinite(values[:n]).all():
                        continue
                    squares = _transform(
                        values, w, c, (first, second), n, code, (out, other, codes), room
                    )
                    if not squares > 0.0:
                        continue
                    if code in (4, 5):
                        n_groups = _groups(order, new, n, ends)
                        for p in range(n):
                            whole[p] = np.int32(w[p])
                    for s in range(n_subjects):
                        if subject_folds[t, s] != g or subject_counts[t, s] == 0:
                            continue
                        if not own_squares[s] > 0.0:
                            continue
                        product = 0.0
                        if code in (4, 5):
                            n_codes = 0
                            for p in range(n):
                                n_codes = max(n_codes, own_codes[s, p] + 1)
                            product = float(
                                concordance(
                                    order,
                                    ends,
                                    n_groups,
                                    own_codes[s],
                                    n_codes,
                                    whole,
                                    below,
                                    below_64,
                                    tree,
                                    same,
                                )
                            )
                        else:
                            for p in range(n):
                                product += w[p] * other[p] * own[s, p]
                        if code == 3:
                            value = product * 12.0 / (total * total * total - total)
                        elif code == 5:
                            value = product / (total * (total - 1.0) / 2.0)
                        else:
                            value = product / np.sqrt(squares * own_squares[s])
                        result[t, f, m, s] = value
    return result
