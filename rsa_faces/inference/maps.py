"""Tests of maps of similarities over subjects, corrected for the number of places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse, stats

from rsa_faces._core.checks import as_rng, check_above, check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.warning import warn
from rsa_faces._kernels import clusters as loops
from rsa_faces.inference.neighbours import check_neighbours

STATISTICS = ("max", "cluster-mass", "tfce")
TAILS = ("two-sided", "greater", "less")
CLUSTERS = ("label", "sign", "size", "mass", "p", "peak", "peak_t")
_FEW = 6
_SAME = 1 - 1e-10  # sums in another order differ in the last digits: what is equal counts as equal


@dataclass(frozen=True, eq=False, repr=False)
class SignFlipTest(BaseResult):
    """The outcome of :func:`sign_flip_test`.

    Arrays over places have the shape of the map; places that were not measured are NaN (0 in
    `labels`).

    Parameters
    ----------
    statistic : str
        "max", "cluster-mass" or "tfce".
    tail : str
        "two-sided", "greater" or "less".
    t : ndarray
        One-sample t of each place, n_subjects − 1 degrees of freedom.
    p : ndarray
        p value corrected for all places; with "cluster-mass" that of the place's cluster, and 1
        outside clusters.
    enhanced : ndarray or None
        With "tfce" the enhanced map, with the sign of t; 0 where t is not in the tail.
    clusters : DataFrame or None
        With "cluster-mass" one row per cluster, the largest mass first: label, sign (1 or −1),
        size (number of places), mass (sum of ``|t|``), p, peak (index of the largest ``|t|``, a
        tuple that fits the map) and peak_t.
    labels : ndarray of int or None
        With "cluster-mass" the label of each place, as in `clusters`; 0 outside clusters.
    threshold : float or None
        With "cluster-mass" the ``|t|`` from which a place belongs to a cluster.
    maxima : ndarray, shape (n_flips,)
        Largest statistic over all places in each flip, ascending. In an exact two-sided test a
        flip and its mirror image give the same and are held once.
    n_subjects : int
    n_permutations : int
        Number of flips behind each p value.
    exact : bool
        Whether these were all 2^n_subjects flips.

    See Also
    --------
    sign_flip_test : Test where similarities differ from 0 over subjects.
    rsa_faces.mapping.group_test : Test where similarity differs from 0 over subjects.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.inference import sign_flip_test
    >>> similarity = np.random.default_rng(0).normal(0, 0.1, (8, 20))
    >>> similarity[:, 5] += 0.5
    >>> test = sign_flip_test(similarity, statistic="max")
    >>> np.flatnonzero(test.p < 0.05), test.exact
    (array([5]), True)
    """

    statistic: str
    tail: str
    t: np.ndarray
    p: np.ndarray
    enhanced: np.ndarray | None
    clusters: pd.DataFrame | None
    labels: np.ndarray | None
    threshold: float | None
    maxima: np.ndarray
    n_subjects: int
    n_permutations: int
    exact: bool

    @property
    def table(self) -> pd.DataFrame:
        """The clusters, or with other statistics one row that sums up the test."""
        if self.clusters is not None:
            return self.clusters
        return pd.DataFrame(
            {
                "n_subjects": [self.n_subjects],
                "n_permutations": [self.n_permutations],
                "max_t": [pd.Series(self.t.ravel()).max()],
                "smallest_p": [pd.Series(self.p.ravel()).min()],
            }
        )

    def __repr__(self) -> str:
        flips = "all" if self.exact else "random"
        return (
            f"SignFlipTest({self.statistic!r}, {self.tail!r}, map of shape {self.t.shape}, "
            f"{self.n_subjects} subjects, {flips} {self.n_permutations} flips, smallest p "
            f"{np.nanmin(self.p):.3g})"
        )


@keep_warnings
def sign_flip_test(
    values: np.ndarray,
    *,
    statistic: str = "max",
    neighbours: sparse.sparray | np.ndarray | None = None,
    threshold: float | None = None,
    tail: str = "two-sided",
    n_permutations: int = 9999,
    seed: int = 0,
) -> SignFlipTest:
    """Test where similarities differ from 0 over subjects, by flipping the signs of subjects.

    Parameters
    ----------
    values : array_like, shape (n_subjects, ...)
        One map of each subject: similarities (or differences of similarities) at time points,
        time × time, layers, voxels or vertices. Signed values, without effect symmetric around 0:
        not squared correlations, and nothing with a bias. NaN in all subjects marks a place that
        was not measured (outside the mask): it stays NaN and is left out.
    statistic : {"max", "cluster-mass", "tfce"}, default "max"
        What is compared with its largest value over all places: t itself [1]_, the sum of t over
        neighbouring places above a threshold [2]_ [3]_, or t enhanced by its neighbours without
        a threshold [4]_.
    neighbours : sparse array or array_like, shape (n_places, n_places), optional
        Needed by "cluster-mass" and "tfce", and only by these: which places are neighbours,
        symmetric, entries other than 0 count. Places are in the order of
        ``values.reshape(n_subjects, -1)``. See :mod:`rsa_faces.inference.neighbours`.
    threshold : float, optional
        Of "cluster-mass" only: places with ``|t|`` of at least this, in the tail, form clusters. By
        default the t of p = 0.01 in the tail (two-sided: 0.005 on each side).
    tail : {"two-sided", "greater", "less"}, default "two-sided"
        Two-sided tests form clusters of positive and of negative t separately, and compare with
        the largest of both.
    n_permutations : int, default 9999
        Number of random flips. Where all 2^n_subjects flips are no more than this, each is made
        once and the p values are exact.
    seed : int, default 0
        Of the random flips.

    Returns
    -------
    SignFlipTest
        p values hold the family-wise error rate over all places: under no effect anywhere, any p
        is at most α in a share α of studies. A cluster's p says that there is an effect, not that
        each of its places has one, nor where it begins and ends [5]_.

    Raises
    ------
    InputError
        If there are fewer than 2 subjects or no place, values are infinite, missing in some
        subjects only, or (up to sign) the same in all subjects at a place, where t has no bound;
        if neighbours are missing, not needed, of another shape or not symmetric; or if the
        threshold is not a positive number or not needed.

    Warns
    -----
    UserWarning
        With fewer than 6 subjects, where p values cannot be small.

    See Also
    --------
    permutation_test : Test whether conditions matter to a similarity, by shuffling their labels.
    grid_neighbours : Make cells of a grid neighbours: voxels of a volume, or time × time.
    surface_neighbours
    time_neighbours : Make each time point (or layer) the neighbour of those just before and after.

    Notes
    -----
    t = mean / (sd / √n), sd with n − 1. Under the null hypothesis a subject's map might as well
    have had the opposite sign; all places of a subject are flipped together, which keeps their
    dependence. p = (1 + #≥) / (1 + n_permutations) over random flips; over all 2^n flips
    p = #≥ / 2^n, where the data as measured are one of them. Values that differ only in the last
    digits count as equal. A place that is 0 in all subjects has t = 0.

    Threshold-free cluster enhancement is ∫ e(h)^0.5 · h² dh from 0 to t, where e(h) is the number
    of neighbouring places with t of at least h around the place. It is computed exactly, not in
    steps of h: e(h) is constant between successive t values, where ∫ h² dh = h³ / 3. Tools that
    sum steps of dh differ by their step. Extents are counted in places.

    Additions are made in one order: results do not depend on the number of threads. Memory is
    that of `values` twice and a few maps for each thread.

    References
    ----------
    .. [1] Nichols T. E., Holmes A. P. (2002). Human Brain Mapping 15, 1-25.
       doi:10.1002/hbm.1058
    .. [2] Bullmore E. T. et al. (1999). IEEE Transactions on Medical Imaging 18, 32-42.
       doi:10.1109/42.750253
    .. [3] Maris E., Oostenveld R. (2007). Journal of Neuroscience Methods 164, 177-190.
       doi:10.1016/j.jneumeth.2007.03.024
    .. [4] Smith S. M., Nichols T. E. (2009). NeuroImage 44, 83-98.
       doi:10.1016/j.neuroimage.2008.03.061
    .. [5] Sassenhagen J., Draschkow D. (2019). Psychophysiology 56, e13335.
       doi:10.1111/psyp.13335

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.inference.maps import sign_flip_test
    >>> from rsa_faces.inference.neighbours import time_neighbours
    >>> similarities = np.random.default_rng(0).normal(0.0, 0.1, (12, 50))
    >>> similarities[:, 20:30] += 0.2
    >>> test = sign_flip_test(
    ...     similarities, statistic="cluster-mass", neighbours=time_neighbours(50))
    >>> test.clusters[["sign", "size", "p"]].head(1)
       sign  size         p
    0     1    10  0.000488
    >>> np.flatnonzero(test.labels == 1)
    array([20, 21, 22, 23, 24, 25, 26, 27, 28, 29])
    """
    check_choice(statistic, STATISTICS, what="statistic")
    check_choice(tail, TAILS, what="tail")
    check_count(n_permutations, what="n_permutations")
    maps, measured, shape = _measured(values)
    threshold = _threshold(threshold, statistic, tail, len(maps))
    graph = _graph(neighbours, statistic, measured)
    _warn_if_few(len(maps), tail)
    units = _units(maps)
    signs, exact = _signs(len(maps), n_permutations, tail, seed)
    maxima = np.sort(
        loops.null_maxima(
            units,
            signs,
            graph,
            STATISTICS.index(statistic),
            _sides(tail),
            0.0 if threshold is None else threshold * _SAME,
        )
    )
    n_permutations = 2 ** len(maps) if exact else n_permutations

    def p_values(observed: np.ndarray) -> np.ndarray:
        # The tolerance has to lower the bound on both sides of 0.
        bound = np.where(observed > 0, observed * _SAME, observed / _SAME)
        larger = len(maxima) - np.searchsorted(maxima, bound)
        # All flips hold the observed one; random flips do not, and it is counted with them.
        return larger / len(maxima) if exact else (1 + larger) / (1 + len(maxima))

    def as_map(of_measured: np.ndarray, elsewhere=np.nan) -> np.ndarray:
        full = np.full(measured.shape, elsewhere, dtype=of_measured.dtype)
        full[measured] = of_measured
        return full.reshape(shape)

    t = loops.t_values(units, np.ones((1, len(units)), np.int8))[0]
    enhanced = clusters = labels = None
    if statistic == "max":
        p = p_values({"two-sided": np.abs(t), "greater": t, "less": -t}[tail])
    elif statistic == "tfce":
        enhanced = _enhanced(t, graph, tail)
        p = p_values(np.abs(enhanced))
        enhanced = as_map(enhanced)
    else:
        # `_threshold` gives one where clusters are formed.
        labels, clusters = _clusters(t, graph, tail, threshold)  # type: ignore[arg-type]
        clusters["p"] = p_values(clusters["mass"].to_numpy())
        # Label 0: no cluster.
        p = np.concatenate([[1.0], clusters["p"]])[labels]
        peaks = np.unravel_index(np.flatnonzero(measured)[clusters["peak"]], shape)
        clusters["peak"] = pd.Series(
            list(zip(*(axis.tolist() for axis in peaks), strict=True)), dtype=object
        )
        clusters = clusters[list(CLUSTERS)]
        labels = as_map(labels, 0)
    return SignFlipTest(
        statistic,
        tail,
        as_map(t),
        as_map(p),
        enhanced,
        clusters,
        labels,
        threshold,
        maxima,
        len(maps),
        n_permutations,
        exact,
    )


def _measured(values) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Return the values at measured places, which places those are, and the shape of a map."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim < 2 or values.shape[0] < 2 or values.size == 0:
        raise InputError(
            "expected values of shape (n_subjects, ...) with at least 2 subjects and 1 place, "
            f"got shape {values.shape}."
        )
    maps = values.reshape(len(values), -1)
    if (n_infinite := int(np.isinf(maps).sum())) > 0:
        raise InputError(f"expected finite values, but {n_infinite} are infinite.")
    n_missing = np.isnan(maps).sum(axis=0)
    partly = (n_missing > 0) & (n_missing < len(maps))
    if partly.any():
        first = tuple(int(i) for i in np.unravel_index(partly.argmax(), values.shape[1:]))
        raise InputError(
            f"expected a value of every subject at each place, but {int(partly.sum())} of "
            f"{maps.shape[1]} places are missing (NaN) in some subjects (the first at {first}, in "
            f"{n_missing[partly.argmax()]} of {len(maps)}). Set them to NaN in all subjects to "
            "leave these places out, or leave out the subjects."
        )
    measured = n_missing == 0
    if not measured.any():
        raise InputError(f"expected measured places, but all {maps.shape[1]} are NaN.")
    return maps[:, measured], measured, values.shape[1:]


def _threshold(threshold, statistic: str, tail: str, n_subjects: int) -> float | None:
    """Return the t that forms clusters, None where there are none."""
    if statistic != "cluster-mass":
        if threshold is not None:
            raise InputError(
                f"expected no threshold with statistic {statistic!r}, got {threshold!r}. Leave it "
                "out, or use 'cluster-mass'."
            )
        return None
    if threshold is None:
        # Any choice is valid, but it decides which extents of effects are found: .01 in all.
        return float(stats.t.isf(0.005 if tail == "two-sided" else 0.01, n_subjects - 1))
    return check_above(threshold, 0, what="threshold to be a t value")


def _graph(neighbours, statistic: str, measured: np.ndarray) -> sparse.csr_array:
    """Return the neighbours of measured places; nothing with the maximum of t."""
    if (statistic == "max") != (neighbours is None):
        raise InputError(
            "expected no neighbours with statistic 'max': leave them out, or use 'tfce'."
            if neighbours is not None
            else f"expected neighbours with statistic {statistic!r}, such as "
            f"time_neighbours(n_times) or grid_neighbours(mask) of {measured.size} places."
        )
    if neighbours is None:
        return sparse.csr_array((1, 1), dtype=bool)
    graph = check_neighbours(neighbours, measured.size)
    return graph if measured.all() else graph[measured][:, measured]


def _warn_if_few(n_subjects: int, tail: str) -> None:
    """Warn where so few subjects keep p values from being small."""
    if n_subjects < _FEW:
        n_flips = 2 ** (n_subjects - (tail == "two-sided"))
        warn(
            f"with {n_subjects} subjects no {tail} p value can be below 1/{n_flips} = "
            f"{1 / n_flips:.3g}; measure more subjects before concluding that there is no effect."
        )


def _units(maps: np.ndarray) -> np.ndarray:
    """Return the values divided by their root sum of squares at each place; 0 stays 0."""
    # Scaled first: squares of very small values would be 0.
    scale = np.abs(maps).max(axis=0)
    units = maps / np.where(scale > 0, scale, 1.0)
    squares = np.einsum("sp,sp->p", units, units)
    # Up to signs, as flips make such values equal: t would be without bound in one of them.
    deviations = np.abs(units)
    deviations -= deviations.mean(axis=0)
    # t is a mean over a spread: of copies the spread is rounding, and t would be of the order of
    # 1e6.
    same = np.einsum("sp,sp->p", deviations, deviations) <= 1e-12 * squares
    if (constant := same & (scale > 0)).any():
        raise InputError(
            f"expected values that differ between subjects, but at {int(constant.sum())} of "
            f"{maps.shape[1]} places all subjects have the same value up to its sign (first "
            f"{abs(maps[0, constant.argmax()]):.6g}), where t has no bound. Are these copies of "
            "one subject? Set such places to NaN in all subjects to leave them out."
        )
    units /= np.sqrt(np.where(scale > 0, squares, 1.0))
    return units


def _signs(n_subjects: int, n_permutations: int, tail: str, seed) -> tuple[np.ndarray, bool]:
    """Return the signs of subjects in each flip, and whether these are all flips."""
    rng = as_rng(seed)
    if 2**n_subjects > n_permutations:
        # All flips are better than random ones where there are no more of them.
        drawn = rng.integers(0, 2, (n_permutations, n_subjects), dtype=np.int8)
        return 2 * drawn - 1, False
    # Two-sided statistics are the same for a flip and its mirror image.
    n_free = n_subjects - (tail == "two-sided")
    bits = np.arange(2**n_free)[:, None] >> np.arange(n_subjects) & 1
    return (1 - 2 * bits).astype(np.int8), True


def _sides(tail: str) -> tuple[int, ...]:
    """Return the signs of t that count."""
    return {"two-sided": (1, -1), "greater": (1,), "less": (-1,)}[tail]


def _enhanced(t: np.ndarray, graph, tail: str) -> np.ndarray:
    """Return the enhanced map, with the sign of t."""
    return np.sum([sign * loops.enhance(sign * t, graph) for sign in _sides(tail)], axis=0)


def _clusters(t: np.ndarray, graph, tail: str, threshold: float):
    """Return the label of each place and the table of clusters, the largest mass first."""
    found, masses, signs = [], [], []
    for sign in _sides(tail):
        root, mass = loops.cluster_masses(sign * t, graph, threshold * _SAME)
        roots = np.flatnonzero(root == np.arange(len(t)))
        found.append(root)
        masses.append(mass[roots])
        signs.append(np.full(len(roots), sign))
    # A place is in a cluster of one sign at most: roots tell all clusters apart.
    root = np.max(found, axis=0)
    mass, sign = np.concatenate(masses), np.concatenate(signs)
    roots = np.concatenate([np.unique(r[r >= 0]) for r in found])
    order = np.argsort(-mass, kind="stable")
    number = np.zeros(len(t) + 1, np.int64)  # the last is for root −1
    number[roots[order]] = np.arange(1, len(order) + 1)
    labels = number[root]
    table = pd.DataFrame({"label": np.arange(1, len(order) + 1), "sign": sign[order]})
    table["size"] = np.bincount(labels, minlength=len(order) + 1)[1:]
    table["mass"] = mass[order]
    # The first of each label when places go by label, then from the largest |t| down.
    places = np.lexsort((-np.abs(t), labels))
    starts = np.searchsorted(labels[places], table["label"])
    table["peak"] = places[starts]
    table["peak_t"] = t[places[starts]]
    return labels, table
