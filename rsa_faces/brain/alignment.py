"""Hyperalignment: rotations that bring subjects' channels into one space, judged on other runs."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from rsa_faces._core.checks import check_choice, check_count, check_is, parse_bytes
from rsa_faces._core.errors import InputError, check_same_names
from rsa_faces._core.labels import per_row
from rsa_faces._core.names import as_names, check_unique_names, named, unnamed
from rsa_faces._core.result import BaseResult, keep_warnings
from rsa_faces.brain._alignment_report import empty_tables, report_of
from rsa_faces.brain._rotations import lists_of, rotations_of, searchlight_matrices
from rsa_faces.brain.spheres import Discs, Spheres

#: What profiles of channels are made of.
PROFILES = ("responses", "connectivity")
_REPORT_MEASURES = ("correlation", "cosine", "euclidean", "sqeuclidean")
# Two observations correlate by 1 or -1 whatever they are.
_FEWEST_CONDITIONS = 3


@dataclass(frozen=True, eq=False, repr=False)
class Hyperalignment(BaseResult):
    """The outcome of :func:`hyperalign`.

    Parameters
    ----------
    subjects : tuple of str
    by : str
        "responses" or "connectivity".
    fit_runs, held_out_runs : tuple
        Labels of the runs that the transforms were fitted on, and of those that `report` is from.
    matrices : mapping of str to ndarray or csr_array, shape (n_channels, n_common)
        What each subject's patterns are multiplied by. One dense matrix with orthonormal rows
        without searchlights; with them a sparse matrix, the mean of local rotations.
    report : DataFrame
        On held-out runs, one row per searchlight (one in all without): ``center``,
        ``n_channels``, ``before``, ``after`` (mean Pearson correlation of two subjects' RDMs over
        all pairs of subjects, from -1 to 1), ``difference``. NaN where an RDM is constant.
    pairs : DataFrame
        One row per pair of subjects: ``subject_a``, ``subject_b``, ``before``, ``after``,
        ``difference``, means over searchlights.
    summary : DataFrame
        One row: ``before``, ``after`` and ``difference``, means over searchlights;
        ``n_rising`` of ``n_defined`` searchlights; ``n_searchlights``, ``n_subjects``,
        ``n_conditions`` (held out), ``measure``.
    settings : mapping
        Options, for provenance.
    fingerprints : mapping of str to frozenset of str
        Hashes of each subject's fitted observations.

    See Also
    --------
    hyperalign : Bring subjects into a common space.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.stats import ortho_group
    >>> from rsa_faces.brain import hyperalign
    >>> shared = np.random.default_rng(0).normal(size=(40, 4))
    >>> data = {s: shared @ ortho_group.rvs(4, random_state=i) for i, s in enumerate("ab")}
    >>> names, runs = [f"picture{i}" for i in range(40)], np.repeat([1, 2], 20)
    >>> aligned = hyperalign(data, conditions=names, runs=runs, fit_runs=[1])
    >>> aligned.held_out_runs, aligned.matrices["a"].shape
    ((2,), (4, 4))
    """

    subjects: tuple[str, ...]
    by: str
    fit_runs: tuple[Hashable, ...]
    held_out_runs: tuple[Hashable, ...]
    matrices: Mapping[str, Any]
    report: pd.DataFrame
    pairs: pd.DataFrame
    summary: pd.DataFrame
    fingerprints: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)

    @property
    def table(self) -> pd.DataFrame:
        """What became of each subject: the report (a copy)."""
        return self.report

    def __repr__(self) -> str:
        text = f"Hyperalignment({len(self.subjects)} subjects by {self.by}, fitted on "
        text += f"{len(self.fit_runs)} runs"
        if len(self.summary):
            row = self.summary.iloc[0]
            text += (
                f"; RDMs of two subjects on {len(self.held_out_runs)} other runs: "
                f"r = {row['before']:.3f} before, {row['after']:.3f} after"
            )
        return text + ")"

    def transform(
        self, subject: str, patterns: Any, *, runs: Hashable | Sequence[Hashable]
    ) -> np.ndarray:
        """Bring patterns of one subject, from runs that were not fitted on, into the common space.

        Parameters
        ----------
        subject : str
            One of :attr:`subjects`.
        patterns : array_like, shape (n_observations, n_channels)
            The channels must be those that the transforms were fitted on, in the same order.
        runs : label, or sequence of labels, one per observation
            The run of each observation.

        Returns
        -------
        ndarray, shape (n_observations, n_common), float64
            ``patterns @ matrices[subject]``. Values are not centred or scaled; a NaN spreads to
            the channels near it (all of them without searchlights).

        Raises
        ------
        InputError
            If the transform was fitted on one of these runs, or on one of these observations
            under another label; if the subject is unknown or shapes do not fit.
        """
        check_choice(subject, self.subjects, what="subject")
        patterns = np.asarray(patterns, dtype=np.float64)
        matrix = self.matrices[subject]
        if patterns.ndim != 2 or patterns.shape[1] != matrix.shape[0]:
            raise InputError(
                f"expected patterns of shape (n_observations, {matrix.shape[0]}) for subject "
                f"{subject!r}, got {patterns.shape}."
            )
        labels = [runs] * len(patterns) if _is_label(runs) else list(runs)
        labels = [_plain(label) for label in labels]
        if len(labels) != len(patterns):
            raise InputError(
                f"expected the run of each of {len(patterns)} observations, got {len(labels)}."
            )
        _refuse_fitted(set(labels) & set(self.fit_runs), self.fit_runs)
        known = self.fingerprints.get(subject, frozenset())
        again = [i for i, print_ in enumerate(_fingerprints(patterns)) if print_ in known]
        if again:
            raise InputError(
                f"expected observations that were not fitted on, but {len(again)} of "
                f"{len(patterns)} are the same numbers as fitted ones (the first is row "
                f"{again[0]}, run {labels[again[0]]!r}). Check the labels of runs."
            )
        return np.asarray(patterns @ matrix)


@keep_warnings
def hyperalign(
    data: Mapping[str, Any],
    *,
    conditions: Sequence[str] | Mapping[str, Sequence[str]],
    runs: Sequence[Hashable] | Mapping[str, Sequence[Hashable]],
    fit_runs: Sequence[Hashable],
    searchlights: Spheres | Discs | None = None,
    by: str = "responses",
    targets: Mapping[str, Any] | None = None,
    n_targets: int = 400,
    reference: str | None = None,
    n_iterations: int = 1,
    measure: str = "correlation",
    report: bool = True,
    dtype: str = "float64",
    budget: str | int = "2GB",
) -> Hyperalignment:
    """Fit rotations that bring subjects' channels into a common space, and test them elsewhere.

    Parameters
    ----------
    data : mapping of str to array_like, shape (n_observations, n_channels)
        Subjects: trials, time points or estimates by channels. With `searchlights` channels are
        the places of their space. Without, subjects may differ in their number of channels: the
        common space then has as many dimensions as the largest has channels.
    conditions : sequence of str, or mapping of subject to sequence of str
        The condition of each observation (a stimulus, or a time point of a film). Conditions are
        matched across subjects by name; repeats are averaged.
    runs : sequence of labels, or mapping of subject to sequence of labels
        The run of each observation.
    fit_runs : sequence of labels
        Runs to fit on. All others are held out, for `report` and for
        :meth:`Hyperalignment.transform`, which refuses these.
    searchlights : Spheres or Discs, optional
        From :meth:`rsa_faces.brain.Volume.searchlights` or that of a Surface; a rotation is
        fitted in each. By default one rotation of all channels, for a region.
    by : {"responses", "connectivity"}, default "responses"
        Profile of a channel: its responses to the conditions [1]_ [2]_, or its correlations over
        time with targets [3]_; then conditions and numbers of observations in the fitted runs may
        differ between subjects.
    targets : mapping of str to array_like, shape (n_observations, n_targets), optional
        For "connectivity": series of regions that are the same in all subjects. By default means
        of searchlights.
    n_targets : int, default 400
        How many searchlights, spread evenly, are targets if `targets` is not given.
    reference : str, optional
        Subject to begin with, by default the first.
    n_iterations : int, default 1
        How often each subject is aligned to the mean of the others after the first pass.
    measure : {"correlation", "cosine", "euclidean", "sqeuclidean"}, default "correlation"
        Of the RDMs in the report.
    report : bool, default True
        Whether to make the report; time grows with the square of the held-out conditions.
    dtype : {"float64", "float32"}, default "float64"
        Of sparse matrices.
    budget : str or int, default "2GB"
        Memory for matrices and work.

    Returns
    -------
    Hyperalignment

    Raises
    ------
    InputError
        If there are fewer than 2 subjects, a run to fit on does not exist, or none is left;
        values are not finite; shapes, labels or options do not fit; the sparse matrices do not
        fit the budget.
    ConditionMismatchError
        If subjects have different conditions.

    See Also
    --------
    load_patterns : Read maps of responses, one per condition and repeat: betas, t values, means.

    Notes
    -----
    Profiles B_s (n_profiles × n_channels) are centred per channel. The rotation of subject s onto
    a template M is the orthogonal matrix that minimises ‖B_s R_s − M‖: with the singular value
    decomposition B_sᵀ M = U Σ Vᵀ it is U Vᵀ. Pass 1: subjects are aligned one after the other to
    the mean of those before, beginning with the reference. Pass 2, `n_iterations` times: each to
    the mean of the others. Pass 3: each to the mean of all [1]_. Directions that the profiles say
    nothing about (fewer profiles than channels) would be rotated at random: here the part of the
    rotation that is free is the one nearest to no rotation, Σ = 0 where it is below n_channels ×
    10⁻¹⁵ of the largest.

    With searchlights, entry (i, j) of a subject's matrix is the mean, over the searchlights that
    hold channel j, of the rotations' entries (0 where i is not in the searchlight). [2]_ takes
    the sum: the same but for a factor per channel, about the number of channels of a searchlight.

    A rotation of a whole region leaves Euclidean distances and cosines as they are, so that
    `before` and `after` are equal for these measures. Means of rotations also smooth, which can
    raise `after` by itself when subjects share patterns at the same places; it cannot where they
    share none.

    References
    ----------
    .. [1] Haxby J.V. et al. (2011). Neuron 72, 404-416. doi:10.1016/j.neuron.2011.08.026
    .. [2] Guntupalli J.S. et al. (2016). Cerebral Cortex 26, 2919-2934.
       doi:10.1093/cercor/bhw068
    .. [3] Guntupalli J.S., Feilong M., Haxby J.V. (2018). PLoS Computational Biology 14,
       e1006120. doi:10.1371/journal.pcbi.1006120

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.stats import ortho_group
    >>> from rsa_faces.brain.alignment import hyperalign
    >>> rng = np.random.default_rng(0)
    >>> shared = rng.normal(size=(80, 6))
    >>> data = {s: shared @ ortho_group.rvs(6, random_state=i) for i, s in enumerate("abc")}
    >>> names = [f"picture{i}" for i in range(80)]
    >>> runs = np.repeat([1, 2], 40)
    >>> aligned = hyperalign(data, conditions=names, runs=runs, fit_runs=[1])
    >>> aligned.summary[["before", "after"]].round(2)
       before  after
    0    0.79    1.0
    >>> new = [aligned.transform(s, data[s][40:], runs=2) for s in "abc"]
    >>> np.allclose(new[0], new[1])
    True
    """
    check_choice(by, PROFILES, what="value of `by`")
    check_choice(measure, _REPORT_MEASURES, what="measure of the report")
    check_choice(dtype, ("float64", "float32"), what="dtype")
    check_count(n_iterations, what="n_iterations", low=0)
    check_count(n_targets, what="n_targets", low=2)
    budget = parse_bytes(budget)
    arrays = _check_data(data, conditions, searchlights)
    subjects = tuple(arrays)
    if reference is not None:
        check_choice(reference, subjects, what="subject")
    names = {s: as_names(v) for s, v in _of_each(conditions, arrays, "condition").items()}
    _check_number(names, arrays, "condition")
    labels = {}
    for subject, own in _of_each(runs, arrays, "run").items():
        check_is(own, (Sequence, np.ndarray, pd.Series, pd.Index), what="runs", hint="a sequence")
        labels[subject] = per_row(own, len(own), what="run", rows=(names[subject],))
    _check_number(labels, arrays, "run")
    fit_runs, held_out, fitted = _split(labels, fit_runs)
    lists = lists_of(searchlights, arrays)
    if by == "responses":
        if targets is not None:
            raise InputError("expected no targets with by='responses': they are for connectivity.")
        profiles, fitted_on = _condition_means(arrays, names, fitted)
        _check_enough(fitted_on, "fitted")
    else:
        profiles = _connectivity(arrays, fitted, targets, n_targets, searchlights, lists)
    held = None
    if report:
        held, held_conditions = _condition_means(arrays, names, {s: ~fitted[s] for s in subjects})
        _check_enough(held_conditions, "held-out")
    width = profiles[0].shape[1]
    # A channel's mean over conditions is no part of what conditions do, and would turn the
    # rotation.
    profiles = np.stack([p - p.mean(axis=0) for p in profiles])
    first = 0 if reference is None else subjects.index(reference)
    order = [first, *(i for i in range(len(subjects)) if i != first)]
    per_center = 8 * len(subjects)
    if lists is None:
        rotation = rotations_of(profiles[:, None], order, n_iterations)[:, 0]
        matrices = {s: rotation[i, : arrays[s].shape[1]] for i, s in enumerate(subjects)}
    else:
        rotations = searchlight_matrices(
            profiles, lists, order, n_iterations, per_center, np.dtype(dtype), budget
        )
        matrices = dict(zip(subjects, rotations, strict=True))
    tables = empty_tables()
    if held is not None:
        after = np.stack(
            [h[:, : arrays[s].shape[1]] @ matrices[s] for h, s in zip(held, subjects, strict=True)]
        )
        tables = report_of(np.stack(held), after, lists, subjects, measure, budget)
        tables[2].insert(6, "n_conditions", len(held_conditions))
    settings = {
        "by": by,
        "searchlights": "none" if searchlights is None else repr(searchlights),
        "reference": subjects[order[0]],
        "n_iterations": n_iterations,
        "n_profiles": profiles.shape[1],
        "n_common": width,
        "measure": measure,
    }
    prints = {s: frozenset(_fingerprints(arrays[s][fitted[s]])) - {""} for s in subjects}
    return Hyperalignment(
        subjects, by, fit_runs, held_out, matrices, *tables, settings=settings, fingerprints=prints
    )


def _check_data(data, conditions, searchlights) -> dict[str, np.ndarray]:
    """Return each subject's observations as finite float64 arrays."""
    if not isinstance(data, Mapping) or len(data) < 2:
        got = f"{len(data)}" if isinstance(data, Mapping) else f"a {type(data).__name__}"
        raise InputError(f"expected a mapping with at least 2 subjects, got {got}.")
    if searchlights is not None and not isinstance(searchlights, (Spheres, Discs)):
        raise InputError(
            "expected searchlights from Volume.searchlights() or Surface.searchlights(), got a "
            f"{type(searchlights).__name__}."
        )
    arrays = {}
    for subject, name in zip(data, check_unique_names(list(data), what="subject"), strict=True):
        what = f"data of subject {name!r}"
        if isinstance(data[subject], np.ndarray):
            values = unnamed(data[subject], what=what)
        else:
            given = conditions.get(subject) if isinstance(conditions, Mapping) else conditions
            values, _ = named(data[subject], given, what=what, repeats=True)
        values = values.astype(np.float64, copy=False)
        if values.ndim != 2 or not values.size:
            raise InputError(
                f"expected shape (n_observations, n_channels) for subject {name!r}, got "
                f"{values.shape}."
            )
        if searchlights is not None and values.shape[1] != searchlights.n_centers:
            raise InputError(
                f"expected {searchlights.n_centers} channels, the places of {searchlights!r}, but "
                f"subject {name!r} has {values.shape[1]}."
            )
        bad = ~np.isfinite(values).all(axis=0)
        if bad.any():
            raise InputError(
                f"expected finite values, but {bad.sum()} channels of subject {name!r} hold NaN "
                f"or infinity (the first is {np.flatnonzero(bad)[0]}). Take them out of the mask."
            )
        arrays[name] = values
    return arrays


def _is_label(runs) -> bool:
    """Whether `runs` is one label, not a sequence of them."""
    return isinstance(runs, (str, bytes)) or np.isscalar(runs)


def _of_each(labels, arrays, what: str) -> dict[str, Any]:
    """Return what is given for each subject, or for all."""
    if not isinstance(labels, Mapping):
        return dict.fromkeys(arrays, labels)
    by_subject = {str(s): v for s, v in labels.items()}
    missing = [s for s in arrays if s not in by_subject]
    if missing:
        raise InputError(
            f"expected a {what} per observation for every subject, none for {missing[:5]}."
        )
    return {s: by_subject[s] for s in arrays}


def _check_number(labels: Mapping[str, list], arrays, what: str) -> None:
    """Raise if a subject has not one label for each observation."""
    for subject, values in arrays.items():
        if len(labels[subject]) != len(values):
            raise InputError(
                f"expected one {what} for each of {len(values)} observations of subject "
                f"{subject!r}, got {len(labels[subject])}."
            )


def _plain(label):
    """Return a label as a value of Python, which messages show without its type."""
    return label.item() if isinstance(label, np.generic) else label


def _split(labels, fit_runs):
    """Return runs to fit on, runs held out, and which observations of each subject are fitted."""
    chosen = tuple(map(_plain, [fit_runs] if _is_label(fit_runs) else fit_runs))
    chosen = tuple(dict.fromkeys(chosen))
    every = tuple(dict.fromkeys(run for values in labels.values() for run in values))
    unknown = [run for run in chosen if run not in every]
    if unknown or not chosen:
        raise InputError(
            f"expected fit_runs among the runs {list(every)[:10]}, got {unknown or list(chosen)}."
        )
    held_out = tuple(run for run in every if run not in chosen)
    if not held_out:
        raise InputError(
            f"expected runs that are held out, but fit_runs holds all of them: {list(chosen)[:10]}."
        )
    fitted = {s: np.array([run in chosen for run in v], bool) for s, v in labels.items()}
    for subject, mask in fitted.items():
        if mask.all() or not mask.any():
            kind = "held-out" if mask.all() else "fitted"
            raise InputError(f"expected {kind} runs for every subject, {subject!r} has none.")
    return chosen, held_out, fitted


def _refuse_fitted(overlap: set, fit_runs) -> None:
    """Raise if runs were fitted on."""
    if overlap:
        raise InputError(
            "expected runs that the transforms were not fitted on, got "
            f"{sorted(map(str, overlap))}; fitted runs: {', '.join(map(repr, fit_runs))}. "
            "Fit on others (fit_runs) to analyse these."
        )


def _condition_means(arrays, names, use):
    """Return each subject's mean pattern per condition, in one order, and the conditions.

    Subjects with fewer channels get channels of zeros.
    """
    width = max(a.shape[1] for a in arrays.values())
    order, first, means = None, "", []
    for subject, values in arrays.items():
        chosen = [c for c, u in zip(names[subject], use[subject], strict=True) if u]
        if order is None:
            order, first = list(dict.fromkeys(chosen)), subject
        sides = f"subject {first!r}", f"subject {subject!r}"
        check_same_names(order, chosen, *sides, "Leave out the observations that not all have.")
        place = {c: i for i, c in enumerate(order)}
        code = np.array([place[c] for c in chosen])
        # Conditions by observations: one product averages repeats, however many each has.
        share = sparse.csr_array((1.0 / np.bincount(code)[code], (code, np.arange(len(code)))))
        mean = np.zeros((len(order), width))
        mean[:, : values.shape[1]] = share @ values[use[subject]]
        means.append(mean)
    return means, order


def _check_enough(conditions, what: str) -> None:
    """Raise if there are too few conditions."""
    if len(conditions) < _FEWEST_CONDITIONS:
        raise InputError(
            f"expected at least {_FEWEST_CONDITIONS} {what} conditions, got {len(conditions)}: "
            f"{conditions}."
        )


def _connectivity(arrays, fitted, targets, n_targets, searchlights, lists):
    """Return each subject's correlations of targets with channels over the fitted observations."""
    if targets is None:
        if searchlights is None:
            raise InputError("expected `targets` with by='connectivity' and no searchlights.")
        step = max(1, -(-searchlights.n_centers // n_targets))
        centers = searchlights.order[::step]
        size = np.diff(lists[0])
        rows = np.repeat(1.0 / size, size)
        mean = sparse.csr_array((rows, lists[1], lists[0]), shape=(len(size), len(size)))[centers]
        series = {s: values @ mean.T for s, values in arrays.items()}
    else:
        series = {str(s): np.asarray(v, dtype=np.float64) for s, v in targets.items()}
        missing = [s for s in arrays if s not in series]
        if missing:
            raise InputError(f"expected targets for every subject, none for {missing[:5]}.")
    profiles, width = [], max(a.shape[1] for a in arrays.values())
    number = series[next(iter(arrays))].shape[-1]
    for subject, values in arrays.items():
        target = series[subject]
        if target.shape != (len(values), number) or not np.isfinite(target).all():
            raise InputError(
                f"expected finite targets of shape ({len(values)}, {number}) for subject "
                f"{subject!r}, got {target.shape}."
            )
        if fitted[subject].sum() < _FEWEST_CONDITIONS:
            raise InputError(
                f"expected at least {_FEWEST_CONDITIONS} fitted observations, subject "
                f"{subject!r} has {fitted[subject].sum()}."
            )
        profile = np.zeros((number, width))
        profile[:, : values.shape[1]] = _unit(target[fitted[subject]]).T @ _unit(
            values[fitted[subject]]
        )
        profiles.append(profile)
    return profiles


def _unit(series: np.ndarray) -> np.ndarray:
    """Return columns centred and of length 1; constant ones are 0: they connect to nothing."""
    centred = series - series.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    flat = (series == series[:1]).all(axis=0) | (length == 0)
    return np.where(flat, 0.0, centred / np.where(flat, 1.0, length))


def _fingerprints(patterns: np.ndarray) -> list[str]:
    """Return a hash of each observation; '' for those that are constant, which tell nothing."""
    rows = np.ascontiguousarray(patterns, dtype=np.float64)
    constant = (rows == rows[:, :1]).all(axis=1)
    return [
        "" if c else hashlib.sha256(row.tobytes()).hexdigest()
        for row, c in zip(rows, constant, strict=True)
    ]
