"""Compiled inner loops of `clusters`: t values of flipped subjects, clusters, TFCE.

They release the interpreter lock and use one thread; callers run them side by side. Additions
are made in one fixed order, so that nothing depends on blocks or threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from rsa_faces._kernels.clusters import MASS, MAX, TFCE

_PLACES = 512  # places whose values stay in the fast memory of a core
_DIGIT = 11  # bits sorted in one pass


@njit(nogil=True, cache=True)
def null_maxima(
    units, signs, indptr, indices, kind, up, down, threshold, block, maxima, start, stop
):
    """Fill the largest statistic over all places for the flips from start to stop.

    Parameters
    ----------
    units : ndarray, shape (n_subjects, n_places)
        Values with a sum of squares of 1 (or 0) at each place.
    signs : ndarray of int8, shape (n_flips, n_subjects)
        1 or −1.
    indptr, indices : ndarray of int
        Neighbours of each place, as in a csr_array.
    kind : int
        MAX, MASS or TFCE.
    up, down : bool
        Whether positive and negative t count.
    threshold : float
        Places of a cluster have t of at least this.
    block : int
        Flips whose t values are held at a time.
    maxima : ndarray, shape (n_flips,)
        Filled in.
    """
    n_places = units.shape[1]
    t = np.empty((block, n_places))
    work = np.empty(n_places)
    root = np.empty(n_places, np.int32)
    tree = np.empty((6, n_places), np.int32)
    keys = np.empty((2, n_places), np.int64)
    for first in range(start, stop, block):
        here = signs[first : min(first + block, stop)]
        t_values(units, here, t)
        for b in range(len(here)):
            largest = -np.inf if kind == MAX else 0.0
            if up:
                largest = max(
                    largest,
                    _largest(t[b], indptr, indices, kind, threshold, work, root, tree, keys),
                )
            if down:
                for p in range(n_places):
                    t[b, p] = -t[b, p]
                largest = max(
                    largest,
                    _largest(t[b], indptr, indices, kind, threshold, work, root, tree, keys),
                )
            maxima[first + b] = largest


@njit(nogil=True, cache=True)
def _largest(t, indptr, indices, kind, threshold, work, root, tree, keys):
    """Return the largest statistic of one map."""
    if kind == MASS:
        return cluster_masses(t, indptr, indices, threshold, root, work)
    if kind == TFCE:
        return enhance(t, indptr, indices, work, root, tree, keys)
    return t.max()


@njit(nogil=True, cache=True, error_model="numpy")
def t_values(units, signs, t):
    """Fill t of each flip and place: with S = Σ sign · unit, t = S √((n − 1) / (n − S²))."""
    n_subjects, n_places = units.shape
    n = float(n_subjects)
    for low in range(0, n_places, _PLACES):
        high = min(low + _PLACES, n_places)
        for b in range(len(signs)):
            sums = t[b]
            for p in range(low, high):
                sums[p] = 0.0
            for s in range(n_subjects):
                sign = float(signs[b, s])
                unit = units[s]
                for p in range(low, high):
                    sums[p] += sign * unit[p]
            for p in range(low, high):
                sums[p] *= np.sqrt((n - 1.0) / (n - sums[p] * sums[p]))


@njit(nogil=True, cache=True)
def _find(root, p):
    """Return the root of a place; the way there is halved for the next time."""
    while root[p] != p:
        root[p] = root[root[p]]
        p = root[p]
    return p


@njit(nogil=True, cache=True)
def cluster_masses(t, indptr, indices, threshold, root, mass):
    """Fill the root of each place (−1: not in a cluster) and the sum of t at each root.

    Returns the largest sum, 0 if there is no cluster.
    """
    n_places = len(t)
    for p in range(n_places):
        mass[p] = 0.0
        root[p] = p if t[p] >= threshold else -1
        if root[p] < 0:
            continue
        for k in range(indptr[p], indptr[p + 1]):
            q = indices[k]
            if q < p and root[q] >= 0:
                a, b = _find(root, p), _find(root, q)
                root[max(a, b)] = min(a, b)
    largest = 0.0
    for p in range(n_places):
        if root[p] >= 0:
            root[p] = _find(root, p)
            mass[root[p]] += t[p]
            largest = max(largest, mass[root[p]])
    return largest


@njit(nogil=True, cache=True)
def enhance(t, indptr, indices, enhanced, root, tree, keys):
    """Fill the integral of √extent · h² from h = 0 to t, 0 where t is not positive.

    Places enter from the highest t down. What enters joins the clusters of its neighbours and
    becomes their parent: a place stands for its cluster between its own t and that of its parent,
    where the extent is constant. Returns the largest integral.
    """
    order, spare, parent, size = tree[0], tree[1], tree[2], tree[3]
    count, lowest = tree[4], tree[5]  # of the cluster of a root
    n_up = 0
    for p in range(len(t)):
        root[p] = -1
        enhanced[p] = 0.0
        if t[p] > 0:
            order[n_up] = p
            n_up += 1
    order = _descending(t, order, spare, keys, n_up)
    for i in range(n_up):
        p = order[i]
        mine = p
        root[p] = p
        parent[p] = p
        count[p] = 1
        for k in range(indptr[p], indptr[p + 1]):
            q = indices[k]
            if root[q] < 0 or root[q] == mine:
                continue
            other = _find(root, q)
            if other != mine:
                parent[lowest[other]] = p
                # The larger cluster keeps its root: the way to it stays short.
                if count[other] > count[mine]:
                    mine, other = other, mine
                root[other] = mine
                count[mine] += count[other]
        lowest[mine] = p
        size[p] = count[mine]
    largest = 0.0
    for i in range(n_up - 1, -1, -1):
        p = order[i]
        up = parent[p]
        low = t[up] if up != p else 0.0
        base = enhanced[up] if up != p else 0.0
        # (t³ − low³) / 3 without the loss of digits of the difference.
        volume = (t[p] - low) * (t[p] * t[p] + t[p] * low + low * low) / 3.0
        enhanced[p] = base + np.sqrt(float(size[p])) * volume
        largest = max(largest, enhanced[p])
    return largest


@njit(nogil=True, cache=True)
def _descending(t, order, spare, keys, n):
    """Return the first n places of order by descending t, all positive; equal ones as they came.

    The bits of positive numbers, read as whole numbers, are in the same order as the numbers.
    """
    bits = t.view(np.int64)
    key, key_to = keys[0], keys[1]
    highest = np.int64(0)
    lowest = np.int64(1) << 62
    for i in range(n):
        highest = max(highest, bits[order[i]])
        lowest = min(lowest, bits[order[i]])
    for i in range(n):
        key[i] = highest - bits[order[i]]
    digits = (1 << _DIGIT) - 1
    places = np.empty(digits + 1, np.int32)
    shift = 0
    while n > 0 and ((highest - lowest) >> shift) > 0:
        places[:] = 0
        for i in range(n):
            places[(key[i] >> shift) & digits] += 1
        place = 0
        for digit in range(digits + 1):
            count = places[digit]
            places[digit] = place
            place += count
        for i in range(n):
            digit = (key[i] >> shift) & digits
            to = places[digit]
            places[digit] += 1
            key_to[to] = key[i]
            spare[to] = order[i]
        key, key_to = key_to, key
        order, spare = spare, order
        shift += _DIGIT
    return order
