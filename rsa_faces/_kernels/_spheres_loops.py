"""Compiled inner loops of the searchlight: from the channels of each centre to its RDM.

They release the interpreter lock and use one thread; callers run them side by side. An RDM depends
on the channels of its centre only, not on the centres it is computed with.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from rsa_faces._kernels.spheres import (
    CORRELATION,
    COSINE,
    CROSSNOBIS,
    EUCLIDEAN,
    FEW,
    FINE,
    LEDOIT_WOLF,
    MAHALANOBIS,
    NO_NOISE,
    POISSON,
    UNDEFINED,
)

# As in rsa_faces.rdm.measures: below this share distances have lost half of their digits to
# cancellation, and are computed again from the difference of the two patterns.
_CANCELLED = 1e-8


@njit(nogil=True, cache=True, error_model="numpy")
def fill_rdms(
    patterns,
    usable,
    indptr,
    indices,
    kind,
    min_channels,
    noise,
    residuals,
    bounds,
    freedom,
    inflation,
    vectors,
    n_used,
    state,
):
    """Fill the RDM of each centre.

    Parameters
    ----------
    patterns : ndarray, shape (n_folds, n_channels, n_conditions)
        Without the mean pattern for the Euclidean kinds; rates and their logarithms for POISSON;
        one fold otherwise.
    usable : ndarray of bool, shape (n_channels,)
        Channels that are not left out.
    indptr, indices : ndarray of int
        Channels of each centre, as in a csr_array.
    kind, noise : int
        Measure and estimator of the noise: constants of `spheres`.
    min_channels : int
        With fewer usable channels there is no RDM.
    residuals : ndarray, shape (n_channels, n_residuals)
        For noise covariances.
    bounds : ndarray of int, shape (n_covariances + 1,)
        Residuals from one of these to the next make a covariance: one of all folds, or one of
        each; then a pair of folds uses the mean of its two.
    freedom, inflation : ndarray, shape (n_covariances,)
        See :class:`rsa_faces.rdm.noise.Freedom`.
    vectors : ndarray, shape (n_centers, n_pairs)
        Filled in; NaN where undefined.
    n_used : ndarray of int, shape (n_centers,)
        Filled in: usable channels.
    state : ndarray of int8, shape (n_centers,)
        Filled in: FINE, FEW or UNDEFINED.
    """
    n_folds, _, n_conditions = patterns.shape
    largest = 0
    for c in range(len(indptr) - 1):
        largest = max(largest, indptr[c + 1] - indptr[c])
    used = np.empty(largest, np.int32)
    rows = np.empty((n_folds * largest, n_conditions))
    total = np.empty((largest if kind == CROSSNOBIS else 1, n_conditions))
    gram = np.empty((n_conditions, n_conditions))
    other = np.empty((n_conditions, n_conditions))
    scale = np.empty(n_conditions)
    for c in range(len(indptr) - 1):
        n = 0
        for i in range(indptr[c], indptr[c + 1]):
            used[n] = indices[i]
            n += usable[indices[i]]
        n_used[c] = n
        state[c] = FINE
        out = vectors[c]
        if n < min_channels:
            state[c] = FEW
            out[:] = np.nan
            continue
        here = rows[: n_folds * n]
        for f in range(n_folds):
            for v in range(n):
                here[f * n + v] = patterns[f, used[v]]
        if noise != NO_NOISE:
            n_covariances = len(freedom)
            covariances = np.empty((n_covariances, n, n))
            for k in range(n_covariances):
                gathered = np.empty((n, bounds[k + 1] - bounds[k]))
                for v in range(n):
                    gathered[v] = residuals[used[v], bounds[k] : bounds[k + 1]]
                if noise == LEDOIT_WOLF:
                    covariances[k] = _ledoit_wolf(gathered, freedom[k], inflation[k])
                else:
                    covariances[k] = _schaefer_strimmer(gathered, freedom[k], inflation[k])
            if n_covariances > 1:
                if not _cross_folds(here, covariances, gram, other, out):
                    state[c] = UNDEFINED
                    out[:] = np.nan
                continue
            if not _whiten(here, covariances[0]):
                state[c] = UNDEFINED
                out[:] = np.nan
                continue
        if kind == POISSON:
            np.dot(here[:n].T, here[n:], gram)
            _symmetric(gram, out)
            for p in range(len(out)):
                out[p] = max(out[p], 0.0) / n
        elif kind == CROSSNOBIS:
            together = total[:n]
            together[:] = here[:n]
            for f in range(1, n_folds):
                for v in range(n):
                    together[v] += here[f * n + v]
            np.dot(together.T, together, gram)
            np.dot(here.T, here, other)
            for i in range(n_conditions):
                for j in range(n_conditions):
                    gram[i, j] -= other[i, j]
            _symmetric(gram, out)
            for p in range(len(out)):
                out[p] /= n_folds * (n_folds - 1) * n
        elif kind in (CORRELATION, COSINE):
            if kind == CORRELATION:
                _centre(here, scale)
            np.dot(here.T, here, gram)
            n_undefined = 0
            for k in range(n_conditions):
                norm = gram[k, k]
                # Rounding of the mean, or a pattern that varies very little?
                doubtful = kind == CORRELATION and norm <= 1e-18 * n * scale[k] * scale[k]
                if doubtful and _n_equal(patterns[0], used[:n], k) == n:
                    norm = 0.0
                scale[k] = 1.0 / np.sqrt(norm) if norm > 0 else np.nan
                n_undefined += not norm > 0
            if n_undefined > 0:
                state[c] = UNDEFINED
            _angles(gram, scale, here, out)
        else:
            np.dot(here.T, here, gram)
            _squared(gram, here, out)
            if kind == EUCLIDEAN:
                for p in range(len(out)):
                    out[p] = np.sqrt(out[p])
            elif kind == MAHALANOBIS:
                for p in range(len(out)):
                    out[p] /= n


@njit(nogil=True, cache=True, error_model="numpy")
def _centre(rows, mean):
    """Take the mean over channels out of each condition; keep it in `mean`."""
    n, n_conditions = rows.shape
    mean[:] = 0.0
    for v in range(n):
        for k in range(n_conditions):
            mean[k] += rows[v, k]
    for k in range(n_conditions):
        mean[k] /= n
    for v in range(n):
        for k in range(n_conditions):
            rows[v, k] -= mean[k]


@njit(nogil=True, cache=True)
def _n_equal(patterns, used, k):
    """Return in how many of the channels used a condition has the value of the first."""
    n_equal = 0
    for v in used:
        n_equal += patterns[v, k] == patterns[used[0], k]
    return n_equal


@njit(nogil=True, cache=True)
def _symmetric(gram, out):
    """Fill g_ii + g_jj − g_ij − g_ji."""
    n = len(gram)
    p = 0
    for i in range(n):
        for j in range(i + 1, n):
            out[p] = gram[i, i] + gram[j, j] - gram[i, j] - gram[j, i]
            p += 1


@njit(nogil=True, cache=True)
def _squared(gram, rows, out):
    """Fill squared distances; those of the nearest pairs from their difference."""
    n = len(gram)
    norms = np.diag(gram).copy()
    near = 0
    p = 0
    for i in range(n):
        for j in range(i + 1, n):
            squares = norms[i] + norms[j]
            squared = squares - 2.0 * gram[i, j]
            out[p] = squared
            near += squared <= _CANCELLED * squares
            p += 1
    if near == 0:
        return
    p = 0
    for i in range(n):
        for j in range(i + 1, n):
            if out[p] <= _CANCELLED * (norms[i] + norms[j]):
                total = 0.0
                for v in range(len(rows)):
                    difference = rows[v, i] - rows[v, j]
                    total += difference * difference
                out[p] = total
            p += 1


@njit(nogil=True, cache=True)
def _angles(gram, scale, rows, out):
    """Fill 1 − cosine, at most 2; of the nearest pairs from the difference of unit patterns."""
    n = len(gram)
    near = 0
    p = 0
    for i in range(n):
        for j in range(i + 1, n):
            distance = 1.0 - gram[i, j] * (scale[i] * scale[j])
            out[p] = 2.0 if distance > 2.0 else distance
            near += distance <= _CANCELLED
            p += 1
    if near == 0:
        return
    p = 0
    for i in range(n):
        for j in range(i + 1, n):
            if out[p] <= _CANCELLED:
                total = 0.0
                for v in range(len(rows)):
                    difference = rows[v, i] * scale[i] - rows[v, j] * scale[j]
                    total += difference * difference
                out[p] = total / 2.0
            p += 1


@njit(nogil=True, cache=True, error_model="numpy")
def _cross_folds(rows, covariances, gram, other, out):
    """Fill crossnobis with a covariance per fold; return False if one has no inverse."""
    n_folds, n = len(covariances), covariances.shape[1]
    gram[:] = 0.0
    both = np.empty((2 * n, rows.shape[1]))
    for a in range(n_folds):
        for b in range(a + 1, n_folds):
            both[:n] = rows[a * n : (a + 1) * n]
            both[n:] = rows[b * n : (b + 1) * n]
            if not _whiten(both, (covariances[a] + covariances[b]) / 2):
                return False
            np.dot(both[:n].T, both[n:], other)
            gram += other
    _symmetric(gram, out)
    for p in range(len(out)):
        out[p] *= 2.0 / (n_folds * (n_folds - 1) * n)
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def _whiten(rows, covariance):
    """Turn the patterns of each fold into C⁻¹ b with C Cᵀ = Σ; return False if Σ has no inverse."""
    n = len(covariance)
    # Σ = Uᵀ U, row by row of U.
    for k in range(n):
        if not covariance[k, k] > 0:
            return False
        root = np.sqrt(covariance[k, k])
        for j in range(k, n):
            covariance[k, j] /= root
        for i in range(k + 1, n):
            factor = covariance[k, i]
            for j in range(i, n):
                covariance[i, j] -= factor * covariance[k, j]
    for f in range(len(rows) // n):
        part = rows[f * n : (f + 1) * n]
        for k in range(n):
            for j in range(part.shape[1]):
                part[k, j] /= covariance[k, k]
            for i in range(k + 1, n):
                factor = covariance[k, i]
                for j in range(part.shape[1]):
                    part[i, j] -= factor * part[k, j]
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def _ledoit_wolf(residuals, freedom, inflation):
    """Return what rsa_faces.rdm.noise does; residuals (n_channels, n_residuals)."""
    n = len(residuals)
    sample = np.dot(residuals, residuals.T) / freedom
    target = np.trace(sample) / n
    squares = np.sum(sample * sample)
    spread = squares - n * target**2
    fourth = inflation * np.sum(np.sum(residuals * residuals, axis=0) ** 2)
    error = (fourth / freedom - squares) / freedom
    shrinkage = 1.0 if spread <= 0 else min(max(error / spread, 0.0), 1.0)
    sample *= 1.0 - shrinkage
    for k in range(n):
        sample[k, k] += shrinkage * target
    return sample


@njit(nogil=True, cache=True, error_model="numpy")
def _schaefer_strimmer(residuals, freedom, inflation):
    """Return what rsa_faces.rdm.noise does; residuals (n_channels, n_residuals)."""
    n = len(residuals)
    sample = np.dot(residuals, residuals.T) / freedom
    scale = np.sqrt(np.diag(sample))
    squared = (residuals / scale.reshape(n, 1)) ** 2
    fourth = np.dot(squared, squared.T)
    total = 0.0
    error = 0.0
    for i in range(n):
        for j in range(n):
            if i != j:
                correlation = sample[i, j] / (scale[i] * scale[j])
                total += correlation**2
                error += (inflation * fourth[i, j] / freedom - correlation**2) / freedom
    shrinkage = 1.0 if total <= 0 else min(max(error / total, 0.0), 1.0)
    for i in range(n):
        for j in range(n):
            if i != j:
                sample[i, j] *= 1.0 - shrinkage
    return sample
