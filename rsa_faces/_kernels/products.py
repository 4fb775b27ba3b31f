"""One pass over channels: means of rows and the mean row are taken off."""

from __future__ import annotations

import numpy as np

from rsa_faces._kernels.choice import call

#: Values of an RDM's patterns up to which the plain form serves. By size alone: last digits differ.
PLAIN = 2**18


def take_means_of_rows(
    rows: np.ndarray,
    start: int,
    rest: np.ndarray,
    offsets: np.ndarray,
    total: np.ndarray,
    compiled: bool,
) -> None:
    """Write columns of rows without the mean of each row to `rest`, the means to `offsets`.

    Parameters
    ----------
    rows : ndarray, shape (n, any)
        The columns from `start` on, as many as fit.
    start : int
    rest : ndarray, shape (n, width)
    offsets : ndarray of float64, shape (n,)
    total : ndarray, shape (width,)
        What was written is added to it.
    compiled : bool
    """
    stop = start + rest.shape[1]
    if compiled:
        from rsa_faces._kernels import _products_loops as loops

        # For rows that lie one after the other in memory.
        if rows.dtype != rest.dtype or not rows.flags.c_contiguous:
            rows = np.ascontiguousarray(rows[:, start:stop], rest.dtype)
            start, stop = 0, stop - start
        call(loops.take_means_of_rows, rows, start, stop, rest, offsets, total)
        return
    rows = rows[:, start:stop]
    offsets[:] = np.add.reduce(rows, axis=1, dtype=np.float64) / rows.shape[1]
    # In float64: a mean rounded to float32 would leave its error in every channel alike.
    np.subtract(rows, offsets[:, None], out=rest, casting="unsafe")
    # Row after row, so that rows in several arrays give the same.
    if rest.shape[1] > 1 and not total.any():
        np.add.reduce(rest, axis=0, out=total)
        return
    for row in rest:
        total += row


def take_mean_row(rest: np.ndarray, mean: np.ndarray, toward: np.ndarray, compiled: bool) -> None:
    """Take `mean` off each row of `rest`; add what is left, times `mean`, to `toward`.

    Parameters
    ----------
    rest : ndarray, shape (n, width)
    mean : ndarray, shape (width,)
    toward : ndarray of float64, shape (n,)
    compiled : bool
    """
    if compiled:
        from rsa_faces._kernels import _products_loops as loops

        call(loops.take_mean_row, rest, mean, toward)
        return
    rest -= mean
    toward += rest @ mean
