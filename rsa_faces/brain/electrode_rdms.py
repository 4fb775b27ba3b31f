"""RDMs of intracranial recordings: per electrode, per region, per patient, or pooled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError, check_same_names
from rsa_faces._core.progress import progress_bar
from rsa_faces._core.warning import warn
from rsa_faces.brain._signals import grid_of_times
from rsa_faces.brain.electrodes import UNKNOWN
from rsa_faces.brain.ieeg import IeegPatterns
from rsa_faces.rdm import RDMs, concat
from rsa_faces.rdm.measures import Measure, resolve
from rsa_faces.rdm.movie import POOLINGS, rdm_movie

UNITS = ("electrode", "region", "patient")
#: The label ``subject`` of RDMs of the electrodes of several patients together.
POOLED = "all patients (fixed)"


def ieeg_rdms(
    patterns: IeegPatterns | Sequence[IeegPatterns],
    *,
    per: str = "region",
    pooled: bool = False,
    measure: str = "correlation",
    window: float | None = 0.1,
    step: float | None = None,
    pool: str = "concatenate",
    noise: str | None = None,
    noise_from: str = "all",
    progress: bool = True,
) -> RDMs:
    """Build RDMs over time windows of intracranial recordings.

    Parameters
    ----------
    patterns : IeegPatterns, or sequence of these
        One for each patient.
    per : {"electrode", "region", "patient"}, default "region"
        What an RDM is made of: one electrode, the electrodes of a patient in a region, or all
        electrodes of a patient.
    pooled : bool, default False
        Put the electrodes of all patients together, for regions or all electrodes. Patients are
        then a fixed effect: what is found holds for these patients, and there is one RDM, with
        which no test over patients can be made.
    measure : str, default "correlation"
        As in :func:`rsa_faces.compute_rdms`. Repeats of a condition are averaged first, but for
        mahalanobis and crossnobis; crossnobis needs patterns with folds.
    window, step : float, in seconds, optional
        As in :func:`rsa_faces.rdm.movie.rdm_movie`: length of the windows (0.1 s by default; None:
        every sample), and from one to the next (default: one sample). With a step windows begin at
        its multiples, so that recordings with 500, 512 and 1000 Hz have the same ones.
    pool : {"concatenate", "average"}, default "concatenate"
        Whether the samples within a window are channels, next to the electrodes, or are averaged.
        An RDM of one electrode needs "concatenate" but for euclidean measures.
    noise : {"ledoit-wolf", "schaefer-strimmer"}, optional
    noise_from : {"all", "fold"}, default "all"
        As in :func:`rsa_faces.compute_rdms`.
    progress : bool, default True
        Show a progress bar on a terminal if it takes longer than two seconds.

    Returns
    -------
    RDMs
        Labels: ``subject`` (the patient), ``region`` and ``electrode`` where they apply, ``time``
        (centre of the window, in seconds), ``n_electrodes`` and ``signal``; with `pooled` also
        ``n_patients``, and ``subject`` is "all patients (fixed)". Ready for
        :func:`rsa_faces.inference.time_course`, where patients are the random factor: RDMs of
        several electrodes of a patient are averaged there.

    Raises
    ------
    ConditionMismatchError
        If patients saw different conditions: take the common ones with ``take_conditions``.
    InputError
        If a patient occurs twice, patients differ in signal or in times that are pooled, nothing
        is left, one channel is to be correlated, or as :func:`rsa_faces.rdm.movie.rdm_movie`.

    Warns
    -----
    UserWarning
        Of how many electrodes have an unknown region and so enter no region's RDM.

    See Also
    --------
    ieeg_patterns : Turn the epochs of a patient into responses of electrodes, one row per trial.
    rsa_faces.mapping.layer_map : Compare every layer with every time.

    References
    ----------
    .. [1] Kriegeskorte N., Mur M., Bandettini P. (2008). Frontiers in Systems Neuroscience 2, 4.
       doi:10.3389/neuro.06.004.2008

    Examples
    --------
    >>> import mne
    >>> import numpy as np
    >>> import pandas as pd
    >>> from rsa_faces.brain.ieeg import ieeg_patterns
    >>> from rsa_faces.brain.electrode_rdms import ieeg_rdms
    >>> noise = np.random.default_rng(0).normal(0, 1e-5, (6, 2, 200))
    >>> epochs = mne.EpochsArray(
    ...     noise, mne.create_info(["A1", "A2"], 200.0, "seeg"), tmin=-0.4, verbose="error")
    >>> table = pd.DataFrame({"patient": "p1", "name": ["A1", "A2"], "region": "ventral",
    ...                       "x": 40.0, "y": -50.0, "z": [-20.0, -15.0]})
    >>> patterns = ieeg_patterns(
    ...     epochs, electrodes=table, conditions=list("abcdef"), signal="raw")
    >>> ieeg_rdms(patterns, window=0.1, step=0.1)
    RDMs(10 RDMs, 6 conditions, measure='correlation',
    labels: subject, region, time, n_electrodes, signal)
    """
    check_choice(per, UNITS, what="unit of RDMs")
    measure = resolve(measure)
    check_choice(pool, POOLINGS, what="pool")
    patients = [patterns] if isinstance(patterns, IeegPatterns) else list(patterns)
    _check_patients(patients, per, pooled, measure)
    options = {
        "measure": measure,
        "window": window,
        "step": step,
        "pool": pool,
        "noise": noise,
        "noise_from": noise_from,
    }
    if per == "region":
        patients = _with_region(patients)
    units = [unit for p in patients for unit in _units(p, per)]
    if pooled:
        units = _pooled(units)
    movies = []
    with progress_bar("RDMs", len(units), show=progress) as tell:
        for unit in units:
            movies.append(_movie(*unit, options))
            tell(len(movies))
    return concat(movies)


def _check_patients(patients, per: str, pooled: bool, measure: Measure) -> None:
    """Check that patients differ, saw the same, and can be pooled if asked."""
    if not patients or not all(isinstance(p, IeegPatterns) for p in patients):
        raise TypeError("expected IeegPatterns, one for each patient, from ieeg_patterns().")
    names = [p.patient for p in patients]
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise InputError(f"expected each patient once, but {twice!r} occurs more than once.")
    if len(signals := {p.signal for p in patients}) > 1:
        raise InputError(f"expected one signal in all patients, got {sorted(signals)}.")
    first = patients[0]
    for other in patients[1:]:
        sides = f"patient {first.patient!r}", f"patient {other.patient!r}"
        hint = "Take the common ones with take_conditions()."
        check_same_names(first.conditions, other.conditions, *sides, hint)
    if not pooled:
        return
    if per == "electrode" or not measure.plain:
        raise InputError(
            "expected to pool the electrodes of regions or patients, and a measure of condition "
            f"means, got per={per!r} and measure={measure.name!r}."
        )
    for other in patients[1:]:
        same = other.times.shape == first.times.shape
        if not same or np.abs(other.times - first.times).max() > 1e-6:
            raise InputError(
                f"expected the same times in pooled patients, but {other.patient!r} differs from "
                f"{first.patient!r}. Use the same `between` and `bin_width`."
            )


def _with_region(patients: list[IeegPatterns]) -> list[IeegPatterns]:
    """Return the patients without electrodes of unknown region; those with none are left out."""
    known = [(p.electrodes["region"] != UNKNOWN).to_numpy() for p in patients]
    n_unknown = sum(int((~k).sum()) for k in known)
    if n_unknown:
        if not any(k.any() for k in known):
            raise InputError("expected electrodes with a region, but the region of all is unknown.")
        warn(
            f"{n_unknown} of {sum(map(len, known))} electrodes have an unknown region and enter no "
            "region's RDM."
        )
    return [p.take_electrodes(k) for p, k in zip(patients, known, strict=True) if k.any()]


def _units(patterns: IeegPatterns, per: str):
    """Yield labels and patterns of what RDMs are made of."""
    labels = {"subject": patterns.patient}
    if per == "patient":
        yield labels, [patterns]
    elif per == "region":
        for region in patterns.regions:
            inside = (patterns.electrodes["region"] == region).to_numpy()
            yield labels | {"region": region}, [patterns.take_electrodes(inside)]
    else:
        for i, row in enumerate(patterns.electrodes.itertuples()):
            one = patterns.take_electrodes(np.arange(len(patterns.electrodes)) == i)
            yield labels | {"region": row.region, "electrode": row.name}, [one]


def _pooled(units) -> list:
    """Put the same unit of all patients together."""
    together: dict[str, list[IeegPatterns]] = {}
    for labels, (patterns,) in units:
        together.setdefault(labels.get("region", ""), []).append(patterns)
    return [
        (
            {"subject": POOLED}
            | ({"region": region} if region else {})
            | {"n_patients": len(parts)},
            parts,
        )
        for region, parts in together.items()
    ]


def _movie(labels: dict, parts: list[IeegPatterns], options: dict) -> RDMs:
    """Return the RDMs of one unit over time."""
    # Measures of means need one pattern per condition; others need the trials, whose scatter is
    # their noise.
    first, measure = parts[0], options["measure"]
    if not measure.plain:
        values, conditions = first.values, first.conditions
    else:
        conditions = tuple(sorted(set(first.conditions)))
        values = np.concatenate([_means(p, conditions) for p in parts], axis=1)
    if measure.needs_folds and first.folds is None:
        raise InputError(
            f"expected patterns with folds for the measure {measure.name!r}: give `folds`, the "
            "column with runs or sessions, to ieeg_patterns()."
        )
    alone = values.shape[1] == 1 and (options["pool"] == "average" or options["window"] is None)
    if alone and measure.angular:
        where = labels.get("electrode") or labels.get("region") or "all electrodes"
        raise InputError(
            f"expected at least 2 channels for the measure {measure.name!r}, but "
            f"{labels['subject']!r} has one electrode in {where!r}. Use pool='concatenate' with a "
            "window, or the measure 'euclidean'."
        )
    folds = first.folds if measure.needs_folds else None
    where = {"step": options["step"]}
    if options["window"] is not None and options["step"] is not None:
        where = {"at": grid_of_times(first.times, options["window"], options["step"])}
    options = {key: value for key, value in options.items() if key != "step"}
    movie = rdm_movie(
        values, times=first.times, conditions=conditions, folds=folds, **where, **options
    )
    order = ["subject", "region", "electrode", "time"]
    labels = labels | {"time": movie.labels["time"], "n_electrodes": values.shape[1]}
    labels |= {"signal": first.signal} | movie.labels.drop(columns="time").to_dict("list")
    ordered = [*(k for k in order if k in labels), *(k for k in labels if k not in order)]
    return RDMs(movie.vectors, movie.conditions, movie.measure, {k: labels[k] for k in ordered})


def _means(patterns: IeegPatterns, conditions: Sequence[str]) -> np.ndarray:
    """Return the mean response to each condition, (n_conditions, n_electrodes, n_times)."""
    names = np.array(patterns.conditions, dtype=object)
    return np.stack([patterns.values[names == c].mean(axis=0) for c in conditions])
