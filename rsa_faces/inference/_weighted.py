"""Similarities of resampled RDMs, without resampling anything.

A bootstrap sample of conditions is a vector of counts c. Its RDM holds the pair (i, j) c_i c_j
times, and no pair of a condition with its own copy. Every sum over pairs is then a weighted sum
over the original pairs, and the average rank of a pair in the resampled vector follows from the
cumulative weights in one fixed order. All functions below take weights of shape (n_samples,
n_pairs) and give exactly what resampling and comparing would give.
"""

from __future__ import annotations

import numpy as np

from rsa_faces.comparison import Method, resolve
from rsa_faces.comparison._forms import pair_weights

# Samples handled together: as many as fit caches.
BLOCK, LINEAR_BLOCK = 32, 128


def weighted_similarities(
    model: np.ndarray,
    data: np.ndarray,
    counts: np.ndarray,
    method: str | Method,
    given: np.ndarray | None = None,
    evidence: np.ndarray | None = None,
) -> np.ndarray:
    """Return similarities of resampled RDMs, shape (n_samples, n_model, n_data).

    Parameters
    ----------
    model, data : ndarray, shape (n_model, n_pairs) and (n_data, n_pairs)
        NaN in `data` is a pair not measured.
    counts : ndarray, shape (n_samples, n_conditions)
        How often each condition is in each sample.
    method : str or Method
        A comparison method.
    given : ndarray, shape (n_given, n_pairs), optional
        RDMs to regress out of both sides; nothing may be missing then.
    evidence : ndarray, shape (n_data, n_pairs), optional
        How much each pair of each data RDM counts; 0 where it is missing.
    """
    method = resolve(method)
    if given is not None:
        beside = np.vstack([model, given]), np.vstack([data, given])
        correlations = weighted_similarities(*beside, counts, method)
        # `align_given` refused methods without a partial form.
        return method.partial(correlations, len(given))  # type: ignore[misc]
    # Evidence differs from subject to subject, and with it the weights: no product over all at
    # once.
    if evidence is not None:
        weights, filled = pair_weights(counts), np.where(evidence > 0, data, 0.0)
        each = [
            method.with_weights(model, filled[[j]], weights * own) for j, own in enumerate(evidence)
        ]
        return np.concatenate(each, axis=2)
    missing = np.isnan(data)
    if not missing.any():
        return method.with_counts(model, data, counts)
    weights = pair_weights(counts)
    similarity = np.empty((len(counts), len(model), len(data)))
    # Subjects who lack the same pairs share their weights.
    masks, group = np.unique(missing, axis=0, return_inverse=True)
    for i, mask in enumerate(masks):
        columns = np.flatnonzero(group == i)
        # A function of one's own has no form with weights, and needs none where each condition is
        # there once.
        if method.weighted is None and (counts == 1).all():
            similarity[:, :, columns] = method(model[:, ~mask], data[columns][:, ~mask])
            continue
        filled = np.where(mask, 0.0, data[columns])
        similarity[:, :, columns] = method.with_weights(model, filled, weights * ~mask)
    return similarity
