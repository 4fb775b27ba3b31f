"""Simulated intracranial recordings: layers are planted in known regions at known times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import as_rng, check_choice, check_count, check_enough
from rsa_faces._core.errors import InputError
from rsa_faces._core.optional import require
from rsa_faces.datasets.simulated_brain import _coordinates, _names
from rsa_faces.rdm import RDMs

GENERATIVE_MODEL = (
    "All data are simulated. The field of electrode e of patient s in trial r of condition k is "
    "y(t) = Σ_m a_m(t) Σ_d Z_m(k, d) w_s(d, e) + noise. Z_m are the coordinates of the conditions "
    "that classical scaling finds for the planted model m (mean variance 1), a_m(t) is `signal` "
    "while the model holds in the electrode's region (with flanks of 20 ms) and else 0, w_s are "
    "normal and independent in every electrode and patient, the noise is normal, of variance 1 "
    "and independent over samples. In units of 10 µV."
)
_FLANK = 0.02  # seconds


@dataclass(frozen=True, eq=False)
class SimulatedRecordings:
    """The outcome of :func:`simulated_recordings`.

    Parameters
    ----------
    name : str
        Always "simulated": say it wherever these data are shown.
    epochs : mapping of str to mne.EpochsArray
        By patient; event names are conditions.
    electrodes : DataFrame
        patient, name, region, x, y, z (mm).
    planted : DataFrame
        One row per planted model: region, model, start, stop (seconds).
    note : str
        The generative model in words.

    See Also
    --------
    simulated_recordings

    Examples
    --------
    >>> import rsa_faces as rf
    >>> layers = rf.datasets.simulated_layers(2, n_conditions=8)
    >>> recorded = rf.datasets.simulated_recordings(
    ...     layers, [("ventral", "simulated layer_2", 0.1, 0.3)], n_patients=1, n_electrodes=2)
    >>> recorded.planted.values.tolist()
    [['ventral', 'simulated layer_2', 0.1, 0.3]]
    """

    name: str
    epochs: dict[str, Any]
    electrodes: pd.DataFrame
    planted: pd.DataFrame
    note: str = GENERATIVE_MODEL


def simulated_recordings(
    models: RDMs,
    planted: Sequence[tuple[str, str, float, float]],
    *,
    n_patients: int = 8,
    n_electrodes: int = 12,
    n_trials: int = 4,
    rate: float = 100.0,
    times: tuple[float, float] = (-0.2, 0.8),
    signal: float = 1.0,
    seed: int = 0,
) -> SimulatedRecordings:
    """Simulate recordings of patients in which models hold in known regions and times.

    Parameters
    ----------
    models : RDMs
        Model RDMs with different names (label ``name``, else ``layer``), without missing pairs.
    planted : sequence of (region, model, start, stop)
        Which model holds where and when, in seconds.
    n_patients : int, default 8
    n_electrodes : int, default 12
        In each region of each patient.
    n_trials : int, default 4
        Of each condition.
    rate : float, default 100.0
        Samples per second.
    times : (float, float), default (-0.2, 0.8)
        Of the epochs, in seconds.
    signal : float, default 1.0
        Standard deviation over conditions of a planted pattern, in units of that of the noise of
        one sample.
    seed : int, default 0

    Returns
    -------
    SimulatedRecordings

    Raises
    ------
    InputError
        If a model is not there, times are not within the epochs, or nothing is planted.
    MissingExtraError
        If mne is not installed.

    See Also
    --------
    rsa_faces.brain.ieeg_patterns : Turn the epochs of a patient into responses of electrodes.

    Examples
    --------
    >>> import rsa_faces as rf
    >>> layers = rf.datasets.simulated_layers(2, n_conditions=8)
    >>> recorded = rf.datasets.simulated_recordings(
    ...     layers, [("ventral", "simulated layer_2", 0.1, 0.3)], n_patients=2, n_electrodes=3)
    >>> list(recorded.epochs), len(recorded.electrodes)
    (['simulated01', 'simulated02'], 6)
    """
    mne = require("mne", extra="ieeg", purpose="Simulating intracranial recordings")
    names = _names(models)
    check_count(n_patients, what="n_patients")
    check_count(n_electrodes, what="n_electrodes")
    check_count(n_trials, what="n_trials")
    rng = as_rng(seed)
    check_enough(len(planted), 1, "(region, model, start, stop)")
    for _, model, start, stop in planted:
        check_choice(model, names, what="model")
        if not times[0] <= start < stop <= times[1]:
            raise InputError(
                f"expected {model!r} to hold at times within {times}, got {start} to {stop}."
            )
    t = times[0] + np.arange(round((times[1] - times[0]) * rate)) / rate
    regions = list(dict.fromkeys(region for region, *_ in planted))
    n_conditions = models.n_conditions
    epochs, rows = {}, []
    for p in range(n_patients):
        patient = f"simulated{p + 1:02d}"
        fields, channels = [], []
        for number, region in enumerate(regions):
            field = rng.normal(size=(n_trials, n_conditions, n_electrodes, len(t)))
            for where, model, start, stop in planted:
                if where != region:
                    continue
                places, _ = _coordinates(models, names.index(model))
                # Random weights keep distances on average: each patient has the model's geometry in
                # electrodes of their own.
                pattern = places @ rng.normal(size=(places.shape[1], n_electrodes))
                # With flanks: a step would ring in every filter, before it begins.
                course = np.clip(np.minimum(t - start, stop - t) / _FLANK, 0, 1)
                field += signal * pattern[:, :, None] * course
            fields.append(field)
            for e in range(n_electrodes):
                channels.append(f"{region[0].upper()}{number}{e + 1}")
                x, y, z = rng.normal((-40, -50 + 30 * number, -15 + 20 * number), 4)
                rows.append(
                    {
                        "patient": patient,
                        "name": channels[-1],
                        "region": region,
                        "x": x,
                        "y": y,
                        "z": z,
                    }
                )
        data = np.concatenate(fields, axis=2).reshape(n_trials * n_conditions, len(channels), -1)
        info = mne.create_info(channels, rate, "seeg")
        # Trial after trial, so that halves by turns hold every condition.
        codes = np.tile(np.arange(n_conditions), n_trials)
        events = np.column_stack([np.arange(len(codes)), np.zeros(len(codes), int), codes + 1])
        epochs[patient] = mne.EpochsArray(
            1e-5 * data,
            info,
            events=events,
            tmin=times[0],
            verbose="error",
            event_id={name: i + 1 for i, name in enumerate(models.conditions)},
        )
    return SimulatedRecordings(
        "simulated",
        epochs,
        pd.DataFrame(rows),
        pd.DataFrame(planted, columns=["region", "model", "start", "stop"]),
    )
