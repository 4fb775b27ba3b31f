"""Patterns of clips: the mean of the scans that show a clip, some seconds later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from rsa_faces._core.checks import check_above, check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.tables import read_table
from rsa_faces._core.warning import warn
from rsa_faces.brain._design import read_confounds
from rsa_faces.brain._missing import settle_missing
from rsa_faces.brain._runs import kept_by_run, open_runs, per_run, usable_signal
from rsa_faces.brain.fmri import Patterns

OUTSIDE = ("raise", "drop")


def clip_patterns(
    imgs: Any,
    clips: Any,
    *,
    t_r: float,
    delay: float = 5.0,
    mask_img: Any = None,
    confounds: Any = None,
    sample_masks: Sequence[Any] | None = None,
    runs: Sequence[Any] | None = None,
    high_pass: float | None = None,
    standardize: bool = True,
    subject: str | None = None,
    missing: str = "keep",
    outside: str = "raise",
    unusable: str = "raise",
    resample: bool = False,
) -> Patterns:
    """Average the scans of each clip of a film, delayed by the time the response takes.

    Parameters
    ----------
    imgs : sequence of images
        Preprocessed BOLD, one image per run, as for :func:`rsa_faces.brain.glm_patterns`.
    clips : sequence of DataFrame or path-like
        One table per run with the columns ``clip``, ``onset`` and ``duration`` (in s).
    t_r : float
        Repetition time in s.
    delay : float, default 5.0
        Seconds from what is shown to the response that is taken.
    mask_img, confounds, sample_masks, runs, subject, unusable, resample
        As for :func:`rsa_faces.brain.glm_patterns`.
    high_pass : float, optional
        Take out what is slower, in Hz.
    standardize : bool, default True
        Give each place a mean of 0 and a standard deviation of 1 over the scans of each run, as
        runs with different clips have different means for other reasons.
    missing : {"raise", "drop", "keep"}, default "keep"
        What to do with clips that are not in every run: by default nothing, as films are often
        shown once.
    outside : {"raise", "drop"}, default "raise"
        What to do with clips whose delayed time is not entirely within the run, or of which no
        scan is left: list them in an error, or leave them out, with a warning.

    Returns
    -------
    Patterns
        A row per clip in order of runs and onsets; folds are runs; no residuals. For one RDM over
        clips of all runs take :meth:`Patterns.mean` first.

    Raises
    ------
    InputError
        If images and tables do not fit, or as `missing`, `outside` and `unusable` say.

    See Also
    --------
    load_patterns : Read maps of responses, one per condition and repeat: betas, t values, means.
    hyperalign : Bring subjects into a common space.

    Notes
    -----
    Scan k stands for the time from k·t_r to (k + 1)·t_r. The pattern of a clip is the mean over
    scans, weighted by how long each overlaps with onset + delay to onset + delay + duration. If
    times are multiples of t_r this is the plain mean of the scans; a fraction of a scan counts
    with its fraction, and scans that are left out (`sample_masks`) not at all. Confounds and slow
    drifts are taken out before, in one step (:func:`nilearn.signal.clean`).

    References
    ----------
    .. [1] Jiahui G. et al. (2023). Modeling naturalistic face processing in humans with deep
       convolutional neural networks. PNAS 120, e2304085120. doi:10.1073/pnas.2304085120

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> import pandas as pd
    >>> from rsa_faces.brain import clip_patterns
    >>> bold = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(3, 3, 3, 20)), np.eye(4))
    >>> clips = pd.DataFrame({"clip": ["a", "b"], "onset": [0.0, 4], "duration": 4.0})
    >>> clip_patterns([bold], [clips], t_r=1.0)
    Patterns(2 observations of 2 conditions in 1 folds, 27 channels)
    """
    check_choice(outside, OUTSIDE, what="way with clips outside of the run")
    check_above(t_r, 0, what="t_r, the repetition time in s,")
    if not np.isfinite(delay):
        raise InputError(f"expected delay in s, got {delay!r}.")
    imgs, clips, confounds, runs = per_run(imgs, clips, confounds, runs, what="clips")
    space, images = open_runs(imgs, mask_img, runs, resample)
    tables = [_read_clips(table, run) for table, run in zip(clips, runs, strict=True)]
    kept = kept_by_run(sample_masks, runs, images)
    weights, names, folds = _weights(tables, kept, runs, t_r, delay, outside)
    keep = settle_missing(names, folds, list(dict.fromkeys(names)), missing)
    good, left_out = usable_signal(images, space, unusable, kept=kept)
    space = space.keep(good)
    values = []
    for image, weight, confound, run, scans in zip(
        images, weights, confounds, runs, kept, strict=True
    ):
        values.append(
            weight[:, scans]
            @ _cleaned(
                image.read(space),
                read_confounds(confound, run, image.n_maps),
                high_pass,
                standardize,
                t_r,
                scans,
            )
        )
    rows = np.flatnonzero(keep)
    return Patterns(
        np.concatenate(values)[rows],
        [names[i] for i in rows],
        space,
        [folds[i] for i in rows],
        subject=subject,
        left_out=left_out,
    )


def _read_clips(table: Any, run: Any) -> pd.DataFrame:
    """Return clip, onset and duration in order of onset."""
    table = read_table(
        table, what=f"the clips of run {run!r}", text=["clip"], numbers=["onset", "duration"]
    )
    times = table[["onset", "duration"]]
    bad = ~np.isfinite(times).all(axis=1) | (times["duration"] <= 0)
    if bad.any():
        raise InputError(
            f"expected onset and duration (above 0) in s of each clip of run {run!r}, but "
            f"{int(bad.sum())} have none: {', '.join(map(repr, table['clip'][bad][:5]))}."
        )
    return (
        table[["clip", "onset", "duration"]]
        .sort_values("onset", kind="stable")
        .reset_index(drop=True)
    )


def _weights(tables, kept, runs, t_r, delay, outside):
    """Return the weights of scans of each run, and the clip and run of each row."""
    weights, names, folds, lost = [], [], [], []
    for table, counts, run in zip(tables, kept, runs, strict=True):
        start = table["onset"].to_numpy() + delay
        stop = start + table["duration"].to_numpy()
        scans = np.arange(len(counts)) * t_r
        # Times in tables are rounded: a clip that ends with the run ends within it.
        slack = 1e-6 * t_r
        overlap = np.minimum(stop[:, None], scans + t_r) - np.maximum(start[:, None], scans)
        overlap = np.maximum(overlap, 0.0) * counts
        inside = (start >= -slack) & (stop <= len(counts) * t_r + slack)
        inside &= overlap.sum(axis=1) > slack
        lost += [f"{name!r} in run {run!r}" for name in table["clip"][~inside]]
        overlap = overlap[inside]
        weights.append(overlap / overlap.sum(axis=1, keepdims=True))
        names += table["clip"][inside].tolist()
        folds += [run] * int(inside.sum())
    if lost:
        settle_outside(lost, len(names), delay, outside)
    return weights, names, folds


def settle_outside(lost: list[str], n_left: int, delay: float, outside: str) -> None:
    """Raise or warn of clips that are not within their run."""
    more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
    counted = (
        f"{len(lost)} of {len(lost) + n_left} clips, delayed by {delay:g} s, are not within the "
        f"scans of their run: {', '.join(lost[:5])}{more}"
    )
    if outside == "raise" or not n_left:
        raise InputError(
            f"expected scans of every clip, but {counted}. Check onsets, delay and t_r, or say "
            "outside='drop' to leave them out."
        )
    warn(f"{counted}. They are left out.")


def _cleaned(signal, confounds, high_pass, standardize, t_r, kept) -> np.ndarray:
    """Take out confounds and drifts, and standardise over the scans that are kept."""
    if confounds is None and high_pass is None and not standardize:
        return signal[kept]
    from nilearn.signal import clean

    return clean(
        signal,
        confounds=confounds,
        high_pass=high_pass,
        t_r=t_r,
        detrend=False,
        standardize="zscore_sample" if standardize else None,
        sample_mask=None if kept.all() else np.flatnonzero(kept),
    )
