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

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

# Channels whose products are summed in float32 before they are added up in float64; a block of
# this width stays in the cache of the processor for about a hundred conditions.
_WIDTH = 4096
_GROUP = 2  # blocks that one thread takes at a time
_MANY = 1000  # conditions
_BLOCK_BYTES = 32 * 2**20


@dataclass(frozen=True)
class _Rounding:
    """When a distance has lost too many digits, and is computed again from the difference."""

    near: float  # the distance, as a share of what it was subtracted from
    short: float  # the product of two lengths, as a share of the same


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
    products = _collect(patterns, single)
    if not np.isfinite(products.offsets).all():
        return squared_distances(patterns, single=False) if single else _all_nan(patterns)
    spread = products.offsets - products.offsets.mean(axis=0)
    gram = products.gram + (spread * products.widths) @ spread.T
    row, col = np.triu_indices(len(gram), k=1)
    norms = np.diagonal(gram)
    scale = norms[row] + norms[col]
    squared = scale - 2.0 * gram[row, col]
    doubtful = ~(squared > (_SINGLE if single else _DOUBLE).near * scale)
    # More pairs than another pass in float64 would take, or products that overflow.
    if single and doubtful.sum() > len(gram):
        return squared_distances(patterns, single=False)
    again = np.flatnonzero(doubtful)
    squared[again] = _from_differences(patterns, row[again], col[again], None)
    return squared


def angular_distances(patterns, *, centered: bool, single: bool) -> np.ndarray:
    """Return 1 − cosine of all pairs, of patterns whose mean is taken off if `centered`.

    Pairs with a pattern that is constant (if centred) or zero are NaN.
    """
    products = _collect(patterns, single)
    offsets, widths = products.offsets, products.widths
    if not np.isfinite(offsets).all():
        if single:
            return angular_distances(patterns, centered=centered, single=False)
        return _all_nan(patterns)
    if centered:
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
    # With D = ‖c_i − c_j‖², 1 − cosine = (D − (|b_i| − |b_j|)²) / (2 |b_i| |b_j|): what patterns
    # share is nowhere in it.
    row, col = np.triu_indices(len(gram), k=1)
    scale = norms[row] + norms[col]
    product = lengths[row] * lengths[col]
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = (part[row] - part[col]) / (lengths[row] + lengths[col])
        squared = scale - 2.0 * gram[row, col] - gap**2
        distance = squared / (2.0 * product)
    doubtful = ~(squared > limit.near * scale) | ~(product > limit.short * scale)
    doubtful |= short[row] | short[col]
    doubtful &= known[row] & known[col]
    if single and doubtful.sum() > len(gram):
        return angular_distances(patterns, centered=centered, single=False)
    again = np.flatnonzero(doubtful)
    distance[again] = _from_differences(patterns, row[again], col[again], centered) / 2.0
    return np.minimum(distance, 2.0)


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
    """Return the parts of the channels that come at a time: all, or what is read from disk."""
    return patterns.slabs() if hasattr(patterns, "slabs") else [patterns]


def _collect(patterns, single: bool) -> Products:
    """Pass once over the channels: groups of blocks in threads, summed in order.

    Groups do not depend on the number of threads, so results do not either.
    """
    n = len(patterns)
    width = max(1, min(_WIDTH, _BLOCK_BYTES // (8 * n)))
    parts: list[Products] = []
    # With very many conditions the products are so large that BLAS's own threads serve better.
    alone = n > _MANY or patterns.shape[1] <= _GROUP * width
    n_workers = 1 if alone else max([p["num_threads"] for p in threadpool_info()], default=1)
    limits = contextlib.nullcontext() if alone else threadpool_limits(1, user_api="blas")
    with limits, ThreadPoolExecutor(n_workers) as executor:
        for slab in _slabs(patterns):
            starts = range(0, slab.shape[1], _GROUP * width)
            groups = [slab[:, start : start + _GROUP * width] for start in starts]
            run = map if alone else executor.map
            for part in run(lambda group: _of_group(group, width, single), groups):
                parts = [_sum(parts[0], part)] if parts else [part]
    return parts[0]


def _of_group(group: np.ndarray, width: int, single: bool) -> Products:
    """Return the products of some blocks."""
    n, kind = len(group), np.float32 if single else np.float64
    gram, toward, shared = np.zeros((n, n)), np.zeros(n), 0.0
    offsets, widths = [], []
    work = np.empty(n * min(width, group.shape[1]), kind)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, group.shape[1], width):
            block = group[:, start : start + width].astype(kind, copy=False)
            offset = block.mean(axis=1)
            rest = work[: block.size].reshape(block.shape)
            np.subtract(block, offset[:, None], out=rest)
            mean = rest.mean(axis=0)
            rest -= mean
            gram += rest @ rest.T
            toward += rest @ mean
            shared += float(mean @ mean)
            offsets.append(offset)
            widths.append(block.shape[1])
    return Products(
        gram, toward, shared, np.array(offsets, np.float64).T, np.array(widths, np.float64)
    )


def _sum(a: Products, b: Products) -> Products:
    """Return the products of the channels of both."""
    return Products(
        a.gram + b.gram, a.toward + b.toward, a.shared + b.shared,
        np.hstack([a.offsets, b.offsets]), np.hstack([a.widths, b.widths]),
    )  # fmt: skip


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
