"""For each entry, how many others it is concordant with: what Kendall's coefficients sum up."""

from __future__ import annotations

import numpy as np

#: Up to so many entries, comparing all with all takes less time than loading compiled code.
SMALL = 300


def concordances(model: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Return concordant minus discordant entries with each entry.

    Parameters
    ----------
    model, data : ndarray, shape (n_model, n_pairs) and (n_data, n_pairs)
        Without NaN.

    Returns
    -------
    ndarray, shape (n_model, n_data, n_pairs)
        Σ_q sign(x_p − x_q) sign(y_p − y_q) for each entry p.
    """
    from rsa_faces._kernels.ranks import dense_codes

    if model.shape[1] <= SMALL:
        return all_with_all(model, data)
    x, y = dense_codes(model), dense_codes(data)
    sums = np.empty((len(x), len(y), x.shape[1]))
    for m, own in enumerate(x):
        order = np.argsort(own, kind="stable")
        for s, other in enumerate(y):
            sums[m, s] = _compiled()(own, other, order)
    return sums


def all_with_all(model: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Return what :func:`concordances` does, by comparing all entries with all."""
    sums = np.empty((len(model), len(data), model.shape[1]))
    for p in range(model.shape[1]):
        x, y = (np.sign(v[:, p, None] - v) for v in (model, data))
        sums[:, :, p] = x @ y.T
    return sums


def _compiled():
    """Return the compiled loop; compiled when first called."""
    global _LOOP
    if _LOOP is None:
        from numba import njit

        _LOOP = njit(nogil=True, cache=True)(_one)
    return _LOOP


_LOOP = None


def _one(x, y, order):
    """Return the sums of one model and one data vector of codes 0, 1, …; a Fenwick tree over y.

    Entries come in the order of x, once from below and once from above; equal ones in a group.
    """
    n = len(x)
    size = y.max() + 1
    tree = np.zeros(size + 1, np.int64)
    bucket = np.zeros(size, np.int64)
    sums = np.zeros(n, np.int64)
    for up in range(2):
        tree[:] = 0
        bucket[:] = 0
        inside = 0
        start = 0
        while start < n:
            stop = start
            value = x[order[start if up == 0 else n - 1 - start]]
            while stop < n and x[order[stop if up == 0 else n - 1 - stop]] == value:
                p = order[stop if up == 0 else n - 1 - stop]
                below = 0
                node = y[p]
                while node > 0:
                    below += tree[node]
                    node &= node - 1
                difference = 2 * below + bucket[y[p]] - inside
                sums[p] += difference if up == 0 else -difference
                stop += 1
            for i in range(start, stop):
                p = order[i if up == 0 else n - 1 - i]
                bucket[y[p]] += 1
                inside += 1
                node = y[p] + 1
                while node <= size:
                    tree[node] += 1
                    node += node & -node
            start = stop
    return sums
