"""Which labels may be exchanged: of whole units, within units, inside cells of other factors."""

from __future__ import annotations

import numpy as np

from rsa_faces._core.errors import InputError


def exchanged(
    labels: np.ndarray,
    units: np.ndarray,
    n: int,
    rng: np.random.Generator,
    within: np.ndarray | None = None,
) -> np.ndarray:
    """Return labels exchanged at random, as a design allows.

    Parameters
    ----------
    labels, units, within : ndarray, shape (n_conditions,)
        The labels; whom each condition shows; and cells of the other factors of the design. Labels
        exchanged across a factor with directions of its own would take these on.
    n : int
        Number of exchanges.
    rng : Generator

    Returns
    -------
    ndarray, shape (n, n_conditions)
        Where every unit has one label, labels of whole units are exchanged, between units with
        conditions in the same cells; else labels inside each cell of each unit.

    Raises
    ------
    InputError
        If no label can move.
    """
    kinds, first, unit = np.unique(units, return_index=True, return_inverse=True)
    cell = np.zeros(len(labels), np.int64)
    if within is not None:
        cell = np.unique(within, return_inverse=True)[1]
    of_unit = labels[first]
    if (of_unit[unit] == labels).all():
        stratum = np.zeros(len(kinds), np.int64)
        if within is not None:
            present = np.zeros((len(kinds), cell.max() + 1), bool)
            present[unit, cell] = True
            stratum = np.unique(present, axis=0, return_inverse=True)[1].ravel()
        return _inside(of_unit, stratum, n, rng)[:, unit]
    return _inside(labels, unit * (cell.max() + 1) + cell, n, rng)


def varies_inside(labels: np.ndarray, cells: np.ndarray) -> bool:
    """Return whether some cell has more than one label."""
    first, inverse = np.unique(cells, return_index=True, return_inverse=True)[1:]
    return bool((labels[first][inverse] != labels).any())


def _inside(values: np.ndarray, cells: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return values shuffled inside cells, (n, n_values)."""
    if not varies_inside(values, cells):
        raise InputError(
            "expected labels that can be exchanged, but all of a cell of `within` (of one unit) "
            "are the same. Leave out of `within` what goes with the labels."
        )
    cells = np.unique(cells, return_inverse=True)[1]
    # Random numbers sorted inside cells: a permutation of each, for all draws at once.
    places = np.argsort(cells, kind="stable")
    order = np.argsort(cells + rng.random((n, len(values))), axis=1)
    out = np.empty((n, len(values)), values.dtype)
    out[:, places] = values[order]
    return out
