"""Noise covariance between channels, shrunk so that it can be inverted.

The one rule for patterns, regions, searchlights and time courses: noise is estimated from residuals
of the model or from how repeats of a condition (within a fold) differ, one covariance of all folds
unless one per fold is asked for, and degrees of freedom reach scale and shrinkage.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rsa_faces._core.checks import check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces.rdm.measures import MEASURES, Measure

#: Key of residuals of all folds together.
ALL_FOLDS = "all"
#: One covariance of the residuals of all folds together (the default), or one for each fold.
NOISE_FROM = ("all", "fold")


@dataclass(frozen=True, eq=False)
class NoiseCovariance:
    """An estimate of the noise covariance of channels.

    Given wherever a noise covariance is: ``compute_rdms(..., noise=noise_covariance(residuals))``.

    Parameters
    ----------
    covariance : ndarray, shape (n_channels, n_channels)
        Positive definite.
    shrinkage : float
        Weight of the target, from 0 (sample covariance) to 1 (target alone).
    method : str
        How it was estimated.
    freedom : int
        Degrees of freedom it was estimated with.

    See Also
    --------
    noise_covariance : Estimate the noise covariance of channels from residuals.
    rsa_faces.compute_rdms : Build RDMs from patterns.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.rdm import noise_covariance
    >>> noise = noise_covariance(np.random.default_rng(0).normal(size=(200, 3)))
    >>> noise.covariance.shape, noise.freedom
    ((3, 3), 200)
    """

    covariance: np.ndarray
    shrinkage: float
    method: str
    freedom: int

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.covariance, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return (
            f"NoiseCovariance({len(self.covariance)} channels, {self.method!r}, shrinkage "
            f"{self.shrinkage:.3f}, {self.freedom} degrees of freedom)"
        )


@dataclass(frozen=True)
class Freedom:
    """Degrees of freedom of residuals, and how much of its noise each one still holds.

    A residual is what is left of an observation's noise after a projection M, so that its variance
    is the share M_kk of that of the noise. Shares sum to the degrees of freedom.

    Parameters
    ----------
    number : int
        Degrees of freedom.
    squares : float
        Sum of the squared shares.
    """

    number: int
    squares: float

    @property
    def inflation(self) -> float:
        """What fourth powers of residuals are multiplied by to be those of `number` free rows.

        Over residuals of Gaussian noise they sum to `squares`, over free rows to `number`, times
        the same expectation: 1 for free rows, 2 for deviations of two repeats from their mean.
        """
        return self.number / self.squares

    @classmethod
    def equal(cls, n_observations: int, n_estimated: int) -> Freedom:
        """Return that of residuals of a model of `n_estimated` parameters, with equal shares."""
        # Rows are not independent once parameters were taken off: this many are as good as free.
        number = n_observations - n_estimated
        # Each row keeps the same share of its noise, number / n; squares of the shares are what
        # fourth powers need.
        return cls(number, number**2 / max(n_observations, 1))

    @classmethod
    def of_cells(cls, codes: np.ndarray) -> Freedom:
        """Return that of deviations from the mean of the observations with the same number."""
        counts = np.bincount(codes)
        counts = counts[counts > 0]
        # A deviation from the mean of n keeps 1 - 1/n of its variance; one of a cell of its own is
        # 0.
        return cls(len(codes) - len(counts), float((counts * (1 - 1 / counts) ** 2).sum()))

    @classmethod
    def of_design(cls, design: np.ndarray) -> Freedom:
        """Return that of residuals of a linear model."""
        left, values, _ = np.linalg.svd(design, full_matrices=False)
        basis = left[:, values > values.max(initial=0.0) * max(design.shape) * np.finfo(float).eps]
        # One less the leverage: how much of its noise each residual still holds.
        shares = 1 - (basis**2).sum(axis=1)
        return cls(len(design) - basis.shape[1], float((shares**2).sum()))

    @classmethod
    def joined(cls, parts: Sequence[Freedom]) -> Freedom:
        """Return that of residuals put together."""
        return cls(sum(p.number for p in parts), sum(p.squares for p in parts))


def noise_covariance(
    residuals: np.ndarray,
    *,
    method: str = "ledoit-wolf",
    n_estimated: int = 0,
    design: np.ndarray | None = None,
) -> NoiseCovariance:
    """Estimate the noise covariance of channels from residuals.

    Parameters
    ----------
    residuals : ndarray, shape (n_observations, n_channels)
        What a model of the responses left over (GLM residuals, or observations minus their
        condition's mean); their mean is taken as zero.
    method : {"ledoit-wolf", "schaefer-strimmer"}, default "ledoit-wolf"
        Shrinkage towards the mean variance times the identity [1]_, or towards the diagonal of
        variances, that is of correlations towards 0 [2]_.
    n_estimated : int, default 0
        Number of parameters the model estimated; the degrees of freedom are the number of
        observations minus it.
    design : ndarray, shape (n_observations, n_regressors), optional
        The model's regressors, instead of `n_estimated`: the degrees of freedom, and what each
        residual still holds of its noise, are then known exactly, not taken as the same for all.

    Returns
    -------
    NoiseCovariance

    Raises
    ------
    InputError
        If residuals are not finite, too few, or a channel does not vary.

    See Also
    --------
    rsa_faces.compute_rdms : Build RDMs from patterns.

    Notes
    -----
    With f degrees of freedom, S the sum of squares and products of the residuals over f, and
    F_ij = c Σ_k x_ki² x_kj², the variance of S_ij is estimated by (F_ij / f − S_ij²) / f. The
    shrinkage is the sum of these over the squared distance of S from the target; for
    "schaefer-strimmer" both of the correlations. For independent rows c is 1 and this is [1]_
    to the letter; for rows whose mean was taken out it is [2]_. Residuals are more numerous than
    what is free in them: deviations of two repeats are each other's mirror image, and their fourth
    powers are half of those of the noise. c puts this right, so that a scatter matrix has the same
    shrinkage however many rows carry it: c = f / Σ_k M_kk², with M the projection that makes
    residuals, or n_observations / f where it is not known.

    References
    ----------
    .. [1] Ledoit O., Wolf M. (2004). Journal of Multivariate Analysis 88, 365-411.
       doi:10.1016/S0047-259X(03)00096-4
    .. [2] Schäfer J., Strimmer K. (2005). Statistical Applications in Genetics and Molecular
       Biology 4. doi:10.2202/1544-6115.1175

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.rdm import noise_covariance
    >>> noise = np.random.default_rng(0).normal(size=(200, 3))
    >>> noise_covariance(noise)
    NoiseCovariance(3 channels, 'ledoit-wolf', shrinkage 1.000, 200 degrees of freedom)
    >>> first, second = noise[:100], noise[100:]  # two repeats of 100 conditions
    >>> deviations = np.concatenate([first - second, second - first]) / 2
    >>> noise_covariance(deviations, n_estimated=100).freedom
    100
    """
    residuals = np.asarray(residuals, dtype=np.float64)
    if residuals.ndim != 2 or not np.isfinite(residuals).all():
        raise InputError(
            "expected finite residuals of shape (n_observations, n_channels), got shape "
            f"{residuals.shape} with {int((~np.isfinite(residuals)).sum())} values not finite."
        )
    if design is None:
        return estimate(residuals, Freedom.equal(len(residuals), n_estimated), method)
    design = np.asarray(design, dtype=np.float64)
    if design.ndim != 2 or len(design) != len(residuals) or not np.isfinite(design).all():
        raise InputError(
            f"expected a finite design of shape ({len(residuals)}, n_regressors), one row for each "
            f"row of the residuals, got {design.shape}."
        )
    if n_estimated:
        raise InputError("expected `n_estimated` or `design`, which says it, got both.")
    return estimate(residuals, Freedom.of_design(design), method)


def estimate(residuals: np.ndarray, freedom: Freedom, method: str) -> NoiseCovariance:
    """Estimate the covariance of finite residuals whose degrees of freedom are known.

    Raises
    ------
    InputError
        If the method is unknown, they are fewer than 2, or a channel does not vary.
    """
    check_choice(method, NOISE_METHODS, what="noise covariance method")
    check_freedom(freedom, len(residuals))
    silent = np.logical_not(residuals.any(axis=0))
    # Without variance a channel has no correlation, and its inverse would be without bound.
    if silent.any():
        raise InputError(
            f"expected noise in every channel, but {int(silent.sum())} of {len(silent)} have none "
            f"(the first is channel {int(np.argmax(silent))}). Leave them out."
        )
    covariance, shrinkage = NOISE_METHODS[method](residuals, freedom)
    return NoiseCovariance(covariance, float(shrinkage), method, freedom.number)


def check_freedom(freedom: Freedom, n_observations: int) -> None:
    """Check that there is enough to estimate noise from."""
    if freedom.number < 2:
        raise InputError(
            f"expected at least 2 degrees of freedom to estimate noise from, got {n_observations} "
            f"observations minus {n_observations - freedom.number} estimated parameters."
        )


def sharing(folds: Iterable[Hashable], noise_from: str) -> list[list[Hashable]]:
    """Return which folds share a covariance: all together, or each by itself."""
    return [list(folds)] if noise_from == "all" else [[fold] for fold in folds]


def fold_noise(
    residuals: Mapping[Hashable, np.ndarray],
    freedoms: Mapping[Hashable, Freedom],
    *,
    method: str,
    noise_from: str = "all",
) -> NoiseCovariance | list[NoiseCovariance]:
    """Estimate noise from the residuals of each fold.

    Parameters
    ----------
    residuals : mapping from fold to ndarray, shape (n_observations, n_channels)
        In the order of the folds.
    freedoms : mapping from fold to Freedom
    method : str
        One of NOISE_METHODS.
    noise_from : {"all", "fold"}, default "all"

    Returns
    -------
    NoiseCovariance, or list of one for each fold
    """
    made = [
        estimate(
            np.concatenate([residuals[fold] for fold in group]),
            Freedom.joined([freedoms[fold] for fold in group]),
            method,
        )
        for group in sharing(residuals, noise_from)
    ]
    return made[0] if noise_from == "all" else made


def shrinkage_of(noises: Sequence[NoiseCovariance]) -> float:
    """Return the mean shrinkage."""
    return float(np.mean([noise.shrinkage for noise in noises]))


def residuals_by_fold(residuals: Any, folds: Sequence[Any] | None) -> dict[Hashable, Any]:
    """Return residuals by fold, in sorted order; what is no mapping is of ALL_FOLDS.

    Parameters
    ----------
    residuals : mapping from fold to residuals, or residuals of all folds
    folds : sequence, optional
        The folds that are used: residuals of others are left out.

    Raises
    ------
    InputError
        If some fold has none.
    """
    if not isinstance(residuals, Mapping):
        return {ALL_FOLDS: residuals}
    wanted = list(residuals)
    if folds is not None and wanted != [ALL_FOLDS]:
        wanted = sorted(set(folds))
    if absent := [fold for fold in wanted if fold not in residuals]:
        raise InputError(
            f"expected residuals of every fold, but {len(absent)} of {len(wanted)} have none: "
            f"{', '.join(map(repr, absent[:5]))}."
        )
    return {fold: residuals[fold] for fold in wanted}


def freedom_by_fold(
    n_observations: Mapping[Hashable, int], n_estimated: int | Mapping[Hashable, int]
) -> dict[Hashable, Freedom]:
    """Return the degrees of freedom of each fold's residuals.

    Parameters
    ----------
    n_observations : mapping from fold to int
    n_estimated : int, or mapping from fold to int
        How many parameters were estimated: in each fold, one number for all or one each.
    """
    if not isinstance(n_estimated, Mapping):
        n_estimated = dict.fromkeys(n_observations, n_estimated)
    return {
        fold: Freedom.equal(n, check_count(n_estimated.get(fold, 0), what="n_estimated", low=0))
        for fold, n in n_observations.items()
    }


def check_noise_from(noise_from: str, measure: Measure, folds: Sequence[Hashable] | None) -> None:
    """Check that there can be a covariance for each fold where that is asked for.

    Parameters
    ----------
    noise_from : {"all", "fold"}
    measure : Measure
    folds : sequence, optional
        Those whose residuals are told apart.
    """
    check_choice(noise_from, NOISE_FROM, what="noise_from")
    if noise_from == "all":
        return
    if not measure.needs_folds:
        able = " or ".join(m.name for m in MEASURES.values() if m.needs_folds)
        raise InputError(
            f"expected noise_from='all' for the measure {measure.name!r}: only {able} takes a "
            "noise covariance for each fold."
        )
    if folds is not None and list(folds) == [ALL_FOLDS]:
        raise InputError(
            "expected residuals by fold for noise_from='fold', a mapping from fold to residuals, "
            "got those of all folds together."
        )


def _ledoit_wolf(residuals: np.ndarray, freedom: Freedom) -> tuple[np.ndarray, float]:
    """Shrink towards the mean variance times the identity."""
    n_channels = residuals.shape[1]
    sample = residuals.T @ residuals / freedom.number
    # Ledoit and Wolf (2004): how wrong the sample covariance is, over how far it is from the
    # target.
    target = np.trace(sample) / n_channels
    spread = (sample**2).sum() - n_channels * target**2
    # Residuals are smaller than the noise was; without this, shrinkage would fall with every row
    # that a model leaves dependent on others.
    fourth = freedom.inflation * ((residuals**2).sum(axis=1) ** 2).sum()
    error = (fourth / freedom.number - (sample**2).sum()) / freedom.number
    shrinkage = 1.0 if spread <= 0 else float(np.clip(error / spread, 0.0, 1.0))
    shrunk = (1 - shrinkage) * sample + shrinkage * target * np.eye(n_channels)
    return shrunk, shrinkage


def _schaefer_strimmer(residuals: np.ndarray, freedom: Freedom) -> tuple[np.ndarray, float]:
    """Shrink correlations towards zero, variances not."""
    sample = residuals.T @ residuals / freedom.number
    scale = np.sqrt(np.diagonal(sample))
    squared = (residuals / scale) ** 2
    # Correlations, so that channels of large variance do not decide the shrinkage of all.
    correlations = sample / np.outer(scale, scale)
    fourth = freedom.inflation * (squared.T @ squared)
    error = (fourth / freedom.number - correlations**2) / freedom.number
    off = ~np.eye(len(scale), dtype=bool)
    total = (correlations[off] ** 2).sum()
    shrinkage = 1.0 if total <= 0 else float(np.clip(error[off].sum() / total, 0.0, 1.0))
    shrunk = np.where(off, (1 - shrinkage) * sample, sample)
    return shrunk, shrinkage


#: Name of each estimator and its function.
NOISE_METHODS: dict[str, Callable[[np.ndarray, Freedom], tuple[np.ndarray, float]]] = {
    "ledoit-wolf": _ledoit_wolf,
    "schaefer-strimmer": _schaefer_strimmer,
}
