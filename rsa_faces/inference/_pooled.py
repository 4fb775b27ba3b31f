"""Noise ceilings of resampled RDMs: each subject with the pooled RDM of the others and of all.

As in `_weighted`, a resample of conditions is a vector of counts, and nothing is resampled.
"""

from __future__ import annotations

import numpy as np

from rsa_faces._kernels.kendall import kendall_sums
from rsa_faces._kernels.resampled import pooled_sums, resampled_ranks
from rsa_faces._kernels.sort import sort_rows
from rsa_faces.comparison import Method, resolve
from rsa_faces.comparison._forms import pair_weights
from rsa_faces.inference._weighted import weighted_similarities


def subject_ceilings(
    data: np.ndarray,
    counts: np.ndarray,
    method: str | Method,
    given: np.ndarray | None = None,
    evidence: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return each subject's share in the lower and upper noise ceiling of resampled data.

    Parameters
    ----------
    data : ndarray, shape (n_subjects, n_pairs)
        One RDM per subject; NaN is a pair not measured.
    counts : ndarray, shape (n_samples, n_conditions)
        How often each condition is in each sample.
    method : str or Method
        A comparison method.
    given : ndarray, shape (n_given, n_pairs), optional
        RDMs to regress out: the ceiling is that of what is left of each subject, scaled to the
        same variance and pooled as it is.

    evidence : ndarray, shape (n_subjects, n_pairs), optional
        How much each pair of each subject counts, in its similarity with the pools and in these;
        0 where it is missing.

    Returns
    -------
    lower, upper : ndarray, shape (n_samples, n_subjects)
        Similarity with the pooled others, NaN with one subject, and with everyone's pool.
    """
    method = resolve(method)
    complete = not np.isnan(data).any()
    if evidence is not None:
        lower, upper = _from_pools(data, counts, method, evidence)
    # From here on in order of cost: products, one sort per subject, pools of their own.
    elif given is not None or (complete and method.linear):
        lower, upper = _from_inner_products(data, counts, method, given)
    elif complete and method.uses_ranks and method.code is not None:
        lower, upper = _from_ranks(data, counts, method)
    else:
        lower, upper = _from_pools(data, counts, method)
    # With one subject nobody is left to pool.
    return (np.full_like(lower, np.nan) if len(data) == 1 else lower), upper


def _from_inner_products(data, counts, method: Method, given) -> tuple[np.ndarray, np.ndarray]:
    """Where the pool is a sum of scaled RDMs, their inner products tell all."""
    if given is None:
        between = scaled_products(data, method, counts)
    else:
        between = weighted_similarities(data, data, counts, method, given)
    own = np.einsum("bss->bs", between)
    to_all = between.sum(axis=2)
    norm = to_all.sum(axis=1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        upper = to_all / np.sqrt(own * norm)
        # |pool - s|² = |pool|² - 2 s·pool + |s|²: no pool of the others is ever formed.
        return (to_all - own) / np.sqrt(own * (norm - 2 * to_all + own)), upper


def scaled_products(data: np.ndarray, method: Method, counts: np.ndarray) -> np.ndarray:
    """Return inner products of RDMs as a linear method pools them, (n_samples, n, n)."""
    # Methods that pool so have inner products. Pools are of RDMs of the same length before they are
    # whitened.
    (between, _, _), (squares, _) = method.inner(data, data, counts)  # type: ignore[misc]
    scale = np.sqrt(squares)
    with np.errstate(divide="ignore", invalid="ignore"):
        return between / (scale[:, :, None] * scale[:, None, :])


def _from_ranks(data, counts, method) -> tuple[np.ndarray, np.ndarray]:
    """Where every subject has every pair: ranks of all subjects, and of sums of them, at once."""
    sides = sort_rows(data)
    sums = np.empty((2, 3, len(counts), len(data)))
    weights = pair_weights(counts)
    for b, w in enumerate(weights):
        ((ranks, squares),) = resampled_ranks([sides], w)
        drawn = w[w > 0]
        if method.factors is None:
            # Ranks are whole or half numbers: their sums in any order have the same ties.
            total = ranks.sum(axis=0)
            sums[0, :, b] = [
                part[0] for part in kendall_sums(ranks, total - ranks, drawn[None], paired=True)
            ]
            parts = kendall_sums(total[None], ranks, drawn[None])
            sums[1, 0, b], sums[1, 1, b], sums[1, 2, b] = parts[0][0, 0], parts[2][0], parts[1][0]
            continue
        sums[:, 0, b], sums[:, 2, b] = pooled_sums(ranks, drawn)
        sums[:, 1, b] = squares
    total = weights.sum(axis=1)[:, None]
    lower, upper = (method.weighted.keywords["finish"](*part, total) for part in sums)
    return lower, upper


def _from_pools(data, counts, method, evidence=None) -> tuple[np.ndarray, np.ndarray]:
    """Where pairs are missing: from the pooled RDMs themselves, over those that have each pair."""
    weights = pair_weights(counts)
    missing = np.isnan(data)
    present = np.where(missing, 0.0, 1.0 if evidence is None else evidence)
    filled = np.where(missing, 0.0, data)
    scaled = np.stack(
        [method.pooling(v, weights * p) * p for v, p in zip(filled, present, strict=True)],
        axis=1,
    )
    total, number = scaled.sum(axis=1), present.sum(axis=0)
    ceilings = np.full((2, len(counts), len(data)), np.nan)
    for s in range(len(data)):
        pools = (total - scaled[:, s], number - present[s]), (total, number)
        for which, (pool, count) in enumerate(pools):
            # Differences of evidence leave rounding where nobody else has a pair.
            some = count > 1e-9
            here = weights * present[s] * some
            pooled = np.divide(pool, count, out=np.zeros_like(pool), where=some)
            ceilings[which, :, s] = _one_to_one(filled[s], pooled, here, method)
    return ceilings[0], ceilings[1]


def _one_to_one(own: np.ndarray, pooled: np.ndarray, weights: np.ndarray, method: Method):
    """Return the similarity of one subject and each sample's pooled RDM, (n_samples,)."""
    if method.paired is not None:
        return method.paired(own, pooled, weights)
    if method.weighted is None and (weights == 1).all():
        return method(own[None], pooled)[0]
    return np.array(
        [
            method.with_weights(own[None], pool[None], w[None])[0, 0, 0]
            for pool, w in zip(pooled, weights, strict=True)
        ]
    )
