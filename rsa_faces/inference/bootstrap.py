"""Bootstrap of subjects and conditions: samples as counts, variances, dual correction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from rsa_faces._core.checks import as_rng
from rsa_faces._core.errors import InputError
from rsa_faces._core.numbers import mean_defined
from rsa_faces._kernels.choice import one_thread_each
from rsa_faces.comparison import Method, resolve
from rsa_faces.inference._design import Design, Units
from rsa_faces.inference._estimate import Estimate, of_differences
from rsa_faces.inference._jackknife import jackknifed_ceilings
from rsa_faces.inference._study import Study
from rsa_faces.inference._weighted import BLOCK, LINEAR_BLOCK

MEMORY = 256 * 2**20
#: Fewest distinct conditions of a sample in which RDMs can be compared: they have three pairs.
FEWEST = 3
# Rounds of drawing poor samples again: each leaves fewer, and where so many do not do, hardly any
# sample of these groups is fit.
_ATTEMPTS = 1000

Statistic = Callable[[np.ndarray, Sequence[np.ndarray]], list[np.ndarray]]


@dataclass(frozen=True, eq=False)
class Draws:
    """Bootstrap samples as counts.

    Parameters
    ----------
    subjects : ndarray, shape (n_boot, n_subjects), or None
    conditions : ndarray, shape (n_boot, n_conditions), or None
        How often each is in each sample; None where it is not drawn.
    n_subjects, n_conditions : int
    n_groups : float
        The number of groups of conditions that drawing them as often as they were, independently,
        would be right for: that of the groups; of one run, where conditions are drawn within runs;
        fewer, where samples that cannot be compared were drawn again.
    """

    subjects: np.ndarray | None
    conditions: np.ndarray | None
    n_subjects: int
    n_conditions: int
    n_groups: float


def draw(
    design: Design,
    units: Units,
    n_subjects: int,
    rng: np.random.Generator,
    *,
    fewest: int = 1,
    apart: int = FEWEST,
) -> Draws:
    """Draw the bootstrap samples of a design.

    Parameters
    ----------
    design : Design
    units : Units
        Of the conditions.
    n_subjects : int
    rng : numpy.random.Generator
        Conditions are drawn first: regions over the same conditions share their samples.
    fewest, apart : int
        As for :func:`draw_conditions`.

    Returns
    -------
    Draws
    """
    conditions = subjects = None
    n_groups = float(units.n_groups)
    if design.draws_conditions:
        conditions, spread = draw_conditions(rng, design.n_boot, units, fewest=fewest, apart=apart)
        # Counts of a plain multinomial vary by 1 - 1/n: this is the n of one whose counts vary as
        # these.
        n_groups = 1 / (1 - spread)
    if design.draws_subjects:
        subjects = draw_counts(rng, design.n_boot, np.arange(n_subjects))
    return Draws(subjects, conditions, n_subjects, len(units.groups), n_groups)


def draws_of(n: int, n_boot: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often each of n units (subjects, people) is in each sample, (n_boot, n)."""
    return rng.multinomial(n, np.full(n, 1 / n), size=n_boot)


def draw_counts(
    rng: np.random.Generator,
    n_boot: int,
    groups: Sequence[int] | np.ndarray,
    *,
    min_distinct: int = 1,
) -> np.ndarray:
    """Draw bootstrap samples of items in groups as counts.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    n_boot : int
        Number of samples.
    groups : array_like of int, shape (n_items,)
        Group of each item, from 0; whole groups are drawn, as many as there are.
    min_distinct : int, default 1
        Samples with fewer distinct groups are drawn again.

    Returns
    -------
    ndarray of float, shape (n_boot, n_items)
        How often each item is in each sample.
    """
    units = Units.of_groups(np.asarray(groups))
    return draw_conditions(rng, n_boot, units, fewest=min_distinct, apart=1)[0]


def draw_conditions(
    rng: np.random.Generator, n_boot: int, units: Units, *, fewest: int = 1, apart: int = FEWEST
) -> tuple[np.ndarray, float]:
    """Draw whole groups of conditions, within runs where every group is in one run.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_boot : int
        Number of samples.
    units : Units
        Groups and runs.
    fewest : int, default 1
        Samples with fewer distinct groups in a run are drawn again.
    apart : int, default 3
        So are samples with fewer distinct conditions in a run: no RDMs can be compared in them.

    Returns
    -------
    counts : ndarray of float, shape (n_boot, n_conditions)
        How often each condition is in each sample.
    spread : float
        Variance of the count of a group: 1 − 1/n for n groups, and less where samples were drawn
        again. A bootstrap variance divided by it is that of the estimate.

    Raises
    ------
    InputError
        If hardly any sample can be compared.
    """
    strata = units.strata
    members = [np.flatnonzero(strata == s) for s in range(int(strata.max()) + 1)]
    in_run = np.zeros((len(units.names), units.n_groups))
    np.add.at(in_run, (units.blocks, units.groups), 1)
    has_run = (in_run.T > 0).astype(float)

    def of_groups(n: int) -> np.ndarray:
        counts = np.empty((n, units.n_groups), np.int64)
        for own in members:
            # Counts are all that similarities need of a sample: no RDM is ever resampled.
            counts[:, own] = draws_of(len(own), n, rng)
        return counts

    def is_poor(counts: np.ndarray) -> np.ndarray:
        drawn = counts > 0
        few = (drawn @ has_run < fewest) | (drawn @ in_run.T < apart)
        return few.any(axis=1)

    counts = of_groups(n_boot)
    poor = is_poor(counts)
    again = bool(poor.any())
    # Only poor samples are drawn again, so that the others stay what the seed made them.
    for _ in range(_ATTEMPTS):
        if not poor.any():
            break
        counts[poor] = of_groups(int(poor.sum()))
        poor[poor] = is_poor(counts[poor])
    else:
        raise InputError(
            f"expected conditions of which samples can be compared, but of {len(strata)} groups in "
            f"{len(units.names)} runs hardly any sample holds {apart} different conditions in each "
            f"run, of {fewest} different groups. Use more, or generalise_to='subjects'."
        )
    sizes = np.bincount(strata)
    # Drawing again leaves out the most uneven samples: counts then vary less than a
    # multinomial's, and by how much is known only from the samples that were kept.
    spread = float(((counts - 1.0) ** 2).mean()) if again else float(1 - (1 / sizes[strata]).mean())
    return counts[:, units.groups].astype(np.float64), spread


def bootstrap_samples(statistic: Statistic, draws: Draws, block: int) -> dict[str, np.ndarray]:
    """Return a statistic in samples of subjects, of conditions, and of both.

    Parameters
    ----------
    statistic : callable
        From counts of conditions, (n or 1, n_conditions), and one or more arrays of counts of
        subjects, (n, n_subjects), to one array (n, n_columns) for each of these.
    draws : Draws
    block : int
        Samples of conditions handled together.

    Returns
    -------
    dict of str to ndarray, shape (n_boot, n_columns)
        "subjects", "conditions" and "both", as far as they are drawn.
    """
    samples = {}
    if draws.subjects is not None:
        once = np.ones((1, draws.n_conditions))
        (samples["subjects"],) = statistic(once, [draws.subjects])
    if (conditions := draws.conditions) is not None:

        def of_conditions(part: slice) -> np.ndarray:
            counts = conditions[part]
            # The same samples of conditions, once with all subjects and once with drawn ones:
            # what conditions do is then the same in both variances that are subtracted.
            ways = [np.ones((len(counts), draws.n_subjects))]
            if draws.subjects is not None:
                ways.append(draws.subjects[part])
            return np.stack(statistic(counts, ways), axis=1)

        drawn = in_blocks(of_conditions, len(conditions), block)
        samples["conditions"] = drawn[:, 0]
        if draws.subjects is not None:
            samples["both"] = drawn[:, 1]
    return samples


def corrected(
    variances: Mapping[str, Sequence[np.ndarray]], draws: Draws
) -> tuple[np.ndarray, ...]:
    """Return variances of estimates from those of bootstrap samples.

    Parameters
    ----------
    variances : dict of str to sequence of ndarray
        For each kind of samples, as :func:`bootstrap_samples` has them.
    draws : Draws

    Returns
    -------
    tuple of ndarray
        As many as each kind has. For one factor the variance times n / (n − 1).
    """
    if len(variances) == 3:
        kinds = (variances[kind] for kind in ("subjects", "conditions", "both"))
        return tuple(
            dual_variance(subjects, conditions, both, draws.n_subjects, draws.n_groups)
            for subjects, conditions, both in zip(*kinds, strict=True)
        )
    ((kind, parts),) = variances.items()
    n = draws.n_subjects if kind == "subjects" else draws.n_groups
    # A mean of n drawn with replacement varies by (n - 1)/n of what a mean of n new ones does.
    return tuple(part * n / (n - 1) for part in parts)


def estimate(study: Study, design: Design) -> Estimate:
    """Return observed similarities and the variances of their means, from bootstrap samples.

    Parameters
    ----------
    study : Study
    design : Design
        What is drawn, how often, from which seed.

    Returns
    -------
    Estimate

    Notes
    -----
    The ceilings of a sample of subjects are those of the subjects drawn, each compared with the
    pool of the observed subjects. Were the pool drawn too, it would hold fewer different subjects
    than the data, and the error of the ceiling would come out twice as large as it is. With the
    pool held fixed it comes out too small where subjects differ in strength (tests against the
    ceiling then rejected 10 to 24 % of models as good as it is): the share of the subjects in
    variances of the ceilings, and of differences to them, is that of a jackknife over subjects.
    """
    n_subjects = len(study.data)
    draws = draw(design, study.units, n_subjects, as_rng(design.seed))
    samples = bootstrap_samples(
        mean_similarities(study), draws, block_size(study.data, study.method)
    )
    parts = {k: contrast_variances(v) for k, v in samples.items()}
    similarity = study.similarities(study.once)[0]
    variance, of_differences = _with_jackknife(
        corrected(parts, draws),
        parts.get("subjects"),
        np.vstack([similarity, jackknifed_ceilings(study)]),
        n_subjects,
    )
    freedom = design.freedom(n_subjects, study.units)
    return Estimate(similarity, variance, of_differences, freedom, samples[design.generalise_to])


def _with_jackknife(
    variances: Sequence[np.ndarray],
    subjects: Sequence[np.ndarray] | None,
    values: np.ndarray,
    n_subjects: int,
) -> tuple[np.ndarray, ...]:
    """Return variances in which new subjects move the ceilings by way of the pools, too.

    `variances` and, of samples of subjects, `subjects` are those of columns and of differences;
    `values` (n_columns, n_subjects) are what each subject adds. Where a ceiling is one side, the
    share of the subjects is that of the jackknife instead of the bootstrap's.
    """
    if subjects is None or np.isnan(values[-2:]).any():
        return tuple(variances)
    covariance = np.atleast_2d(np.cov(values)) / n_subjects
    is_ceiling = np.arange(len(values)) >= len(values) - 2
    corrected_ = []
    for total, drawn, own, changed in zip(
        variances,
        subjects,
        (np.diagonal(covariance), of_differences(covariance)),
        (is_ceiling, is_ceiling | is_ceiling[:, None]),
        strict=True,
    ):
        # What the bootstrap gave for subjects goes out, what the jackknife gives comes in; what
        # is left for the conditions may come out below 0 by chance, but is none.
        drawn = drawn * n_subjects / (n_subjects - 1)
        corrected_.append(np.where(changed, np.maximum(total - drawn + own, own), total))
    return tuple(corrected_)


def mean_similarities(study: Study, *, ceilings: bool = True) -> Statistic:
    """Return the statistic of an evaluation: mean similarities, then the two ceilings."""

    def statistic(counts: np.ndarray, ways: Sequence[np.ndarray]) -> list[np.ndarray]:
        columns = study.similarities(counts)
        if ceilings:
            bounds = study.ceilings(counts).transpose(1, 0, 2)
            columns = np.concatenate([columns, bounds], axis=1)
        return [mean_over_subjects(columns, way) for way in ways]

    return statistic


def block_size(data: np.ndarray, method: str | Method) -> int:
    """Return how many samples are handled together.

    It depends on the data alone: the same numbers on every machine. Methods that rank go sample by
    sample, the others hold a weighted copy of all data for each.
    """
    method = resolve(method)
    most = LINEAR_BLOCK if method.linear and not method.whitened else BLOCK
    size = data.shape[1] if method.uses_ranks and not np.isnan(data).any() else data.size
    return int(np.clip(MEMORY // (8 * size), 1, most))


def contrast_variances(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return variances of columns, (n,), and of all differences of two columns, (n, n).

    Samples in which a column is NaN are left out for that column.
    """
    defined = ~np.isnan(samples)
    with np.errstate(invalid="ignore", divide="ignore"):
        x = np.where(defined, samples - mean_defined(samples), 0.0)
        m = defined.astype(np.float64)
        n = m.T @ m
        sums, squares = x.T @ m, (x**2).T @ m
        # Each pair of columns over the samples in which both are defined: one matrix product for
        # all pairs.
        total = squares + squares.T - 2 * x.T @ x - (sums - sums.T) ** 2 / n
        own = np.diagonal(squares) - np.diagonal(sums) ** 2 / np.diagonal(n)
        difference = np.maximum(total, 0.0) / (n - 1)
        return own / (np.diagonal(n) - 1), np.where(n > 1, difference, np.nan)


def column_variances(samples: np.ndarray) -> np.ndarray:
    """Return variances over the first axis, leaving out NaN; NaN where fewer than 2 are left."""
    defined = ~np.isnan(samples)
    n = defined.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        squares = np.where(defined, samples - mean_defined(samples), 0.0) ** 2
        return squares.sum(axis=0) / np.where(n > 1, n - 1, np.nan)


def dual_variance(
    subjects: np.ndarray,
    conditions: np.ndarray,
    both: np.ndarray,
    n_subjects: float,
    n_groups: float,
) -> np.ndarray:
    """Combine the three bootstrap variances into the variance of the estimate.

    Parameters
    ----------
    subjects, conditions, both : ndarray
        Variances when subjects, conditions, or both are drawn.
    n_subjects, n_groups : float
        Numbers of subjects and of conditions (or groups of conditions) drawn.

    Returns
    -------
    ndarray
        n_s/(n_s−1) V_s + n_c/(n_c−1) V_c − n_s n_c/((n_s−1)(n_c−1)) (V_sc − V_s − V_c), at most
        V_sc, and at least either of the first two terms: whoever generalises to both is never
        surer than who generalises to one.

    References
    ----------
    .. [1] Schütt H. H. et al. (2023). eLife 12, e82566. doi:10.7554/eLife.82566
    """
    of_subjects = n_subjects / (n_subjects - 1) * subjects
    of_conditions = n_groups / (n_groups - 1) * conditions
    # What both vary by beyond the two alone is their interaction, which holds both corrections at
    # once (Schütt et al. 2023).
    factor = n_subjects * n_groups / ((n_subjects - 1) * (n_groups - 1))
    variance = of_subjects + of_conditions - factor * (both - subjects - conditions)
    # In this order: by chance the difference may exceed the joint variance, or fall below what one
    # factor alone makes; whoever generalises further is not surer, so the floors come last.
    return np.maximum(np.maximum(np.minimum(variance, both), of_subjects), of_conditions)


def mean_over_subjects(similarity: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """Return the mean over drawn subjects, (n_samples, n_columns); NaN where one is undefined."""
    number = subjects.sum(axis=1, keepdims=True)
    # A drawn subject without a value makes the mean undefined; one who was not drawn must not, and
    # 0 times NaN would.
    if not np.isnan(similarity).any():
        shape = (len(subjects), *similarity.shape[1:])
        return np.einsum("bms,bs->bm", np.broadcast_to(similarity, shape), subjects) / number
    used = np.where(subjects[:, None, :] > 0, similarity * subjects[:, None, :], 0.0)
    return used.sum(axis=2) / number


def in_blocks(function: Callable[[slice], np.ndarray], n_boot: int, block: int) -> np.ndarray:
    """Return the rows of all blocks in order, computed side by side."""
    parts = [slice(start, start + block) for start in range(0, n_boot, block)]
    with one_thread_each() as workers, ThreadPoolExecutor(max_workers=workers) as executor:
        return np.concatenate(list(executor.map(function, parts)))
