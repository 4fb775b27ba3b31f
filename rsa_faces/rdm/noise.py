"""Noise covariance between channels, shrunk so that it can be inverted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError


@dataclass(frozen=True, eq=False)
class NoiseCovariance:
    """An estimate of the noise covariance of channels.

    Parameters
    ----------
    covariance : ndarray, shape (n_channels, n_channels)
        Positive definite.
    shrinkage : float
        Weight of the target, from 0 (sample covariance) to 1 (target alone).
    method : str
        How it was estimated.
    """

    covariance: np.ndarray
    shrinkage: float
    method: str


def noise_covariance(
    residuals: np.ndarray, *, method: str = "ledoit-wolf", n_estimated: int = 0
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

    Returns
    -------
    NoiseCovariance

    Raises
    ------
    InputError
        If residuals are not finite, too few, or a channel does not vary.

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
    >>> residuals = np.random.default_rng(0).normal(size=(200, 3))
    >>> noise = noise_covariance(residuals)
    >>> noise.covariance.shape
    (3, 3)
    >>> 0 <= noise.shrinkage <= 1
    True
    """
    check_choice(method, NOISE_METHODS, what="noise covariance method")
    residuals = np.asarray(residuals, dtype=np.float64)
    if residuals.ndim != 2 or not np.isfinite(residuals).all():
        raise InputError(
            "expected finite residuals of shape (n_observations, n_channels), got shape "
            f"{residuals.shape} with {int((~np.isfinite(residuals)).sum())} values not finite."
        )
    freedom = len(residuals) - n_estimated
    if freedom < 2:
        raise InputError(
            f"expected at least 2 degrees of freedom to estimate noise from, got {len(residuals)} "
            f"observations minus {n_estimated} estimated parameters."
        )
    if (silent := ~residuals.any(axis=0)).any():
        raise InputError(
            f"expected noise in every channel, but {int(silent.sum())} of {len(silent)} have none "
            f"(the first is channel {int(np.argmax(silent))}). Leave them out."
        )
    covariance, shrinkage = NOISE_METHODS[method](residuals, freedom)
    return NoiseCovariance(covariance, float(shrinkage), method)


def _ledoit_wolf(residuals: np.ndarray, freedom: int) -> tuple[np.ndarray, float]:
    """Shrink towards the mean variance times the identity."""
    n_observations, n_channels = residuals.shape
    sample = residuals.T @ residuals / n_observations
    target = np.trace(sample) / n_channels
    spread = (sample**2).sum() - n_channels * target**2
    # Mean squared distance of one observation's outer product from the sample covariance.
    fourth = ((residuals**2).sum(axis=1) ** 2).sum() / n_observations**2
    error = fourth - (sample**2).sum() / n_observations
    shrinkage = 1.0 if spread <= 0 else float(np.clip(error / spread, 0.0, 1.0))
    shrunk = (1 - shrinkage) * sample + shrinkage * target * np.eye(n_channels)
    return shrunk * (n_observations / freedom), shrinkage


def _schaefer_strimmer(residuals: np.ndarray, freedom: int) -> tuple[np.ndarray, float]:
    """Shrink correlations towards zero, variances not."""
    n_observations = len(residuals)
    sample = residuals.T @ residuals / freedom
    scale = np.sqrt(np.diagonal(sample))
    standard = residuals / scale
    correlations = sample / np.outer(scale, scale)
    products = standard.T @ standard / n_observations
    squares = (standard**2).T @ (standard**2)
    variance = (squares - n_observations * products**2) * n_observations / (n_observations - 1) ** 3
    off = ~np.eye(len(scale), dtype=bool)
    total = (correlations[off] ** 2).sum()
    shrinkage = 1.0 if total <= 0 else float(np.clip(variance[off].sum() / total, 0.0, 1.0))
    shrunk = np.where(off, (1 - shrinkage) * sample, sample)
    return shrunk, shrinkage


#: Name of each estimator and its function.
NOISE_METHODS: dict[str, Callable[[np.ndarray, int], tuple[np.ndarray, float]]] = {
    "ledoit-wolf": _ledoit_wolf,
    "schaefer-strimmer": _schaefer_strimmer,
}
