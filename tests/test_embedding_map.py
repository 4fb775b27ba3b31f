"""Maps between embedding spaces: planted maps, unrelated spaces, references."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import legend_of
from scipy.linalg import orthogonal_procrustes
from sklearn.linear_model import Ridge

from rsa_faces import ConditionMismatchError, InputError
from rsa_faces.analyses import embedding_map, shape_distance
from rsa_faces.analyses.networks.embedding_map import _procrustes_map, _ridge_map
from rsa_faces.figures import plot_embedding_map, plot_map_surface

PEOPLE, IMAGES = 40, 2
NAMES = [f"p{i:02d} {k}" for i in range(PEOPLE) for k in range(IMAGES)]
PERSON = {name: name.split()[0] for name in NAMES}
WHO = np.repeat(np.arange(PEOPLE), IMAGES)


def spaces(seed=0, *, noise=0.3, related=True, turned=False):
    """Embeddings of the same images; the second a linear map (or a rotation) of the first."""
    rng = np.random.default_rng(seed)
    x = np.repeat(rng.normal(size=(PEOPLE, 12)), IMAGES, axis=0)
    x = x + noise * rng.normal(size=x.shape)
    if turned:
        y = 2 * x @ np.linalg.qr(rng.normal(size=(12, 12)))[0] + 1
    elif related:
        y = x @ rng.normal(size=(12, 10)) + 0.1 * rng.normal(size=(len(x), 10))
    else:
        y = np.repeat(rng.normal(size=(PEOPLE, 10)), IMAGES, axis=0)
        y = y + noise * rng.normal(size=y.shape)
    return {"fc": x}, {"fc": y}


def run(a, b, **options):
    options = {"n_pairs": [10, 30], "n_draws": 3, **options}
    return embedding_map(a, b, PERSON, conditions=NAMES, **options)


def test_a_linear_map_is_found_with_enough_pairs():
    table = run(*spaces(), kinds=["ridge"]).table.set_index(["map", "n_pairs"])
    auc = table["auc"].xs("ridge")
    assert auc.iloc[-1] > 0.97
    assert auc.loc[10] < auc.iloc[-1]
    assert auc.iloc[-1] <= table.loc[("target", 0), "auc"] + 0.02
    assert table.index[-1] == ("ridge", 64)
    assert (table["n_same"] == 80).all()
    turned = run(*spaces(turned=True), kinds=["procrustes"]).table.set_index(["map", "n_pairs"])
    # A rotation is found exactly once there are more pairs than channels.
    assert turned.loc[("procrustes", 30), "auc"] == pytest.approx(
        turned.loc[("target", 0), "auc"], abs=0.01
    )


def test_people_of_another_image_do():
    table = run(*spaces(), pairing="other image").table
    assert table[table["map"] == "ridge"]["auc"].iloc[-1] > 0.95


def test_unrelated_spaces_stay_at_chance():
    found = [run(*spaces(seed, related=False), n_draws=1).table for seed in range(30)]
    for kind in ("ridge", "procrustes"):
        auc = [t[t["map"] == kind]["auc"].iloc[-1] for t in found]
        error = np.std(auc) / np.sqrt(len(auc))
        assert abs(np.mean(auc) - 0.5) < 3 * error
        accuracy = [t[t["map"] == kind]["accuracy"].iloc[-1] for t in found]
        assert abs(np.mean(accuracy) - 0.5) < 0.04
    assert found[0].set_index("map").loc["target", "auc"] > 0.95


def test_ridge_is_that_of_scikit_learn_with_the_strength_left_out_people_choose():
    (_, x), (_, y) = (next(iter(s.items())) for s in spaces(1))
    rng = np.random.default_rng(0)
    pairs = np.stack([rng.permutation(60)[:40]] * 2, axis=1)
    test = np.arange(60, 80)
    strengths = np.array([0.01, 0.1, 1.0])
    one, two = x[pairs[:, 0]], y[pairs[:, 1]]
    # In units of the mean squared length, as the ridge of this package counts.
    centred = one - one.mean(axis=0)
    scale = (centred**2).sum() / len(one)
    groups = WHO[pairs[:, 0]]
    losses = []
    for strength in strengths:
        loss = 0.0
        for g in np.unique(groups):
            keep = groups != g
            # The training mean of all pairs is the origin, the intercept is refitted.
            model = Ridge(alpha=strength * scale).fit(one[keep], two[keep])
            loss += ((model.predict(one[~keep]) - two[~keep]) ** 2).sum()
        losses.append(loss)
    model = Ridge(alpha=strengths[np.argmin(losses)] * scale).fit(one, two)
    np.testing.assert_allclose(
        _ridge_map(x, y, pairs, test, WHO, strengths), model.predict(x[test]), atol=1e-8
    )


def test_procrustes_is_that_of_scipy():
    (_, x), (_, y) = (next(iter(s.items())) for s in spaces(2, turned=True))
    pairs, test = np.stack([np.arange(50)] * 2, axis=1), np.arange(50, 80)
    one, two = x[:50], y[:50]
    u, v = one - one.mean(axis=0), two - two.mean(axis=0)
    rotation, total = orthogonal_procrustes(u, v)
    expected = (x[test] - one.mean(axis=0)) @ rotation * total / (u**2).sum() + two.mean(axis=0)
    np.testing.assert_allclose(_procrustes_map(x, y, pairs, test, WHO, None), expected, atol=1e-9)
    np.testing.assert_allclose(expected, y[test], atol=1e-9)


def test_a_sweep_is_each_strength_alone_and_finds_the_planted_one():
    # Directions that the target knows by are faint in the source: a strong ridge misses them.
    x = np.repeat(np.random.default_rng(5).normal(size=(PEOPLE, 12)), IMAGES, axis=0)
    x = x + 0.3 * np.random.default_rng(6).normal(size=x.shape)
    a, b = {"fc": x * np.repeat([20.0, 0.5], 6)}, {"fc": x * np.repeat([0.0, 1.0], 6)}
    strengths = [1e-6, 1e-2, 1e4]
    options = {"kinds": ["ridge"], "n_pairs": [20], "n_draws": 2}
    table = run(a, b, strengths=strengths, sweep=True, **options).table
    swept = table[table["map"] == "ridge, one strength"].set_index(["strength", "n_pairs"])
    assert len(swept) == len(strengths) * 2
    for strength in strengths:
        alone = run(a, b, strengths=[strength], **options).table
        alone = alone[alone["map"] == "ridge"].set_index("n_pairs")
        np.testing.assert_allclose(swept["auc"][strength], alone["auc"])
    own = table.set_index("map").loc["target", "auc"]
    np.testing.assert_allclose(table["lost"], own - table["auc"], atol=1e-12)
    assert swept["lost"][1e-6].max() < 0.02
    assert swept["lost"][1e4].min() > 0.1
    best = table[table["map"] == "ridge"]["lost"]
    np.testing.assert_allclose(best, swept["lost"][1e-6], atol=0.01)
    figure = plot_map_surface(run(a, b, strengths=strengths, sweep=True, **options))
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()][0] == "chosen"
    with pytest.raises(InputError, match="a sweep over strengths, but 'x' has none"):
        plot_map_surface({"x": run(a, b, **options)})


def test_order_and_seed():
    a, b = spaces(3)
    order = np.random.default_rng(0).permutation(len(NAMES))

    class Other(dict):
        conditions = tuple(NAMES[i] for i in order)

    class First(dict):
        conditions = tuple(NAMES)

    one = embedding_map(First(a), First(b), PERSON, n_pairs=[10], n_draws=2).table
    two = embedding_map(
        First(a), Other({"fc": b["fc"][order]}), PERSON, n_pairs=[10], n_draws=2
    ).table
    pd.testing.assert_frame_equal(one, two)


def test_rates_need_enough_pairs_of_two_people():
    table = run(*spaces(), fars=[0.1, 1e-4]).table
    assert table["tar@0.0001"].isna().all()
    assert table["tar@0.1"].notna().all()


def test_shape_distance_is_that_of_the_definition_and_0_for_a_rotation():
    a, b = spaces(4, turned=True)
    found = shape_distance(a, b, PERSON, conditions=NAMES)
    assert found["distance"] == pytest.approx(0, abs=1e-6)
    a, b = spaces(4)
    found = shape_distance(a, b, PERSON, conditions=NAMES)
    x, y = (v["fc"] - v["fc"].mean(axis=0) for v in (a, b))
    x, y = x / np.linalg.norm(x), np.pad(y / np.linalg.norm(y), ((0, 0), (0, 2)))
    assert found["distance"] == pytest.approx(np.arccos(orthogonal_procrustes(x, y)[1]), abs=1e-7)
    assert found["ci_low"] < found["distance"] < found["ci_high"]
    assert found["n_people"] == PEOPLE


@pytest.mark.simulation
@pytest.mark.slow
def test_the_interval_of_the_distance_covers():
    maps = np.random.default_rng(0).normal(size=(6, 5))

    def distance(seed, n):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n, 6))
        y = x @ maps + rng.normal(size=(n, 5))
        return shape_distance({"a": x}, {"a": y}, conditions=list(map(str, range(n))))

    n = 60
    truth = np.mean([distance(seed, n)["distance"] for seed in range(1000, 1100)])
    found = [distance(seed, n) for seed in range(150)]
    covered = np.mean([f["ci_low"] <= truth <= f["ci_high"] for f in found])
    assert 0.9 <= covered <= 0.99


def test_wrong_input_is_told():
    a, b = spaces()
    with pytest.raises(InputError, match="unknown kind of map 'cca'"):
        run(a, b, kinds=["cca"])
    with pytest.raises(InputError, match="unknown pairing 'any'"):
        run(a, b, pairing="any")
    with pytest.raises(InputError, match="unknown layer 'fc2'"):
        run(a, b, target_layer="fc2")
    with pytest.raises(ConditionMismatchError):
        embedding_map(a, b, {n: PERSON[n] for n in NAMES[1:]}, conditions=NAMES)
    with pytest.raises(InputError, match="at least 2 images of every person, but 1 people have"):
        embedding_map(a, b, PERSON | {NAMES[0]: "x"} | {NAMES[1]: "p01"}, conditions=NAMES)
    with pytest.raises(InputError, match="at least 50 people, got 40"):
        run(a, b, n_folds=50)
    with pytest.raises(InputError, match="channels that vary, but layer 'fc'"):
        run(a, {"fc": np.ones((80, 3))})
    with pytest.raises(InputError, match="at least 5 people"):
        shape_distance(a, b, {n: str(i % 3) for i, n in enumerate(NAMES)}, conditions=NAMES)


def test_figure():
    result = run(*spaces())
    labels = legend_of(plot_embedding_map({"a to b": result}, score="tar@0.1"))
    assert labels == ["a to b, ridge", "a to b, procrustes", "target's own space"]
    with pytest.raises(InputError, match="unknown score 'eer'"):
        plot_embedding_map(result, score="eer")
    with pytest.raises(InputError, match="1 to 8 results"):
        plot_embedding_map({})
    plt.close("all")
