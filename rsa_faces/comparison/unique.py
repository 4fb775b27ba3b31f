"""What each layer adds to those before it: semi-partial correlations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rsa_faces._core.checks import check_arguments
from rsa_faces._core.errors import InputError
from rsa_faces._core.warning import warn
from rsa_faces.comparison._compare import MIN_PAIRS, align_pair
from rsa_faces.comparison.methods import METHODS, Method, resolve
from rsa_faces.rdm import RDMs
from rsa_faces.rdm._rdms import check_measured

_EXPLAINED = 1e-10  # what is left of a variance of 1 is rounding


def semi_partial(
    model: RDMs, data: RDMs, *, method: str = "kendall", given: RDMs | None = None
) -> np.ndarray:
    """Correlate with data what each layer has beyond the layers before it.

    Parameters
    ----------
    model : RDMs
        Layers in order of computation, every pair measured. With a label ``network``, layers of
        other networks do not count as before.
    data : RDMs
        Over the same conditions, matched by name.
    method : {"kendall", "spearman", "pearson"}, default "kendall"
        Correlation that is made semi-partial; kendall is tau-b.
    given : RDMs, optional
        RDMs to take out of every model RDM, instead of the layers before it; every pair measured.

    Returns
    -------
    ndarray, shape (n_model, n_data)
        From -1 to 1. The first layer of a network has its plain correlation.

    Raises
    ------
    ConditionMismatchError
        If the conditions differ.
    InputError
        If the method is unknown, or a pair of `model` or `given` is missing.

    Warns
    -----
    UserWarning
        If a value is undefined (NaN): an RDM is constant, a layer is explained by those before it
        entirely, or fewer than 3 pairs are measured.

    See Also
    --------
    rsa_faces.compare : Compare model RDMs with data RDMs.
    rsa_faces.variance_partition

    Notes
    -----
    With correlations τ of data x, layer y and the layers z before it [1]_ [2]_:
    (τ_xy − τ_xz T⁺ τ_zy) / √(1 − τ_yz T⁺ τ_zy), T⁺ the pseudo-inverse of the correlations among z;
    with one z it is (τ_xy − τ_xz τ_yz) / √(1 − τ_yz²). z is taken out of the layer, not out of the
    data: squares are shares of all of the data's variance, for Pearson exactly. For Kendall it is
    the same algebra on the covariances of signs; ties count as in tau-b.

    Pairs that are NaN in a data RDM are left out for it.

    References
    ----------
    .. [1] Schwartz E. et al. (2023). Journal of Neuroscience 43(23), 4291.
    .. [2] Kim S. (2015). Communications for Statistical Applications and Methods 22, 665-674.
       doi:10.5351/CSAM.2015.22.6.665

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.mapping import semi_partial
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(20)]
    >>> first, new = rng.random((2, 190))
    >>> model = rf.RDMs([first, first + 0.5 * new], names, "simulated")
    >>> data = rf.RDMs([first + 0.1 * rng.random(190), new], names, "simulated")
    >>> semi_partial(model, data, method="pearson").round(2)
    array([[1.  , 0.08],
           [0.01, 1.  ]])
    """
    check_arguments(semi_partial, locals())
    method = check_unique(resolve(method))
    model, data = align_pair(model, data)
    check_measured(model, "model")
    if given is not None:
        given = align_pair(given, data)[0].align(model.conditions)
        check_measured(given, "given")
    before = layers_before(model) if given is None else None
    others = None if given is None else given.vectors
    values = np.full((len(model), len(data)), np.nan)
    absent, groups = np.unique(np.isnan(data.vectors), axis=0, return_inverse=True)
    for i, mask in enumerate(absent):
        columns = np.flatnonzero(groups == i)
        if (~mask).sum() >= MIN_PAIRS:
            values[:, columns] = unique_similarities(
                model.vectors[:, ~mask],
                data.vectors[columns][:, ~mask],
                method,
                before,
                None if others is None else others[:, ~mask],
            )
    if (undefined := np.isnan(values)).any():
        rows = [i for i in np.flatnonzero(undefined.any(axis=1))]
        warn(
            f"semi-partial correlation is undefined (NaN) for {int(undefined.sum())} of "
            f"{values.size} combinations, in model RDMs {', '.join(map(str, rows[:5]))}: an RDM is "
            "constant, or a layer is explained by those before it, or pairs are missing."
        )
    return values


def check_unique(method: Method) -> Method:
    """Return a method of which layers can be made unique: matrices of it are of correlations."""
    if not method.correlates:
        able = ", ".join(name for name, known in METHODS.items() if known.correlates)
        raise InputError(
            f"expected a method for semi-partial correlation ({able}), got {method.name!r}."
        )
    return method


def layers_before(model: RDMs) -> list[np.ndarray]:
    """Return the rows of the layers before each, within its network."""
    labels = model.labels
    network = labels["network"].to_numpy() if "network" in labels else np.zeros(len(model))
    return [np.flatnonzero(network[:i] == network[i]) for i in range(len(model))]


def unique_similarities(
    model: np.ndarray,
    data: np.ndarray,
    method: Method,
    before: Sequence[np.ndarray] | None,
    given: np.ndarray | None = None,
) -> np.ndarray:
    """Return semi-partial correlations of vectors, (n_model, n_data); see :func:`semi_partial`."""
    pool = model if given is None else np.vstack([model, given])
    if before is None:
        before = [np.arange(len(model), len(pool))] * len(model)
    among, across = method(pool, pool), method(pool, data)
    return semi_partial_correlations(among[None], across[None], before)[0]


def semi_partial_correlations(
    among: np.ndarray, across: np.ndarray, before: Sequence[np.ndarray]
) -> np.ndarray:
    """Return semi-partial correlations from correlations.

    Parameters
    ----------
    among : ndarray, shape (n_samples, n_rows, n_rows)
        Correlations of layers (and of what else is taken out) with each other.
    across : ndarray, shape (n_samples, n_rows, n_data)
        Their correlations with the data.
    before : sequence of ndarray of int
        For each layer the rows that are taken out of it; layers come first among the rows.

    Returns
    -------
    ndarray, shape (n_samples, n_layers, n_data)
        NaN where a layer is explained by those before it, or a correlation is undefined.
    """
    values = np.full((len(among), len(before), across.shape[2]), np.nan)
    for i, z in enumerate(before):
        between, own = among[:, z[:, None], z], among[:, i, z]
        fine = ~(np.isnan(between).any(axis=(1, 2)) | np.isnan(own).any(axis=1))
        # Neighbouring layers can be copies of each other but for rounding (a layer and its
        # dropout).
        inverse = np.linalg.pinv(between[fine], hermitian=True, rcond=1e-10)
        weights = np.einsum("bz,bzy->by", own[fine], inverse)
        unexplained = 1 - np.einsum("bz,bz->b", weights, own[fine])
        unexplained = np.where(unexplained > _EXPLAINED, unexplained, np.nan)
        rest = across[fine][:, i] - np.einsum("bz,bzd->bd", weights, across[fine][:, z])
        values[fine, i] = rest / np.sqrt(unexplained)[:, None]
    return np.clip(values, -1.0, 1.0)
