"""Compiled inner loops: errors, predictions and scores of permuted labels."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def left_out_errors(errors, labels):
    """Return squared errors of one-hot targets: sums of `errors` over pairs of the same class.

    errors (n, n, n_strengths), labels (n_permutations, n): result (n_permutations, n_strengths).
    """
    n_strengths = errors.shape[2]
    n = labels.shape[1]
    out = np.zeros((len(labels), n_strengths))
    for p in range(len(labels)):
        lab = labels[p]
        for i in range(n):
            for k in range(n_strengths):
                out[p, k] += errors[i, i, k]
            for j in range(i):
                if lab[i] == lab[j]:
                    for k in range(n_strengths):
                        out[p, k] += 2 * errors[i, j, k]
    return out


@njit(nogil=True, cache=True)
def predicted_classes(smoother, labels, chosen, n_classes):
    """Return the class of the largest score, (n_permutations, n_test); the first of equal ones.

    smoother (n_strengths, n_test, n_train), labels (n_permutations, n_train) of the training
    conditions, chosen (n_permutations,).
    """
    n_test, n_train = smoother.shape[1:]
    out = np.empty((len(labels), n_test), dtype=np.int64)
    scores = np.empty(n_classes)
    for p in range(len(labels)):
        lab = labels[p]
        for t in range(n_test):
            scores[:] = 0.0
            row = smoother[chosen[p], t]
            for i in range(n_train):
                scores[lab[i]] += row[i]
            out[p, t] = np.argmax(scores)
    return out


@njit(nogil=True, cache=True)
def accuracies(predicted, labels, n_classes):
    """Return accuracy and balanced accuracy of each permutation, (n_permutations, 2)."""
    n_permutations, n = labels.shape
    out = np.empty((n_permutations, 2))
    counts = np.empty(n_classes)
    hits = np.empty(n_classes)
    for p in range(n_permutations):
        counts[:] = 0.0
        hits[:] = 0.0
        for i in range(n):
            counts[labels[p, i]] += 1
            if predicted[p, i] == labels[p, i]:
                hits[labels[p, i]] += 1
        present = counts > 0
        out[p, 0] = hits.sum() / n
        out[p, 1] = (hits[present] / counts[present]).mean()
    return out
