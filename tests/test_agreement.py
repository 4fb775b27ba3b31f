"""Agreement of layers and of seeds, against definitions, planted orders and unrelated layers."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import legend_of, panels
from reference import drawn_interval
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

from rsa_faces import ConditionMismatchError, InputError
from rsa_faces.analyses import layer_agreement, seed_consistency
from rsa_faces.figures import plot_layer_agreement, plot_seed_consistency

N = 30
NAMES = [f"face {i:02d}" for i in range(N)]
QUICK = {"n_boot": 0, "n_permutations": 0}


def layers(seed, sizes=(8, 40, 15), n=N):
    rng = np.random.default_rng(seed)
    return {f"l{i}": rng.normal(size=(n, size)) for i, size in enumerate(sizes)}


def debiased_cka(x, y):
    """By the definition of the unbiased HSIC of Song et al."""

    def hsic(a, b):
        n = len(a)
        a, b = a - np.diag(np.diag(a)), b - np.diag(np.diag(b))
        one = np.ones(n)
        return (
            np.trace(a @ b)
            + one @ a @ one * (one @ b @ one) / ((n - 1) * (n - 2))
            - 2 / (n - 2) * (one @ a @ b @ one)
        ) / (n * (n - 3))

    a, b = x @ x.T, y @ y.T
    return hsic(a, b) / np.sqrt(hsic(a, a) * hsic(b, b))


def procrustes_similarity(x, y):
    """By scipy's rotation, of patterns that are centred, of one length, and of one width."""
    width = max(x.shape[1], y.shape[1])
    x, y = (v - v.mean(axis=0) for v in (x, y))
    x, y = (np.pad(v / np.linalg.norm(v), ((0, 0), (0, width - v.shape[1]))) for v in (x, y))
    return orthogonal_procrustes(x, y)[1]


@pytest.mark.parametrize("seed", range(4))
def test_values_are_those_of_the_definitions(seed):
    a, b = layers(seed), layers(seed + 100, (20, 5))
    found = layer_agreement(
        a, b, conditions=NAMES, methods=["spearman", "pearson", "cka", "procrustes"], **QUICK
    )
    for i, x in a.items():
        for j, y in b.items():
            one, two = pdist(x, "correlation"), pdist(y, "correlation")
            expected = {
                "spearman": spearmanr(one, two)[0],
                "pearson": np.corrcoef(one, two)[0, 1],
                "cka": debiased_cka(x, y),
                "procrustes": procrustes_similarity(x, y),
            }
            for method, value in expected.items():
                assert found.matrix(method).loc[i, j] == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("method", ["spearman", "pearson", "cka"])
def test_runs_are_compared_one_by_one_and_averaged(method):
    a, b = layers(0), layers(1, (20, 5))
    for x in (*a.values(), *b.values()):
        x[10:20] += 9 * np.linspace(-1, 1, x.shape[1])  # what a whole run has says nothing
    run = {name: f"run {i // 10}" for i, name in enumerate(NAMES)}
    options = {"conditions": NAMES, "methods": [method]}
    found = layer_agreement(a, b, blocks=run, n_boot=99, n_permutations=99, **options)
    parts = [
        layer_agreement(
            {k: v[r : r + 10] for k, v in a.items()},
            {k: v[r : r + 10] for k, v in b.items()},
            conditions=NAMES[r : r + 10],
            methods=[method],
            **QUICK,
        ).table["value"]
        for r in (0, 10, 20)
    ]
    np.testing.assert_allclose(found.table["value"], np.mean(parts, axis=0), atol=1e-9)
    assert (found.table["ci_low"] < found.table["ci_high"]).all()
    assert found.table["p"].median() > 0.1  # layers are unrelated inside runs
    assert layer_agreement(a, b, n_boot=0, n_permutations=99, **options).table["p"].median() == 0.01
    shared = {"one": a["l0"] + 0.3 * layers(2, (8,))["l0"]}
    again = layer_agreement(a, shared, blocks=run, n_boot=0, n_permutations=99, **options)
    assert again.table["p"][0] == 0.01


def test_procrustes_has_no_runs():
    run = {name: i // 10 for i, name in enumerate(NAMES)}
    with pytest.raises(InputError, match="other than 'procrustes' with blocks"):
        layer_agreement(layers(0), conditions=NAMES, blocks=run, **QUICK)


def test_rotation_and_scale_change_nothing():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 10))
    y = 5 * x @ np.linalg.qr(rng.normal(size=(10, 10)))[0] + rng.normal(size=10)
    found = layer_agreement(
        {"a": x},
        {"b": y},
        conditions=NAMES,
        measure="euclidean",
        methods=["spearman", "cka", "procrustes"],
        **QUICK,
    )
    np.testing.assert_allclose(found.table["value"], 1, atol=1e-9)
    itself = layer_agreement(layers(1), conditions=NAMES, methods=["spearman", "cka"], **QUICK)
    for method in ("spearman", "cka"):
        wide = itself.matrix(method).to_numpy()
        np.testing.assert_allclose(np.diag(wide), 1, atol=1e-12)
        np.testing.assert_allclose(wide, wide.T, atol=1e-12)


def test_cka_of_unrelated_wide_layers_is_0_on_average():
    rng = np.random.default_rng(0)
    found = [
        layer_agreement(
            {"a": rng.normal(size=(N, 2000))},
            {"b": rng.normal(size=(N, 2000))},
            conditions=NAMES,
            methods=["cka"],
            **QUICK,
        ).table["value"][0]
        for _ in range(100)
    ]
    assert abs(np.mean(found)) < 0.02


def test_conditions_are_matched_by_name():
    a, b = layers(2), layers(3)
    order = np.random.default_rng(0).permutation(N)

    class Other(dict):
        conditions = tuple(NAMES[i] for i in order)

    class First(dict):
        conditions = tuple(NAMES)

    one = layer_agreement(First(a), First(b), **QUICK).table
    two = layer_agreement(First(a), Other({k: v[order] for k, v in b.items()}), **QUICK).table
    np.testing.assert_allclose(one["value"], two["value"], atol=1e-12)

    class Fewer(dict):
        conditions = tuple(NAMES[:-1])

    with pytest.raises(ConditionMismatchError):
        layer_agreement(First(a), Fewer({k: v[:-1] for k, v in b.items()}), **QUICK)


def test_permutations_and_samples_equal_a_loop(monkeypatch):
    a, b = layers(4, (12, 6)), layers(5, (9,))
    b["l0"][:, :6] += a["l0"][:, :6]
    options = {"conditions": NAMES, "n_boot": 20, "n_permutations": 19, "seed": 7}
    found = layer_agreement(a, b, methods=["spearman", "cka"], **options)
    module = sys.modules["rsa_faces.analyses.networks._geometry"]
    monkeypatch.setattr(module, "_VALUES", 1)
    again = layer_agreement(a, b, methods=["spearman", "cka"], **options)
    pd.testing.assert_frame_equal(found.table, again.table)
    rng = np.random.default_rng(7)
    draws = rng.multinomial(N, np.full(N, 1 / N), size=20)
    orders = np.argsort(rng.random((19, N)), axis=1)
    row, col = np.triu_indices(N, 1)
    x, y = a["l0"], b["l0"]
    value = spearmanr(pdist(x, "correlation"), pdist(y, "correlation"))[0]
    null = [spearmanr(pdist(x, "correlation"), pdist(y[o], "correlation"))[0] for o in orders]
    first = found.table.iloc[0]
    assert first["p"] == (1 + sum(np.array(null) >= value - 1e-12)) / 20
    from scipy.stats import rankdata

    u, v = rankdata(pdist(x, "correlation")), rankdata(pdist(y, "correlation"))
    samples = []
    for w in draws:
        counts = np.repeat(np.arange(len(u)), w[row] * w[col])
        samples.append(np.corrcoef(u[counts], v[counts])[0, 1])
    low, high = drawn_interval(samples, N)
    assert first["ci_low"] == pytest.approx(low, abs=1e-10)
    assert first["ci_high"] == pytest.approx(high, abs=1e-10)


def test_people_are_drawn_whole():
    a, b = layers(4, (12,)), layers(5, (9,))
    b["l0"][:, :6] += a["l0"][:, :6]
    who = {name: f"p{i // 3}" for i, name in enumerate(NAMES)}
    options = {
        "conditions": NAMES,
        "methods": ["pearson"],
        "n_boot": 15,
        "n_permutations": 0,
        "seed": 3,
    }
    found = layer_agreement(a, b, people=who, **options).table.iloc[0]
    k = -(-N // 3)
    assert found["n_people"] == k
    draws = np.random.default_rng(3).multinomial(k, np.full(k, 1 / k), size=15)
    row, col = np.triu_indices(N, 1)
    u, v = pdist(a["l0"], "correlation"), pdist(b["l0"], "correlation")
    samples = []
    for w in draws:
        times = np.where(row // 3 == col // 3, w[row // 3], w[row // 3] * w[col // 3])
        counts = np.repeat(np.arange(len(u)), times)
        samples.append(np.corrcoef(u[counts], v[counts])[0, 1])
    assert [found["ci_low"], found["ci_high"]] == pytest.approx(
        drawn_interval(samples, k), abs=1e-10
    )
    with pytest.raises(ConditionMismatchError, match="people"):
        layer_agreement(a, b, people={}, **options)
    with pytest.raises(InputError, match="at least 4 people to draw from, got 2"):
        layer_agreement(a, b, people={n: i % 2 for i, n in enumerate(NAMES)}, **options)


def chain(seed, n_layers=6, shared=0.0):
    """Layers that change step by step; `shared` of them is common to all networks."""
    common, own = np.random.default_rng(99), np.random.default_rng(seed)
    out, one, other = {}, common.normal(size=(N, 20)), own.normal(size=(N, 20))
    for i in range(n_layers):
        out[f"l{i}"] = shared * one + (1 - shared) * other
        one = 0.6 * one + 0.8 * common.normal(size=one.shape)
        other = 0.6 * other + 0.8 * own.normal(size=other.shape)
    return out


def test_a_planted_correspondence_is_found():
    found = layer_agreement(
        chain(0, shared=0.6),
        chain(1, shared=0.6),
        conditions=NAMES,
        methods=["spearman", "cka"],
        n_boot=50,
        n_permutations=199,
    )
    for method in ("spearman", "cka"):
        wide = found.matrix(method).to_numpy()
        assert list(wide.argmax(axis=1)) == list(range(6))
        p = found.matrix(method, "p_corrected").to_numpy()
        assert (np.diag(p) <= 0.05).all()
        order = found.order.set_index("method").loc[method]
        assert order["depth_r"] == 1
        assert order["p"] <= 0.05


@pytest.mark.simulation
@pytest.mark.slow
def test_level_without_agreement():
    n, single, corrected, order = 120, [], [], []
    for seed in range(n):
        found = layer_agreement(
            chain(seed),
            chain(seed + 1000),
            conditions=NAMES,
            n_boot=0,
            methods=["spearman", "cka"],
            n_permutations=39,
            seed=seed,
            progress=False,
        )
        single += list(found.table["p"] <= 0.05)
        corrected += list(found.table.groupby("method")["p_corrected"].min() <= 0.05)
        order += list(found.order["p"].dropna() <= 0.05)
    assert 0.03 <= np.mean(single) <= 0.075
    assert np.mean(corrected) <= 0.085
    assert np.mean(order) <= 0.085


@pytest.mark.simulation
@pytest.mark.slow
@pytest.mark.parametrize("method", ["spearman", "cka"])
def test_intervals_over_conditions_cover(method):
    def pair(rng, n):
        x = rng.normal(size=(n, 30)) * np.geomspace(2, 0.3, 30)
        return {"a": x}, {"b": x + rng.normal(size=x.shape)}

    many = 2000
    a, b = pair(np.random.default_rng(0), many)
    truth = layer_agreement(
        a,
        b,
        conditions=list(map(str, range(many))),
        methods=[method],
        measure="sqeuclidean",
        **QUICK,
    ).table["value"][0]
    n, hits = 200, 0
    for seed in range(n):
        a, b = pair(np.random.default_rng(seed + 1), 60)
        row = layer_agreement(
            a,
            b,
            conditions=list(map(str, range(60))),
            methods=[method],
            measure="sqeuclidean",
            n_boot=300,
            n_permutations=0,
            seed=seed,
            progress=False,
        ).table.iloc[0]
        hits += row["ci_low"] <= truth <= row["ci_high"]
    assert 0.89 <= hits / n <= 0.99


@pytest.mark.simulation
@pytest.mark.slow
def test_intervals_over_seeds_cover():
    x = np.random.default_rng(0).normal(size=(N, 15))

    def networks(rng, k):
        return [{"fc": x + rng.uniform(0.3, 0.9) * rng.normal(size=x.shape)} for _ in range(k)]

    truth = seed_consistency(networks(np.random.default_rng(1), 300), conditions=NAMES)
    n, hits = 200, 0
    for seed in range(n):
        found = seed_consistency(
            networks(np.random.default_rng(seed + 2), 8), conditions=NAMES, progress=False
        )
        hits += found["ci_low"][0] <= truth["agreement"][0] <= found["ci_high"][0]
    assert 0.9 <= hits / n <= 0.99


def test_seeds_against_a_loop_and_their_untrained_selves():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 12))
    before = [{"a": rng.normal(size=x.shape), "b": rng.normal(size=x.shape)} for _ in range(4)]
    seeds = [{"a": b["a"] + 0.2 * x, "b": 0.3 * b["b"] + x} for b in before]
    found = seed_consistency(seeds, untrained=before, conditions=NAMES).set_index("layer")
    for name in ("a", "b"):
        rdms = [pdist(one[name], "correlation") for one in seeds]
        r = [spearmanr(rdms[i], rdms[j])[0] for i in range(4) for j in range(i)]
        assert found.loc[name, "agreement"] == pytest.approx(np.mean(r))
        assert found.loc[name, "lowest"] == pytest.approx(min(r))
    assert found.loc["b", "agreement"] > found.loc["a", "agreement"]
    assert found.loc["a", "with_untrained"] > found.loc["b", "with_untrained"]


def test_wrong_input_is_told():
    a = layers(0)
    with pytest.raises(InputError, match="unknown method 'cca'"):
        layer_agreement(a, conditions=NAMES, methods=["cca"])
    with pytest.raises(InputError, match="unknown measure 'crossnobis'"):
        layer_agreement(a, conditions=NAMES, measure="crossnobis", **QUICK)
    with pytest.raises(InputError, match="at least 4 conditions, got 3"):
        layer_agreement({"a": a["l0"][:3]}, conditions=NAMES[:3], **QUICK)
    with pytest.raises(InputError, match="channels that vary, but layer 'a'"):
        layer_agreement({"a": np.ones((N, 3))}, conditions=NAMES, methods=["cka"], **QUICK)
    with pytest.raises(InputError, match="at least 3 networks, got 2"):
        seed_consistency([a, a], conditions=NAMES)
    with pytest.raises(InputError, match="same layers of all networks"):
        seed_consistency([a, a, {"l0": a["l0"]}], conditions=NAMES)
    with pytest.raises(InputError, match="one untrained network for each of 3, got 1"):
        seed_consistency([a, a, a], untrained=[a], conditions=NAMES)
    with pytest.raises(InputError, match="unknown method 'rsa'"):
        layer_agreement(a, conditions=NAMES, **QUICK).matrix("rsa")


def test_figures():
    found = layer_agreement(
        chain(0, shared=0.6), chain(1, shared=0.6), conditions=NAMES, n_boot=0, n_permutations=39
    )
    axes = panels(plot_layer_agreement(found))
    assert len(axes) == 3
    assert axes[0].get_yticklabels()[0].get_text() == "l0"
    seeds = [chain(s, shared=0.6) for s in range(3)]
    table = seed_consistency(seeds, untrained=seeds, conditions=NAMES)
    assert len(legend_of(plot_seed_consistency({"one": table}))) == 2
    with pytest.raises(InputError, match="1 to 8 tables"):
        plot_seed_consistency({})
    plt.close("all")


def test_functions_without_match_do_not_advise_it():
    names = [f"face {i}" for i in range(8)]
    x = {"a": np.random.default_rng(0).normal(size=(8, 3))}
    people = {name: i // 2 for i, name in enumerate(names)}
    for wrong in ({**people, "face 3": None}, {n: people[n] for n in names[1:]}):
        with pytest.raises(InputError) as raised:
            layer_agreement(x, conditions=names, people=wrong)
        assert "face " in str(raised.value)
        assert "match" not in str(raised.value)
