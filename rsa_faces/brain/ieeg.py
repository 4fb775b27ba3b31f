"""Intracranial recordings: responses of each electrode to each stimulus, over time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice, check_enough, check_flags
from rsa_faces._core.errors import InputError
from rsa_faces._core.names import as_names
from rsa_faces._core.optional import require
from rsa_faces._core.progress import progress_bar
from rsa_faces.brain._signals import (
    FLANK,
    between_times,
    binned,
    check_signals,
    half_filter,
    log_power,
    sub_bands,
)
from rsa_faces.brain.electrodes import place_electrodes, read_electrodes

if TYPE_CHECKING:
    import os

    import mne

    from rsa_faces.stimuli import StimulusSet

SIGNALS = ("high gamma", "raw")
EDGES = ("cut", "mirror")
_KINDS = ("ecog", "seeg", "dbs")


@dataclass(frozen=True, eq=False)
class IeegPatterns:
    """Responses of the electrodes of one patient, from :func:`ieeg_patterns`.

    Parameters
    ----------
    values : ndarray, shape (n_observations, n_electrodes, n_times)
        "high gamma": standard deviations of the baseline; "raw": microvolts.
    conditions : tuple of str
        The condition of each observation (trial); repeats are fine.
    times : ndarray, shape (n_times,)
        In seconds.
    electrodes : DataFrame
        One row per electrode: patient, name, region, x, y, z (mm).
    signal : str
        "high gamma" or "raw".
    source : str
        The recording the trials are from, as declared or the name of its file; may be empty.
    trials : ndarray of int, shape (n_observations,)
        Sample of each trial's event in its recording.
    fingerprints : tuple of str
        Hash of each trial's data before any treatment: the same data are known again.
    folds : tuple or None
        The run or session of each observation.
    settings : mapping
        How the values were made: sub-bands, baseline, edges, sampling rate.

    See Also
    --------
    ieeg_patterns : Turn the epochs of a patient into responses of electrodes, one row per trial.
    rsa_faces.brain.ieeg_rdms : Build RDMs over time windows of intracranial recordings.
    rsa_faces.brain.select_electrodes : Keep the electrodes that prefer faces.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> layers = rf.datasets.simulated_layers(2, n_conditions=8)
    >>> recorded = rf.datasets.simulated_recordings(
    ...     layers, [("ventral", "simulated layer_2", 0.1, 0.3)], n_patients=1, n_electrodes=2)
    >>> patterns = rf.brain.ieeg_patterns(recorded.epochs["simulated01"], signal="raw",
    ...                                   electrodes=recorded.electrodes)
    >>> patterns.values.shape, patterns.patient, patterns.regions
    ((32, 2, 100), 'simulated01', ('ventral',))
    """

    values: np.ndarray
    conditions: tuple[str, ...]
    times: np.ndarray
    electrodes: pd.DataFrame
    signal: str
    source: str
    trials: np.ndarray
    fingerprints: tuple[str, ...]
    folds: tuple[Any, ...] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"IeegPatterns({len(self.values)} trials of {len(set(self.conditions))} conditions, "
            f"{len(self.electrodes)} electrodes of {self.patient!r}, {len(self.times)} times from "
            f"{self.times[0]:g} to {self.times[-1]:g} s, {self.signal!r})"
        )

    @property
    def patient(self) -> str:
        """The patient."""
        return self.electrodes["patient"].iloc[0]

    @property
    def regions(self) -> tuple[str, ...]:
        """Regions of the electrodes, each once."""
        return tuple(self.electrodes["region"].unique())

    def take_electrodes(self, keep: Sequence[bool] | np.ndarray) -> IeegPatterns:
        """Return these electrodes only: one True or False for each, at least one True."""
        keep = check_flags(keep, len(self.electrodes), what="keep", of="electrodes")
        if not keep.any():
            raise InputError(f"expected at least one electrode of {self.patient!r}, got none.")
        table = self.electrodes[keep].reset_index(drop=True)
        return replace(self, values=self.values[:, keep], electrodes=table)

    def take_trials(self, rows: Sequence[int] | np.ndarray) -> IeegPatterns:
        """Return these trials only, by position or by one True or False for each."""
        rows = np.arange(len(self.values))[np.asarray(rows)]
        check_enough(len(rows), 1, f"trial of {self.patient!r}")
        return replace(
            self,
            values=self.values[rows],
            conditions=tuple(self.conditions[i] for i in rows),
            trials=self.trials[rows],
            fingerprints=tuple(self.fingerprints[i] for i in rows),
            folds=None if self.folds is None else tuple(self.folds[i] for i in rows),
        )

    def take_conditions(self, names: Sequence[str]) -> IeegPatterns:
        """Return the trials of these conditions only, in their order of recording."""
        names = list(names)
        for name in names:
            check_choice(name, dict.fromkeys(self.conditions), what="condition")
        return self.take_trials(np.isin(np.array(self.conditions, dtype=object), names))


def ieeg_patterns(
    epochs: mne.BaseEpochs,
    *,
    electrodes: pd.DataFrame | str | os.PathLike[str],
    conditions: str | Sequence[str] | None = None,
    stimuli: StimulusSet | Sequence[str] | None = None,
    signal: str = "high gamma",
    band: tuple[float, float] = (70.0, 150.0),
    line_noise: float | None = None,
    baseline: tuple[float, float] | None = (-0.2, 0.0),
    edges: str = "cut",
    between: tuple[float, float] | None = None,
    bin_width: float | None = None,
    folds: str | None = None,
    patient: str | None = None,
    source: str | None = None,
    unplaced: str = "raise",
    progress: bool = True,
) -> IeegPatterns:
    """Turn the epochs of a patient into responses of electrodes, one row per trial.

    Parameters
    ----------
    epochs : mne.BaseEpochs
        Trials of one patient. Channels of type seeg, ecog and dbs are used, bad ones are not.
        Electrodes should be referenced, and broken trials dropped, beforehand.
    electrodes : DataFrame or path-like
        Table or ``electrodes.tsv``, as for :func:`rsa_faces.brain.electrodes.read_electrodes`;
        what it returns is fine. Rows without a channel do not count.
    conditions : str or sequence of str, optional
        Column of the epochs' metadata, or the condition of each epoch; by default event names.
    stimuli : StimulusSet or sequence of str, optional
        Every condition must be one of these names.
    signal : {"high gamma", "raw"}, default "high gamma"
        Broadband power, or the field itself.
    band : (float, float), in Hz, default (70, 150)
        Of high gamma.
    line_noise : float, in Hz, optional
        50 or 60, whose harmonics are kept out of high gamma; 0 where there is none. By default
        ``epochs.info["line_freq"]``.
    baseline : (float, float), in seconds, or None, default (-0.2, 0)
        Raw: its mean is subtracted trial by trial. High gamma: mean and standard deviation of log
        power over all trials in this time; None takes all times.
    edges : {"cut", "mirror"}, default "cut"
        Of high gamma, where the filter reaches beyond the epoch (0.17 s at each end): cut off, or
        kept, computed from the mirrored signal.
    between : (float, float), in seconds, optional
        Times to keep; by default all.
    bin_width : float, in seconds, optional
        Average over bins of this length, to keep less; they begin at its multiples, whatever the
        sampling rate, and their centres are the times.
    folds : str, optional
        Column of the metadata with the run or session of each trial, for crossnobis.
    patient : str, optional
        Whose electrodes; needed where the table has several patients, or does not say.
    source : str, optional
        Name of the recording, needed for the choice of electrodes on other data; by default the
        name of the epochs' file, if they are from one.
    unplaced : {"raise", "drop", "keep"}, default "raise"
        What to do with electrodes without region or coordinates: an error, leave them out, or keep
        them in the region "unknown". The last two warn and give the count.
    progress : bool, default True
        Show a progress bar on a terminal if it takes longer than two seconds.

    Returns
    -------
    IeegPatterns

    Raises
    ------
    MissingExtraError
        If mne is not installed.
    InputError
        If conditions are not in `stimuli`, electrodes have no place, the sampling rate or the
        recording's own filter is too low for the band, epochs are shorter than the filter, the
        baseline lies outside of what is left, an electrode is flat, or an option is unknown.

    Warns
    -----
    UserWarning
        Of how many electrodes have no place, where they are dropped or kept.

    See Also
    --------
    read_bids_ieeg : Read the epochs and electrodes of one run of a BIDS-iEEG data set.
    ieeg_rdms : Build RDMs over time windows of intracranial recordings.
    select_electrodes : Keep the electrodes that prefer faces, unless the same trials chose them.

    Notes
    -----
    High gamma, as it is common since [1]_: the band is divided into sub-bands of at most 20 Hz
    that stay 10 Hz away from every harmonic of the line noise (70-150 Hz and 50 Hz: 70-90,
    110-125, 125-140). In each, the signal is filtered (zero-phase FIR filter, Hamming window,
    flanks of 10 Hz), power is the squared amplitude of the analytic signal, and its natural
    logarithm is z-scored in each electrode: minus the mean, divided by the standard deviation, of
    all trials and samples of the baseline. The value is the mean of these over sub-bands. So each
    sub-band counts the same although power falls with frequency, and one mean and scale for all
    trials adds nothing that differs between conditions.

    Before filtering, epochs are lengthened by mirroring by twice the filter's reach on each side,
    so that nothing wraps around. An event is smeared by about 50 ms to each side.

    References
    ----------
    .. [1] Crone N. E. et al. (1998). Brain 121, 2301-2315. doi:10.1093/brain/121.12.2301

    Examples
    --------
    >>> import mne
    >>> import numpy as np
    >>> import pandas as pd
    >>> from rsa_faces.brain.ieeg import ieeg_patterns
    >>> noise = np.random.default_rng(0).normal(0, 1e-5, (6, 2, 1000))
    >>> info = mne.create_info(["A1", "A2"], 1000.0, "seeg")
    >>> epochs = mne.EpochsArray(noise, info, tmin=-0.4, verbose="error")
    >>> table = pd.DataFrame({"patient": "p1", "name": ["A1", "A2"], "region": "ventral",
    ...                       "x": 40.0, "y": -50.0, "z": [-20.0, -15.0]})
    >>> ieeg_patterns(epochs, electrodes=table, conditions=list("abcabc"), line_noise=50)
    IeegPatterns(6 trials of 3 conditions, 2 electrodes of 'p1', 668 times from -0.234 to 0.433 s,
    'high gamma')
    """
    mne = require("mne", extra="ieeg", purpose="Reading intracranial recordings")
    if not isinstance(epochs, mne.BaseEpochs):
        raise TypeError(f"expected mne epochs, got {type(epochs).__name__}.")
    check_choice(signal, SIGNALS, what="signal")
    check_choice(edges, EDGES, what="way with edges")
    names = _conditions(epochs, conditions)
    if stimuli is not None:
        _check_stimuli(names, stimuli)
    rate = float(epochs.info["sfreq"])
    bands = _bands(epochs.info, band, line_noise) if signal == "high gamma" else []
    table = read_electrodes(electrodes, patient=_known_patient(electrodes, patient))
    picks = mne.pick_types(epochs.info, **dict.fromkeys(_KINDS, True), exclude="bads")
    if not len(picks):
        raise InputError(_no_channels(epochs))
    channels = [epochs.ch_names[i] for i in picks]
    keep, table = place_electrodes(channels, table, patient=patient, unplaced=unplaced)
    # MNE holds volts; the field writes microvolts.
    data = epochs.get_data(picks=picks, verbose="error") * 1e6
    # Of the raw trial with all its channels: it stays the same whatever is done to the signal
    # later, so that trials that chose electrodes are known again under another name.
    fingerprints = tuple(hashlib.sha256(trial.tobytes()).hexdigest() for trial in data)
    data = np.ascontiguousarray(data[:, keep])
    check_signals(data, list(table["name"]))
    times = epochs.times.copy()
    if signal == "high gamma":
        values, times = _high_gamma(data, times, rate, bands, baseline, edges, progress)
    else:
        values = data
        if baseline is not None:
            part = between_times(times, baseline, "baseline")
            values = values - values[..., part].mean(axis=2, keepdims=True)
    if between is not None:
        part = between_times(times, between, "time to keep")
        values, times = values[..., part], times[part]
    if bin_width is not None:
        values, times = binned(values, times, bin_width, rate)
    settings = {"rate": rate, "sub_bands": bands, "baseline": baseline, "bin_width": bin_width}
    if signal == "high gamma":
        settings["edges"] = edges
    return IeegPatterns(
        values,
        names,
        times,
        table,
        signal,
        _source(epochs, source),
        np.array(epochs.events[:, 0]),
        fingerprints,
        None if folds is None else tuple(_column(epochs, folds, "folds").tolist()),
        settings,
    )


def _no_channels(epochs) -> str:
    """Say why no channel can be used; only what is intracranial belongs here."""
    types = epochs.get_channel_types()
    bad = set(epochs.info["bads"])
    good = [t for name, t in zip(epochs.ch_names, types, strict=True) if name not in bad]
    counts = ", ".join(f"{good.count(t)} {t}" for t in dict.fromkeys(good)) or "none"
    if any(kind in types for kind in _KINDS):
        return (
            f"expected channels of type {', '.join(_KINDS)} that are not bad, but all "
            f"{sum(t in _KINDS for t in types)} of them are marked as bad."
        )
    return (
        f"expected channels of type {', '.join(_KINDS)} (electrodes in or on the brain) among "
        f"{len(epochs.ch_names)}, got {counts}. Recordings from outside the skull have no "
        "electrode in a region: make their RDMs with rsa_faces.rdm.movie.rdm_movie."
    )


def _known_patient(electrodes, patient: str | None) -> str | None:
    """Return the patient for a table that does not say; several of a table stay apart."""
    says = isinstance(electrodes, pd.DataFrame) and "patient" in electrodes
    return None if says else patient


def _conditions(epochs, conditions) -> tuple[str, ...]:
    """Return the condition of each epoch."""
    if conditions is None:
        event_names = {code: name for name, code in epochs.event_id.items()}
        return tuple(event_names[code] for code in epochs.events[:, 2])
    if isinstance(conditions, str):
        return tuple(as_names(_column(epochs, conditions, "conditions")))
    names = tuple(as_names(conditions))
    if len(names) != len(epochs):
        raise InputError(f"expected {len(epochs)} conditions, one per epoch, got {len(names)}.")
    return names


def _column(epochs, column: str, what: str) -> np.ndarray:
    """Return a column of the metadata, which must have a value for every epoch."""
    if epochs.metadata is None:
        raise InputError(
            f"expected epochs with metadata for {what}={column!r}, got none. Leave it out to use "
            "event names, or set epochs.metadata."
        )
    check_choice(column, epochs.metadata.columns, what=f"column of the metadata ({what})")
    values = epochs.metadata[column]
    if values.isna().any() or (values.astype(str) == "n/a").any():
        n_absent = int((values.isna() | (values.astype(str) == "n/a")).sum())
        raise InputError(
            f"expected a value of {column!r} for every epoch, but {n_absent} of {len(epochs)} have "
            "none. Leave these epochs out."
        )
    return values.to_numpy()


def _check_stimuli(names: Sequence[str], stimuli) -> None:
    """Check that all conditions are stimuli."""
    known = set(as_names(list(getattr(stimuli, "ids", stimuli)), what="stimulus"))
    foreign = [n for n in dict.fromkeys(names) if n not in known]
    if foreign:
        n_trials = sum(n in set(foreign) for n in names)
        raise InputError(
            f"expected events of the {len(known)} stimuli only, but {len(foreign)} conditions "
            f"({n_trials} of {len(names)} epochs) are not in the stimulus set: "
            f"{', '.join(map(repr, foreign[:5]))}. Leave these epochs out, or rename them."
        )


def _bands(info, band, line_noise: float | None) -> list[tuple[float, float]]:
    """Return the sub-bands that the recording allows."""
    low, high = map(float, band)
    if not FLANK < low < high < np.inf:
        raise InputError(f"expected a band (low, high) in Hz with low above {FLANK:g}, got {band}.")
    rate = float(info["sfreq"])
    if rate < (needed := 2 * (high + FLANK)):
        raise InputError(
            f"expected a sampling rate of at least {needed:g} Hz for a band up to {high:g} Hz (and "
            f"{FLANK:g} Hz for the filter's flank), got {rate:g} Hz. Choose a lower band."
        )
    if info["lowpass"] < high:
        raise InputError(
            f"expected a recording that holds frequencies up to {high:g} Hz, but it was low-pass "
            f"filtered at {info['lowpass']:g} Hz. Use the unfiltered recording or a lower band."
        )
    line_noise = info["line_freq"] if line_noise is None else line_noise
    if line_noise is None or not 0 <= line_noise < np.inf:
        raise InputError(
            f"expected the frequency of line noise in Hz, got {line_noise!r}. Give "
            "line_noise=50 or 60 (0 where there is none), or set epochs.info['line_freq']."
        )
    return sub_bands((low, high), float(line_noise))


def _high_gamma(data, times, rate: float, bands, baseline, edges: str, progress: bool):
    """Return the mean of z-scored log power over sub-bands, and its times."""
    # Within half a filter of an edge the output is of samples that were never recorded.
    reach = half_filter(rate) if edges == "cut" else 0
    if len(times) <= 2 * max(reach, 1) or len(times) <= half_filter(rate):
        raise InputError(
            f"expected epochs longer than the filter ({2 * half_filter(rate) / rate:.2g} s), got "
            f"{len(times) / rate:.2g} s. Make longer epochs, or use signal='raw'."
        )
    inside = slice(reach, len(times) - reach)
    times = times[inside]
    base = slice(None) if baseline is None else between_times(times, baseline, "baseline")
    total = np.zeros((*data.shape[:2], len(times)))
    n_rows = data.shape[0] * data.shape[1] * len(bands)
    with progress_bar("high gamma", n_rows, show=progress) as tell:
        for power in log_power(data, rate, bands, tell):
            power = power[..., inside]
            reference = power[..., base]
            mean = reference.mean(axis=(0, 2), keepdims=True)
            # z per sub-band and electrode, over trials and times of the baseline: power falls with
            # frequency, and without it the lowest sub-band would decide the mean.
            total += (power - mean) / reference.std(axis=(0, 2), keepdims=True)
    return total / len(bands), times


def _source(epochs, source: str | None) -> str:
    """Return the name of the recording, or nothing."""
    if source is not None:
        return str(source)
    path = getattr(epochs, "filename", None)
    return "" if path is None else str(path).replace("\\", "/").rsplit("/", 1)[-1]
