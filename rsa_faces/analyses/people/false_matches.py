"""How often different people are taken for one, group by group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.chance import p_of
from rsa_faces._core.checks import as_rng, check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.words import counted
from rsa_faces.analyses._groups import (
    BLOCK_VALUES,
    SELF_REPORT,
    GroupedFaces,
    check_share,
    draws_of_people,
    error_of_people,
    grouped_faces,
    permutations,
)
from rsa_faces.analyses._intervals import interval_of_rate, percentile_interval
from rsa_faces.rdm import RDMs

_FEW_PEOPLE = 10  # per group; below, intervals are not to be trusted
_FEW_MATCHES = 10


@dataclass(frozen=True, eq=False, repr=False)
class FalseMatches(BaseResult, figure="plot_false_matches"):
    """The outcome of :func:`false_matches`.

    Parameters
    ----------
    table : DataFrame
        One row per pair of groups (a row's threshold is that of ``group_a``): ``group_a``,
        ``group_b``, ``n_people_a``, ``n_people_b``, ``n_pairs`` (of images of different people),
        ``n_false`` (at or above the threshold), ``rate`` (0 to 1), ``ci_low``, ``ci_high``,
        ``threshold``.
    groups : DataFrame
        One row per group: ``group``, ``n_people``, ``threshold``, ``fmr`` (within the group),
        ``ci_low``, ``ci_high``, ``p``, ``p_max`` (does the rate differ from that of groups drawn
        at random, two-sided; corrected over groups), and for two images of a person ``fnmr``
        (share below the threshold), ``fnmr_low``, ``fnmr_high``, ``n_mated`` pairs.
    overall : DataFrame
        One row: ``fmr`` asked for, ``achieved`` over all pairs of different people, ``threshold``,
        ``n_pairs``, ``n_false``, ``n_people``, ``n_missing``.
    notes : tuple of str
        What a reader must know before concluding; the last is
        :data:`rsa_faces.analyses.SELF_REPORT`.
    settings : mapping

    See Also
    --------
    false_matches : Count how often different people are taken for one, group by group.
    rsa_faces.figures.plot_false_matches : Draw how often two different people are taken for one.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import false_matches, similarity_scores
    >>> rng = np.random.default_rng(0)
    >>> names = [f"face{i}" for i in range(40)]
    >>> embedding = rng.normal(size=(40, 16))
    >>> embedding[:20, 0] += 3
    >>> groups = {name: "one" if i < 20 else "other" for i, name in enumerate(names)}
    >>> scores = similarity_scores({"fc": embedding}, conditions=names)
    >>> found = false_matches(scores, groups, fmr=0.05, n_boot=50, n_permutations=99)
    >>> len(found.table), len(found.groups)
    (4, 2)
    """

    table: pd.DataFrame
    groups: pd.DataFrame
    overall: pd.DataFrame

    def __repr__(self) -> str:
        rates = ", ".join(f"{r.group} {r.fmr:.3g}" for r in self.groups.itertuples())
        return f"FalseMatches(within groups: {rates}; {counted(len(self.notes), 'note')})"

    def matrix(self, column: str = "rate") -> pd.DataFrame:
        """Return one column of the table as a matrix, group by group.

        Parameters
        ----------
        column : str, default "rate"

        Returns
        -------
        DataFrame, shape (n_groups, n_groups)

        Raises
        ------
        InputError
            If there is no such column.
        """
        check_choice(
            column, [c for c in self.table if c not in {"group_a", "group_b"}], what="column"
        )
        groups = self.groups["group"]
        wide = self.table.pivot(index="group_a", columns="group_b", values=column)
        return wide.loc[list(groups), list(groups)]


@keep_warnings
def false_matches(
    scores: pd.DataFrame | RDMs,
    groups: Labels,
    *,
    fmr: float | None = None,
    level: str = "overall",
    threshold: float | None = None,
    people: Labels | None = None,
    within: Labels | None = None,
    n_boot: int = 2000,
    n_permutations: int = 1999,
    alpha: float = 0.05,
    match: str = "same",
    seed: int = 0,
) -> FalseMatches:
    """Count how often different people are taken for one, group by group.

    Parameters
    ----------
    scores : DataFrame, shape (n_conditions, n_conditions), or RDMs
        As for :func:`group_components`; NaN means that a pair was not measured.
    groups : mapping or Series of condition to group
        Self-reported categories.
    fmr : float, optional
        The false-match rate at which the threshold is set, between 0 and 1.
    level : {"overall", "per-group"}, default "overall"
        Whether one threshold has this rate over all pairs of different people, or each group has
        a threshold with this rate within the group.
    threshold : float, optional
        A threshold set elsewhere, instead of `fmr`: scores at or above it match.
    people : mapping or Series of condition to person, optional
        By default every condition is another person, and there is no rate of misses.
    within : mapping or Series of condition to stratum, optional
        For p: permute groups only among people of one stratum.
    n_boot : int, default 2000
        Samples of people, drawn with replacement within each group, for intervals of misses; the
        threshold is set again in each.
    n_permutations : int, default 1999
    alpha : float, default 0.05
        Intervals cover 1 − alpha.
    match : {"same", "intersection"}, default "same"
    seed : int, default 0

    Returns
    -------
    FalseMatches

    Raises
    ------
    InputError
        If neither or both of `fmr` and `threshold` are given, a group has fewer than 2 people, or
        as for :func:`group_components`.
    ConditionMismatchError
        If faces and labels differ and `match` is "same".

    See Also
    --------
    similarity_scores : Return scores between all faces: how similar a layer finds them.
    score_distributions : Compare scores within groups with scores between groups.
    rsa_faces.figures.plot_false_matches : Draw how often two different people are taken for one.

    Notes
    -----
    The threshold is the lowest score at which the rate of scores at or above it is at most `fmr`
    (equal scores fall on one side). Rates are shares of pairs of images of different people.

    Pairs that share a person are not independent, and images of one person even less. The standard
    error of a rate is dyadic [2]_, over people within their groups; where the scores set the
    threshold, what a pair does to the threshold counts too (the rate's change over thresholds at
    half and at 1.5 times `fmr`). The interval is that of Clopper and Pearson for as many
    independent pairs as give this error. In 400 simulated studies each, 95 % intervals held the
    rate of very many people in 94 to 99 % (20 or 40 people a group; 90 % where 9 % match of 20
    people with two images each; ``scripts/simulate_scores.py rates --simulations 400``);
    percentiles of drawn people, used before, did in 98 to 100 %, as what two people share was
    counted twice. Where no pair of a cell matches, the upper end is 1 − (alpha/2)^(1/m), with m the
    number of pairs of different people that share nobody (half the people of a group, or the
    smaller of two groups); so it is, with both ends of Clopper and Pearson, where all pairs match,
    or all people equally often. Intervals of misses are percentiles of a bootstrap of the people of
    a group who have several images, further out the fewer these are (Student's t; where none or all
    are missed, Clopper and Pearson's).

    For p, groups are permuted over people with the threshold held: are matches within this group
    more or fewer than within as many people drawn at random? It is NaN with per-group thresholds,
    which make the rates equal.

    References
    ----------
    .. [1] Howard J.J., Sirotin Y.B., Tipton J.L., Vemury A.R. (2020). Quantifying the extent to
       which race and gender features determine identity in commercial face recognition
       algorithms. doi:10.48550/arXiv.2010.07979
    .. [2] Aronow P. M., Samii C., Assenova V. A. (2015). Political Analysis 23, 564-577.
       doi:10.1093/pan/mpv018

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import false_matches, similarity_scores
    >>> rng = np.random.default_rng(0)
    >>> embedding = rng.normal(size=(60, 32))
    >>> embedding[:30, 0] += 3
    >>> names = [f"face{i}" for i in range(60)]
    >>> groups = {name: "one" if i < 30 else "other" for i, name in enumerate(names)}
    >>> scores = similarity_scores({"fc": embedding}, conditions=names)
    >>> found = false_matches(scores, groups, fmr=0.05, n_boot=200, n_permutations=199)
    >>> found.groups[["group", "fmr", "p"]].round(3)
       group    fmr      p
    0    one  0.175  0.005
    1  other  0.009  0.025
    """
    check_choice(level, ("overall", "per-group"), what="level")
    check_count(n_boot, what="n_boot")
    check_count(n_permutations, what="n_permutations")
    check_share(alpha, "alpha")
    if (fmr is None) == (threshold is None):
        raise InputError(f"expected `fmr` or `threshold`, got fmr={fmr!r}, {threshold=!r}.")
    if fmr is not None:
        check_share(fmr, "fmr")
    elif not np.isfinite(threshold):
        raise InputError(f"expected a finite threshold, got {threshold!r}.")
    faces = grouped_faces(scores, [("groups", groups)], people, within, match)
    _, codes, kinds = faces.attributes[0]
    onehot = np.eye(len(kinds))[faces.person_codes(codes)]
    size = onehot.sum(axis=0).astype(int)
    if (size < 2).any():
        small = int(np.flatnonzero(size < 2)[0])
        raise InputError(
            f"expected at least 2 people in every group, {kinds[small]!r} has {size[small]}. "
            "Leave it out and use match='intersection'."
        )
    rng = as_rng(seed)
    draws = np.concatenate([np.ones((1, len(onehot))), draws_of_people(onehot, n_boot, rng)])
    pool = _Pool(faces, onehot)
    per_group = level == "per-group" and threshold is None
    thresholds = pool.thresholds(draws, fmr, per_group, threshold)
    misses = pool.misses(draws, thresholds)
    table = _match_table(pool, thresholds[0], fmr, per_group, kinds, size, alpha)
    p, p_max = (np.full(len(kinds), np.nan),) * 2
    if not per_group:
        p, p_max = _group_p(faces, pool, onehot, thresholds[0, 0], n_permutations, rng)
    diagonal = table[table["group_a"] == table["group_b"]]
    ends = [
        percentile_interval(of_group, n, 1 - alpha, rate=True)
        for of_group, n in zip(misses[1:].T, pool.n_mated_people, strict=True)
    ]
    of_groups = pd.DataFrame(
        {
            "group": kinds,
            "n_people": size,
            "threshold": thresholds[0],
            "fmr": diagonal["rate"].to_numpy(),
            "ci_low": diagonal["ci_low"].to_numpy(),
            "ci_high": diagonal["ci_high"].to_numpy(),
            "p": p,
            "p_max": p_max,
            "fnmr": misses[0],
            "fnmr_low": [low for low, _ in ends],
            "fnmr_high": [high for _, high in ends],
            "n_mated": pool.n_mated,
        }
    )
    n_false = int((pool.score >= thresholds[0, pool.first]).sum()) if not per_group else None
    overall = pd.DataFrame(
        [
            {
                "fmr": np.nan if fmr is None else fmr,
                "achieved": np.nan if per_group else n_false / len(pool.score),
                "threshold": np.nan if per_group else thresholds[0, 0],
                "n_pairs": len(pool.score),
                "n_false": n_false,
                "n_people": len(onehot),
                "n_missing": faces.n_missing,
            }
        ]
    )
    settings = {
        "fmr": fmr,
        "level": level,
        "given_threshold": threshold,
        "n_boot": n_boot,
        "n_permutations": n_permutations,
        "alpha": alpha,
        "seed": seed,
        "within": within is not None,
        "n_left_out": faces.n_left_out,
    }
    notes = (*_match_notes(table, of_groups), SELF_REPORT)
    return FalseMatches(table, of_groups, overall, notes=notes, settings=settings)


class _Pool:
    """All pairs of images of different people, sorted by score, highest first."""

    def __init__(self, faces: GroupedFaces, onehot: np.ndarray):
        row, col = np.triu_indices(len(faces.names), k=1)
        score = faces.matrix[row, col]
        a, b = faces.person[row], faces.person[col]
        measured = ~np.isnan(score)
        keep = np.flatnonzero(measured & (a != b))
        if not len(keep):
            raise InputError("expected pairs of different people, got none that was measured.")
        keep = keep[np.argsort(-score[keep], kind="stable")]
        code = onehot.argmax(axis=1)
        self.onehot, self.n_groups = onehot, onehot.shape[1]
        self.score, self.a, self.b = score[keep], a[keep], b[keep]
        self.first, self.second = code[self.a], code[self.b]
        _, self.count, _, _ = faces.sums(faces.matrix)
        own = measured & (a == b)
        self.mated, self.mated_person = score[own], a[own]
        self.n_mated, self.n_mated_people = (
            np.bincount(code[people], minlength=self.n_groups)
            for people in (self.mated_person, np.unique(self.mated_person))
        )

    def thresholds(self, draws, fmr, per_group: bool, threshold=None) -> np.ndarray:
        """Return the threshold of each group, (n_samples, n_groups)."""
        n, size = self.n_groups, max(1, BLOCK_VALUES // len(self.score))
        if threshold is not None:
            return np.full((len(draws), n), float(threshold))
        parts = []
        for start in range(0, len(draws), size):
            part = draws[start : start + size]
            weight = part[:, self.a] * part[:, self.b]
            own = [(self.first == g) & (self.second == g) for g in range(n)] if per_group else [...]
            parts.append(np.stack([self._threshold(weight, fmr, pairs) for pairs in own], axis=1))
        # A threshold of all pairs is that of every group.
        return np.concatenate(parts) * np.ones(n)

    def misses(self, draws, thresholds: np.ndarray) -> np.ndarray:
        """Return the share of pairs of one person's images below the threshold, by group."""
        own = draws[:, self.mated_person]
        code = self.onehot.argmax(axis=1)[self.mated_person]
        missed = own * (self.mated < thresholds[:, code])
        groups = np.eye(self.n_groups)[code]
        with np.errstate(invalid="ignore", divide="ignore"):
            return (missed @ groups) / (own @ groups)

    def rate(self, first: int, second: int, threshold: float, fmr, per_group: bool):
        """Return a cell's rate, and its standard error; `fmr` is None for a given threshold."""
        inside, above = self._cell(first, second), self.above(threshold)
        n_pairs = (inside * self.count).sum()
        rate = (inside * above).sum() / n_pairs if n_pairs else np.nan
        own = 2 * inside * (above - rate * self.count) / (n_pairs or 1)
        if fmr is not None and np.isfinite(threshold):
            # Pairs that set the threshold move it, and with it this rate.
            every = self._cell(first, first) if per_group else np.ones_like(inside)
            n_all = (every * self.count).sum()
            alone = np.ones((1, len(self.onehot)))
            low, high = (
                self.thresholds(alone, min(share * fmr, 1 - 1e-9), per_group)[0, first]
                for share in (1.5, 0.5)
            )
            band = self.above(low) - self.above(high)
            moved = (every * band).sum() / n_all
            slope = (inside * band).sum() / n_pairs / moved if n_pairs and moved else 0.0
            reached = (every * above).sum() / n_all
            own -= 2 * slope * every * (above - reached * self.count) / n_all
        return rate, error_of_people(own, self.onehot)

    def _cell(self, first: int, second: int) -> np.ndarray:
        """Return which pairs of people are of two groups."""
        a, b = self.onehot.T[[first, second]]
        return np.maximum(np.outer(a, b), np.outer(b, a))

    def above(self, threshold: float) -> np.ndarray:
        """Return the number of pairs of images at or above a threshold, per pair of people."""
        false = np.zeros_like(self.count)
        above = self.score >= threshold
        np.add.at(false, (self.a[above], self.b[above]), 1.0)
        return false + false.T

    def _threshold(self, weight, fmr: float, inside: np.ndarray) -> np.ndarray:
        """Return the lowest score with a rate of at most `fmr` at or above it, per sample."""
        score = self.score[inside]
        # A threshold lets in all of equal scores or none: each has the rate of the last of them.
        last = np.searchsorted(-score, -score, side="right") - 1
        weight = weight[:, inside]
        above = np.cumsum(weight, axis=1)[:, last]
        # Only pairs that were drawn can be a sample's threshold.
        allowed = (above <= fmr * above[:, -1:] * (1 + 1e-12)) & (weight > 0)
        lowest = allowed.shape[1] - 1 - allowed[:, ::-1].argmax(axis=1)
        return np.where(allowed.any(axis=1), score[lowest], np.inf)


def _match_table(pool, thresholds, fmr, per_group: bool, kinds, size, alpha: float):
    """Return one row per pair of groups."""
    rows = []
    for a, name in enumerate(kinds):
        for b, other in enumerate(kinds):
            cell = ((pool.first == a) & (pool.second == b)) | (
                (pool.first == b) & (pool.second == a)
            )
            n_false = int((pool.score[cell] >= thresholds[a]).sum())
            rate, error = pool.rate(a, b, thresholds[a], fmr, per_group)
            # Pairs of people that share nobody are independent.
            disjoint = size[a] // 2 if a == b else min(size[a], size[b])
            low, high = interval_of_rate(rate, error, disjoint, alpha)
            if per_group and a == b and n_false:
                low = high = rate  # which its own threshold sets
            rows.append(
                {
                    "group_a": name,
                    "group_b": other,
                    "n_people_a": size[a],
                    "n_people_b": size[b],
                    "n_pairs": int(cell.sum()),
                    "n_false": n_false,
                    "rate": rate,
                    "ci_low": low,
                    "ci_high": high,
                    "threshold": thresholds[a],
                }
            )
    return pd.DataFrame(rows)


def _group_p(faces, pool, onehot, threshold: float, n_permutations: int, rng):
    """Return p of each group's rate against groups drawn at random, alone and corrected."""
    false = pool.above(threshold)

    def rate(onehot: np.ndarray) -> np.ndarray:
        counts = np.einsum("pig,pig->pg", onehot, pool.count @ onehot)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.einsum("pig,pig->pg", onehot, false @ onehot) / counts

    observed = rate(onehot[None])[0]
    permuted = np.concatenate(
        [rate(onehot[order]) for order in permutations(faces, n_permutations, rng)]
    )
    # Small groups vary more: all are measured in their own standard deviations.
    mean, spread = np.nanmean(permuted, axis=0), np.nanstd(permuted, axis=0)
    spread = np.where(spread > 0, spread, np.nan)
    far, observed = np.abs(permuted - mean) / spread, np.abs(observed - mean) / spread
    return p_of(observed, far.T)


def _match_notes(table, groups) -> list[str]:
    """Return what to know about few people and few matches."""
    notes = []
    few = groups[groups["n_people"] < _FEW_PEOPLE]
    if len(few):
        notes.append(
            f"Fewer than {_FEW_PEOPLE} people in "
            f"{', '.join(f'{r.group} ({r.n_people})' for r in few.itertuples())}: the intervals "
            "of these groups are too narrow."
        )
    rare = table[(table["n_false"] < _FEW_MATCHES) & (table["n_pairs"] > 0)]
    if len(rare):
        notes.append(
            f"In {len(rare)} of {len(table)} cells fewer than {_FEW_MATCHES} pairs match: their "
            "rates are rough. More people, or a higher rate, would be needed."
        )
    if np.isinf(groups["threshold"]).any():
        notes.append("No score is rare enough for the rate asked for: nothing matches.")
    return notes
