"""Intracranial recordings of a run: from files, from BIDS or simulated; RDMs of each patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rsa_faces import __version__, datasets
from rsa_faces._core.errors import InputError
from rsa_faces._core.files import file_names, sha256_bytes, sha256_file
from rsa_faces._core.optional import require
from rsa_faces._core.tables import read_table, write_table
from rsa_faces.brain import (
    IeegPatterns,
    face_selective,
    ieeg_patterns,
    ieeg_rdms,
    read_bids_ieeg,
    read_electrodes,
    select_electrodes,
    split_trials,
)
from rsa_faces.networks import load_network
from rsa_faces.rdm import RDMs, concat, layer_rdms, load_rdms
from rsa_faces.runs._job import Job
from rsa_faces.runs._run import Run
from rsa_faces.runs._sentences import about, heard
from rsa_faces.runs.timecourse.config import (
    BidsRecordingsConfig,
    FacesConfig,
    PlantedConfig,
    TimecourseConfig,
)
from rsa_faces.stimuli import StimulusSet

_PURPOSE = "Reading intracranial recordings"


@dataclass(frozen=True, eq=False)
class Recordings:
    """Patients' epochs (or where they are), electrodes, hashes, and what to say of them."""

    patients: Mapping[str, Any]
    electrodes: pd.DataFrame | None
    hashes: Mapping[str, str]
    note: str = ""


def read_recordings(config: TimecourseConfig, stimuli: StimulusSet) -> Recordings:
    """Return the recordings of a configuration; files are opened when their turn comes."""
    data = config.data
    if data.simulated is not None:
        return _simulated(data.simulated, config, stimuli)
    if data.bids is not None:
        return _of_bids(data.bids)
    # The section has both, unless it names another source.
    patients: dict[str, Path] = data.patients  # type: ignore[assignment]
    electrodes: Path = data.electrodes  # type: ignore[assignment]
    chosen = data.face_selective
    localisers = chosen.localiser or {} if chosen is not None else {}
    for path in [*patients.values(), *localisers.values(), electrodes]:
        if not path.is_file():
            raise InputError(f"expected the file {path}, but it does not exist.")
    hashes = {p: sha256_file(path) for p, path in patients.items()}
    hashes["electrodes"] = sha256_file(electrodes)
    return Recordings(dict(patients), read_electrodes(electrodes, unit="mm"), hashes)


def patient_rdms(
    run: Run, recordings: Recordings, stimuli: StimulusSet
) -> tuple[list[RDMs], list[pd.DataFrame]]:
    """Return each patient's RDMs by region and time, and electrodes.

    Patients without electrodes that prefer faces have no RDMs. The tables of electrodes say in
    `used` which entered.
    """
    jobs = patient_jobs(run, recordings, stimuli)
    run.do(jobs)
    found, tables = [], []
    for patient, job in zip(recordings.patients, jobs, strict=True):
        text = ["patient", "name", "region"]
        table = read_table(run.folder / job.files[0], text=text, gaps=["region"], guess=True)
        tables.append(table)
        if table["used"].any():
            found.append(load_rdms(job.arguments[-1]))
        else:
            run.notes.append(f"{patient}: left out, no electrode prefers faces.")
    return found, tables


def patient_jobs(run: Run, recordings: Recordings, stimuli: StimulusSet) -> list[Job]:
    """Return the steps that make each patient's electrodes and RDMs."""
    config: TimecourseConfig = run.config
    chosen = config.data.face_selective
    stems = file_names(recordings.patients)
    jobs = []
    for patient in recordings.patients:
        localiser = chosen.localiser[patient] if chosen is not None and chosen.localiser else None
        depends_on = [
            recordings.hashes[patient],
            recordings.hashes.get("electrodes", ""),
            "" if localiser is None else sha256_file(localiser),
            stimuli.hash,
            # All of the configuration but what comes after: a key that is added is in it.
            repr(config.model_dump(exclude={"title", "networks", "method", "test", "stimuli"})),
        ]
        files = [f"rdms/electrodes-{stems[patient]}.csv", f"rdms/patient-{stems[patient]}.h5"]
        jobs.append(
            Job(
                f"RDMs of {patient}",
                f"patient {patient}",
                depends_on,
                files,
                _make_patient,
                (config, recordings, patient, stimuli, *(run.folder / file for file in files)),
                f"patient {patient!r}, {_where(recordings.patients[patient])}",
            )
        )
    return jobs


def _make_patient(
    config: TimecourseConfig,
    recordings: Recordings,
    patient: str,
    stimuli: StimulusSet,
    table_file: Path,
    rdms_file: Path,
) -> list[str]:
    """Write a patient's electrodes and RDMs; return what was warned of. May run elsewhere."""
    with heard() as said:
        patterns, table = _patterns(config, recordings, patient, stimuli)
        if patterns is not None:
            keys = ("measure", "noise", "noise_from", "window", "step")
            options = {name: getattr(config, name) for name in keys}
            ieeg_rdms(patterns, per="region", progress=False, **options).save(rdms_file)
    write_table(table, table_file)
    return [f"{patient}: {note}" for note in said]


def _where(source: Any) -> str:
    """Say where a recording is."""
    if isinstance(source, Path):
        return str(source)
    return str(getattr(source, "fpath", "a simulated recording"))


def _patterns(
    config: TimecourseConfig, recordings: Recordings, patient: str, stimuli: StimulusSet
) -> tuple[IeegPatterns | None, pd.DataFrame]:
    """Return the responses of the electrodes that enter, and a table of all of them."""
    data, chosen = config.data, config.data.face_selective
    epochs, electrodes = _opened(config, recordings, patient)
    options = {
        "electrodes": electrodes,
        "signal": config.signal,
        "line_noise": config.line_noise,
        "baseline": config.baseline,
        "edges": config.edges,
        "patient": patient,
        "unplaced": config.unplaced,
        "progress": False,
    }
    conditions = data.bids.events if data.bids is not None else data.conditions
    patterns = ieeg_patterns(
        epochs, conditions=conditions, stimuli=stimuli, source=f"recording of {patient}", **options
    )
    if chosen is None:
        return patterns, patterns.electrodes.assign(used=True)
    names = names_of_faces(chosen, stimuli)
    if chosen.localiser is None:
        # By its own noise an electrode would prefer faces in the trials that choose it.
        localiser, patterns = split_trials(patterns)
    else:
        localiser = ieeg_patterns(
            _epochs(chosen.localiser[patient]),
            conditions=chosen.conditions,
            source=f"localiser of {patient}",
            **options,
        )
    selection = face_selective(
        localiser, **names, window=chosen.window, test=chosen.test, alpha=chosen.alpha
    )
    found = selection.table.drop(columns=["region"])
    table = patterns.electrodes.merge(found, on=["patient", "name"], how="left")
    table["used"] = table["selective"].fillna(False).astype(bool)
    if not table["used"].any():
        return None, table
    return select_electrodes(patterns, selection), table


def names_of_faces(chosen: FacesConfig | None, stimuli: StimulusSet) -> dict[str, list[str]]:
    """Return conditions that are faces, and others: by name, or the stimuli of a query."""
    found = {}
    for key in ("faces", "others") if chosen is not None else ():
        wanted = getattr(chosen, key)
        if isinstance(wanted, str):
            queried = chosen is not None and chosen.localiser is None
            with about(f"data.face_selective.{key}"):
                wanted = list(stimuli.query(wanted).ids) if queried else [wanted]
        found[key] = wanted
    return found


def _opened(config: TimecourseConfig, recordings: Recordings, patient: str):
    """Return the epochs of a patient and the electrodes."""
    source, data = recordings.patients[patient], config.data
    if data.bids is not None:
        bids = data.bids
        return read_bids_ieeg(
            source,
            between=bids.between,
            events=bids.events,
            query=bids.query,
            region=bids.region,
            regions=bids.regions,
        )
    if isinstance(source, Path):
        source = _epochs(source)
    return source, recordings.electrodes


def _epochs(path: Path):
    """Return the epochs of a file; what mne makes of a broken one is one sentence."""
    mne = require("mne", extra="ieeg", purpose=_PURPOSE)
    try:
        return mne.read_epochs(path, verbose="error")
    except Exception as err:  # readers raise many kinds
        raise InputError(
            f"expected epochs of MNE (-epo.fif) in {path}, but they cannot be read: "
            f"{' '.join(str(err).split())}"
        ) from err


def _of_bids(bids: BidsRecordingsConfig) -> Recordings:
    """Return where each patient's run is, with the hash of its files."""
    mne_bids = require("mne_bids", extra="ieeg", purpose=_PURPOSE)
    if not bids.root.is_dir():
        raise InputError(f"expected a data set in BIDS, but there is no folder {bids.root}.")
    patients, hashes = {}, {}
    for patient in bids.patients:
        path = mne_bids.BIDSPath(
            root=bids.root,
            subject=patient,
            task=bids.task,
            session=bids.session,
            run=bids.run,
            datatype="ieeg",
        )
        files = sorted(p for p in path.directory.rglob(f"sub-{patient}*") if p.is_file())
        if not files:
            raise InputError(f"expected recordings of {patient!r} in {path.directory}, got none.")
        patients[patient] = path
        hashes[patient] = sha256_bytes(*(sha256_file(file).encode() for file in files))
    return Recordings(patients, None, hashes)


def _simulated(
    entries: Sequence[PlantedConfig], config: TimecourseConfig, stimuli: StimulusSet
) -> Recordings:
    """Return recordings in which layers are planted."""
    parts: list[RDMs] = []
    planted = []
    for entry in entries:
        network = load_network(entry.network, device="cpu", seed=config.seed)
        rdms = layer_rdms(
            network,
            stimuli,
            layers=[entry.layer],
            measure="sqeuclidean",
            budget=config.budget,
            progress=False,
        )
        name = f"{entry.network} {entry.layer}"
        if all(name != part.labels["name"][0] for part in parts):
            parts.append(rdms.with_labels(name=[name]))
        planted.append((entry.region, name, entry.start, entry.stop))
    made = datasets.simulated_recordings(concat(parts), planted, seed=config.seed)
    # Made, not read: another version may make others.
    key = repr((planted, config.seed, __version__))
    known = dict.fromkeys([*made.epochs, "electrodes"], key)
    what = "; ".join(f"{m} in {r}, {a:g} to {b:g} s" for r, m, a, b in planted)
    note = f"these recordings are simulated: {what}."
    return Recordings(made.epochs, made.electrodes, known, note)
