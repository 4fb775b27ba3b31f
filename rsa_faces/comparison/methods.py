"""Comparison methods: how similar two RDM vectors are, and what else can be done with each.

Every method takes model vectors (n_model, n_pairs) and data vectors (n_data, n_pairs) without NaN
and returns similarities (n_model, n_data). A row with no similarity (a constant one) gives NaN.
`METHODS` holds one :class:`Method` for each; wherever a name is wanted, a :class:`Method` or a
function of model and data vectors will do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial as bound
from typing import Any

import numpy as np

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._kernels.kendall import kendall_sums
from rsa_faces._kernels.ranks import centred_ranks
from rsa_faces.comparison import _forms, _influence
from rsa_faces.comparison._forms import (
    Covariance,
    centred,
    centred_or_nan,
    centred_unit,
    partial_correlations,
    pool_ranks,
    pool_standard,
    pool_unit,
    unit,
    whitened,
)

_BLOCK = 512  # RDMs ranked together
Rows = Callable[[np.ndarray], np.ndarray]
SCHUETT = "Schütt H. H. et al. (2023). eLife 12, e82566. doi:10.7554/eLife.82566"
NILI = (
    "Nili H. et al. (2014). PLoS Computational Biology 10, e1003553. "
    "doi:10.1371/journal.pcbi.1003553"
)
DIEDRICHSEN = (
    "Diedrichsen J. et al. (2021). Neurons, Behavior, Data analysis, and Theory 5(3). "
    "doi:10.51628/001c.27664"
)


@dataclass(frozen=True, eq=False)
class Method:
    """A method of comparison and its forms.

    Parameters
    ----------
    name : str
        Name in arguments, tables and configurations.
    function : callable
        Of model vectors (n_model, n_pairs) and data vectors (n_data, n_pairs) without NaN to
        similarities (n_model, n_data), NaN where there is none.
    label, symbol : str, optional
        What it is called in sentences and on axes; by default the name.
    citation : str, optional
        Its source, for the methods text.
    correlates : bool, default False
        Matrices of its similarities have no negative eigenvalue, and a diagonal of 1: layers can be
        taken out of others (:func:`rsa_faces.mapping.semi_partial`).
    uses_ranks : bool, default False
        Only the order of dissimilarities matters.
    centres : bool, default True
        A constant RDM has no similarity; False: only one of zeros has none.
    inner : callable, optional
        Of cosines of (centred, whitened) dissimilarities, where the similarities of sums of RDMs
        follow from inner products: of model vectors x, data vectors y and counts to
        (xᵀy, xᵀx, yᵀy) in each sample, (n_samples, n_model, n_data), (n_samples, n_model),
        (n_samples, n_data), and to (xᵀx, yᵀy) before whitening.
    whitened : bool, default False
        Uses the covariance of dissimilarities: needs every pair. `function`, `inner`, `resampled`
        and `influence` take a keyword `sigma_k`.
    weighted : callable, optional
        Of model and data vectors and weights (n_samples, n_pairs), at least 0, to similarities
        (n_samples, n_model, n_data): those of RDMs in which each pair is there as often as its
        weight says. What resamples of conditions and weights of evidence need.
    whole_weights : bool, default False
        `weighted` takes whole numbers only.
    resampled : callable, optional
        Instead of `weighted`, where copies of conditions are more than copies of pairs: of model
        and data vectors and counts (n_samples, n_conditions).
    pooling : callable, default z-scores
        How RDMs are scaled before they are averaged over subjects, for ceilings: of vectors and
        weights, both (n_samples, n_pairs), to scaled vectors.
    paired : callable, optional
        `weighted` of one RDM with another for each sample, (n_samples, n_pairs), where that is
        faster one by one: to similarities (n_samples,).
    partial : callable, optional
        Of correlations (n_samples, n_model + n_given, n_data + n_given) and n_given to partial
        correlations: what is left once RDMs are regressed out.
    factors : pair of callables, optional
        Of model and of data vectors to rows whose products are the similarities.
    largest : callable, default 1
        Of one model vector that varies to the largest similarity its ties allow.
    influence : callable, optional
        Of model and data vectors to influences, (n_model, n_data, n_pairs): derivatives of the
        similarities by the weight of each pair. What standard errors in closed form need. With
        weights of evidence (where `weighted` takes any) these are a third argument, (n_pairs,).
    partial_influence : callable, optional
        The same of the partial form: of model and data vectors, and those regressed out.
    code : int, optional
        Its number in the compiled loops of flexible models; without one they are not used.
    sigma_k : Covariance, optional
        What a whitened method is bound to: :meth:`with_sigma_k`.

    See Also
    --------
    resolve : Return the method of a name, a function, or a :class:`Method`.
    rsa_faces.compare : Compare model RDMs with data RDMs.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> def agreement(model, data):
    ...     return 1 - np.abs(model[:, None] - data).mean(axis=2)
    >>> rdms = rf.RDMs([[0.1, 0.2, 0.3], [0.1, 0.2, 0.6]], ["a", "b", "c"], "given")
    >>> rf.compare(rdms, rdms, method=agreement).round(2)
    array([[1. , 0.9],
           [0.9, 1. ]])
    """

    name: str
    function: Callable[..., np.ndarray]
    label: str = ""
    symbol: str = ""
    citation: str | None = None
    correlates: bool = False
    uses_ranks: bool = False
    centres: bool = True
    whitened: bool = False
    inner: Callable[[np.ndarray, np.ndarray, np.ndarray], tuple] | None = None
    weighted: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None = None
    whole_weights: bool = False
    resampled: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None = None
    pooling: Callable[[np.ndarray, np.ndarray], np.ndarray] = pool_standard
    paired: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None = None
    partial: Callable[[np.ndarray, int], np.ndarray] | None = None
    factors: tuple[Rows, Rows] | None = None
    largest: Callable[[np.ndarray], float] = _forms.no_less
    influence: Callable[..., np.ndarray] | None = None
    partial_influence: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None = None
    code: int | None = None
    sigma_k: Covariance | None = None

    def __post_init__(self):
        for field in ("label", "symbol"):
            object.__setattr__(self, field, getattr(self, field) or self.name)

    @property
    def linear(self) -> bool:
        """Whether similarities of sums of RDMs follow from inner products."""
        return self.inner is not None

    def __call__(self, model: np.ndarray, data: np.ndarray, **options) -> np.ndarray:
        """Return the similarities of model vectors with data vectors, (n_model, n_data)."""
        similarity = self.function(model, data, **options)
        if np.shape(similarity) != (len(model), len(data)):
            raise InputError(
                f"expected similarities of shape {(len(model), len(data))} from the method "
                f"{self.name!r}, for {len(model)} models and {len(data)} data RDMs, got "
                f"{np.shape(similarity)}."
            )
        return similarity

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Method({self.name!r})"

    @property
    def takes_evidence(self) -> bool:
        """Whether pairs may have any weight."""
        return self.weighted is not None and not self.whole_weights

    def check_measured(self, vectors: np.ndarray, what: str) -> None:
        """Check that no pair is missing that the method needs."""
        if self.whitened and (missing := int(np.isnan(vectors).sum())):
            raise InputError(
                f"the method {self.name!r} needs every pair, but {missing} pairs are missing (NaN) "
                f"in {what}. Use another method, or subset() the conditions to those measured."
            )

    def with_sigma_k(self, sigma_k: Covariance) -> Method:
        """Return the method for pattern estimates that covary over conditions as `sigma_k` says."""
        takes = ("function", "inner", "resampled", "influence")
        forms: dict[str, Any] = {
            form: bound(getattr(self, form), sigma_k=sigma_k) for form in takes
        }
        return replace(self, **forms, sigma_k=sigma_k, code=None, factors=None)

    def among(self, conditions: np.ndarray) -> Method:
        """Return the method for some of the conditions, given by their positions."""
        if self.sigma_k is None:
            return self
        return self.with_sigma_k(self.sigma_k.among(conditions))

    def with_counts(self, model: np.ndarray, data: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Compare RDMs whose conditions are there as often as counts say.

        Parameters
        ----------
        model, data : ndarray, shape (n_model, n_pairs) and (n_data, n_pairs)
            Every pair measured.
        counts : ndarray, shape (n_samples, n_conditions)

        Returns
        -------
        ndarray, shape (n_samples, n_model, n_data)

        Raises
        ------
        InputError
            If the method has no weighted form, unless every count is 1.
        """
        if self.resampled is not None:
            return self.resampled(model, data, counts)
        if self.weighted is None and (counts == 1).all():
            once = self(model, data)
            return np.broadcast_to(once, (len(counts), *once.shape))
        return self.with_weights(model, data, _forms.pair_weights(counts))

    def with_weights(self, model: np.ndarray, data: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Compare RDMs whose pairs are there as often as weights, (n_samples, n_pairs), say.

        Raises
        ------
        InputError
            If the method has no weighted form.
        """
        if self.weighted is not None:
            return self.weighted(model, data, weights)
        able = ", ".join(repr(m.name) for m in METHODS.values() if m.weighted is not None)
        raise InputError(
            f"the method {self.name!r} has no weighted form, which resampled conditions and pairs "
            f"of unequal weight need. Use one that has ({able}), or give it one: "
            "Method(..., weighted=function)."
        )


def resolve(method: str | Method | Callable[..., np.ndarray]) -> Method:
    """Return the method of a name, a function, or a :class:`Method`.

    Parameters
    ----------
    method : str, Method or callable
        A name in `METHODS`; or a function of model vectors (n_model, n_pairs) and data vectors
        (n_data, n_pairs) that returns similarities (n_model, n_data).

    Returns
    -------
    Method
        A function has no forms but itself: what needs another says so.

    Raises
    ------
    InputError
        If no method has this name; the nearest is named.

    See Also
    --------
    Method : A method of comparison and its forms.
    rsa_faces.compare : Compare model RDMs with data RDMs.

    Examples
    --------
    >>> from rsa_faces.comparison import resolve
    >>> resolve("spearman").label
    'Spearman correlation'
    """
    if isinstance(method, Method):
        return method
    if callable(method):
        return Method(getattr(method, "__name__", type(method).__name__), method)
    return METHODS[check_choice(method, METHODS, what="comparison method")]


def pearson(model: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Pearson correlation of dissimilarities, -1 to 1."""
    return unit(centred(model)) @ unit(centred(data)).T


def spearman(model: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Spearman correlation: Pearson of average ranks, -1 to 1; below 1 where one side has ties."""
    products, squares_model, squares_data = _rank_products(model, data)
    with np.errstate(divide="ignore", invalid="ignore"):
        return products / np.sqrt(np.outer(squares_model, squares_data))


def rho_a(model: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Spearman correlation expected when ties are broken at random [1]_.

    Σ (r_x − r̄)(r_y − r̄) · 12 / (n³ − n) with average ranks r. Without ties it is Spearman's.

    References
    ----------
    .. [1] Schütt H. H. et al. (2023). eLife 12, e82566. doi:10.7554/eLife.82566
    """
    n = model.shape[1]
    products, squares_model, squares_data = _rank_products(model, data)
    products[(squares_model == 0)[:, None] | (squares_data == 0)] = np.nan
    return products * (12.0 / (float(n) ** 3 - n))


def kendall(model: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Kendall's tau-b: concordant minus discordant over the geometric mean of untied pairs."""
    sums, untied_model, untied_data = _kendall(model, data)
    return sums / np.sqrt(np.outer(untied_model.astype(float), untied_data))


def tau_a(model: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Kendall's tau-a: concordant minus discordant over all pairs, -1 to 1 [1]_.

    References
    ----------
    .. [1] Nili H. et al. (2014). PLoS Computational Biology 10, e1003553.
       doi:10.1371/journal.pcbi.1003553
    """
    n = model.shape[1]
    return _kendall(model, data)[0] / (n * (n - 1) / 2)


def cosine(model: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Cosine of the angle between dissimilarity vectors, -1 to 1."""
    return unit(model) @ unit(data).T


def corr_cov(model: np.ndarray, data: np.ndarray, sigma_k: Covariance | None = None) -> np.ndarray:
    """Whitened Pearson correlation: centred vectors, then as `cosine_cov` [1]_.

    References
    ----------
    .. [1] Diedrichsen J. et al. (2021). Neurons, Behavior, Data analysis, and Theory 5(3).
       doi:10.51628/001c.27664
    """
    return cosine_cov(centred_or_nan(model), centred_or_nan(data), sigma_k)


def cosine_cov(
    model: np.ndarray, data: np.ndarray, sigma_k: Covariance | None = None
) -> np.ndarray:
    """Whitened cosine, xᵀ V⁻¹ y / √(xᵀ V⁻¹ x · yᵀ V⁻¹ y) [1]_.

    V is the covariance of the estimates of dissimilarities under noise alone, when the patterns'
    estimates covary over conditions as `sigma_k` says (None: independent).

    References
    ----------
    .. [1] Diedrichsen J. et al. (2021). Neurons, Behavior, Data analysis, and Theory 5(3).
       doi:10.51628/001c.27664
    """
    # Together, so that V is inverted once.
    white_model, white_data = np.split(whitened(np.vstack([model, data]), sigma_k), [len(model)])
    norms = [
        np.sqrt(np.einsum("ij,ij->i", v, w)) for v, w in ((model, white_model), (data, white_data))
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        return white_model @ data.T / np.outer(*norms)


#: The method of each name. What is entered here is known everywhere, also in configurations.
METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "pearson",
            pearson,
            code=1,
            correlates=True,
            label="Pearson correlation",
            symbol="Pearson r",
            inner=bound(_forms.linear_inner, centre=True),
            weighted=bound(_forms.linear, centre=True),
            paired=bound(_forms.paired_linear, centre=True),
            partial=partial_correlations,
            factors=(centred_unit, centred_unit),
            influence=_influence.pearson,
            partial_influence=_influence.partial_pearson,
        ),
        Method(
            "spearman",
            spearman,
            code=2,
            correlates=True,
            label="Spearman correlation",
            symbol="Spearman ρ",
            uses_ranks=True,
            weighted=bound(_forms.rank_correlation, finish=_forms.correlation_of),
            paired=bound(_forms.paired_ranks, finish=_forms.correlation_of),
            pooling=pool_ranks,
            partial=partial_correlations,
            factors=(_forms.unit_ranks, _forms.unit_ranks),
            largest=_forms.largest_spearman,
            influence=_influence.spearman,
            partial_influence=_influence.partial_spearman,
        ),
        Method(
            "rho-a",
            rho_a,
            code=3,
            label="Spearman correlation with ties broken at random (rho-a)",
            symbol="Spearman ρ-a",
            citation=SCHUETT,
            uses_ranks=True,
            weighted=bound(_forms.rank_correlation, finish=_forms.rho_a_of),
            paired=bound(_forms.paired_ranks, finish=_forms.rho_a_of),
            whole_weights=True,
            pooling=pool_ranks,
            factors=(_forms.rho_a_ranks, _forms.rho_a_ranks),
            largest=_forms.largest_rho_a,
            influence=_influence.rho_a,
        ),
        Method(
            "kendall",
            kendall,
            code=4,
            correlates=True,
            label="Kendall's tau-b",
            symbol="Kendall τ-b",
            uses_ranks=True,
            weighted=bound(_forms.concordance, finish=_forms.correlation_of),
            paired=bound(_forms.paired_concordance, finish=_forms.correlation_of),
            whole_weights=True,
            pooling=pool_ranks,
            largest=_forms.largest_kendall,
            influence=_influence.kendall,
        ),
        Method(
            "tau-a",
            tau_a,
            code=5,
            label="Kendall's tau-a",
            symbol="Kendall τ-a",
            citation=NILI,
            uses_ranks=True,
            weighted=bound(_forms.concordance, finish=_forms.tau_a_of),
            paired=bound(_forms.paired_concordance, finish=_forms.tau_a_of),
            whole_weights=True,
            pooling=pool_ranks,
            largest=_forms.largest_tau_a,
            influence=_influence.tau_a,
        ),
        Method(
            "cosine",
            cosine,
            code=0,
            label="cosine similarity",
            centres=False,
            inner=bound(_forms.linear_inner, centre=False),
            weighted=bound(_forms.linear, centre=False),
            paired=bound(_forms.paired_linear, centre=False),
            pooling=pool_unit,
            factors=(unit, unit),
            influence=_influence.cosine,
        ),
        Method(
            "corr_cov",
            corr_cov,
            code=7,
            label="whitened Pearson correlation",
            symbol="whitened Pearson r",
            citation=DIEDRICHSEN,
            whitened=True,
            inner=bound(_forms.whitened_inner, centre=True),
            resampled=bound(_forms.whitened_resampled, centre=True),
            factors=(
                bound(_forms.white_unit, scaling=centred_or_nan),
                bound(_forms.unit_in_white, scaling=centred_or_nan),
            ),
            influence=_influence.corr_cov,
        ),
        Method(
            "cosine_cov",
            cosine_cov,
            code=6,
            label="whitened cosine similarity",
            symbol="whitened cosine",
            citation=DIEDRICHSEN,
            centres=False,
            whitened=True,
            inner=bound(_forms.whitened_inner, centre=False),
            resampled=bound(_forms.whitened_resampled, centre=False),
            pooling=pool_unit,
            factors=(_forms.white_unit, _forms.unit_in_white),
            influence=_influence.cosine_cov,
        ),
    )
}


def _rank_products(model: np.ndarray, data: np.ndarray):
    """Return inner products of centred average ranks, and the sums of squares of each side."""
    x, squares_model = centred_ranks(model)
    products, squares_data = np.empty((len(model), len(data))), np.empty(len(data))
    # In blocks: the ranks of many RDMs need not be in memory together.
    for start in range(0, len(data), _BLOCK):
        part = slice(start, start + _BLOCK)
        y, squares_data[part] = centred_ranks(data[part])
        products[:, part] = x @ y.T
    return products, squares_model, squares_data


def _kendall(model: np.ndarray, data: np.ndarray):
    """Return Kendall's sums and the untied pairs of each side, NaN for constant rows."""
    sums, untied_model, untied_data = kendall_sums(model, data)
    sums = sums.astype(float)
    sums[untied_model == 0] = np.nan
    sums[:, untied_data == 0] = np.nan
    return sums, untied_model, untied_data
