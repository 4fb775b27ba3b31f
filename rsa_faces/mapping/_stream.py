"""Blocks of centres in threads, and the similarity of their RDMs with all models at once.

Blocks are the same whatever the budget and the number of threads, so that results are, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np

from rsa_faces._core.checks import check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels, codes_of
from rsa_faces._core.progress import progress_bar
from rsa_faces._kernels.choice import n_threads, one_thread_each
from rsa_faces._kernels.spheres import FINE, UNDEFINED
from rsa_faces.brain.spheres import Discs, Spheres
from rsa_faces.comparison._compare import MIN_PAIRS, _with_missing
from rsa_faces.comparison._forms import bounded
from rsa_faces.comparison.methods import Method

# Values of a block: 2 MB, which stay in a core's cache from making RDMs to comparing them.
_BLOCK_VALUES = 2**18
_COPIES = 5  # arrays of the size of a block that are held at a time


class Similarities:
    """Similarities of RDMs with models that are prepared once.

    Parameters
    ----------
    models : ndarray, shape (n_models, n_pairs)
        NaN is a pair not measured.
    method : Method
        A comparison method.
    """

    def __init__(self, models: np.ndarray, method: Method):
        self.models, self.method = models, method
        self.missing = np.isnan(models)
        masks, group = self.missing[:1], np.zeros(len(models), int)
        if self.missing.any():
            # Models that lack the same pairs are compared in one product.
            masks, group = np.unique(self.missing, axis=0, return_inverse=True)
        self.groups = []
        for i, mask in enumerate(masks):
            members, present = np.flatnonzero(group.ravel() == i), ~mask
            if present.sum() >= MIN_PAIRS:
                part = np.ascontiguousarray(models[members][:, present])
                if method.factors is not None:
                    part = np.ascontiguousarray(method.factors[0](part))
                self.groups.append((members, None if present.all() else present, part))

    def __call__(self, vectors: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Compare the RDMs of a block; NaN where there is no RDM.

        Parameters
        ----------
        vectors : ndarray, shape (n_centers, n_pairs)
            Rows that are not fine are overwritten.
        state : ndarray of int8, shape (n_centers,)

        Returns
        -------
        ndarray, shape (n_centers, n_models)
        """
        fine = state == FINE
        result = np.full((len(vectors), len(self.models)), np.nan)
        if (partly := state == UNDEFINED).any() and not self.method.whitened:
            rows = vectors[partly]
            result[partly] = _with_missing(
                self.models, rows, self.missing, np.isnan(rows), self.method
            ).T
        if fine.any():
            vectors[~fine] = 0.0
            for members, present, side in self.groups:
                part = vectors if present is None else vectors[:, present]
                if self.method.factors is None:
                    similarity = self.method(side, part[fine]).T
                else:
                    # All rows, also those without an RDM: the last digits of a product depend on
                    # its shape.
                    similarity = (self.method.factors[1](part) @ side.T)[fine]
                result[np.ix_(fine, members)] = similarity
        return bounded(result)


class WithinRuns:
    """The mean of :class:`Similarities` over runs, of the pairs within each.

    Parameters
    ----------
    models : ndarray, shape (n_models, n_pairs)
    method : Method
    pairs : sequence of ndarray, or of slice
        The pairs of each run.
    """

    def __init__(self, models: np.ndarray, method: Method, pairs: Sequence):
        self.runs = [(own, Similarities(models[:, own], method)) for own in pairs]

    def __call__(self, vectors: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Compare the RDMs of a block, as :class:`Similarities` does."""
        return np.mean([of_run(vectors[:, own], state) for own, of_run in self.runs], axis=0)


def pairs_within(blocks: Labels | None, conditions: Sequence[str]) -> list:
    """Return the pairs of each run; of all conditions without `blocks`."""
    n = len(conditions)
    if blocks is None:
        return [slice(None)]
    codes, names = codes_of(blocks, conditions, "block")
    row, col = np.triu_indices(n, k=1)
    pairs = [np.flatnonzero((codes[row] == r) & (codes[col] == r)) for r in range(len(names))]
    for name, own in zip(names, pairs, strict=True):
        if len(own) < MIN_PAIRS:
            raise InputError(f"expected at least 3 conditions in block {name!r}, got fewer.")
    return pairs


def block_size(n_pairs: int) -> int:
    """Return the number of centres whose RDMs are made together."""
    # By pairs alone, not by memory or threads: last digits of products go with the size of a block.
    return int(np.clip(_BLOCK_VALUES // n_pairs, 8, 64))


def n_workers(
    n_jobs: int | None,
    budget: int,
    shared: int,
    searchlights: Spheres | Discs,
    patterns,
    n_pairs: int,
    n_rdms: int = 1,
) -> int:
    """Return how many blocks the budget allows at a time, at most one per job."""
    n_jobs = n_threads() if n_jobs is None else check_count(n_jobs, what="n_jobs")
    n_folds, _, n_conditions = patterns.values.shape
    channels = searchlights.most
    # RDMs of a block with their copies, the voxels of a sphere in all folds, covariances.
    each = 8 * (
        (_COPIES + n_rdms) * block_size(n_pairs) * n_pairs
        + channels * ((n_folds + 1) * n_conditions + 2 * patterns.residuals.shape[1])
        + (4 + len(patterns.freedom)) * channels**2 * (patterns.noise is not None)
    )
    if budget < shared + each:
        raise InputError(
            f"expected a budget of at least {(shared + each) / 1e6:.4g} MB for these data and "
            f"models, got {budget / 1e6:.4g} MB."
        )
    return min(n_jobs, (budget - shared) // each)


def share_of(order: np.ndarray, share: tuple[int, int], size: int) -> np.ndarray:
    """Return a share of the centres: whole blocks, so that no number depends on the shares."""
    number, n_shares = share
    check_count(n_shares, what="number of shares")
    check_choice(str(number), [str(i) for i in range(n_shares)], what="share")
    per_share = -(-len(order) // (n_shares * size)) * size
    return order[number * per_share : (number + 1) * per_share]


def in_blocks(
    work: Callable[[np.ndarray], None],
    centers: np.ndarray,
    size: int,
    n_threads: int,
    progress: bool,
) -> None:
    """Call ``work(some)`` for all blocks of centres, side by side."""
    # Each block uses one thread: blocks are what goes side by side.
    with (
        one_thread_each(),
        progress_bar("searchlight", len(centers), show=progress) as tell,
        ThreadPoolExecutor(n_threads) as pool,
    ):
        starts = range(0, len(centers), size)
        blocks = [pool.submit(work, centers[start : start + size]) for start in starts]
        done = 0
        try:
            for block in as_completed(blocks):
                block.result()
                done += size
                tell(min(done, len(centers)))
        except BaseException:
            # Blocks that wait would run to their end before an error is seen.
            pool.shutdown(cancel_futures=True)
            raise
