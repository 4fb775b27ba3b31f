"""Similarity over time: the course of each model in each region."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from rsa_faces._core.checks import as_rng, check_choice, check_count
from rsa_faces._core.errors import InputError
from rsa_faces.comparison import align_pair, resolve
from rsa_faces.inference._course import TimeCourse
from rsa_faces.inference._pooled import subject_ceilings
from rsa_faces.inference._recording import recording_of
from rsa_faces.inference._weighted import BLOCK, LINEAR_BLOCK, weighted_similarities
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
        RDMs with a label ``time`` in seconds (see :func:`rsa_faces.rdm.movie.rdm_movie`), the same
        for all subjects. With a label ``region``, each region is evaluated on its own.
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
        For the tests of all models at all times of a region, and those of shared structure.

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
    :func:`rsa_faces.evaluate` [1]_. The same subjects and conditions are drawn at all times, in all
    regions and for all models. Where not all subjects have a region (electrodes), subjects are
    drawn from all there are; a sample in which a region has no subject is drawn again.

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
    method = resolve(method)
    check_choice(bootstrap, BOOTSTRAPS, what="bootstrap")
    check_choice(correction, CORRECTIONS, what="correction")
    check_count(n_boot, what="n_boot", low=2)
    check_count(n_permutations, what="n_permutations", low=0)
    if not 0 < alpha < 1:
        raise InputError(f"expected alpha between 0 and 1, got {alpha!r}.")
    model, data = align_pair(model, data)
    if missing := int(np.isnan(model.vectors).sum()):
        raise InputError(
            f"expected model RDMs without missing pairs, got {missing} NaN. Leave those conditions "
            "out with subset()."
        )
    if method.whitened and np.isnan(data.vectors).any():
        raise InputError(
            f"the method {method.name!r} needs every pair, but some are missing (NaN)."
        )
    names = _named(model)
    recording = recording_of(data, by)
    codes = _group_codes(groups, model.conditions)
    n_groups = int(codes.max()) + 1
    places = [f"region {region!r}" if region else "the data" for region in recording.regions]
    notes = []
    for place, members in zip(places, recording.members, strict=True):
        notes += check_design(
            n_subjects=len(members), n_conditions=n_groups, bootstrap=bootstrap, what=place
        )
    rng = as_rng(seed)
    # In the order of evaluate(): at each time the draws are the same there.
    condition_counts = draw_counts(rng, n_boot, codes, min_distinct=3)
    subject_counts = _draw_subjects(rng, n_boot, len(recording.subjects), recording.members)
    n_subjects, n_times = len(recording.subjects), len(recording.times)
    subjects = np.full((n_subjects, len(places), len(model), n_times), np.nan)
    curves, tables, samples = [], [], []
    for r, (members, vectors) in enumerate(zip(recording.members, recording.vectors, strict=True)):
        similarity, drawn, sem, freedom = _region(
            model.vectors, vectors, method, bootstrap, condition_counts,
            subject_counts[:, members], n_groups,
        )  # fmt: skip
        ceilings = _ceilings(
            vectors, model.conditions, method, n_permutations, seed, alpha, correction
        )
        subjects[members, r] = np.moveaxis(similarity, 2, 0)
        samples.append(drawn)
        curves.append(names.assign(region=recording.regions[r]))
        tests = _tests(similarity.mean(axis=2), sem, freedom, alpha, correction)
        tables.append(
            _table(curves[-1], recording.times, tests | ceilings).assign(
                method=method.name, n_subjects=len(members), n_conditions=model.n_conditions
            )
        )
        notes += _notes(
            similarity, ceilings["reliable"], names["model"], recording.times, places[r]
        )
    settings = {
        "method": method.name, "bootstrap": bootstrap, "n_boot": n_boot, "seed": seed,
        "alpha": alpha,
        "correction": correction, "generalises_to": BOOTSTRAPS[bootstrap],
    }  # fmt: skip
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return TimeCourse(
        recording.times,
        pd.concat(curves, ignore_index=True)[list(CURVES)],
        pd.concat(tables, ignore_index=True)[list(TABLE)],
        subjects.reshape(n_subjects, -1, n_times),
        recording.subjects,
        np.concatenate(samples, axis=1),
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


def _region(model, vectors, method, bootstrap, condition_counts, subject_counts, n_groups):
    """Return similarities and samples of one region, standard errors, degrees of freedom."""
    n_subjects, n_times, n_pairs = vectors.shape
    # As many times together as the products of models and data may take.
    width = int(np.clip(_MEMORY // (8 * n_pairs * n_subjects * len(model)), 1, n_times))
    parts = [
        _samples(model, vectors[:, start : start + width], method, bootstrap, condition_counts,
                 subject_counts)
        for start in range(0, n_times, width)
    ]  # fmt: skip
    similarity = np.concatenate([part[0] for part in parts], axis=1)
    samples = [np.concatenate(s, axis=2) for s in zip(*(part[1] for part in parts), strict=True)]
    with warnings.catch_warnings():
        # A similarity that is undefined in all samples has no variance.
        warnings.simplefilter("ignore", RuntimeWarning)
        variances = [np.nanvar(s, axis=0, ddof=1) for s in samples]
    factors = {"subjects": n_subjects, "conditions": n_groups}
    n = factors.get(bootstrap, min(factors.values()))
    if bootstrap == "both":
        variance = dual_variance(*variances, n_subjects, n_groups)
    else:
        variance = variances[0] * n / (n - 1)
    return similarity, samples[-1], np.sqrt(variance), n - 1


def _samples(model, vectors, method, bootstrap, condition_counts, subject_counts):
    """Return similarities, (n_model, n_times, n_subjects), and samples of their means.

    Samples, (n_boot, n_model, n_times), of what is drawn; for "both": subjects, conditions, both.
    """
    n_subjects, n_times, n_pairs = vectors.shape
    data = np.ascontiguousarray(vectors.transpose(1, 0, 2)).reshape(-1, n_pairs)

    def similarities(counts: np.ndarray) -> np.ndarray:
        similarity = weighted_similarities(model, data, counts, method)
        return similarity.reshape(len(counts), -1, n_subjects)

    def of_conditions(part: slice) -> np.ndarray:
        similarity = similarities(condition_counts[part])
        means = [similarity.mean(axis=2)]
        if bootstrap == "both":
            means.append(_mean_similarity(similarity, subject_counts[part]))
        return np.stack(means, axis=1)

    observed = similarities(np.ones((1, condition_counts.shape[1])))
    samples = []
    if bootstrap != "conditions":
        samples.append(_mean_similarity(observed, subject_counts))
    if bootstrap != "subjects":
        most = LINEAR_BLOCK if method.linear and not method.whitened else BLOCK
        block = int(np.clip(_MEMORY // (8 * data.size), 1, most))
        samples.extend(_in_blocks(of_conditions, len(condition_counts), block).swapaxes(0, 1))
    return (
        observed.reshape(len(model), n_times, n_subjects),
        [s.reshape(-1, len(model), n_times) for s in samples],
    )


def _ceilings(
    vectors, conditions, method, n_permutations, seed, alpha, correction
) -> dict[str, np.ndarray]:
    """Return ceilings of one region at each time, and whether subjects share structure."""
    n_subjects, n_times, _ = vectors.shape
    low, high, p = np.full((3, n_times), np.nan)
    once, labels = np.ones((1, len(conditions))), {"subject": range(n_subjects)}
    for t in range(n_times if n_subjects > 1 else 0):
        low[t], high[t] = (b.mean() for b in subject_ceilings(vectors[:, t], once, method))
        if n_permutations:
            rdms = RDMs(vectors[:, t], conditions, "any", labels)
            p[t] = shared_structure(rdms, method=method, n_permutations=n_permutations, seed=seed)
    reliable = ((adjust(p, method=correction) < alpha) & (low > 0)).astype(object)
    reliable[np.isnan(p)] = None
    return {"ceiling_low": low, "ceiling_high": high, "p_reliable": p, "reliable": reliable}


def _tests(mean, sem, freedom, alpha, correction) -> dict[str, np.ndarray]:
    """Return intervals and t-tests against 0, each (n_model, n_times)."""
    half = stats.t.ppf(1 - alpha / 2, freedom) * sem
    p = _p_values(mean, sem, freedom)
    return {
        "similarity": mean, "sem": sem, "ci_low": mean - half, "ci_high": mean + half,
        "p": p, "p_corrected": adjust(p, method=correction),
    }  # fmt: skip


def _table(names, times, columns) -> pd.DataFrame:
    """Return the rows of one region: models, and within them times."""
    table = names.loc[np.repeat(names.index, len(times))].reset_index(drop=True)
    shape = len(names), len(times)
    columns = {"time": times, **columns}
    return table.assign(**{k: np.broadcast_to(v, shape).ravel() for k, v in columns.items()})


def _notes(similarity, reliable, models, times, place) -> list[str]:
    """Return notes if subjects share structure at no time, or a similarity is undefined."""
    notes = []
    if reliable[0] is not None and not reliable.any():
        notes.append(f"{place}: no reliable signal. The subjects share structure at no time.")
    undefined = np.isnan(similarity).any(axis=2)
    if undefined.any():
        shown = ", ".join(map(repr, models[undefined.any(axis=1)].iloc[:5]))
        at = times[undefined.any(axis=0)]
        notes.append(
            f"{place}: no similarity is defined for {shown} at {len(at)} of {len(times)} times, "
            f"from {at[0]:g} to {at[-1]:g} s (an RDM is constant, or pairs are missing): no mean "
            "is given."
        )
    return notes
