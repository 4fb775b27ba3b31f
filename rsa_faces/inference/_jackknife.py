"""What each subject adds to the noise ceilings: they are computed without each subject in turn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rsa_faces.comparison import Method
from rsa_faces.inference._pooled import scaled_products
from rsa_faces.inference._study import Run, Study


def jackknifed_ceilings(study: Study) -> np.ndarray:
    """Return what each subject adds to the lower and the upper ceiling.

    Parameters
    ----------
    study : Study

    Returns
    -------
    ndarray, shape (2, n_subjects)
        n · ceiling − (n − 1) · ceiling without the subject: the variance of their mean is that of
        the ceiling. NaN with fewer than 3 subjects, as one has no ceiling.
    """
    without = CeilingsWithout(len(study.data))
    if len(study.data) > 2:
        for run, pools in pools_of_runs(study.left()):
            of_all = pools.at_once()
            for t in range(len(run.members)):
                own = pools.similarities(t, pools.against(t)) if of_all is None else of_all[t]
                without.add(run.members, t, own)
    return without.values()


def pools_of_runs(study: Study) -> Iterator[tuple[Run, Pools]]:
    """Yield each run that two subjects have, and their pools."""
    for run in study.runs:
        if len(run.members) > 1:
            yield run, Pools(run.study)


class Pools:
    """The pooled RDMs that the subjects of one run are compared with."""

    def __init__(self, study: Study):
        self.data, self.method, self.evidence = study.data, study.method, study.evidence
        self.counted = study.counted
        self.once = study.once
        filled = np.where(self.counted > 0, self.data, 0.0)
        scaled = [
            self.method.pooling(v[None], w[None])[0]
            for v, w in zip(filled, self.counted, strict=True)
        ]
        self.scaled = np.where(self.counted > 0, scaled, 0.0) * self.counted

    def against(self, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the pools of the others than t and of all, each without one subject.

        Of shape (2 n, n_pairs); nobody is left out at t and n + t. And the group of each, by the
        pairs that it shares with t, -1 where these are fewer than 3.
        """
        n = len(self.data)
        out, left = np.zeros((2, 2 * n, self.data.shape[1]))
        for array, of in ((out, self.scaled), (left, self.counted)):
            array[:n], array[n:] = of, of
            array[[t, n + t]] = 0.0
            array[:n] += of[t]
            np.subtract(of.sum(axis=0), array, out=array)
        with np.errstate(divide="ignore", invalid="ignore"):
            # Differences of evidence leave rounding where nobody else has a pair.
            pools = np.where(left > 1e-9, out / left, np.nan)
        both = (self.counted[t] > 0) & ~np.isnan(pools)
        if both.all():
            return pools, np.zeros(2 * n, int)
        masks, group = np.unique(both, axis=0, return_inverse=True)
        group = group.ravel()
        return pools, np.where(masks.sum(axis=1)[group] < 3, -1, group)

    def similarities(self, t: int, against: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Return similarities of subject t with pools, (2, n): see `against`."""
        pools, group = against
        similarity = np.full(len(pools), np.nan)
        for rows, x, y, mask in self._complete(t, pools, group):
            if self.evidence is None:
                similarity[rows] = self.method(x, y)[:, 0]
            else:
                own = self.evidence[t, mask][None]
                similarity[rows] = self.method.with_weights(x, y, own)[0, :, 0]
        return similarity.reshape(2, -1)

    def at_once(self) -> np.ndarray | None:
        """Return what `similarities` gives for each subject, (n, 2, n), if all have every pair.

        None where that, or the method, asks for one subject after the other.
        """
        if self.evidence is not None or not self.counted.all():
            return None
        if self.method.linear:
            return self._from_inner_products()
        return self._from_factors() if self.method.factors is not None else None

    def _from_inner_products(self) -> np.ndarray | None:
        """Return all similarities of a linear method; None where rounding may decide."""
        between = scaled_products(self.data, self.method, self.once)[0]
        own, to_all = np.diagonal(between), between.sum(axis=1)
        norm = to_all.sum()
        # The pool of the others (0) and of all (1), each without another subject and with all.
        others = np.array([[1.0], [0.0]])
        product, square = to_all - others * own, norm - others * (2 * to_all - own)
        products = product[:, :, None] - between
        squares = square[:, :, None] - 2 * to_all + own + 2 * others[:, :, None] * between
        at = np.arange(len(own))
        products[:, at, at], squares[:, at, at] = product, square
        # What is left of pools that cancel each other may be rounding.
        if not (squares > 1e-6 * own.sum()).all():
            return None
        return (products / np.sqrt(own[:, None] * squares)).transpose(1, 0, 2)

    def _from_factors(self) -> np.ndarray:
        """Return all similarities from rows of pools; two subjects leave the same one behind."""
        # Called for methods that have factors.
        of_model, of_data = self.method.factors  # type: ignore[misc]
        n, own, total = len(self.data), of_data(self.data), self.scaled.sum(axis=0)
        similarity, without = np.empty((n, 2, n)), total - self.scaled
        similarity[:, 1] = own @ of_model(without).T
        np.einsum("sks->sk", similarity)[:, 1] = own @ of_model(total[None])[0]
        for t in range(n):
            left = np.concatenate([without[[t]], without[t] - self.scaled[t + 1 :]])
            found = of_model(left) @ own.T
            similarity[t, 0, t:] = found[:, t]
            similarity[t + 1 :, 0, t] = np.diagonal(found[1:, t + 1 :])
        return similarity

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
            own = None if self.evidence is None else self.evidence[t, mask]
            influence[np.ix_(rows, mask)] = influences(self.method, x, y, own)[:, 0]
        return influence[:n], influence[n + t]

    def _complete(self, t: int, pools: np.ndarray, group: np.ndarray) -> Iterator[tuple]:
        """Yield rows of pools, and these and t's RDM over the pairs that all have."""
        for g in np.unique(group[group >= 0]):
            rows = np.flatnonzero(group == g)
            mask = (self.counted[t] > 0) & ~np.isnan(pools[rows[0]])
            yield rows, pools[np.ix_(rows, mask)], self.data[t, mask][None], mask


def influences(method: Method, model, data, weights=None) -> np.ndarray:
    """Return influences over pairs that all have, (n_model, n_data, n_pairs)."""
    # `with_closed_form` sent methods without influences another way.
    of = method.influence
    return of(model, data) if weights is None else of(model, data, weights)  # type: ignore[misc]


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
