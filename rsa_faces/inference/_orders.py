"""Orders in which conditions are exchanged: whole groups, within runs and cells."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from rsa_faces._core.errors import InputError
from rsa_faces._core.warning import warn

Draw = Callable[[np.random.Generator, int], np.ndarray]


def exchanges(groups: np.ndarray, cells: np.ndarray) -> Draw:
    """Return a function that draws orders of conditions.

    Parameters
    ----------
    groups : ndarray of int, shape (n_conditions,)
        Conditions of a group stay together: the first condition of one group in a cell takes the
        place of the first of another, and so on. Groups are exchanged if they have as many
        conditions in each cell.
    cells : ndarray of int, shape (n_conditions,)
        Conditions are exchanged only within a cell.

    Returns
    -------
    callable
        From a generator and a number n to orders, (n, n_conditions).

    Raises
    ------
    InputError
        If nothing can be exchanged.

    Warns
    -----
    UserWarning
        If there are so few orders that no p value can be below 0.05.
    """
    table = np.zeros((groups.max() + 1, cells.max() + 1), np.int64)
    np.add.at(table, (groups, cells), 1)
    # Groups can change places only with those that have as many conditions in the same cells: the
    # data are then as likely under the null hypothesis.
    kinds = pd.factorize(np.fromiter(map(tuple, table), object, len(table)))[0]
    # The conditions of each group, cell by cell.
    sequence = np.lexsort((np.arange(len(groups)), cells, groups))
    members = np.split(sequence, np.cumsum(np.bincount(groups))[:-1])
    classes = [
        np.array([members[g] for g in np.flatnonzero(kinds == kind)])
        for kind in range(kinds.max() + 1)
    ]
    n_orders = math.prod(math.factorial(len(c)) for c in classes)
    if n_orders == 1:
        raise InputError(
            f"expected groups (or conditions) that can be exchanged, but none of {len(members)} "
            "has as many conditions in the same cells as another. Use groups of one size, or "
            "wider cells."
        )
    if n_orders < 20:
        warn(
            f"there are {n_orders} orders in which groups of one size can be exchanged: no p value "
            f"can be below {1 / n_orders:.3g}."
        )

    def orders(rng: np.random.Generator, n: int) -> np.ndarray:
        order = np.empty((n, len(groups)), np.int64)
        for own in classes:
            # Sorting random numbers draws all orders at once, each as likely as any other.
            places = np.argsort(rng.random((n, len(own))), axis=1)
            order[:, own.ravel()] = own[places].reshape(n, own.size)
        return order

    return orders
