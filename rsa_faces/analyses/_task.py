"""A read-out's task: labels, across which groups, and how labels may be exchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rsa_faces._core.checks import as_rng, check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.exchange import varies_inside
from rsa_faces.analyses._inputs import Layers, as_labels, codes_of, matched
from rsa_faces.analyses._ridge import can_leave_out, middle
from rsa_faces.analyses._softmax import SoftmaxClasses
from rsa_faces.analyses._targets import Classes, Numbers

_FEW_GROUPS = 10


@dataclass(frozen=True, eq=False)
class Task:
    """What is read out, across which groups, and how labels may be exchanged; checked."""

    layers: Layers
    values: list
    target: Any
    groups: np.ndarray
    units: np.ndarray
    exchange: tuple[np.ndarray, np.ndarray]
    n_left_out: int

    @classmethod
    def of(cls, layers, labels, across, people, within, kind, classifier, match) -> Task:
        check_choice(kind, ["class", "number"], what="kind")
        check_choice(classifier, ["ridge", "softmax"], what="classifier")
        if classifier == "softmax" and kind == "number":
            raise InputError("expected kind='class' for classifier='softmax', got kind='number'.")
        given = {"labels": labels, "across": across, "people": people, "within": within}
        given = {what: own for what, own in given.items() if own is not None}
        layers, found, n_left_out = matched(layers, list(given.items()), match)
        values = found[0]
        code = {what: codes_of(own)[0] for what, own in zip(given, found, strict=True)}
        whom, n = code.get("people"), len(values)
        target = Numbers(values) if kind == "number" else Classes(values)
        if classifier == "softmax":
            target = SoftmaxClasses(values)
        groups = code.get("across", np.arange(n))
        if across is None and whom is not None and not target.of_one(whom):
            groups = whom
        check_groups(target, groups, across is not None)
        exchange = _exchange(target, groups, whom, code.get("within"))
        units = _units(whom, groups, across, n)
        return cls(layers, values, target, groups, units, exchange, n_left_out)


def check_task(
    labels, *, across=None, people=None, within=None, kind="class", classifier="ridge"
) -> None:
    """Raise for labels that :func:`readout` would refuse, whatever the features."""
    names = tuple(as_labels(labels, "labels"))
    layers = Layers({}, names, np.arange(len(names)), "", {})
    task = Task.of(layers, labels, across, people, within, kind, classifier, "same")
    task.target.permuted(*task.exchange, 1, as_rng(0))


def _units(whom, groups: np.ndarray, across, n: int) -> np.ndarray:
    """Return whom the bootstrap draws, by number."""
    if whom is not None:
        return whom
    # A bootstrap of a handful of groups has next to no different samples.
    few = across is None or groups.max() + 1 < _FEW_GROUPS
    return np.arange(n) if few else groups


def _exchange(target, groups: np.ndarray, whom, cells) -> tuple[np.ndarray, np.ndarray]:
    """Return of which units labels are exchanged, and inside which cells.

    Images of a person are alike whatever they are labelled: labels of a person's own move with the
    person, others stay with it.
    """
    own, n = target.labels, len(groups)
    cells = np.zeros(n, np.int64) if cells is None else cells
    if whom is None or not varies_inside(own, groups):
        return groups, cells
    both = codes_of(list(zip(groups, cells, strict=True)))[0]
    if not varies_inside(own, whom):
        # Of people themselves an exchange is another name for each: nothing would change.
        themselves = target.classes and len(target.of_one(whom)) == len(target.classes)
        return (groups, cells) if themselves else (whom, both)
    inside = codes_of(list(zip(whom, cells, strict=True)))[0]
    every = codes_of(list(zip(both, whom, strict=True)))[0]
    return groups, inside if varies_inside(own, every) else cells


def inner_groups(target, groups: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return what is left out in turn to choose a strength: groups, or single conditions.

    Leaving out a group must leave every class; where it does not, conditions are left out.
    """
    inside = groups[train]
    if target.classes and not can_leave_out(target.codes[train], inside):
        return np.arange(len(train))
    if len(np.unique(inside)) < 2:
        return np.arange(len(train))
    return np.unique(inside, return_inverse=True)[1]


def choosable(target, train: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Return the strengths to choose from: the middle one where leaving out tells nothing.

    Read-outs that are made without the only condition of a class do not know this class: of such
    conditions the strongest always errs least.
    """
    if target.classes:
        counts = np.bincount(target.codes[train])
        if (counts == 1).sum() > len(train) / 2:
            return np.array([middle(strengths)])
    return strengths


def check_groups(target, groups: np.ndarray, given: bool) -> None:
    """Check that labels can be tested on groups left out."""
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        raise InputError(f"expected at least 2 groups to test `across`, got {n_groups}.")
    if alone := target.of_one(groups):
        what = "groups" if given else "conditions"
        raise InputError(
            f"expected every class in at least 2 {what}, to train on some and test on others, but "
            f"{len(alone)} are in one only: {', '.join(map(repr, alone[:5]))}. "
            + ("Choose another grouping for `across`." if given else "Leave them out.")
        )
