"""Bootstrap of subjects and conditions: samples as counts, variances, dual correction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from rsa_faces.comparison import Method, resolve
from rsa_faces.inference._pooled import subject_ceilings
from rsa_faces.inference._weighted import BLOCK, LINEAR_BLOCK, weighted_similarities

_MEMORY = 256 * 2**20


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Bootstrap distribution of mean similarities and noise ceilings.

    Parameters
    ----------
    subjects, conditions, both : ndarray, shape (n_boot, n_model + 2), or None
        One row per sample: the mean similarity of each model, then the lower and upper ceiling,
        when subjects, conditions, or both were drawn. None where that was not asked for.
    """

    subjects: np.ndarray | None
    conditions: np.ndarray | None
    both: np.ndarray | None


def draw_counts(
    rng: np.random.Generator,
    n_boot: int,
    groups: Sequence[int] | np.ndarray,
    *,
    min_distinct: int = 1,
) -> np.ndarray:
    """Draw bootstrap samples as counts.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    n_boot : int
        Number of samples.
    groups : array_like of int, shape (n_items,)
        Group of each item, from 0; whole groups are drawn, as many as there are.
    min_distinct : int, default 1
        Samples with fewer distinct groups, or with half of the draws in one group, are drawn
        again when this is above 1: nothing can be compared in them.

    Returns
    -------
    ndarray of float, shape (n_boot, n_items)
        How often each item is in each sample.
    """
    groups = np.asarray(groups)
    n_groups = int(groups.max()) + 1
    counts = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n_boot)
    if min_distinct > 1:
        while True:
            poor = ((counts > 0).sum(axis=1) < min_distinct) | (2 * counts.max(axis=1) >= n_groups)
            if not poor.any():
                break
            counts[poor] = rng.multinomial(
                n_groups, np.full(n_groups, 1 / n_groups), size=int(poor.sum())
            )
    return counts[:, groups].astype(np.float64)


def bootstrap_means(
    model: np.ndarray,
    data: np.ndarray,
    method: str | Method,
    *,
    subject_counts: np.ndarray | None,
    condition_counts: np.ndarray | None,
    given: np.ndarray | None = None,
    ceilings: bool = True,
) -> Bootstrap:
    """Return mean similarities and ceilings of every bootstrap sample.

    Parameters
    ----------
    model : ndarray, shape (n_model, n_pairs)
    data : ndarray, shape (n_subjects, n_pairs)
        NaN is a pair not measured.
    method : str
        A comparison method.
    subject_counts : ndarray, shape (n_boot, n_subjects), or None
    condition_counts : ndarray, shape (n_boot, n_conditions), or None
        As drawn by :func:`draw_counts`. With both, all three distributions are returned, with
        the same draws.
    given : ndarray, shape (n_given, n_pairs), optional
        RDMs to regress out.
    ceilings : bool, default True
        Without, the columns of the ceilings are NaN, and much time is saved.

    Returns
    -------
    Bootstrap

    Notes
    -----
    The ceilings of a sample of subjects are those of the subjects drawn, each compared with the
    pool of the observed subjects. Were the pool drawn too, it would hold fewer different subjects
    than the data, and the error of the ceiling would come out twice as large as it is.
    """
    n_subjects, n_pairs = data.shape
    n_conditions = round((1 + np.sqrt(1 + 8 * n_pairs)) / 2)
    method = resolve(method)
    most = LINEAR_BLOCK if method.linear and not method.whitened else BLOCK
    # Methods that rank go sample by sample, the others hold a weighted copy of all data for each.
    # The block depends on the data alone: the same numbers on every machine.
    size = n_pairs if method.uses_ranks and not np.isnan(data).any() else data.size
    block = int(np.clip(_MEMORY // (8 * size), 1, most))

    def columns(drawn: np.ndarray) -> np.ndarray:
        """Return the similarities and ceilings of each subject, (n_samples, n_columns, n)."""
        similarity = weighted_similarities(model, data, drawn, method, given)
        if ceilings:
            bounds = subject_ceilings(data, drawn, method, given)
        else:
            bounds = (np.full((len(drawn), n_subjects), np.nan),) * 2
        return np.concatenate([similarity, *(b[:, None] for b in bounds)], axis=1)

    subjects = conditions = both = None
    if subject_counts is not None:
        subjects = _mean_similarity(columns(np.ones((1, n_conditions))), subject_counts)
    if condition_counts is not None:

        def of_conditions(part: slice) -> np.ndarray:
            values = columns(condition_counts[part])
            drawn = [np.ones((len(values), n_subjects))]
            if subject_counts is not None:
                drawn.append(subject_counts[part])
            return np.stack([_mean_similarity(values, counts) for counts in drawn], axis=1)

        drawn = _in_blocks(of_conditions, len(condition_counts), block)
        conditions = drawn[:, 0]
        both = drawn[:, 1] if subject_counts is not None else None
    return Bootstrap(subjects, conditions, both)


@dataclass(frozen=True, eq=False)
class Estimate:
    """Similarities with what a bootstrap says of their errors.

    Parameters
    ----------
    similarity : ndarray, shape (n_model, n_subjects)
        Observed.
    variance : ndarray, shape (n_model + 2,)
        Corrected variances of the models' means, then of the lower and upper ceiling.
    difference_variance : ndarray, shape (n_model + 2, n_model + 2)
        The same of all differences.
    freedom : int
        Degrees of freedom of t-tests.
    samples : ndarray, shape (n_boot, n_model + 2)
        Bootstrap samples of what was drawn.
    """

    similarity: np.ndarray
    variance: np.ndarray
    difference_variance: np.ndarray
    freedom: int
    samples: np.ndarray


def bootstrap_estimate(
    model: np.ndarray,
    data: np.ndarray,
    *,
    method: str | Method,
    bootstrap: str,
    n_boot: int,
    rng: np.random.Generator,
    groups: np.ndarray,
    given: np.ndarray | None = None,
) -> Estimate:
    """Return observed similarities and their corrected bootstrap variances.

    Parameters
    ----------
    model, data : ndarray, shape (n_model, n_pairs) and (n_subjects, n_pairs)
    method, n_boot
        As for :func:`rsa_faces.evaluate`.
    bootstrap : {"both", "subjects", "conditions"}
        What is drawn.
    rng : numpy.random.Generator
        Source of the draws.
    groups : ndarray of int, shape (n_conditions,)
        Conditions that are drawn together, from 0.
    given : ndarray, shape (n_given, n_pairs), optional
        RDMs to regress out.

    Returns
    -------
    Estimate
    """
    n_subjects, n_groups = len(data), int(groups.max()) + 1
    similarity = weighted_similarities(model, data, np.ones((1, len(groups))), method, given)[0]
    # Conditions are drawn first: regions over the same conditions then share their samples.
    condition_counts = draw_counts(rng, n_boot, groups, min_distinct=3)
    subject_counts = draw_counts(rng, n_boot, np.arange(n_subjects))
    samples = bootstrap_means(
        model,
        data,
        method,
        subject_counts=None if bootstrap == "conditions" else subject_counts,
        condition_counts=None if bootstrap == "subjects" else condition_counts,
        given=given,
    )
    factors = {"subjects": n_subjects, "conditions": n_groups}
    if bootstrap == "both":
        variances = tuple(
            dual_variance(s, c, b, n_subjects, n_groups)
            for s, c, b in zip(
                *map(contrast_variances, (samples.subjects, samples.conditions, samples.both)),
                strict=True,
            )
        )
        freedom = min(factors.values()) - 1
    else:
        n = factors[bootstrap]
        variances = contrast_variances(getattr(samples, bootstrap))
        variances = tuple(v * n / (n - 1) for v in variances)
        freedom = n - 1
    return Estimate(similarity, *variances, freedom, getattr(samples, bootstrap))


def contrast_variances(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return variances of columns, (n,), and of all differences of two columns, (n, n).

    Samples in which a column is NaN are left out for that column.
    """
    defined = ~np.isnan(samples)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = np.where(defined, samples, 0).sum(axis=0) / defined.sum(axis=0)
        x = np.where(defined, samples - centre, 0.0)
        m = defined.astype(np.float64)
        n = m.T @ m
        sums, squares = x.T @ m, (x**2).T @ m
        total = squares + squares.T - 2 * x.T @ x - (sums - sums.T) ** 2 / n
        own = np.diagonal(squares) - np.diagonal(sums) ** 2 / np.diagonal(n)
        difference = np.maximum(total, 0.0) / (n - 1)
        return own / (np.diagonal(n) - 1), np.where(n > 1, difference, np.nan)


def dual_variance(
    subjects: np.ndarray, conditions: np.ndarray, both: np.ndarray, n_subjects: int, n_groups: int
) -> np.ndarray:
    """Combine the three bootstrap variances into the variance of the estimate.

    Parameters
    ----------
    subjects, conditions, both : ndarray
        Variances when subjects, conditions, or both are drawn.
    n_subjects, n_groups : int
        Numbers of subjects and of conditions (or groups of conditions) drawn.

    Returns
    -------
    ndarray
        n_s/(n_s−1) V_s + n_c/(n_c−1) V_c − n_s n_c/((n_s−1)(n_c−1)) (V_sc − V_s − V_c), at least
        either of the first two terms and at most V_sc.

    References
    ----------
    .. [1] Schütt H. H. et al. (2023). eLife 12, e82566. doi:10.7554/eLife.82566
    """
    of_subjects = n_subjects / (n_subjects - 1) * subjects
    of_conditions = n_groups / (n_groups - 1) * conditions
    factor = n_subjects * n_groups / ((n_subjects - 1) * (n_groups - 1))
    variance = of_subjects + of_conditions - factor * (both - subjects - conditions)
    return np.minimum(np.maximum(np.maximum(variance, of_subjects), of_conditions), both)


def _mean_similarity(similarity: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """Return the mean over drawn subjects, (n_samples, n_model)."""
    if not np.isnan(similarity).any():
        return np.einsum("bms,bs->bm", np.broadcast_to(
            similarity, (len(subjects), *similarity.shape[1:])), subjects
        ) / subjects.sum(axis=1, keepdims=True)  # fmt: skip
    used = np.where(subjects[:, None, :] > 0, similarity * subjects[:, None, :], 0.0)
    return used.sum(axis=2) / subjects.sum(axis=1, keepdims=True)


def _in_blocks(function: Callable[[slice], np.ndarray], n_boot: int, block: int) -> np.ndarray:
    """Return the rows of all blocks in order, computed side by side."""
    parts = [slice(start, start + block) for start in range(0, n_boot, block)]
    workers = max([pool["num_threads"] for pool in threadpool_info()], default=1)
    with threadpool_limits(limits=1), ThreadPoolExecutor(max_workers=workers) as executor:
        return np.concatenate(list(executor.map(function, parts)))
