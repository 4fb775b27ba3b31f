"""Kendall's sums, compiled. Imported only when a Kendall method is used: numba is slow to load."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np


def kendall_sums(
    model: np.ndarray, data: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return concordant minus discordant pairs of entries for all pairs of rows.

    Parameters
    ----------
    model, data : ndarray of int, shape (n_model, n_pairs) and (n_data, n_pairs)
        Codes from :func:`rsa_faces.comparison._ranks.dense_codes`.
    weights : ndarray of int, shape (n_weights, n_pairs), optional
        How often each entry counts, at least 0 (in a bootstrap: how often it was drawn). A pair
        of entries counts the product of its two weights; the copies of one entry are ties.

    Returns
    -------
    ndarray of int64, shape (n_model, n_data), or (n_weights, n_model, n_data) with weights

    Notes
    -----
    O(n log n) for n entries: they are visited in the order of the first vector, and a Fenwick
    tree [1]_ over the codes of the second says how many of those before are below and above. Runs
    in ``numba.get_num_threads()`` threads.

    References
    ----------
    .. [1] Fenwick P. M. (1994). Software: Practice and Experience 24, 327-336.
       doi:10.1002/spe.4380240306
    """
    order = np.argsort(model, axis=1, kind="stable")
    used = np.ones((1, model.shape[1]), dtype=np.int64) if weights is None else weights
    arrays = [np.ascontiguousarray(a, dtype=np.int32) for a in (order, model, data, used)]
    sums = np.empty((len(used), len(model), len(data)), dtype=np.int64)
    n_threads = max(1, min(numba.get_num_threads(), len(model) * len(data)))
    bounds = np.linspace(0, len(model) * len(data), n_threads + 1).astype(np.int64)
    with ThreadPoolExecutor(n_threads) as pool:
        parts = zip(bounds[:-1], bounds[1:], strict=True)
        for done in [pool.submit(_fill, *arrays, start, stop, sums) for start, stop in parts]:
            done.result()
    return sums[0] if weights is None else sums


@numba.njit(cache=True, nogil=True)
def _fill(order, model, data, weights, start, stop, sums):
    """Fill `sums` for the combinations start ≤ i · n_data + j < stop."""
    n_entries, n_data = model.shape[1], len(data)
    codes = np.empty(n_entries, np.int32)
    is_last = np.empty(n_entries, np.bool_)
    for combination in range(start, stop):
        i, j = combination // n_data, combination % n_data
        for p in range(n_entries):
            here = order[i, p]
            codes[p] = data[j, here]
            is_last[p] = p == n_entries - 1 or model[i, here] != model[i, order[i, p + 1]]
        n_codes = codes.max() + 1
        for b in range(len(weights)):
            tree = np.zeros(n_codes + 1, np.int64)
            count = np.zeros(n_codes, np.int64)
            inserted, total, first = 0, 0, 0
            for p in range(n_entries):
                weight = weights[b, order[i, p]]
                if weight:
                    below, node = 0, codes[p]
                    while node > 0:
                        below += tree[node]
                        node &= node - 1
                    # Those below are concordant, those neither below nor equal are discordant.
                    total += weight * (2 * below + count[codes[p]] - inserted)
                if is_last[p]:
                    # Entries tied in the first vector enter together, after all were counted.
                    for q in range(first, p + 1):
                        weight = weights[b, order[i, q]]
                        if weight:
                            count[codes[q]] += weight
                            inserted += weight
                            node = codes[q] + 1
                            while node <= n_codes:
                                tree[node] += weight
                                node += node & -node
                    first = p + 1
            sums[b, i, j] = total
