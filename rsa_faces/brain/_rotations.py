"""Rotations of subjects' channels onto each other, of a region and of searchlights."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from rsa_faces._core.errors import InputError


def procrustes(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return orthogonal R that minimise ‖source R − target‖; what is free is nearest to I.

    `source` and `target` have shape (..., n_profiles, n_channels).
    """
    u, s, vt = np.linalg.svd(source.swapaxes(-1, -2) @ target)
    # With fewer profiles than channels some directions are not in the data: any rotation of them
    # fits as well, and the decomposition draws one at random.
    known = s > s[..., :1] * (s.shape[-1] * 1e-15)
    rotation = u @ vt
    open_ = ~known.all(axis=-1)
    if open_.any():
        u, vt, known = u[open_], vt[open_], known[open_]
        free = ~known
        # In the bases of the decomposition: 1 where known, the angles between the rests elsewhere.
        core = (u.swapaxes(-1, -2) @ vt.swapaxes(-1, -2)) * (
            free[..., :, None] & free[..., None, :]
        )
        core += known[..., None] * np.eye(known.shape[-1])
        left, _, right = np.linalg.svd(core)
        rotation[open_] = u @ (left @ right) @ vt
    return rotation


def rotations_of(profiles: np.ndarray, order: list[int], n_iterations: int) -> np.ndarray:
    """Return rotations of all subjects: (n_subjects, n_centers, n_channels, n_channels).

    `profiles` has shape (n_subjects, n_centers, n_profiles, n_channels).
    """
    aligned = np.empty_like(profiles)
    aligned[order[0]] = profiles[order[0]]
    total = profiles[order[0]].copy()
    for subject in order[1:]:
        # The sum, not the mean: rotations do not depend on the length of the template.
        aligned[subject] = profiles[subject] @ procrustes(profiles[subject], total)
        total += aligned[subject]
    for _ in range(n_iterations):
        # All against the same state: the result does not depend on the order of subjects.
        rotations = procrustes(profiles, total - aligned)
        aligned = profiles @ rotations
        total = aligned.sum(axis=0)
    return procrustes(profiles, np.broadcast_to(total, profiles.shape))


def lists_of(searchlights, arrays) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the channels of all searchlights, as in a csr_array; None without searchlights."""
    if searchlights is None:
        return None
    lengths = np.empty(searchlights.n_centers, np.int64)
    parts = []
    for centers, indptr, indices in searchlights.batches():
        lengths[centers] = np.diff(indptr)
        parts.append((centers, indptr, indices))
    start = np.concatenate([[0], np.cumsum(lengths)])
    channels = np.empty(start[-1], np.int32)
    for centers, indptr, indices in parts:
        n = np.diff(indptr)
        channels[np.repeat(start[centers] - indptr[:-1], n) + np.arange(len(indices))] = indices
    return start, channels


def batches(lists, per_center, budget: int):
    """Yield centres of equal size and their channels, (n_centers,) and (n_centers, n_channels).

    `per_center` gives the bytes that a centre of a number of channels needs.
    """
    start, channels = lists
    size = np.diff(start)
    # Decompositions of one size go through LAPACK together.
    for n_channels in np.unique(size):
        centers = np.flatnonzero(size == n_channels)
        count = max(1, int(budget // per_center(int(n_channels))))
        for first in range(0, len(centers), count):
            part = centers[first : first + count]
            yield part, channels[start[part][:, None] + np.arange(n_channels)]


def searchlight_matrices(profiles, lists, order, n_iterations, per_value, dtype, budget):
    """Return one sparse matrix per subject: the mean of the rotations of all searchlights."""
    start, channels = lists
    n_places = profiles.shape[2]
    member = sparse.csr_array(
        (np.ones(len(channels), bool), channels, start), shape=(len(start) - 1, n_places)
    )
    pattern = sparse.csr_array(member.T @ member)
    pattern.sort_indices()
    keys = np.repeat(np.arange(n_places), np.diff(pattern.indptr)) * n_places + pattern.indices
    needed = len(profiles) * len(keys) * dtype.itemsize
    if needed > budget:
        raise InputError(
            f"expected sparse matrices within the budget of {budget / 1e9:.2g} GB, but "
            f"{len(profiles)} subjects need {needed / 1e9:.2g} GB. Use a smaller radius, "
            "dtype='float32', or a larger budget."
        )
    values = np.zeros((len(profiles), len(keys)), dtype)
    n_profiles = profiles.shape[1]
    # At least what one searchlight may take, however little is left.
    work = max(budget - needed, 16 * 2**20)
    # A mean over the searchlights that hold a channel; a sum would be larger in the middle than at
    # the edge.
    weight = 1.0 / np.bincount(channels, minlength=n_places)
    for _, inside in batches(lists, lambda p: per_value * (4 * n_profiles * p + 7 * p * p), work):
        local = profiles[:, :, inside].transpose(0, 2, 1, 3)
        rotations = rotations_of(local, order, n_iterations) * weight[inside][:, None, :]
        place = inside.astype(np.int64)
        # Row and column as one number, sorted: all entries of all matrices are found in one search.
        where = np.searchsorted(keys, place[:, :, None] * n_places + place[:, None, :]).ravel()
        for subject, rotation in enumerate(rotations):
            np.add.at(values[subject], where, rotation.ravel().astype(dtype, copy=False))
    return [
        sparse.csr_array((v, pattern.indices, pattern.indptr), shape=(n_places, n_places))
        for v in values
    ]
