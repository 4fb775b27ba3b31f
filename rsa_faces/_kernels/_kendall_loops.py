"""Compiled: Kendall's sums. See ``kendall``."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64


@njit(nogil=True, cache=True)
def fill(
    order_model,
    new_model,
    order_data,
    new_data,
    weights,
    strict_model,
    strict_data,
    paired,
    sums,
    untied_model,
    untied_data,
    start,
    stop,
):
    """Fill the combinations start ≤ b · n_data + j < stop, but not where both are strict.

    Entries of weight 0 are left out once per weighting, for all combinations.
    """
    n_model, n = order_model.shape
    n_data = len(order_data)
    entries = np.empty((n_model, n), np.int32)
    ends = np.empty((n_model, n), np.int32)
    n_groups = np.empty(n_model, np.int64)
    codes = np.empty(n, np.int32)
    same = np.empty(n, np.int32)
    below = np.empty((n // 64 + 1) * 64, np.int32)
    below_64 = np.empty((n // 4096 + 1) * 64, np.int32)
    tree = np.empty(n // 4096 + 2, np.int32)
    prepared = -1
    for combination in range(start, stop):
        b, j = combination // n_data, combination % n_data
        w = weights[b]
        # Tables of the models depend on the weighting only: made once, used for all data vectors.
        if prepared != b:
            prepared = b
            for m in range(n_model):
                n_here = 0
                groups = 0
                together = np.int64(0)
                tied = np.int64(0)
                seen = np.int64(0)
                for i in range(n):
                    if new_model[m, i] and together > 0:
                        ends[m, groups] = n_here
                        groups += 1
                        tied += together * together
                        together = 0
                    p = order_model[m, i]
                    entries[m, n_here] = p
                    # Written always, counted only with a weight: no branch in the innermost loop.
                    n_here += w[p] > 0
                    together += w[p]
                    seen += w[p]
                if together > 0:
                    ends[m, groups] = n_here
                    groups += 1
                    tied += together * together
                n_groups[m] = groups
                # Copies of an entry are tied with each other, as their weight in `together` says.
                untied_model[b, m] = (seen * seen - tied) // 2
        code = 0
        together = np.int64(0)
        tied = np.int64(0)
        seen = np.int64(0)
        for i in range(n):
            if new_data[j, i] and together > 0:
                code += 1
                tied += together * together
                together = 0
            p = order_data[j, i]
            codes[p] = code
            together += w[p]
            seen += w[p]
        tied += together * together
        untied_data[b, j] = (seen * seen - tied) // 2
        n_codes = code + 1
        for m in range(j if paired else 0, j + 1 if paired else n_model):
            if strict_model[m] and strict_data[j]:
                continue
            sums[b, m, 0 if paired else j] = concordance(
                entries[m], ends[m], n_groups[m], codes, n_codes, w, below, below_64, tree, same
            )


@njit(nogil=True, cache=True)
def concordance(entries, ends, n_groups, codes, n_codes, w, below, below_64, tree, same):
    """Return concordant minus discordant pairs of entries.

    Parameters
    ----------
    entries, ends : ndarray of int32
        Entries in the order of the first vector, and where each group of ties in it ends.
    n_groups : int
    codes : ndarray of int, shape (n_entries,)
        Values of the second vector as 0, 1, …, n_codes − 1 in their order.
    w : ndarray of int32, shape (n_entries,)
        How often each entry counts.
    below, below_64, tree, same : ndarray of int32
        Room for tables; at least (n_codes // 64 + 1) · 64, (n_codes // 4096 + 1) · 64,
        n_codes // 4096 + 2 and n_codes entries.
    """
    below[: (n_codes // 64 + 1) * 64] = 0
    below_64[: (n_codes // 4096 + 1) * 64] = 0
    tree[: n_codes // 4096 + 2] = 0
    same[:n_codes] = 0
    seen = np.int64(0)
    total = np.int64(0)
    first = 0
    for group in range(n_groups):
        for i in range(first, ends[group]):
            p = entries[i]
            code = uint64(codes[p])
            word = code >> uint64(6)
            lower = below[code] + below_64[word] + _before(tree, code >> uint64(12))
            # Those below are concordant, those neither below nor equal discordant.
            total += w[p] * (2 * lower + same[code] - seen)
        # Entries tied in the first vector enter together, after all were compared.
        for i in range(first, ends[group]):
            p = entries[i]
            code = uint64(codes[p])
            weight = w[p]
            same[code] += weight
            seen += weight
            _count(below, code, weight)
            _count(below_64, code >> uint64(6), weight)
            _enter(tree, n_codes // 4096 + 1, code >> uint64(12), weight)
        first = ends[group]
    return total


@njit(nogil=True, cache=True)
def fill_untied(order_model, order_data, strict_model, strict_data, paired, sums, start, stop):
    """Fill the columns from start to stop where both are strict: no ties, every entry once.

    Entries seen so far are bits, one place each. The bits set below a place are those within its
    64-bit word, and the counts of the words before it.
    """
    n_model, n = order_model.shape
    n_words = (n // 4096 + 1) * 64
    words = np.empty(n_words, np.uint64)
    before = np.empty(n_words, np.int32)
    tree = np.empty(n // 4096 + 2, np.int32)
    places = np.empty(n, np.int32)
    for j in range(start, stop):
        if not strict_data[j]:
            continue
        for i in range(n):
            # Without ties an entry is one bit of a set: a word holds 64 of them, and counting those
            # below takes a mask.
            places[order_data[j, i]] = i
        for m in range(j if paired else 0, j + 1 if paired else n_model):
            if not strict_model[m]:
                continue
            words[:] = 0
            before[:] = 0
            tree[:] = 0
            total = np.int64(0)
            for i in range(n):
                place = uint64(places[order_model[m, i]])
                word = place >> uint64(6)
                bit = uint64(1) << (place & uint64(63))
                group = word >> uint64(6)
                # Of the i entries before, those below are concordant and the rest discordant.
                below = _n_bits(words[word] & (bit - uint64(1)))
                total += 2 * (below + before[word] + _before(tree, group)) - i
                words[word] |= bit
                _count(before, word, np.int32(1))
                _enter(tree, n // 4096 + 1, group, np.int32(1))
            sums[m, 0 if paired else j] = total


@njit(nogil=True, cache=True, inline="always")
def _count(below, place, weight):
    """Add to what is below the places after this one, among its group of 64 places.

    A loop of fixed length without branches: 64 additions take a few steps.
    """
    within = np.int32(place & uint64(63))
    base = place & ~uint64(63)
    for k in range(uint64(64)):
        below[base + k] += weight if np.int32(k) > within else np.int32(0)


@njit(nogil=True, cache=True, inline="always")
def _before(tree, place):
    """Return what a Fenwick tree holds before a place."""
    total = np.int64(0)
    node = np.int64(place)
    while node > 0:
        total += tree[node]
        node &= node - 1
    return total


@njit(nogil=True, cache=True, inline="always")
def _enter(tree, size, place, weight):
    """Add to a place of a Fenwick tree."""
    node = np.int64(place) + 1
    while node <= size:
        tree[node] += weight
        node += node & -node


@njit(nogil=True, cache=True, inline="always")
def _n_bits(x):
    """Return the number of bits set in a 64-bit word."""
    # Sums in pairs, fours and eights of bits; the product adds up the eight bytes.
    x = x - ((x >> uint64(1)) & uint64(0x5555555555555555))
    x = (x & uint64(0x3333333333333333)) + ((x >> uint64(2)) & uint64(0x3333333333333333))
    x = (x + (x >> uint64(4))) & uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * uint64(0x0101010101010101)) >> uint64(56))
