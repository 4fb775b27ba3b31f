"""Similarities and ceilings within runs: pairs of conditions of different runs are never used."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rsa_faces.comparison import Method
from rsa_faces.inference._design import Units
from rsa_faces.inference._pooled import subject_ceilings
from rsa_faces.inference._weighted import weighted_similarities
from rsa_faces.rdm._rdms import pair_index


def pairs_of(conditions: np.ndarray, n_conditions: int) -> np.ndarray:
    """Return the positions of the pairs among some conditions, in the order of those."""
    row, col = np.triu_indices(len(conditions), k=1)
    return pair_index(conditions[row], conditions[col], n_conditions)


def similarities_within(
    model: np.ndarray,
    data: np.ndarray,
    counts: np.ndarray,
    method: str | Method,
    units: Units,
    given: np.ndarray | None = None,
    evidence: np.ndarray | None = None,
) -> np.ndarray:
    """Return similarities of resampled RDMs, the mean over runs, (n_samples, n_model, n_data).

    As :func:`weighted_similarities` in each run. A run of which a data RDM has no pair at all is
    left out of the mean for that RDM.
    """
    if len(units.names) == 1:
        return weighted_similarities(model, data, counts, method, given, evidence)

    def in_run(pairs: np.ndarray, drawn: np.ndarray, rows: np.ndarray) -> np.ndarray:
        fixed = None if given is None else given[:, pairs]
        own = None if evidence is None else evidence[rows][:, pairs]
        here = model[:, pairs], data[rows][:, pairs]
        return weighted_similarities(*here, drawn, method, fixed, own)

    return _mean_over_runs(in_run, data, counts, units, (len(model),))


def ceilings_within(
    data: np.ndarray,
    counts: np.ndarray,
    method: str | Method,
    units: Units,
    given: np.ndarray | None = None,
    evidence: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return each subject's share in the lower and upper ceiling, the mean over runs.

    As :func:`subject_ceilings` in each run, among the subjects that have it.
    """
    if len(units.names) == 1:
        return subject_ceilings(data, counts, method, given, evidence)

    def in_run(pairs: np.ndarray, drawn: np.ndarray, rows: np.ndarray) -> np.ndarray:
        fixed = None if given is None else given[:, pairs]
        own = None if evidence is None else evidence[rows][:, pairs]
        bounds = subject_ceilings(data[rows][:, pairs], drawn, method, fixed, own)
        return np.stack(bounds, axis=1)

    # A subject alone in a run has nobody to agree with there.
    fewest = min(2, len(data))
    bounds = _mean_over_runs(in_run, data, counts, units, (2,), fewest=fewest)
    return bounds[:, 0], bounds[:, 1]


def _mean_over_runs(
    in_run: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    data: np.ndarray,
    counts: np.ndarray,
    units: Units,
    shape: Sequence[int],
    *,
    fewest: int = 1,
) -> np.ndarray:
    """Return the mean over runs of ``in_run(pairs, counts, rows)``, (n_samples, *shape, n_data)."""
    total = np.zeros((len(counts), *shape, len(data)))
    n_runs = np.zeros(len(data))
    for run in units.runs:
        pairs = pairs_of(run, counts.shape[1])
        rows = np.flatnonzero(~np.isnan(data[:, pairs]).all(axis=1))
        if len(rows) >= fewest:
            total[..., rows] += in_run(pairs, counts[:, run], rows)
            n_runs[rows] += 1
    with np.errstate(invalid="ignore"):
        return total / n_runs
