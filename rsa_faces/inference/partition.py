"""Variance partitioning: what two or three predictors explain alone and together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.spatial.distance import squareform

from rsa_faces._core.chance import reached, share
from rsa_faces._core.checks import as_rng, check_choice, check_count, check_enough
from rsa_faces._core.deprecated import renamed_argument
from rsa_faces._core.errors import InputError, check_same_names
from rsa_faces._core.labels import Labels
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.warning import warn
from rsa_faces._kernels.ranks import average_ranks
from rsa_faces.inference._design import Design, Units, check_design
from rsa_faces.inference._orders import Draw, exchanges
from rsa_faces.inference._study import pairs_of
from rsa_faces.inference._subjects import subject_means
from rsa_faces.inference._weighted import LINEAR_BLOCK, weighted_similarities
from rsa_faces.inference.bootstrap import (
    bootstrap_samples,
    column_variances,
    corrected,
    draw,
)
from rsa_faces.rdm import RDMs
from rsa_faces.rdm._rdms import pair_index

_MEMORY = 256 * 2**20
_BLOCK = LINEAR_BLOCK
# Fewest distinct conditions of a sample in a block: they have six pairs.
_APART = 4
_PERMUTED = 64
_FEWEST = 6
# A predictor of which the others leave less than this share of variance has no part of its own.
_COLLINEAR = 1e-9
_BELOW_ZERO = {
    "unique": "The predictor adds nothing; the adjustment for its number leaves less than 0.",
    "shared": "The predictors explain more together than one by one (suppression): parts are then "
    "no shares of what is explained.",
}


@dataclass(frozen=True, eq=False, repr=False)
class Partition(BaseResult, figure="plot_partition"):
    """The outcome of :func:`variance_partition`.

    Parameters
    ----------
    table : DataFrame
        One row per part: `part` ("a only", "a & b", …), `kind` ("unique" or "shared"),
        `r2_adjusted` (share of the variance of the data), `share` (of what all predictors explain
        together; NaN if that is not above 0), standard error `sem`, interval `ci_low` to
        `ci_high`, and `p` of the unique parts (NaN for shared ones).
    models : DataFrame
        One row per regression: its predictors joined by " + ", their number, R², adjusted R² with
        standard error and interval. The last row holds all predictors.
    blocks : DataFrame
        One row per block and part; one block "all" if there were none.
    n_pairs : int
        Pairs of conditions that entered, over all blocks.
    n_pairs_left_out : int
        Pairs within blocks that did not, because an RDM lacks them (NaN).
    n_conditions, n_subjects : int
        Numbers of conditions, and of subjects whose mean is explained.
    settings : mapping
        How it was done, with `generalises_to`: what intervals and standard errors hold for.
    notes : tuple of str
        What a reader must know before concluding.

    See Also
    --------
    variance_partition
    rsa_faces.figures.plot_partition : Draw how much predictors explain alone and together.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> human_it = d92.rdms.sel(region="human IT")
    >>> models = {name: d92.models.sel(name=name) for name in ["animacy", "HMAX"]}
    >>> partition = rf.variance_partition(human_it, models)
    >>> partition.table["part"].tolist(), len(partition.models)
    (['animacy only', 'HMAX only', 'animacy & HMAX'], 3)
    """

    table: pd.DataFrame
    models: pd.DataFrame
    blocks: pd.DataFrame
    n_pairs: int
    n_pairs_left_out: int
    n_conditions: int
    n_subjects: int

    def __repr__(self) -> str:
        total = self.models["r2_adjusted"].iloc[-1]
        names = ", ".join(self.settings["predictors"])
        return (
            f"Partition({names}: together {100 * total:.1f} % of variance; {len(self.notes)} notes)"
        )


@renamed_argument("bootstrap", "generalise_to")
@keep_warnings
def variance_partition(
    data: RDMs,
    predictors: Mapping[str, RDMs],
    *,
    groups: Labels | None = None,
    blocks: Labels | None = None,
    generalise_to: str = "conditions",
    n_boot: int = 1000,
    by: str = "subject",
    seed: int = 0,
    alpha: float = 0.05,
    transform: str | None = None,
    n_permutations: int = 999,
) -> Partition:
    """Split what predictors explain of the data's RDM into unique and shared parts.

    Parameters
    ----------
    data : RDMs
        RDMs of one region; several of a subject (sessions) are averaged first. What is explained
        is the mean over subjects of their z-scored RDMs.
    predictors : mapping of str to RDMs
        Two or three, with the same conditions as the data (matched by name). Several RDMs in one
        predictor (networks of one kind) are z-scored and averaged.
    groups : mapping or Series of condition to group, optional
        Conditions that belong together (images of a person) are drawn together, and exchanged
        together for p values (groups of as many conditions).
    blocks : mapping or Series of condition to block, optional
        Runs in which conditions were shown together. Everything is then done within each block,
        over its pairs, and averaged over blocks with equal weight.
    generalise_to : {"conditions", "subjects", "both"}, default "conditions"
        What intervals are to hold for (conditions are drawn within their block).
    n_boot : int, default 1000
        Number of bootstrap samples.
    by : str, default "subject"
        Label that tells subjects apart.
    seed : int, default 0
        The same seed gives the same result.
    alpha : float, default 0.05
        Intervals cover 1 − alpha.
    transform : {None, "rank"}, default None
        "rank": every RDM is replaced by its average ranks (within a block) first.
    n_permutations : int, default 999
        Number of shuffles for the p values of unique parts; 0 for none.

    Returns
    -------
    Partition
        Adjusted R² of each part and of each regression. With predictors a, b: "a only", "b only"
        and "a & b"; with three: one row each for "a only", …, "a & b only", …, "all three".

    Raises
    ------
    ConditionMismatchError
        If a predictor and the data hold different conditions.
    InputError
        If there are not 2 or 3 named predictors, the data hold several regions, an RDM is constant
        (in a block), predictors follow from each other, a condition has no block, no groups can
        be exchanged, a block has fewer than 6 conditions or too few measured pairs, one subject is
        to be drawn from, or an option is unknown.

    Warns
    -----
    UserWarning
        For each note of the result: few subjects or conditions, pairs or samples left out, parts
        below 0.

    See Also
    --------
    evaluate : Evaluate how well models predict data, and how far the answer can be trusted.
    rsa_faces.figures.plot_partition : Draw how much predictors explain alone and together.

    Notes
    -----
    The dissimilarities are regressed on those of the predictors by least squares, with an
    intercept. R²(S) is that of the predictors in S, adjusted as 1 − (1 − R²)(n − 1)/(n − p − 1)
    for n pairs and p predictors [1]_. For two predictors the unique parts are R²(ab) − R²(b) and
    R²(ab) − R²(a), the shared one is R²(a) + R²(b) − R²(ab); for three the seven parts follow by
    inclusion and exclusion [2]_, as in [3]_. The parts add up to R² of all predictors.

    A part may be below 0 and is never set to 0. A shared part below 0 means that predictors
    explain more together than one by one (suppression); then parts are no shares of anything. A
    unique part just below 0 is what the adjustment leaves where a predictor adds nothing.

    Pairs that any RDM lacks (NaN) enter nowhere. Pairs that share a condition are not
    independent, so that the adjustment is smaller than it should be: in simulations, a predictor
    that adds nothing had a mean adjusted unique part of 0.003 with 40 conditions. R² is limited by
    noise in the data: it is that of a mean over this number of subjects.

    A bootstrap sample never holds a condition's pair with its own copy, and z-scores and ranks are
    computed anew in each; n is the number of pairs drawn. Intervals are the observed value ± t
    times the bootstrap's standard error: for one factor times √(n/(n − 1)), for both the
    two-factor variance [4]_. Degrees of freedom: n_conditions − n_blocks (with groups, their
    number), n_subjects − 1, or the smaller of the two.

    How often 95 % intervals held the truth in simulations (150 to 400 data sets each; for subjects
    the truth is the mean over other samples of as many subjects), in % for parts away from 0:

    =======================================  ========  ==========  ========
    drawn                                    t (used)  percentile  basic
    =======================================  ========  ==========  ========
    conditions (20, 40, 80)                  93 – 98   93 – 98     80 – 96
    subjects (5, 8, 16; of 30 conditions)    90 – 97   80 – 94     68 – 89
    both (6, 16 subjects; 40 conditions)     89 – 99   86 – 96     73 – 93
    =======================================  ========  ==========  ========

    For parts at 0 the intervals are too wide when conditions are drawn (96 to 100 %), and 88 to
    95 % for subjects. An interval that includes 0 is no test of a part: R² is not symmetric about
    0.

    p of a unique part is the share of shuffles, (1 + #≥) / (1 + n_permutations), that give at least
    as large a part. What is shuffled are the condition labels of the predictor's residual given the
    other predictors [5]_, within blocks; for all subjects together, so that it holds for these
    subjects. In simulations without a unique part (7 settings with 12 to 40 conditions, one or six
    blocks, categorical predictors, conditions that differ in typicality) p was at most 0.05 in 3.5
    to 5.5 % of 400 to 1000 data sets. With groups, what a predictor tells of whose conditions they
    are is taken out of its test: images of a person are near each other in all RDMs, and a noisy
    predictor never explains it all (p ≤ 0.05 in up to 26 % of 120 tests of 14 people otherwise, in
    3 to 8 % so). With pairs left out there is no p. Shared parts have no test.

    References
    ----------
    .. [1] Ezekiel M. (1930). Methods of Correlation Analysis. Wiley.
    .. [2] Peres-Neto P. R., Legendre P., Dray S. and Borcard D. (2006). Ecology 87, 2614-2625.
       doi:10.1890/0012-9658(2006)87[2614:VPOSDM]2.0.CO;2
    .. [3] Jiahui G. et al. (2023). PNAS 120, e2304085120. doi:10.1073/pnas.2304085120
    .. [4] Schütt H. H. et al. (2023). eLife 12, e82566. doi:10.7554/eLife.82566
    .. [5] Dekker D., Krackhardt D. and Snijders T. A. B. (2007). Psychometrika 72, 563-581.
       doi:10.1007/s11336-007-9016-1

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.inference.partition import variance_partition
    >>> d92 = rf.datasets.images92()
    >>> models = {name: d92.models.sel(name=name) for name in ["animacy", "HMAX"]}
    >>> partition = variance_partition(d92.rdms.sel(region="human IT"), models)
    >>> partition.table[["part", "r2_adjusted"]].round(3)
                 part  r2_adjusted
    0    animacy only        0.310
    1       HMAX only        0.036
    2  animacy & HMAX        0.014
    """
    design = Design.of(locals())
    check_count(n_permutations, what="n_permutations", low=0)
    if transform is not None:
        check_choice(transform, ["rank"], what="transform")
    subjects, variables, rows, sides = _variables(data, predictors, by)
    names = tuple(predictors)
    n_subjects, n_predictors = len(subjects), len(names)
    units = design.units(subjects.conditions)
    runs = _runs(units, variables, rows, blocks is not None, n_predictors)
    notes = check_design(
        n_subjects=n_subjects,
        n_conditions=units.n_groups,
        generalise_to=generalise_to,
        groups=units.grouped,
    )
    models = _subsets(n_predictors)
    to_parts = _inclusion_exclusion(n_predictors)
    method = "pearson" if transform is None else "spearman"

    # Within each run first, then averaged: dissimilarities of different runs differ by what runs
    # differ in.
    r2, adjusted = np.empty((2, len(runs), len(models)))
    for i, run in enumerate(runs):
        once = _correlations(run.vectors, np.ones((1, run.n_conditions)), method)
        g = _standardised(once, sides[None])
        _check_collinear(g[0], names, run.name)
        r2[i] = _r2(g, models)[0]
        # R² grows with every predictor, also of noise: no unique part would ever be below 0.
        adjusted[i] = _adjusted(r2[i], run.n_pairs, models)
    of_models = adjusted.mean(axis=0)
    of_parts = to_parts @ of_models

    rng = as_rng(seed)
    draws = draw(design, units, n_subjects, rng, apart=_APART)
    statistic = _statistic(runs, sides, method, models, to_parts)
    samples = bootstrap_samples(statistic, draws, _BLOCK)
    # A sample without a value in one column has none in any: all columns share their samples.
    whole = {k: v[~np.isnan(v).any(axis=1)] for k, v in samples.items()}
    (variance,) = corrected({k: (column_variances(v),) for k, v in whole.items()}, draws)
    freedom = design.freedom(n_subjects, units)
    sem = design.sem(variance)
    half = design.half_width(sem, freedom)
    n_parts = len(to_parts)
    total = of_models[-1]

    p = np.full(n_parts, np.nan)
    n_missing = sum(run.n_missing for run in runs)
    if n_permutations and not n_missing:
        orders = exchanges(units.groups, units.blocks)
        p[:n_predictors] = _permutation(
            runs, sides, transform, n_permutations, orders, rng, units.groups
        )
    parts = _part_names(names)
    values = np.concatenate([of_parts, of_models])
    errors = {"sem": sem, "ci_low": values - half, "ci_high": values + half}
    table = pd.DataFrame(
        {
            "part": parts,
            "kind": ["unique"] * n_predictors + ["shared"] * (n_parts - n_predictors),
            "r2_adjusted": of_parts,
            "share": of_parts / total if total > 0 else np.nan,
            **{name: column[:n_parts] for name, column in errors.items()},
            "p": p,
        }
    )
    fits = pd.DataFrame(
        {
            "model": [" + ".join(names[i] for i in model) for model in models],
            "n_predictors": [len(model) for model in models],
            "r2": r2.mean(axis=0),
            "r2_adjusted": of_models,
            **{name: column[n_parts:] for name, column in errors.items()},
        }
    )
    rows = [
        (run.name, part, value, run.n_conditions, run.n_pairs)
        for run, own in zip(runs, adjusted, strict=True)
        for part, value in zip(parts, to_parts @ own, strict=True)
    ]
    columns = ["block", "part", "r2_adjusted", "n_conditions", "n_pairs"]
    per_block = pd.DataFrame(rows, columns=columns)
    undefined = max(int(np.isnan(v).any(axis=1).sum()) for v in samples.values())
    if n_missing:
        then = "; labels cannot be shuffled then, so that there are no p values"
        notes.append(
            f"{n_missing} pairs are left out, because an RDM lacks them"
            f"{then if n_permutations else ''}."
        )
    if undefined:
        notes.append(
            f"{undefined} of {n_boot} bootstrap samples are left out: a predictor is constant in "
            "them, or follows from the others."
        )
    for kind, meaning in _BELOW_ZERO.items():
        below = table.loc[(table["kind"] == kind) & (table["r2_adjusted"] < 0), "part"]
        if len(below):
            notes.append(f"{', '.join(below)}: below 0. {meaning}")
    for note in notes:
        warn(note)
    return Partition(
        table,
        fits,
        per_block,
        sum(run.n_pairs for run in runs),
        n_missing,
        subjects.n_conditions,
        n_subjects,
        settings=design.settings(
            predictors=list(names),
            transform=transform,
            n_boot_undefined=undefined,
            n_permutations=0 if n_missing else n_permutations,
            n_blocks=len(runs) if blocks is not None else 0,
            degrees_of_freedom=freedom,
        ),
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class _Run:
    """All variables over the pairs within one block; NaN in all where any lacks a pair."""

    name: str
    vectors: np.ndarray  # (n_variables, n_pairs)
    members: np.ndarray  # which conditions

    @property
    def n_conditions(self) -> int:
        return len(self.members)

    @property
    def missing(self) -> np.ndarray:
        return np.isnan(self.vectors[0])

    @property
    def n_missing(self) -> int:
        return int(self.missing.sum())

    @property
    def n_pairs(self) -> int:
        return self.vectors.shape[1] - self.n_missing


def _variables(data: RDMs, predictors: Mapping[str, RDMs], by: str):
    """Return subjects, all RDMs as rows (subjects first), their names, and the sides they form.

    The sides, shape (1 + n_predictors, n_rows), are 1 where a row belongs to the data, then to
    each predictor.
    """
    if not isinstance(predictors, Mapping) or not 2 <= len(predictors) <= 3:
        got = len(predictors) if hasattr(predictors, "__len__") else type(predictors).__name__
        raise InputError(f"expected 2 or 3 predictors, as a mapping of name to RDMs, got {got}.")
    if "region" in data.labels and data.labels["region"].nunique() > 1:
        raise InputError(
            "expected data of one region, got "
            f"{', '.join(map(repr, data.labels['region'].unique()[:5]))}. Choose one with sel()."
        )
    subjects = subject_means(data, by)
    rows, of_row = [subjects.vectors], [0] * len(subjects)
    names = [f"the RDM of {by} {value!r}" for value in subjects.labels[by]]
    for i, (name, rdms) in enumerate(predictors.items(), start=1):
        if not isinstance(name, str) or not name:
            raise InputError(f"expected predictors with names, got {name!r}.")
        if not isinstance(rdms, RDMs):
            raise TypeError(f"expected RDMs as predictor {name!r}, got {type(rdms).__name__}.")
        sides, hint = (f"predictor {name!r}", "data"), "To take fewer conditions use subset()."
        check_same_names(rdms.conditions, data.conditions, *sides, hint)
        rows.append(rdms.align(data.conditions).vectors)
        of_row += [i] * len(rdms)
        names += [f"predictor {name!r}"] * len(rdms)
    sides = (np.array(of_row) == np.arange(len(rows))[:, None]).astype(np.float64)
    return subjects, np.concatenate(rows), names, sides


def _runs(units: Units, variables, names: list[str], named: bool, n_predictors: int) -> list[_Run]:
    """Return one entry per block; without blocks, one of all conditions."""
    # One set of pairs for all models: R² of different pairs could not be subtracted.
    variables = np.where(np.isnan(variables).any(axis=0), np.nan, variables)
    runs = []
    for name, members in zip(units.names, units.runs, strict=True):
        where = f"block {name!r}" if named else "the data"
        check_enough(len(members), _FEWEST, f"conditions in {where}")
        pairs = pairs_of(members, len(units.blocks))
        run = _Run(name, variables[:, pairs], members)
        if run.n_pairs < n_predictors + 2:
            raise InputError(
                f"expected at least {n_predictors + 2} pairs that every RDM has in {where}, got "
                f"{run.n_pairs} of {len(pairs)}."
            )
        used = run.vectors[:, ~run.missing]
        if len(constant := np.flatnonzero((used == used[:, :1]).all(axis=1))):
            raise InputError(
                f"expected dissimilarities that vary, but {names[constant[0]]} is constant in "
                f"{where}: nothing can be explained with it."
            )
        runs.append(run)
    return runs


def _correlations(vectors: np.ndarray, counts: np.ndarray, method: str) -> np.ndarray:
    """Return correlations of all variables in each resample, (n_samples, n, n)."""
    filled = np.where(np.isnan(vectors), 0.0, vectors)
    return weighted_similarities(filled, vectors, counts, method)


def _standardised(correlations: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Return correlations of the sides: weighted sums of z-scores, (n_samples, k, k)."""
    # Data and predictors are means of z-scored RDMs: their correlations follow from those of single
    # RDMs, so that a sample of subjects is a change of weights.
    g = sides @ correlations @ sides.transpose(0, 2, 1)
    scale = np.sqrt(np.einsum("bii->bi", g))
    with np.errstate(divide="ignore", invalid="ignore"):
        return g / (scale[:, :, None] * scale[:, None, :])


def _subsets(n: int) -> list[tuple[int, ...]]:
    """Return all non-empty subsets of n predictors, small ones first."""
    return [s for size in range(1, n + 1) for s in combinations(range(n), size)]


def _inclusion_exclusion(n: int) -> np.ndarray:
    """Return the matrix that turns R² of all models into parts, both in the order of subsets."""
    subsets = _subsets(n)
    place = {frozenset(s): i for i, s in enumerate(subsets)}
    matrix = np.zeros((len(subsets), len(subsets)))
    for i, part in enumerate(subsets):
        others = frozenset(range(n)) - frozenset(part)
        for size in range(len(part) + 1):
            for some in combinations(part, size):
                model = others | frozenset(some)
                if model:
                    # A part is what its predictors add together to all the others: signs alternate
                    # with how many of them are in the model.
                    matrix[i, place[model]] += (-1.0) ** (size + 1)
    return matrix


def _part_names(names: tuple[str, ...]) -> list[str]:
    """Return the name of each part, in the order of subsets."""
    parts = [f"{name} only" for name in names]
    if len(names) == 2:
        return [*parts, " & ".join(names)]
    return [*parts, *(f"{a} & {b} only" for a, b in combinations(names, 2)), "all three"]


def _r2(g: np.ndarray, models: list[tuple[int, ...]]) -> np.ndarray:
    """Return R² of each model from correlations, (n_samples, n_models); NaN where undefined."""
    r2 = np.empty((len(g), len(models)))
    for i, model in enumerate(models):
        index = 1 + np.array(model)
        own = g[:, index[:, None], index]
        with_data = g[:, index, 0]
        # Undefined where a predictor follows from the others (or is constant: NaN).
        # NaN as 0: eigvalsh refuses NaN; such samples are left out below.
        fine = np.linalg.eigvalsh(np.nan_to_num(own))[:, 0] > _COLLINEAR
        fine &= np.isfinite(own).all(axis=(1, 2)) & np.isfinite(with_data).all(axis=1)
        own = np.where(fine[:, None, None], own, np.eye(len(model)))
        slopes = np.linalg.solve(own, with_data[:, :, None])[:, :, 0]
        r2[:, i] = np.where(fine, (slopes * with_data).sum(axis=1), np.nan)
    return r2


def _adjusted(r2: np.ndarray, n_pairs, models: list[tuple[int, ...]]) -> np.ndarray:
    """Return Ezekiel's adjusted R²; NaN without enough pairs."""
    n_predictors = np.array([len(model) for model in models])
    freedom = np.asarray(n_pairs, dtype=np.float64)[..., None] - n_predictors - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        adjusted = 1 - (1 - r2) * (freedom + n_predictors) / freedom
    return np.where(freedom > 0, adjusted, np.nan)


def _check_collinear(g: np.ndarray, names: tuple[str, ...], block: str) -> None:
    """Raise if a predictor follows from the others."""
    values, vectors = np.linalg.eigh(g[1:, 1:])
    if values[0] <= _COLLINEAR:
        # The direction without variance: predictors with a share in it follow from each other,
        # those with none are innocent.
        involved = [n for n, v in zip(names, vectors[:, 0], strict=True) if abs(v) > 1e-3]
        raise InputError(
            "expected predictors that do not follow from each other, but "
            f"{' and '.join(map(repr, involved))} are linearly dependent"
            f"{'' if block == 'all' else f' in block {block!r}'}. Leave one out."
        )


def _statistic(runs, sides: np.ndarray, method: str, models, to_parts: np.ndarray):
    """Return the statistic that is bootstrapped: adjusted R² of parts, then of models."""
    n_subjects = int((sides[0] > 0).sum())

    def statistic(counts: np.ndarray, ways) -> list[np.ndarray]:
        adjusted: list[np.ndarray] = [np.zeros(())] * len(ways)
        for run in runs:
            drawn = counts[:, run.members]
            correlations = _correlations(run.vectors, drawn, method)
            present = squareform((~run.missing).astype(np.float64))
            n_pairs = np.einsum("bi,bi->b", drawn @ present, drawn) / 2
            for i, way in enumerate(ways):
                weights = np.tile(sides, (len(way), 1, 1))
                weights[:, 0, :n_subjects] = way
                g = _standardised(correlations, weights)
                adjusted[i] = adjusted[i] + _adjusted(_r2(g, models), n_pairs, models) / len(runs)
        return [np.hstack([some @ to_parts.T, some]) for some in adjusted]

    return statistic


def _sides(vectors: np.ndarray, sides: np.ndarray, transform: str | None) -> np.ndarray:
    """Return data and predictors themselves: z-scored means of z-scores, (k, n_pairs)."""
    x = vectors if transform is None else average_ranks(vectors)
    x = x - x.mean(axis=1, keepdims=True)
    x = sides @ (x / x.std(axis=1, keepdims=True))
    return x / x.std(axis=1, keepdims=True)


_NOTHING = 1e-9  # share of a sum of squares: rounding


def _permutation(
    runs, sides, transform, n_permutations: int, orders: Draw, rng, groups: np.ndarray
) -> np.ndarray:
    """Return p of each unique part: residuals of the predictor are shuffled, names at a time."""
    n_predictors = len(sides) - 1
    fixed = [_sides(run.vectors, sides, transform) for run in runs]
    observed, extreme = np.zeros(n_predictors), np.zeros(n_predictors, int)
    tests = []
    for run, x in zip(runs, fixed, strict=True):
        of_run = []
        row, col = np.triu_indices(run.n_conditions, k=1)
        # Conditions of a group (images of a person) are near each other in every RDM, and stay so
        # in every order: that is not what is tested.
        own_groups = groups[run.members]
        alike = (own_groups[row] == own_groups[col]).astype(float)
        alike -= alike.mean()
        for k in range(1, n_predictors + 1):
            # Only what the other predictors leave of this one is shuffled (double semipartialing):
            # shuffling the predictor itself would also undo what it shares with the others.
            basis = np.linalg.qr(np.delete(x, [0, k], axis=0).T)[0].T
            own, beyond = (v - basis.T @ (basis @ v) for v in (x[k], alike))
            size = beyond @ beyond
            # Neither what others hold already, nor if this predictor tells nothing else.
            if size > _NOTHING * (alike @ alike):
                left = own - beyond * (own @ beyond / size)
                if left @ left > _NOTHING * (own @ own):
                    basis, own = np.vstack([basis, beyond / np.sqrt(size)]), left
            rest = x[0] - basis.T @ (basis @ x[0])
            of_run.append((own, np.vstack([rest, basis])))
            observed[k - 1] += (own @ rest) ** 2 / (own @ own) / x.shape[1]
        tests.append(of_run)
    step = int(np.clip(_MEMORY // (16 * max(run.n_pairs for run in runs)), 1, _PERMUTED))
    for start in range(0, n_permutations, step):
        n = min(step, n_permutations - start)
        shuffled = np.zeros((n, n_predictors))
        everywhere = orders(rng, n)
        for run, of_run in zip(runs, tests, strict=True):
            row, col = np.triu_indices(run.n_conditions, k=1)
            order = np.searchsorted(run.members, everywhere[:, run.members])
            pairs = pair_index(order[:, row], order[:, col], run.n_conditions)
            for k, (own, against) in enumerate(of_run):
                products = own[pairs] @ against.T
                length = own @ own - (products[:, 1:] ** 2).sum(axis=1)
                shuffled[:, k] += products[:, 0] ** 2 / length / run.n_pairs
        extreme += reached(shuffled, observed).sum(axis=0)
    return share(extreme, n_permutations, observed)
