"""Ranks and Kendall's sums of many RDM vectors at once."""

from __future__ import annotations

import numpy as np

_CHUNK_BYTES = 64 * 2**20
_SMALL = 32


def average_ranks(vectors: np.ndarray) -> np.ndarray:
    """Rank each row from 1; equal values share the mean of their ranks.

    Parameters
    ----------
    vectors : ndarray, shape (n_rows, n_pairs)
        Without NaN.

    Returns
    -------
    ndarray, shape (n_rows, n_pairs)
    """
    n_rows, n_pairs = vectors.shape
    ranks = np.empty((n_rows, n_pairs))
    order = np.argsort(vectors, axis=1, kind="stable")
    position = np.arange(n_pairs)
    for row, index, out in zip(vectors, order, ranks, strict=True):
        sorted_row = row[index]
        first = np.concatenate([[True], sorted_row[1:] != sorted_row[:-1]])
        if first.all():
            out[index] = position + 1.0
            continue
        starts = np.flatnonzero(first)
        ends = np.append(starts[1:], n_pairs)
        out[index] = np.repeat((starts + ends + 1) / 2.0, ends - starts)
    return ranks


def dense_codes(vectors: np.ndarray) -> np.ndarray:
    """Return each row's values as integers 0, 1, … in their order; equal values share one."""
    return np.stack([np.unique(row, return_inverse=True)[1] for row in vectors]).astype(np.int64)


def tied_pairs(codes: np.ndarray) -> np.ndarray:
    """Count, in each row of codes, the pairs of entries that are equal."""
    counts = [np.bincount(row) for row in codes]
    return np.array([(c * (c - 1) // 2).sum() for c in counts], dtype=np.int64)


def kendall_sums(model: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Return concordant minus discordant pairs of entries for all pairs of rows.

    Parameters
    ----------
    model, data : ndarray of int, shape (n_model, n_pairs) and (n_data, n_pairs)
        Codes from :func:`dense_codes`.

    Returns
    -------
    ndarray of int, shape (n_model, n_data)

    Notes
    -----
    Knight's algorithm, O(n log n): order by the first vector (and within its ties by the second);
    the discordant pairs are the inversions left in the second.

    References
    ----------
    .. [1] Knight W. R. (1966). Journal of the American Statistical Association 61, 436-439.
       doi:10.1080/01621459.1966.10480879
    """
    n_pairs = model.shape[1]
    total = n_pairs * (n_pairs - 1) // 2
    tied_model, tied_data = tied_pairs(model), tied_pairs(data)
    step = max(1, _CHUNK_BYTES // (64 * n_pairs))
    sums = np.empty((len(model), len(data)), dtype=np.int64)
    for i, row in enumerate(model):
        order = np.argsort(row, kind="stable")
        for start in range(0, len(data), step):
            part = data[start : start + step]
            if tied_model[i]:
                joint = np.sort(row * n_pairs + part, axis=1)
                tied_both = _equal_neighbours(joint)
                ordered = joint % n_pairs
            else:
                tied_both = 0
                ordered = part[:, order]
            discordant = _inversions(ordered)
            sums[i, start : start + step] = (
                total - tied_model[i] - tied_data[start : start + step] + tied_both - 2 * discordant
            )
    return sums


def _equal_neighbours(ordered: np.ndarray) -> np.ndarray:
    """Count the equal pairs in each sorted row."""
    counts = np.zeros(len(ordered), dtype=np.int64)
    for i, row in enumerate(ordered):
        starts = np.flatnonzero(np.concatenate([[True], row[1:] != row[:-1], [True]]))
        lengths = np.diff(starts)
        counts[i] = (lengths * (lengths - 1) // 2).sum()
    return counts


def _inversions(rows: np.ndarray) -> np.ndarray:
    """Count pairs i < j with rows[:, i] > rows[:, j], merging sorted runs of doubling width."""
    n_rows, n = rows.shape
    width = _SMALL
    size = width
    while size < n:
        size *= 2
    # What fills up is larger than all and comes last: it takes part in no inversion.
    padded = np.full((n_rows, size), np.iinfo(np.int32).max, dtype=np.int32)
    padded[:, :n] = rows
    runs = padded.reshape(n_rows, -1, width)
    counts = np.zeros(n_rows, dtype=np.int64)
    for i in range(width - 1):
        counts += (runs[:, :, i, None] > runs[:, :, i + 1 :]).sum(axis=(1, 2))
    runs = np.sort(runs, axis=2)
    while width < size:
        pairs = runs.reshape(n_rows, -1, 2 * width)
        # Stable: an equal value of the left run stays before one of the right.
        order = np.argsort(pairs, axis=2, kind="stable")
        from_right = order >= width
        # Right entries sit at (number of left entries not larger) + (own place in the run).
        places = np.where(from_right, np.arange(2 * width), 0).sum(axis=2, dtype=np.int64)
        not_inverted = places - width * (width - 1) // 2
        counts += (width * width - not_inverted).sum(axis=1)
        runs = np.take_along_axis(pairs, order, axis=2)
        width *= 2
    return counts
