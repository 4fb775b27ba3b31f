"""Permutation of condition labels: exact tests of single models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from rsa_faces._core.checks import as_rng, check_count
from rsa_faces._core.errors import InputError
from rsa_faces.comparison import Method, align_pair, resolve
from rsa_faces.inference._subjects import subject_means
from rsa_faces.rdm import RDMs
from rsa_faces.rdm._rdms import pair_index

_BLOCK = 64


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """The outcome of :func:`permutation_test`.

    Parameters
    ----------
    similarity : ndarray, shape (n_model,)
        Observed mean similarity over subjects.
    p : ndarray, shape (n_model,)
        One-sided p value of each model, (1 + #≥) / (1 + n_permutations).
    p_max : ndarray, shape (n_model,)
        The same against the largest similarity of all models in each permutation: corrected for
        the number of models.
    n_permutations : int
    """

    similarity: np.ndarray
    p: np.ndarray
    p_max: np.ndarray
    n_permutations: int


def permutation_test(
    model: RDMs,
    data: RDMs,
    *,
    method: str | Method | Callable[..., np.ndarray] = "rho-a",
    n_permutations: int = 9999,
    by: str = "subject",
    blocks: Mapping[str, object] | None = None,
    seed: int = 0,
) -> PermutationTest:
    """Test whether conditions matter to a similarity, by shuffling their labels.

    Parameters
    ----------
    model, data : RDMs
        As for :func:`rsa_faces.evaluate`, every pair measured; subjects' sessions are averaged.
    method : str, Method or callable, default "rho-a"
        Comparison method, as in :func:`rsa_faces.compare`; Kendall's and functions take longer.
    n_permutations : int, default 9999
        Number of shuffles.
    by : str, default "subject"
        Label that tells subjects apart.
    blocks : mapping of condition to block, optional
        Conditions are only exchanged within their block (a run, a category).
    seed : int, default 0

    Returns
    -------
    PermutationTest
        Conclusions hold for these conditions and subjects: that the similarity is more than the
        labels' chance.

    Raises
    ------
    InputError
        If pairs are missing, the method is unknown, or a condition has no block.

    Notes
    -----
    Rows and columns of the data RDMs are shuffled together, the same way in all subjects; entries
    are never shuffled on their own, which would be too lenient. Ranks, norms and V are the same
    for every order of conditions, so that all permutations are one matrix product; Kendall's
    coefficients and functions of the user are computed anew for each.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> human_it = d92.rdms.sel(region="human IT")
    >>> test = rf.inference.permutation_test(d92.models, human_it, n_permutations=999)
    >>> test.p[0]
    np.float64(0.001)
    """
    check_count(n_permutations, what="n_permutations")
    model, data = align_pair(model, subject_means(data, by))
    for rdms, what in ((model, "model"), (data, "data")):
        if (missing := int(np.isnan(rdms.vectors).sum())) > 0:
            raise InputError(
                f"expected every pair measured, but {missing} are missing (NaN) in the {what}."
            )
    similarity_of = _similarities(model.vectors, data.vectors, resolve(method))
    orders = _orders(model.conditions, blocks)
    rng = as_rng(seed)
    row, col = np.triu_indices(model.n_conditions, k=1)
    observed = similarity_of(np.arange(model.n_pairs)[None])[0]
    extreme, extreme_max = np.zeros(len(model), int), np.zeros(len(model), int)
    # Sums in another order differ in the last digits: what is equal counts as equal.
    bound = observed - 1e-12 * np.abs(observed)
    for start in range(0, n_permutations, _BLOCK):
        order = orders(rng, _BLOCK)[: n_permutations - start]
        pairs = pair_index(order[:, row], order[:, col], model.n_conditions)
        shuffled = similarity_of(pairs)
        extreme += (shuffled >= bound).sum(axis=0)
        extreme_max += (np.nanmax(shuffled, axis=1)[:, None] >= bound).sum(axis=0)
    undefined = np.isnan(observed)
    return PermutationTest(
        observed,
        np.where(undefined, np.nan, (1 + extreme) / (1 + n_permutations)),
        np.where(undefined, np.nan, (1 + extreme_max) / (1 + n_permutations)),
        n_permutations,
    )


def _similarities(model: np.ndarray, data: np.ndarray, method: Method):
    """Return a function from orders of pairs of the data to mean similarities, (n, n_model)."""
    if method.factors is None:
        # Shuffling all subjects alike is shuffling the models the other way round.
        def of_models(pairs: np.ndarray) -> np.ndarray:
            back = np.argsort(pairs, axis=1)
            similarity = method(model[:, back].reshape(-1, model.shape[1]), data)
            return similarity.mean(axis=1).reshape(len(model), len(pairs)).T

        return of_models
    of_model, of_data = method.factors
    # The mean over subjects of inner products is the inner product with the mean. V⁻¹ is the same
    # for every order of conditions.
    x, z = of_data(model), of_model(data).mean(axis=0)
    return lambda pairs: z[pairs] @ x.T


def _orders(conditions, blocks):
    """Return a function that draws orders of conditions, within blocks if there are any."""
    n_conditions = len(conditions)
    if blocks is None:
        return lambda rng, n: np.argsort(rng.random((n, n_conditions)), axis=1)
    missing = [c for c in conditions if c not in blocks]
    if missing:
        raise InputError(
            f"expected a block for every condition, but {len(missing)} have none: "
            f"{', '.join(map(repr, missing[:5]))}."
        )
    kinds = list(dict.fromkeys(blocks[c] for c in conditions))
    codes = np.array([kinds.index(blocks[c]) for c in conditions])
    places = np.argsort(codes, kind="stable")

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        # Sorted by block first and at random within: the k-th place of a block gets one of its own.
        shuffled = np.argsort(codes + rng.random((n, n_conditions)), axis=1)
        order = np.empty_like(shuffled)
        order[:, places] = shuffled
        return order

    return draw
