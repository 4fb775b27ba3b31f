"""Inverse MDS: from arrangements on a screen to one dissimilarity per pair."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from rsa_faces._core.checks import as_rng, check_arguments, check_count, check_enough
from rsa_faces._core.errors import InputError
from rsa_faces._core.numbers import mean_correlation, spearman_brown
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.warning import warn
from rsa_faces.behaviour._trials import Arrangements, Trial, as_arrangements
from rsa_faces.rdm import RDMs
from rsa_faces.rdm._rdms import pair_index


@dataclass(frozen=True, eq=False, repr=False)
class ArrangementRDM(BaseResult, figure="plot_rdms"):
    """What :func:`inverse_mds` found for one rater.

    Parameters
    ----------
    rdms : RDMs
        One RDM with unit root mean square, measure "arrangement", labels rater and n_trials.
        A pair never shown together is NaN.
    evidence : ndarray, shape (n_pairs,)
        Evidence of each pair, summed over trials; 0 if never shown together.
    n_shown : ndarray, shape (n_pairs,)
        Number of trials that showed the pair.
    stress : float
        Root of the summed squared deviation of scaled screen distances from the RDM, over their
        summed squares: 0 if all trials agree.
    trial_stress : ndarray, shape (n_trials,)
        The same for each trial; NaN with all images on one spot.
    scales : ndarray, shape (n_trials,)
        What each trial's distances (in arena diameters) were multiplied by.
    n_groups : int
        Groups of trials that share no pair; with more than one, their scales are not comparable.
    n_iterations : int
    converged : bool

    See Also
    --------
    inverse_mds : Estimate one RDM from a rater's arrangements.
    rsa_faces.behaviour.fit_raters : Estimate one RDM per rater.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.behaviour import Trial, inverse_mds
    >>> xy = np.array([[0.0, 0.0], [0.6, 0.0], [0.0, 0.8]])
    >>> found = inverse_mds([Trial(("a", "b", "c"), xy), Trial(("a", "b", "c"), xy / 2)])
    >>> found.n_shown, found.converged
    (array([2, 2, 2]), True)
    """

    rdms: RDMs
    evidence: np.ndarray
    n_shown: np.ndarray
    stress: float
    trial_stress: np.ndarray
    scales: np.ndarray
    n_groups: int
    n_iterations: int
    converged: bool

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions."""
        return self.rdms.conditions

    def _drawn(self) -> RDMs:
        return self.rdms

    @property
    def table(self) -> pd.DataFrame:
        """A tidy table: the RDM's columns, evidence and n_shown."""
        return self.rdms.to_frame().assign(evidence=self.evidence, n_shown=self.n_shown)


@keep_warnings
def inverse_mds(
    trials: Arrangements | Sequence[Trial],
    conditions: Sequence[str] | None = None,
    *,
    evidence_floor: float = 0.2,
    arena_diameter: float | None = None,
    tol: float = 1e-8,
    max_iter: int = 2000,
) -> ArrangementRDM:
    """Estimate one RDM from a rater's arrangements.

    Parameters
    ----------
    trials : Arrangements or sequence of Trial
        At least one trial. One trial with all images is the single-arrangement method.
    conditions : sequence of str, optional
        All images, in the order wanted; by default those of `trials`.
    evidence_floor : float, default 0.2
        Smallest distance that counts as evidence, as a share of the arena's diameter.
    arena_diameter : float, optional
        The distance that counts as 1, in the units of the positions; by default that of
        `trials`, 1 for a plain sequence.
    tol : float, default 1e-8
        Iterate until the root mean square change of the RDM (of unit root mean square) is below.
    max_iter : int, default 2000
        After so many rounds stop with a warning.

    Returns
    -------
    ArrangementRDM
        The RDM has unit root mean square over the pairs measured.

    Raises
    ------
    InputError
        If there is no trial, all images lie on one spot throughout, an image is no condition, or
        an option is out of range.

    Warns
    -----
    UserWarning
        If trials form groups that share no pair, so that nothing says how their distances
        compare, a trial has two images only although others show them too, or the estimate did not
        settle.

    See Also
    --------
    fit_raters : Estimate one RDM per rater.
    next_trial : Choose the images of a rater's next trial.

    Notes
    -----
    The weighted average of aligned trials of [1]_. With screen distances δ_ij(t) in arena
    diameters, evidence w_ij(t) = max(δ_ij(t), floor)², and the estimate d:

    1. scale each trial so that over its pairs it has the root mean square of d: s_t δ(t);
    2. d_ij = Σ_t w_ij(t) s_t δ_ij(t) / Σ_t w_ij(t); then d is brought to unit root mean square;

    and again, from the mean screen distances, until d stays. Distances that are large on the
    screen count more because a misplaced image changes them relatively less. The floor is not in
    the article; Meadows uses it, and images on one spot would otherwise count for nothing.
    A trial with all images on one spot has no scale: it enters with distances of 0. A trial of
    two images has no scale of its own either: it is scaled to whatever the estimate is, which
    where trials disagree moves its pair for no reason. Show at least three.

    Groups of trials that share no pair are fitted apart and put together at their sizes on the
    screen. Where trials share few pairs the rounds approach the result slowly; steps of Newton's
    method then lead to the same fixed point sooner.

    References
    ----------
    .. [1] Kriegeskorte N. & Mur M. (2012). Frontiers in Psychology 3, 245.
       doi:10.3389/fpsyg.2012.00245

    Examples
    --------
    Three images twice, the second time at half the size: the trials agree.

    >>> import numpy as np
    >>> from rsa_faces.behaviour import Trial, inverse_mds
    >>> xy = np.array([[0.0, 0.0], [0.6, 0.0], [0.0, 0.8]])
    >>> result = inverse_mds([Trial(("a", "b", "c"), xy), Trial(("a", "b", "c"), xy / 2)])
    >>> result.rdms.vectors.round(3)
    array([[0.735, 0.98 , 1.225]])
    >>> result.evidence.round(2)
    array([0.45, 0.8 , 1.25])
    """
    check_arguments(inverse_mds, locals())
    arrangements = as_arrangements(trials, conditions, arena_diameter)
    if not (0 < evidence_floor < 1):
        raise InputError(f"expected an evidence floor between 0 and 1, got {evidence_floor!r}.")
    if not tol > 0:
        raise InputError(f"expected a tol above 0, got {tol!r}.")
    check_count(max_iter, what="max_iter")
    if len(arrangements) == 0:
        raise InputError(f"expected at least 1 trial of rater {arrangements.rater!r}, got none.")
    trial, pair, distance = _flat(arrangements)
    if not distance.any():
        raise InputError(
            f"expected distances between images, but rater {arrangements.rater!r} put all images "
            "on one spot in every trial."
        )
    if not distance.max() < _FARTHEST:
        raise InputError(
            f"expected distances of at most {_FARTHEST:g} arena diameters, but rater "
            f"{arrangements.rater!r} has one of {distance.max():.3g}. Give arena_diameter in the "
            "units of the positions."
        )
    # Distances are squared below: in units of each trial's largest none is lost to underflow.
    largest = np.zeros(len(arrangements))
    np.maximum.at(largest, trial, distance)
    relative = np.divide(
        distance, largest[trial], out=np.zeros_like(distance), where=largest[trial] > 0
    )
    found = _align(
        trial, pair, distance, relative, evidence_floor, len(arrangements), tol, max_iter
    )
    vector, evidence, shown, sizes, n_groups, n_iterations, converged = found
    n_pairs = len(arrangements.conditions) * (len(arrangements.conditions) - 1) // 2
    full, weight, count = np.full(n_pairs, np.nan), np.zeros(n_pairs), np.zeros(n_pairs, int)
    full[shown[0]], weight[shown[0]], count[shown[0]] = vector, evidence, shown[1]
    two = [len(one.names) == 2 for one in arrangements.trials]
    if any(n > 1 for n in count[pair[np.isin(trial, np.flatnonzero(two))]]):
        warn(
            f"{sum(two)} trials of rater {arrangements.rater!r} show two images only, which has no "
            "scale of its own and moves pairs that other trials show. Leave these trials out."
        )
    if n_groups > 1:
        warn(
            f"the trials of rater {arrangements.rater!r} fall into {n_groups} groups that share no "
            "pair: dissimilarities of different groups are only comparable if the screen was used "
            "alike. Show images of several groups together."
        )
    if not converged:
        warn(
            f"the RDM of rater {arrangements.rater!r} did not settle to tol={tol} within "
            f"{max_iter} rounds: trials share few pairs. Raise max_iter or tol."
        )
    off = (sizes[trial] * relative - full[pair]) ** 2
    total = (sizes[trial] * relative) ** 2
    sums = [np.bincount(trial, part, len(arrangements)) for part in (off, total)]
    with np.errstate(invalid="ignore", divide="ignore"):
        trial_stress = np.where(sums[1] > 0, np.sqrt(sums[0] / sums[1]), np.nan)
    with np.errstate(over="ignore"):
        scales = np.divide(sizes, largest, out=np.zeros_like(sizes), where=largest > 0)
    rdms = RDMs(
        full,
        arrangements.conditions,
        "arrangement",
        {"rater": [arrangements.rater], "n_trials": [len(arrangements)]},
    )
    return ArrangementRDM(
        rdms,
        weight,
        count,
        float(np.sqrt(off.sum() / total.sum())),
        trial_stress,
        scales,
        n_groups,
        n_iterations,
        converged,
    )


def trial_reliability(
    trials: Arrangements | Sequence[Trial],
    conditions: Sequence[str] | None = None,
    *,
    n_splits: int = 20,
    evidence_floor: float = 0.2,
    seed: int = 0,
) -> pd.Series:
    """Compute how well two halves of a rater's trials agree.

    Parameters
    ----------
    trials, conditions, evidence_floor
        As for :func:`inverse_mds`; at least 2 trials.
    n_splits : int, default 20
        Number of random halves of the trials.
    seed : int, default 0
        Of the halves.

    Returns
    -------
    Series
        ``r``: mean Pearson correlation (by Fisher's z) of the RDMs of the two halves over the pairs
        that both halves show; ``spearman_brown``: 2r / (1 + r) of this mean, the reliability with
        all trials;
        ``n_pairs``: mean number of pairs compared; ``n_splits``: splits with at least 3 such
        pairs. NaN if no split has them.

    Raises
    ------
    InputError
        With fewer than 2 trials.

    See Also
    --------
    rater_agreement : Correlate each rater with the others, and say who stands apart and why.
    rsa_faces.inference.split_half : Compute split-half reliability over subjects.

    Notes
    -----
    An adaptive task shows again what was placed close together: the pairs that halves share are
    the difficult ones, and r is then lower than for the whole RDM. For agreement between raters
    see :func:`rsa_faces.inference.split_half`.

    Examples
    --------
    >>> from rsa_faces.behaviour import Trial, trial_reliability
    >>> xy = [[0, 0], [0.6, 0], [0, 0.8], [0.5, 0.5]]
    >>> print(trial_reliability([Trial(tuple("abcd"), xy)] * 2)["r"].round(6))
    1.0
    """
    check_arguments(trial_reliability, locals())
    arrangements = as_arrangements(trials, conditions)
    check_count(n_splits, what="n_splits")
    check_enough(len(arrangements), 2, "trials to split")
    rng = as_rng(seed)
    half = (len(arrangements) + 1) // 2
    r, n_pairs = [], []
    for _ in range(n_splits):
        # Trials, not pairs: positions of one trial were chosen with all its images in view.
        order = rng.permutation(len(arrangements))
        vectors = [
            _half_vector(arrangements, part, evidence_floor)
            for part in (order[:half], order[half:])
        ]
        both = ~np.isnan(vectors[0]) & ~np.isnan(vectors[1])
        x, y = vectors[0][both], vectors[1][both]
        if both.sum() >= 3 and x.std() > 0 and y.std() > 0:
            r.append(np.corrcoef(x, y)[0, 1])
            n_pairs.append(both.sum())
    mean = mean_correlation(r) if r else np.nan
    return pd.Series(
        {
            "r": mean,
            "spearman_brown": spearman_brown(mean),
            "n_pairs": np.mean(n_pairs) if n_pairs else np.nan,
            "n_splits": float(len(r)),
        }
    )


def _half_vector(arrangements: Arrangements, part: np.ndarray, floor: float) -> np.ndarray:
    """Return the RDM of some of the trials; all NaN if they hold no distance."""
    some = replace(arrangements, trials=tuple(arrangements.trials[i] for i in part))
    with warnings.catch_warnings(action="ignore"):
        # Half of the trials often leaves groups apart; the whole warns where it matters.
        try:
            return inverse_mds(some, evidence_floor=floor).rdms.vectors[0]
        except InputError:
            n = len(arrangements.conditions)
            return np.full(n * (n - 1) // 2, np.nan)


def _flat(arrangements: Arrangements) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return trial, pair and distance (in arena diameters) of every pair shown."""
    position = {name: i for i, name in enumerate(arrangements.conditions)}
    trial, pair, distance = [], [], []
    for t, one in enumerate(arrangements.trials):
        index = np.array([position[name] for name in one.names])
        row, col = np.triu_indices(len(index), k=1)
        trial.append(np.full(len(row), t))
        pair.append(pair_index(index[row], index[col], len(position)))
        distance.append(one.distances() / arrangements.arena_diameter)
    return np.concatenate(trial), np.concatenate(pair), np.concatenate(distance)


# Arena diameters; evidence is their square.
_FARTHEST = 1e100


def _root_mean_square(values: np.ndarray) -> float:
    """Return the root mean square, also of values whose squares would underflow."""
    largest = np.abs(values).max()
    return float(largest * np.sqrt(np.mean((values / largest) ** 2))) if largest > 0 else 0.0


def _align(trial, pair, distance, relative, floor, n_trials, tol, max_iter):
    """Find the estimate of the pairs shown, group by group of trials that share pairs.

    `relative` are the distances in units of the largest of their trial; the scales are for these.
    """
    which, pair, n_shown = np.unique(pair, return_inverse=True, return_counts=True)
    shape = (len(which), n_trials)
    # By distance on the screen: small ones are placed less exactly than their scaled size says. The
    # floor is that of Meadows, whose RDMs are not reproduced without.
    weight = np.maximum(distance, floor) ** 2
    evidence = np.bincount(pair, weight)
    squares = np.bincount(trial, relative**2, n_trials)
    # Both steps are sparse products: estimate = average · scales, scales² = share · estimate².
    average = sparse.csr_array((weight * relative / evidence[pair], (pair, trial)), shape)
    inverse = np.divide(1.0, squares, out=np.zeros(n_trials), where=squares > 0)
    share = sparse.csr_array((inverse[trial], (trial, pair)), shape[::-1])
    estimate = np.bincount(pair, distance) / n_shown
    ends = (np.concatenate([trial, n_trials + pair]), np.concatenate([n_trials + pair, trial]))
    graph = sparse.coo_array((np.ones(2 * len(pair)), ends), (sum(shape), sum(shape)))
    n_groups, group = connected_components(graph, directed=False)
    scales = np.zeros(n_trials)
    n_iterations, converged = 0, True
    for one in range(n_groups):
        # A trial with all images on one spot has no scale.
        columns = np.flatnonzero((group[:n_trials] == one) & (squares > 0))
        rows = np.flatnonzero(group[n_trials:] == one)
        if not len(columns):
            continue
        size = _root_mean_square(estimate[rows])
        found = _settle(
            average[rows][:, columns], share[columns][:, rows], estimate[rows] / size, tol, max_iter
        )
        # Groups that nothing links keep the sizes they have on the screen.
        estimate[rows], scales[columns] = found[0] * size, found[1] * size
        n_iterations, converged = max(n_iterations, found[2]), converged and found[3]
    size = _root_mean_square(estimate)
    return (
        estimate / size,
        evidence,
        (which, n_shown),
        scales / size,
        int(n_groups),
        n_iterations,
        converged,
    )


def _settle(average, share, estimate, tol, max_iter):
    """Return the estimate of one group, scales, rounds and whether it settled."""
    for iteration in range(1, max_iter + 1):
        squares = share @ estimate**2
        new = average @ np.sqrt(squares)
        # Only ratios are known; unscaled, the estimate would shrink a little in each round.
        new = new / np.sqrt(np.mean(new**2))
        change = np.sqrt(np.mean((new - estimate) ** 2))
        estimate = new
        if change < tol:
            return estimate, np.sqrt(share @ estimate**2), iteration, True
        if iteration >= 20 and iteration % 10 == 0:
            # Trials that share few pairs approach each other slowly: a step of Newton's method.
            logs = _newton(average, share, np.log(np.sqrt(share @ estimate**2)))
            if logs is not None:
                new = average @ np.exp(logs)
                estimate = new / np.sqrt(np.mean(new**2))
    return estimate, np.sqrt(share @ estimate**2), max_iter, False


def _newton(average, share, logs):
    """Return log scales one Newton step on, or None if that brings them no closer."""

    def step(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        estimate = average @ np.exp(logs)
        squares = share @ estimate**2
        residual = 0.5 * np.log(squares) - logs
        # Common growth is undone when the estimate is brought to unit size.
        return estimate, squares, residual - residual.mean()

    n = len(logs)
    estimate, squares, residual = step(logs)
    inner = (share * estimate[None]) @ (average * np.exp(logs)[None])
    system = np.zeros((n + 1, n + 1))
    system[:n, :n] = inner.toarray() / squares[:, None] - np.eye(n)
    system[:n, n], system[n, :n] = -1.0, 1.0
    try:
        change = np.linalg.solve(system, np.append(-residual, 0.0))[:n]
    except np.linalg.LinAlgError:
        return None
    after = logs + change
    if not np.isfinite(after).all() or np.abs(after).max() > 500:
        return None
    return after if np.abs(step(after)[2]).max() < np.abs(residual).max() else None
