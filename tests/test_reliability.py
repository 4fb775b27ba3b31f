"""Reliability over subjects and permutation of condition labels."""

import itertools

import numpy as np
import pytest
from scipy import stats

import rsa_faces as rf
from rsa_faces.inference import cronbach_alpha, permutation_test, split_half


def simulated(n_subjects=6, n_conditions=12, signal=1.0, seed=0):
    rng = np.random.default_rng(seed)
    n_pairs = n_conditions * (n_conditions - 1) // 2
    truth = rng.normal(size=n_pairs)
    names = [f"c{i:02d}" for i in range(n_conditions)]
    data = signal * truth + rng.normal(size=(n_subjects, n_pairs)) + 4
    subjects = {"subject": [f"simulated {i}" for i in range(n_subjects)]}
    model = rng.normal(size=(3, n_pairs)) + 4
    model[0] += truth
    return rf.RDMs(model, names, "m"), rf.RDMs(data, names, "m", subjects)


def test_alpha_is_its_definition():
    _, data = simulated()
    d = data.vectors
    expected = 6 / 5 * (1 - sum(np.var(row) for row in d) / np.var(d.sum(axis=0)))
    alpha = cronbach_alpha(data)
    assert alpha.overall == pytest.approx(expected, rel=1e-12)
    assert np.isnan(alpha.mean)
    assert alpha.n_subjects == 6


def test_alpha_of_runs_is_that_of_their_pairs():
    _, data = simulated()
    blocks = {c: i % 3 for i, c in enumerate(data.conditions)}
    alpha = cronbach_alpha(data, blocks=blocks)
    for block in range(3):
        inside = data.subset([c for c in data.conditions if blocks[c] == block])
        assert alpha.by_block[str(block)] == pytest.approx(cronbach_alpha(inside).overall)
    assert alpha.mean == pytest.approx(np.mean(list(alpha.by_block.values())))


def test_alpha_estimates_the_simulated_reliability():
    # Signal and noise of variance 1: the mean of n subjects has reliability n / (n + 1).
    values = [cronbach_alpha(simulated(8, 30, seed=s)[1]).overall for s in range(40)]
    assert np.mean(values) == pytest.approx(8 / 9, abs=0.01)
    nothing = [cronbach_alpha(simulated(8, 30, signal=0, seed=s)[1]).overall for s in range(40)]
    assert np.mean(nothing) == pytest.approx(0, abs=0.05)


def test_split_half_estimates_the_same_and_averages_all_halves():
    _, data = simulated(4)
    values = []
    for half in itertools.combinations(range(4), 2):
        other = [i for i in range(4) if i not in half]
        r = np.corrcoef(data.vectors[list(half)].mean(0), data.vectors[other].mean(0))[0, 1]
        values.append(2 * r / (1 + r))
    assert split_half(data, n_splits=4000) == pytest.approx(np.mean(values), abs=0.01)
    assert split_half(data, seed=1) == split_half(data, seed=1)
    many = [split_half(simulated(9, 30, seed=s)[1], n_splits=50) for s in range(20)]
    assert np.mean(many) == pytest.approx(8 / 9, abs=0.015)


def test_networks_and_raters_are_subjects_too():
    _, data = simulated()
    networks = rf.RDMs(data.vectors, data.conditions, "m", {"network": list("aabbcc")})
    assert cronbach_alpha(networks, by="network").n_subjects == 3


@pytest.mark.parametrize("method", rf.comparison.METHODS)
def test_permutation_of_few_conditions_is_the_exact_test(method):
    model, data = simulated(3, 5, seed=3)
    # Kendall's coefficients take longer: fewer shuffles, and a wider margin.
    few = method in {"kendall", "tau-a"}
    test = permutation_test(model, data, method=method, n_permutations=3000 if few else 20_000)
    np.testing.assert_allclose(
        test.similarity, rf.compare(model, data, method=method).mean(axis=1), rtol=1e-10
    )
    reached = np.zeros(3)
    largest = np.zeros(3)
    for order in itertools.permutations(range(5)):
        names = [model.conditions[i] for i in order]
        shuffled = rf.RDMs(data.align(names).vectors, model.conditions, "m", data.labels)
        value = rf.compare(model, shuffled, method=method).mean(axis=1)
        reached += value >= test.similarity - 1e-12
        largest += value.max() >= test.similarity - 1e-12
    margin = 0.04 if few else 0.015
    np.testing.assert_allclose(test.p, reached / 120, atol=margin)
    np.testing.assert_allclose(test.p_max, largest / 120, atol=margin)


def test_permutation_within_blocks_moves_nothing_else():
    from rsa_faces.inference._orders import exchanges

    names = list("abcdefg")
    blocks = dict(zip(names, [0, 1, 0, 2, 1, 0, 2], strict=True))
    codes = np.array([blocks[n] for n in names])
    orders = exchanges(np.arange(7), codes)(np.random.default_rng(0), 400)
    assert (codes[orders] == codes).all()
    assert (np.sort(orders, axis=1) == np.arange(7)).all()
    assert len(np.unique(orders, axis=0)) == 6 * 2 * 2


def test_permutation_p_is_never_zero_and_undefined_stays_so():
    model, data = simulated(8, 20, signal=5)
    vectors = model.vectors.copy()
    vectors[2] = 1.0
    test = permutation_test(rf.RDMs(vectors, model.conditions, "m"), data, n_permutations=99)
    assert test.p[0] == 0.01
    assert np.isnan(test.p[2])
    assert (test.p_max[:2] >= test.p[:2]).all()


@pytest.mark.simulation
@pytest.mark.slow
def test_permutation_is_calibrated_even_when_conditions_differ_in_typicality():
    p = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        norms = rng.gamma(1.0, size=(2, 16))
        row, col = np.triu_indices(16, k=1)
        model, signal = norms[:, row] + norms[:, col]
        names = [str(i) for i in range(16)]
        data = rf.RDMs(signal + rng.normal(size=(5, 120)), names, "s", {"subject": range(5)})
        p.append(
            permutation_test(rf.RDMs(model, names, "m"), data, n_permutations=99, seed=seed).p[0]
        )
    low, high = stats.binom.interval(0.99, 300, 0.05)
    assert low <= (np.array(p) <= 0.05).sum() <= high


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, d: cronbach_alpha(d[0]), "at least 2 subjects for a reliability, got 1"),
        (lambda m, d: cronbach_alpha(d, blocks={}), "12 have none: 'c00'"),
        (
            lambda m, d: cronbach_alpha(d, blocks={c: i // 2 for i, c in enumerate(d.conditions)}),
            "at least 3 conditions in block '0', got 2",
        ),
        (lambda m, d: split_half(d, n_splits=0), "n_splits to be a whole number"),
        (lambda m, d: split_half(d, method="r"), "unknown comparison method 'r'"),
        (lambda m, d: permutation_test(m, d, method="tau"), "unknown comparison method 'tau'"),
        (lambda m, d: permutation_test(m, d, blocks={}), "12 have none: 'c00'"),
        (lambda m, d: permutation_test(m, d, n_permutations=0), "n_permutations to be a whole"),
    ],
)
def test_doors(call, message):
    with pytest.raises(rf.InputError, match=message):
        call(*simulated())


def test_missing_pairs_are_refused():
    model, data = simulated()
    vectors = data.vectors.copy()
    vectors[1, 2] = np.nan
    holes = rf.RDMs(vectors, data.conditions, "m", data.labels)
    for call in (cronbach_alpha, split_half):
        with pytest.raises(rf.InputError, match=r"1 are missing \(NaN\)"):
            call(holes)
    with pytest.raises(rf.InputError, match=r"every pair measured in the model, but 1 are"):
        permutation_test(holes, data)
    with pytest.raises(rf.InputError, match="'corr_cov' needs every pair"):
        permutation_test(model, holes, method="corr_cov")


@pytest.mark.parametrize("method", ["rho-a", "pearson", "tau-a"])
@pytest.mark.parametrize("in_runs", [False, True])
def test_permutation_leaves_missing_pairs_where_they_are(method, in_runs):
    model, data = simulated(3, 8 if in_runs else 5, seed=4)
    names = model.conditions
    runs = {c: i // 4 if in_runs else 0 for i, c in enumerate(names)}
    row, col = np.triu_indices(len(names), k=1)
    vectors = data.vectors.copy()
    vectors[0, 1] = vectors[1, 4] = np.nan
    if in_runs:  # one subject has no second run at all
        vectors[2, [runs[names[i]] == 1 for i in row]] = np.nan
    holes = rf.RDMs(vectors, names, "m", data.labels)
    blocks = runs if in_runs else None
    test = permutation_test(model, holes, method=method, blocks=blocks, n_permutations=3000)
    observed = rf.compare(model, holes, method=method, blocks=blocks).mean(axis=1)
    np.testing.assert_allclose(test.similarity, observed, rtol=1e-10)
    reached = []
    for order in itertools.permutations(range(len(names))):
        if all(runs[names[i]] == runs[names[k]] for i, k in enumerate(order)):
            moved = model.align([names[i] for i in order])
            moved = rf.RDMs(moved.vectors, names, "m")
            value = rf.compare(moved, holes, method=method, blocks=blocks).mean(axis=1)
            reached.append(value >= observed - 1e-12)
    np.testing.assert_allclose(test.p, np.mean(reached, axis=0), atol=0.04)


def test_one_split_does_not_decide_the_reliability():
    # Two subjects against each other in two splits: 2r / (1 + r) of a split has no bound below.
    rng = np.random.default_rng(3)
    data = rf.RDMs(rng.random((3, 15)), list("abcdef"), "m", {"subject": range(3)})
    r = [np.corrcoef(data.vectors[[i, j]])[0, 1] for i, j in ((0, 1), (0, 2), (1, 2))]
    found = split_half(data, n_splits=3000)
    mean = np.tanh(np.arctanh(r).mean())
    assert found == pytest.approx(2 * mean / (1 + mean), abs=0.03)


def test_best_of_equal_scores_is_decided_by_rule():
    from rsa_faces._core.numbers import best_index, mean_correlation

    scores = np.array([[0.1 + 0.2, 0.3, 0.2], [np.nan, 1.0, 1.0 - 1e-15], [np.nan] * 3])
    assert best_index(scores).tolist() == [0, 1, 0]
    assert best_index(scores, last=True).tolist() == [1, 2, 2]
    assert mean_correlation([1.0, 1.0]) == pytest.approx(1)
    with pytest.raises(rf.InputError, match="from -1 to 1, got 1.5"):
        mean_correlation([0.2, 1.5])
