"""Similarity over time: courses, latencies, generalisation from one time to another."""

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
from rsa_faces.comparison._ranks import average_ranks
from rsa_faces.comparison.methods import COV_METHODS, RANK_METHODS
from rsa_faces.inference._pooled import subject_ceilings
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
LATENCY = (
    "region", "network", "layer", "model", "kind", "latency", "se", "ci_low", "ci_high",
    "n_undefined", "n_boot", "p_corrected", "n_subjects", "bootstrap",
)  # fmt: skip
DIFFERENCE = (
    "model_a", "region_a", "model_b", "region_b", "kind", "latency_a", "latency_b", "difference",
    "se", "ci_low", "ci_high", "p", "n_undefined", "n_boot",
)  # fmt: skip
KINDS = ("peak", "onset")
_DIGITS = 9  # Times are compared to the nanosecond.
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
        return _take(self, np.flatnonzero(keep))


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
    >>> from rsa_faces.inference.time import time_course
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
    recording = _recording(data, by)
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


def latency(
    course: TimeCourse,
    *,
    kind: str = "peak",
    baseline_end: float | None = 0.0,
    between: tuple[float, float] | None = None,
    fraction: float = 0.5,
) -> pd.DataFrame:
    """Find when each curve peaks or sets in, with bootstrap intervals.

    Parameters
    ----------
    course : TimeCourse
        From :func:`time_course`.
    kind : {"peak", "onset"}, default "peak"
        "peak": time of the largest mean similarity, the first where several are equal. "onset":
        time at which the mean similarity reaches `fraction` of its peak above the baseline, going
        back from the peak: the first of the samples before the peak, without interruption, that
        are at or above it.
    baseline_end : float or None, default 0.0
        In seconds: the baseline is the mean of all times before it, and a peak is looked for from
        it on. None: the baseline is a similarity of 0 and all times are searched.
    between : (float, float), optional
        In seconds: a peak is looked for in these times only, both ends included.
    fraction : float, default 0.5
        For the onset: share of the height of the peak above the baseline, above 0 and at most 1.

    Returns
    -------
    DataFrame
        One row per curve: region, network, layer, model, kind, latency in seconds (NaN where there
        is none), se (standard deviation of the samples' latencies), ci_low and ci_high (percentile
        interval of the level of `course`), n_undefined (bootstrap samples that have no latency:
        they are in no interval), n_boot, p_corrected (the smallest corrected p among the times
        searched: is there an effect that can have a latency?), n_subjects, bootstrap.

    Raises
    ------
    InputError
        If no time is left for the baseline or the search, or an option is out of range.

    Warns
    -----
    UserWarning
        If a curve has no latency, no effect (no p_corrected below alpha), or samples without a
        latency.

    Notes
    -----
    The onset is the fractional peak latency [1]_: it does not depend on the number of subjects, as
    the first significant time does, and going back from the peak it is not caught by noise far
    from it. Nothing is smoothed and nothing is interpolated: latencies are times of the course. A
    sample has no onset if its peak is not above the baseline, or if no time before the peak is
    below the criterion.

    Latencies of the mean over subjects are not means of the subjects' latencies: where subjects
    differ in latency, the mean curve is broad and sets in with the fastest.

    Coverage of the 95 % intervals in simulation (150 to 200 recordings each; 10 or 20 ms steps,
    Gaussian responses that vary in height and latency over subjects, peak similarity 0.2 to 0.65;
    two curves where subjects were drawn): peak 0.91 and 0.95 with 6 subjects, 0.95 to 0.98 with 12
    and 24; onset 0.95 to 0.97 and 0.95 to 0.99. Drawing conditions (24): 0.97 and 0.99; drawing
    both (10 subjects, 24 conditions): 1.00 and 0.99, wider than need be, because noise is drawn
    twice. With fewer than about 10 subjects expect intervals of the peak to be somewhat too narrow.

    References
    ----------
    .. [1] Kiesel A., Miller J., Jolicoeur P., Brisson B. (2008). Psychophysiology 45, 250-274.
       doi:10.1111/j.1469-8986.2007.00618.x
    .. [2] Cichy R. M., Pantazis D., Oliva A. (2014). Nature Neuroscience 17, 455-462.
       doi:10.1038/nn.3635

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.inference.time import latency, time_course
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(20)]
    >>> model = rf.RDMs(rng.random(190), names, "simulated", {"name": ["a model"]})
    >>> times = np.array([-0.1, 0.0, 0.1, 0.2, 0.3])
    >>> gain = np.tile([0.0, 0.0, 0.4, 1.0, 0.8], 6)[:, None]
    >>> labels = {"subject": np.repeat(range(6), 5), "time": np.tile(times, 6)}
    >>> noise = 0.2 * rng.random((30, 190))
    >>> data = rf.RDMs(gain * model.vectors + noise, names, "simulated", labels)
    >>> course = time_course(model, data, method="pearson", n_boot=200)
    >>> latency(course, kind="onset")[["model", "latency", "n_undefined"]]
         model  latency  n_undefined
    0  a model      0.1            0
    """
    frame, _ = _find(course, kind, baseline_end, between, fraction)
    for note in _latency_notes(frame, course.settings["alpha"]):
        warnings.warn(note, stacklevel=2)
    return frame


def latency_difference(
    course: TimeCourse,
    *,
    model_a: str | None = None,
    model_b: str | None = None,
    region_a: str | None = None,
    region_b: str | None = None,
    kind: str = "peak",
    baseline_end: float | None = 0.0,
    between: tuple[float, float] | None = None,
    fraction: float = 0.5,
) -> pd.DataFrame:
    """Compare the latencies of two curves, sample by sample.

    Parameters
    ----------
    course : TimeCourse
        From :func:`time_course`, which drew the same subjects and conditions for both curves.
    model_a, region_a : str, optional
        The first curve; may be left out where `course` has one model, or one region.
    model_b, region_b : str, optional
        The second curve; what is left out is as for the first.
    kind, baseline_end, between, fraction
        As in :func:`latency`.

    Returns
    -------
    DataFrame
        One row: model_a, region_a, model_b, region_b, kind, latency_a, latency_b, difference
        (a − b, in seconds: negative where a comes first), se, ci_low, ci_high, p, n_undefined
        (bootstrap samples in which either has no latency), n_boot.

    Raises
    ------
    InputError
        If a curve is not there or not told apart, both are the same one, or as in
        :func:`latency`.

    Warns
    -----
    UserWarning
        As in :func:`latency`, for these two curves.

    Notes
    -----
    p = 2 · min((1 + #≤0) / (1 + n), (1 + #≥0) / (1 + n)), at most 1, over the n samples that have
    both latencies. Samples in which the latencies are equal are in both counts, so that a coarse
    step of time makes the test conservative: in simulation (as in :func:`latency`; 12 subjects,
    150 recordings, equal latencies) p was below 0.05 in 0.02 (peak) and 0.03 (onset); the 95 %
    interval covered the true difference in 0.92 to 1.00.

    References
    ----------
    .. [1] Cichy R. M., Pantazis D., Oliva A. (2014). Nature Neuroscience 17, 455-462.
       doi:10.1038/nn.3635

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.inference.time import latency_difference, time_course
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(20)]
    >>> model = rf.RDMs(rng.random((2, 190)), names, "simulated", {"name": ["early", "late"]})
    >>> times = np.array([-0.1, 0.0, 0.1, 0.2, 0.3])
    >>> gain = np.array([[0, 0.1, 1, 0.3, 0.2], [0, 0, 0.1, 0.4, 1]]).T
    >>> signal = np.tile(gain @ model.vectors, (6, 1))
    >>> labels = {"subject": np.repeat(range(6), 5), "time": np.tile(times, 6)}
    >>> noise = 0.2 * rng.random((30, 190))
    >>> data = rf.RDMs(signal + noise, names, "simulated", labels)
    >>> course = time_course(model, data, method="pearson", n_boot=199)
    >>> found = latency_difference(course, model_a="early", model_b="late")
    >>> found[["difference", "p"]].round(3)
       difference     p
    0        -0.2  0.01
    """
    a = _curve(course, model_a, region_a)
    b = _curve(
        course,
        course.curves["model"][a] if model_b is None else model_b,
        course.curves["region"][a] if region_b is None else region_b,
    )
    if a == b:
        raise InputError(
            "expected two curves to compare, got the same one twice. Give model_b or region_b."
        )
    frame, samples = _find(_take(course, [a, b]), kind, baseline_end, between, fraction)
    alpha = course.settings["alpha"]
    for note in _latency_notes(frame, alpha):
        warnings.warn(note, stacklevel=2)
    difference = samples[:, 0] - samples[:, 1]
    low, high, se, undefined = _spread(difference, alpha)
    sides = {
        f"{column}_{side}": frame[column][i]
        for i, side in enumerate("ab")
        for column in ("model", "region", "latency")
    }
    row = {
        **sides, "kind": kind, "difference": sides["latency_a"] - sides["latency_b"], "se": se,
        "ci_low": low, "ci_high": high, "p": _two_sided(difference), "n_undefined": undefined,
        "n_boot": len(samples),
    }  # fmt: skip
    return pd.DataFrame([row])[list(DIFFERENCE)]


@dataclass(frozen=True, eq=False)
class TimeGeneralization:
    """The outcome of :func:`time_generalization`.

    Parameters
    ----------
    times : ndarray, shape (n_times,)
        In seconds, ascending.
    similarity : ndarray, shape (n_times, n_times)
        Mean over subjects. Row: time of the single subject; column: time of the other subjects.
    subjects : ndarray, shape (n_subjects, n_times, n_times)
        The same in each subject, for tests over subjects.
    subject_names : tuple of str
    method : str
        The comparison method.
    region : str
        Empty without a label ``region``.
    n_conditions : int
    """

    times: np.ndarray
    similarity: np.ndarray
    subjects: np.ndarray
    subject_names: tuple[str, ...]
    method: str
    region: str
    n_conditions: int

    def __repr__(self) -> str:
        return (
            f"TimeGeneralization({len(self.times)} times from {self.times[0]:g} to "
            f"{self.times[-1]:g} s, {len(self.subject_names)} subjects, method={self.method!r})"
        )


def time_generalization(
    data: RDMs, *, method: str = "pearson", by: str = "subject"
) -> TimeGeneralization:
    """Compare RDMs between all pairs of times, across subjects.

    Parameters
    ----------
    data : RDMs
        RDMs of at least 2 subjects and of one region, every pair measured, with a label ``time`` in
        seconds; all subjects have the same times.
    method : str, default "pearson"
        Comparison method, as in :func:`rsa_faces.compare`.
    by : str, default "subject"
        Label that tells subjects apart; several RDMs of one at the same time (sessions) are
        averaged first, so that they leave together.

    Returns
    -------
    TimeGeneralization
        Row t, column t': similarity of one subject's RDM at t with the RDM of the other subjects,
        pooled, at t'; the mean over subjects, from -1 to 1.

    Raises
    ------
    InputError
        With fewer than 2 subjects, several regions, missing pairs or times, or an unknown method.

    Warns
    -----
    UserWarning
        If a similarity is undefined (NaN) because an RDM is constant.

    Notes
    -----
    A subject is never compared with itself: noise that a subject shares between times (slow drifts,
    overlapping windows) would look like a geometry that lasts. The diagonal is the lower noise
    ceiling of each time; pooling is as in :func:`rsa_faces.noise_ceiling`.

    The matrix is not symmetric: a row has the noise of one subject, a column that of the pooled
    RDM, which is smaller the more subjects there are. Over all subjects the inner products are the
    same both ways (each two subjects meet twice), but they are divided by the length of the pooled
    RDM at t', so that columns in which subjects agree less are larger than the rows of that time.
    For a symmetric one take the mean with its transpose. Windows that overlap smear the matrix
    along its diagonal.

    References
    ----------
    .. [1] King J.-R., Dehaene S. (2014). Trends in Cognitive Sciences 18, 203-210.
       doi:10.1016/j.tics.2014.01.002

    Examples
    --------
    >>> import numpy as np
    >>> import rsa_faces as rf
    >>> from rsa_faces.inference.time import time_generalization
    >>> rng = np.random.default_rng(0)
    >>> names = [f"image {i}" for i in range(20)]
    >>> signal = np.outer([0.0, 1.0, 1.0], rng.random(190))
    >>> labels = {"subject": np.repeat(range(6), 3), "time": np.tile([0.0, 0.1, 0.2], 6)}
    >>> values = np.tile(signal, (6, 1)) + 0.1 * rng.random((18, 190))
    >>> data = rf.RDMs(values, names, "simulated", labels)
    >>> (time_generalization(data).similarity > 0.5).astype(int)
    array([[0, 0, 0],
           [0, 1, 1],
           [0, 1, 1]])
    """
    check_choice(method, METHODS, what="comparison method")
    recording = _recording(data, by)
    if len(recording.regions) > 1:
        raise InputError(
            f"expected the RDMs of one region, got {len(recording.regions)}: "
            f"{', '.join(map(repr, recording.regions[:5]))}. Take one with data.sel(region=...)."
        )
    (vectors,) = recording.vectors
    n_subjects, n_times, n_pairs = vectors.shape
    if n_subjects < 2:
        raise InputError(f"expected at least 2 subjects, got {n_subjects}.")
    if (missing := int(np.isnan(vectors).sum())) > 0:
        raise InputError(
            f"expected every pair measured in every subject, but {missing} are missing (NaN). "
            "Take the conditions all subjects have with subset()."
        )
    scaled = _scaled(vectors.reshape(-1, n_pairs), method).reshape(vectors.shape)
    undefined = np.isnan(scaled).any(axis=2)
    scaled[undefined] = 0.0
    total = scaled.sum(axis=0)
    subjects = np.full((n_subjects, n_times, n_times), np.nan)
    for s in range(n_subjects):
        rows, columns = ~undefined[s], ~np.delete(undefined, s, axis=0).any(axis=0)
        if rows.any() and columns.any():
            subjects[s][np.ix_(rows, columns)] = METHODS[method](
                vectors[s, rows], (total - scaled[s])[columns]
            )
    subjects = np.clip(subjects, -1.0, 1.0)
    if np.isnan(subjects).any():
        bad = np.flatnonzero(undefined.any(axis=0))
        shown = ", ".join(f"{recording.times[t]:g}" for t in bad[:5])
        warnings.warn(
            f"similarity is undefined (NaN) for {len(bad)} of {n_times} times, at which an RDM is "
            f"constant: {shown} s.",
            stacklevel=2,
        )
    return TimeGeneralization(
        recording.times,
        subjects.mean(axis=0),
        subjects,
        recording.subjects,
        method,
        recording.regions[0],
        data.n_conditions,
    )


@dataclass(frozen=True, eq=False)
class _Recording:
    """RDMs of all subjects and times: `vectors` and `members` have one entry per region."""

    times: np.ndarray
    regions: tuple[str, ...]
    subjects: tuple[str, ...]
    members: list[np.ndarray]  # which subjects have the region
    vectors: list[np.ndarray]  # (n_members, n_times, n_pairs)


def _recording(data: RDMs, by: str) -> _Recording:
    """Return the RDMs in the order of regions, subjects and times."""
    labels = data.labels
    if "time" not in labels:
        raise InputError(
            "expected a label 'time' in seconds for every RDM, got the labels "
            f"{', '.join(map(repr, labels.columns)) or 'none'}. rdm_movie() gives it."
        )
    check_choice(by, labels.columns, what="label that tells subjects apart")
    times = pd.to_numeric(labels["time"], errors="coerce").to_numpy(np.float64)
    keys = pd.DataFrame({"region": labels.get("region", ""), "subject": labels[by]})
    absent = {"time": ~np.isfinite(times), by: keys["subject"].isna(),
              "region": keys["region"].isna()}  # fmt: skip
    for column, where in absent.items():
        if where.any():
            raise InputError(
                f"expected a value of {column!r} for every RDM, but {int(where.sum())} of "
                f"{len(data)} have none."
            )
    keys["time"] = times.round(_DIGITS)
    if keys.duplicated().any():
        data = RDMs(data.vectors, data.conditions, data.measure, keys).mean(by=list(keys))
        keys = data.labels[list(keys)]
    subject, subjects = pd.factorize(keys["subject"])
    region, regions = pd.factorize(keys["region"])
    times, time = np.unique(keys["time"], return_inverse=True)
    row = np.full((len(regions), len(subjects), len(times)), -1)
    row[region, subject, time] = np.arange(len(keys))
    _check_times_complete(row, regions, subjects, times)
    members = [np.flatnonzero((rows >= 0).any(axis=1)) for rows in row]
    return _Recording(
        times,
        tuple(map(str, regions)),
        tuple(map(str, subjects)),
        members,
        [data.vectors[rows[m]] for rows, m in zip(row, members, strict=True)],
    )


def _check_times_complete(row, regions, subjects, times) -> None:
    """Check that each subject has each time in each of its regions."""
    incomplete = (row < 0).any(axis=2) & (row >= 0).any(axis=2)
    if not incomplete.any():
        return
    shown = []
    for r, s in np.argwhere(incomplete)[:5]:
        lacking = times[row[r, s] < 0]
        some = ", ".join(f"{t:g}" for t in lacking[:5]) + (", ..." if len(lacking) > 5 else "")
        where = f" in region {str(regions[r])!r}" if str(regions[r]) else ""
        shown.append(f"{str(subjects[s])!r}{where} lacks {len(lacking)} of {len(times)}: {some} s")
    raise InputError(
        f"expected the same times in all subjects, but {int(incomplete.sum())} lack some: "
        f"{'; '.join(shown)}. Use the same windows for all, or take the common times with sel()."
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


def _take(course: TimeCourse, index: Sequence[int]) -> TimeCourse:
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


def _curve(course: TimeCourse, model: str | None, region: str | None) -> int:
    """Return the position of the one curve with this model and region."""
    keep = np.ones(len(course.curves), dtype=bool)
    for column, value in (("model", model), ("region", region)):
        options = list(course.curves[column].unique())
        if value is None and len(options) > 1:
            raise InputError(
                f"expected {column}_a, because there are {len(options)}: "
                f"{', '.join(map(repr, options[:5]))}."
            )
        if value is not None:
            check_choice(value, options, what=column)
            keep &= (course.curves[column] == value).to_numpy()
    return int(np.flatnonzero(keep)[0])


def _find(course, kind, baseline_end, between, fraction) -> tuple[pd.DataFrame, np.ndarray]:
    """Return latencies of curves and of their samples, (n_boot, n_curves)."""
    check_choice(kind, KINDS, what="kind of latency")
    if not (_is_number(fraction) and 0 < fraction <= 1):
        raise InputError(f"expected a fraction above 0 and at most 1, got {fraction!r}.")
    searched, baseline = _search(course.times, kind, baseline_end, between)
    observed, samples = (
        _latencies(curves, course.times, kind, searched, baseline, fraction)
        for curves in (course.similarity, course.samples)
    )
    spread = np.array([_spread(column, course.settings["alpha"]) for column in samples.T])
    p = course.table["p_corrected"].to_numpy().reshape(course.similarity.shape)
    p = np.where(searched & (course.similarity > 0) & ~np.isnan(p), p, 1.0).min(axis=1)
    frame = course.curves[["region", "network", "layer", "model"]].assign(
        kind=kind, latency=observed, ci_low=spread[:, 0], ci_high=spread[:, 1], se=spread[:, 2],
        n_undefined=spread[:, 3].astype(int), n_boot=len(samples), p_corrected=p,
        n_subjects=course.table["n_subjects"].to_numpy()[:: len(course.times)],
        bootstrap=course.settings["bootstrap"],
    )  # fmt: skip
    return frame[list(LATENCY)], samples


def _is_number(value: object) -> bool:
    """Whether a value is one finite number."""
    known = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return known and bool(np.isfinite(value))


def _search(times, kind, baseline_end, between) -> tuple[np.ndarray, np.ndarray]:
    """Return which times are searched for a peak, and which are the baseline of an onset."""
    if not (baseline_end is None or _is_number(baseline_end)):
        raise InputError(
            f"expected baseline_end in seconds, or None for no baseline, got {baseline_end!r}."
        )
    slack = 0.5 * 10.0**-_DIGITS
    searched, baseline = np.ones(len(times), dtype=bool), np.zeros(len(times), dtype=bool)
    if baseline_end is not None:
        baseline = times < baseline_end - slack
        searched = ~baseline
        if kind == "onset" and not baseline.any():
            raise InputError(
                f"expected times before baseline_end={baseline_end:g} s for the baseline of an "
                f"onset, but the course begins at {times[0]:g} s. Use baseline_end=None to "
                "measure from a similarity of 0."
            )
    if between is not None:
        ends = list(between) if isinstance(between, Sequence) else []
        if len(ends) != 2 or not all(map(_is_number, ends)) or ends[0] > ends[1]:
            raise InputError(
                f"expected `between` as (first, last) time in seconds, got {between!r}."
            )
        searched = searched & (times >= ends[0] - slack) & (times <= ends[1] + slack)
    if not searched.any():
        raise InputError(
            f"expected some time to look for a peak in, but none of {times[0]:g} to "
            f"{times[-1]:g} s is left by baseline_end={baseline_end!r} and between={between!r}."
        )
    return searched, baseline


def _latencies(curves, times, kind, searched, baseline, fraction) -> np.ndarray:
    """Return the latency of curves of shape (..., n_times); NaN where there is none."""
    values = np.where(searched & ~np.isnan(curves), curves, -np.inf)
    peak = values.argmax(axis=-1)
    height = values.max(axis=-1)
    if kind == "peak":
        return np.where(np.isfinite(height), times[peak], np.nan)
    level = curves[..., baseline].mean(axis=-1) if baseline.any() else np.zeros(height.shape)
    with np.errstate(invalid="ignore"):
        criterion = level + fraction * (height - level)
        defined = np.isfinite(criterion) & (height > level)
        below = ~(curves >= criterion[..., None])
    place = np.arange(len(times))
    last = np.where(below & (place < peak[..., None]), place, -1).max(axis=-1)
    return np.where(defined & (last >= 0), times[np.minimum(last + 1, peak)], np.nan)


def _spread(samples: np.ndarray, alpha: float) -> tuple[float, float, float, int]:
    """Return percentile interval and standard deviation of the samples, and how many are NaN."""
    defined = samples[~np.isnan(samples)]
    undefined = len(samples) - len(defined)
    if len(defined) < 2:
        return np.nan, np.nan, np.nan, undefined
    low, high = np.quantile(defined, [alpha / 2, 1 - alpha / 2])
    return low, high, defined.std(ddof=1), undefined


def _two_sided(differences: np.ndarray) -> float:
    """Return the p value of paired samples of a difference against 0."""
    defined = differences[~np.isnan(differences)]
    if not len(defined):
        return np.nan
    tail = min((defined <= 0).sum(), (defined >= 0).sum())
    return float(min(1.0, 2 * (1 + tail) / (1 + len(defined))))


def _latency_notes(frame: pd.DataFrame, alpha: float) -> list[str]:
    """Return what must be known of latencies before concluding."""
    notes = []
    for row in frame.itertuples():
        name = repr(row.model) + (f" in region {row.region!r}" if row.region else "")
        if np.isnan(row.latency):
            notes.append(f"{name} has no {row.kind}.")
        elif not row.p_corrected < alpha:
            notes.append(
                f"{name} is above 0 at no time searched (smallest corrected p "
                f"{row.p_corrected:.3f}): its {row.kind} is that of noise."
            )
        if row.n_undefined:
            notes.append(
                f"{row.n_undefined} of {row.n_boot} bootstrap samples of {name} have no "
                f"{row.kind}; the interval is that of the others."
            )
    return notes


def _scaled(vectors: np.ndarray, method: str) -> np.ndarray:
    """Return RDMs scaled as pooling wants for the method; NaN where an RDM is constant."""
    centred = method not in {"cosine", "cosine_cov"}
    constant = (vectors == (vectors[:, :1] if centred else 0.0)).all(axis=1)
    if method in RANK_METHODS:
        scaled = average_ranks(vectors)
    else:
        scaled = vectors - vectors.mean(axis=1, keepdims=True) if centred else vectors.copy()
        with np.errstate(invalid="ignore", divide="ignore"):
            scaled /= np.sqrt((scaled**2).mean(axis=1, keepdims=True))
    scaled[constant] = np.nan
    return scaled
