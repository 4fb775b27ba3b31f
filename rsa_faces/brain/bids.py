"""Intracranial data sets in BIDS: epochs and electrodes of one patient."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rsa_faces._core.errors import InputError
from rsa_faces._core.expressions import rows_where
from rsa_faces._core.optional import require
from rsa_faces._core.tables import BIDS_MISSING, read_table
from rsa_faces._core.warning import warn
from rsa_faces.brain._design import stimulus_names
from rsa_faces.brain.electrodes import read_electrodes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import mne
    import mne_bids


def read_bids_ieeg(
    path: mne_bids.BIDSPath,
    *,
    between: tuple[float, float] = (-0.5, 1.0),
    events: str = "trial_type",
    query: str | None = None,
    region: str = "region",
    regions: Mapping[str, str] | None = None,
) -> tuple[mne.Epochs, pd.DataFrame]:
    """Read the epochs and electrodes of one run of a BIDS-iEEG data set.

    Parameters
    ----------
    path : mne_bids.BIDSPath
        Root, subject, task, and session and run where there are any.
    between : (float, float), in seconds, default (-0.5, 1.0)
        Of each epoch, around the event's onset. High gamma loses 0.17 s at each end.
    events : str, default "trial_type"
        Column of ``events.tsv`` that names the events, such as the stimulus. Events without a
        value ("n/a") are no epochs. Of ``stim_file`` the name of the file counts, without folder
        and ending.
    query : str, optional
        Which events, as for :meth:`rsa_faces.StimulusSet.query`: ``"trial_type == 'face'"``.
    region, regions
        As for :func:`rsa_faces.brain.electrodes.read_electrodes`.

    Returns
    -------
    epochs : mne.Epochs
        No baseline, nothing filtered; ``metadata`` is the table of events. Channels that are bad
        in ``channels.tsv`` are marked, and epochs that overlap an annotation BAD are dropped.
    electrodes : DataFrame
        From ``electrodes.tsv``; the patient is the subject of `path`.

    Raises
    ------
    MissingExtraError
        If mne or mne-bids is not installed.
    InputError
        If ``events.tsv`` or ``electrodes.tsv`` is not there, a column is unknown, an event has no
        onset or that of another, the recording cannot be read, or no event or epoch is left.

    Warns
    -----
    UserWarning
        Of how many epochs are left out, at the edges of the recording or in what is marked as BAD.

    See Also
    --------
    ieeg_patterns : Turn the epochs of a patient into responses of electrodes, one row per trial.
    read_electrodes : Read where electrodes are.

    Notes
    -----
    Time of an event is the column ``onset`` in seconds from the beginning of the recording [1]_,
    to the nearest sample.

    References
    ----------
    .. [1] Holdgraf C. et al. (2019). Scientific Data 6, 102. doi:10.1038/s41597-019-0105-7

    Examples
    --------
    >>> from mne_bids import BIDSPath  # doctest: +SKIP
    >>> from rsa_faces.brain import ieeg_patterns, read_bids_ieeg
    >>> path = BIDSPath(root="study", subject="01", task="faces", run="01")  # doctest: +SKIP
    >>> epochs, electrodes = read_bids_ieeg(path, events="stimulus")  # doctest: +SKIP
    >>> patterns = ieeg_patterns(epochs, electrodes=electrodes, line_noise=50)  # doctest: +SKIP
    """
    purpose = "Reading a BIDS-iEEG data set"
    mne = require("mne", extra="ieeg", purpose=purpose)
    mne_bids = require("mne_bids", extra="ieeg", purpose=purpose)
    path = path.copy().update(datatype="ieeg", suffix="ieeg", extension=None)
    tables = {suffix: _beside(path, suffix) for suffix in ("events", "electrodes")}
    table = read_table(
        tables["events"],
        what="a table of events",
        text=[events],
        gaps=[events],
        numbers=["onset"],
        missing=[BIDS_MISSING],
        guess=True,
    )
    table = table[table[events].notna() & (table[events] != BIDS_MISSING)]
    if query is not None:
        table = table[rows_where(query, table, rows="events")]
    if not len(table):
        raise InputError(f"expected events with a value of {events!r}, got none ({query=}).")
    if (n_timeless := int(table["onset"].isna().sum())) > 0:
        raise InputError(
            f"expected an onset in s of every event, but {n_timeless} of {len(table)} have none "
            f"(n/a) in {tables['events']}."
        )
    if events == "stim_file":
        table = table.assign(stim_file=stimulus_names(table[events], path.basename))
    raw = _raw(path, mne_bids)
    names = sorted(table[events].unique())
    codes = table[events].map({name: i + 1 for i, name in enumerate(names)})
    # Onsets count from the first sample, events in MNE from the start of the system.
    samples = np.rint(table["onset"] * raw.info["sfreq"]).astype(int)
    found = np.column_stack([samples + raw.first_samp, np.zeros(len(table), int), codes])
    _check_apart(table, samples, raw.info["sfreq"], events, tables["events"])
    epochs = mne.Epochs(
        raw,
        found,
        {name: i + 1 for i, name in enumerate(names)},
        *between,
        baseline=None,
        metadata=table.reset_index(drop=True),
        preload=True,
        verbose="error",
    )
    if not len(epochs):
        raise InputError(
            f"expected epochs of {len(table)} events, but all lie outside of the recording of "
            f"{raw.times[-1]:g} s or overlap what is marked as bad."
        )
    _tell_dropped(epochs, table[events], raw.times[-1])
    electrodes = read_electrodes(
        tables["electrodes"], patient=path.subject, region=region, regions=regions
    )
    return epochs, electrodes


def _raw(path, mne_bids):
    """Return the recording of a run; what mne makes of a broken one is one sentence."""
    options = {"verbose": "error"}
    if "on_ch_mismatch" in inspect.signature(mne_bids.read_raw_bids).parameters:
        # Channels go by name; versions without the option do so by themselves.
        options["on_ch_mismatch"] = "reorder"
    try:
        return mne_bids.read_raw_bids(path, **options)
    except Exception as err:  # readers of many formats raise many kinds
        raise InputError(
            f"expected a recording in BIDS-iEEG and its channels.tsv with the same names, got "
            f"{path.basename!r} in {str(path.directory)!r}: {' '.join(str(err).split())}"
        ) from err


def _check_apart(table, samples, rate: float, events: str, where) -> None:
    """Check that no two events are at the same sample."""
    twice = pd.Series(samples).duplicated(keep=False).to_numpy()
    if twice.any():
        rows = table[twice].sort_values("onset").iloc[:2]
        listed = " and ".join(
            f"{n!r} at {t:g} s" for n, t in zip(rows[events], rows["onset"], strict=True)
        )
        raise InputError(
            f"expected events at different times, but {int(twice.sum())} share a sample (at "
            f"{rate:g} Hz): {listed} in {where}. Say which with `query`, or take them out."
        )


def _tell_dropped(epochs, names, duration: float) -> None:
    """Warn of epochs that were dropped, and why; conditions that are gone are named."""
    reasons = [log for log in epochs.drop_log if log and log != ("IGNORED",)]
    if not reasons:
        return
    bad = [log for log in reasons if any(r.upper().startswith("BAD") for r in log)]
    parts = []
    if n_edge := len(reasons) - len(bad):
        parts.append(f"{n_edge} that are not within the recording of {duration:g} s")
    if bad:
        parts.append(f"{len(bad)} that overlap an annotation BAD")
    left = set(epochs.metadata[names.name])
    gone = [name for name in dict.fromkeys(names) if name not in left]
    lost = f" Of {len(gone)} conditions nothing is left: {', '.join(map(repr, gone[:5]))}."
    warn(
        f"{len(reasons)} of {len(names)} epochs are left out: {' and '.join(parts)}."
        + (lost if gone else "")
    )


def _beside(path, suffix: str):
    """Return the table of a recording, with or without the entities it may leave out."""
    sidecar = path.find_matching_sidecar(suffix=suffix, extension=".tsv", on_error="ignore")
    if sidecar is None:
        raise InputError(
            f"expected a file {suffix}.tsv for {path.basename!r} in {str(path.directory)!r}, but "
            "there is none."
        )
    return sidecar
