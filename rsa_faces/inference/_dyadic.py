"""Standard errors in closed form: pairs depend on each other where they share a condition.

The similarity of a model with a subject's RDM is, to first order, a sum of influences ψ_sp of pairs
p (:mod:`rsa_faces.comparison._influence`). Influences of two subjects are correlated where their
pairs share a condition; those of one subject always may be. The variance of a mean over S subjects
is then V = V_s + C, with

    V_s = variance over subjects of their similarities / S,
    C = f · mean over subjects s ≠ t of Q(ψ_s, ψ_t),
    Q(u, v) = Σ u_p v_q over pairs p, q that share a condition = Σ_i u_i v_i − Σ_p u_p v_p,

u_i being what condition i does: the sum of u over its pairs. V_s is what new subjects add under the
same conditions, C what new conditions do to all subjects alike. This is the variance for dyadic
data [1]_ clustered by conditions and by subjects [2]_, with two corrections for small samples.

Centring. Influences are taken around the observed similarity and sum to 0, which makes their
products too negative. For interchangeable conditions, products of disjoint pairs have a mean of 0
around the truth and of −V around the observed mean; those that share have the rest of V. Hence
f = 1 / (share of pairs of pairs that are disjoint) = K (K − 1) / ((K − 2) (K − 3)) for K
conditions: the variance of a mean over pairs is then unbiased.

Curvature. A correlation is no mean. u_i is therefore what leaving condition i out really does to
the similarity (times 1 − the share of its pairs, which makes it u_i exactly for a mean).

References
----------
.. [1] Aronow P. M., Samii C., Assenova V. A. (2015). Political Analysis 23, 564-577.
   doi:10.1093/pan/mpv018
.. [2] Cameron A. C., Gelbach J. B., Miller D. L. (2011). Journal of Business & Economic Statistics
   29, 238-249. doi:10.1198/jbes.2010.07136
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from rsa_faces.comparison import Method
from rsa_faces.inference._design import Design, Units
from rsa_faces.inference._estimate import Estimate, of_differences
from rsa_faces.inference._jackknife import (
    CeilingsWithout,
    influences,
    jackknifed_ceilings,
    pools_of_runs,
)
from rsa_faces.inference._study import Study, pairs_of

#: With more groups of conditions, leaving one out takes long, and differs little from its influence
_MANY = 150
_MEMORY = 256 * 2**20


def with_closed_form(
    design: Design, method: Method, *, partial: bool = False, without: str = ""
) -> tuple[Design, list[str]]:
    """Return the design with the uncertainty that there is, and a note where it is another.

    Without influence functions samples are drawn; where patterns covary the closed form is used.

    Parameters
    ----------
    design : Design
    method : Method
    partial : bool, default False
        RDMs are regressed out.
    without : str, optional
        What is estimated, where it has no closed form with any method.

    Returns
    -------
    design : Design
    notes : list of str
    """
    influence = method.partial_influence if partial else method.influence
    if design.generalise_to == "subjects" and not without:
        return design, []
    if design.uncertainty == "bootstrap" and method.sigma_k is not None:
        note = (
            "standard errors come from the closed form: how copies of a condition, which samples "
            "hold, would covary is not known (`sigma_k`)."
        )
        return replace(design, uncertainty="analytic"), [note]
    if design.uncertainty == "bootstrap":
        return design, []
    if influence is not None and not without:
        return design, []
    what = f"partial {method.name}" if partial else f"the method {method.name!r}"
    note = (
        f"standard errors come from {design.n_boot} bootstrap samples: {without or what} has no "
        "influence function, which closed forms need."
    )
    return replace(design, uncertainty="bootstrap"), [note]


def analytic(study: Study, design: Design) -> Estimate:
    """Return observed similarities and the variances of their means, in closed form.

    Parameters
    ----------
    study : Study
        With a method that has influence functions.
    design : Design
        What conclusions are to hold for.

    Returns
    -------
    Estimate
        Without samples. Variances of both ceilings and of differences to them are NaN with fewer
        than 3 subjects.
    """
    freedom = design.freedom(len(study.data), study.units)
    if design.generalise_to == "subjects":
        # Without influences, which not all methods have.
        similarity = study.similarities(study.once)[0]
        covariance = of_subjects(np.vstack([similarity, jackknifed_ceilings(study)]))
        own, difference = np.diagonal(covariance).copy(), of_differences(covariance)
    else:
        parts = variance_parts(study)
        similarity = parts.similarity
        own, difference = parts.variances(design.generalise_to)
    return Estimate(similarity, own, difference, freedom, np.empty((0, len(own))))


@dataclass(frozen=True, eq=False)
class Parts:
    """Parts of the covariance of mean similarities; columns are models, then both ceilings.

    Parameters
    ----------
    similarity : ndarray, shape (n_model, n_subjects)
        Observed.
    subjects : ndarray, shape (n_model + 2, n_model + 2)
        V_s: of other subjects under the same conditions.
    crossed : ndarray, shape (n_model + 2, n_model + 2)
        C: what conditions do to different subjects alike.
    conditions : ndarray, shape (n_model + 2, n_model + 2)
        Of other conditions with the same subjects.
    pairs : ndarray, shape (n_model + 2, n_model + 2)
        The same if pairs that share a condition were independent.
    """

    similarity: np.ndarray
    subjects: np.ndarray
    crossed: np.ndarray
    conditions: np.ndarray
    pairs: np.ndarray

    def variances(self, generalise_to: str) -> tuple[np.ndarray, np.ndarray]:
        """Return variances of columns, (n,), and of all differences of two columns, (n, n).

        For conditions never less than if pairs were independent; for subjects and conditions V_s +
        C, and never less than for either alone: whoever generalises further is not surer.
        """
        variances = []
        for of in (np.diagonal, of_differences):
            subjects, crossed = of(self.subjects), of(self.crossed)
            # Negative dependence of pairs that share a condition is taken for chance.
            conditions = np.maximum(of(self.conditions), of(self.pairs))
            both = np.maximum.reduce([subjects + crossed, subjects, conditions])
            all_ = {"subjects": subjects, "conditions": conditions, "both": both}
            variances.append(all_[generalise_to].copy())
        return tuple(variances)


def variance_parts(study: Study, *, ceilings: bool = True) -> Parts:
    """Return observed similarities and the parts of their covariance.

    Parameters
    ----------
    study : Study
    ceilings : bool, default True
        Without, the columns of the ceilings are NaN, and time is saved.

    Returns
    -------
    Parts
    """
    n_model, units = len(study.model), study.units
    size, (n_subjects, n_pairs) = n_model + 2, study.data.shape
    similarity = study.similarities(study.once)[0]
    values = np.full((size, n_subjects), np.nan)
    values[:n_model] = similarity
    sharing = _Sharing(units, _shares(study).mean(axis=0))
    left_out = None
    if units.n_groups <= _MANY:
        left_out = _left_out(study, similarity)
        left_out *= (1 - sharing.share_of_run)[:, None, None]
    low = high = None
    if ceilings and n_subjects > 2:
        low, high = _ceilings(study, sharing)
        values[n_model:] = low.values, high.values
    nodes = np.full((size, n_subjects, units.n_groups), np.nan)
    total, own = np.zeros((size, n_pairs)), _Products(size)
    step = int(np.clip(_MEMORY // (8 * n_pairs * size * 4), 1, n_subjects))
    for start in range(0, n_subjects, step):
        influence = _influences(study.of_subjects(slice(start, start + step)))
        for s in range(start, min(start + step, n_subjects)):
            rows = np.full((size, n_pairs), np.nan)
            rows[:n_model] = influence[:, s - start]
            nodes[:n_model, s] = sharing.nodes(rows[:n_model])
            if left_out is not None:
                nodes[:n_model, s] = _where_defined(left_out[:, :, s].T, nodes[:n_model, s])
            if low is not None and high is not None:
                rows[n_model:] = low.influence[s], high.influence[s]
                nodes[n_model:, s] = low.nodes[s], high.nodes[s]
            total += rows
            own.add(sharing, rows, nodes[:, s])
    mean = _Products(size)
    mean.add(sharing, total / n_subjects, nodes.mean(axis=1))
    crossed = np.full((size, size), np.nan)
    if n_subjects > 1:
        crossed = mean.sharing - own.sharing / n_subjects**2
        # Products of a subject with itself were taken out of n²: n (n - 1) of them are of two
        # subjects.
        crossed *= n_subjects / (n_subjects - 1)
    return Parts(similarity, of_subjects(values), crossed, mean.sharing, mean.within)


def _influences(study: Study) -> np.ndarray:
    """Return influences on similarities within runs, their mean, (n_model, n_data, n_pairs).

    0 for pairs that are not used or not measured; NaN with fewer than 3.
    """
    influence = np.zeros((len(study.model), *study.data.shape))
    n_runs = np.zeros(len(study.data))
    for run in study.runs:
        n_runs[run.members] += 1
        for own, rows, pairs in run.study.complete():
            here = np.ix_(np.arange(len(study.model)), run.members[rows], run.pairs[pairs])
            sides = own.model, own.data
            if len(pairs) < 3:
                influence[here] = np.nan
            elif own.given is not None:
                # `with_closed_form` sent methods without influences another way.
                of = own.method.partial_influence
                influence[here] = of(*sides, own.given)  # type: ignore[misc]
            else:
                weights = None if own.evidence is None else own.evidence[0]
                influence[here] = influences(own.method, *sides, weights)
    return influence / np.maximum(n_runs, 1)[:, None]


class _Sharing:
    """Which pairs of conditions share a group; groups in different strata are independent."""

    def __init__(self, units: Units, shares: np.ndarray):
        row, col = np.triu_indices(len(units.groups), k=1)
        #: Pairs within runs, and all that follows for these only.
        self.used = np.flatnonzero(units.used)
        a, b = units.groups[row[self.used]], units.groups[col[self.used]]
        n_groups, n = units.n_groups, len(self.used)
        low, high = np.minimum(a, b), np.maximum(a, b)
        #: Pairs of the same two groups, put together; None if there are none.
        self.to_cells = None
        cell, index = np.unique(low * n_groups + high, return_inverse=True)
        if len(cell) < n:
            self.to_cells = sparse.csr_array(
                (np.ones(n), (np.arange(n), index.ravel())), (n, len(cell))
            )
            low, high = cell // n_groups, cell % n_groups
        size, here, across = len(low), np.arange(len(low)), low != high
        self.across = across.astype(float)
        self.to_groups = sparse.csr_array(
            (
                np.ones(size + across.sum()),
                (np.append(here, here[across]), np.append(low, high[across])),
            ),
            (size, n_groups),
        )
        self.stratum = units.strata
        self.cell_stratum = self.stratum[low]
        #: For each stratum, 1 / share of pairs of pairs that are disjoint.
        self.factor = np.ones(int(self.stratum.max()) + 1)
        cells = self.cells(shares[None])[0]
        nodes = cells @ self.to_groups
        for k in range(len(self.factor)):
            own, weight = cells[self.cell_stratum == k], nodes[self.stratum == k]
            across = self.across[self.cell_stratum == k]
            joint = (weight**2).sum() - (across * own**2).sum()
            with np.errstate(divide="ignore", invalid="ignore"):
                self.factor[k] = 1 / (1 - joint / own.sum() ** 2)
        #: What share of the pairs of its runs each group has, the mean over these runs.
        self.share_of_run = self._share_of_run(units, shares)

    def _share_of_run(self, units: Units, shares: np.ndarray) -> np.ndarray:
        total, n_runs = np.zeros(units.n_groups), np.zeros(units.n_groups)
        for run in units.runs:
            within = np.zeros(len(shares))
            pairs = pairs_of(run, len(units.groups))
            if shares[pairs].sum() > 0:
                within[pairs] = shares[pairs] / shares[pairs].sum()
            total += self.nodes(within[None])[0]
            n_runs[np.unique(units.groups[run])] += 1
        return total / np.maximum(n_runs, 1)

    def cells(self, values: np.ndarray) -> np.ndarray:
        """Return sums of `values`, (n, n_pairs), over pairs of the same two groups."""
        values = values[:, self.used]
        return values if self.to_cells is None else values @ self.to_cells

    def nodes(self, values: np.ndarray) -> np.ndarray:
        """Return sums of `values`, (n, n_pairs), over the pairs of each group, (n, n_groups)."""
        return self.cells(values) @ self.to_groups


class _Products:
    """Sums of products over pairs that share a group, corrected, and within cells."""

    def __init__(self, size: int):
        self.sharing = np.zeros((size, size))
        self.within = np.zeros((size, size))

    def add(self, sharing: _Sharing, rows: np.ndarray, nodes: np.ndarray) -> None:
        """Add the products of rows of influences, (size, n_pairs); nodes (size, n_groups)."""
        cells = sharing.cells(rows)
        scaled = nodes * sharing.factor[sharing.stratum]
        self.sharing += scaled @ nodes.T
        # A cell of two groups was counted for each of them.
        twice = sharing.across * sharing.factor[sharing.cell_stratum]
        self.sharing -= (cells * twice) @ cells.T
        self.within += cells @ cells.T


def _shares(study: Study) -> np.ndarray:
    """Return how much each pair counts in the similarity of each subject, (n_subjects, n_pairs)."""
    shares = np.zeros(study.data.shape)
    for run in study.runs:
        counted = run.study.counted
        shares[np.ix_(run.members, run.pairs)] = counted / counted.sum(axis=1, keepdims=True)
    total = shares.sum(axis=1, keepdims=True)
    return np.divide(shares, total, out=shares, where=total > 0)


def _all_but_one(units: Units) -> np.ndarray:
    """Return counts of conditions with one group left out, (n_groups, n_conditions)."""
    return (units.groups != np.arange(units.n_groups)[:, None]).astype(float)


def _left_out(study: Study, similarity: np.ndarray) -> np.ndarray:
    """Return what leaving a group out takes from similarities, (n_groups, n_model, n_subjects)."""
    counts = _all_but_one(study.units)
    parts = np.empty((len(counts), *similarity.shape))
    step = int(np.clip(_MEMORY // (8 * study.data.size), 1, 32))
    for start in range(0, len(counts), step):
        parts[start : start + step] = study.similarities(counts[start : start + step])
    return similarity - parts


def _where_defined(values: np.ndarray, instead: np.ndarray) -> np.ndarray:
    """Return values, others where they are NaN (without a group, a model may be constant)."""
    return np.where(np.isnan(values), instead, values)


def of_subjects(values: np.ndarray) -> np.ndarray:
    """Return the covariance of means of values, (n, n_subjects); NaN with one subject."""
    n_subjects = values.shape[1]
    if n_subjects < 2:
        return np.full((len(values),) * 2, np.nan)
    centred = values - values.mean(axis=1, keepdims=True)
    return centred @ centred.T / (n_subjects * (n_subjects - 1))


@dataclass(frozen=True, eq=False)
class _Ceiling:
    """A noise ceiling as a mean over subjects.

    Parameters
    ----------
    values : ndarray, shape (n_subjects,)
        What each subject adds: :func:`jackknifed_ceilings`.
    influence : ndarray, shape (n_subjects, n_pairs)
        Influences of pairs on these values.
    nodes : ndarray, shape (n_subjects, n_groups)
        Of groups of conditions.
    """

    values: np.ndarray
    influence: np.ndarray
    nodes: np.ndarray


def _ceilings(study: Study, sharing: _Sharing) -> tuple[_Ceiling, _Ceiling]:
    """Return the lower and the upper ceiling.

    A subject adds its own similarity with a pool and its share in the pools of the others. For
    influences of pairs pools count as fixed (of the upper ceiling, only those on the subject's own
    similarity); what leaving conditions out does to the mean is exact.
    """
    study, units = study.left(), study.units
    n_subjects, n_pairs = study.data.shape
    without = CeilingsWithout(n_subjects)
    influence, everyone = np.zeros((2, n_subjects, n_pairs)), np.zeros((2, n_pairs))
    n_runs = np.zeros(n_subjects)
    runs = list(pools_of_runs(study))
    for run, _ in runs:
        n_runs[run.members] += 1
    for (_, _, pairs, members), pools in runs:
        for t, who in enumerate(members):
            against = pools.against(t)
            without.add(members, t, pools.similarities(t, against))
            to_others, to_all = (v / n_runs[who] for v in pools.influences(t, against))
            everyone[0, pairs] += to_others[t] / n_subjects
            everyone[1, pairs] += to_all / n_subjects
            influence[1][who, pairs] += to_all
            others = np.broadcast_to(to_others[t], (n_subjects, len(pairs))).copy()
            others[members] = np.nan_to_num(to_others)
            # Its own share is in the mean over everyone only.
            others[who] = 0.0
            influence[0][:, pairs] -= others
    influence[0] += n_subjects * everyone[0]
    exact = None
    if units.n_groups <= _MANY:
        counts = np.vstack([np.ones((1, len(units.groups))), _all_but_one(units)])
        exact = study.ceilings(counts).mean(axis=2)
    values, result = without.values(), []
    for which in range(2):
        nodes = sharing.nodes(influence[which])
        if exact is not None:
            linear = sharing.nodes(everyone[which][None])[0]
            left_out = (exact[which][0] - exact[which][1:]) * (1 - sharing.share_of_run)
            left_out = _where_defined(left_out, linear)
            squares = linear @ linear
            nodes = nodes * ((linear @ left_out) / squares if squares > 0 else 1.0)
        result.append(_Ceiling(values[which], influence[which], nodes))
    low, high = result
    return low, high
