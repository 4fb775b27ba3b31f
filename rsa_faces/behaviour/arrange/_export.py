"""Everything collected, as CSV, JSON and HDF5."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from rsa_faces._core.errors import InputError
from rsa_faces._core.files import atomic_path
from rsa_faces._core.tables import table_bytes
from rsa_faces.behaviour.arrange._store import MOMENTS, Rater, StoredTrial
from rsa_faces.behaviour.arrange._study import Study
from rsa_faces.behaviour.raters import RaterRDMs
from rsa_faces.rdm import RDMs, concat

_COLUMNS = ("rater", "trial", "stimulus", "x", "y", "seconds", "shown_at", "done_at")
_VOIDED = ("voided_at", "void_reason")

# Nothing but these: where and how the server runs is nobody's business.
_TOLD = dict.fromkeys(
    (
        *("title", "stop", "instructions", "consent", "max_items", "rule", "practice"),
        *("arena", "seed"),
    ),
    True,
)


def trials_frame(study: Study) -> pd.DataFrame:
    """Return one row per stimulus and trial that counts, as ``read_arrangements`` takes it.

    x (to the right) and y (up) are in diameters of the arena, (0, 0) is its centre.
    """
    table = _all_trials(study)
    return table.loc[table["voided_at"].isna(), list(_COLUMNS)].reset_index(drop=True)


def _all_trials(study: Study) -> pd.DataFrame:
    """Return one row per stimulus and trial, with what was voided and why."""
    labels = {rater.id: rater.label for rater in study.store.raters()}
    rows = [
        (
            labels[rater],
            t.number,
            name,
            x,
            y,
            t.active,
            _iso(t.shown_at),
            _iso(t.done_at),
            _iso(t.voided_at),
            t.void_reason,
        )
        for rater, trials in study.store.all_trials().items()
        for t in trials
        for name, (x, y) in zip(t.names, t.xy, strict=True)
    ]
    return pd.DataFrame(rows, columns=[*_COLUMNS, *_VOIDED])


def rater_rdms(study: Study) -> RaterRDMs | None:
    """Return one RDM per rater and the evidence; None without any."""
    fits = study.fits()
    if not fits:
        return None
    rdms = concat(
        [fit.rdms.with_labels(rater=[label], stress=[fit.stress]) for label, fit in fits.items()]
    )
    return RaterRDMs(rdms, np.array([fit.evidence for fit in fits.values()]))


def trials_csv(study: Study) -> bytes:
    """Return the trials as CSV."""
    return table_bytes(trials_frame(study))


def voided_csv(study: Study) -> bytes:
    """Return the trials that were voided, with the reasons, as CSV."""
    table = _all_trials(study)
    return table_bytes(table[table["voided_at"].notna()])


def rdms_csv(study: Study) -> bytes:
    """Return the RDMs as tidy CSV, as ``load_rdms`` takes it."""
    raters = rater_rdms(study)
    return _tidy(None if raters is None else raters.rdms, "dissimilarity")


def evidence_csv(study: Study) -> bytes:
    """Return the evidence of each rater's pairs as tidy CSV."""
    raters = rater_rdms(study)
    if raters is None:
        return _tidy(None, "evidence")
    labels = raters.rdms.labels[["rater"]]
    return _tidy(RDMs(raters.evidence, raters.rdms.conditions, "evidence", labels), "evidence")


def _tidy(rdms: RDMs | None, column: str) -> bytes:
    """Return one row per rater and pair."""
    if rdms is None:
        table = pd.DataFrame(columns=["rater", "condition_a", "condition_b", column])
    else:
        table = rdms.to_frame().rename(columns={"dissimilarity": column})
    return table_bytes(table)


def as_json(study: Study) -> bytes:
    """Return raters, trials and RDMs as JSON; links and tokens are not in it."""
    done = study.store.all_trials()
    fits, problems = study.fits(), study.problems()
    raters = [_person(r, done.get(r.id, []), fits, problems) for r in study.store.raters()]
    content = {
        "format": "rsa-faces arrangements",
        "version": 1,
        "title": study.config.title,
        "config": study.config.model_dump(
            mode="json", include=_TOLD | {"raters": {"links", "open", "most"}}
        ),
        "arena_diameter": 1.0,
        "conditions": list(study.stimuli.names),
        "stimuli_hash": study.stimuli.fingerprint,
        "raters": raters,
    }
    return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1).encode()


def person_json(study: Study, rater: Rater) -> bytes:
    """Return everything that is stored of one person, but the link, as JSON."""
    fits, problems = study.fits(), study.problems()
    trials = study.store.trials(rater.id)
    content = {
        "format": "rsa-faces person",
        "version": 1,
        "title": study.config.title,
        "conditions": list(study.stimuli.names),
        **_person(rater, trials, fits, problems),
        "trials_shown_and_not_done": [_trial(t) for t in trials if t.done_at is None],
    }
    return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1).encode()


def _person(rater: Rater, trials: list[StoredTrial], fits: dict, problems: dict) -> dict:
    """Return one rater for JSON."""
    fit = fits.get(rater.label)
    return {
        "rater": rater.label,
        "screen": rater.screen,
        "pointer": rater.pointer,
        **{k: _iso(getattr(rater, k)) for k in ("created_at", *MOMENTS)},
        "trials": [_trial(t) for t in trials if t.counts],
        "voided_trials": [
            _trial(t) | {"voided_at": _iso(t.voided_at), "void_reason": t.void_reason}
            for t in trials
            if t.voided_at is not None
        ],
        "problem": problems.get(rater.label),
        "rdm": None if fit is None else _numbers(fit.rdms.vectors[0]),
        "evidence": None if fit is None else _numbers(fit.evidence),
    }


def _trial(trial: StoredTrial) -> dict:
    """Return a trial for JSON."""
    return {
        "number": trial.number,
        "shown_at": _iso(trial.shown_at),
        "done_at": _iso(trial.done_at),
        "seconds": None if trial.done_at is None else trial.active,
        "stimuli": list(trial.names),
        "xy": trial.xy,
    }


def as_hdf5(study: Study) -> bytes:
    """Return an HDF5 file: the RDMs as :func:`rsa_faces.load_rdms` reads them, and the trials."""
    out = io.BytesIO()
    text = h5py.string_dtype("utf-8")
    table = trials_frame(study)
    raters = rater_rdms(study)
    with h5py.File(out, "w") as file:
        if raters is not None:
            raters.write(file)
        group = file.create_group("trials")
        group.attrs["columns"] = list(table.columns)
        group.attrs["title"] = study.config.title
        group.attrs["stimuli_hash"] = study.stimuli.fingerprint
        for name, column in table.items():
            if name in ("x", "y", "seconds"):
                group.create_dataset(name, data=column.to_numpy(float))
            elif name == "trial":
                group.create_dataset(name, data=column.to_numpy(int))
            else:
                group.create_dataset(name, data=column.to_list(), dtype=text)
    return out.getvalue()


#: What can be exported: name of the file → content and media type.
EXPORTS = {
    "trials.csv": (trials_csv, "text/csv"),
    "voided.csv": (voided_csv, "text/csv"),
    "rdms.csv": (rdms_csv, "text/csv"),
    "evidence.csv": (evidence_csv, "text/csv"),
    "arrangements.json": (as_json, "application/json"),
    "arrangements.h5": (as_hdf5, "application/x-hdf5"),
}


def write_all(study: Study, folder: Path) -> list[Path]:
    """Write all exports into a folder; what cannot be written is named when the others are."""
    paths, failed = [], []
    for name, (content, _) in EXPORTS.items():
        try:
            made = content(study)
        except Exception as err:  # noqa: BLE001 (one export must not stop the others)
            failed.append(f"{name} ({err})")
            continue
        write_private(folder / name, made)
        paths.append(folder / name)
    if failed:
        raise InputError(
            f"expected {len(EXPORTS)} exports, but could not make {'; '.join(failed)}. "
            f"The others are in {folder}."
        )
    return paths


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads: it holds what people did."""
    with atomic_path(path, mode=0o600) as temporary:
        temporary.write_bytes(content)


def _iso(moment: float | None) -> str | None:
    """Return a time as ISO 8601, in UTC."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


def _numbers(values: np.ndarray) -> list[float | None]:
    """Return numbers for JSON; what was not measured is null."""
    return [None if np.isnan(v) else float(v) for v in values]
