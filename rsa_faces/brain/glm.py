"""Betas per condition and run, or per trial, from preprocessed BOLD."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rsa_faces._core.checks import check_arguments, check_choice
from rsa_faces._core.errors import InputError
from rsa_faces._core.progress import progress_bar
from rsa_faces.brain._design import (
    DesignOptions,
    RunPlan,
    check_estimable,
    condition_names,
    design_matrix,
    read_confounds,
    read_events,
)
from rsa_faces.brain._lss import single_trials
from rsa_faces.brain._missing import settle_missing
from rsa_faces.brain._region import Region
from rsa_faces.brain._runs import kept_by_run, open_runs, per_run, usable_signal
from rsa_faces.brain.fmri import Patterns
from rsa_faces.brain.images import Image

MODELS = ("condition", "trial")
SCALINGS = ("percent", None)


@dataclass(frozen=True)
class _Work:
    """All that is fitted: where, to which images, how, and which rows are wanted."""

    space: Region
    images: list[Image]
    plans: list[RunPlan]
    wanted: frozenset[tuple[str, Any]]  # condition and run
    options: DesignOptions


def glm_patterns(
    imgs: Any,
    events: Any,
    *,
    t_r: float,
    mask_img: Any = None,
    confounds: Any = None,
    sample_masks: Sequence[Any] | None = None,
    runs: Sequence[Any] | None = None,
    condition_column: str = "trial_type",
    conditions: Any = None,
    nuisance: Sequence[str] = (),
    model: str = "condition",
    hrf_model: str = "glover",
    noise_model: str = "ar1",
    drift_model: str | None = "cosine",
    high_pass: float = 0.01,
    drift_order: int = 1,
    slice_time_ref: float = 0.0,
    scaling: str | None = "percent",
    keep_residuals: bool = True,
    subject: str | None = None,
    missing: str = "raise",
    unusable: str = "raise",
    resample: bool = False,
    progress: bool = True,
) -> Patterns:
    """Estimate patterns from preprocessed BOLD with nilearn's first-level GLM, run by run.

    Parameters
    ----------
    imgs : sequence of images
        One per run: a 4-D NIfTI image, a mapping of "left" and "right" to GIFTI, or a CIFTI
        dtseries; images or paths.
    events : sequence of DataFrame or path-like
        One table per run with the columns ``onset`` and ``duration`` (in s) and ``trial_type``;
        with a column ``modulation`` regressors have these heights, as in nilearn.
    t_r : float
        Repetition time in s.
    mask_img : image, Region, mapping or path-like, optional
        Places to fit, neither 0 nor NaN. By default all of the image.
    confounds : sequence of DataFrame, ndarray or path-like, optional
        One table per run, a row per scan; all columns enter. NaN in the first row counts as 0
        (derivatives have none there), elsewhere it is an error.
    sample_masks : sequence, optional
        For each run the numbers of the scans that are fitted, True or False for each scan, or
        None for all, as :func:`nilearn.interfaces.fmriprep.load_confounds` returns them: scans
        that are not steady yet, or with much movement, are left out of model and data.
    runs : sequence, optional
        Names of the runs, which become the folds. By default 1, 2, ...
    condition_column : str, default "trial_type"
        Column of the events that names their trial type. Of ``stim_file`` the name of the file
        counts, without folder and ending. Events without a value (n/a) are not modelled.
    conditions : sequence of str, mapping or DataFrame, optional
        Trial types that have a pattern; or the condition of each trial type, as a mapping or a
        table with the columns ``trial_type`` and ``condition``. By default every trial type that
        is not in `nuisance` is a condition.
    nuisance : sequence of str, default ()
        Trial types that are modelled but have no pattern.
    model : {"condition", "trial"}, default "condition"
        One beta per condition and run; or per trial, by LS-S.
    hrf_model : str, default "glover"
        As in nilearn: "glover" or "spm", for "condition" also with "+ derivative" and
        "+ dispersion", whose betas are not part of the pattern.
    noise_model : str, default "ar1"
        "ols", or "arN" for an autoregressive model of order N.
    drift_model, high_pass, drift_order, slice_time_ref
        As in nilearn: "cosine" with `high_pass` in Hz, "polynomial" of `drift_order`, or None; the
        time of a scan's reference slice as a share of t_r.
    scaling : {"percent", None}, default "percent"
        Percent of each place's mean in each run, or the values as they are.
    keep_residuals : bool, default True
        Keep residuals for noise covariance: as much memory as the BOLD within the mask, in
        float64.
    subject : str, optional
        Label of the RDMs.
    missing : {"raise", "drop", "keep"}, default "raise"
        What to do if a condition has no event in a run: list them in an error; give such
        conditions no pattern in any run, with a warning (their events are modelled all the same);
        or keep the patterns there are.
    unusable : {"raise", "drop"}, default "raise"
        What to do with places that hold a value that is not finite or a constant time course in
        any run, or (for "percent") a mean below 1: count them in an error; or leave them out, with
        a warning and the counts in ``left_out``.
    resample : bool, default False
        Put a mask on another grid onto that of the images, by nearest neighbour.
    progress : bool, default True
        Show a progress bar on a terminal if it takes longer than two seconds.

    Returns
    -------
    Patterns
        Rows in order of runs, and within a run of conditions (sorted by first appearance in
        `conditions` or in the events) or of onsets; folds are runs; residuals and number of
        estimated parameters per run.

    Raises
    ------
    InputError
        If images, masks, tables and runs do not fit, a trial type is not in `conditions`, an event
        lies outside its run, a beta is not determined, or as `missing` and `unusable` say.

    See Also
    --------
    bids_patterns : Estimate patterns of a subject from preprocessed BOLD in BIDS.
    load_patterns : Read maps of responses, one per condition and repeat: betas, t values, means.

    Notes
    -----
    Each run is fitted on its own with :func:`nilearn.glm.first_level.run_glm`; for one run the
    betas are those of nilearn's FirstLevelModel with the same options. Data are not smoothed.

    LS-S [1]_ fits a GLM per trial with two regressors of interest: the trial, and all other trials
    of any condition together; drift, confounds and events of no interest are in every one. The
    regressor of all others is the sum of their regressors.

    Residuals are those of the model with one regressor per condition, for "trial" too: there they
    include how trials of a condition differ. With "arN" they are the whitened residuals, which
    have (nearly) independent rows as shrinkage assumes.

    References
    ----------
    .. [1] Mumford J. A., Turner B. O., Ashby F. G., Poldrack R. A. (2012). NeuroImage 59,
       2636-2643. doi:10.1016/j.neuroimage.2011.08.076

    Examples
    --------
    >>> import nibabel
    >>> import numpy as np
    >>> import pandas as pd
    >>> from rsa_faces.brain import glm_patterns
    >>> rng = np.random.default_rng(0)
    >>> bold = [nibabel.Nifti1Image(100 + rng.normal(size=(3, 3, 3, 60)), np.eye(4))
    ...         for run in range(2)]
    >>> events = pd.DataFrame({"onset": [4.0, 24, 44, 64], "duration": 4.0,
    ...                        "trial_type": ["face", "house"] * 2})
    >>> glm_patterns(bold, [events, events], t_r=2.0)
    Patterns(4 observations of 2 conditions in 2 folds, 27 channels)
    """
    given = locals()
    check_arguments(glm_patterns, given)
    work = _work(**given)
    space, images, plans, options = work.space, work.images, work.plans, work.options
    kept = [plan.kept for plan in plans]
    good, left_out = usable_signal(images, space, unusable, percent=scaling == "percent", kept=kept)
    space = space.keep(good)
    values, names, folds, residuals, estimated = [], [], [], {}, {}
    with progress_bar("runs", len(plans), show=progress) as tell:
        for i, (plan, image) in enumerate(zip(plans, images, strict=True)):
            signal = _scaled(image.read(space)[plan.kept], scaling)
            betas, left, rank = _fit(signal, plan, options, noise_model)
            row_names = plan.regressors[: plan.n_conditions]
            if model == "trial":
                betas, row_names = single_trials(signal, plan, options, noise_model)
            stay = [k for k, name in enumerate(row_names) if (name, plan.name) in work.wanted]
            values.append(betas[stay])
            names += [row_names[k] for k in stay]
            folds += [plan.name] * len(stay)
            if keep_residuals:
                residuals[plan.name], estimated[plan.name] = left, rank
            tell(i + 1)
    return Patterns(
        np.concatenate(values),
        names,
        space,
        folds,
        residuals if keep_residuals else None,
        estimated,
        subject,
        left_out,
    )


def glm_rows(imgs: Any, events: Any, **options: Any) -> tuple[list[str], list[Any]]:
    """Return conditions and folds of the patterns that :func:`glm_patterns` would return.

    All that it raises is raised but for the signal, which is not read.
    """
    given = inspect.signature(glm_patterns).bind(imgs, events, **options)
    given.apply_defaults()
    check_arguments(glm_patterns, given.arguments)
    work = _work(**given.arguments)
    conditions, folds = [], []
    for plan in work.plans:
        # Only for its errors: a beta that is not determined is said before signals are read.
        _design(plan, work.options)
        names = plan.regressors[: plan.n_conditions]
        if given.arguments["model"] == "trial":
            names = [plan.regressors[code] for code in plan.codes if code < plan.n_conditions]
        names = [name for name in names if (name, plan.name) in work.wanted]
        conditions += names
        folds += [plan.name] * len(names)
    return conditions, folds


def _work(
    imgs: Any,
    events: Any,
    confounds: Any,
    sample_masks: Any,
    runs: Any,
    mask_img: Any,
    *,
    t_r: float,
    condition_column: str,
    conditions: Any,
    nuisance: Any,
    model: str,
    hrf_model: str,
    noise_model: str,
    drift_model: str | None,
    high_pass: float,
    drift_order: int,
    slice_time_ref: float,
    scaling: str | None,
    missing: str,
    resample: bool,
    **_: Any,
) -> _Work:
    """Return what is fitted where, from the arguments of :func:`glm_patterns`, checked."""
    check_choice(model, MODELS, what="model")
    if scaling is not None:
        check_choice(scaling, SCALINGS[:1], what="scaling")
    if not re.fullmatch(r"ols|ar[1-9]\d*", noise_model):
        raise InputError(f"expected noise_model to be 'ols' or 'arN' (N ≥ 1), got {noise_model!r}.")
    if model == "trial" and "+" in hrf_model:
        raise InputError(
            f"expected hrf_model 'glover' or 'spm' for model='trial', got {hrf_model!r}."
        )
    options = DesignOptions(t_r, hrf_model, drift_model, high_pass, drift_order, slice_time_ref)
    imgs, events, confounds, runs = per_run(imgs, events, confounds, runs)
    space, images = open_runs(imgs, mask_img, runs, resample)
    kept = kept_by_run(sample_masks, runs, images)
    plans, order = _plan(events, confounds, runs, kept, t_r, conditions, nuisance, condition_column)
    rows = [(name, plan.name) for plan in plans for name in plan.regressors[: plan.n_conditions]]
    stays = settle_missing([c for c, _ in rows], [r for _, r in rows], order, missing)
    wanted = frozenset(row for row, stay in zip(rows, stays, strict=True) if stay)
    return _Work(space, images, plans, wanted, options)


def _plan(events, confounds, runs, kept, t_r, conditions, nuisance, column):
    """Return the regressors of each run and the names of all conditions."""
    tables = [
        read_events(table, run, len(scans) * t_r, column)
        for table, run, scans in zip(events, runs, kept, strict=True)
    ]
    trial_types = list(dict.fromkeys(t for table in tables for t in table["trial_type"]))
    if not trial_types:
        raise InputError(f"expected events, but the tables of all {len(runs)} runs are empty.")
    condition_of = condition_names(conditions, nuisance, trial_types)
    order = list(dict.fromkeys(condition_of.values()))
    if not order:
        raise InputError("expected at least one condition, but all trial types are nuisance.")
    plans = []
    for table, run, scans, confound in zip(tables, runs, kept, confounds, strict=True):
        types = table["trial_type"]
        present = {condition_of[t] for t in types if t in condition_of}
        # Conditions in the order of all runs, so that the same columns of two runs are the same.
        own = [name for name in order if name in present]
        others = list(dict.fromkeys(t for t in types if t not in condition_of))
        place = {t: own.index(condition_of[t]) for t in set(types) & set(condition_of)}
        place |= {t: len(own) + i for i, t in enumerate(others)}
        codes = np.array([place[t] for t in types], dtype=int)
        confound = read_confounds(confound, run, len(scans))
        plans.append(RunPlan(run, table, own + others, codes, len(own), confound, scans))
    return plans, order


def _scaled(signal: np.ndarray, scaling: str | None) -> np.ndarray:
    """Return signals as percent of their mean, or as they are."""
    if scaling is None:
        return signal
    from nilearn.glm.first_level import mean_scaling

    return mean_scaling(signal)[0]


def _design(plan: RunPlan, options: DesignOptions):
    """Return the design of a run that can be fitted, columns of its conditions, and its rank."""
    design, columns = design_matrix(plan, options)
    columns = columns[: plan.n_conditions]
    rank = check_estimable(design, columns, plan.regressors[: plan.n_conditions], plan.name)
    if rank >= len(design):
        raise InputError(
            f"expected more scans than parameters in run {plan.name!r}, got {len(design)} scans "
            f"and {rank} parameters."
        )
    return design, columns, rank


def _fit(signal, plan: RunPlan, options: DesignOptions, noise_model: str):
    """Return betas of conditions, residuals and the rank of the design of a run."""
    from nilearn.glm.first_level import run_glm

    design, columns, rank = _design(plan, options)
    labels, results = run_glm(signal, design, noise_model=noise_model, random_state=0)
    betas = np.empty((plan.n_conditions, signal.shape[1]))
    residuals = np.empty_like(signal)
    for label, result in results.items():
        where = labels == label
        betas[:, where] = result.theta[columns]
        residuals[:, where] = result.whitened_residuals
    return betas, residuals, rank
