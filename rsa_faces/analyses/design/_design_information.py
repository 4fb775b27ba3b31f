"""Expected information about which of several models is right, under a noise model.

Measured dissimilarities are taken to be the right model's, standardised over the pairs that are
measured, plus independent Gaussian noise of standard deviation σ.
"""

from __future__ import annotations

import numpy as np


def squared_distances(n_pairs, sums: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Return squared distances between standardised models, (..., n_models, n_models).

    n_pairs (...) counts pairs, sums (..., n_models) and products (..., n_models, n_models) run
    over them. Models that do not vary over the pairs are as far from all others as pure noise.
    """
    n_pairs = np.asarray(n_pairs, float)[..., None, None]
    cross = products - sums[..., :, None] * sums[..., None, :] / n_pairs
    spread = np.sqrt(np.maximum(np.einsum("...ii->...i", cross), 0))
    scale = spread[..., :, None] * spread[..., None, :]
    size = np.einsum("...ii->...i", products)
    # A difference of sums: below 1e-14 of what they are it is rounding, and this is the root.
    still = spread <= 1e-7 * np.sqrt(np.maximum(size, np.finfo(float).tiny))
    either = still[..., :, None] | still[..., None, :]
    r = np.divide(cross, scale, out=np.zeros(cross.shape), where=(scale > 0) & ~either)
    distances = 2 * n_pairs * (1 - np.clip(r, -1, 1))
    # Two models that do not vary cannot be told apart at all.
    distances = np.where(still[..., :, None] & still[..., None, :], 0.0, distances)
    k = distances.shape[-1]
    distances[..., np.arange(k), np.arange(k)] = 0.0
    return distances


def information_bounds(distances: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a lower and an upper bound of the information, in nats, from 0 to log n_models.

    Of Kolchinsky and Tracey, for equally likely models: pairwise Chernoff (α = 1/2) and
    Kullback-Leibler divergences, which for equal spherical Gaussians are ‖Δ‖² / 8σ² and
    ‖Δ‖² / 2σ².
    """
    return tuple(
        -np.log(np.exp(-distances / (share * noise**2)).mean(axis=-1)).mean(axis=-1)
        for share in (8, 2)
    )


def information(distances: np.ndarray, noise: float, n_samples: int, rng) -> float:
    """Return the information by simulation: what a measurement tells, on average, in nats."""
    k = len(distances)
    # Points with these distances: all that matters of the models and of the noise.
    centred = -0.5 * (distances - distances.mean(0) - distances.mean(1)[:, None] + distances.mean())
    values, vectors = np.linalg.eigh(centred)
    points = vectors * np.sqrt(np.maximum(values, 0))
    total = 0.0
    for i in range(k):
        measured = points[i] + noise * rng.normal(size=(n_samples, k))
        squares = ((measured[:, None] - points) ** 2).sum(axis=2) / (2 * noise**2)
        own = squares[:, i]
        total += np.mean(-np.log(np.exp(own[:, None] - squares).mean(axis=1)))
    return float(total / k)
