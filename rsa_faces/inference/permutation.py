"""Permutation of condition labels: exact tests of single models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsa_faces._core.chance import largest_of, reached, share
from rsa_faces._core.checks import as_rng, check_arguments, check_count
from rsa_faces._core.labels import Labels
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces.comparison import Method, align_pair, compare, resolve
from rsa_faces.inference._design import Design, codes_of
from rsa_faces.inference._orders import exchanges
from rsa_faces.inference._study import pairs_of
from rsa_faces.inference._subjects import subject_means
from rsa_faces.rdm import RDMs
from rsa_faces.rdm._rdms import check_measured, pair_index

_BLOCK, _FEW = 64, 8


@dataclass(frozen=True, eq=False, repr=False)
class PermutationTest(BaseResult):
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

    See Also
    --------
    permutation_test : Test whether conditions matter to a similarity, by shuffling their labels.
    rsa_faces.evaluate : Evaluate how well models predict data.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> human_it = d92.rdms.sel(region="human IT")
    >>> test = rf.inference.permutation_test(d92.models[:2], human_it, n_permutations=99)
    >>> test.p.shape, bool((test.p_max >= test.p).all())
    ((2,), True)
    """

    similarity: np.ndarray
    p: np.ndarray
    p_max: np.ndarray
    n_permutations: int

    @property
    def table(self) -> pd.DataFrame:
        """One row per model: similarity, p and p_max."""
        return pd.DataFrame({"similarity": self.similarity, "p": self.p, "p_max": self.p_max})


@keep_warnings
def permutation_test(
    model: RDMs,
    data: RDMs,
    *,
    method: str | Method | Callable[..., np.ndarray] = "rho-a",
    n_permutations: int = 9999,
    by: str = "subject",
    groups: Labels | None = None,
    within: Labels | None = None,
    blocks: Labels | None = None,
    seed: int = 0,
) -> PermutationTest:
    """Test whether conditions matter to a similarity, by shuffling their labels.

    Parameters
    ----------
    model, data : RDMs
        As for :func:`rsa_faces.evaluate`; subjects' sessions are averaged. Pairs that a subject
        lacks (NaN) stay missing in every order, which takes longer; models have every pair.
    method : str, Method or callable, default "rho-a"
        Comparison method, as in :func:`rsa_faces.compare`; Kendall's and functions take longer.
    n_permutations : int, default 9999
        Number of shuffles.
    by : str, default "subject"
        Label that tells subjects apart.
    groups : mapping or Series of condition to group, optional
        Conditions that belong together (images of a person) are exchanged together: the first of
        one group takes the place of the first of another with as many conditions, and so on, in
        the order of `model`. Images of a person are not independent: exchanged one by one they
        give too small p values. A model that only tells groups apart cannot be tested so: every
        order gives the same similarity.
    within : mapping or Series of condition to cell, optional
        Conditions are only exchanged within their cell (a category, a view).
    blocks : mapping or Series of condition to run, optional
        Similarities are those within each run, averaged over runs, and conditions are exchanged
        within runs. Pairs of conditions of different runs are not used and may be NaN.
    seed : int, default 0

    Returns
    -------
    PermutationTest
        Conclusions hold for these conditions and subjects: that the similarity is more than the
        labels' chance.

    Raises
    ------
    InputError
        If pairs are missing in a model, or in the data for a whitened method, the method is
        unknown, a condition has no group, cell or run, or no conditions (or groups of one size)
        can be exchanged.

    Warns
    -----
    UserWarning
        If there are fewer than 20 orders.

    See Also
    --------
    rsa_faces.evaluate : Evaluate how well models predict data.
    sign_flip_test : Test where similarities differ from 0 over subjects.

    Notes
    -----
    Rows and columns of the data RDMs are shuffled together, the same way in all subjects; entries
    are never shuffled on their own, which would be too lenient. Ranks, norms and V are the same
    for every order of conditions, so that all permutations are one matrix product; Kendall's
    coefficients, functions of the user and data with missing pairs are computed anew for each.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> d92 = rf.datasets.images92()
    >>> human_it = d92.rdms.sel(region="human IT")
    >>> test = rf.inference.permutation_test(d92.models, human_it, n_permutations=999)
    >>> print(test.p[0])
    0.001
    """
    check_arguments(permutation_test, locals())
    method = resolve(method)
    check_count(n_permutations, what="n_permutations")
    model, data = align_pair(model, subject_means(data, by))
    conditions = model.conditions
    units = Design(by=by, groups=groups, blocks=blocks).units(conditions)
    check_measured(model, "the model", units.used)
    cells = units.blocks
    if within is not None:
        own = codes_of(within, conditions, "cell of `within`")[0]
        # Cells inside runs: a label may move only where both stay what they are.
        cells = np.unique(np.stack([cells, own]), axis=1, return_inverse=True)[1]
    orders = exchanges(units.groups, cells)
    if np.isnan(data.vectors[:, units.used]).any():
        similarity_of = _one_by_one(model, data, method, blocks)
    else:
        similarity_of = _at_once(model, data, method, units.runs)
    rng = as_rng(seed)
    observed = similarity_of(np.arange(len(conditions))[None])[0]
    extreme, extreme_max = np.zeros(len(model), int), np.zeros(len(model), int)
    # Products of a few at a time: large arrays that come and go cost more than what they are for.
    at_once = _BLOCK if method.factors is None else _FEW
    for start in range(0, n_permutations, _BLOCK):
        drawn = orders(rng, _BLOCK)[: n_permutations - start]
        parts = (drawn[i : i + at_once] for i in range(0, len(drawn), at_once))
        shuffled = np.concatenate([similarity_of(part) for part in parts])
        extreme += reached(shuffled, observed).sum(axis=0)
        # The largest similarity of all models in the same order: models are tested together,
        # whatever their dependence (Westfall and Young).
        extreme_max += reached(largest_of(shuffled.T, observed)[:, None], observed).sum(axis=0)
    return PermutationTest(
        observed,
        share(extreme, n_permutations, observed),
        share(extreme_max, n_permutations, observed),
        n_permutations,
    )


def _one_by_one(
    model: RDMs, data: RDMs, method: Method, blocks: Labels | None
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from orders to mean similarities with the pairs that each subject has.

    Shuffling all subjects alike is shuffling the models the other way round, so that each
    subject's missing pairs stay where they are.
    """
    row, col = np.triu_indices(model.n_conditions, k=1)

    def similarity_of(order: np.ndarray) -> np.ndarray:
        back = np.argsort(order, axis=1)
        pairs = pair_index(back[:, row], back[:, col], model.n_conditions)
        shuffled = model.vectors[:, pairs].reshape(-1, model.n_pairs)
        shuffled = RDMs(shuffled, model.conditions, model.measure)
        similarity = compare(shuffled, data, method=method, blocks=blocks).mean(axis=1)
        return similarity.reshape(len(model), len(order)).T

    return similarity_of


def _at_once(
    model: RDMs, data: RDMs, method: Method, members: Sequence[np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from orders to mean similarities, (n_orders, n_model), all at once."""
    runs = []
    for run in members:
        pairs = pairs_of(run, model.n_conditions)
        row, col = (run[side] for side in np.triu_indices(len(run), k=1))
        # Where a pair of conditions is among those of the run.
        place = np.zeros((model.n_conditions, model.n_conditions), np.int64)
        place[row, col] = place[col, row] = np.arange(len(pairs))
        of_run = _similarities(model.vectors[:, pairs], data.vectors[:, pairs], method)
        runs.append((row, col, place, of_run))

    def similarity_of(order: np.ndarray) -> np.ndarray:
        total = 0.0
        for row, col, place, of_run in runs:
            pairs = place[np.take(order, row, axis=1), np.take(order, col, axis=1)]
            total = total + of_run(pairs)
        return np.asarray(total / len(runs))

    return similarity_of


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
