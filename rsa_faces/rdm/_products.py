"""Distances of patterns from one pass over their channels.

Patterns are taken in blocks of channels. In each block the mean of every row, then the mean
pattern of all rows is taken off; what is left goes into one matrix of inner products, what was
taken off is kept beside it in float64. All distances follow from these exactly, and none loses
digits to what patterns share, or to a row's offset.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rsa_faces._kernels.choice import blas, n_threads
from rsa_faces._kernels.products import PLAIN, take_mean_row, take_means_of_rows
from rsa_faces.rdm._ties import rounding_of_sums, settle, values_repeat

# Channels whose products are summed in float32 before they are added up in float64; a block of
# this width stays in the cache of the processor for about a hundred conditions.
_WIDTH = 4096
_GROUP = 8192  # channels that one thread takes at a time, at most
_MANY = 1000  # conditions
# Of patterns in float64 at a time, whatever the type that a layer comes in and however long it is.
_BLOCK_BYTES = 32 * 2**20


@dataclass(frozen=True)
class _Rounding:
    """When a distance has lost too many digits, and is computed again from the difference."""

    near: float  # the distance, as a share of what it was subtracted from
    short: float  # the product of two lengths, as a share of the same


# The first is about the root of the type's rounding: of a distance so small half the digits are
# left.
_DOUBLE, _SINGLE = _Rounding(1e-8, 1e-5), _Rounding(1e-4, 0.05)


@dataclass(frozen=True)
class Products:
    """Patterns b_i = c_i + μ + r_i, block by block: rows and columns of c have mean 0.

    gram : ndarray, shape (n, n)
        c_i · c_j.
    toward : ndarray, shape (n,)
        c_i · μ.
    shared : float
        μ · μ.
    offsets : ndarray, shape (n, n_blocks)
        r_i, one number in each block.
    widths : ndarray, shape (n_blocks,)
        Channels of each block.
    """

    gram: np.ndarray
    toward: np.ndarray
    shared: float
    offsets: np.ndarray
    widths: np.ndarray


def squared_distances(patterns, *, single: bool) -> np.ndarray:
    """Return ‖b_i − b_j‖² of all pairs."""
    single = single and not values_repeat(next(blocks(patterns, _WIDTH)))
    with _own_threads(len(patterns)) as n_workers:
        return _squared(patterns, single, n_workers)


def _squared(patterns, single: bool, n_workers: int) -> np.ndarray:
    products = _collect(patterns, single, n_workers)
    if not np.isfinite(products.offsets).all():
        return _squared(patterns, False, n_workers) if single else _all_nan(patterns)
    spread = products.offsets - products.offsets.mean(axis=0)
    gram = products.gram + (spread * products.widths) @ spread.T
    row, col = _pairs(len(gram))
    norms = np.diagonal(gram)
    scale = norms[row] + norms[col]
    squared = scale - 2.0 * gram[row, col]
    doubtful = ~(squared > (_SINGLE if single else _DOUBLE).near * scale)
    # More pairs than another pass in float64 would take, or products that overflow.
    if single and doubtful.sum() > len(gram):
        return _squared(patterns, False, n_workers)
    again = np.flatnonzero(doubtful)
    squared[again] = _from_differences(patterns, row[again], col[again], None)
    sums = rounding_of_sums(patterns.shape[1])
    # Squared distances of counts and codes are whole numbers: exact where rounding cannot reach the
    # next.
    if _whole_numbers(patterns) and sums * scale.max() < 0.25:
        return np.rint(squared)
    rounding = np.zeros(len(row)) if single else sums * scale
    rounding[again] = sums * squared[again]
    return settle(squared, rounding)


def angular_distances(patterns, *, centered: bool, single: bool) -> np.ndarray:
    """Return 1 − cosine of all pairs, of patterns whose mean is taken off if `centered`.

    Pairs with a pattern that is constant (if centred) or zero are NaN.
    """
    single = single and not values_repeat(next(blocks(patterns, _WIDTH)))
    with _own_threads(len(patterns)) as n_workers:
        return _angular(patterns, centered, single, n_workers)


def _angular(patterns, centered: bool, single: bool, n_workers: int) -> np.ndarray:
    products = _collect(patterns, single, n_workers)
    offsets, widths = products.offsets, products.widths
    if not np.isfinite(offsets).all():
        if single:
            return _angular(patterns, centered, False, n_workers)
        return _all_nan(patterns)
    level = np.zeros(len(offsets))
    if centered:
        level = np.abs(offsets @ widths) / np.sqrt(widths.sum())
        offsets = offsets - (offsets @ widths / widths.sum())[:, None]
    mean = offsets.mean(axis=0)
    spread = (offsets - mean) * widths
    gram = products.gram + spread @ (offsets - mean).T
    toward = products.toward + spread @ mean
    shared = products.shared + mean**2 @ widths
    norms = np.diagonal(gram)
    part = norms + 2.0 * toward
    squares = np.maximum(part + shared, 0.0)
    limit = _SINGLE if single else _DOUBLE
    # Not a number where products overflow: doubtful as well.
    short = ~(squares > limit.short * (norms + shared))
    known = ~_without_direction(patterns, centered)
    lengths = np.sqrt(np.where(known, squares, np.nan))
    # A length that all but cancelled, perhaps to 0, is measured anew: how well distances are known
    # goes by it, and what is not known counts as tied.
    if (poor := np.flatnonzero(short & known)).size:
        lengths[poor] = _means_and_lengths(patterns, poor, centered)[1]
    # With D = ‖c_i − c_j‖², 1 − cosine = (D − (|b_i| − |b_j|)²) / (2 |b_i| |b_j|): what patterns
    # share is nowhere in it.
    row, col = _pairs(len(gram))
    scale = norms[row] + norms[col]
    product = lengths[row] * lengths[col]
    with np.errstate(invalid="ignore", divide="ignore"):
        # |b_i| - |b_j| as a difference of squares over a sum: lengths that are nearly equal cancel
        # no digits.
        gap = (part[row] - part[col]) / (lengths[row] + lengths[col])
        squared = scale - 2.0 * gram[row, col] - gap**2
        distance = squared / (2.0 * product)
    doubtful = ~(squared > limit.near * scale) | ~(product > limit.short * scale)
    doubtful |= short[row] | short[col]
    doubtful &= known[row] & known[col]
    if single and doubtful.sum() > len(gram):
        return _angular(patterns, centered, False, n_workers)
    again = np.flatnonzero(doubtful)
    distance[again] = _from_differences(patterns, row[again], col[again], centered) / 2.0
    # What rounding adds beyond opposite patterns.
    distance = np.minimum(distance, 2.0)
    sums = rounding_of_sums(patterns.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        rounding = np.zeros(len(row)) if single else sums * scale / (2.0 * product)
        # Patterns of length 1 are known as well as their mean was, and differences are squared.
        known_to = sums * (1.0 + level / lengths)
        known_to = np.maximum(known_to[row[again]], known_to[col[again]])
    rounding[again] = known_to * np.sqrt(2.0 * distance[again]) + known_to**2
    return settle(distance, rounding, exact=(0.0, 2.0))


def _pairs(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the upper triangle; small ones are asked for again and again."""
    return _kept_pairs(n) if n <= _MANY else np.triu_indices(n, k=1)


@lru_cache(maxsize=4)
def _kept_pairs(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what :func:`_pairs` does."""
    return np.triu_indices(n, k=1)


def _whole_numbers(patterns) -> bool:
    """Return whether all values are whole numbers; almost all data show it in a few channels."""
    width = 64
    for block in blocks(patterns, _WIDTH):
        if not (block[:, :width] == np.rint(block[:, :width])).all():
            return False
        if not (block == np.rint(block)).all():
            return False
    return True


def _all_nan(patterns) -> np.ndarray:
    """Return distances of patterns that are not finite."""
    return np.full(len(patterns) * (len(patterns) - 1) // 2, np.nan)


def blocks(patterns, width: int | None = None) -> Iterator[np.ndarray]:
    """Yield blocks of channels; those of a layer on disk are read one after the other."""
    step = width or max(1, _BLOCK_BYTES // (8 * len(patterns)))
    for slab in _slabs(patterns):
        for start in range(0, slab.shape[1], step):
            yield slab[:, start : start + step]


def _slabs(patterns) -> Iterable[np.ndarray]:
    """Return the channels that come at a time: all, or what is read from disk."""
    return patterns.slabs() if hasattr(patterns, "slabs") else [patterns]


def _collect(patterns, single: bool, n_workers: int) -> Products:
    """Pass once over the channels: groups of blocks in threads, summed in order.

    Groups do not depend on the number of threads, so results do not either.
    """
    n = len(patterns)
    width = max(1, min(_WIDTH, _BLOCK_BYTES // (8 * n)))
    gram, toward, shared = np.zeros((n, n)), np.zeros(n), 0.0
    # Means of each block apart: added to the products, they would take the digits of small
    # differences.
    offsets, widths = [], []
    # One for each thread: fresh memory for each group would cost as much as its products.
    size = n * min(width, patterns.shape[1])
    rooms = [np.empty(size, np.float32 if single else np.float64) for _ in range(n_workers)]
    with contextlib.ExitStack() as stack:
        side_by_side = map
        if n_workers > 1 and patterns.shape[1] > _GROUP:
            side_by_side = stack.enter_context(ThreadPoolExecutor(n_workers)).map
        for slab in _slabs(patterns):
            edges = _edges(slab.shape[1])

            def of_group(k: int, slab=slab, edges=edges) -> Products:
                work = rooms.pop()
                try:
                    return _of_group(slab, edges[k], edges[k + 1], width, work)
                finally:
                    rooms.append(work)

            for part in side_by_side(of_group, range(len(edges) - 1)):
                gram += part.gram
                toward += part.toward
                shared += part.shared
                offsets.append(part.offsets)
                widths.append(part.widths)
    return Products(gram, toward, shared, np.hstack(offsets), np.concatenate(widths))


def _edges(n_channels: int) -> list[int]:
    """Return where groups begin, and the end: nearly equal, for few threads to share evenly."""
    n_groups = -(-n_channels // _GROUP)
    if n_groups > 1:
        # The number of groups does not depend on the machine, nor does, with it, the order of sums.
        n_groups = min(-(-n_groups // 4) * 4, n_channels)
    return [n_channels * k // n_groups for k in range(n_groups + 1)]


@contextlib.contextmanager
def _own_threads(n: int) -> Iterator[int]:
    """Yield how many threads to use, while BLAS uses one in each.

    After a product BLAS's own threads spin for a while, in the way of whoever computes next. With
    very many conditions the products are so large that they serve better.
    """
    if n > _MANY:
        yield 1
        return
    n_workers = n_threads()
    with blas().limit(limits=1):
        yield n_workers


def _of_group(slab: np.ndarray, start: int, stop: int, width: int, work: np.ndarray) -> Products:
    """Return the products of some blocks, in the type of `work`, which is written over."""
    n, kind = len(slab), work.dtype
    compiled = slab.size > PLAIN
    edges = [*range(start, stop, width), stop]
    widths = np.diff(edges)
    gram, toward, shared = np.zeros((n, n)), np.zeros(n), 0.0
    offsets = np.empty((len(widths), n))
    with np.errstate(over="ignore", invalid="ignore"):
        for left, size, offset in zip(edges, widths, offsets, strict=False):
            rest = work[: n * size].reshape(n, size)
            mean = np.zeros(size, kind)
            take_means_of_rows(slab, left, rest, offset, mean, compiled)
            mean /= n
            take_mean_row(rest, mean, toward, compiled)
            gram += rest @ rest.T
            shared += float(mean @ mean)
    return Products(gram, toward, shared, offsets.T, widths.astype(np.float64))


def _from_differences(patterns, row, col, centered: bool | None) -> np.ndarray:
    """Return squared distances of these pairs, difference by difference, in float64.

    Of patterns as they are if `centered` is None, else of patterns of length 1.
    """
    squared = np.zeros(len(row))
    step = max(1, _BLOCK_BYTES // (8 * _WIDTH))
    for start in range(0, len(row), step):
        part = slice(start, start + step)
        used, index = np.unique(np.concatenate([row[part], col[part]]), return_inverse=True)
        first, second = np.split(index, 2)
        mean, length = np.zeros(len(used)), np.ones(len(used))
        if centered is not None:
            mean, length = _means_and_lengths(patterns, used, centered)
        for block in blocks(patterns, _WIDTH):
            rows = (block[used].astype(np.float64) - mean[:, None]) / length[:, None]
            difference = rows[first] - rows[second]
            squared[part] += np.einsum("ij,ij->i", difference, difference)
    return squared


def _means_and_lengths(patterns, used, centered: bool):
    """Return mean (0 unless centred) and length of these rows, in float64."""
    mean, squares = np.zeros(len(used)), np.zeros(len(used))
    if centered:
        for block in blocks(patterns, _WIDTH):
            mean += block[used].sum(axis=1, dtype=np.float64)
        mean /= patterns.shape[1]
    for block in blocks(patterns, _WIDTH):
        rows = block[used].astype(np.float64) - mean[:, None]
        squares += np.einsum("ij,ij->i", rows, rows)
    return mean, np.sqrt(squares)


def _without_direction(patterns, centered: bool) -> np.ndarray:
    """Return which patterns are constant over channels (if centred) or zero."""
    out = np.ones(len(patterns), bool)
    first = None
    # Almost all patterns vary within their first channels.
    for block in blocks(patterns, _WIDTH):
        if first is None:
            first = block[:, 0].copy() if centered else np.zeros(len(patterns), block.dtype)
            start = block[:, :64]
            out &= (start == first[:, None]).all(axis=1)
        if not out.any():
            break
        out[out] = (block[out] == first[out, None]).all(axis=1)
    return out
