"""Tables of peaks: where a map is larger than all around."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from rsa_faces._core.checks import check_above, check_count, check_flags
from rsa_faces._core.errors import InputError
from rsa_faces.brain import Surface, Volume


def peak_table(
    space: Volume | Surface,
    values: Any,
    *,
    where: Any = None,
    n: int = 10,
    min_distance: float = 16.0,
    **columns: Any,
) -> pd.DataFrame:
    """Find the places where a map is larger than at all places around.

    Parameters
    ----------
    space : Volume or Surface
    values : array_like, shape (n_places,)
        Such as similarities, or ``test.t`` of :func:`rsa_faces.mapping.group_test`. NaN is never
        a peak.
    where : array_like of bool, shape (n_places,), optional
        Places that may be peaks, such as ``test.p < 0.05``. Others still count as neighbours.
    n : int, default 10
        At most this many.
    min_distance : float, default 16.0
        Between peaks, in mm (straight, also on surfaces); of two that are nearer the larger
        stays.
    **columns : array_like, shape (n_places,)
        Further columns of the table, such as ``p=test.p``.

    Returns
    -------
    DataFrame
        The largest first: ``value``, the further columns, the place (``i``, ``j``, ``k``, or
        ``vertex``), and ``x``, ``y``, ``z`` in mm. Places are compared with the 26 voxels around
        them, or the vertices they share an edge with.

    Raises
    ------
    InputError
        If arrays do not fit the space, or `n` or `min_distance` are out of range.

    See Also
    --------
    group_test : Test where similarity differs from 0 over subjects.
    rsa_faces.figures.plot_peaks : Draw a table of peaks.

    Notes
    -----
    Of equal neighbours each can be a peak; `min_distance` keeps the first.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.brain import Volume
    >>> from rsa_faces.mapping import peak_table
    >>> values = np.zeros((5, 5, 5))
    >>> values[1, 2, 3] = 0.4
    >>> space = Volume(np.ones((5, 5, 5), bool), np.diag([3.0, 3, 3, 1]))
    >>> peak_table(space, values.ravel(), n=1)
       value  i  j  k    x    y    z
    0    0.4  1  2  3  3.0  6.0  9.0
    """
    check_count(n, what="n")
    check_above(min_distance, 0, what="min_distance to be a length in mm", least=True)
    values = _fitting(values, "values", space).astype(np.float64)
    allowed = ~np.isnan(values)
    if where is not None:
        allowed &= check_flags(where, space.n_places, what="where")
    filled = np.where(np.isnan(values), -np.inf, values)
    graph = neighbours(space, corners=True)
    around = np.full(len(filled), -np.inf)
    some = np.diff(graph.indptr) > 0
    if some.any():
        around[some] = np.maximum.reduceat(filled[graph.indices], graph.indptr[:-1][some])
    candidates = np.flatnonzero((filled >= around) & allowed)
    candidates = candidates[np.argsort(-filled[candidates], kind="stable")]
    chosen = _apart(candidates, space.coordinates, n, min_distance)
    place = ["i", "j", "k"] if isinstance(space, Volume) else ["vertex"]
    table = pd.DataFrame({"value": values[chosen]})
    for name, column in columns.items():
        table[name] = _fitting(column, name, space)[chosen]
    table[place] = space.indices[chosen]
    table[["x", "y", "z"]] = space.coordinates[chosen]
    return table


def neighbours(space: Volume | Surface, *, corners: bool = False) -> sparse.csr_array:
    """Return which places are neighbours: voxels that share a side (or corner), or edges."""
    from rsa_faces.inference.neighbours import grid_neighbours, surface_neighbours

    if isinstance(space, Volume):
        return grid_neighbours(space.mask, n_neighbours=26 if corners else None)
    graph = surface_neighbours(space.faces, len(space.mask))
    return graph[space.mask][:, space.mask]


def _fitting(values: Any, what: str, space: Volume | Surface) -> np.ndarray:
    """Return an array with one value for each place, or raise."""
    values = np.asarray(values)
    if values.shape != (space.n_places,):
        raise InputError(
            f"expected {what} with one value for each of {space.n_places} places, got shape "
            f"{values.shape}."
        )
    return values


def _apart(candidates: np.ndarray, places: np.ndarray, n: int, distance: float) -> list[int]:
    """Return the first candidates that are far enough from those before them."""
    chosen: list[int] = []
    for center in candidates:
        gaps = np.linalg.norm(places[chosen] - places[center], axis=1)
        # A distance of 0 asks for no room, but not for the same place twice.
        if (gaps >= max(distance, 1e-9)).all():
            chosen.append(int(center))
            if len(chosen) == n:
                break
    return chosen
