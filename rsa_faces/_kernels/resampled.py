"""Ranks of resampled RDMs and their pools, and permutations of the conditions of several RDMs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from rsa_faces._kernels.choice import call, compiled_pays, in_threads
from rsa_faces._kernels.sort import sort_rows

#: Entries of RDMs and samples, and of RDMs and permutations, after which the compiled form pays.
LIMIT = 4 * 10**8
_SHUFFLED_LIMIT = 10**8
_BLOCK = 2**14  # pairs of RDMs and permutations that are gathered at once


def resampled_ranks(
    rdms: Iterable[tuple[np.ndarray, np.ndarray]], weights: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rank fixed RDMs in one resample, some of them at a time.

    Parameters
    ----------
    rdms : iterable of (order, new), each of shape (n_rdms, n_pairs)
        From :func:`rsa_faces._kernels.sort.sort_rows`.
    weights : ndarray, shape (n_pairs,)
        How often each pair is in the sample, at least 0.

    Yields
    ------
    ranks : ndarray, shape (n_rdms, n_drawn)
        Of the pairs with a weight above 0: average ranks, cumulative weight − (w − 1) / 2 with ties
        together, minus their mean.
    squares : ndarray, shape (n_rdms,)
        Weighted sums of squared centred ranks.
    """
    used = None
    for order, new in rdms:
        if not compiled_pays("_resampled_loops", order.size, LIMIT):
            yield plain_resampled_ranks(order, new, weights)
            continue
        from rsa_faces._kernels import _resampled_loops

        if used is None:
            drawn = np.flatnonzero(weights)
            places = np.full(len(weights), len(drawn), dtype=np.int32)
            places[drawn] = np.arange(len(drawn))
            used = np.zeros(len(drawn) + 1)
            used[:-1] = weights[drawn]
        ranks, squares = call(_resampled_loops.resampled_ranks, order, new, places, used)
        yield ranks[:, :-1], squares


def plain_resampled_ranks(
    order: np.ndarray, new: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Do what :func:`resampled_ranks` does, in NumPy."""
    drawn = weights > 0
    keep = drawn[order]
    kept = order[keep].reshape(len(order), int(drawn.sum()))
    own = weights[kept]
    ends = np.cumsum(own, axis=1)
    if new.all():
        ranks = ends - own / 2
    else:
        codes = np.cumsum(new, axis=1, dtype=np.int32)[keep].reshape(kept.shape)
        first = np.ones(kept.shape, np.bool_)
        np.not_equal(codes[:, 1:], codes[:, :-1], out=first[:, 1:])
        # All RDMs in one line: groups of ties never go from one to the next.
        starts = np.flatnonzero(first)
        lengths = np.diff(np.append(starts, first.size))
        begin, end = (ends - own).ravel()[starts], ends.ravel()[starts + lengths - 1]
        ranks = np.repeat((begin + end) / 2, lengths).reshape(kept.shape)
    ranks -= ends[:, -1:] / 2
    squares = np.einsum("ij,ij,ij->i", own, ranks, ranks)
    places = np.cumsum(drawn) - 1
    result = np.empty_like(ranks)
    np.put_along_axis(result, places[kept], ranks, axis=1)
    return result, squares


def pooled_sums(ranks: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum products of each subject's ranks with those of pooled subjects, in one resample.

    Parameters
    ----------
    ranks : ndarray, shape (n_subjects, n_drawn)
        From :func:`resampled_ranks`; weights are whole numbers, so that sums of ranks in any order
        have the same ties.
    weights : ndarray, shape (n_drawn,)
        How often each pair is in the sample, above 0.

    Returns
    -------
    products, squares : ndarray, shape (2, n_subjects)
        Weighted sums with the ranks of the pooled others (0) and of all (1), and of squares of
        these pools' ranks.
    """
    n_steps = ranks.size + ranks.shape[1]
    fits = 4 * len(ranks) * weights.sum() < 2**32
    if not fits or not compiled_pays("_resampled_loops", n_steps, LIMIT):
        return plain_pooled_sums(ranks, weights)
    from rsa_faces._kernels import _resampled_loops

    return call(_resampled_loops.pooled_sums, (2 * ranks).astype(np.int64), weights)


def plain_pooled_sums(ranks: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Do what :func:`pooled_sums` does, in NumPy."""
    total = ranks.sum(axis=0)
    pools = sort_rows(np.concatenate([total - ranks, total[None]]))
    ((pooled, squares),) = resampled_ranks([pools], weights)
    own = ranks * weights
    products = np.stack([np.einsum("sp,sp->s", own, pooled[:-1]), own @ pooled[-1]])
    return products, np.stack([squares[:-1], np.full(len(ranks), squares[-1])])


def shuffled_lengths(square: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Return squared lengths of summed RDM vectors, each RDM in an order of its own.

    Parameters
    ----------
    square : ndarray, shape (n_rdms, n_conditions, n_conditions)
    orders : ndarray of int, shape (n_orders, n_rdms, n_conditions)

    Returns
    -------
    ndarray, shape (n_orders,)
    """
    if len(orders) * square.size <= _SHUFFLED_LIMIT:
        return plain_shuffled_lengths(square, orders)
    from rsa_faces._kernels import _resampled_loops

    lengths = np.empty(len(orders))
    in_threads(_resampled_loops.shuffled_lengths, len(orders), square, orders, lengths)
    return lengths


def plain_shuffled_lengths(square: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Do what :func:`shuffled_lengths` does, in NumPy."""
    n = square.shape[1]
    row, col = np.triu_indices(n, k=1)
    lengths = np.empty(len(orders))
    step = max(1, _BLOCK // len(row))
    for start in range(0, len(orders), step):
        some = orders[start : start + step].swapaxes(0, 1)
        total = sum(
            matrix.ravel().take(n * places.take(row, axis=1) + places.take(col, axis=1))
            for matrix, places in zip(square, some, strict=True)
        )
        lengths[start : start + step] = np.einsum("op,op->o", total, total)
    return lengths
