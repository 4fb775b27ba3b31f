"""Erasure: embeddings without what tells groups apart, and what that costs recognition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from rsa_faces._core.chance import p_of
from rsa_faces._core.checks import as_rng, check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.exchange import exchanged
from rsa_faces._core.labels import Labels
from rsa_faces._core.result import keep_warnings
from rsa_faces.analyses._effects import Effects, Shown
from rsa_faces.analyses._gram import grams
from rsa_faces.analyses._groups import SELF_REPORT, check_constant
from rsa_faces.analyses._inputs import as_layers, check_finite, codes_of, matched
from rsa_faces.analyses._recognition import Recognition
from rsa_faces.analyses._ridge import STRENGTHS, deal_folds, fit_fold
from rsa_faces.analyses._targets import Classes
from rsa_faces.analyses._task import check_groups, inner_groups


@dataclass(frozen=True, eq=False, repr=False)
class GroupErasure(Effects):
    """What an embedding tells of groups and of people, before and after erasure.

    Attributes
    ----------
    table : DataFrame
        Two rows per layer; see :func:`erase_groups`.
    embeddings : dict of str to DataFrame
        By layer: embeddings of which the groups are erased, (n_conditions, n_channels), each row
        by what the other half of the people taught.
    notes : tuple of str
        The last is :data:`rsa_faces.analyses.SELF_REPORT`.
    settings : dict
        Options, for provenance.

    See Also
    --------
    erase_groups : Take out of embeddings what tells groups apart linearly.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import erase_groups
    >>> x = np.repeat(np.random.default_rng(0).normal(size=(12, 4)), 2, axis=0)
    >>> names = [f"{i // 2} {i % 2}" for i in range(24)]
    >>> person = {name: name.split()[0] for name in names}
    >>> group = {name: int(person[name]) % 2 for name in names}
    >>> found = erase_groups({"fc": x}, group, person, conditions=names, n_permutations=19)
    >>> found.embeddings["fc"].shape
    (24, 4)
    """

    embeddings: dict[str, pd.DataFrame]

    shown: ClassVar[Shown] = Shown(
        "value",
        "value, held out",
        name="layer",
        series="embedding",
        panel="what",
        p="p",
        chance="chance",
    )


@keep_warnings
def erase_groups(
    activations,
    groups: Labels,
    people: Labels,
    *,
    conditions: Sequence[str] | None = None,
    within: Labels | None = None,
    n_folds: int = 5,
    n_boot: int = 1000,
    n_permutations: int = 99,
    match: str = "same",
    seed: int = 0,
) -> GroupErasure:
    """Take out of embeddings what tells groups apart linearly, and see what recognition loses.

    Parameters
    ----------
    activations : Activations, or mapping of layer to ndarray (n_conditions, n_channels)
        Embeddings; for a plain mapping give `conditions`.
    groups : mapping or Series of condition to group
        Self-reported categories; one of each person.
    people : mapping or Series of condition to person
        At least 4 people with two images or more.
    conditions : sequence of str, optional
        The name of each row of a plain mapping.
    within : mapping or Series, condition to cell, optional
        As for :func:`rsa_faces.analyses.readout`.
    n_folds : int, default 5
        Of the read-outs.
    n_boot : int, default 1000
        Samples of people, for the interval of recognition.
    n_permutations : int, default 99
        Of groups over people, for the read-outs; each is erased anew.
    match : {"same", "intersection"}, default "same"
    seed : int, default 0

    Returns
    -------
    GroupErasure
        Its table has, per layer, for ``what`` ("group": accuracy of a linear read-out across
        people; "people": AUC of telling two images of a person from two people) and ``embedding``
        ("whole", "erased", and for people "cost": erased less whole): ``value`` with ``ci_low``,
        ``ci_high``; ``chance``; ``p`` (one-sided for groups: are they read out; two-sided for the
        cost); ``n_people``, ``n_conditions``.

    Raises
    ------
    InputError
        If a person is of two groups, there are fewer than two groups, 4 people in one of them or 4
        people with two images, or features are not finite.
    ConditionMismatchError
        If names differ and `match` is "same".

    See Also
    --------
    false_matches : Count how often different people are taken for one, group by group.
    readout : Read labels from frozen features with one linear layer, cross-validated.
    rsa_faces.figures.plot_effects : Draw effects with their intervals.

    Notes
    -----
    LEACE [1]_: with W the inverse root of the covariance (Ledoit and Wolf's) and P the projection
    on the columns of W Σ_xz, x − W⁻¹ P W (x − μ): the smallest change after which group means are
    equal, so that no linear read-out tells groups better than by their sizes, among the people who
    taught it. Here half of the people teach what is erased of the others, and the read-out is
    trained and tested among these: what one half taught, the other does not know. Read-outs over
    all people would: a row without what others taught carries their labels, and groups that mean
    nothing would be read out. Something is left where few people teach many channels: ``p`` of
    "erased" tells. Non-linear read-outs may find groups still.

    References
    ----------
    .. [1] Belrose N. et al. (2023). NeurIPS 36. doi:10.48550/arXiv.2306.03819

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.analyses import erase_groups
    >>> rng = np.random.default_rng(0)
    >>> names = [f"p{i} {j}" for i in range(40) for j in "ab"]
    >>> person = {name: name.split()[0] for name in names}
    >>> group = {name: "one" if i < 40 else "other" for i, name in enumerate(names)}
    >>> x = np.repeat(rng.normal(size=(40, 12)), 2, axis=0) + 0.3 * rng.normal(size=(80, 12))
    >>> x[:40, 0] += 3  # simulated: groups differ in one direction
    >>> found = erase_groups({"fc": x}, group, person, conditions=names)
    >>> whole, erased = found.table["value"][:2]
    >>> bool(whole > 0.7 > 0.6 > erased)
    True
    """
    check_count(n_folds, what="n_folds", low=2)
    check_count(n_boot, what="n_boot")
    layers = as_layers(activations, conditions)
    wanted = [("groups", groups), ("people", people)]
    wanted += [("within", within)] if within is not None else []
    layers, found, _ = matched(layers, wanted, match)
    code, kinds = codes_of(found[0])
    whom = codes_of(found[1])[0]
    n_people = int(whom.max()) + 1
    if len(kinds) < 2:
        raise InputError(f"expected at least 2 groups, got {kinds}.")
    check_constant(code, kinds, whom, codes_of(found[1])[1], "groups")
    for k, kind in enumerate(kinds):
        if (size := len(np.unique(whom[code == k]))) < 4:
            raise InputError(
                f"expected at least 4 people of every group in `groups`, 2 in each half, but "
                f"{kind!r} has {size}. Leave it out and use match='intersection'."
            )
    rng = as_rng(seed)
    recognition = Recognition.of(whom, n_boot, rng)
    half = np.empty(len(whom), np.int64)
    # Group by group: what is learnt in one half is to hold in the other.
    for rows in (np.flatnonzero(code == g) for g in range(len(kinds))):
        half[rows] = deal_folds(codes_of(whom[rows].tolist())[0], 2, rng)
    cells = codes_of(found[2])[0] if within is not None else np.zeros_like(half)
    # Within halves, so that each keeps as many people of every group.
    exchanges = exchanged(code, whom, n_permutations, rng, 2 * cells + half)
    weights = recognition.samples[:, whom]
    rows, embeddings = [], {}
    for i, (layer, patterns) in enumerate(layers.items()):
        check_finite(patterns, layers.conditions, layer)
        whole = np.asarray(patterns, float)
        # Coordinates in the space of the rows, at most as many as these: nothing else is erased.
        left, sizes, axes = np.linalg.svd(whole - whole.mean(axis=0), full_matrices=False)
        own = left * sizes
        erased = whole + (_out_of_half(own, code, half) - own) @ axes
        embeddings[layer] = pd.DataFrame(erased, list(layers.conditions))
        place = {"network": layers.network, "layer": layer, "layer_index": i}
        place["depth"] = layers.depth[layer]
        for name, erase in (("whole", False), ("erased", True)):
            if erase:
                every = [
                    _read(_out_of_half(own, g, half), g[None], whom, half, n_folds)
                    for g in (code, *exchanges)
                ]
                hits, accuracy = every[0][0], np.concatenate([one[1] for one in every])
            else:
                hits, accuracy = _read(own, np.vstack([code, exchanges]), whom, half, n_folds)
            null = accuracy[1:]
            row = {**place, "what": "group", "embedding": name}
            shares = weights @ hits / weights.sum(axis=1)
            row |= recognition.summary(shares, n_people, rate=True)
            rows.append({**row, "chance": null.mean(), "p": p_of(accuracy[0], null)[0]})
        both = {"whole": whole, "erased": erased}
        drawn = {name: recognition.auc(x) for name, x in both.items()}
        drawn["cost"] = drawn["erased"] - drawn["whole"]
        for name, values in drawn.items():
            row = {**place, "what": "people", "embedding": name}
            row |= recognition.summary(values, n_people, rate=name != "cost")
            chance = 0.0 if name == "cost" else 0.5
            rows.append({**row, "chance": chance, "p": recognition.p(values, chance, n_people)})
    table = pd.DataFrame(rows).assign(n_people=n_people, n_conditions=len(whom))
    settings = {"n_folds": n_folds, "n_boot": n_boot, "n_permutations": n_permutations}
    settings |= {"match": match, "seed": seed}
    return GroupErasure(table, embeddings, notes=(SELF_REPORT,), settings=settings)


def _out_of_half(x: np.ndarray, code: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Return rows without what the other half of the people taught of the groups."""
    erased, own = np.empty_like(x), x - x.mean(axis=0)
    for test in (half == 0, half == 1):
        first, second = _erased(x[~test], code[~test])
        erased[test] = x[test] - own[test] @ first @ second
    return erased


def _read(x: np.ndarray, codes: np.ndarray, whom, half, n_folds: int):
    """Return whether the first groups are read out of each row, and accuracies of all, (n_sets,).

    By other people of the same half: the read-out knows nothing of the half that taught what is
    erased.
    """
    hits, accuracy = np.empty(len(x)), np.zeros(len(codes))
    for rows in (np.flatnonzero(half == 0), np.flatnonzero(half == 1)):
        target, groups = Classes(codes[0, rows].tolist()), codes_of(whom[rows].tolist())[0]
        check_groups(target, groups, True)
        # The same folds whether erased or not, and for all exchanges.
        fold_of = deal_folds(groups, n_folds, as_rng(0))
        trains = [np.flatnonzero(fold_of != f) for f in np.unique(fold_of)]
        tests = [np.flatnonzero(fold_of == f) for f in np.unique(fold_of)]
        products, _ = grams(x[rows], trains, standardize=False)
        folds = [
            fit_fold(k, train, test, np.array(STRENGTHS), inner_groups(target, groups, train))
            for k, train, test in zip(products, trains, tests, strict=True)
        ]
        place = np.argsort(target.classes)  # of codes among the classes of this half
        predicted, scores = target.scores(folds, place[codes[:, rows]], len(rows))
        hits[rows] = predicted == target.codes
        accuracy += scores[:, 0] * len(rows) / len(x)
    return hits, accuracy


def _erased(x: np.ndarray, code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what to take off centred rows, as these groups taught it: two factors of a matrix."""
    from sklearn.covariance import ledoit_wolf

    centred = x - x.mean(axis=0)
    # In the space that the rows span; what lies beside it differs between no groups here.
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[sizes > 1e-10 * sizes[0]]
    own = centred @ axes.T
    # There are about as many dimensions as faces: the plain covariance has no inverse to rely on.
    values, vectors = np.linalg.eigh(ledoit_wolf(own, assume_centered=True)[0])
    root, inverse = ((vectors * values**power) @ vectors.T for power in (0.5, -0.5))
    onehot = np.eye(int(code.max()) + 1)[code]
    left, found, _ = np.linalg.svd(inverse @ own.T @ (onehot - onehot.mean(axis=0)), False)
    left = left[:, found > 1e-10 * found[0]]
    return axes.T @ (inverse @ left), (left.T @ root) @ axes
