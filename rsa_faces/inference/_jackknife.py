"""What each subject adds to the noise ceilings: they are computed without each subject in turn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rsa_faces._kernels.ranks import average_ranks
from rsa_faces.comparison import METHODS, Method, resolve
from rsa_faces.comparison._influence import residuals
from rsa_faces.inference._design import Units
from rsa_faces.inference._within import pairs_of


def jackknifed_ceilings(
    data: np.ndarray, method: str | Method, units: Units, given: np.ndarray | None = None
) -> np.ndarray:
    """Return what each subject adds to the lower and the upper ceiling.

    Parameters
    ----------
    data : ndarray, shape (n_subjects, n_pairs)
        NaN is a pair not measured.
    method : str or Method
    units : Units
        Runs of the conditions: the ceiling is the mean over runs.
    given : ndarray, shape (n_given, n_pairs), optional
        RDMs to regress out.

    Returns
    -------
    ndarray, shape (2, n_subjects)
        n · ceiling − (n − 1) · ceiling without the subject: the variance of their mean is that of
        the ceiling. NaN with fewer than 3 subjects, as one has no ceiling.
    """
    data, method = pooled_as(data, resolve(method), units, given)
    without = CeilingsWithout(len(data))
    if len(data) > 2:
        for _, members, pools in pools_of_runs(data, method, units):
            for t in range(len(members)):
                without.add(members, t, pools.similarities(t, pools.against(t)))
    return without.values()


def pooled_as(
    data: np.ndarray, method: Method, units: Units, given: np.ndarray | None
) -> tuple[np.ndarray, Method]:
    """Return what is compared with pools and how: what is left, once `given` is regressed out."""
    if given is None:
        return data, method
    rest = np.full(data.shape, np.nan)
    for run in units.runs:
        pairs = pairs_of(run, len(units.groups))
        sides = data[:, pairs], given[:, pairs]
        if method.uses_ranks:
            sides = tuple(average_ranks(side) for side in sides)
        y, z = (side - side.mean(axis=1, keepdims=True) for side in sides)
        rest[:, pairs] = residuals(y, z)[0]
    return rest, METHODS["pearson"]


def pools_of_runs(
    data: np.ndarray, method: Method, units: Units
) -> Iterator[tuple[np.ndarray, np.ndarray, Pools]]:
    """Yield pairs, subjects and their pools of each run that two subjects have."""
    for run in units.runs:
        pairs = pairs_of(run, len(units.groups))
        members = np.flatnonzero(~np.isnan(data[:, pairs]).all(axis=1))
        if len(members) > 1:
            yield pairs, members, Pools(data[np.ix_(members, pairs)], method)


class Pools:
    """The pooled RDMs that the subjects of one run are compared with."""

    def __init__(self, data: np.ndarray, method: Method):
        missing = np.isnan(data)
        self.data, self.method = data, method
        self.present = (~missing).astype(float)
        filled = np.where(missing, 0.0, data)
        scaled = [
            method.pooling(v[None], p[None])[0] for v, p in zip(filled, self.present, strict=True)
        ]
        self.scaled = np.where(missing, 0.0, scaled)

    def against(self, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the pools of the others than t and of all, each without one subject.

        Of shape (2 n, n_pairs); nobody is left out at t and n + t. And the group of each, by the
        pairs that it shares with t, -1 where these are fewer than 3.
        """
        n = len(self.data)
        out, left = np.zeros((2, 2 * n, self.data.shape[1]))
        for array, of in ((out, self.scaled), (left, self.present)):
            array[:n], array[n:] = of, of
            array[[t, n + t]] = 0.0
            array[:n] += of[t]
            np.subtract(of.sum(axis=0), array, out=array)
        with np.errstate(divide="ignore", invalid="ignore"):
            pools = out / left
        both = ~np.isnan(self.data[t]) & ~np.isnan(pools)
        if both.all():
            return pools, np.zeros(2 * n, int)
        masks, group = np.unique(both, axis=0, return_inverse=True)
        group = group.ravel()
        return pools, np.where(masks.sum(axis=1)[group] < 3, -1, group)

    def similarities(self, t: int, against: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Return similarities of subject t with pools, (2, n): see `against`."""
        pools, group = against
        similarity = np.full(len(pools), np.nan)
        for rows, x, y, _ in self._complete(t, pools, group):
            similarity[rows] = self.method(x, y)[:, 0]
        return similarity.reshape(2, -1)

    def influences(
        self, t: int, against: tuple[np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return influences on similarities with the others' pools, (n, n_pairs), and with all's.

        At t nobody is left out; the second, (n_pairs,), is with the pool of everyone.
        """
        n = len(self.data)
        pools, group = against
        group = np.where(np.arange(2 * n) <= n + t, group, -1)
        group[n : n + t] = -1
        influence = np.full(pools.shape, np.nan)
        for rows, x, y, mask in self._complete(t, pools, group):
            influence[rows] = 0.0
            # `with_closed_form` sent methods without influences another way.
            influence[np.ix_(rows, mask)] = self.method.influence(x, y)[:, 0]  # type: ignore[misc]
        return influence[:n], influence[n + t]

    def _complete(self, t: int, pools: np.ndarray, group: np.ndarray) -> Iterator[tuple]:
        """Yield rows of pools, and these and t's RDM over the pairs that all have."""
        for g in np.unique(group[group >= 0]):
            rows = np.flatnonzero(group == g)
            mask = ~np.isnan(self.data[t]) & ~np.isnan(pools[rows[0]])
            yield rows, pools[np.ix_(rows, mask)], self.data[t, mask][None], mask


class CeilingsWithout:
    """Ceilings of each subject without each other, gathered run by run."""

    def __init__(self, n_subjects: int):
        self.total = np.zeros((2, n_subjects, n_subjects))
        self.n_runs = np.zeros((2, n_subjects, n_subjects))

    def add(self, members: np.ndarray, t: int, similarity: np.ndarray) -> None:
        """Add similarities of one subject, (2, n_members), as :class:`Pools` returns them."""
        for which in range(2):
            # Without someone who is not in this run, it is as it was.
            without = np.full(self.total.shape[1], similarity[which, t])
            without[members] = similarity[which]
            defined = ~np.isnan(without)
            self.total[which, defined, members[t]] += without[defined]
            self.n_runs[which, defined, members[t]] += 1

    def values(self) -> np.ndarray:
        """Return what each subject adds, (2, n_subjects)."""
        n = self.total.shape[1]
        with np.errstate(invalid="ignore"):
            of_all = self.total / self.n_runs
        own = np.einsum("kss->ks", of_all).mean(axis=1, keepdims=True)
        return n * own - np.where(np.eye(n, dtype=bool), 0.0, of_all).sum(axis=2)
