"""Comparison methods against the reference loops, SciPy and rsatoolbox, and their laws."""

import itertools
import subprocess
import sys
import warnings

import numpy as np
import pytest
import reference
from scipy import stats

import rsa_faces as rf
from rsa_faces._kernels.kendall import kendall_sums
from rsa_faces._kernels.ranks import average_ranks, centred_ranks, dense_codes
from rsa_faces._kernels.sort import sort_rows
from rsa_faces.comparison import METHODS, align_pair, compare, max_similarity

RANK_METHODS = frozenset(name for name, method in METHODS.items() if method.uses_ranks)
COV_METHODS = frozenset(name for name, method in METHODS.items() if method.whitened)

NAMES = [f"c{i}" for i in range(40)]


def make(vectors, n_conditions=None, **labels):
    vectors = np.atleast_2d(np.asarray(vectors, dtype=float))
    n = n_conditions or round((1 + np.sqrt(1 + 8 * vectors.shape[1])) / 2)
    return rf.RDMs(vectors, NAMES[:n], "model", labels or None)


def random_vectors(seed, n_rdms=3, n_conditions=None):
    """Vectors of 3 to 9 conditions; by turns continuous, tied, and of few values."""
    rng = np.random.default_rng(seed)
    n = n_conditions or 3 + seed % 7
    n_pairs = n * (n - 1) // 2
    vectors = rng.normal(size=(n_rdms, n_pairs))
    if seed % 3 == 1:
        vectors = np.round(2 * vectors)
    if seed % 3 == 2:
        vectors = (vectors > 0).astype(float)
    vectors[:, 0] = 5.0  # never constant
    vectors[:, 1] = -5.0
    return vectors


def test_every_method_has_a_reference():
    assert set(reference.METHODS) == set(METHODS) == set(reference._POOLING)
    assert set(METHODS) >= RANK_METHODS | COV_METHODS


@pytest.mark.parametrize("seed", range(9))
@pytest.mark.parametrize("method", METHODS)
def test_reference(method, seed):
    model, data = random_vectors(seed), random_vectors(seed + 70, n_conditions=3 + seed % 7)
    ours = compare(make(model), make(data), method=method)
    # Sums of at most 36 terms; the reference inverts V, ours solves in closed form.
    np.testing.assert_allclose(ours, reference.compare(model, data, method), rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_float32_vectors_are_compared_in_float64(method):
    model, data = random_vectors(6).astype(np.float32), random_vectors(13).astype(np.float32)
    ours = compare(make(model), make(data), method=method)
    np.testing.assert_allclose(ours, reference.compare(model, data, method), rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", sorted(COV_METHODS))
def test_sigma_k_reference(method):
    root = np.random.default_rng(0).normal(size=(6, 12))
    sigma_k = root @ root.T
    model, data = random_vectors(3), random_vectors(10)
    ours = compare(make(model), make(data), method=method, sigma_k=sigma_k)
    expected = reference.compare(model, data, method, sigma_k)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-9)  # V of condition about 1e4
    identity = compare(make(model), make(data), method=method, sigma_k=np.eye(6))
    np.testing.assert_allclose(identity, compare(make(model), make(data), method=method))


@pytest.mark.parametrize("method", sorted(set(METHODS) - COV_METHODS))
def test_missing_pairs_reference(method):
    rng = np.random.default_rng(1)
    model, data = random_vectors(5, n_rdms=4), random_vectors(12, n_rdms=5)
    model[rng.random(model.shape) < 0.3] = np.nan
    data[rng.random(data.shape) < 0.3] = np.nan
    model[0, :2], data[4, :2] = (5, -5), (5, -5)
    data[4, 2:] = np.nan  # two pairs left: undefined
    with pytest.warns(UserWarning, match="data RDM 4"):
        ours = compare(make(model), make(data), method=method)
    expected = reference.compare(model, data, method)
    assert np.isnan(expected[:, 4]).all()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("method", "function"),
    [("pearson", stats.pearsonr), ("spearman", stats.spearmanr), ("kendall", stats.kendalltau)],
)
@pytest.mark.parametrize("seed", range(3))
def test_scipy(method, function, seed):
    model = random_vectors(seed, n_rdms=2, n_conditions=30)
    data = random_vectors(seed + 31, n_rdms=2, n_conditions=30)
    expected = [[function(x, y)[0] for y in data] for x in model]
    ours = compare(make(model), make(data), method=method)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", METHODS)
def test_rsatoolbox(method, seed):
    import rsatoolbox.rdm

    names = {"pearson": "corr", "kendall": "tau-b"}
    model = random_vectors(seed, n_conditions=8)
    data = random_vectors(seed + 50, n_conditions=8)
    theirs = rsatoolbox.rdm.compare(
        rsatoolbox.rdm.RDMs(model), rsatoolbox.rdm.RDMs(data), method=names.get(method, method)
    )
    # Without sigma_k rsatoolbox needs no conjugate gradients: both are exact.
    ours = compare(make(model), make(data), method=method)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10)


# --- Kendall's sums ------------------------------------------------------------------------------


@pytest.mark.parametrize("n_codes", [1, 2, 5, 1000])
@pytest.mark.parametrize("n_entries", [1, 2, 3, 64, 150])
def test_kendall_sums(n_entries, n_codes):
    rng = np.random.default_rng(n_entries * n_codes)
    model, data = (dense_codes(rng.integers(0, n_codes, size=(k, n_entries))) for k in (2, 3))
    weights = rng.integers(0, 4, size=(4, n_entries))
    weights[1] = 0
    weights[2] = 1
    plain, untied_model, untied_data = kendall_sums(model, data)
    weighted, *untied = kendall_sums(model, data, weights)
    np.testing.assert_array_equal(untied_model, [reference.kendall_sum(x, x) for x in model])
    np.testing.assert_array_equal(untied_data, [reference.kendall_sum(y, y) for y in data])
    for rows, side in zip(untied, (model, data), strict=True):
        expected = [[reference.kendall_sum(x, x, w) for x in side] for w in weights]
        np.testing.assert_array_equal(rows, expected)
    assert plain.shape == (2, 3)
    assert weighted.shape == (4, 2, 3)
    for i, j in itertools.product(range(2), range(3)):
        assert plain[i, j] == reference.kendall_sum(model[i], data[j])
        for b in range(4):
            assert weighted[b, i, j] == reference.kendall_sum(model[i], data[j], weights[b])
    np.testing.assert_array_equal(weighted[2], plain)


def test_weights_are_copies_of_entries():
    rng = np.random.default_rng(4)
    model, data = (dense_codes(rng.integers(0, 9, size=(2, 30))) for _ in range(2))
    weights = rng.integers(0, 4, size=30)
    copied = kendall_sums(np.repeat(model, weights, axis=1), np.repeat(data, weights, axis=1))
    weighted = kendall_sums(model, data, weights[None])
    for one, other in zip(weighted, copied, strict=True):
        np.testing.assert_array_equal(one[0], other)


@pytest.mark.parametrize("n_entries", [4096, 4097, 20_000])
def test_kendall_sums_of_long_vectors(n_entries):
    """Every table of the counts is used: against merge sort, as in scipy."""
    rng = np.random.default_rng(n_entries)
    model = np.stack([rng.normal(size=n_entries), rng.integers(0, 9000, n_entries)])
    data = np.stack([rng.normal(size=n_entries), rng.integers(0, 9000, n_entries)])
    sums, untied_model, untied_data = kendall_sums(model, data)
    for i, j in itertools.product(range(2), range(2)):
        tau = sums[i, j] / np.sqrt(float(untied_model[i]) * untied_data[j])
        assert tau == pytest.approx(stats.kendalltau(model[i], data[j])[0], abs=1e-14)
    ones = np.ones((1, n_entries))
    np.testing.assert_array_equal(kendall_sums(model, data, ones)[0][0], sums)


def test_kendall_sums_do_not_overflow():
    """92 conditions, some drawn 50 times: sums far beyond 32 bits."""
    codes = np.arange(4186)[None]
    weights = np.full((1, 4186), 2500)
    expected = 2500**2 * 4186 * 4185 // 2
    assert expected > 2**31
    assert kendall_sums(codes, codes, weights)[0][0, 0, 0] == expected
    assert kendall_sums(codes, codes[:, ::-1], weights)[0][0, 0, 0] == -expected


def test_kendall_of_many_pairs_agrees_with_scipy():
    rng = np.random.default_rng(5)
    x, y = rng.integers(0, 50, size=(2, 4186)).astype(float)
    ours = METHODS["kendall"](x[None], y[None])[0, 0]
    assert ours == pytest.approx(stats.kendalltau(x, y)[0], abs=1e-14)


def test_numba_is_imported_only_where_it_pays():
    code = (
        "import sys, numpy as np, rsa_faces as rf; r = rf.RDMs([[1.0, 2, 3]], list('abc'), 'm');"
        "rf.compare(r, r, method='tau-a'); assert 'numba' not in sys.modules;"
        "r = rf.RDMs(np.random.rand(1, 44850), range(300), 'm');"
        "rf.compare(r, r, method='pearson'); assert 'numba' not in sys.modules;"
        "rf.compare(r, r, method='tau-a'); assert 'numba' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ranks_codes_and_ties():
    vectors = np.array([[3.0, 1, 3, 3, -2], [0, 1, 2, 3, 4]])
    np.testing.assert_array_equal(average_ranks(vectors), stats.rankdata(vectors, axis=1))
    np.testing.assert_array_equal(dense_codes(vectors), [[2, 1, 2, 2, 0], [0, 1, 2, 3, 4]])


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.normal(size=(6, n)),
        lambda rng, n: rng.integers(0, 4, size=(6, n)).astype(float),
        lambda rng, n: np.exp(9 * rng.normal(size=(6, n))),  # few digits tell most values apart
        lambda rng, n: np.where(rng.random((6, n)) < 0.5, 0.0, rng.choice([5e-324, 1e308], (6, n))),
        lambda rng, n: np.zeros((6, n)),
    ],
    ids=["normal", "ties", "skewed", "extreme", "constant"],
)
@pytest.mark.parametrize("n", [1, 2, 100, 5000, 40_000])
def test_sorting_and_ranking_of_any_values(draw, n):
    vectors = draw(np.random.default_rng(n), n)
    order, new = sort_rows(vectors)
    np.testing.assert_array_equal(order, np.argsort(vectors, axis=1, kind="stable"))
    values = np.sort(vectors, axis=1)
    np.testing.assert_array_equal(new[:, 1:], values[:, 1:] != values[:, :-1])
    assert new[:, 0].all()
    expected = stats.rankdata(vectors, axis=1)
    np.testing.assert_array_equal(average_ranks(vectors), expected)
    squares = ((expected - (n + 1) / 2) ** 2).sum(axis=1)
    np.testing.assert_allclose(centred_ranks(vectors)[1], squares, rtol=1e-13)


# --- laws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_symmetry_self_and_range(method):
    a, b = make(random_vectors(4)), make(random_vectors(11))
    similarity = compare(a, b, method=method)
    np.testing.assert_allclose(similarity, compare(b, a, method=method).T, rtol=0, atol=1e-14)
    assert (np.abs(similarity) <= 1).all()
    untied = make(random_vectors(6))
    np.testing.assert_allclose(np.diag(compare(untied, untied, method=method)), 1, rtol=1e-14)
    # With ties the largest value is what max_similarity says for rho-a and tau-a, 1 otherwise.
    largest = max_similarity(a, method=method) if method in {"rho-a", "tau-a"} else 1
    np.testing.assert_allclose(np.diag(compare(a, a, method=method)), largest, rtol=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_order_of_conditions_does_not_matter(method):
    model, data = make(random_vectors(4)), make(random_vectors(11))
    expected = compare(model, data, method=method)
    order = list(np.random.default_rng(0).permutation(data.conditions))
    np.testing.assert_allclose(compare(model, data.align(order), method=method), expected)
    np.testing.assert_allclose(compare(model.align(order), data, method=method), expected)


@pytest.mark.parametrize("method", sorted(RANK_METHODS))
def test_monotone_transforms_leave_rank_methods(method):
    x, y = random_vectors(4), random_vectors(11)
    expected = compare(make(x), make(y), method=method)
    np.testing.assert_array_equal(compare(make(np.exp(x)), make(y**3), method=method), expected)
    negative = compare(make(-x), make(y), method=method)
    np.testing.assert_allclose(negative, -expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("method", "offset"), [("pearson", 3.0), ("corr_cov", 3.0), ("cosine", 0), ("cosine_cov", 0)]
)
def test_scale_and_offset(method, offset):
    x, y = random_vectors(0, n_conditions=6), random_vectors(3)
    expected = compare(make(x), make(y), method=method)
    changed = compare(make(7 * x + offset), make(y), method=method)
    np.testing.assert_allclose(changed, expected, rtol=0, atol=1e-13)


def test_rounding_leaves_no_value_out_of_range():
    vectors = make(np.random.default_rng(0).normal(size=(100, 15)))
    opposite = make(-3 * vectors.vectors)
    for method in METHODS:
        assert compare(vectors, vectors, method=method).max() <= 1
        assert compare(vectors, opposite, method=method).min() >= -1


def test_large_common_offset():
    x, y = np.random.default_rng(3).integers(0, 50, size=(2, 3, 36)).astype(float)
    for method in ("pearson", "corr_cov", *sorted(RANK_METHODS)):
        expected = compare(make(x), make(y), method=method)
        shifted = compare(make(x + 1e8), make(y), method=method)
        np.testing.assert_allclose(shifted, expected, rtol=0, atol=1e-9)


def test_whitened_methods_of_permuted_sigma_k():
    """sigma_k is in the order of the model; data in another order are aligned to it."""
    root = np.random.default_rng(0).normal(size=(6, 12))
    sigma_k = root @ root.T
    model, data = make(random_vectors(3)), make(random_vectors(10))
    order = np.random.default_rng(2).permutation(6)
    moved = model.align([model.conditions[i] for i in order])
    for method in COV_METHODS:
        expected = compare(model, data, method=method, sigma_k=sigma_k)
        permuted = compare(moved, data, method=method, sigma_k=sigma_k[np.ix_(order, order)])
        np.testing.assert_allclose(permuted, expected, rtol=0, atol=1e-10)


# --- max_similarity ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["spearman", "rho-a", "kendall", "tau-a"])
@pytest.mark.parametrize(
    "model", [[0, 1, 1, 0, 1, 1], [0, 0, 0, 0, 0, 1], [2, 1, 1, 3, 3, 3], [1, 2, 3, 4, 5, 6]]
)
def test_max_similarity_brute_force(method, model):
    """The best of all 720 orders of data without ties."""
    data = np.array(list(itertools.permutations(range(6))), dtype=float)
    best = METHODS[method](np.array([model], float), data).max()
    assert max_similarity(make(model), method=method)[0] == pytest.approx(best, rel=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_max_similarity_without_ties_missing_and_constant(method):
    model = random_vectors(0, n_conditions=5)
    model[1] = 3.0
    largest = max_similarity(make(model), method=method)
    assert np.isnan(largest[1]) != (method in {"cosine", "cosine_cov"})
    assert largest[[0, 2]] == pytest.approx(1, rel=1e-14)
    tied = [[0, 1, 1, 0, 1, 1, np.nan, np.nan, np.nan, np.nan]]
    expected = max_similarity(make([[0, 1, 1, 0, 1, 1]]), method=method)
    np.testing.assert_allclose(max_similarity(make(tied), method=method), expected)


def test_max_similarity_of_half_and_half():
    """About √3/2 for spearman of two equally frequent values (Schütt 2023)."""
    model = np.arange(780) % 2
    assert max_similarity(make(model), method="spearman")[0] == pytest.approx(0.866, abs=1e-3)


# --- undefined -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_constant_rdm_is_nan_with_one_warning_that_names_it(method):
    vectors = random_vectors(3)
    vectors[1] = 0.0 if "cosine" in method else 0.1
    model = make(vectors, network=["alpha", "beta", "gamma"])
    data = make(random_vectors(10))
    with pytest.warns(UserWarning, match=r"for model RDM 1 \(network beta\): the RDM is") as seen:
        similarity = compare(model, data, method=method)
    assert len(seen) == 1
    np.testing.assert_array_equal(np.isnan(similarity).all(axis=1), [False, True, False])
    assert np.isfinite(similarity[[0, 2]]).all()
    with pytest.warns(UserWarning, match="for data RDM 1"):
        assert np.isnan(compare(data, model, method=method)[:, 1]).all()


@pytest.mark.parametrize("method", METHODS)
def test_fewer_than_three_pairs_is_nan(method):
    pair = rf.RDMs([[1.0]], ["a", "b"], "model")
    with pytest.warns(UserWarning, match="all 1 combinations.*fewer than 3 pairs"):
        assert np.isnan(compare(pair, pair, method=method)).all()


def test_undefined_combinations_without_a_culprit():
    nan = np.nan
    model = make([[1, 2, 3, nan, nan, nan], [1, 2, 3, 4, 5, 6]])
    data = make([[nan, nan, nan, 1, 2, 3], [1, 5, 2, 4, 3, 6]])
    with pytest.warns(UserWarning, match=r"\(NaN\) for 1 combinations"):
        similarity = compare(model, data)
    np.testing.assert_array_equal(np.isnan(similarity), [[True, False], [False, False]])


def test_nothing_is_warned_of_when_all_is_well():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in METHODS:
            compare(make(random_vectors(4)), make(random_vectors(11)), method=method)


@pytest.mark.parametrize("method", METHODS)
def test_no_rdms_give_an_empty_table(method):
    some = make(random_vectors(4))
    assert compare(some[:0], some, method=method).shape == (0, 3)
    assert compare(some, some[:0], method=method).shape == (3, 0)


@pytest.mark.parametrize("decimals", [0, 10])
@pytest.mark.parametrize("method", METHODS)
def test_noise_ceiling_reference(method, decimals):
    """Sessions of a subject leave together; each method pools in its own way."""
    rng = np.random.default_rng(decimals)
    vectors = np.round(rng.normal(size=(6, 15)) + rng.normal(size=15), decimals)
    subjects = ["a", "a", "b", "c", "d", "d"]
    ceiling = rf.noise_ceiling(make(vectors, subject=subjects), method=method)
    expected = reference.noise_ceiling(vectors, subjects, method)
    np.testing.assert_allclose((ceiling.lower, ceiling.upper), expected, rtol=0, atol=1e-12)


# --- conditions and doors ------------------------------------------------------------------------


def test_conditions_are_matched_by_name():
    a = rf.RDMs([[1.0, 2, 3]], ["x", "y", "z"], "model")
    permuted = rf.RDMs([[1.0, 2, 3]], ["z", "x", "y"], "model")
    assert compare(a, a)[0, 0] == pytest.approx(1)
    assert compare(a, permuted)[0, 0] < 1


def test_differing_conditions():
    a = make(random_vectors(4))
    fewer = a.subset(list(a.conditions[:5]))
    with pytest.raises(rf.ConditionMismatchError, match="only in model: 'c5', 'c6'"):
        compare(a, fewer)
    with pytest.warns(UserWarning, match="5 conditions in both: 2 of the model's and 0 of"):
        both = compare(a, fewer, conditions="intersection")
    np.testing.assert_array_equal(both, compare(fewer, fewer))
    with pytest.raises(ValueError, match="at least 3 conditions in both .* got 2"):
        align_pair(a, a.subset(["c0", "c1"]), conditions="intersection")
    with pytest.raises(ValueError, match="intersecton"):
        compare(a, fewer, conditions="intersecton")


def test_align_pair_keeps_the_order_of_the_model():
    data = make(random_vectors(4))
    model = data.subset(["c3", "c1", "c5", "c0"])
    with pytest.warns(UserWarning, match="0 of the model's and 3 of the data's"):
        first, second = align_pair(model, data, conditions="intersection")
    assert first.conditions == second.conditions == ("c3", "c1", "c5", "c0")
    np.testing.assert_array_equal(first.vectors, second.vectors)


@pytest.mark.parametrize(
    "function", [lambda **k: compare(A, A, **k), lambda **k: max_similarity(A, **k)]
)
def test_unknown_method_names_the_nearest(function):
    with pytest.raises(ValueError, match="'spearmen'.*'spearman'"):
        function(method="spearmen")


@pytest.mark.parametrize(
    ("method", "sigma_k", "message"),
    [
        ("pearson", np.eye(3), "'pearson' uses no `sigma_k`"),
        ("corr_cov", np.eye(4), r"shape \(3, 3\), .* got \(4, 4\)"),
        ("cosine_cov", np.triu(np.ones((3, 3))), "symmetric"),
        ("cosine_cov", -np.eye(3), "eigenvalue -1"),
        ("cosine_cov", np.ones((3, 3)), "invertible covariance of dissimilarities"),
        ("cosine_cov", np.full((3, 3), np.nan), "finite"),
    ],
)
def test_sigma_k_doors(method, sigma_k, message):
    with pytest.raises(rf.InputError, match=message):
        compare(A, A, method=method, sigma_k=sigma_k)


@pytest.mark.parametrize("method", sorted(COV_METHODS))
def test_whitened_methods_need_every_pair(method):
    holes = make([[1.0, np.nan, 3.0]])
    with pytest.raises(rf.InputError, match="1 pairs are missing .* in the data"):
        compare(A, holes, method=method)


A = make([[1.0, 2.0, 4.0]])


# --- partial correlation -------------------------------------------------------------------------


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n_given", [1, 2])
@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_partial_correlation_is_that_of_residuals(method, n_given, ties):
    draw = [random_vectors(seed, n_conditions=9) for seed in range(3)]
    model, data, given = ((np.round(v) if ties else v) for v in draw)
    given = given[:n_given]
    sides = [stats.rankdata(v, axis=1) if method == "spearman" else v for v in (model, data, given)]
    controls = np.vstack([sides[2], np.ones(sides[2].shape[1])]).T
    left = [(v.T - controls @ np.linalg.lstsq(controls, v.T)[0]).T for v in sides[:2]]
    expected = np.corrcoef(*left)[: len(model), len(model) :]
    ours = compare(make(model), make(data), method=method, given=make(given))
    np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_given_is_matched_by_name_and_may_hold_more_conditions():
    model, data, given = (make(random_vectors(seed, n_conditions=8)) for seed in range(3))
    names = model.conditions
    few = [names[i] for i in (5, 0, 3, 1, 6)]
    expected = compare(model.subset(few), data.subset(few), method="pearson", given=given)
    other = given.subset(names[::-1])
    np.testing.assert_allclose(
        compare(model.subset(few), data.subset(few), method="pearson", given=other), expected
    )
    with pytest.raises(rf.ConditionMismatchError, match="must be in `given`"):
        compare(model, data, method="pearson", given=given.subset(few))


def test_what_is_given_entirely_has_no_partial_correlation():
    model, data = (make(random_vectors(seed, n_conditions=8)) for seed in range(2))
    with pytest.warns(UserWarning, match="undefined"):
        similarity = compare(model, data, method="pearson", given=model[0])
    assert np.isnan(similarity[0]).all()
    assert np.isfinite(similarity[1:]).all()


def test_given_that_cannot_be_regressed_out():
    model, data = (make(random_vectors(seed, n_conditions=8)) for seed in range(2))
    with pytest.raises(rf.InputError, match="got 'rho-a', which has no partial form"):
        compare(model, data, given=data[0])
    constant = rf.RDMs(np.ones((1, 28)), model.conditions, "model", {"name": ["flat"]})
    with pytest.raises(rf.InputError, match="RDM 0 .name flat. is constant"):
        compare(model, data, method="pearson", given=constant)
    vectors = data.vectors.copy()
    vectors[0, 3] = np.nan
    with pytest.raises(
        rf.InputError, match="measured in the data of a partial correlation, but 1 are missing"
    ):
        compare(model, make(vectors), method="pearson", given=data[0])


# weights of pairs ----------------------------------------------------------------------------

WEIGHTED = ("pearson", "spearman", "cosine")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("method", WEIGHTED)
def test_weights_count_pairs_as_often_as_they_say(method, seed):
    rng = np.random.default_rng(seed)
    model, data = (random_vectors(s, n_conditions=8) for s in (seed, seed + 4))
    times = rng.integers(0, 4, data.shape)
    times[:, :3] += 1  # where vectors differ
    ours = compare(make(model), make(data), method=method, weights=times * 0.7)
    for j, (row, n) in enumerate(zip(data, times, strict=True)):
        expected = METHODS[method](np.repeat(model, n, axis=1), np.repeat(row[None], n, axis=1))
        np.testing.assert_allclose(ours[:, j], expected[:, 0], rtol=0, atol=1e-12)
    same = compare(make(model), make(data), method=method, weights=np.full(data.shape, 3.0))
    np.testing.assert_allclose(same, compare(make(model), make(data), method=method), atol=1e-12)


@pytest.mark.parametrize("method", WEIGHTED)
def test_weights_follow_the_names_and_missing_pairs_have_none(method):
    rng = np.random.default_rng(1)
    model, data = make(rng.random((2, 28))), make(rng.random((3, 28)))
    weights = rng.random((3, 28))
    plain = compare(model, data, method=method, weights=weights)
    order = rng.permutation(8)
    mixed = data.align([data.conditions[i] for i in order])
    moved = rf.RDMs(weights, data.conditions, "w").align(mixed.conditions).vectors
    np.testing.assert_allclose(compare(model, mixed, method=method, weights=moved), plain)
    holes = data.vectors.copy()
    holes[0, [2, 5]], holes[1, 7] = np.nan, np.nan
    left = np.where(np.isnan(holes), 0.0, weights)
    np.testing.assert_array_equal(
        compare(model, make(holes), method=method, weights=weights),
        compare(model, data, method=method, weights=left),
    )
    some = model.vectors.copy()
    some[1, 4] = np.nan
    left = weights.copy()
    left[:, 4] = 0
    found = compare(make(some), data, method=method, weights=weights)
    np.testing.assert_allclose(found[0], plain[0])
    np.testing.assert_allclose(found[1], compare(model, data, method=method, weights=left)[1])


def test_weights_that_cannot_be_used_are_refused():
    model = make(np.arange(6.0))
    for method in set(METHODS) - set(WEIGHTED):
        with pytest.raises(rf.InputError, match=f"pearson, spearman or cosine.*got '{method}'"):
            compare(model, model, method=method, weights=np.ones((1, 6)))
    with pytest.raises(rf.InputError, match="with `given`"):
        compare(model, model, method="pearson", given=model, weights=np.ones((1, 6)))
    with pytest.raises(rf.InputError, match=r"shape \(1, 6\).*got \(6,\)"):
        compare(model, model, method="pearson", weights=np.ones(6))
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(rf.InputError, match="at least 0"):
            compare(model, model, method="pearson", weights=np.full((1, 6), wrong))
    with pytest.warns(UserWarning, match="fewer than 3 pairs"):
        few = compare(model, model, method="pearson", weights=[[1, 1, 0, 0, 0, 0]])
    assert np.isnan(few).all()
