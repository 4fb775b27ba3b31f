"""Reliability: how well RDMs of subjects (raters, brains, networks) agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_arguments, check_count, check_enough
from rsa_faces._core.labels import Labels
from rsa_faces._core.numbers import mean_correlation, spearman_brown
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces.comparison import Method, compare, resolve
from rsa_faces.inference._design import Design, Units
from rsa_faces.inference._study import pairs_of
from rsa_faces.inference._subjects import subject_means
from rsa_faces.rdm import RDMs
from rsa_faces.rdm._rdms import check_measured
from rsa_faces.rdm._ties import UNIT, settle


@dataclass(frozen=True, eq=False, repr=False)
class Alpha(BaseResult):
    """Cronbach's alpha of RDMs.

    Parameters
    ----------
    overall : float
        Over all pairs of conditions; NaN if some, of different blocks, are missing.
    by_block : mapping of block to float
        Over the pairs within each block; empty without blocks.
    mean : float
        Mean over blocks; NaN without blocks.
    n_subjects : int
        Number of subjects.

    See Also
    --------
    cronbach_alpha : Compute Cronbach's alpha over subjects.
    rsa_faces.noise_ceiling : Compute the noise ceiling of data RDMs.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> human_it = d92.rdms.sel(region="human IT")
    >>> rf.inference.cronbach_alpha(human_it).n_subjects
    4
    """

    overall: float
    by_block: Mapping[str, float]
    mean: float
    n_subjects: int

    @property
    def table(self) -> pd.DataFrame:
        """One row over all pairs, and one per block: block (None: all) and alpha."""
        rows = [(None, self.overall), *self.by_block.items()]
        return pd.DataFrame(rows, columns=["block", "alpha"])


@keep_warnings
def cronbach_alpha(data: RDMs, *, by: str = "subject", blocks: Labels | None = None) -> Alpha:
    """Compute Cronbach's alpha over subjects.

    Parameters
    ----------
    data : RDMs
        RDMs of at least 2 subjects, every pair measured (with `blocks`: every pair within a block;
        others may be NaN).
    by : str, default "subject"
        Label that tells subjects (raters, networks, …) apart; several RDMs of one are averaged.
    blocks : mapping or Series of condition to block, optional
        Runs in which conditions were shown or arranged together: alpha is also given for the
        pairs within each block, and as the mean over blocks [2]_.

    Returns
    -------
    Alpha
        n/(n−1) · (1 − Σ var(d_s) / var(Σ d_s)) over n subjects s [1]_: 1 if all agree, about 0 if
        nothing is shared; may be negative. Its square root bounds the correlation of a model with
        the subjects' mean.

    Raises
    ------
    InputError
        With fewer than 2 subjects, missing pairs, or a block of fewer than 3 conditions.

    See Also
    --------
    split_half : Compute split-half reliability over subjects.
    rsa_faces.noise_ceiling : Compute the noise ceiling of data RDMs.

    References
    ----------
    .. [1] Cronbach L. J. (1951). Psychometrika 16, 297-334. doi:10.1007/BF02310555
    .. [2] Jiahui G. et al. (2023). PNAS 120, e2304085120. doi:10.1073/pnas.2304085120

    Examples
    --------
    >>> import rsa_faces as rf
    >>> behaviour = rf.datasets.images92().rdms.sel(region="behaviour")
    >>> round(rf.inference.cronbach_alpha(behaviour).overall, 1)
    0.9
    """
    check_arguments(cronbach_alpha, locals())
    subjects = subject_means(data, by)
    units = Design(by=by, blocks=blocks).units(subjects.conditions)
    _check_complete(subjects, units)
    by_block = {}
    if blocks is not None:
        for name, run in zip(units.names, units.runs, strict=True):
            check_enough(len(run), 3, f"conditions in block {name!r}")
            by_block[name] = _alpha(subjects.vectors[:, pairs_of(run, subjects.n_conditions)])
    mean = float(np.mean(list(by_block.values()))) if by_block else np.nan
    return Alpha(_alpha(subjects.vectors), by_block, mean, len(subjects))


def split_half(
    data: RDMs,
    *,
    method: str | Method | Callable[..., np.ndarray] = "pearson",
    by: str = "subject",
    blocks: Labels | None = None,
    n_splits: int = 1000,
    seed: int = 0,
) -> float:
    """Compute split-half reliability over subjects.

    Parameters
    ----------
    data : RDMs
        RDMs of at least 2 subjects, every pair measured.
    method : str, Method or callable, default "pearson"
        How the mean RDMs of the halves are compared.
    by : str, default "subject"
        As in :func:`cronbach_alpha`.
    blocks : mapping or Series of condition to run, optional
        Halves are compared within each run, and similarities averaged over runs; pairs of
        conditions of different runs are not used and may be NaN.
    n_splits : int, default 1000
        Number of random halves.
    seed : int, default 0
        Of the halves.

    Returns
    -------
    float
        Spearman–Brown corrected similarity of the two halves, 2r / (1 + r), r the mean over splits
        by Fisher's z: the reliability of the mean over all subjects. It is a share of variance; its
        square root bounds a correlation. With an odd number of subjects one is left out of each
        split.

    Raises
    ------
    InputError
        With fewer than 2 subjects or missing pairs, or if similarities are not from -1 to 1.

    See Also
    --------
    cronbach_alpha : Compute Cronbach's alpha over subjects.
    rsa_faces.noise_ceiling : Compute the noise ceiling of data RDMs.

    Notes
    -----
    Splits are averaged before they are corrected, because 2r / (1 + r) of a split has no bound
    below: one with r near −1 would decide the mean.

    References
    ----------
    .. [1] Spearman C. (1910). British Journal of Psychology 3, 271-295.
       doi:10.1111/j.2044-8295.1910.tb00206.x

    Examples
    --------
    >>> import rsa_faces as rf
    >>> behaviour = rf.datasets.images92().rdms.sel(region="behaviour")
    >>> 0.9 < rf.inference.split_half(behaviour, n_splits=50) < 0.95
    True
    """
    check_arguments(split_half, locals())
    method = resolve(method)
    check_count(n_splits, what="n_splits")
    subjects = subject_means(data, by)
    units = Design(by=by, blocks=blocks).units(subjects.conditions)
    _check_complete(subjects, units)
    rng = as_rng(seed)
    half = len(subjects) // 2
    # Of an odd number one subject is left out of each split: halves of unlike size would need
    # another correction.
    order = np.argsort(rng.random((n_splits, len(subjects))), axis=1)
    weights = np.zeros((2, n_splits, len(subjects)))
    for which in range(2):
        taken = order[:, which * half : (which + 1) * half]
        np.put_along_axis(weights[which], taken, 1.0, axis=1)
    # Means that are equal must be: whole dissimilarities are summed exactly, others to rounding.
    rounding = UNIT * (half + 1) * float(np.abs(subjects.vectors[:, units.used]).max())
    similarity = np.empty(n_splits)
    for start in range(0, n_splits, 64):
        part = slice(start, start + 64)
        first, second = (
            RDMs(
                settle(w[part] @ subjects.vectors / half, rounding),
                subjects.conditions,
                subjects.measure,
            )
            for w in weights
        )
        similarity[part] = np.diagonal(compare(first, second, method=method, blocks=blocks))
    # Averaged first, corrected last: the correction is not linear, and single splits may lie below
    # its range.
    return spearman_brown(mean_correlation(similarity, what=f"values of {method.name!r}"))


def _check_complete(subjects: RDMs, units: Units) -> None:
    """Check that there are two subjects and no pair within a run is missing."""
    check_enough(len(subjects), 2, "subjects for a reliability")
    check_measured(subjects, "every subject", units.used)


def _alpha(vectors: np.ndarray) -> float:
    """Return Cronbach's alpha of rows."""
    n = len(vectors)
    total = vectors.sum(axis=0).var()
    return float(n / (n - 1) * (1 - vectors.var(axis=1).sum() / total)) if total > 0 else np.nan
