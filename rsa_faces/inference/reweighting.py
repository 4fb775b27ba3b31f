"""Reweighted channels: dissimilarities as weighted sums over the channels of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.linalg import cho_factor, cho_solve

from rsa_faces._core.checks import as_rng
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.names import named
from rsa_faces._core.numbers import best_index, mean_defined
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._kernels.fits import nnls
from rsa_faces.comparison import resolve
from rsa_faces.comparison._forms import standard
from rsa_faces.inference._design import Design
from rsa_faces.inference._held_out import MEMORY, check_folds, draw_folds
from rsa_faces.inference._study import Study, pairs_of
from rsa_faces.inference._subjects import subject_means
from rsa_faces.inference.flexible import aligned
from rsa_faces.rdm import RDMs

# A matrix of so many rows has 2 GB, and its decomposition takes minutes; beyond, both grow with the
# square and the cube.
_LARGEST_GRAM = 16_000


@dataclass(frozen=True, eq=False, repr=False)
class Reweighting(BaseResult):
    """How well reweighted features predict data RDMs.

    Parameters
    ----------
    folds : DataFrame
        One row per fold: `fold`, `n_train` and `n_test` (conditions), `penalty` chosen within the
        training conditions, `similarity` of the reweighted prediction with the held-out pairs, and
        `unweighted`, the similarity of the same features, all with weight 1, with the same pairs.
    similarity, unweighted : float
        Means over folds.
    penalty : float
        Chosen by cross-validation over all conditions; used for `fitted` and `weights`.
    weights : ndarray, shape (n_features,)
        Fitted to all data, in units of the pooled data RDM per squared standard deviation of the
        feature.
    fitted : RDMs
        The prediction fitted to all data. Its similarity with these data is no evidence.

    See Also
    --------
    reweighted_similarity : Predict data RDMs by reweighted features.
    rsa_faces.inference.evaluate_flexible : Evaluate models with fitted weights.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> x = np.random.default_rng(0).normal(size=(24, 10))
    >>> names = [f"image {i}" for i in range(24)]
    >>> data = rf.compute_rdms(x[:, :2], conditions=names, measure="sqeuclidean")
    >>> found = rf.inference.reweighted_similarity(x, data, conditions=names)
    >>> len(found.weights), bool((found.weights[:2] > found.weights[2:].max()).all())
    (10, True)
    """

    folds: pd.DataFrame
    similarity: float
    unweighted: float
    penalty: float
    weights: np.ndarray
    fitted: RDMs

    @property
    def table(self) -> pd.DataFrame:
        """The folds (a copy)."""
        return self.folds


@keep_warnings
def reweighted_similarity(
    patterns: np.ndarray,
    data: RDMs,
    *,
    conditions: Sequence[str],
    method: str = "pearson",
    n_folds: int = 5,
    penalties: Sequence[float] = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3),
    nonnegative: bool = False,
    by: str = "subject",
    groups: Labels | None = None,
    blocks: Labels | None = None,
    seed: int = 0,
) -> Reweighting:
    """Predict data RDMs by features (channels) of a layer, each with a weight of its own.

    Parameters
    ----------
    patterns : ndarray, shape (n_conditions, n_features)
        Activations of one layer.
    data : RDMs
        RDMs of one or more subjects over the same conditions, every pair (within a run) measured.
    conditions : sequence of str
        Names of the rows of `patterns`.
    method : str, default "pearson"
        How predictions are compared with the data, also to choose the penalty.
    n_folds : int, default 5
        Folds of conditions, at least 2, of at least 3 conditions each.
    penalties : sequence of float, default 0.001 to 1000
        Ridge penalties to choose from, above 0, in units of the mean square of the centred
        feature dissimilarities, summed over features.
    nonnegative : bool, default False
        Whether weights must be at least 0 (at most 1000 features).
    by : str, default "subject"
        Label that tells subjects apart; several RDMs of one are averaged.
    groups : mapping or Series of condition to group, optional
        Conditions of a group are in the same fold.
    blocks : mapping or Series of condition to run, optional
        Pairs of conditions of different runs are not used, the target is z-scored in each run, and
        similarities are those within each run, averaged.
    seed : int, default 0
        Of the folds.

    Returns
    -------
    Reweighting

    Raises
    ------
    ConditionMismatchError
        If `conditions` and the data's conditions differ.
    InputError
        If patterns are not finite or of another shape, a pair is missing, there are too few
        conditions for the folds, or both features and pairs are too many to be solved.

    See Also
    --------
    evaluate_flexible : Evaluate models with fitted weights.

    Notes
    -----
    The dissimilarity of conditions i and j is predicted as Σ_k w_k (x_ik − x_jk)² + w_0, with
    features z-scored over all conditions (constant ones are left out). The w minimise the squared
    error over the training pairs plus λ Σ w_k² (w_0 is free), as in feature-reweighted RSA [1]_;
    the target is the mean of the subjects' z-scored RDMs. λ = penalty · Σ_k var(D_k), over the
    training pairs, with D_k the feature's squared differences. For each fold of conditions the
    penalty is chosen by cross-validation within the training conditions, the weights are fitted to
    all pairs of training conditions, and the prediction is compared with every subject's pairs of
    test conditions: no condition is on both sides. Subjects are not held out.

    Where features outnumber pairs, the equivalent problem in the pairs is solved (kernel form).

    The paper [1]_ differs in details, among them how patterns are scaled and penalties chosen.

    References
    ----------
    .. [1] Kaniuth P., Hebart M. N. (2022). NeuroImage 257, 119294.
       doi:10.1016/j.neuroimage.2022.119294

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.inference import reweighted_similarity
    >>> x = np.random.default_rng(0).normal(size=(24, 10))
    >>> names = [f"image {i}" for i in range(24)]
    >>> data = rf.compute_rdms(x[:, :2], conditions=names, measure="sqeuclidean")
    >>> found = reweighted_similarity(x, data, conditions=names)
    >>> bool(found.similarity > 0.99), bool(found.unweighted < 0.7)
    (True, True)
    """
    method = resolve(method)
    form = "n_{of}s, n_features"
    patterns, names = named(patterns, conditions, what="patterns", form=form)
    x = patterns.astype(np.float64)
    if x.ndim != 2:
        raise InputError(
            f"expected patterns of shape ({len(names)}, n_features), one row per condition, got "
            f"{x.shape}."
        )
    if not np.isfinite(x).all():
        raise InputError(
            f"expected finite patterns, got {int((~np.isfinite(x)).sum())} that are "
            "NaN or infinite."
        )
    penalties = np.asarray(list(penalties), dtype=np.float64)
    if not penalties.size or not (np.isfinite(penalties) & (penalties > 0)).all():
        raise InputError(f"expected penalties above 0, got {penalties.tolist()}.")
    design = Design(by=by, groups=groups, blocks=blocks)
    subjects = subject_means(data.align(names), by)
    subjects, _, _ = aligned(subjects, subjects, design)
    units = design.units(names)
    n_used = int((x.std(axis=0) > 0).sum())
    if not n_used:
        raise InputError("expected features that differ between conditions, got constant ones.")
    if nonnegative and n_used > 1000:
        raise InputError(f"expected at most 1000 features with nonnegative=True, got {n_used}.")
    if min(n_used, subjects.n_pairs) > _LARGEST_GRAM:
        raise InputError(
            f"expected at most {_LARGEST_GRAM} features or pairs, got {n_used} features and "
            f"{subjects.n_pairs} pairs. Reduce the features (principal components) first."
        )
    check_folds(n_folds, units, False, "the data")
    rng = as_rng(seed)
    folds = draw_folds(rng, np.ones((1, len(names))), units, n_folds)[0]
    problem = _Ridge(
        x, Study(np.empty((0, 0)), subjects.vectors, method, units), penalties, nonnegative
    )
    rows = []
    for fold in range(n_folds):
        train, test = (np.flatnonzero(chosen) for chosen in (folds != fold, folds == fold))
        # Chosen among the training conditions alone: chosen on all, the test conditions would have
        # a say.
        penalty = problem.choose(train, n_folds, rng)
        fitted = problem.fit(train, [penalty])
        similarity, unweighted = problem.judge(fitted, test)
        rows.append((fold, len(train), len(test), penalty, similarity[0], unweighted))
    everything = np.arange(len(names))
    penalty = problem.choose(everything, n_folds, rng)
    weights, constant = problem.fit(everything, [penalty])
    row, col = np.triu_indices(len(names), k=1)
    fitted = RDMs(
        problem.predict((weights, constant), row, col)[0], names, "reweighted, fitted to all data"
    )
    all_weights = np.zeros(x.shape[1])
    all_weights[problem.used] = weights[0]
    table = pd.DataFrame(
        rows, columns=["fold", "n_train", "n_test", "penalty", "similarity", "unweighted"]
    )
    return Reweighting(
        table,
        float(table["similarity"].mean()),
        float(table["unweighted"].mean()),
        float(penalty),
        all_weights,
        fitted,
    )


class _Ridge:
    """Ridge of pooled dissimilarities on squared differences of features."""

    def __init__(self, patterns, study: Study, penalties: np.ndarray, nonnegative: bool):
        spread = patterns.std(axis=0)
        self.used = spread > 0
        # One penalty is for all features alike only where they have the same spread.
        self.x = (patterns[:, self.used] - patterns[:, self.used].mean(axis=0)) / spread[self.used]
        self.study, self.penalties, self.nonnegative = study, penalties, nonnegative
        #: What is fitted: NaN between runs.
        self.matrix = np.full((len(patterns),) * 2, np.nan)
        for run in study.units.runs:
            row, col = (run[i] for i in np.triu_indices(len(run), k=1))
            own = study.data[:, pairs_of(run, len(patterns))]
            # Within runs: levels of dissimilarity differ between runs, and no weight of a feature
            # explains that.
            self.matrix[row, col] = self.matrix[col, row] = standard(own).mean(axis=0)

    def choose(self, train: np.ndarray, n_folds: int, rng) -> float:
        """Return the penalty with the highest mean similarity in folds of these conditions."""
        if len(self.penalties) == 1:
            return float(self.penalties[0])
        own = self.study.units.among(train)
        # A fold must hold three conditions for its RDM to be compared; groups of two or more
        # bring them with two groups.
        per_fold = 3 if np.bincount(own.groups).min() == 1 else 2
        fewest = min(len(np.unique(own.groups[run])) for run in own.runs)
        n_folds = max(2, min(n_folds, fewest // per_fold))
        folds = draw_folds(rng, np.ones((1, len(train))), own, n_folds)[0]
        scores = [
            self.judge(self.fit(train[folds != f], self.penalties), train[folds == f])[0]
            for f in range(n_folds)
        ]
        scores = mean_defined(np.array(scores))
        # Nothing tells the penalties apart: the one that changes least.
        if np.isnan(scores).all():
            return float(self.penalties.max())
        # The largest of equally good ones.
        order = np.argsort(self.penalties)
        return float(self.penalties[order][best_index(scores[order], last=True)])

    def fit(self, train: np.ndarray, penalties) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (n_penalties, n_features) and constants, fitted to these conditions."""
        row, col = (train[i] for i in np.triu_indices(len(train), k=1))
        blocks = self.study.units.blocks
        used = blocks[row] == blocks[col]
        row, col = row[used], col[used]
        y = self.matrix[row, col]
        n_features = self.x.shape[1]
        mean = self._pairs_mean(train)
        centred = y - y.mean()
        # The smaller problem: features × features (or weights ≥ 0), or pairs × pairs. In blocks:
        # the squared differences of all pairs in all features would not fit into memory.
        if n_features <= len(row) or self.nonnegative:
            gram = np.zeros((n_features, n_features))
            right = np.zeros(n_features)
            for part in self._blocks(len(row), n_features):
                d = (self.x[row[part]] - self.x[col[part]]) ** 2 - mean
                gram += d.T @ d
                right += d.T @ centred[part]
            scale = np.trace(gram) / len(row)
            eye = np.eye(n_features)
            if self.nonnegative:
                stacked = np.stack([gram + p * scale * eye for p in penalties])
                target = np.tile(right, (len(stacked), 1, 1))
                weights = nnls(stacked, target, compiled=False)[:, 0]
            else:
                weights = np.stack([_solve(gram + p * scale * eye, right) for p in penalties])
        else:
            gram = np.zeros((len(row), len(row)))
            for part in self._blocks(n_features, len(row)):
                d = (self.x[row, part] - self.x[col, part]) ** 2 - mean[part]
                gram += d @ d.T
            scale = np.trace(gram) / len(row)
            eye = np.eye(len(row))
            # (DᵀD + λ)⁻¹ Dᵀ y = Dᵀ (D Dᵀ + λ)⁻¹ y: the same weights, from one number for each pair.
            dual = np.stack([_solve(gram + p * scale * eye, centred) for p in penalties])
            weights = np.empty((len(penalties), n_features))
            for part in self._blocks(n_features, len(row)):
                d = (self.x[row, part] - self.x[col, part]) ** 2 - mean[part]
                weights[:, part] = dual @ d
        # Both sides were centred over the training pairs, so that the constant is not penalised.
        return weights, y.mean() - weights @ mean

    def predict(self, fitted, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Return predicted dissimilarities, (n_penalties, n_pairs)."""
        weights, constant = fitted
        parts = [
            weights @ ((self.x[row[part]] - self.x[col[part]]) ** 2).T
            for part in self._blocks(len(row), self.x.shape[1])
        ]
        return np.concatenate(parts, axis=1) + constant[:, None]

    def judge(self, fitted, test: np.ndarray) -> tuple[np.ndarray, float]:
        """Return mean similarities with the subjects, of each penalty and without weights."""
        row, col = (test[i] for i in np.triu_indices(len(test), k=1))
        n_features = self.x.shape[1]
        plain = self.predict((np.ones((1, n_features)), np.zeros(1)), row, col)
        predictions = np.vstack([self.predict(fitted, row, col), plain])
        data = self.study.data[:, pairs_of(test, self.study.n_conditions)]
        study = replace(
            self.study, model=predictions, data=data, units=self.study.units.among(test)
        )
        similarity = study.similarities(study.once)[0]
        means = mean_defined(similarity.T)
        return means[:-1], float(means[-1])

    def _pairs_mean(self, members: np.ndarray) -> np.ndarray:
        """Return the mean squared difference of each feature over the pairs within runs."""
        total, n_pairs = np.zeros(self.x.shape[1]), 0
        for run in self.study.units.among(members).runs:
            # The squared differences of all pairs sum to n² times the variance.
            total += len(run) ** 2 * self.x[members[run]].var(axis=0)
            n_pairs += len(run) * (len(run) - 1) // 2
        return total / n_pairs

    @staticmethod
    def _blocks(n: int, width: int) -> list[slice]:
        """Return slices of n whose arrays of this width stay within the memory."""
        step = max(1, MEMORY // (8 * width))
        return [slice(start, start + step) for start in range(0, n, step)]


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve a positive definite system."""
    return cho_solve(cho_factor(matrix, overwrite_a=True), right)
