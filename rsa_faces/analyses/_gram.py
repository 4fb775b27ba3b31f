"""Inner products of patterns: n by n, however many channels there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_VALUES = 2**20  # of one block of channels: stays in the cache of the processor
#: Least deviation a channel is divided by, as a share of the root mean square over channels. The
#: median would not do: where most channels are silent it is a silent one. Much larger, and an angle
#: beside pixels would be taken for a silent channel.
_FLOOR = 1e-4


def grams(
    patterns: np.ndarray, trains: Sequence[np.ndarray], *, standardize: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return inner products of all patterns for each set of training rows, and their channels.

    Each channel is centred, and divided by its standard deviation (ddof 0), over the training
    rows. Channels that do not vary there count nothing. Shapes (n_trains, n, n), (n_trains,).

    A channel that is all but silent in the training rows and fires in another would have any value
    there, and with it the prediction. So deviations have a floor, and no row has a value that none
    of n training rows can have, which is √(n − 1) of their own standard deviations.
    """
    n, n_channels = patterns.shape
    step = max(_VALUES // n, 1)
    starts = range(0, n_channels, step)

    def block_of(start: int) -> np.ndarray:
        return np.ascontiguousarray(patterns[:, start : start + step], dtype=np.float64)

    products = np.zeros((len(trains), n, n))
    n_varying = np.zeros(len(trains), dtype=np.int64)
    floors = np.zeros(len(trains))
    if standardize:
        for start in starts:
            block = block_of(start)
            floors += [block[rows].var(axis=0).sum() for rows in trains]
        floors = _FLOOR * np.sqrt(floors / n_channels)
    for start in starts:
        block = block_of(start)
        whole = None if standardize else _products(block - block.mean(axis=0))
        for i, rows in enumerate(trains):
            mean, variance, varying = _moments(block, rows)
            n_varying[i] += varying.sum()
            if standardize:
                scaled = _scaled(block, rows, mean, variance, varying, floors[i])
                products[i] += _products(scaled)
            else:
                products[i] += whole
    if not standardize:
        for i, rows in enumerate(trains):
            # Less the mean of the training rows alone: that of all would let test rows in.
            products[i] = centred_on(products[i], rows)
    return products, n_varying


def standardised(patterns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return channels in standard deviations from their mean over `rows`, as :func:`grams` does."""
    patterns = np.asarray(patterns, np.float64)
    mean, variance, varying = _moments(patterns, rows)
    floor = _FLOOR * np.sqrt(variance.mean())
    return _scaled(patterns, rows, mean, variance, varying, floor)


def _moments(block: np.ndarray, rows: np.ndarray):
    """Return each channel's mean and variance over some rows, and whether it varies there."""
    inside = block[rows]
    mean = inside.mean(axis=0)
    inside -= mean
    variance = np.einsum("ij,ij->j", inside, inside) / len(inside)
    # As scikit-learn decides that a channel is constant: by the error of its variance.
    eps, n = np.finfo(np.float64).eps, len(inside)
    return mean, variance, variance > n * eps * variance + (n * mean * eps) ** 2


def _scaled(block, rows, mean, variance, varying, floor: float) -> np.ndarray:
    """Return channels in standard deviations, which have a floor; 0 where they do not vary."""
    scale = np.zeros_like(variance)
    np.divide(1.0, np.maximum(np.sqrt(variance), floor), out=scale, where=varying)
    # No training row can deviate by more; a row left out could, in a channel that was silent in
    # training.
    most = np.sqrt(len(block[rows]) - 1)
    return np.clip((block - mean) * scale, -most, most)


def _products(block: np.ndarray) -> np.ndarray:
    """Return inner products of rows."""
    return block @ block.T


def centred_on(products: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return inner products after the mean of `rows` is taken off."""
    to_mean = products[:, rows].mean(axis=1)
    return products - to_mean[:, None] - to_mean + to_mean[rows].mean()


def unit_length(patterns: np.ndarray) -> np.ndarray:
    """Return patterns of length 1; those of length 0 stay."""
    patterns = np.asarray(patterns, dtype=np.float64)
    length = np.linalg.norm(patterns, axis=1, keepdims=True)
    return patterns / np.where(length > 0, length, 1)


def cosines(patterns: np.ndarray) -> np.ndarray:
    """Return cosines of rows; 0 for a row of length 0."""
    unit = unit_length(patterns)
    return unit @ unit.T
