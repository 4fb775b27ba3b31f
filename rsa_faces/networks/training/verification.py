"""How well scores tell pairs of the same person from pairs of two people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from rsa_faces._core.errors import InputError
from rsa_faces._core.result import BaseResult


@dataclass(frozen=True, eq=False, repr=False)
class Verification(BaseResult):
    """Accuracy of "same or different", fold by fold.

    Attributes
    ----------
    accuracy : float, from 0 to 1
        Mean over folds.
    standard_error : float
        Standard deviation over folds (n - 1) divided by the square root of their number.
    folds : DataFrame
        Per fold: accuracy, threshold (chosen on the others), n_pairs.

    See Also
    --------
    verification : Measure verification accuracy as Labeled Faces in the Wild does.
    roc : Return the receiver operating characteristic, one row per distinct score.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.networks.training import verification
    >>> scores = np.array([0.9, 0.2, 0.8, 0.3, 0.4, 0.1])
    >>> same = np.array([True, False, True, False, True, False])
    >>> found = verification(scores, same, np.array([0, 0, 1, 1, 2, 2]))
    >>> round(found.accuracy, 2), len(found.folds)
    (0.83, 3)
    """

    accuracy: float
    standard_error: float
    folds: pd.DataFrame

    @property
    def table(self) -> pd.DataFrame:
        """The folds (a copy)."""
        return self.folds


def verification(scores: np.ndarray, same: np.ndarray, fold: np.ndarray) -> Verification:
    """Measure verification accuracy as Labeled Faces in the Wild does.

    Parameters
    ----------
    scores : array-like of float, shape (n_pairs,)
        Higher means more alike: a cosine, a negative distance, a difference of logits.
    same : array-like of bool, shape (n_pairs,)
        True where both images show the same person.
    fold : array-like of int, shape (n_pairs,)
        The fold of each pair; the same person should not be in two.

    Returns
    -------
    Verification
        Accuracy on each fold at the threshold that is best on all the others, its mean and
        standard error.

    Raises
    ------
    InputError
        If lengths differ, a score is NaN, or there are fewer than two folds.

    See Also
    --------
    rsa_faces.networks.training.pair_scores : Return how alike the images of each pair are.
    roc : Return the receiver operating characteristic, one row per distinct score.
    tar_at_far : Return the true accept rate at given false accept rates.

    Notes
    -----
    A pair is called "same" if its score is at least the threshold. Thresholds tried: below all
    scores, halfway between neighbouring scores, above all. Of several that are equally good, the
    middle one is taken. The folds share their training pairs, so the standard error is a
    description rather than a basis for a test.

    References
    ----------
    .. [1] Huang G. B., Ramesh M., Berg T., Learned-Miller E. (2007), Labeled Faces in the Wild,
       University of Massachusetts Amherst, Technical Report 07-49.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.networks.training import verification
    >>> scores = np.array([0.9, 0.2, 0.8, 0.3, 0.4, 0.1])
    >>> same = np.array([True, False, True, False, True, False])
    >>> verification(scores, same, np.array([0, 0, 1, 1, 2, 2])).accuracy
    0.8333333333333334
    """
    scores, same = _checked(scores, same)
    fold = np.asarray(fold)
    if fold.shape != scores.shape or len(np.unique(fold)) < 2:
        raise InputError(
            f"expected a fold for each of {len(scores)} pairs and at least two folds, got shape "
            f"{fold.shape} and {len(np.unique(fold))} folds."
        )
    rows = []
    for k in np.unique(fold):
        test = fold == k
        threshold = best_threshold(scores[~test], same[~test])
        accuracy = float(((scores[test] >= threshold) == same[test]).mean())
        rows.append(
            {"fold": k, "accuracy": accuracy, "threshold": threshold, "n_pairs": int(test.sum())}
        )
    folds = pd.DataFrame(rows).set_index("fold")
    error = folds["accuracy"].std(ddof=1) / math.sqrt(len(folds))
    return Verification(float(folds["accuracy"].mean()), float(error), folds)


def best_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """Return the threshold of the highest accuracy; the middle one of several.

    Parameters
    ----------
    scores, same : as in :func:`verification`

    Returns
    -------
    float
        "Same" is a score of at least this; infinite if calling all pairs one kind is best.
    """
    scores, same = _checked(scores, same)
    values, inverse = np.unique(scores, return_inverse=True)
    n_same = np.bincount(inverse, same, len(values))
    n_different = np.bincount(inverse, ~same, len(values))
    # At threshold i all values below i are called different.
    right = np.r_[0, n_different.cumsum()] + np.r_[n_same[::-1].cumsum()[::-1], 0]
    thresholds = np.r_[-math.inf, (values[:-1] + values[1:]) / 2, math.inf]
    best = np.flatnonzero(right == right.max())
    return float(thresholds[best[(len(best) - 1) // 2]])


def roc(scores: np.ndarray, same: np.ndarray) -> pd.DataFrame:
    """Return the receiver operating characteristic, one row per distinct score.

    Parameters
    ----------
    scores, same : as in :func:`verification`

    Returns
    -------
    DataFrame
        ``threshold`` (falling; pairs of at least this score are accepted), ``far`` (false accept
        rate: accepted pairs of two people / pairs of two people) and ``tar`` (true accept rate:
        accepted pairs of the same person / pairs of the same person), from (0, 0) to (1, 1).

    Raises
    ------
    InputError
        If lengths differ, a score is NaN, or one kind of pair is missing.

    See Also
    --------
    area_under_roc : Return the area under the ROC.
    tar_at_far : Return the true accept rate at given false accept rates.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces.networks.training import roc
    >>> roc(np.array([0.9, 0.2, 0.8, 0.3]), np.array([True, False, True, False])).round(2)
       threshold  far  tar
    0        inf  0.0  0.0
    1        0.9  0.0  0.5
    2        0.8  0.0  1.0
    3        0.3  0.5  1.0
    4        0.2  1.0  1.0
    """
    scores, same = _checked(scores, same, both=True)
    values, inverse = np.unique(-scores, return_inverse=True)
    n_same = np.bincount(inverse, same, len(values)).cumsum()
    n_different = np.bincount(inverse, ~same, len(values)).cumsum()
    return pd.DataFrame(
        {
            "threshold": np.r_[math.inf, -values],
            "far": np.r_[0, n_different] / n_different[-1],
            "tar": np.r_[0, n_same] / n_same[-1],
        }
    )


def area_under_roc(scores: np.ndarray, same: np.ndarray) -> float:
    """Return the area under the ROC: how often a same pair scores above a different one.

    Parameters
    ----------
    scores, same : as in :func:`verification`

    Returns
    -------
    float, from 0 to 1
        0.5 is chance; ties count half.

    Raises
    ------
    InputError
        As :func:`roc`.

    See Also
    --------
    roc : Return the receiver operating characteristic, one row per distinct score.
    tar_at_far : Return the true accept rate at given false accept rates.

    Examples
    --------
    >>> from rsa_faces.networks.training import area_under_roc
    >>> area_under_roc([0.9, 0.4, 0.4, 0.1], [True, True, False, False])
    0.875
    """
    scores, same = _checked(scores, same, both=True)
    n_same, n_different = same.sum(), (~same).sum()
    above = rankdata(scores)[same].sum() - n_same * (n_same + 1) / 2
    return float(above / (n_same * n_different))


def tar_at_far(
    scores: np.ndarray, same: np.ndarray, fars: Sequence[float] = (0.1, 0.01, 0.001)
) -> pd.DataFrame:
    """Return the true accept rate at given false accept rates.

    Parameters
    ----------
    scores, same : as in :func:`verification`
    fars : sequence of float, above 0 to 1, default (0.1, 0.01, 0.001)
        False accept rates allowed.

    Returns
    -------
    DataFrame
        Indexed by ``far``: ``tar`` and ``threshold`` (the lowest score at which the false accept
        rate is at most `far`; no interpolation), ``n_impostors`` (pairs of two people there are)
        and ``n_needed`` (pairs of two people needed: 1 / far). Where there are too few, `tar` and
        `threshold` are NaN: no rate below 1 / n_impostors but 0 can be measured.

    Raises
    ------
    InputError
        If a rate is out of range; else as :func:`roc`.

    See Also
    --------
    roc : Return the receiver operating characteristic, one row per distinct score.
    verification : Measure verification accuracy as Labeled Faces in the Wild does.

    Examples
    --------
    >>> from rsa_faces.networks.training import tar_at_far
    >>> same = [True, True, False, False]
    >>> tar_at_far([0.9, 0.4, 0.5, 0.1], same, fars=(0.5, 0.1))["tar"].tolist()
    [1.0, nan]
    """
    curve = roc(scores, same)
    n_impostors = int((~np.asarray(same, bool)).sum())
    rows = []
    for far in fars:
        if not 0 < far <= 1:
            raise InputError(f"expected a false accept rate above 0 and up to 1, got {far!r}.")
        # 1 / 0.001 is a little over 1000 in floating point for some rates.
        n_needed = math.ceil(1 / far - 1e-9)
        row = {
            "far": far,
            "tar": math.nan,
            "threshold": math.nan,
            "n_impostors": n_impostors,
            "n_needed": n_needed,
        }
        if n_needed <= n_impostors:
            # A rate is a count over a count: 3 of 300 must not be above 0.01 by rounding.
            last = np.flatnonzero(curve["far"] <= far * (1 + 1e-12))[-1]
            row |= curve.loc[last, ["tar", "threshold"]].to_dict()
        rows.append(row)
    return pd.DataFrame(rows).set_index("far")


def _checked(scores, same, *, both: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and kinds as arrays, once they fit each other."""
    scores, same = np.asarray(scores, float), np.asarray(same)
    if same.dtype != bool:
        raise InputError(f"expected `same` as true or false, got type {same.dtype}.")
    if scores.ndim != 1 or scores.shape != same.shape or not len(scores):
        raise InputError(
            f"expected one score and one kind per pair, got shapes {scores.shape} and {same.shape}."
        )
    n_nan = int(np.isnan(scores).sum())
    if n_nan:
        raise InputError(f"expected a score for each pair, but {n_nan} of {len(scores)} are NaN.")
    if both and same.all() | (~same).all():
        raise InputError(
            f"expected pairs of both kinds, got {same.sum()} same and {(~same).sum()} different."
        )
    return scores, same
