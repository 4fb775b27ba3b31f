"""A beta per trial by LS-S: least squares, each trial on its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rsa_faces._core.errors import InputError
from rsa_faces.brain._design import DesignOptions, RunPlan, design_matrix

# Squared lengths, relative to what they were: 1e-5 of a length, far above rounding, and far below
# what an overlap of events leaves that can be estimated.
_SMALL = 1e-10


def single_trials(
    signal: np.ndarray, plan: RunPlan, options: DesignOptions, noise_model: str
) -> tuple[np.ndarray, list[str]]:
    """Return the betas of the trials of a run in order of onset, and their conditions."""
    codes, n_conditions = plan.codes, plan.n_conditions
    of_interest = codes < n_conditions
    n_trials = int(of_interest.sum())
    own = np.empty(len(codes), dtype=int)
    own[of_interest] = np.arange(n_trials)
    own[~of_interest] = n_trials + codes[~of_interest] - n_conditions
    names = [plan.regressors[code] for code in codes[of_interest]]
    labels = [
        f"{name} at {onset:g} s"
        for name, onset in zip(names, plan.events["onset"][of_interest], strict=True)
    ]
    regressors = [*labels, *plan.regressors[n_conditions:]]
    design, columns = design_matrix(replace(plan, regressors=regressors, codes=own), options)
    trials = design[:, columns[:n_trials]]
    rest = np.delete(design, columns[:n_trials], axis=1)
    if noise_model == "ols":
        return _least_squares(signal, trials, rest, labels, plan.name), names
    return _autoregressive(signal, trials, rest, labels, plan.name, noise_model), names


def _least_squares(signal, trials, rest, labels, run) -> np.ndarray:
    """Solve all GLMs at once: two regressors are left when the rest is taken out of everything."""
    basis = _basis(rest)
    # Frisch, Waugh and Lovell: with the rest taken out of both sides, the two betas are those of
    # the whole model.
    signal = signal - basis @ (basis.T @ signal)
    residuals = trials - basis @ (basis.T @ trials)
    # All other trials share one regressor: that is what keeps betas of close trials from trading
    # off.
    others = residuals.sum(axis=1, keepdims=True) - residuals
    tt, oo = (residuals**2).sum(axis=0), (others**2).sum(axis=0)
    to = (residuals * others).sum(axis=0)
    # The only trial of its run: there is no second regressor.
    alone = oo <= _SMALL * tt.max(initial=0.0)
    determinant = np.where(alone, tt, tt * oo - to**2)
    _check(determinant, np.where(alone, tt.max(initial=0.0), tt * oo), labels, run)
    ty, oy = residuals.T @ signal, others.T @ signal
    both = (oo[:, None] * ty - to[:, None] * oy) / determinant[:, None]
    return np.where(alone[:, None], ty / tt[:, None], both)


def _autoregressive(signal, trials, rest, labels, run, noise_model) -> np.ndarray:
    """Fit a GLM with autoregressive noise for each trial."""
    from nilearn.glm.first_level import run_glm

    betas = np.empty((trials.shape[1], signal.shape[1]))
    everything = trials.sum(axis=1)
    basis = _basis(rest)
    for i, trial in enumerate(trials.T):
        others = everything - trial
        columns = [trial] if not np.linalg.norm(others) > _SMALL else [trial, others]
        columns = np.column_stack(columns)
        residuals = columns - basis @ (basis.T @ columns)
        lengths = np.linalg.norm(residuals, axis=0)
        share = np.linalg.svd(residuals / np.where(lengths > 0, lengths, 1.0), compute_uv=False)[-1]
        _check(np.array([share**2]), np.ones(1), labels[i : i + 1], run)
        design = np.column_stack([columns, rest])
        groups, results = run_glm(signal, design, noise_model=noise_model, random_state=0)
        for label, result in results.items():
            betas[i, groups == label] = result.theta[0]
    return betas


def _basis(rest: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of the columns."""
    scale = np.linalg.norm(rest, axis=0)
    left, singular, _ = np.linalg.svd(rest / np.where(scale > 0, scale, 1.0), full_matrices=False)
    # Columns of unlike units (drifts, motion, a constant) were scaled first, or small units would
    # count as dependent.
    return left[:, singular > 1e-8 * singular.max(initial=0.0)]


def _check(value: np.ndarray, scale: np.ndarray, labels: list[str], run: object) -> None:
    """Check that the beta of each trial is determined."""
    if (bad := value <= _SMALL * scale).any():
        which = [labels[i] for i in np.flatnonzero(bad)]
        raise InputError(
            f"expected a beta for every trial of run {run!r}, but {len(which)} are not determined: "
            f"{', '.join(map(repr, which[:5]))}. They overlap with others entirely, or have no "
            "signal within the run."
        )
