"""Similarities and ceilings under weights equal those of RDMs that are really resampled."""

import warnings

import numpy as np
import pytest
from rsatoolbox.rdm import RDMs as ToolboxRDMs
from rsatoolbox.rdm import compare as toolbox_compare
from scipy import stats

from rsa_faces.comparison import METHODS, resolve
from rsa_faces.comparison._forms import pair_weights
from rsa_faces.inference._design import Design
from rsa_faces.inference._pooled import subject_ceilings
from rsa_faces.inference._study import Study
from rsa_faces.inference._weighted import weighted_similarities
from rsa_faces.inference.bootstrap import (
    Draws,
    block_size,
    bootstrap_samples,
    draw_counts,
    mean_similarities,
)

RANK_METHODS = frozenset(name for name, method in METHODS.items() if method.uses_ranks)
COV_METHODS = frozenset(name for name, method in METHODS.items() if method.whitened)

TOLERANCE = 1e-10
TOOLBOX_NAMES = {"pearson": "corr"}


def random_case(seed, *, ties=False, missing=False, n_conditions=None, n_model=3, n_subjects=4):
    rng = np.random.default_rng(seed)
    n = n_conditions or int(rng.integers(6, 14))
    n_pairs = n * (n - 1) // 2
    signal = rng.normal(size=n_pairs)
    model = 0.5 * signal + rng.normal(size=(n_model, n_pairs)) + 3
    data = signal + rng.normal(size=(n_subjects, n_pairs)) + 3
    if ties:
        model, data = np.round(model), np.round(data)
    if missing:
        data[rng.random(data.shape) < 0.1] = np.nan
    conditions = draw_counts(rng, 6, np.arange(n), min_distinct=4)
    subjects = draw_counts(rng, 6, np.arange(n_subjects))
    return model, data, conditions, subjects


def sampled(model, data, method, subjects, conditions, *, ceilings=True):
    """Return samples of subjects, conditions and both."""
    n = conditions.shape[1]
    units = Design().units([str(i) for i in range(n)])
    study = Study(model, data, resolve(method), units)
    statistic = mean_similarities(study, ceilings=ceilings)
    draws = Draws(subjects, conditions, len(data), n, n)
    return bootstrap_samples(statistic, draws, block_size(data, method))


def resampled(vectors, counts):
    """Return RDM vectors of a resample, NaN for pairs of a condition with its own copy."""
    index = np.repeat(np.arange(len(counts)), counts.astype(int))
    n = len(counts)
    square = np.full((len(vectors), n, n), np.nan)
    row, col = np.triu_indices(n, k=1)
    square[:, row, col] = square[:, col, row] = vectors
    drawn = square[:, index][:, :, index]
    row, col = np.triu_indices(len(index), k=1)
    return drawn[:, row, col]


def slow_similarity(x, y, method):
    """Compare two vectors over the pairs both have; the whitened ones by a dense V."""
    present = ~(np.isnan(x) | np.isnan(y))
    if method in COV_METHODS:
        n = round((1 + np.sqrt(1 + 8 * len(x))) / 2)
        row, col = np.triu_indices(n, k=1)
        contrast = np.zeros((len(x), n))
        contrast[np.arange(len(x)), row], contrast[np.arange(len(x)), col] = 1, -1
        inverse = np.linalg.inv(((contrast @ contrast.T) ** 2)[np.ix_(present, present)])
        x, y = x[present], y[present]
        if method == "corr_cov":
            x, y = x - x.mean(), y - y.mean()
        return x @ inverse @ y / np.sqrt((x @ inverse @ x) * (y @ inverse @ y))
    return METHODS[method](x[None, present], y[None, present])[0, 0]


def slow_ceilings(data, method):
    """Return each subject's similarity with the pooled others (0) and with everyone's pool (1)."""
    scaled = np.full(data.shape, np.nan)
    for out, vector in zip(scaled, data, strict=True):
        present = ~np.isnan(vector)
        values = vector[present]
        if method in RANK_METHODS:
            values = np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])
        elif method in {"pearson", "corr_cov"}:
            values = (values - values.mean()) / values.std()
        else:
            values = values / np.sqrt((values**2).mean())
        out[present] = values
    bounds = []
    for leave_out in (True, False):
        values = []
        for s in range(len(data)):
            pool = np.delete(scaled, s, axis=0) if leave_out else scaled
            with np.errstate(invalid="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                pooled = np.nanmean(pool, axis=0)
            # Sums of ranks in another order differ in the last digit: no new order of ties.
            values.append(slow_similarity(data[s], np.round(pooled, 9), method))
        bounds.append(values)
    return np.array(bounds)


KINDS = [{}, {"ties": True}, {"missing": True}, {"ties": True, "missing": True}]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_similarities_equal_those_of_resampled_rdms(method, kind):
    if method in COV_METHODS and "missing" in kind:
        pytest.skip("the whitened methods need every pair")
    for seed in range(6):
        model, data, conditions, _ = random_case(seed, **kind)
        ours = weighted_similarities(model, data, conditions, method)
        for b, counts in enumerate(conditions):
            x, y = resampled(model, counts), resampled(data, counts)
            expected = [[slow_similarity(m, d, method) for d in y] for m in x]
            np.testing.assert_allclose(ours[b], expected, atol=TOLERANCE)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_ceilings_equal_those_of_resampled_rdms(method, kind):
    if method in COV_METHODS and "missing" in kind:
        pytest.skip("the whitened methods need every pair")
    for seed in range(4):
        _, data, conditions, _ = random_case(seed, **kind)
        ours = np.stack(subject_ceilings(data, conditions, method), axis=1)
        for b, counts in enumerate(conditions):
            expected = slow_ceilings(resampled(data, counts), method)
            np.testing.assert_allclose(ours[b], expected, atol=TOLERANCE)


@pytest.mark.parametrize("missing", [False, True])
def test_samples_of_subjects_are_means_over_those_drawn(missing):
    model, data, conditions, subjects = random_case(1, missing=missing)
    found = sampled(model, data, "rho-a", subjects, conditions)
    once = np.ones((1, conditions.shape[1]))
    for counts, drawn, which in (
        (once, subjects, "subjects"),
        (conditions, np.ones(subjects.shape), "conditions"),
        (conditions, subjects, "both"),
    ):
        values = np.concatenate(
            [
                weighted_similarities(model, data, counts, "rho-a"),
                np.stack(subject_ceilings(data, counts, "rho-a"), axis=1),
            ],
            axis=1,
        )
        values = np.broadcast_to(values, (len(drawn), *values.shape[1:]))
        expected = [np.average(v, weights=d, axis=1) for v, d in zip(values, drawn, strict=True)]
        np.testing.assert_allclose(found[which], expected, atol=1e-13)
    without = sampled(model, data, "rho-a", subjects, conditions, ceilings=False)
    np.testing.assert_allclose(without["both"], found["both"][:, :3], atol=1e-13)


def test_one_subject_has_no_lower_ceiling():
    _, data, conditions, _ = random_case(0, n_subjects=1)
    for method in METHODS:
        lower, upper = subject_ceilings(data, conditions, method)
        assert np.isnan(lower).all()
        np.testing.assert_allclose(upper, slow_upper(data, conditions, method), atol=1e-12)


def slow_upper(data, conditions, method):
    return [[slow_similarity(*(resampled(data, c)[0],) * 2, method)] for c in conditions]


@pytest.mark.parametrize("method", ["pearson", "cosine", "spearman", "rho-a"])
@pytest.mark.parametrize("seed", range(10))
def test_similarities_equal_rsatoolbox_on_the_same_resamples(method, seed):
    model, data, conditions, _ = random_case(seed, ties=seed % 2 == 1)
    ours = weighted_similarities(model, data, conditions, method)
    for b, counts in enumerate(conditions):
        theirs = toolbox_compare(
            ToolboxRDMs(resampled(model, counts)),
            ToolboxRDMs(resampled(data, counts)),
            method=TOOLBOX_NAMES.get(method, method),
        )
        np.testing.assert_allclose(ours[b], theirs, atol=TOLERANCE)


def test_pair_weights_are_products_of_counts():
    np.testing.assert_array_equal(pair_weights(np.array([[2, 0, 3]])), [[0, 6, 0]])


def test_a_model_constant_in_a_resample_is_undefined_there_only():
    model, data, _, _ = random_case(0, n_conditions=6)
    row, col = np.triu_indices(6, k=1)
    model[0] = (row < 3) != (col < 3)
    counts = np.array([[2.0, 2, 2, 0, 0, 0], [1, 1, 1, 1, 1, 1]])
    for method in METHODS:
        similarity = weighted_similarities(model, data, counts, method)
        if method not in {"cosine", "cosine_cov"}:
            assert np.isnan(similarity[0, 0]).all(), method
        assert np.isfinite(similarity[1]).all(), method
        assert np.isfinite(similarity[:, 1:]).all(), method


@pytest.mark.parametrize("method", ["pearson", "rho-a", "corr_cov"])
def test_results_do_not_depend_on_the_number_of_samples_drawn_together(method):
    model, data, conditions, subjects = random_case(3, n_conditions=10)
    tiled = np.tile(subjects, (20, 1)), np.tile(conditions, (20, 1))
    many = sampled(model, data, method, *tiled)
    few = sampled(model, data, method, subjects, conditions)
    for name in ("subjects", "conditions", "both"):
        np.testing.assert_allclose(many[name][:6], few[name], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_partial_correlations_equal_those_of_resampled_rdms(method, ties):
    for seed in range(4):
        model, data, conditions, _ = random_case(seed, ties=ties, n_conditions=12)
        given = random_case(seed + 90, ties=ties, n_conditions=12)[0][:2]
        ours = weighted_similarities(model, data, conditions, method, given)
        lower, upper = subject_ceilings(data, conditions, method, given)
        for b, counts in enumerate(conditions):
            sides = []
            for vectors in (model, data, given):
                drawn = resampled(vectors, counts)
                drawn = drawn[:, ~np.isnan(drawn[0])]
                sides.append(stats.rankdata(drawn, axis=1) if method == "spearman" else drawn)
            controls = np.vstack([sides[2], np.ones(sides[2].shape[1])]).T
            x, y = ((v.T - controls @ np.linalg.lstsq(controls, v.T)[0]).T for v in sides[:2])
            np.testing.assert_allclose(ours[b], np.corrcoef(x, y)[:3, 3:], atol=TOLERANCE)
            expected = slow_ceilings(y, "pearson")
            np.testing.assert_allclose([lower[b], upper[b]], expected, atol=1e-9)


@pytest.mark.parametrize("method", ["spearman", "rho-a"])
def test_the_place_of_pairs_that_were_not_drawn_is_finite_when_there_are_none(method):
    model, data, *_ = random_case(0, n_conditions=12)
    for _ in range(20):
        left = [np.full((len(model), 67), np.nan) for _ in range(50)]  # what memory held before
        del left
        similarity = weighted_similarities(model, data, np.ones((1, 12)), method)
        assert np.isfinite(similarity).all()


@pytest.mark.parametrize("method", sorted(COV_METHODS))
@pytest.mark.parametrize("counts", [[4, 1, 1, 0, 0, 0], [4, 2, 0, 0, 1, 0], [5, 1, 1, 1, 0, 0]])
def test_one_condition_may_hold_half_of_the_draws_or_more(method, counts):
    # g = n + 2 - 2c is 0, or below, for the condition drawn most often.
    model, data, *_ = random_case(4, n_conditions=6)
    counts = np.array(counts, float)
    ours = METHODS[method].with_counts(model, data, counts[None])[0]
    for i, x in enumerate(resampled(model, counts)):
        for j, y in enumerate(resampled(data, counts)):
            assert ours[i, j] == pytest.approx(slow_similarity(x, y, method), abs=TOLERANCE)


@pytest.mark.parametrize("method", ["kendall", "tau-a", "rho-a", "spearman"])
@pytest.mark.parametrize("times", [200, 2_000, 20_000])
def test_large_whole_weights_do_not_overflow(method, times):
    rng = np.random.default_rng(0)
    model, data = rng.normal(size=(2, 66)), rng.normal(size=(3, 66))
    weights = times * rng.integers(1, 4, size=(2, 66))
    found = METHODS[method].with_weights(model, data, weights)
    assert np.isfinite(found).all()
    # Copies of every pair are ties: the larger the numbers, the nearer to a limit.
    nearly = METHODS[method].with_weights(model, data, weights // times * 100)
    np.testing.assert_allclose(found, nearly, atol=0.02)
