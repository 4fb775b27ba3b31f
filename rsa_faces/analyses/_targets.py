"""What is read out: classes or numbers; how they are permuted, predicted and scored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rsa_faces._core.errors import InputError
from rsa_faces._core.exchange import exchanged
from rsa_faces._core.numbers import best_index
from rsa_faces.analyses._inputs import codes_of
from rsa_faces.analyses._intervals import blocks_of, percentile_interval, refitted_interval
from rsa_faces.analyses._ridge import Fold

LEVEL = (2.5, 97.5)
_HELD = 2**22  # pairs of conditions held at a time


class Classes:
    """Labels that are kinds."""

    score = "accuracy"

    def __init__(self, values: Sequence) -> None:
        self.codes, self.classes = codes_of(values)
        if len(self.classes) < 2:
            raise InputError(f"expected at least 2 classes, got {self.classes!r}.")

    @property
    def labels(self) -> np.ndarray:
        """The labels as numbers."""
        return self.codes

    def of_one(self, groups: np.ndarray) -> list:
        """Return the classes that are in one group only."""
        kinds = enumerate(self.classes)
        return [kind for k, kind in kinds if len(np.unique(groups[self.codes == k])) < 2]

    def permuted(self, units: np.ndarray, within, n: int, rng) -> np.ndarray:
        """Return labels as they are, then permuted, (1 + n, n_conditions)."""
        return np.vstack([self.codes, exchanged(self.codes, units, n, rng, within)])

    def scores(self, parts: Sequence[Fold], permuted: np.ndarray, n: int):
        """Return predictions of the labels, and accuracies of all label sets, (n_sets, 2)."""
        predicted = np.empty((len(permuted), n), np.int64)
        for part in parts:
            labels = permuted[:, part.train]
            # For each set of labels anew, also permuted ones: a null without the choice would be
            # too low. Of equally good strengths the largest.
            chosen = best_index(-_left_out_errors(part.errors, labels), axis=1, last=True)
            for k in np.unique(chosen):
                these = np.flatnonzero(chosen == k)
                one_hot = np.eye(len(self.classes))[labels[these].T].reshape(len(part.train), -1)
                scores = (part.smoother[k] @ one_hot).reshape(len(part.test), len(these), -1)
                predicted[np.ix_(these, part.test)] = best_index(scores, axis=2).T
        return predicted[0], _accuracies(predicted, permuted, len(self.classes))

    def row(self, predicted: np.ndarray, scores: np.ndarray) -> tuple[dict, np.ndarray]:
        """Return columns of the table, and hits."""
        row = {
            "accuracy": scores[0, 0],
            "balanced_accuracy": scores[0, 1],
            "chance": _mean(scores[1:, 0]),
        }
        return row, (predicted == self.codes).astype(float)

    def interval(self, hits, predicted, units, draws) -> np.ndarray:
        """Return both ends of the interval of the accuracy, drawing units whole."""
        sums = np.bincount(units, weights=hits, minlength=draws.shape[1])
        counts = np.bincount(units, minlength=draws.shape[1])
        return percentile_interval((draws @ sums) / (draws @ counts), draws.shape[1], rate=True)

    def names(self, predicted: np.ndarray) -> list:
        """Return predictions as labels."""
        return [self.classes[code] for code in predicted]


def _left_out_errors(errors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return squared errors of one-hot targets: sums of `errors` over pairs of the same class.

    errors (n_strengths, n, n), labels (n_sets, n): result (n_sets, n_strengths).
    """
    row, col = np.triu_indices(labels.shape[1], k=1)
    # Each pair is there twice, and each condition is of its own class.
    pairs, sums = 2 * errors[:, row, col].T, []
    diagonal = np.einsum("kii->k", errors)
    labels, step = labels.astype(np.int32), max(1, _HELD // len(row))
    for start in range(0, len(labels), step):
        own = labels[start : start + step]
        same = np.take(own, row, axis=1) == np.take(own, col, axis=1)
        sums.append(same.astype(float) @ pairs + diagonal)
    return np.concatenate(sums)


def _accuracies(predicted: np.ndarray, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Return accuracy and balanced accuracy of each set of labels, (n_sets, 2)."""
    hits = predicted == labels
    own = labels[:, :, None] == np.arange(n_classes)
    with np.errstate(invalid="ignore"):
        of_classes = (own & hits[:, :, None]).sum(axis=1) / own.sum(axis=1)
    return np.stack([hits.mean(axis=1), np.nanmean(of_classes, axis=1)], axis=1)


class Numbers:
    """Labels that are numbers."""

    score = "r"
    classes: tuple = ()

    def __init__(self, values: Sequence) -> None:
        try:
            self.values = np.array([float(v) for v in values])
        except (TypeError, ValueError) as err:
            raise InputError(f"expected numbers as labels for kind='number': {err}.") from err
        if not np.isfinite(self.values).all() or np.ptp(self.values) == 0:
            raise InputError("expected finite numbers that are not all equal as labels.")
        self._baseline, self._held = np.zeros(len(self.values)), []

    @property
    def labels(self) -> np.ndarray:
        """The labels as numbers."""
        return self.values

    def of_one(self, groups: np.ndarray) -> list:
        """Return no class: numbers can be told of any group."""
        return []

    def permuted(self, units: np.ndarray, within, n: int, rng) -> np.ndarray:
        """Return labels as they are, then permuted, (1 + n, n_conditions)."""
        return np.vstack([self.values, exchanged(self.values, units, n, rng, within)])

    def scores(self, parts: Sequence[Fold], permuted: np.ndarray, n: int):
        """Return predictions of the labels, and r and R² of all label sets, (n_sets, 2)."""
        predicted, baseline, held = np.empty(permuted.shape), np.empty(permuted.shape), []
        for part in parts:
            labels = permuted[:, part.train]
            mean = labels.mean(axis=1, keepdims=True)
            centred = labels - mean
            losses = np.stack(
                [np.einsum("pi,pi->p", centred @ errors, centred) for errors in part.errors], axis=1
            )
            chosen = best_index(-losses, axis=1, last=True)
            for k in np.unique(chosen):
                these = np.flatnonzero(chosen == k)
                predicted[np.ix_(these, part.test)] = labels[these] @ part.smoother[k].T
            held.append((part, chosen[0]))
            # Folds have other training means: not taken off, these alone would correlate with what
            # is predicted, below 0.
            baseline[:, part.test] = mean
        self._baseline, self._held = baseline[0], held
        squares = ((permuted - predicted) ** 2).sum(axis=1)
        total = ((permuted - baseline) ** 2).sum(axis=1)
        r = held_out_r(predicted, permuted, baseline)
        return predicted[0], np.stack([r, 1 - squares / total], axis=1)

    def row(self, predicted: np.ndarray, scores: np.ndarray) -> tuple[dict, np.ndarray]:
        """Return columns of the table."""
        row = {"r": scores[0, 0], "r2": scores[0, 1], "chance": _mean(scores[1:, 0])}
        return row, predicted

    def interval(self, hits, predicted, units, draws) -> np.ndarray:
        """Return both ends of the interval of r, drawing and leaving out units whole."""
        x, y = predicted - self._baseline, self.values - self._baseline
        left_out = [
            rowwise_r((own - base)[None, kept], (self.values - base)[None, kept])[0]
            for own, base, kept in zip(*self.left_out(units), strict=True)
        ]
        samples = drawn_r(x, y, draws[:, units])
        return refitted_interval(rowwise_r(x[None], y[None])[0], samples, left_out, draws.shape[1])

    def left_out(self, units: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return predictions, training means, and who is left, without each block of units.

        Each (n_blocks, n_conditions); of what was scored last, at the strengths chosen there.
        """
        fold_of = np.empty(len(units), np.int64)
        for f, (part, _) in enumerate(self._held):
            fold_of[part.test] = f
        block = blocks_of(units, fold_of)
        predicted, baseline = np.empty((2, block.max() + 1, len(units)))
        for part, k in self._held:
            y, own = self.values[part.train], block[part.train]
            for b in range(len(predicted)):
                rows = np.flatnonzero(own == b)
                predicted[b, part.test] = part.smoother[k] @ part.without(k, y, rows)
                baseline[b, part.test] = np.delete(y, rows).mean() if len(rows) < len(y) else np.nan
        return predicted, baseline, block != np.arange(len(predicted))[:, None]

    def names(self, predicted: np.ndarray) -> list:
        """Return predictions."""
        return predicted.tolist()


def _mean(values: np.ndarray) -> float:
    """Return the mean, NaN of nothing."""
    return float(values.mean()) if len(values) else np.nan


def held_out_r(predicted: np.ndarray, values: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    """Return correlations of rows of predictions and values, both less the training mean.

    The mean of the training set is low where the test values are high: predictions that are
    nothing but this mean would correlate with the values at about -0.2, not at 0.
    """
    return rowwise_r(predicted - baseline, values - baseline)


def drawn_r(x: np.ndarray, y: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return the Pearson correlation in each sample; NaN where one of them is constant."""
    weights = draws.astype(float)
    total = weights.sum(axis=1, keepdims=True)
    x = x - (weights @ x)[:, None] / total
    y = y - (weights @ y)[:, None] / total
    xy, xx, yy = ((weights * a * b).sum(axis=1) for a, b in ((x, y), (x, x), (y, y)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return xy / np.sqrt(xx * yy)


def rowwise_r(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the Pearson correlation of rows; 0 where a row is constant."""
    a = a - a.mean(axis=1, keepdims=True)
    b = b - b.mean(axis=1, keepdims=True)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    # Rows may be predictions that are all alike: these tell nothing, and must not be lost to NaN.
    product = (a * b).sum(axis=1)
    return np.divide(product, scale, out=np.zeros(len(a)), where=scale > 0)
