"""Influence functions, and standard errors in closed form."""

import numpy as np
import pytest

import rsa_faces as rf
from rsa_faces._kernels import concordance
from rsa_faces.comparison import METHODS, Method
from rsa_faces.comparison._forms import Covariance
from rsa_faces.inference import _dyadic
from rsa_faces.inference._design import Design, Units
from rsa_faces.inference._dyadic import analytic, variance_parts
from rsa_faces.inference._jackknife import Pools, jackknifed_ceilings
from rsa_faces.inference._study import Study
from rsa_faces.inference._weighted import weighted_similarities
from rsa_faces.inference.calibration import _distances

#: Similarity is the mean over pairs: linear, so that what is expected can be calculated.
MEAN = Method(
    "mean product",
    lambda model, data: model @ data.T / model.shape[1],
    weighted=lambda model, data, weights: (
        np.einsum("bp,mp,sp->bms", weights, model, data) / weights.sum(axis=1)[:, None, None]
    ),
    influence=lambda model, data: (
        (model[:, None] * data - (model @ data.T / model.shape[1])[:, :, None]) / model.shape[1]
    ),
)


def units_of(groups, blocks=None) -> Units:
    groups = np.asarray(groups)
    blocks = np.zeros(len(groups), int) if blocks is None else np.asarray(blocks)
    return Units(groups, blocks, tuple(map(str, np.unique(blocks))))


def study(seed: int, n_subjects: int = 5, n_conditions: int = 16, n_model: int = 3):
    """Return models, one of them with ties, and data."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n_conditions, 8))
    model = _distances(common + 0.7 * rng.normal(size=(n_model, *common.shape)))
    model[-1] = np.round(model[-1] / 4)
    own = rng.normal(size=(n_subjects, *common.shape))
    return model, _distances(common) + _distances(own)


def sums_of_conditions(influence: np.ndarray) -> np.ndarray:
    """Return sums over the pairs of each condition, (..., n_conditions)."""
    n = round((1 + np.sqrt(1 + 8 * influence.shape[-1])) / 2)
    row, col = np.triu_indices(n, k=1)
    return np.stack(
        [influence[..., (row == i) | (col == i)].sum(axis=-1) for i in range(n)], axis=-1
    )


@pytest.mark.parametrize("method", [m for m in METHODS.values() if m.factors], ids=str)
@pytest.mark.parametrize("kind", ["plain", "blocks", "opposed", "constant", "sigma_k"])
def test_ceilings_without_each_subject_at_once(monkeypatch, method, kind):
    model, data = study(1, n_subjects=6)
    units = units_of(range(16), np.repeat([0, 1], 8) if kind == "blocks" else None)
    if kind == "opposed":
        data = np.concatenate([data[:3], -data[:3]])  # the pool of all is 0
    elif kind == "constant":
        data[2] = 0.0
    elif kind == "sigma_k":
        if not method.whitened:
            pytest.skip("the method knows no sigma_k")
        roots = np.random.default_rng(2).normal(size=(16, 40))
        method = method.with_sigma_k(Covariance(roots @ roots.T))
    own = Study(model, data, method, units)
    found = jackknifed_ceilings(own)
    given_up = Pools(own).at_once() is None
    assert given_up == (method.linear and kind in {"opposed", "constant"})
    monkeypatch.setattr(Pools, "at_once", lambda _: None)
    np.testing.assert_allclose(found, jackknifed_ceilings(own), rtol=1e-9)


@pytest.mark.parametrize("method", METHODS.values(), ids=str)
def test_influences_say_what_leaving_a_condition_out_does(method):
    model, data = study(0, n_conditions=40)
    influence = method.influence(model, data)
    np.testing.assert_allclose(influence.sum(axis=2), 0, atol=1e-12)
    once = weighted_similarities(model, data, np.ones((1, 40)), method)
    without = weighted_similarities(model, data, 1 - np.eye(40), method)
    # Without one of K conditions there are 1 - 2/K of the pairs.
    change = np.moveaxis(once - without, 0, 2) * (1 - 2 / 40)
    expected = sums_of_conditions(influence)
    for x, y in zip(expected.reshape(-1, 40), change.reshape(-1, 40), strict=True):
        assert np.corrcoef(x, y)[0, 1] > 0.97
        # To first order: within a few times 1/K.
        assert abs((x @ y) / (x @ x) - 1) < 0.12


@pytest.mark.parametrize("name", ["pearson", "spearman", "rho-a", "kendall", "tau-a", "cosine"])
def test_influences_are_derivatives_by_weights(name):
    method, (model, data) = METHODS[name], study(1, n_conditions=12)
    influence = method.influence(model, data)
    many = 200.0  # copies of each pair; one more of a pair is a small change of its weight
    weights = np.full((67, 66), many)
    weights[np.arange(66), np.arange(66)] += 1
    similarity = method.with_weights(model, data, weights)
    derivative = np.moveaxis(similarity[:-1] - similarity[-1], 0, 2) * many
    largest = np.abs(influence).max()
    # Copies of a pair are ties: tau-a and rho-a of copies differ by 1/n.
    np.testing.assert_allclose(influence, derivative, atol=0.03 * largest)


@pytest.mark.parametrize("name", ["pearson", "spearman", "cosine"])
def test_influences_under_weights(name):
    method, (model, data) = METHODS[name], study(1, n_conditions=12)
    rng = np.random.default_rng(1)
    evidence = rng.random(66) + 0.1
    model[0] = np.round(model[0])
    influence = method.influence(model, data, evidence)
    np.testing.assert_allclose(influence.sum(axis=2), 0, atol=1e-12)
    step = 1e-4
    weights = evidence * (1 + step * np.vstack([np.eye(66), -np.eye(66)]))
    more, less = np.split(method.with_weights(model, data, weights), 2)
    derivative = np.moveaxis(more - less, 0, 2) / (2 * step)
    np.testing.assert_allclose(influence, derivative, atol=1e-6 * np.abs(influence).max())
    once = method.influence(model, data, np.full(66, 7.0))
    np.testing.assert_allclose(once, method.influence(model, data), atol=1e-14)


@pytest.mark.parametrize("name", ["corr_cov", "cosine_cov"])
def test_leaving_conditions_out_where_patterns_covary(name):
    model, data = study(6, n_conditions=14)
    root = np.random.default_rng(6).normal(size=(14, 30))
    sigma_k = Covariance(root @ root.T / 30)
    method = METHODS[name].with_sigma_k(sigma_k)
    counts = np.vstack([np.ones(14), 1 - np.eye(14), np.arange(14) % 3 > 0])
    found = method.with_counts(model, data, counts)
    row, col = np.triu_indices(14, k=1)
    for drawn, similarity in zip(counts > 0, found, strict=True):
        own = METHODS[name].with_sigma_k(sigma_k.among(np.flatnonzero(drawn)))
        kept = drawn[row] & drawn[col]
        np.testing.assert_allclose(similarity, own(model[:, kept], data[:, kept]), atol=1e-10)
    influence = method.influence(model, data)
    np.testing.assert_allclose(influence.sum(axis=2), 0, atol=1e-12)


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_influences_on_partial_correlations(name):
    method, (model, data) = METHODS[name], study(2, n_conditions=40)
    given = study(3, n_conditions=40)[0][:2] + 0.5 * model[:2]
    influence = method.partial_influence(model, data, given)
    np.testing.assert_allclose(influence.sum(axis=2), 0, atol=1e-12)
    once = weighted_similarities(model, data, np.ones((1, 40)), method, given)
    without = weighted_similarities(model, data, 1 - np.eye(40), method, given)
    change = np.moveaxis(once - without, 0, 2) * (1 - 2 / 40)
    expected = sums_of_conditions(influence)
    for x, y in zip(expected.reshape(-1, 40), change.reshape(-1, 40), strict=True):
        assert np.corrcoef(x, y)[0, 1] > 0.97
        assert abs((x @ y) / (x @ x) - 1) < 0.2


def test_influences_are_undefined_where_the_similarity_is():
    model, data = study(4)
    model[0] = 1.0
    for name in ("pearson", "spearman", "rho-a", "kendall", "tau-a"):
        influence = METHODS[name].influence(model, data)
        assert (np.isnan(influence).all(axis=(1, 2)) == [True, False, False]).all(), name
        assert not np.isnan(influence[1:]).any(), name


@pytest.mark.parametrize("seed", range(5))
def test_concordances_compiled_equal_all_with_all(seed):
    rng = np.random.default_rng(seed)
    model, data = rng.integers(0, 40, (2, 400)).astype(float), rng.normal(size=(3, 400)).round(1)
    expected = concordance.all_with_all(model, data)
    np.testing.assert_array_equal(concordance.concordances(model, data), expected)


def expected_variance(units: Units, n_subjects: int, which: str, own: float = 0.3):
    """Return the expectation of V_s + C for random effects, and the true variance.

    Data are sums of independent effects of conditions (or groups) and of pairs, shared by all
    subjects and each subject's own. V is a quadratic form of the data: its expectation is the sum
    over effects of what it gives for each effect alone.
    """
    n = len(units.groups)
    row, col = np.triu_indices(n, k=1)
    member = units.groups == np.arange(units.n_groups)[:, None]
    of_groups = 1.0 * member[:, row] + member[:, col]
    low, high = np.sort([units.groups[row], units.groups[col]], axis=0)
    cells = np.unique(low * n + high, return_inverse=True)[1]
    of_cells = 0.5 * (cells.ravel() == np.arange(cells.max() + 1)[:, None])
    effects = np.vstack([of_groups, of_cells])
    model = np.ones((1, len(row)))
    total = truth = 0.0
    for effect in effects:
        for s in range(-1, n_subjects):
            data = np.zeros((n_subjects, len(row)))
            data[slice(None) if s < 0 else s] = effect if s < 0 else own * effect
            parts = variance_parts(Study(model, data, MEAN, units), ceilings=False)
            total += getattr(parts, which)[0, 0]
            if which == "crossed":
                total += parts.subjects[0, 0]
            truth += data[:, units.used].mean() ** 2
    return total, truth


@pytest.mark.parametrize("n_conditions, n_subjects", [(4, 3), (7, 2), (12, 5)])
def test_variance_of_a_mean_over_pairs_is_unbiased(n_conditions, n_subjects):
    units = units_of(np.arange(n_conditions))
    found, truth = expected_variance(units, n_subjects, "crossed")
    np.testing.assert_allclose(found, truth, rtol=1e-10)


def test_variance_under_fixed_subjects_is_unbiased():
    found, truth = expected_variance(units_of(np.arange(9)), 1, "conditions")
    np.testing.assert_allclose(found, truth, rtol=1e-10)


def test_variance_with_equal_groups_is_nearly_unbiased():
    # Pairs within groups make them not quite interchangeable with pairs between groups.
    found, truth = expected_variance(units_of(np.repeat(np.arange(8), 3)), 3, "crossed")
    np.testing.assert_allclose(found, truth, rtol=0.05)
    # As if images of a person were independent: far too small.
    alone = units_of(np.arange(24))
    model, data = study(5, n_conditions=24)
    together = units_of(np.repeat(np.arange(8), 3))
    person = np.repeat(np.random.default_rng(5).normal(size=(8, 8)), 3, axis=0)
    data = _distances(person)[None] + 0.1 * data
    by_image, by_person = (
        analytic(
            Study(_distances(person)[None], data, METHODS["pearson"], u), Design("conditions")
        ).variance[0]
        for u in (alone, together)
    )
    assert by_person > 1.5 * by_image


def test_new_subjects_alone_are_a_mean_over_subjects():
    model, data = study(6)
    found = analytic(Study(model, data, METHODS["rho-a"], units_of(range(16))), Design("subjects"))
    expected = METHODS["rho-a"](model, data)
    np.testing.assert_allclose(found.similarity, expected)
    np.testing.assert_allclose(found.variance[:3], expected.var(axis=1, ddof=1) / 5)
    np.testing.assert_allclose(
        found.difference_variance[0, 1], (expected[0] - expected[1]).var(ddof=1) / 5
    )
    assert found.freedom == 4


@pytest.mark.parametrize("name", ["pearson", "rho-a", "tau-a", "corr_cov"])
def test_who_generalises_to_both_is_never_surer(name):
    model, data = study(7, n_conditions=12)
    of = {
        kind: analytic(Study(model, data, METHODS[name], units_of(range(12))), Design(kind))
        for kind in ("subjects", "conditions", "both")
    }
    for kind in ("subjects", "conditions"):
        assert (of["both"].variance >= of[kind].variance).all()
        assert (of["both"].difference_variance >= of[kind].difference_variance - 1e-15).all()
    assert (of["conditions"].variance > 0).all()


@pytest.mark.parametrize("name", ["pearson", "spearman", "cosine_cov"])
def test_order_of_conditions_subjects_and_models_does_not_matter(name):
    model, data = study(8, n_conditions=12)
    rng = np.random.default_rng(8)
    order, subjects = rng.permutation(12), rng.permutation(len(data))
    groups = np.array([0, 0, 1, 2, 3, 3, 3, 4, 5, 6, 7, 7])
    first = analytic(Study(model, data, METHODS[name], units_of(groups)), Design())
    row, col = np.triu_indices(12, k=1)
    index = np.zeros((12, 12), int)
    index[row, col] = index[col, row] = np.arange(66)
    pairs = index[order[row], order[col]]
    second = analytic(
        Study(
            model[::-1, pairs],
            data[np.ix_(subjects, pairs)],
            METHODS[name],
            units_of(groups[order]),
        ),
        Design(),
    )
    backwards = [2, 1, 0, 3, 4]
    np.testing.assert_allclose(first.variance, second.variance[backwards], rtol=1e-9)
    np.testing.assert_allclose(
        first.difference_variance,
        second.difference_variance[np.ix_(backwards, backwards)],
        rtol=1e-9,
        atol=1e-15,
    )


def test_equal_models_do_not_differ():
    model, data = study(9)
    model[1] = 3 * model[0] + 1
    found = analytic(Study(model, data, METHODS["pearson"], units_of(range(16))), Design())
    assert found.difference_variance[0, 1] == 0 < found.difference_variance[0, 2]


def test_a_condition_nobody_has_counts_for_nothing():
    model, data = study(10)
    row, col = np.triu_indices(16, k=1)
    there = (row != 3) & (col != 3)
    missing = np.where(there, data, np.nan)
    for name in ("pearson", "rho-a"):
        found, expected = (
            variance_parts(Study(x, y, METHODS[name], units))
            for x, y, units in (
                (model, missing, units_of(range(16))),
                (model[:, there], data[:, there], units_of(range(15))),
            )
        )
        for part in ("similarity", "subjects", "crossed", "conditions", "pairs"):
            np.testing.assert_allclose(
                getattr(found, part), getattr(expected, part), rtol=1e-9, atol=1e-14
            )


def test_missing_pairs_of_some_subjects():
    model, data = study(11, n_conditions=20)
    units, rng = units_of(range(20)), np.random.default_rng(11)
    whole = variance_parts(Study(model, data, METHODS["pearson"], units))
    data[rng.random(data.shape) < 0.05] = np.nan
    some = variance_parts(Study(model, data, METHODS["pearson"], units))
    for kind in ("subjects", "conditions", "both"):
        ratio = np.sqrt(some.variances(kind)[0] / whole.variances(kind)[0])
        assert (np.abs(ratio - 1) < 0.25).all(), kind


def test_runs_are_independent_parts():
    model, data = study(12, n_conditions=24)
    blocks = np.repeat([0, 1], 12)
    row, col = np.triu_indices(24, k=1)
    runs = [(row < 12) & (col < 12), (row >= 12) & (col >= 12)]
    both = variance_parts(
        Study(model, data, METHODS["rho-a"], units_of(range(24), blocks)), ceilings=False
    )
    each = [
        variance_parts(
            Study(model[:, r], data[:, r], METHODS["rho-a"], units_of(range(12))), ceilings=False
        )
        for r in runs
    ]
    models = slice(0, 3)
    np.testing.assert_allclose(both.similarity, (each[0].similarity + each[1].similarity) / 2)
    for part in ("crossed", "conditions", "pairs"):
        expected = (getattr(each[0], part) + getattr(each[1], part)) / 4
        np.testing.assert_allclose(
            getattr(both, part)[models, models], expected[models, models], rtol=1e-10
        )


def test_groups_in_several_runs_are_one_sample():
    model, data = study(13, n_conditions=24)
    blocks = np.repeat([0, 1], 12)
    people = np.tile(np.arange(6), 4)
    found = analytic(Study(model, data, METHODS["pearson"], units_of(people, blocks)), Design())
    assert found.freedom == 4
    assert (found.variance > 0).all()


def test_many_conditions_need_not_be_left_out_one_by_one(monkeypatch):
    model, data = study(14, n_conditions=60)
    units = units_of(range(60))
    exact = variance_parts(Study(model, data, METHODS["pearson"], units))
    monkeypatch.setattr(_dyadic, "_MANY", 0)
    linear = variance_parts(Study(model, data, METHODS["pearson"], units))
    ratio = np.diagonal(exact.conditions) / np.diagonal(linear.conditions)
    assert (np.abs(ratio - 1) < 0.2).all()


def test_ceilings_by_jackknife():
    model, data = study(15, n_subjects=6)
    parts = variance_parts(Study(model, data, METHODS["spearman"], units_of(range(16))))
    names = [f"c{i:02d}" for i in range(16)]
    rdms = rf.RDMs(data, names, "simulated", {"subject": range(6)})
    for column, bound in ((3, "lower"), (4, "upper")):
        left_out = [
            getattr(
                rf.noise_ceiling(rdms[[t for t in range(6) if t != s]], method="spearman"), bound
            )
            for s in range(6)
        ]
        expected = 5 / 6 * np.sum((left_out - np.mean(left_out)) ** 2)
        np.testing.assert_allclose(parts.subjects[column, column], expected, rtol=1e-9)


def test_two_subjects_have_no_error_of_their_ceiling():
    model, data = study(16, n_subjects=2)
    found = analytic(Study(model, data, METHODS["pearson"], units_of(range(16))), Design())
    assert np.isnan(found.variance[3:]).all()
    assert not np.isnan(found.variance[:3]).any()


def test_one_subject_generalises_to_conditions():
    model, data = study(17, n_subjects=1)
    found = analytic(
        Study(model, data, METHODS["pearson"], units_of(range(16))), Design("conditions")
    )
    assert (found.variance[:3] > 0).all()
    assert found.freedom == 15


@pytest.mark.simulation
@pytest.mark.slow
def test_models_as_good_as_the_ceiling_seldom_differ_from_it():
    # Gain log-normal .8: with pools held fixed, 10 to 24 % did.
    rng = np.random.default_rng(18)
    units, rejected, shown = units_of(range(24)), 0, 200
    from scipy import stats

    from rsa_faces.inference._pooled import subject_ceilings

    levels = np.geomspace(0.02, 1.0, 12)
    gaps = np.zeros(12)

    def draw():
        common = rng.normal(size=(24, 20))
        gain = np.exp(0.8 * rng.normal(size=(8, 1)))
        return common, gain * _distances(common) + _distances(rng.normal(size=(8, 24, 20)))

    def ceiling(data):
        return subject_ceilings(data, np.ones((1, 24)), METHODS["pearson"])[0].mean()

    for _ in range(100):
        common, data = draw()
        noisy = _distances(common + levels[:, None, None] * rng.normal(size=common.shape))
        gaps += METHODS["pearson"](noisy, data).mean(axis=1) - ceiling(data)
    level = np.interp(0.0, -np.minimum.accumulate(gaps), levels)
    for _ in range(shown):
        common, data = draw()
        model = _distances(common + level * rng.normal(size=common.shape))[None]
        found = analytic(Study(model, data, METHODS["pearson"], units), Design())
        gap = found.similarity.mean() - ceiling(data)
        rejected += abs(gap) > stats.t.ppf(0.975, 7) * np.sqrt(found.difference_variance[0, 1])
    assert rejected <= stats.binom.ppf(0.995, shown, 0.05)


def rdms_of(seed: int, **options):
    model, data = study(seed, **options)
    n_conditions = round((1 + np.sqrt(1 + 8 * model.shape[1])) / 2)
    names = [f"c{i:02d}" for i in range(n_conditions)]
    return (
        rf.RDMs(model, names, "simulated", {"name": [f"m{i}" for i in range(len(model))]}),
        rf.RDMs(data, names, "simulated", {"subject": range(len(data))}),
    )


@pytest.mark.parametrize("method", ["rho-a", "cosine_cov"])
def test_evaluate_in_closed_form(method):
    model, data = rdms_of(20, n_conditions=24)
    options = {"method": method, "uncertainty": "analytic"}
    result = rf.evaluate(model, data, **options)
    expected = rf.evaluate(model, data, method=method, uncertainty="bootstrap", n_boot=300)
    np.testing.assert_array_equal(result.table["similarity"], expected.table["similarity"])
    # No draws, so no seed; and errors of the same size.
    other = rf.evaluate(model, data, seed=5, **options)
    for frame in ("table", "pairs"):
        columns = getattr(result, frame).select_dtypes("number").columns
        np.testing.assert_array_equal(
            getattr(result, frame)[columns], getattr(other, frame)[columns]
        )
    ratio = result.table["sem"] / expected.table["sem"]
    assert ((ratio > 0.4) & (ratio < 1.3)).all()
    assert result.settings["n_boot"] == 0
    assert result.table[["p", "p_ceiling"]].notna().all().all()


def test_methods_without_influences_say_that_they_are_drawn():
    model, data = rdms_of(21, n_conditions=24)
    own = Method("my pearson", METHODS["pearson"].function, weighted=METHODS["pearson"].weighted)
    with pytest.warns(
        UserWarning, match="100 bootstrap samples: the method 'my pearson' has no inf"
    ):
        result = rf.evaluate(model, data, method=own, uncertainty="analytic", n_boot=100)
    assert result.settings["uncertainty"] == "bootstrap"
    # New subjects alone need none.
    result = rf.evaluate(model, data, method=own, uncertainty="analytic", generalise_to="subjects")
    assert result.settings["uncertainty"] == "analytic"


def test_partial_correlations_in_closed_form():
    model, data = rdms_of(22, n_conditions=24)
    of = {
        kind: rf.evaluate(
            model[1:], data, method="spearman", given=model[:1], uncertainty=kind, n_boot=300
        ).table
        for kind in ("analytic", "bootstrap")
    }
    ratio = of["analytic"]["sem"] / of["bootstrap"]["sem"]
    assert ((ratio > 0.4) & (ratio < 1.3)).all()


@pytest.mark.parametrize("generalise_to", ["conditions", "both"])
def test_time_courses_in_closed_form_are_those_of_evaluate(generalise_to):
    model, data = rdms_of(23, n_subjects=8, n_conditions=20)
    vectors = np.concatenate([data.vectors, data.vectors[::-1] + model.vectors[0]])
    labels = {"subject": np.tile(np.arange(8), 2), "time": np.repeat([0.0, 0.1], 8)}
    timed = rf.RDMs(vectors, data.conditions, "simulated", labels)
    options = {"generalise_to": generalise_to, "uncertainty": "analytic", "method": "spearman"}
    course = rf.inference.time_course(model, timed, n_permutations=0, **options)
    for time in (0.0, 0.1):
        here = course.table[course.table["time"] == time]
        at = timed[np.flatnonzero(timed.labels["time"] == time)]
        expected = rf.evaluate(model, at, **options).table
        np.testing.assert_allclose(here["sem"], expected["sem"], rtol=1e-10)
        np.testing.assert_allclose(here["p"], expected["p"], rtol=1e-10)


@pytest.mark.parametrize("uncertainty", ["analytic", "bootstrap"])
def test_the_ceiling_varies_with_subjects_as_a_jackknife_says(uncertainty):
    model, data = rdms_of(24, n_subjects=8, n_conditions=20)
    result = rf.evaluate(
        model, data, method="pearson", generalise_to="subjects", uncertainty=uncertainty, n_boot=100
    )
    without = [
        rf.noise_ceiling(data[[t for t in range(8) if t != s]], method="pearson").lower
        for s in range(8)
    ]
    expected = np.sqrt(7 / 8 * np.sum((without - np.mean(without)) ** 2))
    np.testing.assert_allclose(result.ceilings["ceiling_low_sem"], expected, rtol=1e-9)


def test_one_sided_tests_on_request():
    model, data = rdms_of(25, n_conditions=20)
    two, greater, less = (
        rf.evaluate(model, data, uncertainty="analytic", tail=tail).table
        for tail in ("two-sided", "greater", "less")
    )
    np.testing.assert_allclose(two["p"], 2 * np.minimum(greater["p"], less["p"]))
    np.testing.assert_allclose(greater["p"] + less["p"], 1)
