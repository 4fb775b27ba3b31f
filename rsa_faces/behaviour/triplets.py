"""Odd-one-out choices among three: shares of choices, and an embedding that predicts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rsa_faces._core.checks import (
    as_rng,
    check_choice,
    check_count,
    check_enough,
    check_unique_names,
)
from rsa_faces._core.errors import InputError
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.tables import check_pivot, read_table
from rsa_faces._core.warning import warn
from rsa_faces.behaviour._report import Findings, RaterReport, without_checks
from rsa_faces.behaviour.ratings import RatedRDMs
from rsa_faces.rdm import RDMs
from rsa_faces.rdm._rdms import pair_index


@dataclass(frozen=True, eq=False, repr=False)
class TripletEmbedding(BaseResult, figure="plot_rdms"):
    """What :func:`triplet_embedding` found.

    Parameters
    ----------
    coordinates : ndarray, shape (n_conditions, n_dimensions)
        Rows in the order of `conditions`; dimensions by falling sum of squares.
    conditions : tuple of str
    rdms : RDMs
        One RDM over all pairs, 1 − the probability that the pair is chosen as the most alike, mean
        over every third image; measure "triplet embedding".
    log_likelihood : float
        Mean over triplets, natural logarithm; chance is −ln 3 = −1.0986.
    accuracy : float
        Share of the triplets fitted whose most probable choice was the rater's.
    cv_accuracy, cv_log_likelihood : float
        The same for triplets left out of the fit; NaN without folds.
    cv_folds : ndarray, shape (n_folds,)
        The accuracy of each fold.
    n_triplets : int
    converged : bool

    See Also
    --------
    triplet_embedding : Find positions of images that predict odd-one-out choices.
    triplet_rdms : Make RDMs from odd-one-out choices: how often the third image was the odd one.

    Examples
    --------
    >>> import itertools
    >>> import pandas as pd
    >>> from rsa_faces.behaviour import triplet_embedding
    >>> rows = [(a, b, c, c) for a, b, c in itertools.combinations("uvwx", 3)]
    >>> table = pd.DataFrame(rows, columns=["a", "b", "c", "odd"]).assign(rater="r1")
    >>> found = triplet_embedding(table, n_dimensions=2, n_folds=0, penalty=0.01)
    >>> found.coordinates.shape, found.conditions, found.n_triplets
    ((4, 2), ('u', 'v', 'w', 'x'), 4)
    """

    coordinates: np.ndarray
    conditions: tuple[str, ...]
    rdms: RDMs
    log_likelihood: float
    accuracy: float
    cv_accuracy: float
    cv_log_likelihood: float
    cv_folds: np.ndarray
    n_triplets: int
    converged: bool

    def _drawn(self) -> RDMs:
        return self.rdms

    @property
    def table(self) -> pd.DataFrame:
        """The coordinates: one row per condition, one column per dimension."""
        return pd.DataFrame(self.coordinates, index=pd.Index(self.conditions, name="condition"))


@keep_warnings
def triplet_rdms(
    source: pd.DataFrame | str | Path,
    *,
    by: str = "all",
    conditions: Sequence[str] | None = None,
    max_failed: float | None = None,
) -> RatedRDMs:
    """Make RDMs from odd-one-out choices: how often the third image was the odd one.

    Parameters
    ----------
    source : DataFrame or path of a CSV file
        One row per choice, with columns rater, a, b, c and odd: the name of one of the three. In
        a further column ``expected`` the rows of an attention check name the right choice; they
        never enter the RDM.
    by : {"all", "rater"}, default "all"
        One RDM over all choices, or one per rater.
    conditions : sequence of str, optional
        All conditions; by default those that occur, in alphabetical order.
    max_failed : float, optional
        Leave out raters who failed more than this share of their attention checks. By default
        nobody is left out, and failures are in the report.

    Returns
    -------
    RatedRDMs
        Dissimilarity = 1 − similarity; the similarity of a pair is the share of triplets with both
        images in which the third was chosen as the odd one. Chance is 2/3. A pair in no triplet is
        NaN. Measure "triplets"; `counts` are triplets per pair.

    Raises
    ------
    InputError
        If a column is missing, a choice is none of the three, or a name is no condition.

    See Also
    --------
    triplet_embedding : Find positions of images that predict odd-one-out choices.
    pair_rating_rdms : Make RDMs from ratings of pairs.

    Notes
    -----
    The report's rules: no choice (row left out), image twice in a triplet (row left out), triplet
    judged more than once by a rater (every choice counts), pair in no triplet, attention check
    failed, too many attention checks failed (rater left out), nothing besides attention checks
    (rater left out).

    When every triplet is judged once, a pair of n images is in n − 2 triplets and the mean
    similarity is exactly 1/3, as in [1]_.

    References
    ----------
    .. [1] Hebart M. N., Zheng C. Y., Pereira F. & Baker C. I. (2020). Nature Human Behaviour 4,
       1173-1185. doi:10.1038/s41562-020-00951-3

    Examples
    --------
    >>> import pandas as pd
    >>> from rsa_faces.behaviour import triplet_rdms
    >>> table = pd.DataFrame({"rater": "r1", "a": "x", "b": "y", "c": "z",
    ...                       "odd": ["z", "z", "z", "y"]})
    >>> triplet_rdms(table).rdms.vectors
    array([[0.25, 0.75, 1.  ]])
    """
    check_choice(by, ("all", "rater"), what="by")
    triplets, raters, names, conditions, report = _read(
        source, conditions, per_rater=by == "rater", max_failed=max_failed
    )
    n_pairs = len(conditions) * (len(conditions) - 1) // 2
    names = list(names) if by == "rater" else ["all"]
    group = raters if by == "rater" else np.zeros(len(triplets), dtype=int)
    chosen = pair_index(triplets[:, 0], triplets[:, 1], len(conditions))
    others = [pair_index(triplets[:, i], triplets[:, 2], len(conditions)) for i in (0, 1)]
    size = len(names) * n_pairs
    wins = np.bincount(group * n_pairs + chosen, minlength=size)
    counts = wins + sum(np.bincount(group * n_pairs + p, minlength=size) for p in others)
    with np.errstate(invalid="ignore"):
        vectors = np.where(counts > 0, 1 - wins / counts, np.nan).reshape(len(names), n_pairs)
    rdms = RDMs(vectors, conditions, "triplets", {"rater": names})
    return RatedRDMs(rdms, counts.reshape(len(names), n_pairs), report)


@keep_warnings
def triplet_embedding(
    source: pd.DataFrame | str | Path,
    *,
    n_dimensions: int = 10,
    nonnegative: bool = True,
    penalty: float = 0.0,
    n_folds: int = 5,
    conditions: Sequence[str] | None = None,
    max_failed: float | None = None,
    max_iter: int = 1000,
    seed: int = 0,
) -> TripletEmbedding:
    """Find positions of images that predict odd-one-out choices.

    Parameters
    ----------
    source, conditions, max_failed
        As for :func:`triplet_rdms`; raters are not told apart.
    n_dimensions : int, default 10
        Number of dimensions. Compare `cv_accuracy` of several numbers; more than
        needed overfit.
    nonnegative : bool, default True
        Keep all coordinates at or above 0, which makes dimensions easier to name.
    penalty : float, default 0
        Weight of the sum of absolute coordinates per image in the cost: larger values give fewer
        and sparser dimensions.
    n_folds : int, default 5
        Folds of triplets for cross-validation; 0 for none. Repeats of one triplet are in one fold.
    max_iter : int, default 1000
        Of the optimiser, per fit.
    seed : int, default 0
        Of the start values and the folds.

    Returns
    -------
    TripletEmbedding

    Raises
    ------
    InputError
        As for :func:`triplet_rdms`, if an image is in no triplet, or options are out of range.

    Warns
    -----
    UserWarning
        If the optimiser stopped before it settled.

    See Also
    --------
    triplet_rdms : Make RDMs from odd-one-out choices: how often the third image was the odd one.

    Notes
    -----
    With similarities s_ij = x_i · x_j, the probability that k is the odd one of {i, j, k} is
    exp(s_ij) / (exp(s_ij) + exp(s_ik) + exp(s_jk)) [1]_. Coordinates maximise
    Σ log p / n_triplets − penalty · Σ|x| / n_conditions, by L-BFGS with an exact gradient
    (coordinates bounded at 0 when non-negative). The cost is not convex: another seed may end
    elsewhere; rotations of a plain embedding are equivalent.

    References
    ----------
    .. [1] Hebart M. N., Zheng C. Y., Pereira F. & Baker C. I. (2020). Nature Human Behaviour 4,
       1173-1185. doi:10.1038/s41562-020-00951-3

    Examples
    --------
    >>> import itertools
    >>> import pandas as pd
    >>> from rsa_faces.behaviour import triplet_embedding
    >>> rows = [(a, b, c, c) for a, b, c in itertools.combinations("uvwx", 3)]
    >>> table = pd.DataFrame(rows, columns=["a", "b", "c", "odd"]).assign(rater="r1")
    >>> triplet_embedding(table, n_dimensions=2, n_folds=0, penalty=0.01).accuracy
    1.0
    """
    check_count(n_dimensions, what="n_dimensions")
    check_count(n_folds, what="n_folds", low=0)
    check_count(max_iter, what="max_iter")
    if not (np.isfinite(penalty) and penalty >= 0):
        raise InputError(f"expected a penalty of at least 0, got {penalty!r}.")
    triplets, _, _, conditions, _ = _read(
        source, conditions, per_rater=False, max_failed=max_failed
    )
    n = len(conditions)
    never = np.setdiff1d(np.arange(n), triplets)
    if len(never):
        raise InputError(
            f"expected every condition in at least one triplet, but {conditions[never[0]]!r} is in "
            f"none ({len(never)} of {n})."
        )
    rng = as_rng(seed)
    fit = {
        "n": n,
        "n_dimensions": n_dimensions,
        "nonnegative": nonnegative,
        "penalty": penalty,
        "max_iter": max_iter,
    }
    if n_folds:
        fold = _folds(triplets, n_folds, rng)
    coordinates, converged = _fit(triplets, rng=rng, **fit)
    if not converged:
        warn(
            f"the embedding did not settle within {max_iter} rounds: raise max_iter, or add a "
            "penalty (without one, coordinates of choices that never disagree grow for ever)."
        )
    log_likelihood, accuracy = _scores(coordinates, triplets)
    hits, held_out = [], []
    for k in range(n_folds):
        part = _fit(triplets[fold != k], rng=rng, **fit)[0]
        scores = _scores(part, triplets[fold == k])
        held_out.append(scores[0])
        hits.append(scores[1])
    sizes = np.bincount(fold, minlength=n_folds) if n_folds else None
    coordinates = coordinates[:, np.argsort(-(coordinates**2).sum(axis=0), kind="stable")]
    rdms = RDMs(_choice_rdm(coordinates), conditions, "triplet embedding")
    return TripletEmbedding(
        coordinates,
        conditions,
        rdms,
        log_likelihood,
        accuracy,
        float(np.average(hits, weights=sizes)) if n_folds else np.nan,
        float(np.average(held_out, weights=sizes)) if n_folds else np.nan,
        np.array(hits),
        len(triplets),
        converged,
    )


def _read(
    source, conditions, *, per_rater: bool, max_failed: float | None
) -> tuple[np.ndarray, np.ndarray, pd.Index, tuple[str, ...], RaterReport]:
    """Return triplets as (alike, alike, odd) positions, raters as numbers and names, conditions."""
    table = read_table(
        source,
        what="a table of triplets",
        text=["rater", *"abc", "odd", "expected"],
        optional=["expected"],
        gaps=["odd", "expected"],
    )
    findings = Findings()
    table = without_checks(table, "odd", findings, max_failed)
    number = table.index.to_numpy()
    table = table.reset_index(drop=True)
    if conditions is None:
        conditions = sorted(set(table["a"]) | set(table["b"]) | set(table["c"]))
    conditions = check_unique_names(conditions, what="condition")
    check_enough(len(conditions), 3, "conditions")
    n_rdms = table["rater"].nunique() if per_rater else 1
    check_pivot(len(conditions), n_rdms, what="the table of triplets")
    position = {name: i for i, name in enumerate(conditions)}
    shown = np.empty((len(table), 3), dtype=int)
    for i, column in enumerate("abc"):
        for name in table[column].unique():
            if name not in position:
                check_choice(name, conditions, what="condition")
        shown[:, i] = table[column].map(position)
    answered = table["odd"].notna().to_numpy()
    odd = table["odd"].map(position)
    place = shown == odd.fillna(-1).to_numpy(dtype=int)[:, None]
    wrong = answered & ~place.any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        three = ", ".join(repr(table[c].iloc[row]) for c in "abc")
        raise InputError(
            f"expected one of {three} in column 'odd', but row {number[row]} has "
            f"{table['odd'].iloc[row]!r}."
        )
    twice = (shown[:, 0] == shown[:, 1]) | (shown[:, 0] == shown[:, 2])
    twice |= shown[:, 1] == shown[:, 2]
    raters, names = pd.factorize(table["rater"])
    keep = answered & ~twice
    ordered = np.sort(shown, axis=1)
    key = (ordered[:, 0] * len(conditions) + ordered[:, 1]) * len(conditions) + ordered[:, 2]
    again = pd.DataFrame({"rater": raters, "key": key})[keep].duplicated()
    again = again.reindex(np.arange(len(table)), fill_value=False).to_numpy(dtype=bool)
    for rule, flags, action in (
        ("no choice", ~answered & ~twice, "row left out"),
        ("image twice in a triplet", twice, "row left out"),
        ("triplet judged more than once", again, "every choice counts"),
    ):
        for i in np.unique(raters[flags]):
            rows = np.flatnonzero(flags & (raters == i))
            findings.add(names[i], rule, len(rows), action, number[rows])
    if not keep.any():
        raise InputError("expected at least one choice among three different images, got none.")
    which = np.argmax(place, axis=1)
    odd_one = shown[np.arange(len(shown)), which]
    alike = shown[np.arange(3) != which[:, None]].reshape(-1, 2)
    triplets = np.column_stack([alike, odd_one])[keep]
    _note_unseen(findings, triplets, raters[keep], names, len(conditions), per_rater)
    return triplets, raters[keep], names, conditions, findings.report()


def _note_unseen(findings, triplets, raters, names, n, per_rater) -> None:
    """Note pairs that are in no triplet, of each rater or of all."""
    n_pairs = n * (n - 1) // 2
    pairs = [pair_index(triplets[:, i], triplets[:, j], n) for i, j in ((0, 1), (0, 2), (1, 2))]
    group = raters if per_rater else np.zeros(len(raters), dtype=int)
    seen = np.zeros(len(names) * n_pairs if per_rater else n_pairs, dtype=bool)
    for pair in pairs:
        seen[group * n_pairs + pair] = True
    for name, part in zip(names if per_rater else ["all"], seen.reshape(-1, n_pairs), strict=True):
        findings.add(name, "pair in no triplet", (~part).sum(), "NaN in the RDM")


def _folds(triplets: np.ndarray, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """Return a fold for each triplet; repeats of the same three images stay together."""
    kinds = np.unique(np.sort(triplets, axis=1), axis=0, return_inverse=True)[1].ravel()
    n_kinds = int(kinds.max()) + 1
    if not 2 <= n_folds <= n_kinds:
        raise InputError(
            f"expected 2 to {n_kinds} folds for {n_kinds} different triplets (0 for none), got "
            f"{n_folds}."
        )
    return (rng.permutation(n_kinds) % n_folds)[kinds]


def _fit(triplets, *, n, n_dimensions, nonnegative, penalty, max_iter, rng):
    """Return the coordinates of greatest likelihood."""
    from scipy.optimize import minimize

    start = rng.uniform(0.05, 0.3, (n, n_dimensions))
    if not nonnegative:
        start *= rng.choice([-1.0, 1.0], start.shape)
    i, j, k = triplets.T
    pairs = (i, j), (i, k), (j, k)
    rows = [pair_index(a, b, n) for a, b in pairs]
    n_pairs = n * (n - 1) // 2
    row, col = np.triu_indices(n, k=1)

    def cost(flat: np.ndarray) -> tuple[float, np.ndarray]:
        x = flat.reshape(n, n_dimensions)
        # All triplets go through the n × n matrix of similarities: no gather of coordinates.
        s = (x @ x.T)[row, col]
        logits = np.stack([s[r] for r in rows])
        # Exponents beyond 700 would be infinite; a constant does not change shares.
        logits -= logits.max(axis=0)
        p = np.exp(logits)
        p /= p.sum(axis=0)
        value = -np.log(np.maximum(p[0], 1e-300)).mean()
        p[0] -= 1.0
        slope = sum(np.bincount(r, q, n_pairs) for r, q in zip(rows, p, strict=True))
        square = np.zeros((n, n))
        square[row, col] = square[col, row] = slope / len(i)
        gradient = square @ x
        if penalty:
            # Smooth at 0 when signs are free; exact when bounded there.
            size = x if nonnegative else np.sqrt(x**2 + 1e-8)
            value += penalty * size.sum() / n
            gradient = gradient + penalty / n * (1.0 if nonnegative else x / size)
        return value, gradient.ravel()

    result = minimize(
        cost,
        start.ravel(),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * start.size if nonnegative else None,
        options={"maxiter": max_iter, "maxfun": 2 * max_iter, "ftol": 1e-9, "gtol": 1e-6},
    )
    return result.x.reshape(n, n_dimensions), bool(result.success)


def _scores(coordinates: np.ndarray, triplets: np.ndarray) -> tuple[float, float]:
    """Return the mean log likelihood and the share of choices predicted; ties count in part."""
    similarity = coordinates @ coordinates.T
    i, j, k = triplets.T
    logits = np.stack([similarity[i, j], similarity[i, k], similarity[j, k]])
    top = logits == logits.max(axis=0)
    hits = top[0] / top.sum(axis=0)
    logits = logits - logits.max(axis=0)
    log_p = logits[0] - np.log(np.exp(logits).sum(axis=0))
    return float(log_p.mean()), float(hits.mean())


def _choice_rdm(coordinates: np.ndarray) -> np.ndarray:
    """Return 1 − mean probability of choosing each pair over every third image."""
    s = coordinates @ coordinates.T
    n = len(s)
    e = np.exp(s - s[~np.eye(n, dtype=bool)].max())
    total = np.zeros((n, n))
    for k in range(n):
        # With the third image k: p(i, j) = e_ij / (e_ij + e_ik + e_jk).
        bottom = e + e[:, k, None] + e[None, :, k]
        p = np.divide(e, bottom, out=np.full((n, n), 1 / 3), where=bottom > 0)
        p[k] = p[:, k] = 0.0
        total += p
    row, col = np.triu_indices(n, k=1)
    return 1 - total[row, col] / (n - 2)
