"""The public door of comparison: conditions by name, missing pairs, undefined similarities."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rsa_faces._core.checks import check_arguments, check_choice, check_enough, check_pair_weights
from rsa_faces._core.errors import ConditionMismatchError, InputError
from rsa_faces._core.labels import Labels, codes_of
from rsa_faces._core.names import named, unnamed
from rsa_faces._core.warning import warn
from rsa_faces.comparison._forms import Covariance, bounded
from rsa_faces.comparison.methods import METHODS, Method, resolve
from rsa_faces.rdm import RDMs
from rsa_faces.rdm._rdms import check_measured

# Two pairs correlate by 1 or -1 whatever they are.
MIN_PAIRS = 3


def compare(
    model: RDMs,
    data: RDMs,
    *,
    method: str | Method | Callable[..., np.ndarray] = "rho-a",
    conditions: str = "same",
    sigma_k: np.ndarray | None = None,
    given: RDMs | None = None,
    weights: np.ndarray | None = None,
    blocks: Labels | None = None,
) -> np.ndarray:
    """Compare model RDMs with data RDMs.

    Parameters
    ----------
    model, data : RDMs
        Over the same conditions, in any order: they are matched by name.
    method : str, Method or callable, default "rho-a"
        One of `rsa_faces.comparison.METHODS`: pearson, spearman, rho-a, kendall (tau-b), tau-a,
        cosine, corr_cov, cosine_cov; or a function of model vectors (n_model, n_pairs) and data
        vectors (n_data, n_pairs) that returns similarities (n_model, n_data).
    conditions : {"same", "intersection"}, default "same"
        Whether differing sets of conditions are an error, or only those in both are used (with a
        warning that says how many are left out).
    sigma_k : ndarray, shape (n_conditions, n_conditions), optional
        For corr_cov and cosine_cov: covariance of the pattern estimates over conditions, in the
        order of `model.conditions`; None takes them as independent.
    given : RDMs, optional
        For pearson and spearman: RDMs that are regressed out of both sides (of their ranks for
        spearman), which makes the similarity a partial correlation. Matched by name; all pairs
        measured.
    weights : array_like, shape (n_data, n_pairs), optional
        For pearson, spearman and cosine: how much each pair of the data counts, such as the
        evidence of arrangements (:class:`rsa_faces.behaviour.RaterRDMs`), in the order of the
        data's own conditions. The similarity is that of RDMs in which every pair is there as often
        as its weight says; weights of 0 leave pairs out.

    blocks : mapping or Series of condition to run, optional
        The similarity within each run (of its own ranks, z-scores and weights), averaged over runs.
        Pairs of conditions of different runs are not used and may be NaN. A run of which an RDM
        has no pair at all is left out for it.

    Returns
    -------
    ndarray, shape (n_model, n_data)
        Similarities, from -1 to 1 for the methods of the package.

    Raises
    ------
    ConditionMismatchError
        If the conditions differ.
    InputError
        If the method is unknown (the nearest is named) or cannot do what is asked for, or
        `sigma_k`, `given` or `weights` does not fit.

    Warns
    -----
    UserWarning
        Once, naming the RDMs, where a similarity is undefined (NaN): an RDM is constant, or fewer
        than 3 pairs are measured in both.

    See Also
    --------
    evaluate : Evaluate how well models predict data, and how far the answer can be trusted.
    compute_rdms : Build RDMs from patterns.

    Notes
    -----
    Missing pairs (NaN) are left out for each combination of RDMs: the pairs measured in both are
    used. The whitened methods need every pair.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> a = rf.RDMs([[1.0, 2, 3]], ["x", "y", "z"], "euclidean")
    >>> b = rf.RDMs([[3.0, 1, 2]], ["z", "x", "y"], "euclidean")
    >>> rf.compare(a, b, method="spearman")
    array([[-0.5]])
    """
    check_arguments(compare, locals())
    method = resolve(method)
    if weights is not None:
        weights = check_weights(weights, method, data, given)
    model, data = align_pair(model, data, conditions=conditions)
    if weights is not None:
        weights = weights.subset(data.conditions)
    if sigma_k is not None:
        method = with_sigma_k(method, sigma_k, model.conditions)
    if blocks is None:
        similarity = _similarity(model, data, method, given, weights)
    else:
        codes, names = codes_of(blocks, model.conditions, "block")
        total, n_runs = np.zeros((2, len(model), len(data)))
        for run in range(len(names)):
            members = np.flatnonzero(codes == run)
            check_enough(len(members), 3, f"conditions in block {names[run]!r}")
            some = [model.conditions[i] for i in members]
            sides = model.subset(some), data.subset(some)
            there = [~np.isnan(side.vectors).all(axis=1) for side in sides]
            both = there[0][:, None] & there[1]
            if not both.any():
                continue
            rows, columns = (np.flatnonzero(t) for t in there)
            of_run = _similarity(
                sides[0][rows],
                sides[1][columns],
                method.among(members),
                given,
                None if weights is None else weights.subset(some)[columns],
            )
            total[both] += of_run.ravel()
            n_runs += both
        with np.errstate(invalid="ignore"):
            similarity = total / n_runs
    _warn_undefined(similarity, model, data)
    return similarity


def _similarity(
    model: RDMs,
    data: RDMs,
    method: Method,
    given: RDMs | None,
    weights: RDMs | None,
) -> np.ndarray:
    """Return similarities of RDMs over the same conditions, (n_model, n_data)."""
    if weights is not None:
        return _with_weights(model, data, weights, method)
    if given is not None:
        fixed = align_given(given, model, data, method).vectors
        similarity = _partial(model.vectors, data.vectors, fixed, method)
        return bounded(similarity)
    missing = np.isnan(model.vectors), np.isnan(data.vectors)
    if not missing[0].any() and not missing[1].any():
        similarity = np.full((len(model), len(data)), np.nan)
        if model.n_pairs >= MIN_PAIRS:
            similarity = method(model.vectors, data.vectors)
    else:
        method.check_measured(model.vectors, "the model")
        method.check_measured(data.vectors, "the data")
        similarity = _with_missing(model.vectors, data.vectors, *missing, method)
    return bounded(similarity)


def align_pair(model: RDMs, data: RDMs, *, conditions: str = "same") -> tuple[RDMs, RDMs]:
    """Return both with the same conditions in the order of `model`.

    Parameters
    ----------
    model, data : RDMs
        Matched by name.
    conditions : {"same", "intersection"}, default "same"
        As in :func:`compare`.

    Returns
    -------
    model, data : RDMs

    Raises
    ------
    ConditionMismatchError
        If the conditions differ and `conditions` is "same".
    InputError
        If fewer than 3 conditions are in both.

    See Also
    --------
    compare : Compare model RDMs with data RDMs.
    align_given : Return the RDMs to regress out, in the order of the model's conditions.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.comparison import align_pair
    >>> model = rf.RDMs([1.0, 2, 3], ["a", "b", "c"], "model")
    >>> data = rf.RDMs([1.0, 2, 3], ["c", "b", "a"], "data")
    >>> align_pair(model, data)[1].vectors
    array([[3., 2., 1.]])
    """
    check_arguments(align_pair, locals())
    check_choice(conditions, ["same", "intersection"], what="value of `conditions`")
    if model.conditions == data.conditions:
        return model, data
    in_data = set(data.conditions)
    common = [name for name in model.conditions if name in in_data]
    dropped = model.n_conditions - len(common), data.n_conditions - len(common)
    if any(dropped):
        if conditions == "same":
            raise ConditionMismatchError(
                model.conditions,
                data.conditions,
                hint="Rename them, or use conditions='intersection' for those in both.",
            )
        if len(common) < MIN_PAIRS:
            raise InputError(
                f"expected at least 3 conditions in both model and data, got {len(common)}."
            )
        warn(
            f"using the {len(common)} conditions in both: {dropped[0]} of the model's and "
            f"{dropped[1]} of the data's are left out."
        )
    return model.subset(common), data.subset(common)


def align_given(given: RDMs, model: RDMs, data: RDMs, method: str | Method) -> RDMs:
    """Return the RDMs to regress out, in the order of the model's conditions.

    Parameters
    ----------
    given, model, data : RDMs
        Model and data already have the same conditions.
    method : str or Method
        Comparison method.

    Returns
    -------
    RDMs

    Raises
    ------
    ConditionMismatchError
        If a condition of the model is not in `given`.
    InputError
        If the method has no partial form, an RDM of `given` is constant, or any pair is missing.

    See Also
    --------
    align_pair : Return both with the same conditions in the order of `model`.
    compare : Compare model RDMs with data RDMs.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> from rsa_faces.comparison import align_given
    >>> model = rf.RDMs([1.0, 2, 3], ["a", "b", "c"], "model")
    >>> given = rf.RDMs([1.0, 2, 4], ["c", "b", "a"], "other")
    >>> align_given(given, model, model, "pearson").vectors
    array([[4., 2., 1.]])
    """
    method = resolve(method)
    if method.partial is None:
        able = ", ".join(m.name for m in METHODS.values() if m.partial is not None)
        raise InputError(
            f"expected a method that can regress out ({able}) with `given`, got "
            f"{method.name!r}, which has no partial form."
        )
    if set(model.conditions) - set(given.conditions):
        raise ConditionMismatchError(
            model.conditions,
            given.conditions,
            right_name="given",
            hint="Every condition that is compared must be in `given`.",
        )
    given = given.subset(model.conditions)
    for rdms, what in ((given, "given"), (model, "model"), (data, "data")):
        check_measured(rdms, f"the {what} of a partial correlation")
    constant = np.flatnonzero((given.vectors == given.vectors[:, :1]).all(axis=1))
    if constant.size:
        raise InputError(
            f"expected RDMs that vary in `given`, but {describe(given, constant[0])} is constant "
            "over these conditions: it cannot be regressed out."
        )
    return given


def max_similarity(
    model: RDMs, *, method: str | Method | Callable[..., np.ndarray] = "rho-a"
) -> np.ndarray:
    """Return the largest similarity each model could reach with data that have no ties.

    Parameters
    ----------
    model : RDMs
        Model RDMs; ties (equal dissimilarities) limit the rank methods.
    method : str, default "rho-a"
        As in :func:`compare`.

    Returns
    -------
    ndarray, shape (n_model,)
        1 without ties and for pearson, cosine and the whitened methods. With ties: for spearman
        √s and for rho-a s, where s = Σ (r − r̄)² · 12 / (n³ − n) of the model's average ranks;
        for tau-a the share u of untied pairs of entries, and for kendall √u. NaN where any
        similarity is: a constant model (zero for the cosines), or fewer than 3 pairs. Pairs that
        are NaN are left out.

    See Also
    --------
    compare : Compare model RDMs with data RDMs.
    rsa_faces.noise_ceiling : Compute the noise ceiling of data RDMs.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> model = rf.RDMs([[0.0, 1, 1]], ["a", "b", "c"], "model")
    >>> rf.comparison.max_similarity(model, method="spearman").round(3)
    array([0.866])
    """
    check_arguments(max_similarity, locals())
    method = resolve(method)
    largest = np.full(len(model), np.nan)
    for i, vector in enumerate(model.vectors):
        vector = vector[~np.isnan(vector)]
        # A cosine needs a direction, the other methods need differences between pairs.
        reference = vector[:1] if method.centres else 0.0
        if len(vector) >= MIN_PAIRS and not (vector == reference).all():
            largest[i] = method.largest(vector)
    return largest


def _partial(model: np.ndarray, data: np.ndarray, given: np.ndarray, method: Method) -> np.ndarray:
    """Return what is left of the similarity once `given` is regressed out of both sides."""
    if model.shape[1] < MIN_PAIRS:
        return np.full((len(model), len(data)), np.nan)
    correlations = method(np.vstack([model, given]), np.vstack([data, given]))
    # `align_given` refused methods without a partial form.
    return method.partial(correlations[None], len(given))[0]  # type: ignore[misc]


def _with_missing(model, data, missing_model, missing_data, function) -> np.ndarray:
    """Compare over the pairs present in both; rows that miss the same pairs go together."""
    similarity = np.full((len(model), len(data)), np.nan)
    masks_model, group_model = np.unique(missing_model, axis=0, return_inverse=True)
    masks_data, group_data = np.unique(missing_data, axis=0, return_inverse=True)
    for i, mask_model in enumerate(masks_model):
        rows = np.flatnonzero(group_model == i)
        for j, mask_data in enumerate(masks_data):
            columns = np.flatnonzero(group_data == j)
            present = ~(mask_model | mask_data)
            if present.sum() >= MIN_PAIRS:
                similarity[np.ix_(rows, columns)] = function(
                    model[rows][:, present], data[columns][:, present]
                )
    return similarity


def check_weights(weights, method: Method, data: RDMs, given: RDMs | None) -> RDMs:
    """Return weights with the names of their conditions."""
    if not method.takes_evidence or given is not None:
        able = [m.name for m in METHODS.values() if m.takes_evidence]
        without = " with `given`" if given is not None else ""
        raise InputError(
            f"expected a method that takes weights ({', '.join(able[:-1])} or {able[-1]}), "
            f"without `given`, for `weights`, got {method.name!r}{without}."
        )
    weights = unnamed(weights, what="weights")
    weights = check_pair_weights(weights, data.vectors.shape, what="weights")
    return RDMs(weights, data.conditions, "weights")


def _with_weights(model: RDMs, data: RDMs, weights: RDMs, method: Method) -> np.ndarray:
    """Compare under weights; a pair that is missing on one side has none."""
    similarity = np.full((len(model), len(data)), np.nan)
    missing = np.isnan(model.vectors)
    masks, group = np.unique(missing, axis=0, return_inverse=True)
    absent = np.isnan(data.vectors)
    for i, mask in enumerate(masks):
        rows = np.flatnonzero(group == i)
        left = np.where(absent | mask, 0.0, weights.vectors)
        for j in np.flatnonzero((left > 0).sum(axis=1) >= MIN_PAIRS):
            counts = left[j] > 0
            # Only ratios of weights matter.
            w = left[j, counts] / left[j, counts].sum()
            x, y = model.vectors[rows][:, counts], data.vectors[[j]][:, counts]
            similarity[rows, j] = method.with_weights(x, y, w[None])[0, :, 0]
    return bounded(similarity)


def with_sigma_k(method: Method, sigma_k: np.ndarray, conditions: Sequence[str]) -> Method:
    """Return the method for patterns that covary so, if it fits the method and the conditions."""
    if not method.whitened:
        raise InputError(f"the method {method.name!r} uses no `sigma_k`; leave it out.")
    if np.shape(sigma_k) != (n := len(conditions), n):
        raise InputError(
            f"expected a sigma_k of shape ({n}, {n}), one row per condition of the model, got "
            f"{np.shape(sigma_k)}."
        )
    sigma_k, _ = named(sigma_k, conditions, what="sigma_k", axes=(-2, -1))
    sigma_k = sigma_k.astype(np.float64)
    if not np.isfinite(sigma_k).all() or not np.allclose(sigma_k, sigma_k.T, atol=0.0):
        raise InputError("expected a finite and symmetric sigma_k, got one that is not.")
    # Estimates of less than full rank have eigenvalues of 0, which rounding takes to either side.
    if (eigenvalues := np.linalg.eigvalsh(sigma_k))[0] < -1e-10 * np.abs(eigenvalues).max():
        raise InputError(
            "expected a covariance as sigma_k (no negative eigenvalue), got one with the "
            f"eigenvalue {eigenvalues[0]:.6g}."
        )
    return method.with_sigma_k(Covariance(sigma_k))


def _warn_undefined(similarity: np.ndarray, model: RDMs, data: RDMs) -> None:
    """Warn once of undefined similarities, naming the RDMs they come from."""
    undefined = np.isnan(similarity)
    if not undefined.any():
        return
    culprits = [
        f"model {describe(model, i)}" for i in np.flatnonzero(undefined.all(axis=1)).tolist()
    ]
    culprits += [
        f"data {describe(data, j)}" for j in np.flatnonzero(undefined.all(axis=0)).tolist()
    ]
    if undefined.all():
        culprits = [f"all {undefined.size} combinations"]
    listed = ", ".join(culprits[:5]) or f"{int(undefined.sum())} combinations"
    warn(
        f"similarity is undefined (NaN) for {listed}: the RDM is constant, or fewer than "
        f"{MIN_PAIRS} pairs are measured in both."
    )


def describe(rdms: RDMs, row: int) -> str:
    """Name one RDM by its position and labels."""
    labels = {k: v for k, v in rdms.labels.iloc[row].items() if v == v and v != ""}
    return f"RDM {row}" + (
        f" ({', '.join(f'{k} {v}' for k, v in labels.items())})" if labels else ""
    )
