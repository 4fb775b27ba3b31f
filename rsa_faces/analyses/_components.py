"""Principal components of few faces with many values each."""

from __future__ import annotations

import numpy as np

_VALUES = 2**22  # of one block of columns


def components(values: np.ndarray, n_components: int):
    """Return coordinates, axes, standard deviations and explained shares of centred rows.

    values (n, n_values), centred. Coordinates (n, n_components) have standard deviation 1 (ddof
    1); axes (n_components, n_values) are the change per standard deviation, of the type of
    `values`, and coordinates @ axes is the nearest sum of so many components. The row with the
    largest coordinate is positive on each. By eigenvectors of the inner products of rows, which
    are the left singular vectors.
    """
    n = len(values)
    step = max(_VALUES // n, 1)
    # Pixels or channels are far more than rows: the small square matrix has the same components.
    products = np.zeros((n, n))
    for start in range(0, values.shape[1], step):
        block = values[:, start : start + step].astype(np.float64)
        products += block @ block.T
    eigenvalues, vectors = np.linalg.eigh(products)
    order = np.argsort(eigenvalues)[::-1][:n_components]
    vectors = vectors[:, order]
    # The sign of an eigenvector is arbitrary: this one does not depend on the machine.
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[largest, np.arange(n_components)])
    sd = np.sqrt(np.maximum(eigenvalues[order], 0.0) / (n - 1))
    axes = (vectors / np.sqrt(n - 1)).T.astype(values.dtype) @ values
    shares = np.maximum(eigenvalues[order], 0.0) / (np.maximum(eigenvalues, 0.0).sum() or 1.0)
    return vectors * np.sqrt(n - 1), axes, sd, shares
