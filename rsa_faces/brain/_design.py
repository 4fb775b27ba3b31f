"""Events, confounds and design matrices of runs, checked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_above, check_choice, check_unique_names
from rsa_faces._core.errors import InputError
from rsa_faces._core.names import as_names
from rsa_faces._core.tables import read_header, read_table
from rsa_faces._core.warning import warn

HRF_MODELS = (
    "glover",
    "spm",
    "glover + derivative",
    "spm + derivative",
    "glover + derivative + dispersion",
    "spm + derivative + dispersion",
)
DRIFTS = ("cosine", "polynomial", None)
# Below this share of a regressor that the others do not explain, its beta is rounding.
_ESTIMABLE = 1e-6


@dataclass(frozen=True)
class DesignOptions:
    """How regressors are made; names as in nilearn."""

    t_r: float
    hrf_model: str
    drift_model: str | None
    high_pass: float
    drift_order: int
    slice_time_ref: float

    def __post_init__(self) -> None:
        check_above(self.t_r, 0, what="t_r, the repetition time in s,")
        check_choice(self.hrf_model, HRF_MODELS, what="haemodynamic response")
        if self.drift_model is not None:
            check_choice(self.drift_model, DRIFTS[:2], what="drift model")
        if not 0 <= self.slice_time_ref < 1:
            raise InputError(
                "expected slice_time_ref, a share of t_r, from 0 to below 1, got "
                f"{self.slice_time_ref!r}."
            )


@dataclass(frozen=True)
class RunPlan:
    """What a run needs to be fitted."""

    name: Any
    events: pd.DataFrame
    regressors: list[str]  # conditions in order of their regressors, then those of no interest
    codes: np.ndarray  # which regressor each event belongs to
    n_conditions: int
    confounds: np.ndarray | None
    kept: np.ndarray  # which scans are fitted


def read_events(events: Any, run: Any, duration: float, column: str = "trial_type") -> pd.DataFrame:
    """Return onset, duration, trial_type (and modulation) of a run in order of onset, checked.

    `column` names the trial type; names of stimulus files lose folder and ending.
    """
    events = read_table(
        events,
        what=f"the events of run {run!r}",
        numbers=["onset", "duration", "modulation"],
        text=[column],
        optional=["modulation"],
        gaps=[column],
        bids=True,
    )
    if (nameless := events[column].isna()).any():
        warn(
            f"{int(nameless.sum())} of {len(events)} events of run {run!r} have no {column} "
            "(n/a): they are no condition and are not modelled."
        )
        events = events[~nameless]
    events = events.assign(
        trial_type=stimulus_names(events[column], run) if column == "stim_file" else events[column]
    )
    numbers = [c for c in ("onset", "duration", "modulation") if c in events]
    events = events[[*numbers, "trial_type"]]
    for name in numbers:
        if (bad := ~np.isfinite(events[name])).any():
            unit = "" if name == "modulation" else " in s"
            raise InputError(
                f"expected {name}{unit} of every event of run {run!r}, but "
                f"{events['trial_type'][bad].iloc[0]!r} has {events[name][bad].iloc[0]}."
            )
    if (early := events["onset"] < 0).any():
        first = events[early].iloc[0]
        raise InputError(
            f"expected events of run {run!r} from its first scan on, but {int(early.sum())} of "
            f"{len(events)} are before it: {first['trial_type']!r} at {first['onset']:g} s. Onsets "
            "count from the first scan of the image: if scans were removed, take their time off "
            "the onsets and leave events before them out."
        )
    late = (events["onset"] >= duration) | (events["duration"] < 0)
    if late.any():
        first = events[late].iloc[0]
        raise InputError(
            f"expected events within the {duration:g} s of run {run!r}, but {int(late.sum())} are "
            f"not: {first['trial_type']!r} at {first['onset']:g} s for {first['duration']:g} s."
        )
    if "modulation" in events and events["modulation"].nunique() > 1:
        warn(
            f"the column modulation of the events of run {run!r} is used: patterns are the "
            "response for one unit of it."
        )
    return events.sort_values("onset", kind="stable").reset_index(drop=True)


def stimulus_names(files: pd.Series, run: Any) -> pd.Series:
    """Return the names of stimuli, as those of images in a folder: without folder and ending."""
    names = files.map(lambda file: PurePosixPath(file.replace("\\", "/")).stem)
    of = pd.DataFrame({"name": names, "file": files}).drop_duplicates()
    if (twice := of["name"].duplicated(keep=False)).any():
        raise InputError(
            f"expected stimulus files of different names in run {run!r}, got "
            f"{', '.join(map(repr, of['file'][twice][:4]))}, which differ in folder or ending only."
        )
    return names


def condition_names(
    conditions: Any, nuisance: Sequence[str], trial_types: Sequence[str]
) -> dict[str, str]:
    """Return the condition of each trial type; those of no interest are not in it."""
    nuisance = [nuisance] if isinstance(nuisance, str) else [str(n) for n in nuisance]
    for name in nuisance:
        check_choice(name, trial_types, what="trial_type of no interest")
    if conditions is None:
        return {name: name for name in trial_types if name not in set(nuisance)}
    if isinstance(conditions, pd.DataFrame):
        for column in ("trial_type", "condition"):
            check_choice(column, conditions.columns, what="column of the table of conditions")
        types = check_unique_names(conditions["trial_type"], what="trial_type")
        conditions = dict(zip(types, as_names(conditions["condition"]), strict=True))
    if not isinstance(conditions, Mapping):
        conditions = {name: name for name in check_unique_names(conditions, what="condition")}
    table = {str(trial_type): str(name) for trial_type, name in conditions.items()}
    if unknown := [t for t in trial_types if t not in table and t not in set(nuisance)]:
        raise InputError(
            f"expected every trial_type of the events among the conditions, but {len(unknown)} of "
            f"{len(trial_types)} are not: {', '.join(map(repr, unknown[:5]))}. Add them, or name "
            "them in `nuisance`: they are then modelled but have no pattern."
        )
    return {t: name for t, name in table.items() if t not in set(nuisance)}


def read_confounds(confounds: Any, run: Any, n_scans: int) -> np.ndarray | None:
    """Return the confounds of a run, (n_scans, n_confounds)."""
    if confounds is None:
        return None
    if isinstance(confounds, (str, os.PathLike)):
        what = f"the confounds of run {run!r}"
        names = read_header(confounds, what=what)
        confounds = read_table(confounds, what=what, numbers=names, bids=True)
    names = list(confounds.columns) if isinstance(confounds, pd.DataFrame) else None
    values = np.array(confounds, dtype=np.float64)
    if values.ndim != 2 or len(values) != n_scans:
        raise InputError(
            f"expected confounds of run {run!r} of shape ({n_scans}, n_confounds), one row per "
            f"scan, got {values.shape}."
        )
    # Differences between scans have no first value: it counts as 0, as in nilearn.
    values[0] = np.where(np.isnan(values[0]), 0.0, values[0])
    if (bad := ~np.isfinite(values).all(axis=0)).any():
        columns = [names[i] if names else int(i) for i in np.flatnonzero(bad)]
        raise InputError(
            f"expected finite confounds of run {run!r} after its first scan, but {len(columns)} "
            f"columns hold NaN or infinite values: {', '.join(map(repr, columns[:5]))}."
        )
    return values


def design_matrix(plan: RunPlan, options: DesignOptions) -> tuple[np.ndarray, np.ndarray]:
    """Return the design matrix of a run and the columns of its regressors.

    Names in the matrix are made here: a condition called "constant" or "drift_1" must not meet
    nilearn's own columns.
    """
    from nilearn.glm.first_level import make_first_level_design_matrix

    coded = plan.events.assign(trial_type=[f"regressor{code:06d}" for code in plan.codes])
    times = options.t_r * (np.arange(len(plan.kept)) + options.slice_time_ref)
    added = plan.confounds
    added = None if added is None or not added.shape[1] else added
    design = make_first_level_design_matrix(
        times,
        coded if len(coded) else None,
        hrf_model=options.hrf_model,
        drift_model=options.drift_model,
        high_pass=options.high_pass,
        drift_order=options.drift_order,
        add_regs=added,
        add_reg_names=None if added is None else [f"confound{i}" for i in range(added.shape[1])],
    )
    columns = design.columns.get_indexer([f"regressor{i:06d}" for i in range(len(plan.regressors))])
    # Regressors and drifts know the time of all scans; those that are left out have no row.
    return design.to_numpy(np.float64)[plan.kept], columns


def check_estimable(design: np.ndarray, columns: np.ndarray, names: Sequence[str], run: Any):
    """Check that each regressor's beta is determined; return the rank of the design."""
    scale = np.linalg.norm(design, axis=0)
    silent = [names[i] for i, c in enumerate(columns) if scale[c] == 0]
    scaled = design / np.where(scale > 0, scale, 1.0)
    _, singular, basis = np.linalg.svd(scaled, full_matrices=False)
    # Columns have length 1: a direction that is shorter than the root of rounding is made of it,
    # and a beta along it would be of any size.
    basis = basis[singular > 1e-8 * singular[0]]
    own = (basis**2).sum(axis=0)[columns]
    bad = [name for name, share in zip(names, own, strict=True) if share < 1 - _ESTIMABLE]
    if silent or bad:
        which = list(dict.fromkeys([*silent, *bad]))
        raise InputError(
            f"expected a beta for every regressor of run {run!r}, but {len(which)} are not "
            f"determined: {', '.join(map(repr, which[:5]))}. They are the same as others, or sums "
            "of them, or have no signal within the run."
        )
    return len(basis)


def kept_scans(mask: Any, run: Any, n_scans: int) -> np.ndarray:
    """Return which scans of a run are fitted, from a sample mask as nilearn has them."""
    if mask is None:
        return np.ones(n_scans, dtype=bool)
    mask = np.asarray(mask)
    kept = np.zeros(n_scans, dtype=bool)
    known = mask.ndim == 1 and (
        len(mask) == n_scans
        if mask.dtype == bool
        else mask.dtype.kind in "iu" and np.isin(mask, np.arange(n_scans)).all()
    )
    if known and (mask.dtype == bool or len(np.unique(mask)) == len(mask)):
        kept[mask] = True
    else:
        raise InputError(
            f"expected the sample mask of run {run!r} as True or False for each of {n_scans} "
            f"scans, or as the numbers of scans that are kept, got {mask.dtype} of shape "
            f"{mask.shape}."
        )
    if not kept.any():
        raise InputError(f"expected scans of run {run!r} to be left, but all are excluded.")
    return kept
