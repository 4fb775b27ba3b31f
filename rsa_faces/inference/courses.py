"""Similarity over time: the course of each model in each region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_arguments, check_count
from rsa_faces._core.deprecated import renamed_argument
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import Labels
from rsa_faces._core.result import keep_warnings
from rsa_faces._core.warning import warn
from rsa_faces.comparison import Method, align_pair, resolve
from rsa_faces.comparison.unique import check_unique, layers_before, semi_partial_correlations
from rsa_faces.inference._course import TimeCourse
from rsa_faces.inference._design import Design, Units, check_design
from rsa_faces.inference._dyadic import of_subjects, variance_parts, with_closed_form
from rsa_faces.inference._recording import Recording, recording_of
from rsa_faces.inference._region import model_names
from rsa_faces.inference._study import Study
from rsa_faces.inference.bootstrap import (
    Draws,
    block_size,
    bootstrap_samples,
    column_variances,
    corrected,
    draw,
    draw_counts,
    mean_over_subjects,
)
from rsa_faces.inference.ceilings import shared_structure
from rsa_faces.inference.multiple import adjust
from rsa_faces.rdm import RDMs
from rsa_faces.rdm._rdms import check_measured

_MEMORY = 256 * 2**20


@renamed_argument("bootstrap", "generalise_to")
@keep_warnings
def time_course(
    model: RDMs,
    data: RDMs,
    *,
    method: str = "rho-a",
    unique: bool = False,
    by: str = "subject",
    generalise_to: str = "subjects",
    uncertainty: str = "bootstrap",
    n_boot: int = 1000,
    n_permutations: int = 999,
    seed: int = 0,
    groups: Labels | None = None,
    blocks: Labels | None = None,
    alpha: float = 0.05,
    correction: str = "fdr",
    family: str = "region",
    tail: str = "two-sided",
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
    unique : bool, default False
        What each layer has beyond those of its network before it, for kendall, spearman and
        pearson: :func:`rsa_faces.mapping.semi_partial`.
    by : str, default "subject"
        Label that tells subjects apart; several RDMs of one at the same time (sessions,
        electrodes) are averaged first.
    generalise_to : {"subjects", "conditions", "both"}, default "subjects"
        What the conclusions are to hold for.
    uncertainty : {"bootstrap", "analytic"}, default "bootstrap"
        How standard errors are found, as in :func:`rsa_faces.evaluate`. With "analytic" and
        subjects alone they are those of a mean over subjects. There are then no samples for
        latencies. `unique` has no closed form: samples are drawn, with a note.
    n_boot : int, default 1000
        Number of bootstrap samples.
    n_permutations : int, default 999
        For the test of shared structure at each time, :func:`shared_structure`; 0 leaves it out.
    seed : int, default 0
        The same seed gives the same result.
    groups, blocks : mapping or Series of condition to group, or to run, optional
        As in :func:`rsa_faces.evaluate`.
    alpha : float, default 0.05
        Intervals cover 1 − alpha; level of the tests of shared structure, corrected.
    correction : {"fdr", "bonferroni", "holm"}, default "fdr"
        For the tests of all models at all times, and those of shared structure.
    family : {"region", "all"}, default "region"
        Whether p is corrected for the tests within a region, or over all regions.
    tail : {"two-sided", "greater", "less"}, default "two-sided"
        Of the tests against 0.

    Returns
    -------
    TimeCourse

    Raises
    ------
    ConditionMismatchError
        If model and data hold different conditions.
    InputError
        If a label is missing, a subject lacks a time that others have (subject and times are
        named), models have the same name, `by` tells electrodes apart, one subject is to be drawn
        from, or an option is unknown.

    Warns
    -----
    UserWarning
        For each note of the result: few subjects or conditions, similarities that are undefined.

    See Also
    --------
    rsa_faces.rdm.rdm_movie : Build one RDM for each time window of a recording.
    latency : Find when each curve peaks or sets in, with bootstrap intervals.
    time_generalization : Compare RDMs between all pairs of times, across subjects.
    rsa_faces.figures.plot_time : Draw similarity over time: a panel per region, a curve per model.

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
    check_arguments(time_course, locals())
    design = Design.of(locals())
    beyond = "what layers have beyond those before them" if unique else ""
    design, notes = with_closed_form(design, resolve(method), without=beyond)
    study = course_study(model, data, method=method, unique=unique, design=design)
    for place, members in zip(study.places, study.recording.members, strict=True):
        notes += check_design(
            n_subjects=len(members),
            n_conditions=study.units.n_groups,
            generalise_to=generalise_to,
            what=place,
            groups=study.units.grouped,
        )
    course = course_of(study, n_permutations)
    course = replace(course, notes=(*notes, *course.notes))
    for note in course.notes:
        warn(note)
    return course


@dataclass(frozen=True, eq=False)
class CourseStudy:
    """Models and the recording they are compared with, checked."""

    model: RDMs
    names: pd.DataFrame
    recording: Recording
    method: Method
    unique: bool
    design: Design
    units: Units

    @property
    def places(self) -> list[str]:
        """What each region is called in notes."""
        return [f"region {region!r}" if region else "the data" for region in self.recording.regions]

    def with_data(self, data: np.ndarray) -> Study:
        """Return the comparison of the models with some of the RDMs."""
        return Study(self.model.vectors, data, self.method, self.units)

    def similarities(self, data: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Return similarities in samples of conditions, (n_samples, n_model, n_data)."""
        across = self.with_data(data).similarities(counts)
        if not self.unique:
            return across
        among = self.with_data(self.model.vectors).similarities(counts)
        return semi_partial_correlations(among, across, layers_before(self.model))


def course_study(
    model: RDMs, data: RDMs, *, method: str | Method, unique: bool, design: Design
) -> CourseStudy:
    """Check models and data, and put the data in order of regions, subjects and times."""
    method = resolve(method)
    if unique:
        check_unique(method)
    if design.by == "electrode":
        raise InputError(
            "expected patients as the random factor, got by='electrode': electrodes of a patient "
            "are no independent sample. Use by='subject'."
        )
    model, data = align_pair(model, data)
    units = design.units(model.conditions)
    check_measured(model, "the model", units.used)
    method.check_measured(data.vectors[:, units.used], "the data")
    names = _named(model)
    return CourseStudy(model, names, recording_of(data, design.by), method, unique, design, units)


def course_of(study: CourseStudy, n_permutations: int) -> TimeCourse:
    """Evaluate every region and put them together."""
    check_count(n_permutations, what="n_permutations", low=0)
    design, recording, model = study.design, study.recording, study.model
    n_subjects, n_times = len(recording.subjects), len(recording.times)
    draws = _draw(study)
    subjects = np.full((n_subjects, len(recording.regions), len(model), n_times), np.nan)
    curves, tables, samples, notes = [], [], [], []
    for r, (members, vectors) in enumerate(zip(recording.members, recording.vectors, strict=True)):
        similarity, drawn, sem = _region(study, vectors, draws, members)
        ceilings = _ceilings(study, vectors, n_permutations)
        subjects[members, r] = np.moveaxis(similarity, 2, 0)
        samples.append(drawn)
        curves.append(pd.DataFrame({"region": recording.regions[r], **study.names}))
        freedom = design.freedom(len(members), study.units)
        mean = similarity.mean(axis=2)
        half = design.half_width(sem, freedom)
        p = design.p_values(mean, sem, freedom)
        columns = {
            "time": recording.times,
            "method": study.method.name,
            "similarity": mean,
            "sem": sem,
            "ci_low": mean - half,
            "ci_high": mean + half,
            "p": p,
            "p_corrected": adjust(p, method=design.correction),
            **ceilings,
            "n_subjects": len(members),
            "n_conditions": model.n_conditions,
        }
        rows = curves[-1][["region", "network", "layer", "model"]]
        rows = rows.loc[np.repeat(rows.index, n_times)].reset_index(drop=True)
        columns = {k: np.broadcast_to(v, mean.shape).ravel() for k, v in columns.items()}
        tables.append(rows.assign(**columns))
        notes += _notes(study, similarity, ceilings["reliable"], study.places[r])
    table = pd.concat(tables, ignore_index=True)
    if design.family == "all":
        table["p_corrected"] = adjust(table["p"].to_numpy(), method=design.correction)
    return TimeCourse(
        recording.times,
        pd.concat(curves, ignore_index=True),
        table,
        subjects.reshape(n_subjects, -1, n_times),
        recording.subjects,
        np.concatenate(samples, axis=1),
        settings=design.settings(method=study.method.name, unique=study.unique),
        notes=tuple(notes),
    )


def _named(model: RDMs) -> pd.DataFrame:
    """Return network, layer, model, layer_index and depth of each model RDM; names are unique."""
    names = model_names(model)
    names.insert(2, "model", (names["network"] + " " + names["layer"]).str.strip())
    doubled = list(names["model"][names["model"].duplicated()].unique())
    if doubled:
        raise InputError(
            f"expected models of different names, but {len(doubled)} occur more than once: "
            f"{', '.join(map(repr, doubled[:5]))}. Give them labels 'name', or 'network' and "
            "'layer'."
        )
    return names


def _draw(study: CourseStudy) -> Draws | None:
    """Draw conditions and subjects; every region keeps one of its subjects."""
    design, recording = study.design, study.recording
    if design.uncertainty == "analytic":
        return None
    rng = as_rng(design.seed)
    # In the order of evaluate(): at each time the draws are the same there.
    draws = draw(design, study.units, len(recording.subjects), rng)
    if draws.subjects is None:
        return draws
    counts, everyone = draws.subjects, np.arange(len(recording.subjects))
    # Patients have electrodes in some regions only: a sample without any patient of a region says
    # nothing of it.
    while True:
        empty = np.any([counts[:, m].sum(axis=1) == 0 for m in recording.members], axis=0)
        if not empty.any():
            return draws
        counts[empty] = draw_counts(rng, int(empty.sum()), everyone)


def _region(
    study: CourseStudy, vectors: np.ndarray, draws: Draws | None, members: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return similarities, samples of their means and standard errors of one region.

    Shapes (n_model, n_times, n_subjects), (n_boot, n_model, n_times) and (n_model, n_times).
    """
    n_subjects, n_times, n_pairs = vectors.shape
    n_model, design = len(study.model), study.design
    once = np.ones((1, study.model.n_conditions))
    # As many times together as the products of models and data may take.
    width = int(np.clip(_MEMORY // (8 * n_pairs * n_subjects * n_model), 1, n_times))
    if draws is not None and draws.subjects is not None:
        draws = replace(draws, subjects=draws.subjects[:, members])
    similarity, variances, samples = [], [], []
    for start in range(0, n_times, width):
        part = vectors[:, start : start + width]
        data = np.ascontiguousarray(part.transpose(1, 0, 2)).reshape(-1, n_pairs)

        def similarities(counts: np.ndarray, data=data) -> np.ndarray:
            return study.similarities(data, counts).reshape(len(counts), -1, n_subjects)

        def statistic(counts, ways: Sequence[np.ndarray], similarities=similarities):
            each = similarities(counts)
            return [mean_over_subjects(each, way) for way in ways]

        similarity.append(similarities(once).reshape(n_model, -1, n_subjects))
        if draws is None:
            continue
        own = replace(draws, n_subjects=n_subjects)
        resampled = bootstrap_samples(statistic, own, block_size(data, study.method))
        (variance,) = corrected({k: (column_variances(v),) for k, v in resampled.items()}, own)
        variances.append(variance.reshape(n_model, -1))
        samples.append(resampled[design.generalise_to].reshape(-1, n_model, part.shape[1]))
    similarity = np.concatenate(similarity, axis=1)
    if draws is None:
        drawn = np.empty((0, n_model, n_times))
        variance = _closed_form(study, vectors, similarity)
    else:
        variance = np.concatenate(variances, axis=1)
        drawn = np.concatenate(samples, axis=2)
    return similarity, drawn, design.sem(variance)


def _closed_form(study: CourseStudy, vectors: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """Return the variance of each model's mean at each time, (n_model, n_times)."""
    kind, variances = study.design.generalise_to, []
    for t in range(vectors.shape[1]):
        if kind == "subjects":
            variances.append(np.diagonal(of_subjects(similarity[:, t])))
            continue
        parts = variance_parts(study.with_data(vectors[:, t]), ceilings=False)
        variances.append(parts.variances(kind)[0][: len(study.model)])
    return np.transpose(variances)


def _ceilings(
    study: CourseStudy, vectors: np.ndarray, n_permutations: int
) -> dict[str, np.ndarray]:
    """Return ceilings of one region at each time, and whether subjects share structure."""
    n_subjects, n_times, _ = vectors.shape
    design, conditions = study.design, study.model.conditions
    low, high, p = np.full((3, n_times), np.nan)
    labels = {"subject": range(n_subjects)}
    for t in range(n_times if n_subjects > 1 else 0):
        own = study.with_data(vectors[:, t])
        low[t], high[t] = own.ceilings(own.once)[:, 0].mean(axis=1)
        if n_permutations:
            rdms = RDMs(vectors[:, t], conditions, "any", labels)
            p[t] = shared_structure(
                rdms,
                method=study.method,
                blocks=design.blocks,
                n_permutations=n_permutations,
                seed=design.seed,
            )
    # Both: a test over many times is passed somewhere by chance, and a ceiling below 0 bounds
    # nothing.
    reliable = (adjust(p, method=design.correction) < design.alpha) & (low > 0)
    reliable = reliable.astype(object)
    reliable[np.isnan(p)] = None
    return {"ceiling_low": low, "ceiling_high": high, "p_reliable": p, "reliable": reliable}


def _notes(study: CourseStudy, similarity, reliable, place: str) -> list[str]:
    """Return notes if subjects share structure at no time, or a similarity is undefined."""
    notes = []
    if reliable[0] is not None and not reliable.any():
        notes.append(f"{place}: no reliable signal. The subjects share structure at no time.")
    undefined = np.isnan(similarity).any(axis=2)
    if undefined.any():
        models, times = study.names["model"], study.recording.times
        listed = ", ".join(map(repr, models[undefined.any(axis=1)].iloc[:5]))
        at = times[undefined.any(axis=0)]
        notes.append(
            f"{place}: no similarity is defined for {listed} at {len(at)} of {len(times)} times, "
            f"from {at[0]:g} to {at[-1]:g} s (an RDM is constant, or pairs are missing): no mean "
            "is given."
        )
    return notes
