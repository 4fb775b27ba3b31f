"""Recognition: two images of a person against two people, with people drawn again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rsa_faces._core.errors import InputError
from rsa_faces._core.student import t_test
from rsa_faces.analyses._gram import cosines
from rsa_faces.analyses._intervals import narrow, percentile_interval
from rsa_faces.inference.bootstrap import draws_of


@dataclass(frozen=True, eq=False)
class Recognition:
    """Pairs of images, and how often people are drawn; the same for all that is compared."""

    people: np.ndarray  # per image
    samples: np.ndarray  # (1 + n_boot, n_people); the first are ones

    @classmethod
    def of(cls, people: np.ndarray, n_boot: int, rng: np.random.Generator) -> Recognition:
        """Draw samples of people."""
        n = int(people.max()) + 1
        if (able := int((np.bincount(people) > 1).sum())) < 4:
            raise InputError(f"expected at least 4 people with two images or more, got {able}.")
        return cls(people, np.concatenate([np.ones((1, n)), draws_of(n, n_boot, rng)]))

    def auc(self, patterns: np.ndarray) -> np.ndarray:
        """Return the area under the curve by the cosine of patterns, and in each sample."""
        return self.auc_of(cosines(patterns))

    def auc_of(self, scores: np.ndarray) -> np.ndarray:
        """Return the area under the curve of symmetric scores, and in each sample.

        A pair of two people counts as often as the product of how often both are drawn, a pair of
        one person's images as often as the person.
        """
        row, col = np.triu_indices(len(scores), 1)
        a, b, values = self.people[row], self.people[col], scores[row, col]
        # Once for all samples: these change weights of pairs, not their order.
        order = np.argsort(values, kind="stable")
        a, b, values = a[order], b[order], values[order]
        first = np.searchsorted(values, values, "left")
        last = np.searchsorted(values, values, "right")
        same = a == b
        out = np.empty(len(self.samples))
        for i, sample in enumerate(self.samples):
            other = np.where(same, 0.0, sample[a] * sample[b])
            below = np.concatenate([[0.0], np.cumsum(other)])
            # A person who is drawn twice brings each own pair twice, not four times: copies of an
            # image are no second image.
            own = sample[a[same]]
            # Ties count half: the mean of those below and those below or equal.
            lower = (below[first[same]] + below[last[same]]) / 2
            total = own.sum() * below[-1]
            out[i] = (own * lower).sum() / total if total else np.nan
        return out

    @staticmethod
    def summary(values: np.ndarray, n_people: int, *, rate: bool = False) -> dict[str, float]:
        """Return the value of the people themselves, and its interval of 95 %."""
        low, high = percentile_interval(values[1:], n_people, rate=rate)
        return {"value": values[0], "ci_low": low, "ci_high": high}

    @staticmethod
    def p(values: np.ndarray, chance: float, n_people: int) -> float:
        """Return the two-sided p of a difference from chance.

        The larger of that of the samples and that of Student's t by their spread: samples of few
        people are too narrow.
        """
        samples = values[1:][np.isfinite(values[1:])]
        sides = [(samples <= chance).sum(), (samples >= chance).sum()]
        share = min(1.0, 2 * (1 + min(sides)) / (1 + len(samples)))
        error = samples.std() / narrow(n_people)
        return max(share, float(t_test(values[0] - chance, error, n_people - 1)))
