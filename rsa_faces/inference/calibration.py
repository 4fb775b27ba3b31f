"""Calibration: what tests and intervals are worth at given numbers of subjects and conditions.

Data are simulated under null hypotheses that are true by construction. A test at 5 % should then
reject in 5 % of the simulations, and a 95 % interval should hold the true similarity in 95 %.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats

from rsa_faces._core.checks import check_count
from rsa_faces._core.errors import InputError
from rsa_faces._core.student import half_width, t_test
from rsa_faces.comparison import Method, resolve
from rsa_faces.inference._design import Design
from rsa_faces.inference._dyadic import analytic, variance_parts
from rsa_faces.inference._study import Study
from rsa_faces.inference._weighted import weighted_similarities
from rsa_faces.inference.bootstrap import (
    block_size,
    bootstrap_samples,
    contrast_variances,
    corrected,
    draw,
    estimate,
    mean_similarities,
)
from rsa_faces.inference.ceilings import noise_ceiling, shared_structure
from rsa_faces.inference.permutation import permutation_test
from rsa_faces.inference.subjects import ONE_SAMPLE
from rsa_faces.rdm import RDMs

_ALPHA, _N_BOOT, _N_PERMUTATIONS, _N_CHANNELS = 0.05, 200, 199, 20
_COVERAGE = "95 % interval holds the true similarity; both drawn"
_MEAN = "mean similarity"  # not a check: what intervals should hold
#: Every check, in the order of tables, and the share that is right.
CHECKS: dict[str, float] = {
    "model against 0; both drawn; subjects share nothing": _ALPHA,
    "model against 0; both drawn; subjects share something else": _ALPHA,
    "model against 0; subjects drawn; subjects share nothing": _ALPHA,
    "model against 0; conditions drawn; subjects share something else": _ALPHA,
    "two equally good models; both drawn": _ALPHA,
    "two equally good models; conditions drawn": _ALPHA,
    "model as good as the lower ceiling, against it; both drawn": _ALPHA,
    _COVERAGE: 1 - _ALPHA,
    "t-test over subjects; subjects share nothing": _ALPHA,
    "signed-rank test over subjects; subjects share nothing": _ALPHA,
    "permutation of condition labels; subjects share something else": _ALPHA,
    "subjects share structure, when they share nothing": _ALPHA,
}


def calibrate(
    n_subjects: int,
    n_conditions: int,
    *,
    method: str = "rho-a",
    uncertainty: str = "bootstrap",
    n_simulations: int = 300,
    seed: int = 0,
    jobs: int = 1,
    seconds: float = np.inf,
    on_step: Callable[[float], None] | None = None,
) -> pd.DataFrame:
    """Simulate how often tests reject what is true, and how often intervals hold the truth.

    Parameters
    ----------
    n_subjects, n_conditions : int
        Size of each simulated study: at least 2 subjects and 4 conditions.
    method : str, default "rho-a"
        Comparison method.
    uncertainty : {"bootstrap", "analytic"}, default "bootstrap"
        How standard errors are found, as in :func:`rsa_faces.evaluate`.
    n_simulations : int, default 300
        Simulated studies for each check; the test against the ceiling, which takes as long as all
        others together, gets a fifth.
    seed : int, default 0
        The same seed gives the same studies, whatever `jobs`.
    jobs : int, default 1
        Processes.
    seconds : float, default inf
        Stop after about this time with the studies that are done.
    on_step : callable, optional
        Called with the share that is done, 0 to 1.

    Returns
    -------
    DataFrame
        One row per check: `check`, `n_simulations`, `level` (what the share should be), `share`
        (what it was), `low` and `high` (the binomial 99 % range of shares around the level), and
        `verdict`: "as stated", "cautious" (rejects less often, or holds the truth more often, than
        stated: safe, with less power), "too lenient" (do not trust it at this size), or "too few"
        simulations to tell (below 50).

    Raises
    ------
    InputError
        If a number is too small, or the method or the uncertainty is unknown.

    See Also
    --------
    check_design : Check whether numbers allow the conclusions asked for.
    rsa_faces.evaluate : Evaluate how well models predict data.

    Notes
    -----
    Simulated patterns have 20 normal channels; an RDM holds squared Euclidean distances; the RDM
    of a subject is that of patterns all subjects share plus that of patterns of its own. Models:
    the RDM of other patterns (unrelated); of the shared patterns with noise, as large as they are
    (two of these are equally good); and with as much noise as makes the model, on average, just as
    similar as the lower noise ceiling. The true similarity for intervals is the mean over all
    simulated studies. Tests are those of :func:`rsa_faces.evaluate` (with 200 bootstrap samples)
    and those of the functions named, with 199 permutations.

    Examples
    --------
    >>> from rsa_faces.inference import calibrate
    >>> table = calibrate(6, 12, method="pearson", n_simulations=5)
    >>> set(table["verdict"])
    {'too few'}
    """
    method = resolve(method)
    check_count(n_subjects, what="n_subjects", low=2)
    check_count(n_conditions, what="n_conditions", low=4)
    check_count(n_simulations, what="n_simulations")
    check_count(jobs, what="jobs")
    if not seconds > 0:
        raise InputError(f"expected a positive number of seconds, got {seconds!r}.")
    design = Design(uncertainty=uncertainty, n_boot=_N_BOOT)
    run = partial(
        _study,
        size=(n_subjects, n_conditions),
        method=method,
        design=design,
        seed=seed,
        noise=_noise_at_ceiling(n_subjects, n_conditions, method, seed),
    )
    outcomes: dict[str, list] = {name: [] for name in (*CHECKS, _MEAN)}
    for done, outcome in enumerate(_in_processes(run, n_simulations, jobs, seconds), start=1):
        for name, value in outcome.items():
            outcomes[name].append(value)
        if on_step is not None:
            on_step(done / n_simulations)
    truth = np.mean(outcomes[_MEAN])
    outcomes[_COVERAGE] = [low <= truth <= high for low, high in outcomes[_COVERAGE]]
    return pd.DataFrame(
        [_row(name, values) for name, values in outcomes.items() if name != _MEAN and values]
    )


def _row(name: str, outcomes: list[bool]) -> dict:
    """Return a row of the table."""
    n, level, count = len(outcomes), CHECKS[name], int(sum(outcomes))
    low, high = stats.binom.interval(0.99, n, level)
    if n < 50:
        verdict = "too few"
    elif low <= count <= high:
        verdict = "as stated"
    else:
        verdict = "cautious" if (count < low) == (level < 0.5) else "too lenient"
    return {
        "check": name,
        "n_simulations": n,
        "level": level,
        "share": count / n,
        "low": low / n,
        "high": high / n,
        "verdict": verdict,
    }


def _in_processes(run: Callable, n: int, jobs: int, seconds: float) -> Iterator[dict]:
    """Yield the outcomes of studies 0 to n - 1 in order, as long as there is time."""
    start = time.monotonic()
    if jobs == 1:
        for i in range(n):
            if i and time.monotonic() - start > seconds:
                return
            yield run(i)
        return
    with ProcessPoolExecutor(jobs) as pool:
        for first in range(0, n, 4 * jobs):
            if first and time.monotonic() - start > seconds:
                return
            yield from pool.map(run, range(first, min(first + 4 * jobs, n)))


def _distances(patterns: np.ndarray) -> np.ndarray:
    """Return squared Euclidean distances of patterns, (..., n_conditions, n_channels)."""
    row, col = np.triu_indices(patterns.shape[-2], k=1)
    gram = patterns @ np.swapaxes(patterns, -1, -2)
    own = np.diagonal(gram, axis1=-2, axis2=-1)
    return own[..., row] + own[..., col] - 2 * gram[..., row, col]


def _subjects(rng, size: tuple[int, int], shared: np.ndarray | float) -> np.ndarray:
    """Return simulated RDM vectors of subjects: what they share plus patterns of their own."""
    return shared + _distances(rng.normal(size=(*size, _N_CHANNELS)))


def _study(i: int, *, size, method, design, seed, noise) -> dict[str, bool | tuple | float]:
    """Return the outcome of each check in one simulated study."""
    rng = np.random.default_rng([seed, *size, i])
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        outcome = {
            **_no_signal(rng, size, method, design),
            **_signal(rng, size, method, design),
        }
        if i % 5 == 0:
            outcome.update(_at_ceiling(rng, size, method, design, noise))
    return outcome


def _no_signal(rng, size, method, design) -> dict:
    """Subjects that share nothing."""
    data = _subjects(rng, size, 0.0)
    model = _distances(rng.normal(size=(1, size[1], _N_CHANNELS)))
    similarity, variances = _variances(rng, model, data, method, design)
    rdms = _rdms(data)
    values = similarity[0]
    p = {name: test(values[None])[1][0] for name, test in ONE_SAMPLE.items()}
    return {
        "model against 0; both drawn; subjects share nothing": _rejects(
            values.mean(), variances["both"][0][0], min(size)
        ),
        "model against 0; subjects drawn; subjects share nothing": _rejects(
            values.mean(), variances["subjects"][0][0], size[0]
        ),
        "t-test over subjects; subjects share nothing": p["t"] < _ALPHA,
        "signed-rank test over subjects; subjects share nothing": p["signed-rank"] < _ALPHA,
        "subjects share structure, when they share nothing": shared_structure(
            rdms, method=method, n_permutations=_N_PERMUTATIONS, seed=int(rng.integers(2**31))
        )
        <= _ALPHA,
    }


def _signal(rng, size, method, design) -> dict:
    """Subjects that share patterns; one model is unrelated, two are equally good."""
    common = rng.normal(size=(size[1], _N_CHANNELS))
    data = _subjects(rng, size, _distances(common))
    other = rng.normal(size=common.shape)
    near = common + rng.normal(size=(2, *common.shape))
    model = _distances(np.stack([other, *near]))
    similarity, variances = _variances(rng, model, data, method, design)
    means = similarity.mean(axis=1)
    half = half_width(np.sqrt(variances["both"][0][1]), min(size) - 1, _ALPHA)
    outcome = {
        "model against 0; both drawn; subjects share something else": _rejects(
            means[0], variances["both"][0][0], min(size)
        ),
        "model against 0; conditions drawn; subjects share something else": _rejects(
            means[0], variances["conditions"][0][0], size[1]
        ),
        "two equally good models; both drawn": _rejects(
            means[1] - means[2], variances["both"][1][1, 2], min(size)
        ),
        "two equally good models; conditions drawn": _rejects(
            means[1] - means[2], variances["conditions"][1][1, 2], size[1]
        ),
        _COVERAGE: (means[1] - half, means[1] + half),
        _MEAN: means[1],
    }
    test = permutation_test(
        _rdms(model[:1]),
        _rdms(data),
        method=method,
        n_permutations=_N_PERMUTATIONS,
        seed=int(rng.integers(2**31)),
    )
    outcome["permutation of condition labels; subjects share something else"] = test.p[0] <= _ALPHA
    return outcome


def _at_ceiling(rng, size, method, design, noise: float) -> dict:
    """Test a model that is, on average, as similar as the lower ceiling against it."""
    common = rng.normal(size=(size[1], _N_CHANNELS))
    data = _subjects(rng, size, _distances(common))
    model = _distances(common + noise * rng.normal(size=common.shape))[None]
    rdms, by = _rdms(data), analytic if design.uncertainty == "analytic" else estimate
    study = Study(model, data, method, design.units(rdms.conditions))
    estimated = by(study, replace(design, seed=int(rng.integers(2**31))))
    difference = estimated.similarity.mean() - noise_ceiling(rdms, method=method).lower
    return {
        "model as good as the lower ceiling, against it; both drawn": _rejects(
            difference, estimated.difference_variance[0, 1], min(size)
        )
    }


def _noise_at_ceiling(n_subjects: int, n_conditions: int, method: Method, seed: int) -> float:
    """Return the noise that makes a model as similar as the lower ceiling, on average."""
    rng = np.random.default_rng([seed, n_subjects, n_conditions])
    levels = np.geomspace(0.05, 3.0, 25)
    once = np.ones((1, n_conditions))
    gaps = []
    for _ in range(max(10, 20_000 // (n_subjects * n_conditions))):
        common = rng.normal(size=(n_conditions, _N_CHANNELS))
        data = _subjects(rng, (n_subjects, n_conditions), _distances(common))
        noisy = common + levels[:, None, None] * rng.normal(size=(25, *common.shape))
        similarity = weighted_similarities(_distances(noisy), data, once, method)[0].mean(axis=1)
        gaps.append(similarity - noise_ceiling(_rdms(data), method=method).lower)
    # The gap falls as noise grows; the level at which it is 0.
    gap = np.minimum.accumulate(np.mean(gaps, axis=0))
    return float(np.exp(np.interp(0.0, -gap, np.log(levels))))


def _variances(rng, model, data, method, design):
    """Return similarities, and variances of means and differences for each generalisation."""
    units = design.units([f"c{i}" for i in range(_n_conditions(data))])
    study = Study(model, data, method, units)
    if design.uncertainty == "analytic":
        parts = variance_parts(study, ceilings=False)
        kinds = ("subjects", "conditions", "both")
        return parts.similarity, {kind: parts.variances(kind) for kind in kinds}
    similarity = study.similarities(study.once)[0]
    draws = draw(design, units, len(data), rng)
    statistic = mean_similarities(study, ceilings=False)
    samples = bootstrap_samples(statistic, draws, block_size(data, method))
    parts = {kind: contrast_variances(values) for kind, values in samples.items()}
    variances = {kind: corrected({kind: parts[kind]}, draws) for kind in ("subjects", "conditions")}
    return similarity, variances | {"both": corrected(parts, draws)}


def _rejects(estimate: float, variance: float, n: int) -> bool:
    """Test an estimate against 0, as `evaluate` does."""
    return bool(t_test(estimate, np.sqrt(variance), n - 1) < _ALPHA)


def _rdms(vectors: np.ndarray) -> RDMs:
    """Return simulated RDMs."""
    names = [f"c{i:04d}" for i in range(_n_conditions(vectors))]
    return RDMs(vectors, names, "simulated", {"subject": list(range(len(vectors)))})


def _n_conditions(vectors: np.ndarray) -> int:
    """Return the number of conditions of RDM vectors."""
    return round((1 + np.sqrt(1 + 8 * vectors.shape[1])) / 2)
