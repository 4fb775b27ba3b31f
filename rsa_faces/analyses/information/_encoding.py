"""What was predicted of responses, and how predictions are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rsa_faces._core.numbers import best_index
from rsa_faces._core.student import half_width, t_test
from rsa_faces.analyses._ridge import fit_fold

_HELD = 2**23  # values at a time
#: Columns of a difference of r2: over folds of conditions, and over targets.
R2 = ("r2_difference", "r2_ci_low", "r2_ci_high", "r2_p")
TARGETS = ("targets_ci_low", "targets_ci_high", "targets_p")


@dataclass(frozen=True, eq=False)
class Predictions:
    """Responses (n_conditions, n_targets), and how predictions of them are judged."""

    responses: np.ndarray
    units: np.ndarray
    fold_of: np.ndarray
    of_region: np.ndarray  # weights of targets, (n_regions, n_targets)

    def predict(
        self, kernels, trains, mixtures, strengths, responses=None, blocks=None
    ) -> np.ndarray:
        """Return what each space predicts, less fold means: (n_spaces, n_conditions, n_targets).

        With blocks of conditions, (n_conditions,): first of all, then fitted without each of them
        at the same strengths, (1 + n_blocks, n_spaces, n_conditions, n_targets).
        """
        responses = self.responses if responses is None else responses
        n_fits = 1 if blocks is None else 2 + int(blocks.max())
        out = np.zeros((n_fits, len(kernels), *responses.shape))
        for f, train in enumerate(trains):
            test, y = np.flatnonzero(self.fold_of == f), responses[train]
            y = y - y.mean(axis=0)
            left = np.unique(self.units[train], return_inverse=True)[1]
            own = [kernel[f] for kernel in kernels]
            best = np.full(y.shape[1], np.inf)
            for mixture in mixtures:
                products = sum(share * k for share, k in zip(mixture, own, strict=True))
                fold = fit_fold(products, train, test, strengths, left)
                losses = np.array([np.einsum("it,it->t", y, e @ y) for e in fold.errors])
                which = best_index(-losses, axis=0, last=True)
                lowest = losses[which, np.arange(len(best))]
                # Of mixtures that do as well the first stays.
                better = lowest < best * (1 - 1e-9)
                for k in np.unique(which[better]):
                    these = np.flatnonzero(better & (which == k))
                    for b, told in enumerate(out):
                        gone = np.flatnonzero(blocks[train] == b - 1) if b else np.arange(0)
                        weights = fold.duals[k] @ fold.without(k, y[:, these], gone)
                        for s, (share, kernel) in enumerate(zip(mixture, own, strict=True)):
                            told[s][np.ix_(test, these)] = (
                                share * kernel[np.ix_(test, train)] @ weights
                            )
                best = np.where(better, lowest, best)
        return self._without_means(out[0] if blocks is None else out)

    def refitted(self, kernels, trains, mixtures, strengths, blocks):
        """Return what each space predicts; and r and parts of regions without each block.

        Shapes (n_spaces, n_conditions, n_targets), (n_blocks, n_regions), (n_blocks, n_spaces,
        n_regions).
        """
        rest = blocks != np.arange(blocks.max() + 1)[:, None]
        n, n_targets = self.responses.shape
        step = max(1, _HELD // (n * len(kernels) * len(rest)))
        spaces, r, parts = [], [], []
        for start in range(0, n_targets, step):
            these = slice(start, start + step)
            some = replace(
                self, responses=self.responses[:, these], of_region=self.of_region[:, these]
            )
            whole, *without = some.predict(kernels, trains, mixtures, strengths, blocks=blocks)
            spaces.append(whole)
            left = [some._of(kept, told) for kept, told in zip(rest, without, strict=True)]
            r.append([one for one, _ in left])
            parts.append([one for _, one in left])
        return np.concatenate(spaces, axis=2), np.sum(r, axis=0), np.sum(parts, axis=0)

    def _of(self, kept: np.ndarray, spaces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean r of each region, and its parts of r2, of some conditions."""
        fold_of = np.unique(self.fold_of[kept], return_inverse=True)[1]
        some = replace(self, responses=self.responses[kept], fold_of=fold_of)
        spaces = some._without_means(spaces[:, kept])
        shares = some.parts(spaces, np.ones((1, len(fold_of))))[0]
        return self.of_region @ some.r(spaces.sum(axis=0)), shares @ self.of_region.T

    @property
    def centred(self) -> np.ndarray:
        """Responses less their means within folds."""
        return self._without_means(self.responses)

    def _without_means(self, values: np.ndarray) -> np.ndarray:
        """Return values less their means within folds; conditions are the axis before the last."""
        member = (self.fold_of[:, None] == np.arange(self.fold_of.max() + 1)).astype(float)
        means = (member / member.sum(axis=0)).T @ values
        return values - member @ means

    def r(self, predicted: np.ndarray) -> np.ndarray:
        """Return the correlation of each target; 0 where the prediction is constant."""
        y = self.centred
        return ratio((predicted * y).sum(axis=0), (predicted**2).sum(axis=0), (y**2).sum(axis=0))

    def exchanged(self, kernels, trains, mixtures, strengths, orders) -> np.ndarray:
        """Return mean r of each region with responses exchanged, (n_permutations, n_regions)."""
        out, (n, n_targets) = [], self.responses.shape
        step = max(1, _HELD // (n * n_targets * len(kernels)))
        for start in range(0, len(orders), step):
            # As further targets: (n, n_permutations · n_targets).
            y = self.responses[orders[start : start + step]].transpose(1, 0, 2).reshape(n, -1)
            predicted = self.predict(kernels, trains, mixtures, strengths, y).sum(axis=0)
            y = self._without_means(y)
            sums = ((a * b).sum(axis=0) for a, b in ((predicted, y), (predicted,) * 2, (y, y)))
            out.append(ratio(*sums).reshape(-1, n_targets) @ self.of_region.T)
        return np.concatenate(out)

    def drawn_r(self, predicted: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Return mean r of each region with conditions weighted, (n_draws, n_regions)."""
        y = self.centred
        sums = (draws @ values for values in (predicted * y, predicted**2, y**2))
        return ratio(*sums) @ self.of_region.T

    def parts(self, spaces: np.ndarray, draws: np.ndarray):
        """Return parts of r2, (n_spaces, n_targets), and those of regions in draws."""
        y = self.centred
        # y² - (y - ŷ)² is ŷ(2y - ŷ): each space's share of ŷ has its share of r2.
        products = spaces * (2 * y - spaces.sum(axis=0))
        total = (y**2).sum(axis=0)
        drawn = draws @ products / (draws @ y**2)
        return products.sum(axis=1) / total, drawn @ self.of_region.T

    def r2(self, predicted: np.ndarray, which: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return the share of variance of each target that is predicted, of some conditions."""
        y, guess = self.centred[which], predicted[which]
        total = (y**2).sum(axis=0)
        rest = ((y - guess) ** 2).sum(axis=0)
        return np.divide(total - rest, total, out=np.zeros(len(total)), where=total > 0)

    def differences(self, one, other) -> list[dict[str, float]]:
        """Return for each region how much better one predicts: of r and of r2, intervals and p."""
        y, folds = self.centred, [self.fold_of == f for f in range(int(self.fold_of.max()) + 1)]
        n = len(folds)
        found = []  # (n_folds, [r, r2], n_targets)
        for fold in folds:
            r = [
                ratio(
                    (p * y)[fold].sum(axis=0),
                    (p[fold] ** 2).sum(axis=0),
                    (y[fold] ** 2).sum(axis=0),
                )
                for p in (one, other)
            ]
            found.append([r[0] - r[1], self.r2(one, fold) - self.r2(other, fold)])
        found = np.array(found)
        # Folds share training conditions: n_test / n_train is 1 / (n_folds - 1).
        share, rows = 1 / n + 1 / (n - 1), []
        for weights in self.of_region:
            inside = weights > 0
            of_targets = found[:, 1, inside].mean(axis=0)
            row = corrected_t(
                found[:, 0] @ weights, share, ("difference", "ci_low", "ci_high", "p")
            )
            row |= corrected_t(found[:, 1] @ weights, share, R2)
            rows.append(row | corrected_t(of_targets, 1 / len(of_targets), (R2[0], *TARGETS)))
        return rows


def corrected_t(
    values: np.ndarray, share: float, names: Sequence[str], mean: float | None = None
) -> dict[str, float]:
    """Return the mean of values, its t interval and p; its variance is a share of theirs."""
    n, mean = len(values), values.mean() if mean is None else mean
    error = values.std(ddof=1) * np.sqrt(share) if n > 1 else np.nan
    half, p = half_width(error, n - 1), t_test(mean, error, n - 1)
    return dict(zip(names, (mean, mean - half, mean + half, p), strict=True))


def ratio(products, first, second) -> np.ndarray:
    """Return products over the root of two sums of squares; 0 where one of these is 0."""
    scale = np.sqrt(first * second)
    products, scale = np.broadcast_arrays(products, scale)
    return np.divide(products, scale, out=np.zeros(products.shape), where=scale > 0)
