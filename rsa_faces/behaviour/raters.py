"""Raters: one RDM each, who agrees with the others, and one RDM for the group."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import h5py
import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_arguments, check_choice, check_enough, check_pair_weights
from rsa_faces._core.errors import InputError, check_same_names
from rsa_faces._core.labels import Labels, codes_of
from rsa_faces._core.numbers import fisher_z
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.stored import new_file
from rsa_faces.behaviour._trials import Arrangements
from rsa_faces.behaviour.inverse_mds import inverse_mds
from rsa_faces.rdm import RDMs, load_rdms
from rsa_faces.rdm._io import write_group

_SCALES = ("rms", "z", "none")


@dataclass(frozen=True, eq=False, repr=False)
class RaterRDMs(BaseResult, figure="plot_rdms"):
    """RDMs of several raters, with their evidence.

    Parameters
    ----------
    rdms : RDMs
        One per rater, labels rater, n_trials and stress.
    evidence : ndarray, shape (n_raters, n_pairs)
        Evidence of each pair in each rater's RDM, in the order of the RDMs' conditions.

    See Also
    --------
    fit_raters : Estimate one RDM per rater.
    group_rdm : Average raters to one RDM, pair by pair, weighted with evidence.
    rater_agreement : Correlate each rater with the others, and say who stands apart and why.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.behaviour import Arrangements, Trial, fit_raters
    >>> xy = np.array([[0.0, 0.0], [0.6, 0.0], [0.0, 0.8]])
    >>> raters = fit_raters([Arrangements(r, [Trial(("a", "b", "c"), xy)]) for r in ("r1", "r2")])
    >>> raters.rdms.labels["rater"].tolist(), raters.evidence.shape
    (['r1', 'r2'], (2, 3))
    """

    rdms: RDMs
    evidence: np.ndarray

    def _drawn(self) -> RDMs:
        return self.rdms

    @property
    def table(self) -> pd.DataFrame:
        """Labels of the RDMs: one row per rater."""
        return self.rdms.labels

    def sel(self, **labels) -> RaterRDMs:
        """Return the raters with these labels, as :meth:`rsa_faces.RDMs.sel`."""
        evidence = RDMs(self.evidence, self.rdms.conditions, "evidence", self.rdms.labels)
        return RaterRDMs(self.rdms.sel(**labels), evidence.sel(**labels).vectors)

    def save_rdms(self, path: str | os.PathLike[str]) -> None:
        """Write RDMs and evidence to an HDF5 file of RDMs.

        :func:`load_rater_rdms` reads both, :func:`rsa_faces.load_rdms` the RDMs.
        """
        with new_file(path) as file:
            self.write(file)

    def write(self, group: h5py.Group) -> None:
        """Write RDMs and evidence into an open HDF5 file or group."""
        write_group(self.rdms, group)
        group.create_dataset("evidence", data=self.evidence, compression="gzip", shuffle=True)


@keep_warnings
def fit_raters(arrangements: Iterable[Arrangements], *, evidence_floor: float = 0.2) -> RaterRDMs:
    """Estimate one RDM per rater.

    Parameters
    ----------
    arrangements : iterable of Arrangements
        One per rater, over the same conditions in any order.
    evidence_floor : float, default 0.2
        As for :func:`~rsa_faces.behaviour.inverse_mds`.

    Returns
    -------
    RaterRDMs
        Conditions in the order of the first rater's.

    Raises
    ------
    InputError
        If there is nobody, or a rater occurs twice.
    ConditionMismatchError
        If raters have different conditions.

    See Also
    --------
    read_arrangements : Read positions from a table (CSV, TSV, Excel, DataFrame).
    rater_agreement : Correlate each rater with the others, and say who stands apart and why.
    group_rdm : Average raters to one RDM, pair by pair, weighted with evidence.

    Examples
    --------
    >>> from rsa_faces.behaviour import Arrangements, Trial, fit_raters
    >>> xy = [[0, 0], [0.5, 0], [0, 0.5]]
    >>> raters = [Arrangements(r, [Trial(("a", "b", "c"), xy)]) for r in ("r1", "r2")]
    >>> fit_raters(raters).rdms
    RDMs(2 RDMs, 3 conditions, measure='arrangement', labels: rater, n_trials, stress)
    """
    everyone = list(arrangements)
    check_enough(len(everyone), 1, "rater")
    names = [one.rater for one in everyone]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise InputError(
            f"expected each rater once, but {twice[0]!r} occurs {names.count(twice[0])} times. "
            "Give sessions names of their own."
        )
    first = everyone[0].conditions
    for one in everyone[1:]:
        sides = f"rater {names[0]!r}", f"rater {one.rater!r}"
        hint = "Give Arrangements the conditions of the whole task."
        check_same_names(first, one.conditions, *sides, hint)
    fits = [inverse_mds(one, first, evidence_floor=evidence_floor) for one in everyone]
    labels = {
        "rater": names,
        "n_trials": [len(one) for one in everyone],
        "stress": [fit.stress for fit in fits],
    }
    vectors = np.concatenate([fit.rdms.vectors for fit in fits])
    return RaterRDMs(
        RDMs(vectors, first, "arrangement", labels), np.array([fit.evidence for fit in fits])
    )


def load_rater_rdms(path: str | os.PathLike[str]) -> RaterRDMs:
    """Read raters' RDMs and evidence.

    Parameters
    ----------
    path : path-like
        An HDF5 file: of :meth:`RaterRDMs.save_rdms`, of ``rsa-faces arrange fit``, or
        ``arrangements.h5`` of ``rsa-faces arrange export``.

    Returns
    -------
    RaterRDMs

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InputError
        If it holds no RDMs, or no evidence that fits them.

    See Also
    --------
    fit_raters : Estimate one RDM per rater.
    group_rdm : Average raters to one RDM, pair by pair, weighted with evidence.

    Examples
    --------
    >>> from rsa_faces.behaviour import load_rater_rdms
    >>> raters = load_rater_rdms("raters.h5")  # doctest: +SKIP
    """
    rdms = load_rdms(path)
    evidence = None
    if h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            evidence = np.asarray(file["evidence"]) if "evidence" in file else None
    if evidence is None or evidence.shape != rdms.vectors.shape:
        raise InputError(
            f"expected evidence of every rater's pairs in {path}, got "
            f"{'none' if evidence is None else evidence.shape}. Files of `rsa-faces arrange fit` "
            "and the arrangements.h5 of `rsa-faces arrange export` have it."
        )
    return RaterRDMs(rdms, evidence)


def rater_agreement(
    rdms: RDMs,
    *,
    by: str = "rater",
    evidence: np.ndarray | None = None,
    min_correlation: float = 0.0,
    max_deviation: float = 3.0,
    min_pairs: int = 20,
    blocks: Labels | None = None,
) -> pd.DataFrame:
    """Correlate each rater with the others, and say who stands apart and why.

    Parameters
    ----------
    rdms : RDMs
        One RDM per rater, at least 3; pairs a rater lacks are NaN.
    by : str, default "rater"
        Label that names raters.
    evidence : array_like, shape (n_raters, n_pairs), optional
        Weights for the others' mean (:class:`~rsa_faces.behaviour.RaterRDMs`).
    min_correlation : float, default 0
        Flag a rater whose correlation is not above this.
    max_deviation : float, default 3
        Flag a rater whose correlation (Fisher z) lies further below the median of all than this
        many robust standard deviations (1.4826 × median absolute deviation). A value of 3.5 or
        below is usual; ``float("inf")`` turns the rule off.
    min_pairs : int, default 20
        Flag a rater who shares fewer pairs with the others.
    blocks : mapping or Series of condition to run, optional
        RDMs are z-scored within each run; pairs of conditions of different runs are not used.

    Returns
    -------
    DataFrame
        One row per rater: the label, r (Pearson correlation with the mean of the other raters'
        z-scored RDMs, over the pairs both have), n_pairs, deviation (in robust standard deviations
        from the median), flagged, reason. Nobody is left out: that is your decision, to be made
        before looking at models, and reported.

    Raises
    ------
    InputError
        With fewer than 3 raters, an unknown label, a rater who occurs twice, or evidence of
        another shape.

    See Also
    --------
    fit_raters : Estimate one RDM per rater.
    rsa_faces.noise_ceiling : Compute the noise ceiling of data RDMs.

    Notes
    -----
    r is the rater's part of the lower noise ceiling for Pearson. For group results see
    :func:`rsa_faces.noise_ceiling` (bounds for a model), :func:`rsa_faces.inference.split_half`
    (reliability of the mean), :func:`rsa_faces.inference.cronbach_alpha` (with ``blocks`` per run)
    and :func:`rsa_faces.inference.shared_structure` (do raters agree at all), each with
    ``by="rater"``.

    Raters with the same RDM, pair by pair, are flagged too: files that were read twice, as a rule.

    The spread of few raters is uncertain: with fewer than about ten, read the deviations with
    care. Ties in correlations that make the median absolute deviation 0 leave the deviation NaN.

    References
    ----------
    .. [1] Leys C. et al. (2013). Journal of Experimental Social Psychology 49, 764-766.
       doi:10.1016/j.jesp.2013.03.013

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.behaviour import rater_agreement
    >>> behaviour = rf.datasets.images92().rdms.sel(region="behaviour")
    >>> table = rater_agreement(behaviour, by="subject")
    >>> len(table), bool(table["r"].min() > 0)
    (16, True)
    """
    check_arguments(rater_agreement, locals())
    names = _names(rdms, by)
    check_enough(len(names), 3, "raters")
    weights = check_pair_weights(evidence, rdms.vectors.shape, what="evidence")
    run = np.zeros(rdms.n_conditions, np.int64)
    if blocks is not None:
        run, _ = codes_of(blocks, rdms.conditions, "block")
    z = z_in_runs(rdms.vectors, run)
    present = ~np.isnan(z)
    weights = np.where(present, weights, 0.0)
    filled = np.where(present, z, 0.0)
    others_weight = weights.sum(axis=0) - weights
    # A sum that is nothing but rounding is no weight.
    known = others_weight > 1e-12 * weights.sum(axis=0)
    others = (weights * filled).sum(axis=0) - weights * filled
    both = present & known
    r = np.full(len(z), np.nan)
    for i, pairs in enumerate(both):
        x, y = z[i, pairs], others[i, pairs] / others_weight[i, pairs]
        if pairs.sum() >= 3 and x.std() > 0 and y.std() > 0:
            r[i] = np.corrcoef(x, y)[0, 1]
    n_pairs = both.sum(axis=1)
    # Correlations pile up below 1: differences near it count more, as z makes them. Median and
    # median deviation, because those who stand out would hide themselves in a mean.
    fisher = fisher_z(r)
    centre = np.nanmedian(fisher) if np.isfinite(r).any() else np.nan
    # 1.4826: makes a median deviation the standard deviation where values are normal.
    spread = 1.4826 * np.nanmedian(np.abs(fisher - centre)) if np.isfinite(r).any() else np.nan
    deviation = (fisher - centre) / spread if spread > 0 else np.full(len(r), np.nan)
    twins = _twins(z, min_pairs)
    reasons = []
    for i in range(len(r)):
        why = [f"the same RDM as {names[j]}" for j in twins[i][:3]]
        if n_pairs[i] < min_pairs:
            why.append(f"shares {n_pairs[i]} pairs with the others, fewer than {min_pairs}")
        if np.isnan(r[i]):
            why.append("no correlation: constant, or fewer than 3 pairs")
        elif r[i] <= min_correlation:
            why.append(f"r = {r[i]:.3f} with the others, not above {min_correlation:g}")
        if deviation[i] < -max_deviation:
            why.append(
                f"{-deviation[i]:.1f} robust standard deviations below the median rater, more than "
                f"{max_deviation:g}"
            )
        reasons.append("; ".join(why))
    return pd.DataFrame(
        {
            by: names,
            "r": r,
            "n_pairs": n_pairs,
            "deviation": deviation,
            "flagged": [bool(why) for why in reasons],
            "reason": reasons,
        }
    )


def _twins(z: np.ndarray, min_pairs: int) -> list[list[int]]:
    """Return for each rater the others with the same RDM, where it has pairs enough to tell."""
    rows = np.round(np.where(np.isnan(z), np.inf, z), 9) + 0.0
    enough = (~np.isnan(z)).sum(axis=1) >= min_pairs
    alike: dict[bytes, list[int]] = {}
    for i in np.flatnonzero(enough):
        alike.setdefault(rows[i].tobytes(), []).append(int(i))
    return [[j for j in alike.get(row.tobytes(), []) if j != i] for i, row in enumerate(rows)]


def group_rdm(
    rdms: RDMs, *, evidence: np.ndarray | None = None, scale: str = "rms", by: str = "rater"
) -> RDMs:
    """Average raters to one RDM, pair by pair, weighted with evidence.

    Parameters
    ----------
    rdms : RDMs
        One RDM per rater; pairs a rater lacks are NaN.
    evidence : array_like, shape (n_raters, n_pairs), optional
        Weight of each rater's pair (:class:`~rsa_faces.behaviour.RaterRDMs`, or the counts of
        :class:`~rsa_faces.behaviour.RatedRDMs`); by default all count alike.
    scale : {"rms", "z", "none"}, default "rms"
        Bring each rater to unit root mean square or to z-scores first, or leave values as they
        are.
    by : str, default "rater"
        Label that names raters.

    Returns
    -------
    RDMs
        One RDM; a pair nobody has is NaN. Labels n_averaged (raters), n_averaged_min (fewest that
        entered any pair).

    Raises
    ------
    InputError
        If the label or the scale is unknown, a rater occurs twice, or evidence is negative, not
        finite, or of another shape.

    See Also
    --------
    fit_raters : Estimate one RDM per rater.

    Notes
    -----
    d_ij = Σ_r w_ij(r) d_ij(r) / Σ_r w_ij(r), over raters who have the pair. A rater's scale is
    taken over the pairs that rater has: with "rms" or "z", raters who judged easy pairs only are
    brought to the same spread as the rest. For inference keep raters apart:
    :func:`rsa_faces.evaluate` and :func:`rsa_faces.noise_ceiling` take one RDM per rater with
    ``by="rater"``.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.behaviour import group_rdm
    >>> two = rf.RDMs([[1.0, 2, 3], [3.0, 2, np.nan]], list("abc"), "rating", {"rater": [1, 2]})
    >>> group_rdm(two, scale="none", evidence=[[3, 1, 1], [1, 1, 1]]).vectors
    array([[1.5, 2. , 3. ]])
    """
    check_arguments(group_rdm, locals())
    check_choice(scale, _SCALES, what="scale")
    names = _names(rdms, by)
    weights = check_pair_weights(evidence, rdms.vectors.shape, what="evidence")
    values = scaled(rdms.vectors, scale)
    present = ~np.isnan(values)
    weights = np.where(present, weights, 0.0)
    total = weights.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(total > 0, (weights * np.where(present, values, 0)).sum(0) / total, np.nan)
    labels = {"n_averaged": [len(names)], "n_averaged_min": [int((weights > 0).sum(0).min())]}
    return RDMs(mean, rdms.conditions, rdms.measure, labels)


def _names(rdms: RDMs, by: str) -> list:
    """Return the raters' names, each once."""
    if by not in rdms.labels:
        check_choice(by, rdms.labels.columns, what="label that tells raters apart")
    column = rdms.labels[by]
    if column.isna().any() or column.duplicated().any():
        bad = "missing" if column.isna().any() else repr(column[column.duplicated()].iloc[0])
        raise InputError(
            f"expected one RDM per rater, but {by!r} is {bad} in more than one row or in none. "
            f"Average sessions first: rdms.mean(by={by!r})."
            if bad != "missing"
            else f"expected a value of {by!r} for every RDM, but some have none."
        )
    return list(column)


def z_in_runs(vectors: np.ndarray, run: np.ndarray) -> np.ndarray:
    """Return z-scores of RDMs over the measured pairs of each run; NaN between runs."""
    row, col = (run[index] for index in np.triu_indices(len(run), k=1))
    z = np.full(vectors.shape, np.nan)
    for r in np.unique(run):
        inside = (row == r) & (col == r)
        z[:, inside] = scaled(vectors[:, inside], "z")
    return z


def scaled(vectors: np.ndarray, scale: str) -> np.ndarray:
    """Return vectors scaled over the pairs measured; NaN where that is undefined."""
    if scale == "none":
        return vectors
    present = ~np.isnan(vectors)
    n = np.maximum(present.sum(axis=1, keepdims=True), 1)
    filled = np.where(present, vectors, 0.0)
    if scale == "z":
        filled = np.where(present, filled - filled.sum(axis=1, keepdims=True) / n, 0.0)
    spread = np.sqrt((filled**2).sum(axis=1, keepdims=True) / n)
    largest = np.abs(np.where(present, vectors, 0.0)).max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(present & (spread > 1e-12 * largest), filled / spread, np.nan)
