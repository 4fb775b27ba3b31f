"""Noise ceilings: how similar a perfect model could be to each subject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.chance import p_of
from rsa_faces._core.checks import as_rng, check_arguments, check_count, check_enough
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._kernels.ranks import average_ranks
from rsa_faces._kernels.resampled import shuffled_lengths
from rsa_faces.comparison import Method, align_given, resolve
from rsa_faces.comparison._compare import check_weights
from rsa_faces.inference._design import Design
from rsa_faces.inference._study import Study, pairs_of
from rsa_faces.inference._subjects import subject_means
from rsa_faces.rdm import RDMs


@dataclass(frozen=True, eq=False, repr=False)
class NoiseCeiling(BaseResult):
    """Bounds of the similarity that the best possible model reaches, in units of the method.

    Parameters
    ----------
    lower, upper : float
        Mean similarity of each subject with the others' pooled RDM, and with everyone's.
    n_subjects : int
        Number of subjects.
    method : str
        The comparison method.

    See Also
    --------
    noise_ceiling : Compute the noise ceiling of data RDMs.
    shared_structure : Test whether subjects share any structure at all.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> human_it = d92.rdms.sel(region="human IT")
    >>> ceiling = rf.noise_ceiling(human_it, method="spearman")
    >>> ceiling
    NoiseCeiling(lower=0.372, upper=0.666, n_subjects=4, method='spearman')
    """

    lower: float
    upper: float
    n_subjects: int
    method: str

    @property
    def table(self) -> pd.DataFrame:
        """One row: the bounds, how they were made, and the number of subjects."""
        return pd.DataFrame(
            {
                "method": [self.method],
                "ceiling_low": [self.lower],
                "ceiling_high": [self.upper],
                "n_subjects": [self.n_subjects],
            }
        )


@keep_warnings
def noise_ceiling(
    data: RDMs,
    *,
    method: str | Method | Callable[..., np.ndarray] = "rho-a",
    by: str = "subject",
    given: RDMs | None = None,
    blocks: Labels | None = None,
    weights: np.ndarray | None = None,
) -> NoiseCeiling:
    """Compute the noise ceiling of data RDMs.

    Parameters
    ----------
    data : RDMs
        RDMs of at least 2 subjects.
    method : str, Method or callable, default "rho-a"
        The comparison method the ceiling is for.
    by : str, default "subject"
        Label that tells subjects apart: of people or brains, but also of raters or networks, whose
        agreement is then measured. Several RDMs of a subject (sessions) are averaged first, so
        that they leave together.
    given : RDMs, optional
        RDMs to regress out first, for pearson and spearman: the ceiling of what is left.
    blocks : mapping or Series of condition to run, optional
        The ceiling within each run, averaged over runs; pairs of conditions of different runs are
        not used and may be NaN.
    weights : array_like, shape (n_subjects, n_pairs), optional
        How much each pair counts, as in :func:`rsa_faces.compare`, in the order of the data; one
        RDM per subject then.

    Returns
    -------
    NoiseCeiling

    Raises
    ------
    InputError
        With fewer than 2 subjects, or an unknown method or label.

    See Also
    --------
    rsa_faces.inference.shared_structure : Test whether subjects share any structure at all.
    rsa_faces.inference.cronbach_alpha : Compute Cronbach's alpha over subjects.
    rsa_faces.inference.split_half : Compute split-half reliability over subjects.

    Notes
    -----
    Upper: mean over subjects of the similarity with the RDM pooled over all; lower: pooled over
    the others (leave one subject out) [1]_ [2]_. Pooling is the mean after the scaling that suits
    the method: z-scores for pearson and corr_cov, unit root mean square for cosine and cosine_cov,
    ranks for the rank methods (ranked again once pooled); for a function of the user z-scores.

    The upper ceiling contains each subject's own noise: with n subjects and no shared signal at
    all it is still about 1/√n. See :func:`shared_structure` for a test.

    Pairs that are NaN in some subjects are pooled over those that have them. With `weights`, pools
    are weighted means (of RDMs scaled under their weights), and a subject's similarity with a pool
    is that under its own weights; all subjects count the same.

    References
    ----------
    .. [1] Nili H. et al. (2014). PLoS Computational Biology 10, e1003553.
       doi:10.1371/journal.pcbi.1003553
    .. [2] Schütt H. H. et al. (2023). eLife 12, e82566. doi:10.7554/eLife.82566

    Examples
    --------
    >>> import rsa_faces as rf
    >>> human_it = rf.datasets.images92().rdms.sel(region="human IT")
    >>> ceiling = rf.noise_ceiling(human_it, method="spearman")
    >>> round(ceiling.lower, 4), round(ceiling.upper, 4)
    (0.3723, 0.6657)
    """
    check_arguments(noise_ceiling, locals())
    method = resolve(method)
    subjects = subject_means(data, by)
    if len(subjects) < 2:
        raise InputError(
            f"expected at least 2 subjects for a noise ceiling, got {len(subjects)}: with one "
            "there is nobody to agree with."
        )
    given = None if given is None else align_given(given, subjects, subjects, method).vectors
    units = Design(by=by, blocks=blocks).units(subjects.conditions)
    evidence = None
    if weights is not None:
        weights = check_weights(weights, method, data, None)
        check_one_each(data, subjects)
        evidence = evidence_of(weights, data)
    vectors = subjects.vectors
    study = Study(vectors[:0], vectors, method, units, given, evidence)
    lower, upper = study.ceilings(study.once)[:, 0].mean(axis=1).tolist()
    return NoiseCeiling(lower, upper, len(subjects), method.name)


def check_one_each(data: RDMs, subjects: RDMs) -> None:
    """Check that evidence weights are of subjects."""
    if len(subjects) < len(data):
        raise InputError(
            f"expected one RDM per subject with `weights`, got {len(data)} RDMs of "
            f"{len(subjects)} subjects. Average those of a subject first."
        )


def evidence_of(weights: RDMs, data: RDMs) -> np.ndarray:
    """Return weights with a mean of 1 over the pairs each subject has; 0 where it has none."""
    own = np.where(np.isnan(data.vectors), 0.0, weights.vectors)
    n_pairs = (own > 0).sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        # A mean of 1 makes subjects with more evidence in all pairs count no more than others in
        # the pool.
        return np.nan_to_num(own * n_pairs / own.sum(axis=1, keepdims=True))


def shared_structure(
    data: RDMs,
    *,
    method: str | Method | Callable[..., np.ndarray] = "rho-a",
    by: str = "subject",
    given: RDMs | None = None,
    blocks: Labels | None = None,
    n_permutations: int = 999,
    seed: int = 0,
) -> float:
    """Test whether subjects share any structure at all.

    Parameters
    ----------
    data : RDMs
        RDMs of at least 2 subjects.
    method : str, Method or callable, default "rho-a"
        RDMs are compared as ranks for the rank methods, as values otherwise.
    by : str, default "subject"
        As in :func:`noise_ceiling`.
    given : RDMs, optional
        RDMs to regress out first.
    blocks : mapping or Series of condition to run, optional
        Correlations are those within each run, averaged, and conditions are shuffled within runs.
    n_permutations : int, default 999
        How often the conditions of every subject are shuffled.
    seed : int, default 0
        Of the shuffling.

    Returns
    -------
    float
        p value, (1 + permutations with at least the observed mean correlation between subjects) /
        (1 + permutations). Small: the subjects agree more than subjects whose conditions have
        nothing to do with each other.

    See Also
    --------
    rsa_faces.noise_ceiling : Compute the noise ceiling of data RDMs.

    Notes
    -----
    Whole conditions are shuffled (rows and columns together), in each subject on its own: under
    the null hypothesis names of conditions are exchangeable within a subject. A pair that a
    subject lacks counts as its mean.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> behaviour = rf.datasets.images92().rdms.sel(region="behaviour")
    >>> rf.inference.shared_structure(behaviour)
    0.001
    """
    check_arguments(shared_structure, locals())
    method = resolve(method)
    check_count(n_permutations, what="n_permutations")
    rng = as_rng(seed)
    subjects = subject_means(data, by)
    n_subjects, n_conditions = len(subjects), subjects.n_conditions
    check_enough(n_subjects, 2, "subjects")
    if given is not None:
        given = align_given(given, subjects, subjects, method).vectors
    units = Design(by=by, blocks=blocks).units(subjects.conditions)
    lengths = np.zeros(1 + n_permutations)
    for run in units.runs:
        pairs = pairs_of(run, n_conditions)
        square = _squares(
            subjects.vectors[:, pairs], None if given is None else given[:, pairs], method, len(run)
        )
        # The mean correlation of all pairs of subjects grows with the length of summed z-scores.
        orders = np.empty((1 + n_permutations, n_subjects, len(run)), dtype=np.int64)
        orders[0] = np.arange(len(run))
        # Each subject's names are shuffled on their own: shuffled together, what subjects share
        # would stay.
        orders[1:] = np.argsort(rng.random((n_permutations, n_subjects, len(run))), axis=2)
        lengths += shuffled_lengths(square, orders) / len(pairs)
    return float(p_of(lengths[0], lengths[1:])[0])


def _squares(
    vectors: np.ndarray, given: np.ndarray | None, method: Method, size: int
) -> np.ndarray:
    """Return z-scored RDMs (of ranks for rank methods) as matrices; missing pairs are 0."""
    square = np.zeros((len(vectors), size, size))
    row, col = np.triu_indices(size, k=1)
    if given is not None:
        given = average_ranks(given) if method.uses_ranks else given
        given = np.vstack([given, np.ones(given.shape[1])]).T
    for matrix, vector in zip(square, vectors, strict=True):
        present = ~np.isnan(vector)
        values = vector[present]
        if not values.size:
            continue
        if method.uses_ranks:
            values = average_ranks(values[None])[0]
        if given is not None:
            values = values - given @ np.linalg.lstsq(given, values)[0]
        spread = values.std()
        scaled = np.zeros(len(vector))
        scaled[present] = (values - values.mean()) / spread if spread > 0 else 0.0
        matrix[row, col] = matrix[col, row] = scaled
    return square
