"""Kendall's sums, compiled. Imported only when a Kendall method is used: numba is slow to load."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from rsa_faces._kernels.sort import in_threads, sort_rows


def kendall_sums(
    model: np.ndarray, data: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Kendall's sums of all pairs of rows, and how many pairs of entries are not tied.

    Parameters
    ----------
    model, data : ndarray, shape (n_model, n_pairs) and (n_data, n_pairs)
        Values; only their order matters.
    weights : ndarray of whole numbers, shape (n_weights, n_pairs), optional
        How often each entry counts, at least 0 (in a bootstrap: how often it was drawn). A pair
        of entries counts the product of its two weights; the copies of one entry are ties.

    Returns
    -------
    sums : ndarray of int64, shape (n_model, n_data), or (n_weights, n_model, n_data) with weights
        Concordant minus discordant pairs of entries.
    untied_model, untied_data : ndarray of int64, shape (n_model,) and (n_data,), or with n_weights
        Pairs of entries that are not tied in each row.

    Notes
    -----
    O(n log n) for n entries: they are visited in the order of the first vector, and tables over
    the codes of the second say how many of those before are below and above: within 64 codes,
    within 64 such groups, and over all groups of these in a Fenwick tree [1]_. Tables take more
    steps than the tree, but steps that a processor does many at once and never guesses wrong.
    Where nothing is tied and all count once, the first table is the bits of a word.

    References
    ----------
    .. [1] Fenwick P. M. (1994). Software: Practice and Experience 24, 327-336.
       doi:10.1002/spe.4380240306
    """
    sides = (*sort_rows(model), *sort_rows(data))
    plain = weights is None
    used = np.ones((1, model.shape[1])) if plain else weights
    used = np.ascontiguousarray(used, dtype=np.int32)
    sums = np.empty((len(used), len(model), len(data)), np.int64)
    untied = [np.empty((len(used), len(side)), np.int64) for side in (model, data)]
    strict = [side.all(axis=1) & plain for side in sides[1::2]]
    in_threads(_fill, len(used) * len(data), *sides, used, *strict, sums, *untied)
    if strict[0].any() and strict[1].any():
        in_threads(_fill_untied, len(data), sides[0], sides[2], *strict, sums[0])
    return (sums[0], untied[0][0], untied[1][0]) if plain else (sums, *untied)


@njit(nogil=True, cache=True)
def _fill(
    order_model, new_model, order_data, new_data, weights, strict_model, strict_data, sums,
    untied_model, untied_data, start, stop,
):  # fmt: skip
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
                    n_here += w[p] > 0
                    together += w[p]
                    seen += w[p]
                if together > 0:
                    ends[m, groups] = n_here
                    groups += 1
                    tied += together * together
                n_groups[m] = groups
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
        for m in range(n_model):
            if strict_model[m] and strict_data[j]:
                continue
            below[: (n_codes // 64 + 1) * 64] = 0
            below_64[: (n_codes // 4096 + 1) * 64] = 0
            tree[: n_codes // 4096 + 2] = 0
            same[:n_codes] = 0
            seen = np.int64(0)
            total = np.int64(0)
            first = 0
            for group in range(n_groups[m]):
                for i in range(first, ends[m, group]):
                    p = entries[m, i]
                    code = uint64(codes[p])
                    word = code >> uint64(6)
                    lower = below[code] + below_64[word] + _before(tree, code >> uint64(12))
                    # Those below are concordant, those neither below nor equal discordant.
                    total += w[p] * (2 * lower + same[code] - seen)
                # Entries tied in the first vector enter together, after all were compared.
                for i in range(first, ends[m, group]):
                    p = entries[m, i]
                    code = uint64(codes[p])
                    weight = w[p]
                    same[code] += weight
                    seen += weight
                    _count(below, code, weight)
                    _count(below_64, code >> uint64(6), weight)
                    _enter(tree, n_codes // 4096 + 1, code >> uint64(12), weight)
                first = ends[m, group]
            sums[b, m, j] = total


@njit(nogil=True, cache=True)
def _fill_untied(order_model, order_data, strict_model, strict_data, sums, start, stop):
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
            places[order_data[j, i]] = i
        for m in range(n_model):
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
                below = _n_bits(words[word] & (bit - uint64(1)))
                total += 2 * (below + before[word] + _before(tree, group)) - i
                words[word] |= bit
                _count(before, word, np.int32(1))
                _enter(tree, n // 4096 + 1, group, np.int32(1))
            sums[m, j] = total


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
    x = x - ((x >> uint64(1)) & uint64(0x5555555555555555))
    x = (x & uint64(0x3333333333333333)) + ((x >> uint64(2)) & uint64(0x3333333333333333))
    x = (x + (x >> uint64(4))) & uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * uint64(0x0101010101010101)) >> uint64(56))
