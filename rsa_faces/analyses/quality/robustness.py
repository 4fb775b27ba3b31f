"""Robustness: what is left of geometry and identity when images get worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from rsa_faces._core.checks import as_rng, check_arguments, check_choice, check_count, check_seed
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces._core.words import counted
from rsa_faces.analyses._gram import unit_length
from rsa_faces.analyses._inputs import as_layers, codes_of, matched
from rsa_faces.analyses._intervals import percentile_interval
from rsa_faces.extraction import extract
from rsa_faces.inference.bootstrap import draws_of
from rsa_faces.rdm import compute_rdms
from rsa_faces.stimuli import StimulusSet
from rsa_faces.stimuli.degradations import DEGRADATIONS, Degradation, degrade, random_of
from rsa_faces.stimuli.turning import turn_faces

if TYPE_CHECKING:
    from rsa_faces.networks import Network

#: What images undergo: what :func:`rsa_faces.stimuli.degradations.degrade` does, and heads turned.
TURNED = "turned"
KINDS = DEGRADATIONS | {
    TURNED: Degradation("degrees of yaw, to a side by chance", (6.0, 12.0, 18.0, 24.0, 30.0))
}


@dataclass(frozen=True, eq=False, repr=False)
class Robustness(BaseResult, figure="plot_robustness"):
    """What is left of a network's answers when images get worse.

    Attributes
    ----------
    table : DataFrame
        One row per layer, degradation and strength; see :func:`robustness`.
    settings : dict
        Options, for provenance.

    See Also
    --------
    robustness
    rsa_faces.figures.plot_robustness : Draw stability or verification against strength.

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    >>> found = rf.analyses.robustness(
    ...     rf.load_network("pixels"), rf.StimulusSet.from_arrays(images, list("abcd")),
    ...     degradations=["contrast"], strengths=[1, 3], n_bootstrap=0)
    >>> len(found.table)
    3
    """

    table: pd.DataFrame

    def __repr__(self) -> str:
        kinds = [kind for kind in self.table["degradation"].unique() if kind != "none"]
        return f"Robustness({self.settings['network']!r}, {counted(len(kinds), 'degradation')})"


@keep_warnings
def robustness(
    network: Network,
    stimuli: StimulusSet,
    *,
    layers: str | Sequence[str] | None = None,
    degradations: Sequence[str] | None = None,
    strengths: Sequence[int] = (1, 2, 3, 4, 5),
    identity: Labels | None = None,
    measure: str = "correlation",
    n_bootstrap: int = 1000,
    alpha: float = 0.05,
    budget: str | int = "4GB",
    reduce: str | int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Robustness:
    """Measure stability of RDMs and verification of people against strengths of degradation.

    Parameters
    ----------
    network : Network
        From :func:`rsa_faces.load_network`.
    stimuli : StimulusSet
        Crops of faces, as the network was trained to see them (:func:`rsa_faces.crop_faces`):
        degradations are of the crops, whose places are those found in the clean images.
    layers : str or sequence of str, optional
        As for :func:`rsa_faces.extract`; by default the last of ``network.layers()``. All are
        recorded in one pass.
    degradations : sequence of str, optional
        Of ``rsa_faces.stimuli.degradations.DEGRADATIONS``, by default all of these; and "turned":
        heads turned by 6, 12, 18, 24, 30 degrees to a side by chance
        (:func:`rsa_faces.stimuli.turning.turn_faces`, landmarks found in the clean images).
    strengths : sequence of int from 1 to 5, default all
    identity : mapping or Series, stimulus id to person, optional
        Who is shown. Without it there is no verification, and intervals are over images.
    measure : str, default "correlation"
        Of the RDMs; one that takes one pattern per image.
    n_bootstrap : int, default 1000
        Samples of people, for the intervals; 0 leaves them out.
    alpha : float, default 0.05
        Intervals cover 1 − alpha.
    budget, reduce, batch_size
        As for :func:`rsa_faces.extract`. Clean and degraded answers are held at the same time.
    seed : int, default 0
        Of the degradations, the folds and the bootstrap.
    progress : bool, default True
        Show a bar, on a terminal.

    Returns
    -------
    Robustness
        Its table has the columns ``network``, ``layer``, ``layer_index``, ``depth``,
        ``degradation``, ``strength``, ``level`` and ``unit`` (of the degradation); ``stability``
        (Spearman correlation of the RDMs of clean and degraded images), ``auc`` and ``accuracy``
        (balanced; chance 0.5) of verification, each with ``_low`` and ``_high``; ``n_people`` and
        ``n_conditions``. Rows of strength 0 and degradation "none" compare the clean images with
        each other. NaN where `identity` is not given, or where an RDM does not vary.

    Raises
    ------
    ConditionMismatchError
        If names of stimuli and `identity` differ.
    InputError
        If a degradation, a strength or another option is not valid; there are fewer than 3 images;
        or fewer than 4 people have two images (two folds of two).

    See Also
    --------
    image_confidence : Measure how little an image's embedding moves under changes.
    rsa_faces.figures.plot_robustness : Draw stability or verification against strength.

    Notes
    -----
    Verification takes a degraded image of each person and the clean images of all, as when an
    image from a camera meets a register. Pairs of an image with itself are left out, so the same
    person is always seen in another photograph. Scores are cosines of activations. AUC is the
    probability that a pair of one person scores higher than a pair of two (ties count half), over
    all pairs. Accuracy is at a fixed threshold, best for the clean images of one half of the
    people and used for pairs among the other half, in turn; the mean of the shares of both kinds
    of pairs that are called right. AUC can stay high where accuracy falls: then all scores have
    moved, and a threshold set on clean images no longer fits.

    Intervals are percentiles over samples of people with replacement, further out the fewer people
    there are (Student's t; where AUC or accuracy is 0 or 1, Clopper and Pearson's): a pair of two
    people counts as often as both were drawn, a pair of one person's images as often as that
    person. Ranks (of the Spearman correlation) and thresholds are those of the whole sample, not
    found anew. Degradations are of the same images, so intervals of two rows do not tell whether
    these differ.

    Examples
    --------
    >>> import numpy as np
    >>> from rsa_faces import load_network
    >>> from rsa_faces.analyses.quality.robustness import robustness
    >>> from rsa_faces.stimuli import StimulusSet
    >>> images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3)).astype(np.uint8)
    >>> found = robustness(
    ...     load_network("pixels"), StimulusSet.from_arrays(images, list("abcdef")),
    ...     degradations=["gaussian-noise"], strengths=[1, 5], n_bootstrap=0)
    >>> bool(found.table["stability"].is_monotonic_decreasing)
    True
    """
    check_arguments(robustness, locals())
    kinds = list(DEGRADATIONS) if degradations is None else list(degradations)
    for kind in kinds:
        check_choice(kind, KINDS, what="degradation")
    strengths = sorted({check_count(s, what="strength") for s in strengths})
    most = min(len(KINDS[kind].levels) for kind in kinds or KINDS)
    if not kinds or not strengths or strengths[-1] > most:
        raise InputError(
            f"expected degradations and strengths from 1 to {most}, got {kinds} and {strengths}."
        )
    check_count(n_bootstrap, what="n_bootstrap", low=0)
    if not 0 < alpha < 1:
        raise InputError(f"expected alpha between 0 and 1, got {alpha!r}.")
    if len(stimuli) < 3:
        raise InputError(f"expected at least 3 images, for RDMs, got {len(stimuli)}.")
    check_seed(seed)
    layers = network.layers()[-1] if layers is None else layers
    options = {
        "layers": layers,
        "budget": budget,
        "reduce": reduce,
        "batch_size": batch_size,
        "progress": False,
    }
    clean = extract(network, stimuli, **options)
    people = np.arange(len(stimuli))
    if identity is not None:
        _, (who,), _ = matched(as_layers(clean, None), [("identity", identity)], None)
        people = codes_of(who)[0]
    comparison = Comparison.of(people, identity is not None, n_bootstrap, alpha, as_rng(seed))
    clean_rdms = compute_rdms(clean, measure=measure)
    references = [_reference(patterns, comparison) for patterns in clean.values()]
    conditions = [("none", 0), *((kind, s) for kind in kinds for s in strengths)]
    points = _points(stimuli) if TURNED in kinds else {}
    rows = []
    with progress_bar("robustness", len(conditions), show=progress) as tell:
        for n_done, (kind, strength) in enumerate(conditions):
            answers, rdms = clean, clean_rdms
            if strength:
                if kind == TURNED:
                    worse = _turned(stimuli, points, KINDS[kind].levels[strength - 1], seed)
                else:
                    worse = degrade(stimuli, kind, strength, seed=seed)
                answers = extract(network, worse, **options)
                rdms = compute_rdms(answers, measure=measure)
            for i, layer in enumerate(clean.layers):
                level = KINDS[kind].levels[strength - 1] if strength else np.nan
                rows.append(
                    {
                        "network": network.name,
                        "layer": layer,
                        "layer_index": i,
                        "depth": clean.depth[layer],
                        "degradation": kind,
                        "strength": strength,
                        "level": level,
                        "unit": KINDS[kind].unit if strength else "",
                        **comparison.stability(clean_rdms.vectors[i], rdms.vectors[i]),
                        **comparison.verification(references[i], answers[layer]),
                        "n_people": len(np.unique(people)) if identity is not None else np.nan,
                        "n_conditions": len(stimuli),
                    }
                )
            tell(n_done + 1)
    table = pd.DataFrame(rows).sort_values("layer_index", kind="stable", ignore_index=True)
    settings = {
        "network": network.name,
        "degradations": kinds,
        "strengths": strengths,
        "measure": measure,
        "n_bootstrap": n_bootstrap,
        "alpha": alpha,
        "reduce": reduce,
        "seed": seed,
    }
    return Robustness(table, settings=settings)


def _points(stimuli: StimulusSet) -> dict[str, np.ndarray]:
    """Return the landmarks of each image."""
    from rsa_faces.networks import detect_landmarks

    return dict(zip(stimuli.ids, detect_landmarks(stimuli), strict=True))


def _turned(stimuli: StimulusSet, points: dict, yaw: float, seed: int) -> StimulusSet:
    """Return heads turned to a side that goes by name and seed, the same for all angles."""
    side = {name: random_of(name, TURNED, seed).integers(2) for name in stimuli.ids}
    images = {}
    for which, angle in ((0, -yaw), (1, yaw)):
        names = [name for name in stimuli.ids if side[name] == which]
        if names:
            landmarks = np.stack([points[name] for name in names])
            some = turn_faces(stimuli.subset(names), landmarks, angle)
            images |= {name: some.image(name) for name in names}
    return StimulusSet.from_arrays(
        [images[name] for name in stimuli.ids], stimuli.ids, stimuli.metadata
    )


@dataclass(frozen=True, eq=False)
class Comparison:
    """Which pairs count, in which fold, and how often in each sample; shared by all rows."""

    same: np.ndarray  # (n, n): one person, two images
    different: np.ndarray
    fold: np.ndarray | None  # per image
    people: np.ndarray  # per image
    samples: np.ndarray  # (1 + n_bootstrap, n_people), float32; the first are ones
    weights: np.ndarray  # the same per image
    alpha: float

    @classmethod
    def of(cls, people, verify: bool, n_bootstrap: int, alpha: float, rng) -> Comparison:
        """Draw folds and samples of people."""
        n_people = int(people.max()) + 1
        same = people[:, None] == people
        different = ~same
        np.fill_diagonal(same, False)
        fold = None
        if verify:
            able = np.bincount(people, minlength=n_people) > 1
            if able.sum() < 4:
                raise InputError(
                    "expected at least 4 people with two images or more, for verification, got "
                    f"{able.sum()}. Leave `identity` out for the stability of RDMs alone."
                )
            # Those with several images are dealt out first, so that both folds have pairs of one
            # person.
            order = np.lexsort((rng.random(n_people), ~able))
            of_person = np.empty(n_people, np.int64)
            of_person[order] = np.arange(n_people) % 2
            fold = of_person[people]
        draws = draws_of(n_people, n_bootstrap, rng)
        samples = np.concatenate([np.ones((1, n_people)), draws]).astype(np.float32)
        weights = samples[:, people].astype(float)
        return cls(same, different, fold, people, samples, weights, alpha)

    def stability(self, clean: np.ndarray, degraded: np.ndarray) -> dict[str, float]:
        """Return the correlation of ranks of two RDMs, with its interval."""
        n = self.same.shape[0]
        low, high = np.triu_indices(n, 1)
        pairs = np.isfinite(clean) & np.isfinite(degraded)
        if pairs.sum() < 2:
            return self._named("stability", np.full(len(self.weights), np.nan))
        matrices = []
        x, y = (rankdata(values[pairs]) for values in (clean, degraded))
        x, y = x - x.mean(), y - y.mean()
        for values in (np.ones(len(x)), x, y, x * x, y * y, x * y):
            matrix = np.zeros((n, n))
            matrix[low[pairs], high[pairs]] = values
            matrices.append(matrix)
        total, sx, sy, sxx, syy, sxy = (self._sums(matrix) for matrix in matrices)
        with np.errstate(invalid="ignore", divide="ignore"):
            covariance = sxy / total - sx * sy / total**2
            variances = [s2 / total - (s / total) ** 2 for s2, s in ((sxx, sx), (syy, sy))]
            varies = np.minimum(*variances) > 1e-9 * len(x)
            r = np.where(varies, covariance / np.sqrt(np.prod(variances, axis=0)), np.nan)
        return self._named("stability", r)

    def verification(self, reference, patterns: np.ndarray) -> dict[str, float]:
        """Return AUC and accuracy of degraded images against clean ones, with intervals."""
        if self.fold is None:
            empty = np.full(len(self.weights), np.nan)
            return {**self._named("auc", empty), **self._named("accuracy", empty)}
        clean, thresholds = reference
        scores = unit_length(patterns) @ clean.T
        inside = self.fold[:, None] == self.fold
        called = scores >= thresholds[self.fold][:, None]
        right = []
        for pairs, hits in ((self.same, called), (self.different, ~called)):
            with np.errstate(invalid="ignore", divide="ignore"):
                right.append(self._sums(pairs & inside & hits) / self._sums(pairs & inside))
        accuracy = (right[0] + right[1]) / 2
        return {**self._named("auc", self.auc(scores)), **self._named("accuracy", accuracy)}

    def auc(self, scores: np.ndarray) -> np.ndarray:
        """Return the area under the curve in each sample, (1 + n_bootstrap,)."""
        si, sj = np.nonzero(self.same)
        values, place = np.unique(scores[si, sj], return_inverse=True)
        # Scores of two people: below values[0], equal to it, between it and values[1], …
        cells = np.searchsorted(values, scores, "left") + np.searchsorted(values, scores, "right")
        n_people, n_cells = self.samples.shape[1], 2 * len(values) + 1
        counts = np.zeros((len(self.samples), n_cells), np.float32)
        keys = self.people * n_cells + cells  # a gallery's person, and the cell
        for person in range(n_people):
            probes = self.people == person
            found = np.bincount(keys[probes][:, ~probes].ravel(), minlength=n_people * n_cells)
            drawn = self.samples[:, person]
            rows = np.flatnonzero(drawn)
            table = found.reshape(n_people, n_cells).astype(np.float32)
            counts[rows] += drawn[rows, None] * (self.samples[rows] @ table)
        below = np.cumsum(counts, axis=1, dtype=np.float64)
        lower = (below[:, 2 * place] + below[:, 2 * place + 1]) / 2
        same = self.weights[:, si]  # a person drawn twice is two people, each with its own pairs
        with np.errstate(invalid="ignore", divide="ignore"):
            return (same * lower).sum(axis=1) / (same.sum(axis=1) * below[:, -1])

    def _sums(self, matrix: np.ndarray) -> np.ndarray:
        """Return the sum over pairs, as often as drawn, in each sample.

        A person drawn c times is c people: pairs of its own images count c times, not c².
        """
        matrix = matrix.astype(float)
        total = ((self.weights @ matrix) * self.weights).sum(axis=1)
        own = np.bincount(self.people, (matrix * self.same).sum(axis=1), self.samples.shape[1])
        drawn = self.samples.astype(float)
        return total - (drawn * (drawn - 1)) @ own

    def _named(self, name: str, values: np.ndarray) -> dict[str, float]:
        """Return the value of the sample itself, and the interval of the others."""
        samples = values[1:] if np.isfinite(values[0]) else values[:0]
        low, high = percentile_interval(
            samples, self.samples.shape[1], 1 - self.alpha, rate=name != "stability"
        )
        return {name: values[0], f"{name}_low": low, f"{name}_high": high}


def _reference(patterns: np.ndarray, comparison: Comparison):
    """Return clean patterns of length 1, and the threshold for each fold, set on the other."""
    if comparison.fold is None:
        return None
    clean = unit_length(patterns)
    scores = clean @ clean.T
    thresholds = np.empty(2)
    for fold in (0, 1):
        others = comparison.fold != fold
        inside = np.triu(others[:, None] & others)
        same, different = (scores[inside & p] for p in (comparison.same, comparison.different))
        thresholds[fold] = best_threshold(same, different)
    return clean, thresholds


def best_threshold(same: np.ndarray, different: np.ndarray) -> float:
    """Return the threshold of the best balanced accuracy: the middle one of several."""
    values = np.unique(np.concatenate([same, different]))
    tried = np.r_[values[0] - 1, (values[1:] + values[:-1]) / 2, values[-1] + 1]
    missed = np.searchsorted(np.sort(same), tried) / len(same)
    refused = np.searchsorted(np.sort(different), tried) / len(different)
    best = np.flatnonzero(np.isclose(refused - missed, (refused - missed).max(), atol=1e-12))
    return float(tried[best[len(best) // 2]])
