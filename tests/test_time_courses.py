"""Maps of layers over time, their tests over patients, semi-partial correlation, BIC, figures.

All recordings are simulated.
"""

import itertools
import warnings

import matplotlib as mpl
import mne
import numpy as np
import pandas as pd
import pytest
from drawn import panels
from matplotlib.collections import LineCollection
from scipy import stats

import rsa_faces as rf
from rsa_faces.brain.electrode_rdms import ieeg_rdms
from rsa_faces.brain.ieeg import ieeg_patterns
from rsa_faces.figures._parts import outline
from rsa_faces.figures.ieeg import plot_layer_map
from rsa_faces.inference import time_course
from rsa_faces.mapping.regions import compare_region_models, semi_partial
from rsa_faces.mapping.time_courses import layer_map
from rsa_faces.mapping.time_tests import compare_networks, map_clusters

mpl.use("Agg")
import matplotlib.pyplot as plt

K = 12
N_PAIRS = K * (K - 1) // 2
CONDITIONS = [f"c{i:02d}" for i in range(K)]
TIMES = np.arange(-5, 20) / 50  # -0.1 to 0.38 s
N_LAYERS = 4


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def networks(seed=0, n_layers=N_LAYERS):
    """Return layers of two networks; each layer resembles the one before it."""
    rng = np.random.default_rng(seed)
    vectors = np.concatenate(
        [np.cumsum(rng.normal(size=(n_layers, N_PAIRS)), axis=0) for _ in range(2)]
    )
    labels = {
        "network": np.repeat(["identity", "expression"], n_layers),
        "layer": [f"conv{i}" for i in range(n_layers)] * 2,
        "layer_index": list(range(n_layers)) * 2,
    }
    vectors /= vectors.std(axis=1, keepdims=True)
    return rf.RDMs(vectors, CONDITIONS, "simulated", labels)


def recording(model, *, rows=None, seed=0, n_patients=8, gain=1.0, center=0.16, lacking=()):
    """Return simulated RDMs of patients; in each region one layer drives them around `center`."""
    rng = np.random.default_rng(seed)
    rows = {"ventral": 2, "lateral": 6} if rows is None else rows
    strength = gain * np.exp(-0.5 * ((TIMES - center) / 0.04) ** 2)
    vectors, labels = [], []
    for patient, (region, row) in itertools.product(range(n_patients), rows.items()):
        if (patient, region) in lacking:
            continue
        noise = rng.normal(size=(len(TIMES), N_PAIRS))
        vectors.append(noise + strength[:, None] * model.vectors[row])
        labels.append(pd.DataFrame({"subject": f"p{patient}", "region": region, "time": TIMES}))
    return rf.RDMs(np.concatenate(vectors), CONDITIONS, "simulated", pd.concat(labels))


def mapped(model=None, data=None, **options):
    """Return a quick map."""
    model = networks() if model is None else model
    data = recording(model) if data is None else data
    return layer_map(model, data, **({"method": "spearman", "n_permutations": 0} | options))


# Semi-partial correlation


def kendall_covariance(columns):
    """Return covariances of signs over all ordered pairs of entries, as R's cov() does."""
    signs = [np.sign(np.subtract.outer(c, c)).ravel() for c in columns]
    return np.array([[a @ b for b in signs] for a in signs])


def spcor(x, y, given):
    """Return the semi-partial Kendall correlation of x with y, `given` taken out of y (ppcor)."""
    covariance = kendall_covariance([y, x, *given])
    inverse = np.linalg.inv(covariance)
    partial = -inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1])
    # Times the square root of the share of x that `given` leaves (y marginalised).
    precision = inverse[1, 1] - inverse[0, 1] ** 2 / inverse[0, 0]
    return partial / np.sqrt(covariance[1, 1] * precision)


def rounded_layers(seed, n_layers=4, n_data=3, ties=True):
    """Return layers and data with ties and shared structure."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=N_PAIRS)
    model = shared + rng.normal(size=(n_layers, N_PAIRS))
    data = shared + rng.normal(size=(n_data, N_PAIRS))
    if ties:
        model, data = model.round(1), data.round(1)
    return rf.RDMs(model, CONDITIONS, "any"), rf.RDMs(data, CONDITIONS, "any")


@pytest.mark.parametrize("seed", range(4))
def test_semi_partial_kendall_is_that_of_the_inverse_covariance(seed):
    model, data = rounded_layers(seed, ties=seed % 2 == 0)
    found = semi_partial(model, data)
    for i, j in itertools.product(range(1, 4), range(3)):
        expected = spcor(data.vectors[j], model.vectors[i], model.vectors[:i])
        assert found[i, j] == pytest.approx(expected, abs=1e-10)


def test_semi_partial_with_one_layer_before_is_the_formula():
    model, data = rounded_layers(7, n_layers=2)
    x, (z, y) = data.vectors, model.vectors
    found = semi_partial(model, data)
    for j in range(3):
        xy, xz, yz = (stats.kendalltau(a, b).statistic for a, b in ((x[j], y), (x[j], z), (y, z)))
        assert found[0, j] == pytest.approx(xz, abs=1e-12)
        assert found[1, j] == pytest.approx((xy - xz * yz) / np.sqrt(1 - yz**2), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_semi_partial_pearson_is_the_correlation_with_what_is_left_of_a_layer(seed):
    model, data = rounded_layers(seed)
    found = semi_partial(model, data, method="pearson")
    for i in range(4):
        design = np.column_stack([np.ones(N_PAIRS), *model.vectors[:i]])
        left = model.vectors[i] - design @ np.linalg.lstsq(design, model.vectors[i], rcond=None)[0]
        for j in range(3):
            expected = np.corrcoef(left, data.vectors[j])[0, 1]
            assert found[i, j] == pytest.approx(expected, abs=1e-10)
    # Squares of an ordered series add up to the variance explained.
    design = np.column_stack([np.ones(N_PAIRS), *model.vectors])
    rest = data.vectors[0] - design @ np.linalg.lstsq(design, data.vectors[0], rcond=None)[0]
    assert (found[:, 0] ** 2).sum() == pytest.approx(1 - rest.var() / data.vectors[0].var())


def test_semi_partial_keeps_networks_apart_and_takes_given_rdms():
    model = networks()
    data = rf.RDMs(np.random.default_rng(0).normal(size=(2, N_PAIRS)), CONDITIONS, "any")
    together = semi_partial(model, data)
    for rows in (slice(0, 4), slice(4, 8)):
        np.testing.assert_allclose(together[rows], semi_partial(model[rows], data), atol=1e-12)
    given = semi_partial(model[3:4], data, given=model[:3])
    np.testing.assert_allclose(given[0], together[3], atol=1e-12)
    order = np.random.default_rng(1).permutation(CONDITIONS)
    np.testing.assert_allclose(semi_partial(model, data.align(order)), together, atol=1e-12)
    np.testing.assert_allclose(
        semi_partial(model[3:4], data, given=model[:3].align(order)), given, atol=1e-12
    )


def test_semi_partial_leaves_out_missing_pairs_and_says_what_is_undefined():
    model, data = rounded_layers(3, n_data=2)
    vectors = data.vectors.copy()
    vectors[1, [3, 10, 40]] = np.nan
    found = semi_partial(model, rf.RDMs(vectors, CONDITIONS, "any"))
    np.testing.assert_allclose(found[:, 0], semi_partial(model, data)[:, 0], atol=1e-12)
    keep = ~np.isnan(vectors[1])
    expected = spcor(vectors[1, keep], model.vectors[2, keep], model.vectors[:2, keep])
    assert found[2, 1] == pytest.approx(expected, abs=1e-10)
    doubled = rf.RDMs(model.vectors[[0, 0, 1]], CONDITIONS, "any")
    with pytest.warns(UserWarning, match="undefined .* in model RDMs 1: .* explained by those"):
        found = semi_partial(doubled, data)
    assert np.isnan(found[1]).all()
    # With a double among those before, the pseudo-inverse gives what one of them gives.
    np.testing.assert_allclose(found[2], semi_partial(model[:2], data)[1], atol=1e-8)
    with pytest.raises(rf.InputError, match="every pair measured in model, but 3 are missing"):
        semi_partial(rf.RDMs(vectors, CONDITIONS, "any"), data)
    with pytest.raises(
        rf.InputError, match="expected a method for semi-partial correlation .* got"
    ):
        semi_partial(model, data, method="cosine")
    with pytest.raises(rf.ConditionMismatchError):
        semi_partial(model, data.subset(CONDITIONS[1:]))


# Maps


@pytest.mark.parametrize("method", ["spearman", "kendall", "pearson", "rho-a", "cosine"])
def test_map_is_compare_at_every_time_of_every_patient(method):
    model = networks()
    data = recording(model, n_patients=3)
    shuffled = data[np.random.default_rng(0).permutation(len(data))]
    found = mapped(model, shuffled, method=method).to_frame()
    assert len(found) == 2 * 8 * 3 * len(TIMES)
    rng = np.random.default_rng(1)
    for row in found.iloc[rng.choice(len(found), 25, replace=False)].itertuples():
        one = data.sel(region=row.region, subject=row.subject)
        one = one[np.flatnonzero(np.isclose(one.labels["time"], row.time))]
        layer = model.sel(network=row.network, layer=row.layer)
        assert row.similarity == pytest.approx(rf.compare(layer, one, method=method)[0, 0])


def test_map_has_the_similarities_and_ceilings_of_a_time_course():
    model = networks()
    data = recording(model, lacking={(0, "lateral")})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        course = time_course(model, data, method="spearman", n_boot=20, n_permutations=19)
    found = mapped(model, data, n_permutations=19)
    np.testing.assert_allclose(found.subjects, course.subjects, atol=1e-12)
    np.testing.assert_allclose(found.similarity, course.similarity, atol=1e-12)
    theirs = course.table[course.table["model"] == "identity conv0"].reset_index(drop=True)
    for column in ("ceiling_low", "ceiling_high", "p_reliable"):
        np.testing.assert_allclose(found.ceilings[column], theirs[column], atol=1e-12)
    # The tests take either.
    clusters = [map_clusters(c, n_permutations=200).clusters for c in (found, course)]
    pd.testing.assert_frame_equal(*clusters)
    assert found.ceilings.groupby("region")["n_subjects"].first().to_dict() == {
        "ventral": 8,
        "lateral": 7,
    }
    assert set(found.to_frame().query("region == 'lateral'")["subject"]) == {
        f"p{i}" for i in range(1, 8)
    }


def test_unique_map_is_semi_partial():
    model = networks()
    data = recording(model, n_patients=2)
    found = mapped(model, data, method="kendall", unique=True)
    one = data.sel(region="lateral", subject="p1")
    np.testing.assert_allclose(found.subjects[1, 8:], semi_partial(model, one), atol=1e-12)
    with pytest.raises(rf.InputError, match="semi-partial correlation .* got 'rho-a'"):
        mapped(model, data, method="rho-a", unique=True)


def test_electrodes_of_a_patient_are_averaged_never_a_sample():
    model = networks()
    data = recording(model, n_patients=3, rows={"ventral": 2})
    more = recording(model, n_patients=3, rows={"ventral": 2}, seed=1)
    both = rf.rdm.concat([data.with_labels(electrode="A1"), more.with_labels(electrode="A2")])
    found = mapped(model, both)
    mean = rf.RDMs((data.vectors + more.vectors) / 2, CONDITIONS, "any", data.labels)
    np.testing.assert_allclose(found.subjects, mapped(model, mean).subjects, atol=1e-12)
    assert found.subjects.shape[0] == 3
    with pytest.raises(rf.InputError, match="electrodes of a patient are no independent sample"):
        mapped(model, both, by="electrode")


def test_refusals_of_maps():
    model = networks()
    data = recording(model, n_patients=2)
    with pytest.raises(rf.InputError, match="expected a label 'time'"):
        mapped(model, data.mean(by=["subject", "region"]))
    with pytest.raises(rf.ConditionMismatchError):
        mapped(model, data.subset(CONDITIONS[1:]))
    with pytest.raises(rf.InputError, match="expected models of different names"):
        mapped(rf.rdm.concat([model, model]), data)
    with pytest.raises(rf.InputError, match="expected the same times in all subjects"):
        mapped(model, data[1:])
    with pytest.raises(rf.InputError, match="unknown comparison method"):
        mapped(model, data, method="r")
    with pytest.raises(rf.InputError, match="expected alpha between"):
        mapped(model, data, alpha=2)
    with pytest.raises(rf.InputError, match="every pair measured in the model, but 1 are missing"):
        mapped(rf.RDMs([np.nan, *range(N_PAIRS - 1)], CONDITIONS, "any"), data)


# Clusters


def test_planted_layer_time_and_region_are_found():
    found = mapped()
    test = map_clusters(found, along="time and layers", n_permutations=500)
    best = test.clusters.loc[test.clusters.groupby("region")["peak_t"].idxmax()]
    best = best.set_index("region")
    assert best.loc["ventral", "peak_model"].startswith("identity")
    assert best.loc["lateral", "peak_model"].startswith("expression")
    assert (best["p_corrected"] < 0.05).all()
    assert best["peak_time"].between(0.1, 0.22).all()
    assert (best["time_from"] > 0.04).all()
    assert (best["time_to"] < 0.28).all()
    # At p = 1/2^8, the smallest there is with 8 patients, of each of two regions.
    assert best["p"].min() == pytest.approx(2**-8)
    np.testing.assert_allclose(best["p_corrected"], 2 * best["p"])
    assert test.p_map("ventral").shape == (8, len(TIMES))
    assert (test.p_map("ventral")[:, 0] == 1).all()


def test_clusters_are_those_of_the_sign_flip_test_and_stay_within_networks():
    found = mapped()
    rows = found.curves.index[found.curves["region"] == "ventral"]
    values = found.subjects[:, rows]
    for along in ("time", "time and layers"):
        test = map_clusters(found, along=along, threshold=2.0, n_permutations=100)
        graph = np.zeros((8 * len(TIMES),) * 2, bool)
        place = np.arange(8 * len(TIMES)).reshape(8, -1)
        for i, t in np.ndindex(8, len(TIMES)):
            if t + 1 < len(TIMES):
                graph[place[i, t], place[i, t + 1]] = True
            if along != "time" and i + 1 < 8 and i != 3:  # 3 | 4: the next network
                graph[place[i, t], place[i + 1, t]] = True
        expected = rf.inference.sign_flip_test(
            values,
            statistic="cluster-mass",
            neighbours=graph | graph.T,
            threshold=2.0,
            tail="greater",
            n_permutations=100,
        )
        np.testing.assert_array_equal(test.tests["ventral"].labels, expected.labels)
        np.testing.assert_allclose(test.tests["ventral"].p, expected.p)
        np.testing.assert_allclose(test.means["ventral"], values.mean(axis=0))


def test_difference_of_networks_is_tested_layer_by_layer():
    model = networks()
    found = mapped(model)
    test = map_clusters(found, network="identity", minus="expression", n_permutations=300)
    own = (found.curves["region"] == "lateral").to_numpy()
    a, b = (own & (found.curves["network"] == n) for n in ("identity", "expression"))
    expected = found.subjects[:, a] - found.subjects[:, b]
    np.testing.assert_allclose(test.means["lateral"], expected.mean(axis=0))
    signs = test.clusters[test.clusters["p_corrected"] < 0.05].groupby("region")["sign"].unique()
    assert signs["ventral"].tolist() == [1]
    assert signs["lateral"].tolist() == [-1]
    # Layers are matched by name.
    order = [0, 1, 2, 3, 7, 6, 5, 4]
    again = map_clusters(
        mapped(model[order], recording(model)),
        network="identity",
        minus="expression",
        n_permutations=300,
    )
    np.testing.assert_allclose(again.means["lateral"], test.means["lateral"])
    with pytest.raises(rf.InputError, match="of which 2 are in both"):
        map_clusters(
            mapped(model[[0, 1, 2, 3, 4, 5]], recording(model)),
            network="identity",
            minus="expression",
        )
    with pytest.raises(rf.InputError, match="expected two networks for a difference"):
        map_clusters(found, minus="identity")


def test_tfce_gives_maps_without_clusters():
    test = map_clusters(mapped(), statistic="tfce", n_permutations=200)
    assert len(test.clusters) == 0
    assert (test.p_map("ventral") < 0.05).any()


def test_one_patient_allows_no_test_over_patients():
    model = networks()
    one = mapped(model, recording(model, n_patients=1))
    for function in (map_clusters, lambda m: compare_networks(m, "identity", "expression")):
        with pytest.raises(rf.InputError, match="at least 2 patients in region 'ventral' .* got 1"):
            function(one)
    lacking = {(i, "lateral") for i in range(7)}
    with pytest.raises(rf.InputError, match="at least 2 patients in region 'lateral'"):
        map_clusters(mapped(model, recording(model, lacking=lacking)))
    with pytest.warns(UserWarning, match="with 3 subjects no greater p value can be below 1/8"):
        map_clusters(mapped(model, recording(model, n_patients=3)))


def test_undefined_similarities_leave_their_place_out():
    model = networks()
    data = recording(model)
    vectors = data.vectors.copy()
    vectors[3] = 1.0  # p0, ventral, the fourth time
    with pytest.warns(UserWarning, match="no similarity is defined"):
        found = mapped(model, rf.RDMs(vectors, CONDITIONS, "any", data.labels))
    with pytest.warns(UserWarning, match="region 'ventral': 8 of 200 layers and times are left"):
        test = map_clusters(found, n_permutations=50)
    assert np.isnan(test.tests["ventral"].p[:, 3]).all()
    assert np.isnan(test.tests["ventral"].p).sum() == 8


def test_refusals_of_clusters():
    found = mapped()
    for options, message in (
        ({"along": "layers"}, "unknown way along which clusters extend"),
        ({"statistic": "max"}, "unknown statistic"),
        ({"network": "identiy"}, "unknown network 'identiy'. Did you mean 'identity'"),
        ({"network": "identity", "minus": "identity"}, "expected two networks"),
        ({"tail": "up"}, "unknown tail"),
    ):
        with pytest.raises(rf.InputError, match=message):
            map_clusters(found, **options)
    with pytest.raises(rf.InputError, match="unknown region 'dorsal'"):
        map_clusters(found, n_permutations=10).p_map("dorsal")


# Networks in regions


def test_networks_are_compared_within_patients():
    found = mapped()
    table = compare_networks(found, "identity", "expression", between=(0.1, 0.2))
    inside = (TIMES >= 0.1 - 1e-9) & (TIMES <= 0.2 + 1e-9)
    for r, row in enumerate(table.itertuples()):
        rows = slice(8 * r, 8 * r + 8)
        values = found.subjects[:, rows][..., inside].mean(axis=2)
        difference = values[:, :4].mean(axis=1) - values[:, 4:].mean(axis=1)
        assert row.similarity_a == pytest.approx(values[:, :4].mean())
        assert row.difference == pytest.approx(difference.mean())
        assert row.sem == pytest.approx(stats.sem(difference))
        assert row.t == pytest.approx(stats.ttest_1samp(difference, 0).statistic)
        flips = [abs(np.mean(difference * signs)) for signs in itertools.product([1, -1], repeat=8)]
        expected = np.mean(np.array(flips) >= abs(difference.mean()) - 1e-12)
        assert row.p == pytest.approx(expected)
    assert table["n_a_larger"].tolist() == [8, 0]
    assert np.sign(table["difference"]).tolist() == [1, -1]
    np.testing.assert_allclose(table["p_corrected"], 2 * table["p"])
    layers = compare_networks(found, "identity", "expression", by="layer")
    assert layers["layer"].tolist() == [f"conv{i}" for i in range(4)] * 2
    first = found.subjects[:, [0, 4]].mean(axis=2)
    assert layers["difference"].iloc[0] == pytest.approx((first[:, 0] - first[:, 1]).mean())


def test_patients_without_a_region_are_not_compared_there():
    model = networks()
    found = mapped(model, recording(model, lacking={(0, "lateral"), (1, "lateral")}))
    table = compare_networks(found, "identity", "expression")
    assert table["n_subjects"].tolist() == [8, 6]


def test_refusals_of_comparison():
    found = mapped()
    with pytest.raises(rf.InputError, match="got 'identity' twice"):
        compare_networks(found, "identity", "identity")
    with pytest.raises(rf.InputError, match="unknown network"):
        compare_networks(found, "identity", "objects")
    with pytest.raises(rf.InputError, match="unknown level of comparison"):
        compare_networks(found, "identity", "expression", by="region")
    with pytest.raises(rf.InputError, match="got none between 5 and 6 s"):
        compare_networks(found, "identity", "expression", between=(5, 6))


# One network for all regions, and one for each.
CANDIDATES = {
    "identity everywhere": "identity",
    "expression everywhere": "expression",
    "separate": {"ventral": "identity", "lateral": "expression"},
}


@pytest.mark.parametrize("weights", ["shared", "region"])
def test_bic_is_that_of_a_regression(weights):
    model = networks()
    data = recording(model, n_patients=6).mean(by=["subject", "region"])
    found = compare_region_models(model, data, CANDIDATES, weights=weights)

    def z(v):
        return (v - v.mean()) / v.std()

    for row in found.table.itertuples():
        choice = CANDIDATES[row.candidate]
        if isinstance(choice, str):
            choice = dict.fromkeys(["ventral", "lateral"], choice)
        y = {r: z(data.sel(subject=row.subject, region=r).vectors[0]) for r in choice}
        x = {r: np.array([z(v) for v in model.sel(network=n).vectors]).T for r, n in choice.items()}
        if weights == "shared" and len(set(choice.values())) == 1:
            parts = [(np.concatenate(list(x.values())), np.concatenate(list(y.values())))]
        else:
            parts = [(x[r], y[r]) for r in choice]
        residuals = np.concatenate([b - a @ np.linalg.lstsq(a, b)[0] for a, b in parts])
        k = sum(a.shape[1] for a, _ in parts)
        n = 2 * N_PAIRS
        assert (row.n, row.k) == (n, k)
        assert row.mse == pytest.approx((residuals**2).mean())
        assert row.bic == pytest.approx(n * np.log((residuals**2).mean()) + k * np.log(n))
    pairs = found.pairs.set_index(["candidate_a", "candidate_b"])
    assert pairs.shape[0] == 3
    bic = found.table.pivot(index="subject", columns="candidate", values="bic")
    difference = bic["identity everywhere"] - bic["separate"]
    row = pairs.loc[("identity everywhere", "separate")]
    assert row["difference"] == pytest.approx(difference.mean())
    assert row["t"] == pytest.approx(stats.ttest_1samp(difference, 0).statistic)


def test_the_planted_candidate_wins():
    model = networks()
    inside = {"gain": 1.5, "n_patients": 8}
    apart = recording(model, **inside)
    apart = apart[np.flatnonzero(apart.labels["time"].between(0.1, 0.22))]
    pairs = compare_region_models(model, apart, CANDIDATES).pairs.set_index("candidate_b")
    assert (pairs.loc["separate", "n_a_better"] == 0).all()
    assert (pairs.loc["separate", "p_corrected"] < 0.05).all()
    one = recording(model, rows={"ventral": 2, "lateral": 2}, **inside)
    one = one[np.flatnonzero(one.labels["time"].between(0.1, 0.22))]
    pairs = compare_region_models(model, one, CANDIDATES).pairs
    assert pairs["n_a_better"].tolist() == [8, 8, 0]


def test_refusals_of_region_models():
    model = networks()
    data = recording(model, n_patients=6)

    def refused(message, model=model, data=data, candidates=CANDIDATES, **options):
        with pytest.raises(rf.InputError, match=message):
            compare_region_models(model, data, candidates, **options)

    refused("at least 2 candidates", candidates={"one": "identity"})
    refused(
        "unknown network of the candidate 'b': |unknown network",
        candidates={"a": "identity", "b": "objects"},
    )
    refused("'lateral' have none", candidates={"a": "identity", "b": {"ventral": "identity"}})
    refused("unknown region", candidates={"a": "identity", "b": {"dorsal": "identity"}})
    refused("unknown weights", weights="own")
    refused("unknown label of models 'network'", model=rf.RDMs(model.vectors, CONDITIONS, "any"))
    refused("at least 2 patients with all of 2 regions, got 1 of 1", data=data.sel(subject="p0"))
    lone = rf.RDMs(
        np.arange(3.0) * np.ones((8, 1)) + np.arange(8.0)[:, None] * [0, 1, 0],
        ["a", "b", "c"],
        "any",
        model.labels,
    )
    few = data.subset(CONDITIONS[:3])
    few = rf.RDMs(few.vectors, ["a", "b", "c"], "any", few.labels)
    refused("fewer layers than pairs, got 4 layers for 3 pairs", model=lone, data=few)
    lacking = recording(model, n_patients=6, lacking={(0, "lateral")})
    with (
        pytest.warns(UserWarning, match="1 of 6 patients are left out: they lack a region"),
        pytest.warns(UserWarning, match="with 5 subjects no two-sided p value"),
    ):
        found = compare_region_models(model, lacking, CANDIDATES)
    assert found.table["subject"].nunique() == 5
    vectors = data.vectors.copy()
    vectors[0, 0] = np.nan
    refused("every pair measured", data=rf.RDMs(vectors, CONDITIONS, "any", data.labels))


# From electrodes to regions


def electrodes_of(patient, seed, model):
    """Return patterns of a simulated patient whose electrodes hold the geometry of a layer."""
    rng = np.random.default_rng(seed)
    times = np.arange(-20, 50) / 100
    strength = np.exp(-0.5 * ((times - 0.2) / 0.05) ** 2)
    names = [f"V{i}" for i in range(6)] + [f"L{i}" for i in range(6)]
    field = rng.normal(0, 1e-5, (2 * K, 12, len(times)))
    conditions = CONDITIONS * 2
    for part, network in ((slice(0, 6), "identity"), (slice(6, 12), "expression")):
        features = model[network] @ rng.normal(size=(model[network].shape[1], 6))
        field[:, part] += 2e-5 * np.tile(features, (2, 1))[:, :, None] * strength
    table = pd.DataFrame(
        {
            "patient": patient,
            "name": names,
            "region": ["ventral"] * 6 + ["lateral"] * 6,
            "x": 40.0,
            "y": -50.0,
            "z": -15.0,
        }
    )
    epochs = mne.EpochsArray(
        field, mne.create_info(names, 100.0, "seeg"), tmin=times[0], verbose="error"
    )
    return ieeg_patterns(epochs, electrodes=table, conditions=conditions, signal="raw")


def test_planted_networks_win_in_their_regions():
    rng = np.random.default_rng(0)
    features = {n: rng.normal(size=(K, 4)) for n in ("identity", "expression")}
    model = rf.compute_rdms(features, measure="euclidean", conditions=CONDITIONS)
    model = rf.RDMs(
        model.vectors, CONDITIONS, "euclidean", {"network": list(features), "layer": "last"}
    )
    patients = [electrodes_of(f"p{i}", i, features) for i in range(7)]
    data = ieeg_rdms(patients, window=0.1, step=0.02, measure="euclidean")
    found = layer_map(model, data, method="spearman", n_permutations=0)
    table = compare_networks(found, "identity", "expression", between=(0.12, 0.28))
    assert table.set_index("region")["n_a_larger"].to_dict() == {"ventral": 7, "lateral": 0}
    clusters = map_clusters(found).clusters
    best = clusters.loc[clusters.groupby("region")["mass"].idxmax()].set_index("region")
    assert best.loc["ventral", "peak_model"] == "identity last"
    assert best.loc["lateral", "peak_model"] == "expression last"
    assert (best["p_corrected"] < 0.05).all()
    for row in (0, 3):  # identity in ventral, expression in lateral electrodes
        high = found.times[found.similarity[row] > 0.5 * found.similarity[row].max()]
        assert high.mean() == pytest.approx(0.2, abs=0.02)
        assert np.ptp(high) < 0.3


# Calibration


@pytest.mark.simulation
@pytest.mark.slow
@pytest.mark.parametrize("along", ["time", "time and layers"])
def test_cluster_test_over_patients_is_calibrated(along):
    # No layer has anything to do with the data; those of a patient share what is particular to
    # it at all times, so that electrodes, layers and times are far from independent.
    n, hits = 250, 0
    model = networks(n_layers=3)
    rng = np.random.default_rng(5)
    labels = {"subject": np.repeat(range(10), 12), "time": np.tile(np.arange(12) / 50, 10)}
    for _ in range(n):
        own = rng.normal(size=(10, 1, N_PAIRS))
        values = (own + rng.normal(size=(10, 12, N_PAIRS))).reshape(-1, N_PAIRS)
        data = rf.RDMs(values, CONDITIONS, "simulated", labels)
        found = layer_map(model, data, method="pearson", n_permutations=0)
        clusters = map_clusters(found, along=along, threshold=1.8, n_permutations=1023).clusters
        hits += (clusters["p_corrected"] <= 0.05).any()
    low, high = stats.binom.ppf([0.005, 0.995], n, 0.05)
    assert low <= hits <= high


@pytest.mark.simulation
@pytest.mark.slow
def test_comparison_of_networks_is_calibrated():
    n, hits = 250, 0
    model = networks()
    rng = np.random.default_rng(6)
    labels = {"subject": np.repeat(range(9), 4), "time": np.tile(np.arange(4) / 50, 9)}
    for _ in range(n):
        own = rng.normal(size=(9, 1, N_PAIRS)) + rng.normal(size=(9, 4, N_PAIRS))
        data = rf.RDMs(own.reshape(-1, N_PAIRS), CONDITIONS, "simulated", labels)
        found = layer_map(model, data, method="pearson", n_permutations=0)
        hits += compare_networks(found, "identity", "expression")["p"].iloc[0] <= 0.05
    low, high = stats.binom.ppf([0.005, 0.995], n, 0.05)
    assert low <= hits <= high


# Figures


def test_figure_of_layers_over_time():
    found = mapped(n_permutations=99)
    clusters = map_clusters(found, along="time and layers", n_permutations=500)
    axes = panels(plot_layer_map(found, clusters))[::2].reshape(2, -1)
    assert axes.shape == (2, 2)
    figure = axes[0, 0].figure
    assert figure.get_figwidth() <= 183 / 25.4 + 1e-6
    assert [t.get_text() for t in axes[0, 0].get_yticklabels()] == [f"conv{i}" for i in range(4)]
    assert axes[1, 0].get_xlabel() == "time (ms)"
    assert all(ax.get_ylim() == (-0.5, 3.5) for ax in axes.flat)
    image = axes[0, 0].collections[0]
    np.testing.assert_allclose(image.get_array().data.reshape(4, -1), found.similarity[:4])
    outlines = [any(isinstance(c, LineCollection) for c in a.collections) for a in axes.flat]
    expected = [
        (clusters.p_map(r)[rows] < 0.05).any()
        for r in ("ventral", "lateral")
        for rows in (slice(0, 4), slice(4, 8))
    ]
    assert outlines == expected
    texts = [a.get_title(loc="left") for a in figure.axes]
    assert "ventral: 8 patients, 12 conditions" in texts
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert legend == [
        "above: mean over layers",
        "noise ceiling (lower to upper)",
        "corrected p < 0.05",
    ]


def test_figure_of_a_difference_and_of_one_patient():
    model = networks()
    found = mapped(model)
    difference = map_clusters(found, network="identity", minus="expression", n_permutations=200)
    axes = panels(plot_layer_map(found, difference, unit="s"))[::2].reshape(2, -1)
    assert axes.shape == (2, 1)
    assert any(
        t.get_text() == "identity − expression" for a in axes[0, 0].figure.axes for t in a.texts
    )
    assert any(a.get_ylabel().startswith("difference of") for a in axes[0, 0].figure.axes)
    axes = panels(plot_layer_map(mapped(model, recording(model, n_patients=1))))
    titles = [a.get_title(loc="left") for a in axes[0].figure.axes]
    assert "ventral: 1 patient, 12 conditions; no ceiling: one patient" in titles
    nothing = recording(model, gain=0.0)
    axes = panels(plot_layer_map(mapped(model, nothing, n_permutations=99)))
    titles = [a.get_title(loc="left") for a in axes[0].figure.axes]
    assert "ventral: 8 patients, 12 conditions; no reliable signal" in titles
    with pytest.raises(rf.InputError, match="expected the clusters of this map"):
        plot_layer_map(mapped(model, recording(model, rows={"ventral": 2})), difference)
    with pytest.raises(rf.InputError, match="unknown unit of time"):
        plot_layer_map(found, unit="min")
    with pytest.raises(rf.InputError, match="expected alpha between"):
        plot_layer_map(found, alpha=0)


def test_outline_goes_around_what_is_inside():
    inside = np.zeros((3, 4), bool)
    inside[1, 1:3] = True
    lines = outline(inside, np.arange(5.0), np.arange(4.0)).get_segments()
    length = sum(abs(x1 - x0) + abs(y1 - y0) for (x0, y0), (x1, y1) in lines)
    assert length == 6
    corners = {tuple(float(v) for v in point) for line in lines for point in line}
    assert corners == {(x, y) for x in (1.0, 2.0, 3.0) for y in (1.0, 2.0)}
