"""Kendall's sums: concordant minus discordant pairs of entries, and untied ones."""

from __future__ import annotations

import numpy as np

from rsa_faces._kernels.choice import compiled_pays, in_threads
from rsa_faces._kernels.sort import sort_rows

#: Pairs of entries, for all rows and weightings, after which the compiled form pays.
LIMIT = 3 * 10**8
# Below this every whole number is a float64 of its own, so that counts of pairs are exact in any
# order of adding.
_EXACT = 2.0**52


def kendall_sums(
    model: np.ndarray,
    data: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    paired: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Kendall's sums of all pairs of rows, and how many pairs of entries are not tied.

    Parameters
    ----------
    model, data : ndarray, shape (n_model, n_pairs) and (n_data, n_pairs)
        Values; only their order matters.
    weights : ndarray of whole numbers, shape (n_weights, n_pairs), optional
        How often each entry counts, at least 0 (in a bootstrap: how often it was drawn). A pair
        of entries counts the product of its two weights; the copies of one entry are ties.
    paired : bool, default False
        Each row of `model` with the row of `data` of the same number only.

    Returns
    -------
    sums : ndarray of int64, shape (n_model, n_data), or (n_weights, n_model, n_data) with weights
        Concordant minus discordant pairs of entries. If paired, without the last axis.
    untied_model, untied_data : ndarray of int64, shape (n_model,) and (n_data,), or with n_weights
        Pairs of entries that are not tied in each row.

    Notes
    -----
    Compiled it is O(n log n) for n entries: they are visited in the order of the first vector, and
    tables over the codes of the second say how many of those before are below and above: within 64
    codes, within 64 such groups, and over all groups of these in a Fenwick tree [1]_. Tables take
    more steps than the tree, but steps that a processor does many at once and never guesses wrong.
    Where nothing is tied and all count once, the first table is the bits of a word. The plain form
    multiplies signs of differences of all pairs of entries.

    References
    ----------
    .. [1] Fenwick P. M. (1994). Software: Practice and Experience 24, 327-336.
       doi:10.1002/spe.4380240306
    """
    plain = weights is None
    used = np.ones((1, model.shape[1])) if plain else np.asarray(weights)
    n_rows = len(model) + len(data)
    exact = used.sum(axis=1, dtype=float).max(initial=0.0) ** 2 < _EXACT
    steps = len(used) * n_rows * model.shape[1] ** 2
    if exact and not compiled_pays("_kendall_loops", steps, LIMIT):
        sums, *untied = plain_kendall_sums(model, data, used, paired=paired)
        return (sums[0], untied[0][0], untied[1][0]) if plain else (sums, *untied)
    from rsa_faces._kernels import _kendall_loops as loops

    sides = (*sort_rows(model), *sort_rows(data))
    used = np.ascontiguousarray(used, dtype=np.int32)
    sums = np.empty((len(used), len(model), 1 if paired else len(data)), np.int64)
    untied = [np.empty((len(used), len(side)), np.int64) for side in (model, data)]
    strict = [side.all(axis=1) & plain for side in sides[1::2]]
    in_threads(loops.fill, len(used) * len(data), *sides, used, *strict, paired, sums, *untied)
    if strict[0].any() and strict[1].any():
        in_threads(loops.fill_untied, len(data), sides[0], sides[2], *strict, paired, sums[0])
    sums = sums[:, :, 0] if paired else sums
    return (sums[0], untied[0][0], untied[1][0]) if plain else (sums, *untied)


def plain_kendall_sums(
    model: np.ndarray, data: np.ndarray, weights: np.ndarray, *, paired: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Do what :func:`kendall_sums` does with weights, in NumPy; sums below 2⁵² only."""
    row, col = np.triu_indices(model.shape[1], k=1)
    x, y = (np.sign(side[:, row] - side[:, col]) for side in (model, data))
    shape = (len(model),) if paired else (len(model), len(data))
    sums = np.empty((len(weights), *shape), np.int64)
    untied = [np.empty((len(weights), len(side)), np.int64) for side in (model, data)]
    for b, w in enumerate(np.asarray(weights, np.float64)):
        both = w[row] * w[col]
        sums[b] = ((x * both * y).sum(axis=1) if paired else (x * both) @ y.T).round()
        for side, out in zip((x, y), untied, strict=True):
            out[b] = (np.abs(side) @ both).round()
    return sums, *untied
