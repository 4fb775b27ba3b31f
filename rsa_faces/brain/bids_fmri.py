"""Patterns from a BIDS data set with preprocessed BOLD."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rsa_faces._core.checks import check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.files import sha256_bytes, sha256_file
from rsa_faces.brain._region import Region
from rsa_faces.brain.fmri import Patterns
from rsa_faces.brain.glm import glm_patterns
from rsa_faces.brain.images import as_region


def bids_patterns(
    bids_root: Any,
    *,
    task: str,
    subject: str,
    space: str | None = None,
    session: str | None = None,
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
        As in ``space-…``; by default MNI152NLin2009cAsym.
    session : str, optional
        As in ``ses-…``; by default all sessions.
    derivatives : str, default "derivatives"
        Folder with the preprocessed images within `bids_root`, such as "derivatives/fmriprep".
    confounds : mapping, optional
        Options of :func:`nilearn.interfaces.fmriprep.load_confounds`, such as
        ``{"strategy": ("motion",), "motion": "basic"}``. By default none.
    mask_img : image, Region or path-like, optional
        By default the places that are in the brain masks (``desc-brain_mask``) of all runs.
    t_r, slice_time_ref : float, optional
        By default as the data set states them.
    **options
        Of :func:`glm_patterns`, such as ``conditions``, ``model`` and ``missing``.

    Returns
    -------
    Patterns
        Folds are named by run ("01"), with several sessions by session and run ("1/01").

    Raises
    ------
    InputError
        If there is no such image, table or mask, repetition time is not stated, or as
        :func:`glm_patterns` does.

    Notes
    -----
    Files are found by :func:`nilearn.glm.first_level.first_level_from_bids`.

    Examples
    --------
    >>> from rsa_faces.brain import bids_patterns
    >>> patterns = bids_patterns(
    ...     "study", task="faces", subject="01", derivatives="derivatives/fmriprep",
    ...     confounds={"strategy": ("motion",), "motion": "basic"})  # doctest: +SKIP
    """
    found = _find(
        bids_root, task, subject, space, session, derivatives, confounds, t_r, slice_time_ref
    )
    if found.t_r is None:
        raise InputError(
            f"expected the repetition time of task {task!r} in {str(bids_root)!r}, but it is not "
            "stated. Give t_r."
        )
    return glm_patterns(
        found.paths, found.events, t_r=found.t_r,
        mask_img=_brain_mask(found.paths) if mask_img is None else mask_img,
        confounds=found.confounds if confounds is not None else None,
        runs=_run_names(found.paths), subject=subject, slice_time_ref=found.slice_time_ref,
        **options,
    )  # fmt: skip


def bids_mask(
    bids_root: Any,
    *,
    task: str,
    subject: str,
    space: str | None = None,
    session: str | None = None,
    derivatives: str = "derivatives",
) -> Region:
    """Return the places that are in the brain masks of all runs of a subject in BIDS.

    Parameters
    ----------
    bids_root, task, subject, space, session, derivatives
        As for :func:`bids_patterns`.

    Returns
    -------
    Region

    Raises
    ------
    InputError
        If there is no such image or mask.
    """
    return _brain_mask(_find(bids_root, task, subject, space, session, derivatives).paths)


def bids_hash(bids_root: Any, *, task, subject, space=None, session=None, derivatives) -> str:
    """Return a hash of the preprocessed images, confounds and events of a subject."""
    found = _find(bids_root, task, subject, space, session, derivatives)
    beside = [
        table
        for path in found.paths
        for table in sorted(path.parent.glob(f"{_stem(path)}*desc-confounds_*.tsv"))
    ]
    return sha256_bytes(
        *(sha256_file(path).encode() for path in [*found.paths, *beside]),
        *(table.to_csv().encode() for table in found.events),
    )


@dataclass(frozen=True)
class _Found:
    """The runs of a subject."""

    paths: list[Path]
    events: list[pd.DataFrame]
    confounds: list[Any]
    t_r: float | None
    slice_time_ref: float


def _find(
    bids_root, task, subject, space, session, derivatives, confounds=None, t_r=None,
    slice_time_ref=None,
) -> _Found:  # fmt: skip
    """Find the preprocessed images of a subject, and the tables that go with them."""
    from nilearn.glm.first_level import first_level_from_bids

    root = Path(bids_root)
    if not (root / derivatives).is_dir():
        raise InputError(f"expected a folder {derivatives!r} in {str(root)!r}, but there is none.")
    if confounds is not None and "scrub" in confounds.get("strategy", ()):
        raise InputError(
            "expected confounds without the strategy 'scrub': scans are not left out here. Give "
            "regressors for such scans to glm_patterns instead."
        )
    given = {f"confounds_{key}": value for key, value in (confounds or {}).items()}
    if not given:
        given = {"confounds_strategy": None}
    filters = [("desc", "preproc")]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not provided and cannot be.*")
        try:
            models, imgs, events, tables = first_level_from_bids(
                root, task, space_label=space, sub_labels=[subject], img_filters=filters,
                t_r=t_r, slice_time_ref=slice_time_ref, derivatives_folder=derivatives, **given,
            )  # fmt: skip
        except (ValueError, TypeError) as err:
            raise InputError(
                f"expected images of task {task!r} and subject {subject!r} with events in "
                f"{str(root)!r}: {err}"
            ) from err
    if len(models) != 1 or not imgs[0]:
        raise InputError(
            f"expected preprocessed images of task {task!r} and subject {subject!r} in "
            f"{str(root / derivatives)!r}, got none."
        )
    paths, tables = [Path(p) for p in imgs[0]], tables[0] or [None] * len(imgs[0])
    chosen = [i for i, p in enumerate(paths) if session in (None, _entity(p, "ses"))]
    if not chosen:
        sessions = sorted({str(_entity(p, "ses")) for p in paths})
        check_choice(str(session), sessions, what="session")
    return _Found(
        [paths[i] for i in chosen], [events[0][i] for i in chosen], [tables[i] for i in chosen],
        models[0].t_r, models[0].slice_time_ref or 0.0,
    )  # fmt: skip


def _stem(path: Path) -> str:
    """Return a name up to the run: what images and confounds of a run share."""
    return re.split(r"_(?:space|res|desc|den|hemi)-", path.name)[0]


def _entity(path: Path, entity: str) -> str | None:
    """Return an entity of a BIDS name, None where it has none."""
    found = re.search(rf"(?:^|_){entity}-([0-9A-Za-z+]+)(?=_|\.)", path.name)
    return found.group(1) if found else None


def _run_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each run from session and run."""
    sessions = [_entity(path, "ses") for path in paths]
    names = []
    for i, path in enumerate(paths):
        run = _entity(path, "run")
        session = sessions[i] if len(set(sessions)) > 1 else None
        names.append("/".join(part for part in (session, run) if part) or str(i + 1))
    return names


def _brain_mask(paths: Sequence[Path]):
    """Return the places that are in the brain masks of all runs."""
    masks = []
    for path in paths:
        beside = path.with_name(re.sub(r"desc-\w+_bold", "desc-brain_mask", path.name))
        if beside == path or not beside.is_file():
            raise InputError(
                f"expected the brain mask {beside.name!r} beside {path.name!r}, but there is "
                "none. Give mask_img."
            )
        masks.append(as_region(beside, beside.name))
    common = masks[0]
    for mask in masks[1:]:
        common = common.keep(mask.positions(common))
    if lost := max(mask.n_places for mask in masks) - common.n_places:
        warnings.warn(
            f"{lost} places of the largest brain mask are not in those of all {len(masks)} runs "
            "and are left out.",
            stacklevel=3,
        )
    return common.named("")
