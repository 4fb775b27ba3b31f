"""Patterns from maps of betas: images with a table of conditions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_choice, nearest
from rsa_faces._core.errors import InputError
from rsa_faces._core.labels import per_row
from rsa_faces._core.names import as_names
from rsa_faces._core.tables import read_table
from rsa_faces.brain._missing import settle_missing
from rsa_faces.brain._usable import usable_places
from rsa_faces.brain.files import image_files
from rsa_faces.brain.fmri import Patterns
from rsa_faces.brain.masks import as_region, read_image
from rsa_faces.rdm.noise import ALL_FOLDS


def load_patterns(
    img: Any,
    conditions: Sequence[str] | pd.DataFrame | str | os.PathLike[str],
    *,
    folds: Sequence[Any] | None = None,
    mask_img: Any = None,
    residuals: Any = None,
    n_estimated: Mapping[Any, int] | int = 0,
    subject: str | None = None,
    missing: str = "raise",
    unusable: str = "raise",
    resample: bool = False,
) -> Patterns:
    """Read maps of responses, one per condition and repeat: betas, t values, means.

    Parameters
    ----------
    img : image, path, sequence or mapping
        A 4-D NIfTI image; a list of 3-D images, GIFTI or CIFTI files, a pattern of files
        (``betas/*.nii.gz``) or a folder, map after map (2 before 10); a mapping of "left" and
        "right" to GIFTI (a file with an array per map, a list of files, or an array of shape
        (n_maps, n_vertices)); a CIFTI dscalar; or nilearn's SurfaceImage.
    conditions : sequence of str, DataFrame or path-like
        The condition of each map, in their order; or a table (.tsv or .csv) with the column
        ``condition`` and, if there are any, ``fold`` or ``run``. With a column ``file`` maps are
        found by the names of their files, and other files (of movement, say) do not count.
    folds : sequence, optional
        The fold (run, session) of each map; by default those of the table, if it has any.
    mask_img : image, Region, mapping or path-like, optional
        Places to read, neither 0 nor NaN. By default all.
    residuals : mapping of fold to image, or image, optional
        GLM residuals in the same space, per fold, or one image of all folds together (as of one
        GLM over all runs), to estimate noise from.
    n_estimated : mapping of fold to int, or int, default 0
        Number of parameters that the model of each run estimated.
    subject : str, optional
        Label of the RDMs.
    missing : {"raise", "drop", "keep"}, default "raise"
        What to do if a condition is not in every fold: list them in an error; leave such
        conditions out of all folds, with a warning; or keep the rows there are, of which
        crossnobis will refuse the conditions that lack a fold.
    unusable : {"raise", "drop"}, default "raise"
        What to do with places that hold a value that is not finite, or the same in all maps:
        count them in an error; or leave them out, with a warning and the counts in ``left_out``.
    resample : bool, default False
        Put a mask on another grid onto that of the image, by nearest neighbour.

    Returns
    -------
    Patterns
        Rows in the order of the maps.

    Raises
    ------
    InputError
        If the number of maps, grids, spaces or tables do not fit, the mask is empty, or as
        `missing` and `unusable` say.

    See Also
    --------
    bids_patterns : Estimate patterns of a subject from preprocessed BOLD in BIDS.
    glm_patterns : Estimate patterns from preprocessed BOLD.
    load_roi : Read a mask: a NIfTI, GIFTI or CIFTI image, or a FreeSurfer label.

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> from rsa_faces.brain import load_patterns
    >>> betas = np.random.default_rng(0).normal(size=(5, 5, 5, 4))
    >>> img = nibabel.Nifti1Image(betas, np.diag([3.0, 3, 3, 1]))
    >>> load_patterns(img, ["face", "house", "face", "house"], folds=[1, 1, 2, 2])
    Patterns(4 observations of 2 conditions in 2 folds, 125 channels)
    """
    names, table_folds, files = _condition_table(conditions)
    if files is not None:
        img = files_of_maps(img, files)
    if folds is None:
        folds = table_folds
    else:
        of_pandas = isinstance(conditions, (pd.DataFrame, pd.Series))
        shared = conditions.index if of_pandas else names
        folds = per_row(folds, len(names), rows=(shared, names))
    mask = None if mask_img is None else as_region(mask_img)
    space, values = read_image(img, mask, "img", resample=resample)
    keep = check_rows(len(values), names, folds, missing)
    values = values[keep]
    names = [name for name, kept in zip(names, keep, strict=True) if kept]
    folds = None if folds is None else [f for f, kept in zip(folds, keep, strict=True) if kept]
    left, estimated = _read_residuals(residuals, n_estimated, folds, space)
    reasons = {"not finite (NaN or infinite)": ~np.isfinite(values).all(axis=0)}
    if len(values) > 1:
        # The same in all maps: a place outside of the brain, or one that masking filled. Its noise
        # is 0, and a whitened distance there has no bound.
        reasons["constant"] = (values == values[:1]).all(axis=0)
    for rows in (left or {}).values():
        bad = ~np.isfinite(rows).all(axis=0) | ~rows.any(axis=0)
        reasons["without residuals"] = reasons.get("without residuals", False) | bad
    good, left_out = usable_places(reasons, space, unusable, "img")
    if not good.all():
        space, values = space.keep(good), values[:, good]
        left = None if left is None else {fold: rows[:, good] for fold, rows in left.items()}
    return Patterns(values, names, space, folds, left, estimated, subject, left_out)


def check_rows(
    n_maps: int, names: Sequence[str], folds: Sequence[Any] | None, missing: str = "raise"
) -> np.ndarray:
    """Return which maps stay, if there is a condition and perhaps a fold for each of them."""
    for given, what in ((names, "condition"), (folds, "fold label")):
        if given is not None and len(given) != n_maps:
            raise InputError(f"expected one {what} for each of {n_maps} maps, got {len(given)}.")
    return settle_missing(names, folds, names, missing)


def files_of_maps(img: Any, names: Sequence[str], what: str = "img") -> list[Path]:
    """Return the files that a table names, among those of an image.

    Parameters
    ----------
    img : path-like or sequence of path-like
        Files, folders or patterns.
    names : sequence of str
        Name of the file of each map, with or without its folder.
    what : str
        Its role, for errors.

    Returns
    -------
    list of Path
        One for each name, in their order.

    Raises
    ------
    InputError
        If `img` is not of files, or a name is that of no file or of several.
    """
    paths = list(img) if isinstance(img, (list, tuple)) else [img]
    if not all(isinstance(path, (str, os.PathLike)) for path in paths):
        raise InputError(
            f"expected files, a folder or a pattern as {what}, because the table of conditions has "
            f"a column 'file', got {type(img).__name__}."
        )
    files = [file for path in paths for file in image_files(path, what)]
    found = []
    for name in names:
        parts = Path(name).parts
        same = [file for file in files if parts and file.parts[-len(parts) :] == parts]
        if len(same) != 1:
            raise InputError(
                f"expected one file {name!r} of the table of conditions among {len(files)} files "
                f"of {what}, got {len(same)}.{nearest(name, {f.name for f in files})}"
            )
        found += same
    return found


def _condition_table(conditions) -> tuple[list[str], list[Any] | None, list[str] | None]:
    """Return the condition, the fold and the file of each row."""
    if isinstance(conditions, (str, os.PathLike)):
        conditions = read_table(
            conditions,
            what="conditions as a sequence of names or a table",
            text=["condition", "fold", "run"],
            optional=["fold", "run"],
        )
    if not isinstance(conditions, pd.DataFrame):
        return as_names(conditions), None, None
    check_choice("condition", conditions.columns, what="column of the table of conditions")
    column = next((c for c in ("fold", "run") if c in conditions), None)
    folds = None if column is None else conditions[column].tolist()
    files = conditions["file"].astype(str).tolist() if "file" in conditions else None
    return as_names(conditions["condition"]), folds, files


def _read_residuals(residuals, n_estimated, folds, space):
    """Return the residuals of each fold and how many parameters were estimated."""
    if residuals is None:
        return None, {}
    if not isinstance(residuals, Mapping) or set(residuals) <= {"left", "right"}:
        # One image of residuals stands for all runs, unless there is only the one it can be of.
        residuals = {folds[0] if folds and len(set(folds)) == 1 else ALL_FOLDS: residuals}
    if not isinstance(n_estimated, Mapping):
        n_estimated = dict.fromkeys(residuals, n_estimated)
    kept = {ALL_FOLDS, *(folds or residuals)}
    wanted = {fold: img for fold, img in residuals.items() if fold in kept}
    rows = {
        fold: read_image(img, space, f"residuals of fold {fold!r}")[1]
        for fold, img in wanted.items()
    }
    for fold, values in rows.items():
        if values.shape[1] != space.n_places:
            raise InputError(
                f"expected residuals of fold {fold!r} at {space.n_places} places, got "
                f"{values.shape[1]}."
            )
    return rows, dict(n_estimated)
