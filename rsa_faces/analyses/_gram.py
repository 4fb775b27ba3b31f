"""Inner products of patterns: n by n, however many channels there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_VALUES = 2**20  # of one block of channels: stays in the cache of the processor


def grams(
    patterns: np.ndarray, trains: Sequence[np.ndarray], *, standardize: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return inner products of all patterns for each set of training rows, and their channels.

    Each channel is centred, and divided by its standard deviation (ddof 0), over the training
    rows. Channels that do not vary there count nothing. Shapes (n_trains, n, n), (n_trains,).
    """
    n, n_channels = patterns.shape
    step = max(_VALUES // n, 1)
    products = np.zeros((len(trains), n, n))
    n_varying = np.zeros(len(trains), dtype=np.int64)
    for start in range(0, n_channels, step):
        block = np.ascontiguousarray(patterns[:, start : start + step], dtype=np.float64)
        whole = None if standardize else _products(block - block.mean(axis=0))
        for i, rows in enumerate(trains):
            inside = block[rows]
            mean = inside.mean(axis=0)
            inside -= mean
            variance = np.einsum("ij,ij->j", inside, inside) / len(rows)
            # As scikit-learn decides that a channel is constant: by the error of its variance.
            eps = np.finfo(np.float64).eps
            varying = variance > len(rows) * eps * variance + (len(rows) * mean * eps) ** 2
            n_varying[i] += varying.sum()
            if standardize:
                scale = np.zeros_like(variance)
                np.divide(1.0, np.sqrt(variance), out=scale, where=varying)
                products[i] += _products((block - mean) * scale)
            else:
                products[i] += whole
    if not standardize:
        for i, rows in enumerate(trains):
            products[i] = centred_on(products[i], rows)
    return products, n_varying


def _products(block: np.ndarray) -> np.ndarray:
    """Return inner products of rows."""
    return block @ block.T


def centred_on(products: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return inner products after the mean of `rows` is taken off."""
    to_mean = products[:, rows].mean(axis=1)
    return products - to_mean[:, None] - to_mean + to_mean[rows].mean()
