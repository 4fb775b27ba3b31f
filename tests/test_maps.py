"""Tests of maps by sign flips, and which places are neighbours."""

import itertools

import numpy as np
import pytest
from scipy import ndimage, sparse, stats
from scipy.sparse.csgraph import connected_components

from rsa_faces._kernels import choice, clusters
from rsa_faces.inference import maps
from rsa_faces.inference.maps import STATISTICS, TAILS, sign_flip_test
from rsa_faces.inference.neighbours import (
    combine_neighbours,
    grid_neighbours,
    surface_neighbours,
    time_neighbours,
)


def simulated(n_subjects=8, shape=(20,), seed=0, decimals=None):
    values = np.random.default_rng(seed).normal(0.2, 1.0, (n_subjects, *shape))
    return values if decimals is None else values.round(decimals)


def options(statistic, neighbours, **more):
    return (
        {"statistic": statistic} | ({} if statistic == "max" else {"neighbours": neighbours}) | more
    )


# The obvious way to each statistic, on a dense graph.


def tails(t, tail):
    return [s * t for s in {"two-sided": (1, -1), "greater": (1,), "less": (-1,)}[tail]]


def components(graph, inside):
    """Lists of the places inside, one list per component."""
    places = np.flatnonzero(inside)
    n, label = connected_components(graph[np.ix_(places, places)], directed=False)
    return [places[label == i] for i in range(n)]


def obvious_masses(t, graph, threshold):
    return [t[places].sum() for places in components(graph, t >= threshold)]


def obvious_tfce(t, graph):
    """Extents found again for every interval between successive values."""
    enhanced = np.zeros(len(t))
    levels = np.concatenate([[0.0], np.unique(t[t > 0])])
    for low, high in itertools.pairwise(levels):
        for places in components(graph, t >= high):
            enhanced[places] += len(places) ** 0.5 * (high**3 - low**3) / 3
    return enhanced


def stepwise_tfce(t, graph, dh):
    """As usual elsewhere: a sum over steps of the height."""
    enhanced = np.zeros(len(t))
    for h in np.arange(dh, t.max() + dh, dh):
        for places in components(graph, t >= h):
            enhanced[places] += len(places) ** 0.5 * h**2 * dh
    return enhanced


def obvious_largest(values, statistic, graph, threshold, tail):
    t = stats.ttest_1samp(values, 0).statistic
    if statistic == "max":
        return max(side.max() for side in tails(t, tail))
    if statistic == "tfce":
        return max(obvious_tfce(side, graph).max() for side in tails(t, tail))
    return max(
        [0.0, *(m for side in tails(t, tail) for m in obvious_masses(side, graph, threshold))]
    )


# t


@pytest.mark.parametrize("shape", [(7,), (4, 5), (2, 3, 4)])
@pytest.mark.parametrize("n_subjects", [6, 13])
def test_t_is_that_of_scipy(shape, n_subjects):
    values = simulated(n_subjects, shape) * 1e-3
    test = sign_flip_test(values, n_permutations=20)
    assert test.t.shape == test.p.shape == shape
    np.testing.assert_allclose(test.t, stats.ttest_1samp(values, 0).statistic, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_t_and_p_do_not_depend_on_the_unit(scale):
    values = simulated()
    test, scaled = sign_flip_test(values), sign_flip_test(values * scale)
    np.testing.assert_allclose(scaled.t, test.t, rtol=1e-12)
    np.testing.assert_array_equal(scaled.p, test.p)


def test_large_t_keeps_its_digits():
    values = 1 + 1e-4 * simulated()
    test = sign_flip_test(values)
    np.testing.assert_allclose(test.t, stats.ttest_1samp(values, 0).statistic, rtol=1e-6)
    assert test.t.min() > 1e4


# Flips


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("decimals", [None, 0])
def test_all_flips_are_those_of_a_loop(statistic, tail, decimals):
    values = simulated(6, (3, 4), seed=3, decimals=decimals)
    values[:, 0, 0] = [1, 2, 3, 1, 2, 4]  # not the same in all subjects when rounded
    values[:, 1, 2] = [-1, -2, 3, -1, -2, -4]
    graph = grid_neighbours((3, 4))
    more = {"threshold": 1.1} if statistic == "cluster-mass" else {}
    test = sign_flip_test(values, **options(statistic, graph, tail=tail, **more))
    flat, dense = values.reshape(6, -1), graph.toarray()
    null = np.array(
        [
            obvious_largest(flat * np.array(flip)[:, None], statistic, dense, 1.1, tail)
            for flip in itertools.product([1, -1], repeat=6)
        ]
    )
    assert test.exact
    assert test.n_permutations == 64
    t = stats.ttest_1samp(flat, 0).statistic
    if statistic == "max":
        observed = np.max(tails(t, tail), axis=0)
    elif statistic == "tfce":
        observed = np.max([obvious_tfce(side, dense) for side in tails(t, tail)], axis=0)
        signs = {"two-sided": (1, -1), "greater": (1,), "less": (-1,)}[tail]
        signed = sum(sign * obvious_tfce(sign * t, dense) for sign in signs)
        np.testing.assert_allclose(test.enhanced.ravel(), signed, rtol=1e-10, atol=1e-12)
    else:
        observed = np.zeros(12)
        for side in tails(t, tail):
            for places in components(dense, side >= 1.1):
                observed[places] = side[places].sum()
    expected = [(null >= value - 1e-9).mean() for value in observed]
    np.testing.assert_array_equal(test.p.ravel(), expected)
    half = 2 if tail == "two-sided" else 1
    np.testing.assert_allclose(np.repeat(test.maxima, half), np.sort(null), rtol=1e-9)


def test_random_flips_count_the_data_as_one():
    values = simulated(20, (5,), seed=1) + [0, 0, 0, 0, 3]
    test = sign_flip_test(values, n_permutations=99)
    assert not test.exact
    assert test.n_permutations == 99
    assert test.p[4] == 0.01
    larger = [(test.maxima >= abs(t)).sum() for t in test.t]
    np.testing.assert_array_equal(test.p, (1 + np.array(larger)) / 100)


def test_random_flips_agree_with_all_flips():
    values = simulated(10, (6,), seed=2)
    exact = sign_flip_test(values)
    random = [sign_flip_test(values, n_permutations=1000, seed=s).p for s in range(5)]
    assert exact.exact
    np.testing.assert_allclose(np.mean(random, axis=0), exact.p, atol=0.02)


@pytest.mark.parametrize("n_permutations, exact", [(255, False), (256, True), (257, True)])
def test_all_flips_are_made_where_they_are_no_more_than_asked_for(n_permutations, exact):
    assert sign_flip_test(simulated(8), n_permutations=n_permutations).exact is exact


@pytest.mark.parametrize("statistic", STATISTICS)
def test_sides_mirror_each_other(statistic):
    values = simulated(7, (15,), seed=4)
    graph = time_neighbours(15)
    greater = sign_flip_test(-values, **options(statistic, graph, tail="greater"))
    less = sign_flip_test(values, **options(statistic, graph, tail="less"))
    np.testing.assert_array_equal(greater.p, less.p)
    np.testing.assert_array_equal(greater.t, -less.t)


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_share_alpha_of_all_flipped_data_is_significant_at_alpha(statistic, tail):
    # With all flips the error rate holds exactly over the 64 sign patterns of one data set.
    magnitude = simulated(6, (8,), seed=5)
    graph = time_neighbours(8)
    smallest = np.array(
        [
            sign_flip_test(
                magnitude * np.array(flip)[:, None], **options(statistic, graph, tail=tail)
            ).p.min()
            for flip in itertools.product([1, -1], repeat=6)
        ]
    )
    for alpha in np.arange(1, 64) / 64:
        assert (smallest <= alpha).mean() <= alpha
    if statistic == "max" and tail != "two-sided":
        np.testing.assert_allclose(np.sort(smallest), np.arange(1, 65) / 64)


def test_seeds():
    values = simulated(20)
    first, again, other = (sign_flip_test(values, n_permutations=199, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.p, again.p)
    assert (first.p != other.p).any()


@pytest.mark.parametrize("statistic", STATISTICS)
def test_results_do_not_depend_on_blocks_or_threads(statistic, monkeypatch):
    values = simulated(15, (30, 40), seed=6)
    settings = options(statistic, grid_neighbours((30, 40)), n_permutations=50)
    monkeypatch.setattr(clusters, "LIMIT", 0)
    results = []
    for held, threads in ((2**21, 2), (1, 1), (1200 * 7, 1)):
        monkeypatch.setattr(clusters, "_HELD", held)
        monkeypatch.setattr(choice, "n_threads", lambda threads=threads: threads)
        results.append(sign_flip_test(values, **settings))
    for other in results[1:]:
        np.testing.assert_array_equal(other.maxima, results[0].maxima)
        np.testing.assert_array_equal(other.p, results[0].p)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_order_of_places_does_not_matter(statistic):
    values = simulated(9, (25,), seed=7)
    order = np.random.default_rng(0).permutation(25)
    graph = grid_neighbours((5, 5))
    test = sign_flip_test(values, **options(statistic, graph))
    shuffled = sign_flip_test(values[:, order], **options(statistic, graph[order][:, order]))
    np.testing.assert_array_equal(shuffled.p, test.p[order])


# Clusters


@pytest.mark.parametrize(
    "shape, n_neighbours",
    [
        ((40,), 2),
        ((12, 9), 4),
        ((12, 9), 8),
        ((7, 6, 5), 6),
        ((7, 6, 5), 18),
        ((7, 6, 5), 26),
    ],
)
@pytest.mark.parametrize("tail", TAILS)
def test_clusters_are_those_of_scipy(shape, n_neighbours, tail):
    values = simulated(12, shape, seed=8) - 0.2
    test = sign_flip_test(
        values,
        statistic="cluster-mass",
        threshold=1.2,
        tail=tail,
        n_permutations=50,
        neighbours=grid_neighbours(shape, n_neighbours=n_neighbours),
    )
    reach = {2: 1, 4: 1, 8: 2, 6: 1, 18: 2, 26: 3}[n_neighbours]
    structure = ndimage.generate_binary_structure(len(shape), reach)
    rows = []
    for sign in {"two-sided": (1, -1), "greater": (1,), "less": (-1,)}[tail]:
        label, n = ndimage.label(sign * test.t >= 1.2, structure)
        for i in range(1, n + 1):
            inside = label == i
            rows.append((sign, inside.sum(), abs(test.t[inside].sum())))
            (ours,) = np.unique(test.labels[inside])
            assert (test.labels == ours).sum() == inside.sum()
            row = test.clusters.iloc[ours - 1]
            assert row["label"] == ours
            assert row["mass"] == pytest.approx(rows[-1][2], rel=1e-12)
            assert (row["sign"], row["size"]) == rows[-1][:2]
            assert row["peak_t"] == test.t[row["peak"]] == sign * abs(test.t[inside]).max()
            assert test.labels[row["peak"]] == ours
            np.testing.assert_array_equal(test.p[inside], row["p"])
    assert len(test.clusters) == len(rows) >= 2
    assert (np.diff(test.clusters["mass"]) <= 0).all()
    assert (test.p[test.labels == 0] == 1).all()


def test_clusters_of_both_signs_side_by_side_stay_apart():
    rng = np.random.default_rng(9)
    values = rng.normal(0, 0.1, (6, 6)) + [0, 2, 2, -1, -1, -1]
    test = sign_flip_test(values, statistic="cluster-mass", neighbours=time_neighbours(6))
    table = test.clusters.set_index("sign")
    assert table.loc[1, "size"] == 2
    assert table.loc[-1, "size"] == 3
    np.testing.assert_array_equal(
        np.abs(np.diff(test.labels)) > 0, [True, False, True, False, False]
    )


def test_a_place_at_the_threshold_is_in_a_cluster():
    values = simulated(8, (200,)) + 1
    t = stats.ttest_1samp(values, 0).statistic
    for place in range(50):
        test = sign_flip_test(
            values,
            statistic="cluster-mass",
            neighbours=time_neighbours(200),
            threshold=t[place],
            n_permutations=1,
        )
        np.testing.assert_array_equal(test.labels > 0, t >= t[place])


def test_no_cluster():
    test = sign_flip_test(
        simulated(), statistic="cluster-mass", neighbours=time_neighbours(20), threshold=1e3
    )
    assert list(test.clusters) == list(maps.CLUSTERS)
    assert len(test.clusters) == 0
    assert (test.p == 1).all()
    assert (test.labels == 0).all()
    assert (test.maxima == 0).all()


@pytest.mark.parametrize("tail, p", [("two-sided", 0.005), ("greater", 0.01), ("less", 0.01)])
def test_default_threshold(tail, p):
    test = sign_flip_test(
        simulated(12),
        statistic="cluster-mass",
        neighbours=time_neighbours(20),
        tail=tail,
        n_permutations=10,
    )
    assert stats.t.sf(test.threshold, 11) == pytest.approx(p)


# Threshold-free cluster enhancement


def observed_tfce(t, graph):
    return maps._enhanced(np.array(t, float), graph, "greater")


def test_tfce_of_a_line_by_hand():
    # 2 for h up to 1 (extent 3), up to 2 (extent 1 each); the last place stands alone.
    enhanced = observed_tfce([2, 1, 2, 0, 1], time_neighbours(5))
    wide, narrow = 3**0.5 / 3, (8 - 1) / 3
    np.testing.assert_allclose(enhanced, [wide + narrow, wide, wide + narrow, 0, 1 / 3], rtol=1e-14)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("decimals", [None, 1])
def test_tfce_is_the_obvious_integral(seed, decimals):
    rng = np.random.default_rng(seed)
    n_places = 60
    edges = sparse.random_array((n_places, n_places), density=0.02, rng=rng)
    graph = (edges + edges.T).tocsr()
    graph.setdiag(0)
    graph.eliminate_zeros()
    t = rng.standard_t(3, n_places)
    t = t if decimals is None else t.round(decimals)  # many ties
    np.testing.assert_allclose(
        observed_tfce(t, graph), obvious_tfce(t, graph.toarray()), rtol=1e-12, atol=1e-14
    )


def test_tfce_with_very_large_and_very_small_t():
    t = np.array([1e-9, 3e5, 2.0, 2.0, 1e-3, -4.0, 7.0, 3e5])
    graph = time_neighbours(8)
    np.testing.assert_allclose(observed_tfce(t, graph), obvious_tfce(t, graph.toarray()), rtol=1e-9)


def test_tfce_is_the_limit_of_small_steps():
    rng = np.random.default_rng(10)
    graph = grid_neighbours((6, 7))
    t = ndimage.gaussian_filter(rng.normal(size=(6, 7)), 1).ravel() * 6
    exact = observed_tfce(t, graph)
    errors = [
        np.abs(stepwise_tfce(t, graph.toarray(), dh) - exact).max() for dh in (0.1, 0.01, 0.001)
    ]
    assert errors[1] < errors[0] / 5
    assert errors[2] < errors[1] / 5
    assert errors[2] < 0.005 * exact.max()


# Places not measured


@pytest.mark.parametrize("statistic", STATISTICS)
def test_places_missing_in_all_subjects_are_left_out(statistic):
    values = simulated(8, (6, 5), seed=11)
    mask = np.random.default_rng(11).random((6, 5)) < 0.7
    values[:, ~mask] = np.nan
    test = sign_flip_test(values, **options(statistic, grid_neighbours((6, 5))))
    inside = sign_flip_test(values[:, mask], **options(statistic, grid_neighbours(mask)))
    assert np.isnan(test.t[~mask]).all()
    assert np.isnan(test.p[~mask]).all()
    np.testing.assert_array_equal(test.p[mask], inside.p)
    if statistic == "tfce":
        np.testing.assert_array_equal(test.enhanced[mask], inside.enhanced)
        assert np.isnan(test.enhanced[~mask]).all()
    if statistic == "cluster-mass":
        np.testing.assert_array_equal(test.labels[mask], inside.labels)
        assert (test.labels[~mask] == 0).all()
        for peak, peak_t in zip(test.clusters["peak"], test.clusters["peak_t"], strict=True):
            assert test.t[peak] == peak_t


def test_a_gap_of_missing_places_parts_a_cluster():
    values = simulated(8, (5,)) * 0.1 + 1
    values[:, 2] = np.nan
    test = sign_flip_test(values, statistic="cluster-mass", neighbours=time_neighbours(5))
    assert sorted(test.clusters["size"]) == [2, 2]


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_place_that_is_0_in_all_subjects_has_t_0(statistic):
    values = simulated(8, (6,))
    values[:, 3] = 0
    test = sign_flip_test(values, **options(statistic, time_neighbours(6)))
    assert test.t[3] == 0
    assert test.p[3] == 1


# Neighbours


def brute_force(mask, reach):
    cells = np.argwhere(mask)
    steps = np.abs(cells[:, None] - cells[None])
    return (steps.max(axis=2) == 1) & ((steps > 0).sum(axis=2) <= reach)


@pytest.mark.parametrize(
    "shape, n_neighbours, reach",
    [
        ((6,), None, 1),
        ((4, 5), None, 1),
        ((4, 5), 8, 2),
        ((3, 4, 5), None, 1),
        ((3, 4, 5), 6, 1),
        ((3, 4, 5), 18, 2),
        ((3, 4, 5), 26, 3),
        ((1, 1, 4), 26, 3),
    ],
)
@pytest.mark.parametrize("share", [1.0, 0.6])
def test_grids_are_those_of_brute_force(shape, n_neighbours, reach, share):
    mask = np.random.default_rng(12).random(shape) < share
    mask.flat[0] = True
    graph = grid_neighbours(mask, n_neighbours=n_neighbours)
    assert graph.dtype == bool
    assert isinstance(graph, sparse.csr_array)
    np.testing.assert_array_equal(graph.toarray(), brute_force(mask, reach))
    if share == 1:
        np.testing.assert_array_equal(
            graph.toarray(), grid_neighbours(shape, n_neighbours=n_neighbours).toarray()
        )


def test_time_is_a_grid_of_one_axis():
    for n_times in (1, 2, 7):
        np.testing.assert_array_equal(
            time_neighbours(n_times).toarray(), grid_neighbours((n_times,)).toarray()
        )


def test_surfaces():
    tetrahedron = surface_neighbours(list(itertools.combinations(range(4), 3)))
    np.testing.assert_array_equal(tetrahedron.toarray(), ~np.eye(4, dtype=bool))
    golden = (1 + 5**0.5) / 2
    corners = np.array(
        [np.roll((0, a, b * golden), k) for k in range(3) for a in (1, -1) for b in (1, -1)]
    )
    near = np.isclose(np.linalg.norm(corners[:, None] - corners[None], axis=2), 2)
    triangles = [
        c
        for c in itertools.combinations(range(12), 3)
        if all(near[a, b] for a, b in itertools.combinations(c, 2))
    ]
    assert len(triangles) == 20
    icosahedron = surface_neighbours(np.array(triangles))
    np.testing.assert_array_equal(icosahedron.toarray(), near)
    assert (icosahedron.sum(axis=0) == 5).all()
    alone = surface_neighbours([[0, 1, 2]], n_vertices=5).toarray()
    assert alone.shape == (5, 5)
    assert alone.sum() == 6


def test_combined_neighbours_are_on_one_axis_and_equal_on_the_others():
    np.testing.assert_array_equal(
        combine_neighbours(time_neighbours(4), time_neighbours(5)).toarray(),
        grid_neighbours((4, 5)).toarray(),
    )
    np.testing.assert_array_equal(
        combine_neighbours(*map(time_neighbours, (2, 3, 4))).toarray(),
        grid_neighbours((2, 3, 4)).toarray(),
    )
    space = surface_neighbours([[0, 1, 2], [1, 2, 3]])
    both = combine_neighbours(space, time_neighbours(3)).toarray().reshape(4, 3, 4, 3)
    for a, i, b, j in np.ndindex(both.shape):
        expected = (space[a, b] and i == j) or (a == b and abs(i - j) == 1)
        assert both[a, i, b, j] == expected


def test_any_graph_with_its_diagonal_or_weights_is_allowed():
    values = simulated(7, (6,))
    graph = time_neighbours(6)
    test = sign_flip_test(values, statistic="tfce", neighbours=graph)
    dense = graph.toarray() * -0.5 + np.eye(6)
    for given in (dense, sparse.coo_matrix(dense), sparse.csc_array(dense)):
        other = sign_flip_test(values, statistic="tfce", neighbours=given)
        np.testing.assert_array_equal(other.enhanced, test.enhanced)
    assert graph.nnz == 10  # the user's graph is not changed


# Errors and warnings


def with_value(value, *index):
    values = simulated(8, (4, 5))
    values[index] = value
    return values


@pytest.mark.parametrize(
    "values, settings, message",
    [
        (np.zeros(5), {}, r"shape \(n_subjects, \.\.\.\).*got shape \(5,\)"),
        (np.ones((1, 5)), {}, r"at least 2 subjects.*got shape \(1, 5\)"),
        (np.ones((6, 0)), {}, r"1 place, got shape \(6, 0\)"),
        (with_value(np.inf, 0, 0), {}, "5 are infinite"),
        (
            with_value(np.nan, slice(3), 1, slice(1, 3)),
            {},
            r"2 of 20 places are missing \(NaN\) in some subjects "
            r"\(the first at \(1, 1\), in 3 of 8\)",
        ),
        (np.full((6, 3), np.nan), {}, "all 3 are NaN"),
        (
            with_value(-0.25, slice(None), 2, 3),
            {},
            r"1 of 20 places.*first 0\.25\), where t has no",
        ),
        (simulated(), {"statistic": "clustermass"}, "Did you mean 'cluster-mass'"),
        (simulated(), {"tail": "lesser"}, "Did you mean 'less'"),
        (simulated(), {"n_permutations": 0}, "n_permutations.*got 0"),
        (simulated(), {"threshold": 2.0}, r"no threshold with statistic 'max', got 2\.0"),
        (simulated(), {"neighbours": time_neighbours(20)}, "no neighbours with statistic 'max'"),
        (simulated(), {"statistic": "tfce"}, "neighbours with statistic 'tfce'.*of 20 places"),
        (
            simulated(),
            {"statistic": "tfce", "neighbours": time_neighbours(19)},
            r"shape \(20, 20\).*got \(19, 19\)",
        ),
        (
            simulated(),
            {"statistic": "tfce", "neighbours": sparse.triu(time_neighbours(20))},
            "symmetric neighbours, but 38 entries",
        ),
        (
            simulated(),
            {"statistic": "cluster-mass", "neighbours": time_neighbours(20), "threshold": -1.5},
            r"t value above 0, got -1\.5",
        ),
    ],
)
def test_errors_of_the_test(values, settings, message):
    with pytest.raises(ValueError, match=message):
        sign_flip_test(values, **settings)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: time_neighbours(0), "n_times.*got 0"),
        (lambda: grid_neighbours((3, 0)), r"got int64 of shape \(2,\)"),
        (lambda: grid_neighbours(np.ones((2, 2))), r"got float64 of shape \(2, 2\)"),
        (lambda: grid_neighbours(np.zeros((2, 2), bool)), r"none in \(2, 2\)"),
        (lambda: grid_neighbours((3, 4, 5), n_neighbours=8), "one of 6, 18, 26, got 8"),
        (lambda: surface_neighbours([[0, 1]]), r"got shape \(1, 2\)"),
        (lambda: surface_neighbours([[0.0, 1, 2]]), "of float64"),
        (lambda: surface_neighbours(np.zeros((0, 3), int)), "got none"),
        (lambda: surface_neighbours([[1, 2, 3]], n_vertices=3), "0 to 2, got vertices from 1 to 3"),
        (lambda: surface_neighbours([[-1, 2, 3]]), "from -1 to 3"),
        (combine_neighbours, "at least one graph"),
        (lambda: combine_neighbours(np.ones((2, 3))), r"got \(2, 3\)"),
        (lambda: combine_neighbours(np.triu(np.ones((3, 3)))), "6 entries differ"),
    ],
)
def test_errors_of_neighbours(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "n_subjects, tail, smallest", [(4, "two-sided", 8), (4, "less", 16), (5, "two-sided", 16)]
)
def test_few_subjects_are_warned_of(n_subjects, tail, smallest):
    values = simulated(n_subjects, (3,)) * 0.01 + (-1 if tail == "less" else 1)
    with pytest.warns(
        UserWarning, match=f"{n_subjects} subjects no {tail} .* below 1/{smallest} ="
    ):
        test = sign_flip_test(values, tail=tail)
    assert test.p.min() == 1 / smallest


def test_shown_in_one_line():
    test = sign_flip_test(simulated())
    assert "all 256 flips" in repr(test)


# Calibration


@pytest.mark.simulation
@pytest.mark.slow
@pytest.mark.parametrize("statistic", STATISTICS)
def test_family_wise_error_rate(statistic):
    n_studies = 2000
    graph = time_neighbours(60)
    n_significant = 0
    for study in range(n_studies):
        noise = np.random.default_rng(study).normal(size=(10, 60))
        values = ndimage.gaussian_filter1d(noise, 2.0, axis=1)
        test = sign_flip_test(values, **options(statistic, graph, n_permutations=199, seed=study))
        n_significant += test.p.min() <= 0.05
    low, high = stats.binom.interval(0.99, n_studies, 0.05)
    assert low <= n_significant <= high


@pytest.mark.slow
@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_known_effect_is_found_where_it_is(statistic):
    graph = time_neighbours(60)
    effect = np.zeros(60)
    effect[25:35] = 0.6
    found = []
    for study in range(100):
        noise = ndimage.gaussian_filter1d(
            np.random.default_rng(study).normal(size=(16, 60)), 2.0, axis=1
        )
        test = sign_flip_test(
            noise + effect, **options(statistic, graph, n_permutations=199, seed=study)
        )
        found.append(test.p <= 0.05)
    share = np.mean(found, axis=0)
    assert share[27:33].min() > 0.9
    assert np.delete(share, range(20, 40)).max() < 0.05
