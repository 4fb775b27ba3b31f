"""Tests of maps: t values of flipped subjects, clusters of neighbours, and TFCE.

Additions are made in one fixed order, so that nothing depends on blocks, threads or the form.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from rsa_faces._kernels.choice import call, compiled_pays, in_threads

MAX, MASS, TFCE = 0, 1, 2
_LOOPS = "_clusters_loops"
#: Nanoseconds of the plain form, as estimated, after which the compiled form pays.
LIMIT = 5 * 10**9
#: Those for each value of a subject, and for each look at clusters.
_VALUE, _LOOK = 1, 2 * 10**5
_HELD = 2**21  # t values of flips held at a time


def null_maxima(
    units: np.ndarray,
    signs: np.ndarray,
    graph: sparse.csr_array,
    kind: int,
    sides: tuple[int, ...],
    threshold: float,
) -> np.ndarray:
    """Return the largest statistic over all places in each flip.

    Parameters
    ----------
    units : ndarray, shape (n_subjects, n_places)
        Values with a sum of squares of 1 (or 0) at each place.
    signs : ndarray of int8, shape (n_flips, n_subjects)
        1 or −1.
    graph : csr_array
        Neighbours of each place.
    kind : int
        MAX, MASS or TFCE.
    sides : tuple of int
        1 if positive t count, −1 if negative ones do.
    threshold : float
        Places of a cluster have t of at least this.

    Returns
    -------
    ndarray, shape (n_flips,)
    """
    maxima = np.empty(len(signs))
    block = max(1, min(32, _HELD // units.shape[1]))
    steps = len(signs) * (_VALUE * units.size + _LOOK * (kind == MASS))
    # TFCE looks at every level, and differs in the last digits: it is always compiled.
    if kind == TFCE or compiled_pays(_LOOPS, steps, LIMIT):
        from rsa_faces._kernels import _clusters_loops

        in_threads(
            _clusters_loops.null_maxima,
            len(signs),
            units,
            signs,
            graph.indptr,
            graph.indices,
            kind,
            1 in sides,
            -1 in sides,
            threshold,
            block,
            maxima,
        )
        return maxima
    for start in range(0, len(signs), block):
        for b, t in enumerate(t_values(units, signs[start : start + block]), start):
            of_sides = [
                t if kind == MAX else cluster_masses(t, graph, threshold)[1]
                for t in (side * t for side in sides)
            ]
            maxima[b] = np.max(of_sides)
    return maxima


def t_values(units: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Return t of each flip and place: with S = Σ sign · unit, t = S √((n − 1) / (n − S²))."""
    n = float(len(units))
    sums = np.zeros((len(signs), units.shape[1]))
    for sign, unit in zip(signs.T.astype(float), units, strict=True):
        sums += sign[:, None] * unit
    with np.errstate(divide="ignore", invalid="ignore"):
        # Flipping signs leaves squares as they are: with values of length 1 at each place, t
        # follows from the sum alone.
        return sums * np.sqrt((n - 1.0) / (n - sums * sums))


def cluster_masses(
    t: np.ndarray, graph: sparse.csr_array, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first place of the cluster of each place, −1 outside, and the sum of t there."""
    inside = np.flatnonzero(t >= threshold)
    root, mass = np.full(len(t), -1, np.int32), np.zeros(len(t))
    if inside.size:
        of = connected_components(graph[inside][:, inside], directed=False)[1]
        first = np.unique(of, return_index=True)[1]
        root[inside] = inside[first[of]]
        mass += np.bincount(root[inside], t[inside], len(t))
    return root, mass


def enhance(t: np.ndarray, graph: sparse.csr_array) -> np.ndarray:
    """Return the integral of √extent · h² from h = 0 to t, 0 where t is not positive.

    References
    ----------
    .. [1] Smith S. M., Nichols T. E. (2009). NeuroImage 44, 83-98.
       doi:10.1016/j.neuroimage.2008.03.061
    """
    n_places = len(t)
    from rsa_faces._kernels import _clusters_loops

    enhanced = np.empty(n_places)
    root, tree = np.empty(n_places, np.int32), np.empty((6, n_places), np.int32)
    keys = np.empty((2, n_places), np.int64)
    call(
        _clusters_loops.enhance,
        np.ascontiguousarray(t),
        graph.indptr,
        graph.indices,
        enhanced,
        root,
        tree,
        keys,
    )
    return enhanced


def plain_enhance(t: np.ndarray, graph: sparse.csr_array) -> np.ndarray:
    """Do what :func:`enhance` does, level by level."""
    enhanced, low = np.zeros(len(t)), 0.0
    for level in np.unique(t[t > 0]):
        inside = np.flatnonzero(t >= level)
        of = connected_components(graph[inside][:, inside], directed=False)[1]
        # Between two neighbouring levels the extent is the same: the integral of h² over this step
        # is exact, with no step size to choose.
        volume = (level - low) * (level * level + level * low + low * low) / 3.0
        enhanced[inside] += np.sqrt(np.bincount(of)[of].astype(float)) * volume
        low = level
    return enhanced
