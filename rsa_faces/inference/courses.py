"""Similarity over time: the course of each model in each region."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from rsa_faces._errors import InputError
from rsa_faces._validation import as_rng, check_choice, check_count
from rsa_faces.comparison import METHODS, align_pair
from rsa_faces.comparison.methods import COV_METHODS
from rsa_faces.inference._pooled import subject_ceilings
from rsa_faces.inference._recording import recording_of
from rsa_faces.inference._weighted import (
    BLOCK,
    LINEAR_BLOCK,
    weighted_similarities,
)
from rsa_faces.inference.bootstrap import _in_blocks, _mean_similarity, draw_counts, dual_variance
from rsa_faces.inference.ceilings import shared_structure
from rsa_faces.inference.evaluate import (
    BOOTSTRAPS,
    _group_codes,
    _model_names,
    _p_values,
    check_design,
)
from rsa_faces.inference.multiple import CORRECTIONS, adjust
from rsa_faces.rdm import RDMs

TABLE = (
    "region", "network", "layer", "model", "time", "method", "similarity", "sem", "ci_low",
    "ci_high", "p", "p_corrected", "ceiling_low", "ceiling_high", "p_reliable", "reliable",
    "n_subjects", "n_conditions",
)  # fmt: skip
CURVES = ("region", "network", "layer", "model", "layer_index", "depth")
_MEMORY = 256 * 2**20


@dataclass(frozen=True, eq=False)
class TimeCourse:
    """The outcome of :func:`time_course`.

    A curve is the similarity of one model in one region over time. Without regions there is one
    curve per model, in their order.

    Parameters
    ----------
    times : ndarray, shape (n_times,)
        In seconds, ascending.
    curves : DataFrame
        One row per curve: region, network, layer, model (network and layer), layer_index, depth.
    table : DataFrame
        One row per curve and time: mean similarity over subjects, standard error, interval, p
        against 0 and corrected, noise ceilings of that time and whether subjects share structure
        then, numbers of subjects and conditions.
    subjects : ndarray, shape (n_subjects, n_curves, n_times)
        Similarity in each subject; NaN throughout where a subject lacks the region.
    subject_names : tuple of str
    samples : ndarray, shape (n_boot, n_curves, n_times)
        Mean similarity in each bootstrap sample. The draws of a sample are the same at all times
        and for all curves.
    settings : mapping
        Method, bootstrap, number of samples, seed, alpha, correction, and `generalises_to`.
    notes : tuple of str
        What a reader must know before concluding.
    """

    times: np.ndarray
    curves: pd.DataFrame
    table: pd.DataFrame
    subjects: np.ndarray
    subject_names: tuple[str, ...]
    samples: np.ndarray
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"TimeCourse({len(self.curves)} curves, {len(self.times)} times from "
            f"{self.times[0]:g} to {self.times[-1]:g} s, {len(self.subject_names)} subjects)"
        )

    @property
    def similarity(self) -> np.ndarray:
        """Mean similarity over subjects, shape (n_curves, n_times)."""
        return self.table["similarity"].to_numpy().reshape(len(self.curves), -1)

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of :attr:`table`."""
        return self.table.copy()

    def sel(self, *, model: str | None = None, region: str | None = None) -> TimeCourse:
        """Select the curves of a model, of a region, or of both.

        Parameters
        ----------
        model, region : str, optional
            As in :attr:`curves`.

        Returns
        -------
        TimeCourse
            Without the subjects that have none of these curves: with one region, `subjects` has
            no gaps and can go into a test over time. Nothing is computed again: corrected p
            values are those of the whole.

        Raises
        ------
        InputError
            If there is no such model or region (the nearest is named).
        """
        keep = np.ones(len(self.curves), dtype=bool)
        for column, value in (("model", model), ("region", region)):
            if value is not None:
                check_choice(value, self.curves[column].unique(), what=column)
                keep &= (self.curves[column] == value).to_numpy()
        return take_curves(self, np.flatnonzero(keep))


def time_course(
    model: RDMs,
    data: RDMs,
    *,
    method: str = "rho-a",
    by: str = "subject",
    bootstrap: str = "subjects",
    n_boot: int = 1000,
    n_permutations: int = 999,
    seed: int = 0,
    groups: Mapping[str, object] | None = None,
    alpha: float = 0.05,
    correction: str = "fdr",
) -> TimeCourse:
    """Evaluate how well models predict data at each time.

    Parameters
    ----------
    model : RDMs
        Model RDMs, every pair known; labels ``network`` and ``layer``, or ``name``, go into the
        result and tell them apart.
    data : RDMs
        RDMs with a label ``time`` in seconds (as of :func:`rsa_faces.rdm.movie.rdm_movie`) and one
        that tells subjects apart. If there is a label ``region``, each region is evaluated on its
        own. All subjects have the same times.
    method : str, default "rho-a"
        Comparison method, as in :func:`rsa_faces.compare`.
    by : str, default "subject"
        Label that tells subjects apart; several RDMs of one at the same time (sessions) are
        averaged first.
    bootstrap : {"subjects", "conditions", "both"}, default "subjects"
        What is drawn anew, and so what the conclusions generalise to.
    n_boot : int, default 1000
        Number of bootstrap samples.
    n_permutations : int, default 999
        For the test of shared structure at each time, :func:`shared_structure`; 0 leaves it out.
    seed : int, default 0
        The same seed gives the same result.
    groups : mapping of condition to group, optional
        Conditions that belong together (images of an identity) are drawn together.
    alpha : float, default 0.05
        Intervals cover 1 − alpha; level of the tests of shared structure, corrected.
    correction : {"fdr", "bonferroni", "holm"}, default "fdr"
        For the tests of all models at all times of a region, and for those of shared structure at
        all times.

    Returns
    -------
    TimeCourse

    Raises
    ------
    ConditionMismatchError
        If model and data hold different conditions.
    InputError
        If a label is missing, a subject lacks a time that others have (subject and times are
        named), models have the same name, one subject is to be drawn from, or an option is
        unknown.

    Warns
    -----
    UserWarning
        For each note of the result: few subjects or conditions, similarities that are undefined.

    Notes
    -----
    At each time, similarity, standard error, interval and p are those of
    :func:`rsa_faces.evaluate`: two-sided t-tests on the bootstrap's standard error; for "both" the
    error combines three bootstraps [1]_. The same subjects and conditions are drawn at all times,
    in all regions and for all models. With regions that not all subjects have (electrodes),
    subjects are drawn from all there are; a sample in which a region has no subject is drawn again.

    Intervals and p hold time by time; p_corrected is for the family of all times. To test runs of
    neighbouring times, give `subjects` to a cluster test.

    Ceilings are those of :func:`rsa_faces.noise_ceiling` at each time. Where nothing is shared, as
    before a stimulus, the lower is about 0 and the upper still about 1/√n_subjects. Subjects share
    structure (`reliable`) where the corrected p of :func:`shared_structure` is below alpha and the
    lower ceiling above 0; None where that was not tested.

    A pair that is NaN in a subject is left out there; a similarity that is undefined in a subject
    (its RDM is constant) makes the mean of that time NaN.

    References
    ----------
    .. [1] Schütt H. H. et al. (2023). eLife 12, e82566. doi:10.7554/eLife.82566

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.inference import time_course
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(20)]
    >>> model = rf.RDMs(rng.random(190), names, "simulated", {"name": ["a model"]})
    >>> gain = np.tile([0.0, 1.0, 0.5], 6)[:, None]
    >>> labels = {"subject": np.repeat(range(6), 3), "time": np.tile([0.0, 0.1, 0.2], 6)}
    >>> data = rf.RDMs(gain * model.vectors + rng.random((18, 190)), names, "simulated", labels)
    >>> course = time_course(model, data, n_boot=200)
    >>> course
    TimeCourse(1 curves, 3 times from 0 to 0.2 s, 6 subjects)
    >>> course.similarity.argmax()
    np.int64(1)
    """
    check_choice(method, METHODS, what="comparison method")
    check_choice(bootstrap, BOOTSTRAPS, what="bootstrap")
    check_choice(correction, CORRECTIONS, what="correction")
    check_count(n_boot, what="n_boot", low=2)
    check_count(n_permutations, what="n_permutations", low=0)
    if not 0 < alpha < 1:
        raise InputError(f"expected alpha between 0 and 1, got {alpha!r}.")
    model, data = align_pair(model, data)
    if (missing := int(np.isnan(model.vectors).sum())) > 0:
        raise InputError(
            f"expected model RDMs without missing pairs, got {missing} NaN. Leave those conditions "
            "out with subset()."
        )
    if method in COV_METHODS and np.isnan(data.vectors).any():
        raise InputError(f"the method {method!r} needs every pair, but some are missing (NaN).")
    names = _named(model)
    recording = recording_of(data, by)
    codes = _group_codes(groups, model.conditions)
    n_groups = int(codes.max()) + 1
    notes = []
    for region, members in zip(recording.regions, recording.members, strict=True):
        where = f"region {region!r}" if region else "the data"
        notes += check_design(
            n_subjects=len(members), n_conditions=n_groups, bootstrap=bootstrap, what=where
        )
    rng = as_rng(seed)
    # In the order of evaluate(): at each time the draws are the same there.
    condition_counts = draw_counts(rng, n_boot, codes, min_distinct=3)
    subject_counts = _draw_subjects(rng, n_boot, len(recording.subjects), recording.members)
    results = [
        _region(model.vectors, vectors, members, method, bootstrap, condition_counts,
                subject_counts, n_groups)
        for vectors, members in zip(recording.vectors, recording.members, strict=True)
    ]  # fmt: skip
    n_subjects, n_times = len(recording.subjects), len(recording.times)
    subjects = np.full((n_subjects, len(results), len(model), n_times), np.nan)
    curves, tables = [], []
    for r, (region, members, result) in enumerate(
        zip(recording.regions, recording.members, results, strict=True)
    ):
        subjects[members, r] = result["subjects"]
        curves.append(names.assign(region=region))
        ceilings = _ceilings(
            recording.vectors[r], model.conditions, method, n_permutations, seed, alpha, correction
        )
        freedom = {"subjects": len(members), "conditions": n_groups,
                   "both": min(len(members), n_groups)}[bootstrap] - 1  # fmt: skip
        tables.append(
            _table(
                curves[-1], recording.times, result, ceilings, freedom, alpha, correction
            ).assign(method=method, n_subjects=len(members), n_conditions=model.n_conditions)
        )
        notes += _reliability_notes(ceilings["reliable"], region)
        notes += _undefined_notes(result["subjects"], names["model"], region, recording.times)
    settings = {
        "method": method,
        "bootstrap": bootstrap,
        "n_boot": n_boot,
        "seed": seed,
        "alpha": alpha,
        "correction": correction,
        "generalises_to": BOOTSTRAPS[bootstrap],
    }
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return TimeCourse(
        recording.times,
        pd.concat(curves, ignore_index=True)[list(CURVES)],
        pd.concat(tables, ignore_index=True)[list(TABLE)],
        subjects.reshape(n_subjects, -1, n_times),
        recording.subjects,
        np.concatenate([result["samples"] for result in results], axis=1),
        settings,
        tuple(notes),
    )


def _named(model: RDMs) -> pd.DataFrame:
    """Return network, layer, model, layer_index and depth of each model RDM; names are unique."""
    names = _model_names(model)
    names["model"] = (names["network"] + " " + names["layer"]).str.strip()
    doubled = list(names["model"][names["model"].duplicated()].unique())
    if doubled:
        raise InputError(
            f"expected models of different names, but {len(doubled)} occur more than once: "
            f"{', '.join(map(repr, doubled[:5]))}. Give them labels 'name', or 'network' and "
            "'layer'."
        )
    return names


def _draw_subjects(rng, n_boot: int, n_subjects: int, members: Sequence) -> np.ndarray:
    """Draw subjects as counts, (n_boot, n_subjects); every region keeps one of its subjects."""
    everyone = np.arange(n_subjects)
    counts = draw_counts(rng, n_boot, everyone)
    while True:
        empty = np.any([counts[:, m].sum(axis=1) == 0 for m in members], axis=0)
        if not empty.any():
            return counts
        counts[empty] = draw_counts(rng, int(empty.sum()), everyone)


def _region(model, vectors, members, method, bootstrap, condition_counts, subject_counts, n_groups):
    """Return similarities of one region's subjects and of the samples, and standard errors."""
    n_subjects, n_times, n_pairs = vectors.shape
    n_boot = len(condition_counts)
    drawn = subject_counts[:, members]
    once = np.ones((1, condition_counts.shape[1]))
    # As many times together as the products of models and data may take.
    width = int(np.clip(_MEMORY // (8 * n_pairs * n_subjects * len(model)), 1, n_times))
    similarity, samples = [], []
    for start in range(0, n_times, width):
        part = vectors[:, start : start + width]
        similarity.append(_similarities(model, part, once, method)[0])
        samples.append(
            _samples(model, part, similarity[-1], method, bootstrap, condition_counts, drawn)
        )
    similarity = np.concatenate(similarity, axis=1)
    samples = [
        None if parts[0] is None
        else np.concatenate([p.reshape(n_boot, len(model), -1) for p in parts], axis=2)
        for parts in zip(*samples, strict=True)
    ]  # fmt: skip
    variances = [None if s is None else _variance(s) for s in samples]
    kept = {"subjects": 0, "conditions": 1, "both": 2}[bootstrap]
    if bootstrap == "both":
        variance = dual_variance(*variances, n_subjects, n_groups)
    else:
        n = n_subjects if bootstrap == "subjects" else n_groups
        variance = variances[kept] * n / (n - 1)
    return {
        "subjects": np.moveaxis(similarity, 2, 0),
        "samples": samples[kept],
        "sem": np.sqrt(variance),
    }


def _similarities(model, vectors, counts, method) -> np.ndarray:
    """Return similarities in resamples, shape (n_samples, n_model, n_times, n_subjects)."""
    n_subjects, n_times, n_pairs = vectors.shape
    flat = np.ascontiguousarray(vectors.transpose(1, 0, 2)).reshape(-1, n_pairs)
    similarity = weighted_similarities(model, flat, counts, method)
    return similarity.reshape(len(counts), len(model), n_times, n_subjects)


def _samples(model, vectors, similarity, method, bootstrap, condition_counts, drawn):
    """Return samples of subjects, conditions and both, (n_boot, n_model · n_times) or None."""
    n_subjects = vectors.shape[0]
    subjects = conditions = both = None
    if bootstrap != "conditions":
        subjects = _mean_similarity(similarity.reshape(1, -1, n_subjects), drawn)
    if bootstrap != "subjects":
        most = LINEAR_BLOCK if method in {"pearson", "cosine"} else BLOCK
        block = int(np.clip(_MEMORY // (8 * vectors.size), 1, most))

        def of_conditions(part: slice) -> np.ndarray:
            similarity = _similarities(model, vectors, condition_counts[part], method)
            similarity = similarity.reshape(len(similarity), -1, n_subjects)
            means = [similarity.mean(axis=2)]
            if bootstrap == "both":
                means.append(_mean_similarity(similarity, drawn[part]))
            return np.stack(means, axis=1)

        means = _in_blocks(of_conditions, len(condition_counts), block)
        conditions = means[:, 0]
        both = means[:, 1] if bootstrap == "both" else None
    return subjects, conditions, both


def _ceilings(
    vectors, conditions, method, n_permutations, seed, alpha, correction
) -> dict[str, np.ndarray]:
    """Return ceilings of one region at each time, and whether subjects share structure."""
    n_subjects, n_times, _ = vectors.shape
    low, high, p = np.full((3, n_times), np.nan)
    if n_subjects > 1:
        once = np.ones((1, len(conditions)))
        for t in range(n_times):
            low[t], high[t] = (b.mean() for b in subject_ceilings(vectors[:, t], once, method))
    if n_subjects > 1 and n_permutations:
        labels = {"subject": range(n_subjects)}
        for t in range(n_times):
            rdms = RDMs(vectors[:, t], conditions, "any", labels)
            p[t] = shared_structure(rdms, method=method, n_permutations=n_permutations, seed=seed)
    reliable = ((adjust(p, method=correction) < alpha) & (low > 0)).astype(object)
    reliable[np.isnan(p)] = None
    return {"ceiling_low": low, "ceiling_high": high, "p_reliable": p, "reliable": reliable}


def _variance(samples: np.ndarray) -> np.ndarray:
    """Return the variance over samples; those that are NaN are left out."""
    defined = ~np.isnan(samples)
    n = defined.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = np.where(defined, samples, 0.0).sum(axis=0) / n
        squares = np.where(defined, (samples - centre) ** 2, 0.0).sum(axis=0)
        return np.where(n > 1, squares / (n - 1), np.nan)


def _table(names, times, result, ceilings, freedom, alpha, correction) -> pd.DataFrame:
    """Return the rows of one region: models, and within them times."""
    mean = result["subjects"].mean(axis=0)
    half = stats.t.ppf(1 - alpha / 2, freedom) * result["sem"]
    p = _p_values(mean, result["sem"], freedom)
    columns = {
        "similarity": mean, "sem": result["sem"], "ci_low": mean - half, "ci_high": mean + half,
        "p": p, "p_corrected": adjust(p, method=correction), "time": times[None],
        **{name: values[None] for name, values in ceilings.items()},
    }  # fmt: skip
    table = names.loc[np.repeat(names.index, len(times))].reset_index(drop=True)
    return table.assign(**{k: np.broadcast_to(v, mean.shape).ravel() for k, v in columns.items()})


def _reliability_notes(reliable: np.ndarray, region: str) -> list[str]:
    """Return a note if subjects of one region share structure at no time."""
    if reliable[0] is None or reliable.any():
        return []
    where = f"region {region!r}" if region else "the data"
    return [f"{where}: no reliable signal. The subjects share structure at no time."]


def _undefined_notes(subjects, models, region, times) -> list[str]:
    """Return a note if a similarity of one region is undefined."""
    undefined = np.isnan(subjects).any(axis=0)
    if not undefined.any():
        return []
    shown = ", ".join(map(repr, models[undefined.any(axis=1)].iloc[:5]))
    at = times[undefined.any(axis=0)]
    where = f"region {region!r}" if region else "the data"
    return [
        f"{where}: no similarity is defined for {shown} at {len(at)} of {len(times)} times, from "
        f"{at[0]:g} to {at[-1]:g} s (an RDM is constant, or pairs are missing): no mean is given."
    ]


def take_curves(course: TimeCourse, index: Sequence[int]) -> TimeCourse:
    """Return these curves, and the subjects that have one of their regions."""
    index = np.asarray(index)
    n_times = len(course.times)
    regions = course.curves["region"]
    # A similarity that is undefined at all times is no reason to leave a subject out.
    has_curve = ~np.isnan(course.subjects).all(axis=2)
    wanted = regions.isin(regions.iloc[index]).to_numpy()
    has = has_curve[:, wanted].any(axis=1)
    rows = (index[:, None] * n_times + np.arange(n_times)).ravel()
    return replace(
        course,
        curves=course.curves.iloc[index].reset_index(drop=True),
        table=course.table.iloc[rows].reset_index(drop=True),
        subjects=course.subjects[has][:, index],
        subject_names=tuple(n for n, h in zip(course.subject_names, has, strict=True) if h),
        samples=course.samples[:, index],
    )
