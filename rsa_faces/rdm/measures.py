"""Dissimilarity measures: patterns to one vector of pairs.

Every measure takes patterns of shape (n_conditions, n_channels) and returns the n_pairs values of
the upper triangle, row by row, in float64. Each comes from one Gram matrix, summed over blocks of
channels in float64, so that the extra memory does not grow with the number of channels. Patterns
may lie on disk (:meth:`rsa_faces.Activations.patterns`).

Dissimilarities that should be equal are equal: values that differ by no more than the rounding of
their own computation become one value (see `rsa_faces.rdm._ties`), so that ties of faces, codes
or few channels are ties for rank methods too. Squared distances of whole numbers are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces.rdm._products import angular_distances, blocks, squared_distances
from rsa_faces.rdm._ties import rounding_of_sums, settle

WALTHER = "Walther A. et al. (2016). NeuroImage 137, 188-200. doi:10.1016/j.neuroimage.2015.12.012"
SCHUETT = "Schütt H. H. et al. (2023). eLife 12, e82566. doi:10.7554/eLife.82566"
CONSTANT, ZERO = "constant over channels", "zero in all channels"


@dataclass(frozen=True, eq=False)
class Measure:
    """A measure of dissimilarity and what it needs.

    Parameters
    ----------
    name : str
        Name in arguments, labels and configurations.
    function : callable
        Of patterns (n_conditions, n_channels) to the n_pairs dissimilarities of the upper triangle,
        row by row. With `needs_folds` of patterns (n_folds, n_conditions, n_channels); with
        `uses_noise` the noise covariance follows, (n_channels, n_channels).
    label : str, optional
        What it is called in sentences and figures; by default the name.
    citation : str, optional
        Its source, for the methods text.
    streamed : callable, optional
        `function` for patterns of float32 that may lie on disk and are read a part of the channels
        at a time; without it such patterns are brought into memory first.
    compiled : str, optional
        Name of its loop in searchlights; without it `function` is called at each place.
    needs_folds, needs_noise : bool, default False
        Whether it is cross-validated, and whether it has no meaning without a noise covariance.
    uses_noise : bool, default False
        Whether a noise covariance can be given.
    undefined : str, optional
        Which patterns have no dissimilarity, in words: their pairs are NaN.
    angular : bool, default False
        Whether the length of patterns does not matter.
    cancels : bool, default False
        Dissimilarities may be far smaller than what they are differences of, so that how far
        rounding goes does not follow from them: the compiled loop serves where nothing is tied.
    rounding : float, optional
        How far rounding goes, as a share of the largest dissimilarity: closer ones are made equal.
        By default that of sums over channels; 0 for functions that see to it themselves.

    See Also
    --------
    rsa_faces.compute_rdms : Build RDMs from patterns.
    rsa_faces.comparison.Method : A method of comparison and its forms.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.rdm import Measure
    >>> def city_block(patterns):
    ...     first, second = np.triu_indices(len(patterns), k=1)
    ...     return np.abs(patterns[first] - patterns[second]).sum(axis=1)
    >>> mine = Measure("city block", city_block)
    >>> rf.compute_rdms([[0, 0], [1, 2], [3, 3]], conditions=list("abc"), measure=mine).vectors
    array([[3., 6., 3.]])
    """

    name: str
    function: Callable[..., np.ndarray]
    label: str = ""
    citation: str | None = None
    streamed: Callable[..., np.ndarray] | None = None
    compiled: str | None = None
    needs_folds: bool = False
    needs_noise: bool = False
    uses_noise: bool = False
    undefined: str | None = None
    angular: bool = False
    cancels: bool = False
    rounding: float | None = None

    def __post_init__(self):
        if not self.label:
            object.__setattr__(self, "label", self.name)

    @property
    def plain(self) -> bool:
        """Whether patterns are all it needs: no folds, no noise covariance."""
        return not (self.needs_folds or self.needs_noise)

    def check(self, *, folds: object = None, noise: object = None) -> None:
        """Check that folds and noise are given to a measure that uses them, and to it only."""
        if self.needs_noise and noise is None:
            raise InputError(
                f"expected `noise` for the measure {self.name!r}, such as 'ledoit-wolf', which "
                "estimates a covariance."
            )
        if self.needs_folds and folds is None:
            raise InputError(
                f"expected `folds` for the measure {self.name!r}: the run or session of each row."
            )
        if noise is not None and not self.uses_noise:
            raise InputError(
                f"the measure {self.name!r} uses no noise covariance; leave `noise` out."
            )
        if folds is not None and not self.needs_folds:
            able = " or ".join(repr(m.name) for m in MEASURES.values() if m.needs_folds)
            raise InputError(
                f"the measure {self.name!r} is not cross-validated; leave `folds` out, or use "
                f"{able}."
            )

    def __call__(self, patterns: np.ndarray, *arguments, **options) -> np.ndarray:
        """Return the dissimilarities of all pairs of patterns, (n_pairs,)."""
        if self.streamed is None:
            patterns = np.asarray(patterns)
        vector = self.function(patterns, *arguments, **options)
        n = patterns.shape[-2]
        if np.shape(vector) != (n * (n - 1) // 2,):
            raise InputError(
                f"expected {n * (n - 1) // 2} dissimilarities of {n} patterns from the measure "
                f"{self.name!r}, got shape {np.shape(vector)}."
            )
        if self.rounding == 0:
            return vector
        share = rounding_of_sums(patterns.shape[-1]) if self.rounding is None else self.rounding
        return settle(vector, share * np.nanmax(np.abs(vector), initial=0.0))

    def of_layer(self, patterns: np.ndarray) -> np.ndarray:
        """Return the dissimilarities of activations of float32, in memory or on disk."""
        if self.streamed is not None:
            return self.streamed(patterns)
        return self(np.asarray(patterns, np.float64))

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Measure({self.name!r})"


def resolve(measure: str | Measure | Callable[..., np.ndarray]) -> Measure:
    """Return the measure of a name, a function, or a :class:`Measure`.

    Parameters
    ----------
    measure : str, Measure or callable
        A name in `MEASURES`; or a function of patterns (n_conditions, n_channels) that returns the
        dissimilarities (n_pairs,) of the upper triangle, row by row.

    Returns
    -------
    Measure
        Of a function: without folds, noise covariance and compiled form.

    Raises
    ------
    InputError
        If no measure has this name; the nearest is named.

    Examples
    --------
    >>> from rsa_faces.rdm.measures import resolve
    >>> resolve("crossnobis").needs_folds
    True
    """
    if isinstance(measure, Measure):
        return measure
    if callable(measure):
        return Measure(getattr(measure, "__name__", type(measure).__name__), measure)
    return MEASURES[check_choice(measure, MEASURES, what="measure")]


def resolve_plain(measure: str | Measure | Callable[..., np.ndarray]) -> Measure:
    """Return a measure that needs one pattern per condition and nothing else."""
    if isinstance(measure, str):
        plain = [m.name for m in MEASURES.values() if m.plain]
        check_choice(measure, plain, what="measure for one pattern per condition")
    measure = resolve(measure)
    if not measure.plain:
        raise InputError(
            f"expected a measure for one pattern per condition, got {measure.name!r}, which needs "
            f"{'folds' if measure.needs_folds else 'a noise covariance'}."
        )
    return measure


def euclidean(patterns: np.ndarray, *, single: bool = False) -> np.ndarray:
    """Compute Euclidean distances, ‖b_i − b_j‖.

    Parameters
    ----------
    patterns : ndarray, shape (n_conditions, n_channels)
        Finite.
    single : bool, default False
        Multiply in float32 (patterns must be), which is twice as fast: to about 1e-6 of the
        largest values; pairs that are nearly equal are computed again in float64.

    Returns
    -------
    ndarray, shape (n_pairs,)
        At least 0, in the units of the patterns.
    """
    return np.sqrt(sqeuclidean(patterns, single=single))


def sqeuclidean(patterns: np.ndarray, *, single: bool = False) -> np.ndarray:
    """Compute squared Euclidean distances, ‖b_i − b_j‖².

    Parameters
    ----------
    patterns : ndarray, shape (n_conditions, n_channels)
        Finite.
    single : bool, default False
        Multiply in float32 (patterns must be), which is twice as fast: to about 1e-6 of the
        largest values; pairs that are nearly equal are computed again in float64.

    Returns
    -------
    ndarray, shape (n_pairs,)
        At least 0, in squared units of the patterns; exactly 0 for equal patterns.

    Notes
    -----
    Not divided by the number of channels (rsatoolbox's "euclidean" is this divided by it). The
    mean pattern is taken out first, which leaves distances and spares digits; relative error
    below 1e-7 for the nearest pairs, near 1e-15 otherwise.
    """
    return squared_distances(patterns, single=single)


def correlation(patterns: np.ndarray, *, single: bool = False) -> np.ndarray:
    """Compute correlation distances, 1 − Pearson(b_i, b_j).

    Parameters
    ----------
    patterns : ndarray, shape (n_conditions, n_channels)
        Finite.
    single : bool, default False
        Multiply in float32 (patterns must be), which is twice as fast: to about 1e-6 of the
        largest values; pairs that are nearly equal are computed again in float64.

    Returns
    -------
    ndarray, shape (n_pairs,)
        From 0 to 2. NaN for every pair with a pattern that is constant over channels: it has no
        correlation.
    """
    return angular_distances(patterns, centered=True, single=single)


def cosine(patterns: np.ndarray, *, single: bool = False) -> np.ndarray:
    """Compute cosine distances, 1 − cos(b_i, b_j).

    Parameters
    ----------
    patterns : ndarray, shape (n_conditions, n_channels)
        Finite.
    single : bool, default False
        Multiply in float32 (patterns must be), which is twice as fast: to about 1e-6 of the
        largest values; pairs that are nearly equal are computed again in float64.

    Returns
    -------
    ndarray, shape (n_pairs,)
        From 0 to 2. NaN for every pair with a pattern that is zero throughout.
    """
    return angular_distances(patterns, centered=False, single=single)


def mahalanobis(patterns: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Compute squared Mahalanobis distances, (b_i − b_j)ᵀ Σ⁻¹ (b_i − b_j) / n_channels.

    Parameters
    ----------
    patterns : ndarray, shape (n_conditions, n_channels)
        Finite.
    covariance : ndarray, shape (n_channels, n_channels)
        Noise covariance Σ, positive definite.

    Returns
    -------
    ndarray, shape (n_pairs,)
        At least 0.

    References
    ----------
    .. [1] Walther A. et al. (2016). NeuroImage 137, 188-200.
       doi:10.1016/j.neuroimage.2015.12.012
    """
    white, condition = _whiten(patterns, covariance)
    squared = sqeuclidean(white)
    return settle(squared, _rounding(white, condition) * squared) / patterns.shape[1]


def crossnobis(folds: np.ndarray, covariance: np.ndarray | None = None) -> np.ndarray:
    """Compute crossnobis distances: squared Mahalanobis, cross-validated over folds.

    The mean over folds of (b_i − b_j)_Aᵀ Σ⁻¹ (b_i − b_j)_B / n_channels, where B is the fold left
    out and A the mean of the others; the same as the mean over all pairs of different folds.

    Parameters
    ----------
    folds : ndarray, shape (n_folds, n_conditions, n_channels)
        One pattern per fold and condition, finite; at least 2 folds.
    covariance : ndarray, shape (n_channels, n_channels) or (n_folds, n_channels, n_channels)
        Noise covariance Σ, one for all folds or one per fold; then a pair of folds uses the mean
        of its two. None is the identity.

    Returns
    -------
    ndarray, shape (n_pairs,)
        Unbiased: 0 on average for equal patterns, so it may be negative; never clipped.

    References
    ----------
    .. [1] Walther A. et al. (2016). NeuroImage 137, 188-200.
       doi:10.1016/j.neuroimage.2015.12.012
    .. [2] Diedrichsen J., Kriegeskorte N. (2017). PLoS Computational Biology 13, e1005508.
       doi:10.1371/journal.pcbi.1005508
    """
    folds = np.asarray(folds, dtype=np.float64)
    n_folds, _, n_channels = folds.shape
    # The mean pattern of a fold is in no difference; without it fewer digits cancel.
    folds = folds - folds.mean(axis=1, keepdims=True)
    condition = 1.0
    if covariance is None or covariance.ndim == 2:
        if covariance is not None:
            white = [_whiten(fold, covariance) for fold in folds]
            folds, condition = np.stack([fold for fold, _ in white]), white[0][1]
        # The sum over all pairs of different folds is the product of sums less the products of each
        # fold with itself: no loop over pairs.
        gram = _gram(folds.sum(axis=0))
        scale = np.diagonal(gram).copy()
        for fold in folds:
            gram -= _gram(fold)
        total = _from_gram(gram)
    else:
        n_conditions = folds.shape[1]
        total = np.zeros(n_conditions * (n_conditions - 1) // 2)
        scale = np.zeros(n_conditions)
        for a in range(n_folds):
            for b in range(a + 1, n_folds):
                # Each pair of folds is whitened by the noise of both, or the two sides would be in
                # different units.
                pooled = (covariance[a] + covariance[b]) / 2
                (one, condition), (other, _) = (_whiten(folds[k], pooled) for k in (a, b))
                cross = one @ other.T
                scale += np.einsum("ij,ij->i", one, one) + np.einsum("ij,ij->i", other, other)
                total = total + _from_gram(cross + cross.T)
    row, col = np.triu_indices(len(scale), k=1)
    total = settle(total, _rounding(folds[0], condition) * (scale[row] + scale[col]))
    # Not cut at 0: the mean of no difference has to be 0, and half of its values below it.
    return total / (n_folds * (n_folds - 1) * n_channels)


def poisson(patterns: np.ndarray, *, prior_rate: float = 1.0, prior_weight: float = 0.1):
    """Compute symmetrised Kullback-Leibler divergences of Poisson rates, over n_channels.

    Σ_p (λ_ip − λ_jp)(ln λ_ip − ln λ_jp) / n_channels, with rates λ drawn towards a prior:
    λ = (b + prior_rate · prior_weight) / (1 + prior_weight).

    Parameters
    ----------
    patterns : ndarray, shape (n_conditions, n_channels)
        Spike counts or rates: finite, at least 0.
    prior_rate, prior_weight : float
        Gamma prior of the rates.

    Returns
    -------
    ndarray, shape (n_pairs,)
        At least 0.

    Raises
    ------
    InputError
        If a rate is negative.

    References
    ----------
    .. [1] Schütt H. H. et al. (2023). eLife 12, e82566. doi:10.7554/eLife.82566
    """
    kernel = np.zeros((len(patterns), len(patterns)))
    for block in blocks(patterns):
        check_rates(block.min())
        block = block.astype(np.float64)
        # A prior, as the logarithm of a rate of 0 has no bound.
        rates = (block + prior_rate * prior_weight) / (1 + prior_weight)
        kernel += rates @ np.log(rates).T
    divergence = np.maximum(_from_gram(kernel + kernel.T) / 2, 0.0)
    row, col = np.triu_indices(len(kernel), k=1)
    scale = np.abs(np.diagonal(kernel))
    scale = scale[row] + scale[col] + np.abs(kernel[row, col]) + np.abs(kernel[col, row])
    return settle(divergence, rounding_of_sums(patterns.shape[1]) * scale) / patterns.shape[1]


def check_rates(lowest: float) -> None:
    """Raise if the lowest of some rates is below 0."""
    if lowest < 0:
        raise InputError(
            f"expected rates of at least 0 for the measure 'poisson', got {lowest:.6g}. "
            "For responses that can be negative use 'correlation' or 'crossnobis'."
        )


#: The measure of each name. What is entered here is known everywhere, also in configurations.
MEASURES: dict[str, Measure] = {
    # Each sees to rounding itself, and has a loop of its name.
    measure.name: replace(measure, rounding=0.0, compiled=measure.name.upper())
    for measure in (
        Measure(
            "euclidean",
            euclidean,
            label="Euclidean distance",
            streamed=partial(euclidean, single=True),
        ),
        Measure(
            "sqeuclidean",
            sqeuclidean,
            label="squared Euclidean distance",
            streamed=partial(sqeuclidean, single=True),
        ),
        Measure(
            "correlation",
            correlation,
            label="1 − Pearson correlation",
            streamed=partial(correlation, single=True),
            undefined=CONSTANT,
            angular=True,
        ),
        Measure(
            "cosine",
            cosine,
            label="1 − cosine",
            streamed=partial(cosine, single=True),
            undefined=ZERO,
            angular=True,
        ),
        Measure(
            "mahalanobis",
            mahalanobis,
            label="squared Mahalanobis distance",
            citation=WALTHER,
            needs_noise=True,
            uses_noise=True,
        ),
        Measure(
            "crossnobis",
            crossnobis,
            label="cross-validated squared distance (crossnobis)",
            citation=WALTHER,
            cancels=True,
            needs_folds=True,
            uses_noise=True,
        ),
        Measure(
            "poisson",
            poisson,
            label="symmetrised Kullback-Leibler divergence of Poisson rates",
            citation=SCHUETT,
            streamed=poisson,
            cancels=True,
        ),
    )
}


def _gram(patterns: np.ndarray) -> np.ndarray:
    """Return inner products of all pairs of patterns."""
    return sum(block @ block.T for block in blocks(patterns))


def _from_gram(gram: np.ndarray) -> np.ndarray:
    """Return g_ii + g_jj − 2 g_ij for the pairs of the upper triangle."""
    row, col = np.triu_indices(len(gram), k=1)
    diagonal = np.diagonal(gram)
    return diagonal[row] + diagonal[col] - 2.0 * gram[row, col]


def _whiten(patterns: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, float]:
    """Return B L with L Lᵀ = Σ⁻¹, and how much L⁻¹ may enlarge rounding."""
    from scipy.linalg import cholesky, solve_triangular

    lower = cholesky(covariance, lower=True)
    white = solve_triangular(lower, np.asarray(patterns, np.float64).T, lower=True).T
    diagonal = np.diagonal(lower)
    return white, float(diagonal.max() / diagonal.min())


def _rounding(patterns: np.ndarray, condition: float) -> float:
    """Return how far rounding goes in sums over channels of whitened patterns, over their length.

    What solving for them adds grows with the number of channels.
    """
    sums = rounding_of_sums(patterns.shape[1])
    return sums if condition == 1.0 else sums * condition * np.sqrt(patterns.shape[1])
