"""Which places of a map are neighbours: time points, voxels, vertices, and products of these."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from rsa_faces._core.checks import check_count, check_enough
from rsa_faces._core.errors import InputError


def time_neighbours(n_times: int) -> sparse.csr_array:
    """Make each time point (or layer) the neighbour of those just before and after.

    Parameters
    ----------
    n_times : int
        Number of time points.

    Returns
    -------
    csr_array of bool, shape (n_times, n_times)
        Symmetric, nothing on the diagonal.

    Raises
    ------
    InputError
        If `n_times` is not a whole number of at least 1.

    See Also
    --------
    sign_flip_test : Test where similarities differ from 0 over subjects.
    combine_neighbours : Combine neighbours along several axes, such as space and time.

    Examples
    --------
    >>> from rsa_faces.inference.neighbours import time_neighbours
    >>> time_neighbours(3).toarray().astype(int)
    array([[0, 1, 0],
           [1, 0, 1],
           [0, 1, 0]])
    """
    check_count(n_times, what="n_times")
    return _graph(np.arange(n_times - 1), np.arange(1, n_times), n_times)


def grid_neighbours(
    grid: Sequence[int] | np.ndarray, *, n_neighbours: int | None = None
) -> sparse.csr_array:
    """Make cells of a grid neighbours: voxels of a volume, or time × time.

    Parameters
    ----------
    grid : tuple of int, or ndarray of bool
        The shape of the grid, or a mask: only cells that are True are places, in the order of
        ``volume[mask]`` (the last axis fastest). Cells on opposite edges are not neighbours, nor
        are cells with a gap of the mask between them.
    n_neighbours : int, optional
        How many neighbours a cell inside the grid has. By default the fewest, those that share
        a side: 2 on a line, 4 in two dimensions, 6 in three. Two dimensions also allow 8 (with
        those that share a corner), three also 18 (an edge) and 26 (a corner).

    Returns
    -------
    csr_array of bool, shape (n_places, n_places)
        Symmetric, nothing on the diagonal.

    Raises
    ------
    InputError
        If the grid is neither a shape nor a mask with at least one place, or if there is no such
        number of neighbours in its dimensions.

    See Also
    --------
    sign_flip_test : Test where similarities differ from 0 over subjects.
    surface_neighbours

    Examples
    --------
    >>> from rsa_faces.inference.neighbours import grid_neighbours
    >>> grid_neighbours((4, 5, 6)).shape
    (120, 120)
    >>> grid_neighbours((3, 3), n_neighbours=8).sum(axis=0).reshape(3, 3)
    array([[3, 5, 3],
           [5, 8, 5],
           [3, 5, 3]])
    """
    mask = _mask(grid)
    n_dims = mask.ndim
    steps = [s for s in itertools.product((-1, 0, 1), repeat=n_dims) if any(s)]
    # Neighbours that differ in 1, in up to 2, ... coordinates.
    counts = [sum(int(np.count_nonzero(s)) <= k for s in steps) for k in range(1, n_dims + 1)]
    wanted = counts[0] if n_neighbours is None else n_neighbours
    if wanted not in counts:
        raise InputError(
            f"expected n_neighbours in {n_dims} dimensions to be one of "
            f"{', '.join(map(str, counts))}, got {n_neighbours!r}."
        )
    reach = counts.index(wanted) + 1
    n_places = int(mask.sum())
    place = np.full(mask.shape, -1)
    place[mask] = np.arange(n_places)
    left, right = [], []
    for step in steps[len(steps) // 2 :]:  # the other half are the same pairs
        if np.count_nonzero(step) > reach:
            continue
        a = place[tuple(slice(max(0, -s), -s if s > 0 else None) for s in step)]
        b = place[tuple(slice(max(0, s), s if s < 0 else None) for s in step)]
        both = (a >= 0) & (b >= 0)
        left.append(a[both])
        right.append(b[both])
    return _graph(np.concatenate(left), np.concatenate(right), n_places)


def surface_neighbours(triangles: np.ndarray, n_vertices: int | None = None) -> sparse.csr_array:
    """Make vertices of a surface neighbours where they share an edge of a triangle.

    Parameters
    ----------
    triangles : array_like of int, shape (n_triangles, 3)
        Vertices of each triangle, counted from 0 (the `faces` of a mesh).
    n_vertices : int, optional
        Number of vertices; by default one more than the largest in `triangles`. Vertices in no
        triangle have no neighbours.

    Returns
    -------
    csr_array of bool, shape (n_vertices, n_vertices)
        Symmetric, nothing on the diagonal.

    Raises
    ------
    InputError
        If the triangles are not three whole numbers each, or name a vertex that does not exist.

    See Also
    --------
    sign_flip_test : Test where similarities differ from 0 over subjects.
    grid_neighbours : Make cells of a grid neighbours: voxels of a volume, or time × time.

    Notes
    -----
    Two hemispheres are one graph without edges between them:
    ``scipy.sparse.block_diag([left, right], format="csr")``.

    Examples
    --------
    >>> from rsa_faces.inference.neighbours import surface_neighbours
    >>> surface_neighbours([[0, 1, 2], [1, 2, 3]]).toarray().astype(int)
    array([[0, 1, 1, 0],
           [1, 0, 1, 1],
           [1, 1, 0, 1],
           [0, 1, 1, 0]])
    """
    triangles = np.asarray(triangles)
    if triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.dtype.kind not in "iu":
        raise InputError(
            "expected triangles of shape (n_triangles, 3) holding whole numbers, got shape "
            f"{triangles.shape} of {triangles.dtype}."
        )
    check_enough(len(triangles), 1, "triangle")
    low, high = int(triangles.min()), int(triangles.max())
    n_vertices = high + 1 if n_vertices is None else check_count(n_vertices, what="n_vertices")
    if low < 0 or high >= n_vertices:
        raise InputError(
            f"expected vertices from 0 to {n_vertices - 1}, got vertices from {low} to {high}. "
            "Count them from 0, or give n_vertices."
        )
    triangles = triangles.astype(np.int64)
    return _graph(triangles.ravel(), np.roll(triangles, -1, axis=1).ravel(), n_vertices)


def combine_neighbours(*neighbours: sparse.sparray) -> sparse.csr_array:
    """Combine neighbours along several axes, such as space and time.

    Parameters
    ----------
    *neighbours : sparse array, shape (n, n) each
        One graph per axis of the map, in the order of its axes: for values of shape
        (n_subjects, n_places, n_times) space first, time last.

    Returns
    -------
    csr_array of bool, shape (n_places · n_times, n_places · n_times)
        Two entries of the map are neighbours if they are on one axis and equal on all others.
        Entry (place, time) is row place · n_times + time: the last axis is fastest, as in
        ``values.reshape(n_subjects, -1)``.

    Raises
    ------
    InputError
        If there is no graph, or one is not symmetric.

    See Also
    --------
    sign_flip_test : Test where similarities differ from 0 over subjects.
    time_neighbours : Make each time point (or layer) the neighbour of those just before and after.

    Examples
    --------
    >>> from rsa_faces.inference.neighbours import (
    ...     combine_neighbours, grid_neighbours, time_neighbours)
    >>> both = combine_neighbours(grid_neighbours((4, 4, 4)), time_neighbours(10))
    >>> both.shape
    (640, 640)
    """
    check_enough(len(neighbours), 1, "graph of neighbours to combine")
    graphs = [check_neighbours(graph) for graph in neighbours]
    combined = graphs[0]
    for graph in graphs[1:]:
        same = [sparse.eye_array(g.shape[0], dtype=bool) for g in (combined, graph)]
        combined = sparse.kron(combined, same[1]) + sparse.kron(same[0], graph)
    return sparse.csr_array(combined, dtype=bool)


def check_neighbours(neighbours, n_places: int | None = None) -> sparse.csr_array:
    """Return a graph as a symmetric boolean csr_array without diagonal, or raise."""
    graph = sparse.csr_array(neighbours)
    size = graph.shape if n_places is None else (n_places, n_places)
    if graph.shape != size or len(set(graph.shape)) != 1:
        expected = f"{size}: one row for each place" if n_places else "(n_places, n_places)"
        raise InputError(
            f"expected neighbours of shape {expected}, got {graph.shape}. Make them for the shape "
            "of the values, or for the mask the values come from."
        )
    row, col = graph.nonzero()
    graph = _rows(row[row != col], col[row != col], graph.shape[0])
    if (n_single := (graph != graph.T).nnz) > 0:
        raise InputError(
            f"expected symmetric neighbours, but {n_single} entries differ from their mirror "
            "image. Give neighbours + neighbours.T."
        )
    return graph


def _mask(grid) -> np.ndarray:
    """Return the mask of a grid given by its shape or by a mask."""
    given = np.asarray(grid)
    if given.dtype == bool and given.ndim > 0:
        mask = given
    elif given.dtype.kind in "iu" and given.ndim <= 1 and given.size and (given > 0).all():
        mask = np.ones(np.atleast_1d(given), dtype=bool)
    else:
        raise InputError(
            "expected a grid as its shape (whole numbers of at least 1) or as a mask of True and "
            f"False, got {given.dtype} of shape {given.shape}."
        )
    if not mask.any():
        raise InputError(f"expected a mask with at least one place, got none in {mask.shape}.")
    return mask


def _graph(left: np.ndarray, right: np.ndarray, n_places: int) -> sparse.csr_array:
    """Return the graph of the edges left-right, each in both directions."""
    edge = left != right
    left, right = left[edge], right[edge]
    return _rows(np.concatenate([left, right]), np.concatenate([right, left]), n_places)


def _rows(row: np.ndarray, col: np.ndarray, n_places: int) -> sparse.csr_array:
    """Return a boolean csr_array that is True at the entries given, each stored once."""
    graph = sparse.coo_array((np.ones(len(row), dtype=bool), (row, col)), (n_places, n_places))
    graph = graph.tocsr()
    graph.sum_duplicates()
    return graph
