"""Scores between faces, within and between the groups that people say they belong to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.chance import reached, share
from rsa_faces._core.checks import as_rng, check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.student import half_width
from rsa_faces.analyses._groups import (
    SELF_REPORT,
    check_share,
    draws_of_people,
    dyadic_error,
    grouped_faces,
    permutations,
)
from rsa_faces.analyses._inputs import as_layers, check_finite
from rsa_faces.analyses._intervals import percentile_interval
from rsa_faces.rdm import RDMs
from rsa_faces.rdm.measures import MEASURES


def similarity_scores(
    activations, *, layer: str | None = None, conditions=None, measure: str = "cosine"
) -> pd.DataFrame:
    """Return scores between all faces: how similar a layer finds them.

    Parameters
    ----------
    activations : Activations, or mapping of layer to ndarray (n_conditions, n_channels)
    layer : str, optional
        By default the last.
    conditions : sequence of str, optional
        The name of each row of a plain mapping.
    measure : {"cosine", "correlation", "euclidean", "sqeuclidean"}, default "cosine"
        Cosine and correlation give similarities from -1 to 1; distances give minus the distance.

    Returns
    -------
    DataFrame, shape (n_conditions, n_conditions)
        Higher is more similar.

    Raises
    ------
    InputError
        If the layer or measure is unknown, or activations are not finite.

    See Also
    --------
    score_distributions : Compare scores within groups with scores between groups.
    group_components : Ask which principal components of a score matrix go with groups of people.
    false_matches : Count how often different people are taken for one, group by group.

    Examples
    --------
    >>> from rsa_faces.analyses import similarity_scores
    >>> similarity_scores({"fc": [[1.0, 0], [0, 1], [1, 1]]}, conditions=list("abc")).round(2)
          a     b     c
    a  1.00  0.00  0.71
    b  0.00  1.00  0.71
    c  0.71  0.71  1.00
    """
    check_choice(measure, ("cosine", "correlation", "euclidean", "sqeuclidean"), what="measure")
    layers = as_layers(activations, conditions)
    layer = list(layers.arrays)[-1] if layer is None else layer
    check_choice(layer, layers.arrays, what="layer")
    patterns = np.asarray(layers.arrays[layer], dtype=np.float64)
    check_finite(patterns, layers.conditions, layer)
    vector = MEASURES[measure](patterns)
    angular = MEASURES[measure].angular
    matrix = np.full((len(patterns),) * 2, 1.0 if angular else 0.0)
    row, col = np.triu_indices(len(patterns), k=1)
    matrix[row, col] = matrix[col, row] = (1.0 if angular else 0.0) - vector
    return pd.DataFrame(matrix, index=layers.conditions, columns=layers.conditions)


@dataclass(frozen=True, eq=False, repr=False)
class ScoreDistributions(BaseResult, figure="plot_score_distributions"):
    """The outcome of :func:`score_distributions`.

    Parameters
    ----------
    table : DataFrame
        One row per kind of pair: ``kind`` ("mated": two images of a person; "within", "between":
        different people of one or two groups), ``group_a``, ``group_b`` ("" for all together),
        ``n_pairs``, ``mean``, ``sd``, ``q05``, ``median``, ``q95``, and ``ci_low``,
        ``ci_high`` of the mean (dyadic; of mated pairs from a bootstrap of people).
    summary : DataFrame
        One row: ``within``, ``between`` (means over pairs of different people), ``difference``
        with ``ci_low``, ``ci_high``, ``standardized`` (difference by the standard deviation of
        all these scores), ``p`` (permutation of groups over people, one-sided: within > between),
        ``n_people``, ``n_pairs``, ``n_missing`` (pairs not measured).
    pairs : DataFrame
        One row per measured pair of faces: ``a``, ``b``, ``group_a``, ``group_b``, ``kind``,
        ``score``.
    notes : tuple of str
        :data:`rsa_faces.analyses.SELF_REPORT`.
    settings : mapping

    See Also
    --------
    score_distributions : Compare scores within groups with scores between groups.
    rsa_faces.figures.plot_score_distributions : Draw the distributions of scores within a person.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import score_distributions, similarity_scores
    >>> rng = np.random.default_rng(0)
    >>> names = [f"face{i}" for i in range(40)]
    >>> embedding = rng.normal(size=(40, 16))
    >>> embedding[:20, 0] += 3
    >>> groups = {name: "one" if i < 20 else "other" for i, name in enumerate(names)}
    >>> scores = similarity_scores({"fc": embedding}, conditions=names)
    >>> found = score_distributions(scores, groups, n_permutations=99, n_boot=50)
    >>> len(found.summary), len(found.pairs)
    (1, 780)
    """

    table: pd.DataFrame
    summary: pd.DataFrame
    pairs: pd.DataFrame

    def __repr__(self) -> str:
        row = self.summary.iloc[0]
        return (
            f"ScoreDistributions({int(row['n_people'])} people; within − between groups = "
            f"{row['difference']:.3g}, p = {row['p']:.2g})"
        )


@keep_warnings
def score_distributions(
    scores: pd.DataFrame | RDMs,
    groups: Labels,
    *,
    people: Labels | None = None,
    within: Labels | None = None,
    n_permutations: int = 9999,
    n_boot: int = 2000,
    alpha: float = 0.05,
    match: str = "same",
    seed: int = 0,
) -> ScoreDistributions:
    """Compare scores within groups with scores between groups.

    Parameters
    ----------
    scores : DataFrame, shape (n_conditions, n_conditions), or RDMs
        As for :func:`rsa_faces.analyses.group_components`; NaN means that a pair was not measured.
    groups : mapping or Series of condition to group
        Self-reported categories.
    people : mapping or Series of condition to person, optional
        By default every condition is another person, and there are no mated pairs.
    within : mapping or Series of condition to stratum, optional
        Permute groups only among people of one stratum.
    n_permutations : int, default 9999
    n_boot : int, default 2000
        Samples of people, drawn with replacement within each group, for intervals of mated pairs.
    alpha : float, default 0.05
        Intervals cover 1 − alpha.
    match : {"same", "intersection"}, default "same"
    seed : int, default 0

    Returns
    -------
    ScoreDistributions

    Raises
    ------
    InputError
        As for :func:`rsa_faces.analyses.group_components`; also if no two people of a group,
        or of different groups, were compared.
    ConditionMismatchError
        If faces and labels differ and `match` is "same".

    See Also
    --------
    similarity_scores : Return scores between all faces: how similar a layer finds them.
    false_matches : Count how often different people are taken for one, group by group.
    rsa_faces.figures.plot_score_distributions : Draw the distributions of scores within a person.

    Notes
    -----
    Scores that share a person are not independent: a t test over pairs would be far too lenient.
    Intervals of means over pairs of different people, and of their difference, are dyadic [1]_,
    with t of the number of people less that of groups, and people drawn within groups. In
    simulations 95 % intervals hold the mean in 91 to 99 % (2 groups of 10 or 20 people, 4 of 12; 97
    to 100 % where groups do not differ; ``scripts/simulate_scores.py``); percentiles of drawn
    people did in 94 to 100 %.
    Those of mated pairs are percentiles of a bootstrap of the people who have several images,
    further out the fewer these are (Student's t).

    References
    ----------
    .. [1] Aronow P. M., Samii C., Assenova V. A. (2015). Political Analysis 23, 564-577.
       doi:10.1093/pan/mpv018

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import score_distributions, similarity_scores
    >>> rng = np.random.default_rng(0)
    >>> embedding = rng.normal(size=(40, 16))
    >>> embedding[:20, 0] += 5
    >>> names = [f"face{i}" for i in range(40)]
    >>> groups = {name: "one" if i < 20 else "other" for i, name in enumerate(names)}
    >>> scores = similarity_scores({"fc": embedding}, conditions=names)
    >>> found = score_distributions(scores, groups, n_permutations=999, n_boot=200)
    >>> found.summary[["within", "between", "p"]].round(3)
       within  between      p
    0   0.304   -0.019  0.001
    """
    check_count(n_permutations, what="n_permutations")
    check_count(n_boot, what="n_boot")
    check_share(alpha, "alpha")
    faces = grouped_faces(scores, [("groups", groups)], people, within, match)
    _, codes, kinds = faces.attributes[0]
    total, count, total_own, count_own = faces.sums(faces.matrix)
    rng = as_rng(seed)
    onehot = np.eye(len(kinds))[faces.person_codes(codes)]
    draws = draws_of_people(onehot, n_boot, rng)
    number = onehot.T @ count @ onehot
    same = np.eye(len(kinds), dtype=bool)
    if number[same].sum() == 0 or number[~same].sum() == 0:
        raise InputError(
            f"expected pairs of different people within and between groups, got "
            f"{int(number[same].sum() / 2)} and {int(number[~same].sum() / 2)}."
        )
    pairs = faces.pairs(codes, kinds)

    def around(value: float, weights: np.ndarray) -> tuple[float, float]:
        error = dyadic_error(total, count, onehot, weights)
        size = onehot.sum(axis=0)[weights.any(axis=0)]
        # A mean of each group is taken off.
        free = max(size.sum() - len(size), 1)
        reach = half_width(error, free, alpha) if error > 0 else np.nan
        return value - reach, value + reach

    def mean_of(weights: np.ndarray) -> tuple[float, float]:
        sums, counts = ((onehot.T @ v @ onehot)[weights > 0].sum() for v in (total, count))
        return around(sums / counts, weights) if counts else (np.nan,) * 2

    def of_mated(mine: np.ndarray) -> np.ndarray:
        sums, counts = (draws[:, mine] @ own[mine] for own in (total_own, count_own))
        samples = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
        size = onehot[mine & (count_own > 0)].sum(axis=0)
        n_groups = max(int((size > 0).sum()), 1)
        return percentile_interval(samples, int(size.sum()), 1 - alpha, n_groups=n_groups)

    everyone = np.ones(len(onehot), bool)
    rows = [_describe(pairs, "mated", "", "", of_mated(everyone))]
    for kind, mask in (("within", same), ("between", ~same)):
        ends = mean_of(mask.astype(float))
        rows.append(_describe(pairs, kind, "", "", ends))
    for a, name in enumerate(kinds):
        rows.append(_describe(pairs, "mated", name, name, of_mated(onehot[:, a] > 0)))
        for b in range(a, len(kinds)):
            cell = np.zeros(same.shape)
            cell[[a, b], [b, a]] = 1
            ends = mean_of(cell)
            rows.append(_describe(pairs, "within" if a == b else "between", name, kinds[b], ends))
    table = pd.DataFrame([row for row in rows if row["n_pairs"]])
    observed = _contrast(onehot[None], total, count)[0]
    # A tie must not be lost to rounding, in whatever unit scores are.
    size = np.nanmax(np.abs(faces.matrix))
    extreme = 0
    for permuted in permutations(faces, n_permutations, rng):
        contrasts = _contrast(onehot[permuted], total, count)
        extreme += reached(contrasts, observed, size).sum()
    low, high = around(observed, np.where(same, 1.0, -1.0))
    others = pairs.loc[pairs["kind"] != "mated", "score"]
    summary = pd.DataFrame(
        [
            {
                "within": pairs.loc[pairs["kind"] == "within", "score"].mean(),
                "between": pairs.loc[pairs["kind"] == "between", "score"].mean(),
                "difference": observed,
                "ci_low": low,
                "ci_high": high,
                "standardized": observed / others.std(),
                "p": share(extreme, n_permutations, observed),
                "n_people": len(onehot),
                "n_pairs": len(others),
                "n_missing": faces.n_missing,
            }
        ]
    )
    settings = {
        "n_permutations": n_permutations,
        "n_boot": n_boot,
        "alpha": alpha,
        "seed": seed,
        "within": within is not None,
        "n_left_out": faces.n_left_out,
    }
    return ScoreDistributions(table, summary, pairs, settings=settings, notes=(SELF_REPORT,))


def _contrast(onehot: np.ndarray, total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return within minus between means, (n,), for groups of people (n, n_people, n_groups)."""
    sums = np.einsum("pig,pig->p", onehot, total @ onehot)
    counts = np.einsum("pig,pig->p", onehot, count @ onehot)
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums / counts - (total.sum() - sums) / (count.sum() - counts)


def _describe(pairs, kind, a, b, ends) -> dict:
    """Return a row about pairs of one kind."""
    chosen = pairs[pairs["kind"] == kind]
    if a != "":
        one = (chosen["group_a"] == a) & (chosen["group_b"] == b)
        chosen = chosen[one | ((chosen["group_a"] == b) & (chosen["group_b"] == a))]
    score = chosen["score"].to_numpy()
    quantiles = np.quantile(score, [0.05, 0.5, 0.95]) if len(score) else (np.nan,) * 3
    return {
        "kind": kind,
        "group_a": a,
        "group_b": b,
        "n_pairs": len(score),
        "mean": score.mean() if len(score) else np.nan,
        "sd": score.std(ddof=1) if len(score) > 1 else np.nan,
        "q05": quantiles[0],
        "median": quantiles[1],
        "q95": quantiles[2],
        "ci_low": ends[0],
        "ci_high": ends[1],
    }
