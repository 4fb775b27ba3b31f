"""Compare results with rsatoolbox, SciPy, scikit-learn and plain loops on fresh random cases.

    python scripts/fresh_cases.py [--cases 10000] [--seed N] [--jobs 1]
    python scripts/fresh_cases.py --seed N --case 4711      one case again

Every run draws new cases unless a seed is given; it is printed first. Each case is one small study
of one kind (measures, comparison, ceilings, inference, reliability, …), with ties, whole numbers,
codes, float32, constant patterns and missing pairs by turns. Prints how many cases of each kind
were compared how often, and each difference that has a name (another definition, rounding) with
its count. A difference without a name is printed with its case, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import sys
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
from rsatoolbox.data import Dataset
from rsatoolbox.inference import boot_noise_ceiling
from rsatoolbox.rdm import RDMs as ToolboxRDMs
from rsatoolbox.rdm import calc_rdm
from rsatoolbox.rdm import compare as toolbox_compare
from scipy import stats
from scipy.spatial.distance import pdist
from sklearn.covariance import ledoit_wolf

import rsa_faces as rf
from rsa_faces.comparison import METHODS, compare, max_similarity
from rsa_faces.inference import cronbach_alpha, permutation_test, split_half
from rsa_faces.inference._pooled import subject_ceilings
from rsa_faces.inference._weighted import weighted_similarities
from rsa_faces.inference.bootstrap import draw_counts
from rsa_faces.rdm import MEASURES, NOISE_METHODS, compute_rdms, noise_covariance

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import reference

CASES = 10_000
WHITENED = [name for name, method in METHODS.items() if method.whitened]
UNWHITENED = [name for name in METHODS if name not in WHITENED]
RANKED = [name for name, method in METHODS.items() if method.uses_ranks]
PLAIN = [name for name, measure in MEASURES.items() if measure.plain]
THEIR_NAMES = {"pearson": "corr", "kendall": "tau-b"}

# Why a difference is none of ours, by the name under which it is counted.
UNDEFINED_RDM = "constant RDM: no similarity (NaN) here, 0 or 1 in rsatoolbox"
MISPLACED = "constant RDM among others: rsatoolbox misplaces the similarities of the others"
PERFECT_HALVES = "halves that agree perfectly: Fisher's z is as large as rounding lets it be"
ILL_CONDITIONED = "covariance of a condition above 1e8: no digits to compare"
REFUSED = "refused with an InputError that says why"


class Case:
    """One case: its source of randomness, and what was compared."""

    def __init__(self, seed: int, number: int):
        self.rng = np.random.default_rng([seed, number])
        self.number = number
        self.kind = ""
        self.details: list[str] = []
        self.n_compared = 0
        self.explained: Counter[str] = Counter()
        self.differences: list[str] = []

    def agree(self, what: str, ours, expected, atol: float, rtol: float = 0.0) -> None:
        """Compare numbers; undefined (NaN) on one side only is a difference."""
        ours, expected = np.asarray(ours, float), np.asarray(expected, float)
        self.n_compared += expected.size
        if ours.shape != expected.shape:
            self.differences.append(f"{what}: shape {ours.shape}, expected {expected.shape}")
        elif not np.allclose(ours, expected, rtol=rtol, atol=atol, equal_nan=True):
            wrong = ~np.isclose(ours, expected, rtol=rtol, atol=atol, equal_nan=True)
            pairs = zip(ours[wrong][:3], expected[wrong][:3], strict=True)
            shown = ", ".join(f"{a!r} for {b!r}" for a, b in pairs)
            self.differences.append(f"{what}: {int(wrong.sum())} of {wrong.size}: {shown}")

    def explain(self, why: str, n: int = 1) -> None:
        """Count a difference that has a name."""
        self.explained[why] += int(n)

    def pick(self, *options):
        """Return one of the options, and remember it for the report of a difference."""
        chosen = options[int(self.rng.integers(len(options)))]
        self.details.append(str(chosen))
        return chosen

    def some(self, low: int, high: int) -> int:
        """Return a number from low to high."""
        return int(self.rng.integers(low, high + 1))


# --- random data ---------------------------------------------------------------------------------


def n_pairs(n: int) -> int:
    return n * (n - 1) // 2


def names(n: int) -> list[str]:
    return [f"c{i}" for i in range(n)]


def some_conditions(case: Case, low: int = 3) -> int:
    """Return few conditions mostly, sometimes more."""
    return case.some(13, 24) if case.rng.random() < 0.1 else case.some(low, max(low, 12))


def some_patterns(case: Case, n: int, p: int) -> np.ndarray:
    """Return patterns (n, p) of some kind of number; some are equal, constant or zero."""
    rng = case.rng
    kind = case.pick("float64", "float32", "whole", "codes", "offset", "counts")
    if kind == "whole":
        patterns = rng.integers(-4, 5, (n, p))
    elif kind == "codes":
        patterns = rng.integers(0, 2, (n, p))
    elif kind == "counts":
        patterns = rng.poisson(2.0, (n, p)).astype(case.pick("int32", "float32", "float64"))
    else:
        patterns = rng.normal(size=(n, p)) + (100 if kind == "offset" else 0)
        patterns = patterns.astype("float32" if kind == "float32" else "float64")
    if rng.random() < 0.3:
        patterns[0] = patterns[1]
    if rng.random() < 0.15:
        patterns[-1] = case.pick(0, 3)
    return patterns


def some_vectors(case: Case, n_rdms: int, n: int, signal=None, *, constant: bool = False):
    """Return RDMs (n_rdms, n_pairs) that share something, by turns continuous and tied."""
    rng, size = case.rng, n_pairs(n)
    signal = rng.normal(size=size) if signal is None else signal
    vectors = signal + rng.normal(size=(n_rdms, size)) + 3
    kind = case.pick("continuous", "rounded", "few values", "codes", "tenths", "float32")
    if kind == "tenths":
        vectors = np.round(vectors) / 10
    elif kind == "rounded":
        vectors = np.round(2 * vectors) / 2
    elif kind == "few values":
        vectors = np.round(vectors)
    elif kind == "codes":
        vectors = (vectors > 3).astype(float)
    elif kind == "float32":
        vectors = vectors.astype(np.float32).astype(float)
    if constant and rng.random() < 0.1:
        vectors[0] = case.pick(0.0, 2.0)
    else:
        vectors[:, 0], vectors[:, 1] = 1.0, 4.0
    return vectors


def rdms_of(vectors: np.ndarray, n: int, **labels) -> rf.RDMs:
    return rf.RDMs(np.atleast_2d(vectors), names(n), "random", labels or None)


# --- independent similarities --------------------------------------------------------------------


def whitening(size: int, present: np.ndarray) -> np.ndarray:
    """Return the inverse covariance of the pairs that are present, from differences."""
    n = round((1 + math.sqrt(1 + 8 * size)) / 2)
    row, col = np.triu_indices(n, k=1)
    contrast = np.zeros((size, n))
    contrast[np.arange(size), row], contrast[np.arange(size), col] = 1, -1
    return np.linalg.inv(((contrast @ contrast.T) ** 2)[np.ix_(present, present)])


def is_constant(x: np.ndarray) -> bool:
    return len(x) == 0 or bool((x == x[0]).all())


def similarity(x: np.ndarray, y: np.ndarray, method: str) -> float:
    """Compare two vectors over the pairs both have, with SciPy where it has the method."""
    present = ~(np.isnan(x) | np.isnan(y))
    size, x, y = len(x), x[present], y[present]
    if len(x) < 3:
        return math.nan
    if method in {"cosine", "cosine_cov"}:
        if not x.any() or not y.any():
            return math.nan
    elif is_constant(x) or is_constant(y):
        return math.nan
    if method == "pearson":
        return stats.pearsonr(x, y)[0]
    if method == "spearman":
        return stats.spearmanr(x, y)[0]
    if method == "kendall":
        return stats.kendalltau(x, y)[0]
    if method == "rho-a":
        a, b = (stats.rankdata(v) - (len(v) + 1) / 2 for v in (x, y))
        return 12 * (a @ b) / (len(x) ** 3 - len(x))
    if method == "tau-a":
        signs = [np.sign(v[:, None] - v) for v in (x, y)]
        return (signs[0] * signs[1]).sum() / (len(x) * (len(x) - 1))
    if method == "cosine":
        return x @ y / math.sqrt((x @ x) * (y @ y))
    inverse = whitening(size, present)
    if method == "corr_cov":
        x, y = x - x.mean(), y - y.mean()
    return x @ inverse @ y / math.sqrt((x @ inverse @ x) * (y @ inverse @ y))


def similarities(model: np.ndarray, data: np.ndarray, method: str) -> np.ndarray:
    return np.array([[similarity(x, y, method) for y in data] for x in model])


def resampled(vectors: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return RDMs of drawn conditions, NaN for pairs of a condition with its own copy."""
    index = np.repeat(np.arange(len(counts)), counts.astype(int))
    square = np.full((len(vectors), len(counts), len(counts)), np.nan)
    row, col = np.triu_indices(len(counts), k=1)
    square[:, row, col] = square[:, col, row] = vectors
    row, col = np.triu_indices(len(index), k=1)
    return square[:, index][:, :, index][:, row, col]


def pooled(vectors: np.ndarray, method: str) -> np.ndarray:
    """Return the mean of scaled RDMs over those that have each pair; sums are exact."""
    scaled = np.full(vectors.shape, np.nan)
    for out, vector in zip(scaled, vectors, strict=True):
        present = ~np.isnan(vector)
        own = vector[present]
        if method in RANKED:
            own = stats.rankdata(own)
        else:
            if METHODS[method].centres:
                own = own - own.mean()
            length = math.sqrt((own**2).mean())
            own = own / length if length > 0 else own
        out[present] = own
    pool = np.full(vectors.shape[1], np.nan)
    for p, column in enumerate(scaled.T):
        measured = column[~np.isnan(column)]
        if measured.size:
            pool[p] = math.fsum(measured) / len(measured)
    return pool


def ceilings(data: np.ndarray, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Return each subject's similarity with the pool of the others, and of all."""
    everyone = pooled(data, method)
    lower = [
        similarity(own, pooled(np.delete(data, s, axis=0), method), method)
        for s, own in enumerate(data)
    ]
    return np.array(lower), np.array([similarity(own, everyone, method) for own in data])


# --- measures ------------------------------------------------------------------------------------


def exact_ties(patterns: np.ndarray, *, centred: bool) -> list:
    """Return the exact cosine or correlation of each pair of whole patterns: sign and square."""
    rows = [[int(v) for v in row] for row in patterns]
    if centred:
        rows = [[len(row) * v - sum(row) for v in row] for row in rows]
    keys = []
    for i in range(len(rows)):
        for j in range(i + 1, len(rows)):
            dot, *squares = (
                sum(a * b for a, b in zip(rows[u], rows[v], strict=True))
                for u, v in ((i, j), (i, i), (j, j))
            )
            defined = squares[0] * squares[1]
            keys.append(((dot > 0) - (dot < 0), Fraction(dot**2, defined)) if defined else None)
    return keys


def check_measure(case: Case) -> None:
    measure = case.pick(*PLAIN)
    n, p = some_conditions(case), case.pick(1, 2, 3, 5, 20, 60)
    patterns = some_patterns(case, n, p)
    if measure == "poisson":
        patterns = np.abs(patterns)
    ours = compute_rdms(patterns, conditions=names(n), measure=measure).vectors[0]
    expected = np.array(reference.MEASURES[measure](patterns))
    undefined = np.isnan(expected)
    scale = float(np.abs(patterns).max()) ** 2 * p + 1.0
    angular = measure in {"correlation", "cosine"}
    # What an offset leaves of the digits of what varies; of distances, a root doubles it.
    atol = 1e-10 if angular or measure == "poisson" else 1e-13 * scale
    square = (lambda v: np.square(v)) if measure == "euclidean" else (lambda v: v)
    case.agree(f"{measure}, loops", square(ours), square(expected), atol)
    if measure in {"euclidean", "sqeuclidean"} and (patterns == np.round(patterns)).all():
        whole = pdist(patterns.astype(float), measure)
        case.agree(f"{measure} of whole numbers, SciPy exactly", ours, whole, 0.0)
    if measure != "poisson":
        theirs = pdist(patterns.astype(float), measure)
        case.agree(f"{measure}, SciPy", square(ours), square(theirs), atol)
    if angular and (patterns == np.round(patterns)).all():
        keys = exact_ties(patterns, centred=measure == "correlation")
        found = [tuple(np.flatnonzero(ours == v)) for v in ours[~undefined]]
        exact = [tuple(i for i, k in enumerate(keys) if k == key) for key in keys if key]
        case.n_compared += 1
        if found != exact:
            case.differences.append(f"{measure}: other ties than those of exact fractions")
    if measure in {"euclidean", "correlation", "poisson"} and p > 1:
        data = Dataset(patterns.astype(float))
        theirs = calc_rdm(data, method=measure).dissimilarities[0]
        if measure == "euclidean":  # theirs is squared, over the number of channels
            theirs = theirs * p
        case.agree(f"{measure}, rsatoolbox", square(ours), theirs, 10 * atol)
    single = patterns.astype(np.float32)
    streamed = MEASURES[measure].of_layer(single)
    expected = np.array(reference.MEASURES[measure](single))
    atol = 2e-6 * max(1.0, np.nanmax(np.abs(square(expected)), initial=0.0))
    case.agree(f"{measure}, streamed", square(streamed), square(expected), atol)


def check_noise_measure(case: Case) -> None:
    measure = case.pick("mahalanobis", "crossnobis")
    noise = case.pick("given", *NOISE_METHODS, *["none"] * (measure == "crossnobis"))
    n, p, folds = case.some(3, 9), case.some(2, 8), case.some(2, 4)
    repeats = case.some(2, 3)
    rows = case.rng.normal(size=(folds, repeats, n, p)) @ case.rng.normal(size=(p, p))
    if case.rng.random() < 0.3:
        rows = np.round(2 * rows)
        rows[..., 0] += case.rng.integers(0, 2, rows.shape[:-1]) * 5  # no channel is constant
    conditions = names(n) * (folds * repeats)
    options: dict = {}
    cells = rows.mean(axis=1)
    if measure == "crossnobis":
        options["folds"] = np.repeat(np.arange(folds), repeats * n).tolist()
        residuals, n_cells = rows - cells[:, None], folds * n
    else:
        cells = rows.mean(axis=(0, 1))
        residuals, n_cells = rows - cells, n
    residuals = residuals.reshape(-1, p)
    if noise == "none":
        covariance = np.eye(p)
    elif noise == "given":
        root = case.rng.normal(size=(p, 3 * p))
        covariance = root @ root.T / (3 * p)
        options["noise"] = covariance
    else:
        covariance, _ = reference.NOISE_METHODS[noise](residuals, len(residuals) - n_cells)
        options["noise"] = noise
    if np.linalg.cond(covariance) > 1e8:
        return case.explain(ILL_CONDITIONED)
    found = compute_rdms(
        rows.reshape(-1, p), conditions=conditions, measure=measure, **options
    ).vectors[0]
    expected = np.array(reference.MEASURES[measure](cells, covariance))
    atol = 1e-14 * np.linalg.cond(covariance) * max(1.0, np.abs(expected).max()) + 1e-11
    case.agree(f"{measure}, loops", found, expected, atol)
    precision = np.linalg.inv(covariance)
    if measure == "mahalanobis":
        theirs = pdist(cells, "mahalanobis", VI=precision) ** 2 / p
        return case.agree("mahalanobis, SciPy", found, theirs, atol)
    data = Dataset(
        cells.reshape(-1, p),
        obs_descriptors={
            "condition": np.tile(np.arange(n), folds),
            "run": np.repeat(np.arange(folds), n),
        },
    )
    theirs = calc_rdm(
        data, method="crossnobis", descriptor="condition", cv_descriptor="run", noise=precision
    )
    return case.agree("crossnobis, rsatoolbox", found, theirs.dissimilarities[0], 10 * atol)


def check_noise_covariance(case: Case) -> None:
    method = case.pick(*NOISE_METHODS)
    n, p = case.some(3, 40), case.some(1, 12)
    residuals = case.rng.normal(size=(n, p)) @ case.rng.normal(size=(p, p))
    n_estimated = case.some(0, min(2, n - 2))
    if n_estimated:
        residuals -= residuals.mean(axis=0)
    noise = noise_covariance(residuals, method=method, n_estimated=n_estimated)
    if p == 1:  # nothing to shrink: 0 / 0 in the loops
        variance = (residuals**2).sum() / (n - n_estimated)
        return case.agree("one channel", noise.covariance, [[variance]], 0, 1e-12)
    covariance, shrinkage = reference.NOISE_METHODS[method](residuals, n - n_estimated)
    shrinkage = max(shrinkage, 0.0)
    atol = 1e-9 * np.abs(covariance).max()
    case.agree(f"{method}, loops", noise.covariance, covariance, atol)
    case.agree(f"{method}, shrinkage", noise.shrinkage, shrinkage, 1e-9)
    if method == "ledoit-wolf" and not n_estimated:
        theirs, shrinkage = ledoit_wolf(residuals, assume_centered=True)
        case.agree("ledoit-wolf, scikit-learn", noise.covariance, theirs, atol)
        case.agree("ledoit-wolf, shrinkage of scikit-learn", noise.shrinkage, shrinkage, 1e-9)
    return None


# --- comparison ----------------------------------------------------------------------------------


def check_compare(case: Case) -> None:
    method = case.pick(*METHODS)
    n = some_conditions(case)
    signal = case.rng.normal(size=n_pairs(n))
    model = some_vectors(case, case.some(1, 3), n, signal, constant=True)
    data = some_vectors(case, case.some(1, 3), n, signal, constant=True)
    ours = compare(rdms_of(model, n), rdms_of(data, n), method=method)
    expected = similarities(model, data, method)
    case.agree(f"{method}, SciPy", ours, expected, 1e-10)
    if n <= (7 if method in WHITENED else 10):
        case.agree(f"{method}, loops", ours, reference.compare(model, data, method), 1e-10)
    theirs = partial(toolbox_compare, method=THEIR_NAMES.get(method, method))
    undefined = np.isnan(expected)
    if undefined.all():
        return case.explain(UNDEFINED_RDM)
    # Without the constant ones: its np.putmask repeats values by position.
    kept = ~undefined.all(axis=1), ~undefined.all(axis=0)
    sides = [ToolboxRDMs(side[own]) for side, own in zip((model, data), kept, strict=True)]
    found, alone = ours[np.ix_(*kept)], theirs(*sides)
    if undefined.any():
        together = theirs(ToolboxRDMs(model), ToolboxRDMs(data))
        case.explain(UNDEFINED_RDM, (undefined & ~np.isnan(together)).sum())
        case.explain(MISPLACED, not np.allclose(together[np.ix_(*kept)], alone, rtol=0, atol=1e-9))
    return case.agree(f"{method}, rsatoolbox", found, alone, 1e-9)


def check_missing(case: Case) -> None:
    method = case.pick(*UNWHITENED)
    n = some_conditions(case)
    model, data = (some_vectors(case, case.some(1, 3), n, constant=True) for _ in range(2))
    for side in (model, data):
        side[case.rng.random(side.shape) < case.pick(0.0, 0.1, 0.4)] = np.nan
    ours = compare(rdms_of(model, n), rdms_of(data, n), method=method)
    case.agree(f"{method}, SciPy", ours, similarities(model, data, method), 1e-10)
    if n <= 8:
        case.agree(f"{method}, loops", ours, reference.compare(model, data, method), 1e-10)


def check_weights(case: Case) -> None:
    method = case.pick("pearson", "spearman", "cosine")
    n = some_conditions(case)
    model, data = (some_vectors(case, 2, n) for _ in range(2))
    weights = case.rng.integers(0, 4, data.shape)
    if case.rng.random() < 0.3:
        data[0, case.some(0, data.shape[1] - 1)] = np.nan
    scale = case.pick(1.0, 0.37)  # only ratios matter
    ours = compare(rdms_of(model, n), rdms_of(data, n), method=method, weights=scale * weights)
    expected = np.full((2, 2), np.nan)
    for j, (own, y) in enumerate(zip(weights, data, strict=True)):
        if ((own > 0) & ~np.isnan(y)).sum() >= 3:
            expected[:, j] = [
                similarity(np.repeat(x, own), np.repeat(y, own), method) for x in model
            ]
    case.agree(f"{method} under weights, repeated pairs", ours, expected, 1e-10)


def check_given(case: Case) -> None:
    method = case.pick("pearson", "spearman")
    n = some_conditions(case, 4)
    sides = [some_vectors(case, case.some(1, 2), n) for _ in range(3)]
    model, data, given = sides
    ours = compare(rdms_of(model, n), rdms_of(data, n), method=method, given=rdms_of(given, n))
    if method == "spearman":
        model, data, given = (stats.rankdata(v, axis=1) for v in sides)
    basis = np.vstack([given, np.ones(given.shape[1])]).T
    left = []
    for side in (model, data):
        residuals = side - (basis @ np.linalg.lstsq(basis, side.T, rcond=1e-10)[0]).T
        spread = (residuals**2).sum(axis=1) / ((side - side.mean(axis=1)[:, None]) ** 2).sum(axis=1)
        residuals[spread < 1e-12] = np.nan
        left.append(residuals)
    expected = [
        [math.nan if np.isnan([x, y]).any() else stats.pearsonr(x, y)[0] for y in left[1]]
        for x in left[0]
    ]
    case.agree(f"{method}, given: residuals", ours, expected, 1e-8)


def check_sigma_k(case: Case) -> None:
    method = case.pick(*WHITENED)
    n = case.some(3, 6)
    model, data = (some_vectors(case, 1, n) for _ in range(2))
    root = case.rng.normal(size=(n, 3 * n))
    sigma_k = root @ root.T / (3 * n)
    ours = compare(rdms_of(model, n), rdms_of(data, n), method=method, sigma_k=sigma_k)
    case.agree(f"{method}, loops", ours, reference.compare(model, data, method, sigma_k), 1e-8)


def check_blocks(case: Case) -> None:
    method = case.pick(*UNWHITENED)
    sizes = [case.some(3, 6) for _ in range(case.some(2, 3))]
    n = sum(sizes)
    codes = case.rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    model, data = (some_vectors(case, 2, n) for _ in range(2))
    row, col = np.triu_indices(n, k=1)
    if case.pick("between runs: all", "between runs: none").endswith("none"):
        data[:, codes[row] != codes[col]] = np.nan
    blocks = dict(zip(names(n), codes.tolist(), strict=True))
    ours = compare(rdms_of(model, n), rdms_of(data, n), method=method, blocks=blocks)
    runs = [(codes[row] == k) & (codes[col] == k) for k in range(len(sizes))]
    each = [similarities(model[:, own], data[:, own], method) for own in runs]
    case.agree(f"{method} within runs, SciPy", ours, np.mean(each, axis=0), 1e-10)


def check_max_similarity(case: Case) -> None:
    method = case.pick(*METHODS)
    n = some_conditions(case)
    model = some_vectors(case, 1, n, constant=True)[0]
    ours = max_similarity(rdms_of(model, n), method=method)[0]
    # The best data without ties have the model's order, and any order of what it ties.
    order = np.lexsort((case.rng.random(len(model)), model))
    data = np.empty(len(model))
    data[order] = np.arange(len(model))
    best = similarity(model, data if method in RANKED else model, method)
    case.agree(f"largest {method}, SciPy", ours, best, 1e-12)


# --- inference -----------------------------------------------------------------------------------


def some_subjects(case: Case, n: int, low: int = 2) -> np.ndarray:
    return some_vectors(case, case.some(low, 6), n)


def check_ceilings(case: Case) -> None:
    method = case.pick(*METHODS)
    n = some_conditions(case)
    data = some_subjects(case, n)
    missing = method not in WHITENED and n > 4 and case.rng.random() < 0.3
    if missing:
        data[case.rng.random(data.shape) < 0.1] = np.nan
        case.details.append("missing")
    subjects = [f"s{i}" for i in range(len(data))]
    sessions = not missing and len(data) > 2 and case.rng.random() < 0.3
    if sessions:
        subjects[-1] = subjects[0]
        case.details.append("two sessions")
    ours = rf.noise_ceiling(rdms_of(data, n, subject=subjects), method=method)
    means = data
    if sessions:
        # Rounded to what all kinds of data have in common, so that equal means are equal.
        means = np.vstack([np.round((data[0] + data[-1]) / 2, 12), data[1:-1]])
    bounds = ceilings(means, method)
    expected = [bound.mean() for bound in bounds]
    case.agree(f"ceilings of {method}, SciPy", [ours.lower, ours.upper], expected, 1e-10)
    if not missing and n <= 6:
        loops = reference.noise_ceiling(data, subjects, method)
        case.agree(f"ceilings of {method}, loops", [ours.lower, ours.upper], loops, 1e-10)
    if missing or np.isnan(expected).any():
        return case.explain(UNDEFINED_RDM, not missing)
    theirs = ToolboxRDMs(means, rdm_descriptors={"subject": list(range(len(means)))})
    theirs = boot_noise_ceiling(theirs, THEIR_NAMES.get(method, method), "subject")
    return case.agree(f"ceilings of {method}, rsatoolbox", [ours.lower, ours.upper], theirs, 1e-9)


def drawn_study(case: Case, n: int):
    """Return counts of conditions of which at least four are different."""
    return draw_counts(case.rng, 2, np.arange(n), min_distinct=4)


def check_resampled(case: Case) -> None:
    method = case.pick(*METHODS)
    n = case.some(5, 11)
    signal = case.rng.normal(size=n_pairs(n))
    model, data = (some_vectors(case, 2, n, signal) for _ in range(2))
    if method not in WHITENED and case.rng.random() < 0.4:
        data[case.rng.random(data.shape) < 0.1] = np.nan
    counts = drawn_study(case, n)
    ours = weighted_similarities(model, data, counts, method)
    for b, drawn in enumerate(counts):
        expected = similarities(resampled(model, drawn), resampled(data, drawn), method)
        case.agree(f"{method} of drawn conditions, resampled RDMs", ours[b], expected, 1e-9)


def check_resampled_ceilings(case: Case) -> None:
    method = case.pick(*METHODS)
    n = case.some(6, 11)
    data = some_subjects(case, n)
    counts = drawn_study(case, n)
    ours = subject_ceilings(data, counts, method)
    for b, drawn in enumerate(counts):
        sample = resampled(data, drawn)
        measured = ~np.isnan(sample[0])
        if any(is_constant(own[measured]) for own in sample):
            case.explain(UNDEFINED_RDM)
            continue
        expected = ceilings(sample, method)
        found = [bound[b] for bound in ours]
        case.agree(f"ceilings of {method}, resampled RDMs", found, expected, 1e-9)


def check_evaluate(case: Case) -> None:
    method = case.pick(*METHODS)
    n = case.some(4, 12)
    signal = case.rng.normal(size=n_pairs(n))
    model = some_vectors(case, 2, n, signal)
    data = some_vectors(case, case.some(3, 6), n, signal)
    uncertainty = case.pick("analytic", "bootstrap")
    generalise_to = "subjects" if uncertainty == "analytic" else case.pick("subjects", "conditions")
    seed, n_boot = case.some(0, 10**6), 5
    result = rf.evaluate(
        rdms_of(model, n, name=["a", "b"]),
        rdms_of(data, n, subject=list(range(len(data)))),
        method=method,
        generalise_to=generalise_to,
        uncertainty=uncertainty,
        n_boot=n_boot,
        seed=seed,
    ).table
    each = similarities(model, data, method)
    mean = each.mean(axis=1)
    case.agree(f"evaluate, {method}", result["similarity"], mean, 1e-10)
    if uncertainty == "analytic":
        variance = each.var(axis=1, ddof=1) / len(data)
        t = stats.ttest_1samp(each, 0.0, axis=1)
        varies = np.sqrt(variance) > 1e-9
        case.agree("p, SciPy", result["p"][varies], t.pvalue[varies], 1e-9, 1e-6)
    elif generalise_to == "subjects":
        counts = draw_counts(np.random.default_rng(seed), n_boot, np.arange(len(data)))
        samples = counts @ each.T / len(data)
        variance = samples.var(axis=0, ddof=1) * len(data) / (len(data) - 1)
    else:
        rng = np.random.default_rng(seed)
        again = False
        counts = rng.multinomial(n, np.full(n, 1 / n), size=n_boot)
        while ((counts > 0).sum(axis=1) < 3).any():
            poor = (counts > 0).sum(axis=1) < 3
            counts[poor] = rng.multinomial(n, np.full(n, 1 / n), size=int(poor.sum()))
            again = True
        samples = np.array(
            [
                similarities(resampled(model, c), resampled(data, c), method).mean(axis=1)
                for c in counts
            ]
        )
        if np.isnan(samples).any():
            return case.explain(UNDEFINED_RDM)
        spread = ((counts - 1.0) ** 2).mean() if again else 1 - 1 / n
        variance = samples.var(axis=0, ddof=1) / spread
    sem = np.sqrt(variance)
    found = np.nan_to_num(result["sem"].to_numpy())
    return case.agree(f"sem of {generalise_to}, {uncertainty}, {method}", found, sem, 1e-9)


def check_permutation(case: Case) -> None:
    method = case.pick(*METHODS)
    n, n_permutations, seed = case.some(4, 8), 19, case.some(0, 10**6)
    signal = case.rng.normal(size=n_pairs(n))
    model, data = (some_vectors(case, 2, n, signal) for _ in range(2))
    if case.rng.random() < 0.3:  # similarities of exactly 0 are as many as others
        model, data = (
            case.rng.permuted(np.tile(np.arange(n_pairs(n)) % 2, (2, 1)), axis=1) for _ in range(2)
        )
        case.details.append("half of each code")
    found = permutation_test(
        rdms_of(model, n),
        rdms_of(data, n, subject=["a", "b"]),
        method=method,
        n_permutations=n_permutations,
        seed=seed,
    )
    observed = similarities(model, data, method).mean(axis=1)
    # Orders are drawn 64 at a time.
    orders = np.argsort(np.random.default_rng(seed).random((64, n)), axis=1)[:n_permutations]
    row, col = np.triu_indices(n, k=1)
    values = []
    for order in orders:
        square = np.zeros((2, n, n))
        square[:, row, col] = square[:, col, row] = data
        shuffled = square[:, order][:, :, order][:, row, col]
        values.append(similarities(model, shuffled, method).mean(axis=1))
    values = np.array(values)
    reached = (values >= observed - 1e-10).sum(axis=0)
    largest = (values.max(axis=1)[:, None] >= observed - 1e-10).sum(axis=0)
    case.agree(f"permuted {method}", found.similarity, observed, 1e-10)
    case.agree(f"p of {method}", found.p, (1 + reached) / 20, 1e-12)
    case.agree(f"p_max of {method}", found.p_max, (1 + largest) / 20, 1e-12)


def check_alpha(case: Case) -> None:
    n = some_conditions(case)
    data = some_subjects(case, n)
    found = cronbach_alpha(rdms_of(data, n, subject=list(range(len(data))))).overall
    covariance = np.cov(data)
    k = len(data)
    expected = k / (k - 1) * (1 - np.trace(covariance) / covariance.sum())
    case.agree("Cronbach's alpha", found, expected, 1e-10, 1e-9)


def check_split_half(case: Case) -> None:
    method = case.pick(*METHODS)
    n, n_splits, seed = some_conditions(case), 5, case.some(0, 10**6)
    data = some_subjects(case, n)
    found = split_half(
        rdms_of(data, n, subject=list(range(len(data)))),
        method=method,
        n_splits=n_splits,
        seed=seed,
    )
    orders = np.argsort(np.random.default_rng(seed).random((n_splits, len(data))), axis=1)
    half, r = len(data) // 2, []
    for order in orders:
        first, second = (data[own].mean(axis=0) for own in (order[:half], order[half : 2 * half]))
        # Sums in another order differ in the last digit: no new order of ties.
        r.append(similarity(np.round(first, 10), np.round(second, 10), method))
    r = np.array(r)
    if (np.abs(r) > 1 - 1e-9).any():
        return case.explain(PERFECT_HALVES)
    # 2r / (1 + r) has no bound below; r has.
    return case.agree(
        f"split half, {method}", found / (2 - found), np.tanh(np.arctanh(r).mean()), 1e-8
    )


def check_partition(case: Case) -> None:
    n, k = case.some(6, 14), case.some(2, 3)
    transform = case.pick(None, "rank")
    signal = case.rng.normal(size=n_pairs(n))
    data = some_vectors(case, case.some(2, 4), n, signal)
    predictors = {f"p{i}": some_vectors(case, 1, n, signal * (i < 2)) for i in range(k)}
    try:
        found = rf.variance_partition(
            rdms_of(data, n, subject=list(range(len(data)))),
            {name: rdms_of(v, n) for name, v in predictors.items()},
            transform=transform,
            n_boot=2,
            n_permutations=0,
        )
    except rf.InputError:
        return case.explain(REFUSED)
    scaled = [
        [stats.zscore(stats.rankdata(v) if transform else v) for v in side]
        for side in (data, *predictors.values())
    ]
    y, *x = (np.mean(side, axis=0) for side in scaled)

    def adjusted(*which: int) -> float:
        basis = np.column_stack([np.ones(len(y)), *(x[i] for i in which)])
        left = y - basis @ np.linalg.lstsq(basis, y, rcond=None)[0]
        share = (left @ left) / ((y - y.mean()) @ (y - y.mean()))
        return 1 - share * (len(y) - 1) / (len(y) - len(which) - 1)

    if k == 2:
        a, b, ab = adjusted(0), adjusted(1), adjusted(0, 1)
        expected = [ab - b, ab - a, a + b - ab]
    else:
        a, b, c = (adjusted(i) for i in range(3))
        ab, ac, bc, abc = adjusted(0, 1), adjusted(0, 2), adjusted(1, 2), adjusted(0, 1, 2)
        expected = [
            abc - bc,
            abc - ac,
            abc - ab,
            ac + bc - c - abc,
            ab + bc - b - abc,
            ab + ac - a - abc,
            a + b + c - ab - ac - bc + abc,
        ]
    return case.agree("parts of the variance", found.table["r2_adjusted"], expected, 1e-9)


#: Each kind of case, and its share of all.
KINDS = {
    check_measure: 20,
    check_noise_measure: 8,
    check_noise_covariance: 5,
    check_compare: 18,
    check_missing: 8,
    check_weights: 5,
    check_given: 5,
    check_sigma_k: 3,
    check_blocks: 4,
    check_max_similarity: 4,
    check_ceilings: 5,
    check_resampled: 5,
    check_resampled_ceilings: 2,
    check_evaluate: 2,
    check_permutation: 2,
    check_alpha: 1,
    check_split_half: 2,
    check_partition: 1,
}
ROUND = [check for check, share in KINDS.items() for _ in range(share)]


def run(number: int, seed: int) -> Case:
    """Run one case; an error is a difference."""
    case = Case(seed, number)
    # Every number of cases holds all kinds in their shares: 37 and 100 have no common divisor.
    check = ROUND[number * 37 % len(ROUND)]
    case.kind = check.__name__.removeprefix("check_").replace("_", " ")
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            check(case)
        except Exception as error:  # noqa: BLE001 (whatever it is, the case is shown)
            case.differences.append(f"{type(error).__name__}: {error}")
    del case.rng
    return case


def report(cases: list[Case]) -> None:
    """Print what was compared, what differs with a name, and what without."""
    print(f"{'kind':22}{'cases':>8}{'numbers':>10}{'unexplained':>13}")
    for kind in dict.fromkeys(case.kind for case in sorted(cases, key=lambda c: c.kind)):
        own = [case for case in cases if case.kind == kind]
        wrong = sum(bool(case.differences) for case in own)
        print(f"{kind:22}{len(own):8}{sum(c.n_compared for c in own):10}{wrong:13}")
    wrong = [case for case in cases if case.differences]
    print(f"{'all':22}{len(cases):8}{sum(c.n_compared for c in cases):10}{len(wrong):13}")
    explained = sum((case.explained for case in cases), Counter())
    for why, n in explained.most_common():
        print(f"explained {n:7} times: {why}")
    for case in wrong:
        print(f"\ncase {case.number} ({case.kind}; {', '.join(case.details)})")
        for difference in case.differences:
            print(f"  {difference}")


def main(arguments: list[str] | None = None) -> int:
    """Run the cases and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--seed", type=int, help="by default a new one, which is printed")
    parser.add_argument("--case", type=int, help="only this one, of the seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args(arguments)
    seed = options.seed
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    print(f"seed {seed}", flush=True)
    numbers = range(options.cases) if options.case is None else [options.case]
    start = time.perf_counter()
    if options.jobs == 1:
        cases = [run(number, seed) for number in numbers]
    else:
        with ProcessPoolExecutor(options.jobs) as executor:
            cases = list(executor.map(partial(run, seed=seed), numbers, chunksize=50))
    report(cases)
    print(f"{time.perf_counter() - start:.0f} s")
    return int(any(case.differences for case in cases))


if __name__ == "__main__":
    sys.exit(main())
