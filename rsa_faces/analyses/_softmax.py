"""A softmax layer on frozen features, the linear read-out of most papers on transfer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rsa_faces._core.numbers import best_index
from rsa_faces.analyses._ridge import can_leave_out, middle
from rsa_faces.analyses._targets import Classes, _accuracies

_N_INNER = 5  # folds of the training conditions, one of which chooses the strength
_TOLERANCE, _MOST_STEPS = 1e-5, 2000


@dataclass(frozen=True, eq=False)
class SoftmaxFold:
    """One fold: coordinates of all its conditions, in which inner products are as in the layer.

    `patterns` holds the training conditions first, then those left out; `groups` are those of the
    training conditions, of which some choose the strength.
    """

    train: np.ndarray
    test: np.ndarray
    patterns: np.ndarray
    strengths: np.ndarray
    groups: np.ndarray

    def predict(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the class of each condition left out, for one set of training labels."""
        x = self.patterns[: len(self.train)]
        strength = middle(self.strengths)
        held = self._held(codes, rng)
        if len(self.strengths) > 1 and held.any():
            hits = [
                np.mean(_fit(x[~held], codes[~held], s).predict(x[held]) == codes[held])
                for s in self.strengths
            ]
            strength = self.strengths[best_index(np.array(hits), last=True)]
        return _fit(x, codes, strength).predict(self.patterns[len(self.train) :])

    def _held(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the training conditions, whole groups where possible, that choose a strength."""
        groups = self.groups if can_leave_out(codes, self.groups) else np.arange(len(codes))
        kinds = rng.permutation(np.unique(groups))
        held = np.isin(groups, kinds[: max(len(kinds) // _N_INNER, 1)])
        # A class that would be held out whole stays in the training part.
        return held & np.isin(codes, codes[~held])


def fit_softmax(
    products: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    strengths: np.ndarray,
    left_out: np.ndarray,
) -> SoftmaxFold:
    """Return a fold; arguments are those of :func:`rsa_faces.analyses._ridge.fit_fold`."""
    values, vectors = np.linalg.eigh(products[np.ix_(train, train)])
    # Divided by their roots below: of rounding that would make directions as long as any.
    keep = values > values[-1] * len(train) * np.finfo(float).eps
    roots = np.sqrt(values[keep])
    own = vectors[:, keep] * roots
    others = products[np.ix_(test, train)] @ vectors[:, keep] / roots
    # Strengths are in units of the mean squared length of the training patterns.
    scale = np.sqrt((own**2).sum() / len(train)) or 1.0
    return SoftmaxFold(train, test, np.vstack([own, others]) / scale, strengths, left_out)


def _fit(x: np.ndarray, codes: np.ndarray, strength: float) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # Separable classes have no finite optimum without a penalty, and the weakest of these
        # strengths is nearly none: predictions stand long before the weights do.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # As many classes as people are meant.
        warnings.filterwarnings("ignore", message="The number of unique classes")
        return LogisticRegression(C=1 / strength, tol=_TOLERANCE, max_iter=_MOST_STEPS).fit(
            x, codes
        )


class SoftmaxClasses(Classes):
    """Labels that are kinds, told by a softmax layer."""

    def scores(self, parts: Sequence[SoftmaxFold], permuted: np.ndarray, n: int):
        """Return predictions of the labels, and accuracies of all label sets, (n_sets, 2)."""
        predicted = np.empty((len(permuted), n), np.int64)
        for part in parts:
            for i, codes in enumerate(permuted):
                # The same conditions choose the strength for every set of labels.
                rng = np.random.default_rng(0)
                predicted[i, part.test] = part.predict(codes[part.train], rng)
        return predicted[0], _accuracies(predicted, permuted, len(self.classes))
