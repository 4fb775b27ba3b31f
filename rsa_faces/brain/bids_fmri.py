"""Patterns from a BIDS data set with preprocessed BOLD."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rsa_faces._core.errors import InputError
from rsa_faces._core.files import sha256_bytes, sha256_file
from rsa_faces._core.tables import read_header
from rsa_faces._core.warning import warn
from rsa_faces.brain._bids_files import BidsRun, find_runs
from rsa_faces.brain._region import Region
from rsa_faces.brain.fmri import Patterns
from rsa_faces.brain.glm import glm_patterns, glm_rows
from rsa_faces.brain.masks import as_region

#: What tells images of a subject and a task apart.
_WHICH = ("space", "session", "res", "echo", "derivatives")


def bids_patterns(
    bids_root: Any,
    *,
    task: str,
    subject: str,
    space: str | None = None,
    session: str | None = None,
    res: str | None = None,
    echo: str | None = None,
    derivatives: str = "derivatives",
    confounds: Mapping[str, Any] | None = None,
    mask_img: Any = None,
    t_r: float | None = None,
    slice_time_ref: float | None = None,
    **options: Any,
) -> Patterns:
    """Estimate patterns of a subject from preprocessed BOLD in BIDS; see :func:`glm_patterns`.

    Parameters
    ----------
    bids_root : path-like
        Folder of the data set, with events beside the raw BOLD.
    task : str
        As in ``task-…``.
    subject : str
        As in ``sub-…``.
    space : str, optional
        As in ``space-…``; by default MNI152NLin2009cAsym. "T1w" is the anatomical space of the
        subject, "native" that of the scanner, whose names state no space.
    session : str, optional
        As in ``ses-…``; by default all sessions.
    res, echo : str, optional
        As in ``res-…`` and ``echo-…``; needed where there are several.
    derivatives : str, default "derivatives"
        Folder with the preprocessed images within `bids_root`, such as "derivatives/fmriprep".
    confounds : mapping, optional
        Options of :func:`nilearn.interfaces.fmriprep.load_confounds`, such as
        ``{"strategy": ("motion",), "motion": "basic"}``. By default none. Scans that it excludes
        (unsteady ones at the beginning, and with "scrub" those with movement) are not fitted;
        their number is said.
    mask_img : image, Region or path-like, optional
        By default the places that are in the brain masks (``desc-brain_mask``) of all runs.
    t_r, slice_time_ref : float, optional
        By default as the data set states them.
    **options
        Of :func:`glm_patterns`, such as ``conditions``, ``model`` and ``missing``.

    Returns
    -------
    Patterns
        Folds are named by run ("01"), with several sessions by session and run ("1/01"), and by
        whatever else tells runs apart (``acq-…``, ``dir-…``).

    Raises
    ------
    InputError
        If there is no such subject, image, table or mask (those there are are named), there are
        several resolutions or echoes, confounds are asked for and not there, repetition time is
        not stated, or as :func:`glm_patterns` does.

    See Also
    --------
    glm_patterns : Estimate patterns from preprocessed BOLD.
    load_patterns : Read maps of responses, one per condition and repeat: betas, t values, means.

    Notes
    -----
    Images end with ``desc-preproc_bold.nii.gz``; events, repetition time and the time of the
    reference slice are taken from the files that say most about a run (BIDS' inheritance).

    Examples
    --------
    >>> from rsa_faces.brain import bids_patterns
    >>> patterns = bids_patterns(
    ...     "study", task="faces", subject="01", derivatives="derivatives/fmriprep",
    ...     confounds={"strategy": ("motion",), "motion": "basic"})  # doctest: +SKIP
    """
    given = {key: value for key, value in locals().items() if key != "options"}
    return glm_patterns(**_arguments(**given, **options))


def bids_rows(bids_root: Any, **options: Any) -> tuple[list[str], list[Any]]:
    """Return conditions and folds of the patterns that :func:`bids_patterns` would return.

    All that it raises is raised but for the signal, which is not read.
    """
    return glm_rows(**_arguments(bids_root, **options))


def _arguments(
    bids_root: Any,
    *,
    task: str,
    subject: str,
    confounds: Mapping[str, Any] | None = None,
    mask_img: Any = None,
    t_r: float | None = None,
    slice_time_ref: float | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return the arguments of :func:`glm_patterns` for the runs of a subject."""
    which = {key: options.pop(key) for key in _WHICH if key in options}
    runs = find_runs(bids_root, task=task, subject=subject, **which)
    t_r = _one(runs, "t_r", t_r)
    if t_r is None:
        raise InputError(
            f"expected the repetition time of task {task!r} in {str(bids_root)!r}, but it is not "
            "stated. Give t_r."
        )
    tables, kept = _confounds(runs, confounds)
    return {
        "imgs": [run.path for run in runs],
        "events": [run.events for run in runs],
        "t_r": t_r,
        "mask_img": _brain_mask([run.path for run in runs]) if mask_img is None else mask_img,
        "confounds": tables,
        "sample_masks": kept,
        "runs": [run.name for run in runs],
        "subject": subject,
        "slice_time_ref": _one(runs, "slice_time_ref", slice_time_ref),
        **options,
    }


def bids_mask(
    bids_root: Any,
    *,
    task: str,
    subject: str,
    space: str | None = None,
    session: str | None = None,
    res: str | None = None,
    echo: str | None = None,
    derivatives: str = "derivatives",
) -> Region:
    """Return the places that are in the brain masks of all runs of a subject in BIDS.

    Parameters
    ----------
    bids_root, task, subject, space, session, res, echo, derivatives
        As for :func:`bids_patterns`.

    Returns
    -------
    Region

    Raises
    ------
    InputError
        If there is no such image or mask.

    See Also
    --------
    bids_patterns : Estimate patterns of a subject from preprocessed BOLD in BIDS.
    rsa_faces.brain.load_roi : Read a mask: a NIfTI, GIFTI or CIFTI image, or a FreeSurfer label.

    Examples
    --------
    >>> from rsa_faces.brain import bids_mask
    >>> mask = bids_mask("study", task="faces", subject="01",
    ...                  derivatives="derivatives/fmriprep")  # doctest: +SKIP
    """
    return _brain_mask([run.path for run in find_runs(**locals())])


def bids_hash(bids_root: Any, **files: Any) -> str:
    """Return a hash of the preprocessed images, masks, confounds and events of a subject."""
    runs = find_runs(bids_root, **files)
    found = [path for run in runs for path in (run.path, run.events, *_confound_files(run.path))]
    found += [mask for run in runs if (mask := _mask_of(run.path)).is_file()]
    # What is read from JSON enters the model as much as what is in the images.
    said = [repr((run.name, run.t_r, run.slice_time_ref)) for run in runs]
    return sha256_bytes(*(sha256_file(p).encode() for p in found), *(t.encode() for t in said))


def _mask_of(path: Path) -> Path:
    """Return where the brain mask of an image is, if it has one."""
    return path.with_name(re.sub(r"desc-\w+_bold", "desc-brain_mask", path.name))


def _confound_files(path: Path) -> list[Path]:
    """Return the tables of confounds of a run and what describes them."""
    # Confounds are of the run, whatever space its images were brought to: their names end before
    # it.
    stem = re.split(r"_(?:space|res|desc|den|hemi)-", path.name)[0]
    return sorted(path.parent.glob(f"{stem}*desc-confounds_*"))


def _one(runs: Sequence[BidsRun], what: str, given: float | None) -> float | None:
    """Return the value of all runs, or the one that was given."""
    values = {getattr(run, what) for run in runs}
    if given is None and len(values) > 1:
        raise InputError(
            f"expected one {what} of all runs, got {', '.join(map(str, sorted(values, key=str)))}. "
            f"Take runs that agree (session), or give {what}."
        )
    return next(iter(values)) if given is None else given


def _tell_unsteady(runs: Sequence[BidsRun]) -> None:
    """Warn of scans that the preprocessing found unsteady, where no confounds leave them out."""
    counts = {}
    for run in runs:
        names = [
            name
            for path in _confound_files(run.path)
            if path.suffix == ".tsv"
            for name in read_header(path)
        ]
        counts[run.name] = sum(name.startswith("non_steady_state") for name in names)
    if any(counts.values()):
        listed = ", ".join(f"{n} of run {name!r}" for name, n in counts.items() if n)
        warn(
            f"the first scans are unsteady ({listed}) and are fitted like others, because no "
            "confounds are asked for: with any strategy of confounds they are left out."
        )


def _confounds(runs: Sequence[BidsRun], options: Mapping[str, Any] | None):
    """Return the confounds of each run and the scans that its strategy keeps."""
    if options is None:
        _tell_unsteady(runs)
        return None, None
    from nilearn.interfaces.fmriprep import load_confounds

    if not options.get("strategy"):
        raise InputError(
            "expected confounds with a strategy, such as {'strategy': ['motion'], 'motion': "
            f"'basic'}}, got {dict(options)!r}. Without confounds leave it out."
        )
    tables, kept = [], []
    for run in runs:
        if not any(path.suffix == ".tsv" for path in _confound_files(run.path)):
            raise InputError(
                f"expected the table of confounds of {run.path.name!r} beside it, because "
                "confounds are asked for, got none. Leave them out for all subjects, or bring "
                "the table."
            )
        try:
            table, mask = load_confounds(str(run.path), **options)
        except Exception as err:  # nilearn raises many kinds
            why = f"no column {err}" if isinstance(err, KeyError) else " ".join(str(err).split())
            raise InputError(
                f"expected confounds {dict(options)!r} of {run.path.name!r}, got: {why}."
            ) from err
        if mask is not None:
            n_out = len(table) - len(mask)
            warn(
                f"{n_out} of {len(table)} scans of run {run.name!r} are unsteady or exceed the "
                "thresholds of the strategy of confounds and are left out."
            )
        tables.append(table)
        kept.append(mask)
    return tables, kept


def _brain_mask(paths: Sequence[Path]):
    """Return the places that are in the brain masks of all runs."""
    masks = []
    for path in paths:
        beside = _mask_of(path)
        if beside == path or not beside.is_file():
            raise InputError(
                f"expected the brain mask {beside.name!r} beside {path.name!r}, but there is "
                "none. Give mask_img."
            )
        masks.append(as_region(beside, beside.name))
    common = masks[0]
    for mask in masks[1:]:
        # Each run has its own brain mask, as coils and heads move; a pattern needs a value in every
        # run.
        common = common.keep(mask.positions(common))
    if lost := max(mask.n_places for mask in masks) - common.n_places:
        warn(
            f"{lost} places of the largest brain mask are not in those of all {len(masks)} runs "
            "and are left out."
        )
    return common.named("")
