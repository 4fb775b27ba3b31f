"""Encoding: against scikit-learn and definitions, planted spaces, and nothing where nothing is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn import boxes, panels, said_in
from scipy import stats
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from test_face_space import simulated_faces

import rsa_faces as rf
from rsa_faces import ConditionMismatchError, InputError
from rsa_faces.analyses import encoding, face_space
from rsa_faces.analyses._ridge import deal_folds
from rsa_faces.figures import plot_encoding, plot_feature_sets

N = 60
NAMES = [f"face {i}" for i in range(N)]
OPTIONS = {"conditions": NAMES, "n_permutations": 39, "progress": False}


def spaces(seed=0):
    return np.random.default_rng(seed).normal(size=(3, N, 10))


def test_predictions_of_one_strength_are_those_of_scikit_learn():
    x, *_ = spaces()
    rng = np.random.default_rng(1)
    y = x @ rng.normal(size=(10, 4)) + rng.normal(size=(N, 4))
    found = encoding({"a": x}, y, strengths=[0.1], **OPTIONS)
    fold_of = deal_folds(np.arange(N), 5, np.random.default_rng(0))
    whole, centred = np.empty_like(y), np.empty_like(y)
    for f in range(5):
        train, test = fold_of != f, fold_of == f
        own = x - x[train].mean(axis=0)
        products = own @ own.T / (own[train] ** 2).sum(axis=1).mean()
        ridge = KernelRidge(alpha=0.1, kernel="precomputed")
        ridge.fit(products[np.ix_(train, train)], y[train] - y[train].mean(axis=0))
        predicted = ridge.predict(products[np.ix_(test, train)])
        whole[test] = predicted - predicted.mean(axis=0)
        centred[test] = y[test] - y[test].mean(axis=0)
    r = [np.corrcoef(p, t)[0, 1] for p, t in zip(whole.T, centred.T, strict=True)]
    np.testing.assert_allclose(found.targets["r"], r, atol=1e-9)
    r2 = 1 - ((centred - whole) ** 2).sum(axis=0) / (centred**2).sum(axis=0)
    np.testing.assert_allclose(found.targets["r2"], r2, atol=1e-9)


def test_banded_ridge_is_that_of_himalaya(monkeypatch):
    pytest.importorskip("himalaya")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "scripts"))
    from compare_banded_ridge import by_himalaya, simulated

    x, y, who = simulated(12, 15)
    names = [f"face {i}" for i in range(len(who))]
    options = OPTIONS | {"conditions": names, "across": dict(zip(names, who, strict=True))}
    beside = {"b": x[1], "c": x[2]}
    found = encoding({"a": x[0]}, y, beside=beside, n_folds=4, n_mixtures=4, **options)
    parts, centred = by_himalaya(x, y, who, 4)
    assert len(np.unique(parts.any(axis=1), axis=1).T) > 1  # targets differ in the spaces they take
    shares = (parts * (2 * centred - parts.sum(axis=0))).sum(axis=1) / (centred**2).sum(axis=0)
    np.testing.assert_allclose(found.parts["part"], shares.mean(axis=1), atol=1e-9)
    np.testing.assert_allclose(found.targets["r2"], shares.sum(axis=0), atol=1e-9)


def test_parts_are_of_the_spaces_that_were_planted_and_sum_to_r2():
    a, b, c = spaces()
    rng = np.random.default_rng(2)
    signal = a[:, :5] @ rng.normal(size=(5, 12)) + 0.6 * b[:, :5] @ rng.normal(size=(5, 12))
    repeats = signal + 1.5 * rng.normal(size=(4, N, 12))
    found = encoding({"a": a}, repeats, beside={"b": b, "c": pd.DataFrame(c, NAMES)}, **OPTIONS)
    part = found.parts.set_index("space")
    assert part["part"].sum() == pytest.approx(found.table["r2"][0])
    assert part["part"]["a"] > part["part"]["b"] > 0.1
    assert abs(part["part"]["c"]) < 0.03
    row = found.table.iloc[0]
    assert 0.5 < row["r"] < row["ceiling"] < 1
    alone = encoding({"a": a}, repeats, **OPTIONS).table["r2"][0]
    assert alone < row["r2"]


def test_sets_are_compared_for_the_same_cells_and_regions():
    a, b, _ = spaces()
    rng = np.random.default_rng(3)
    y = pd.DataFrame(rng.normal(size=(N, 8)), NAMES, [f"v{i}" for i in range(8)])
    y.iloc[:, :4] += a @ rng.normal(size=(10, 4))
    regions = {name: "one" if i < 4 else "other" for i, name in enumerate(y)}
    # In another order, by name.
    options = OPTIONS | {"regions": regions, "against": "b", "strengths": [0.1]}
    found = encoding({"a": a, "b": b}, y[::-1], **options)
    p = found.table.set_index(["layer", "region"])["p_corrected"]
    assert p["a", "one"] <= 0.05 < p.drop(("a", "one")).min()
    difference = found.differences.set_index("region")
    assert difference["ci_low"]["one"] > 0.3
    assert difference["p"]["one"] < 0.01 < 0.1 < difference["p"]["other"]
    for p in ("r2_p", "targets_p"):
        assert difference[p]["one"] < 0.02 < 0.1 < difference[p]["other"]
    folds = deal_folds(np.arange(N), 5, np.random.default_rng(0))
    expected = _r2_of_folds(a, y.iloc[:, :4], folds) - _r2_of_folds(b, y.iloc[:, :4], folds)
    row = difference.loc["one"]
    assert row["r2_difference"] == pytest.approx(expected.mean())
    test = stats.ttest_1samp(expected.mean(axis=0), 0)
    assert row["targets_p"] == pytest.approx(test.pvalue)
    assert row["targets_ci_low"] == pytest.approx(test.confidence_interval().low)
    each = expected.mean(axis=1)
    t = each.mean() / (each.std(ddof=1) * np.sqrt(1 / 5 + 1 / 4))
    assert row["r2_p"] == pytest.approx(2 * stats.t.sf(t, 4))
    figure = plot_feature_sets(found)
    assert len(figure.axes) == 2
    assert "brackets: 95 % interval over images" in said_in(figure).replace("\n", " ")
    for text, box in boxes(figure):
        assert box.x1 <= figure.bbox.x1, text
    with pytest.raises(InputError, match="at least two sets"):
        plot_feature_sets(encoding({"a": a}, y, **OPTIONS))


def _r2_of_folds(x, y, folds):
    """Explained variance of each fold and target."""
    rows = []
    for f in range(5):
        train, test = folds != f, folds == f
        own = x - x[train].mean(axis=0)
        own /= np.sqrt((own[train] ** 2).sum(axis=1).mean())
        target = y.to_numpy() - y.to_numpy()[train].mean(axis=0)
        ridge = Ridge(0.1, fit_intercept=False).fit(own[train], target[train])
        left, guess = (v - v.mean(axis=0) for v in (target[test], ridge.predict(own[test])))
        rows.append(1 - ((left - guess) ** 2).sum(axis=0) / (left**2).sum(axis=0))
    return np.array(rows)


def test_face_spaces_are_sets_of_features():
    images, points, names = simulated_faces()
    options = {"conditions": names, "progress": False}
    spaces = {
        kind: face_space(images, points, n_shape=3, n_appearance=3, align=kind, **options)
        for kind in ("similarity", "rigid")
    }
    cells = spaces["rigid"].coordinates @ np.random.default_rng(0).normal(size=(6, 3))
    found = encoding(spaces, cells[::-1], n_permutations=19, progress=False)
    assert found.differences["r2_difference"][0] > 0.01


def test_what_is_common_to_images_of_a_person_is_no_effect():
    """Features and responses with people of their own: images of one person are no evidence."""
    who = np.repeat(np.arange(15), 4)
    p = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, y = (3 * rng.normal(size=(15, 10))[who] + rng.normal(size=(N, 10)) for _ in range(2))
        across = dict(zip(NAMES, who, strict=True))
        p.append(encoding({"a": x}, y, across=across, **OPTIONS).table["p"][0])
    # P(more than 4 of 20 with p <= .05) = .3 %.
    assert np.sum(np.array(p) <= 0.05) <= 4


def test_the_figure_shows_rsa_beside():
    a, b, _ = spaces()
    y = np.random.default_rng(4).normal(size=(2, N, 3)) + a[:, :3]
    found = encoding({"l1": a, "l2": b}, y, beside={"b": b}, **OPTIONS)
    labels = {"network": ["", ""], "layer": ["l1", "l2"], "depth": [0.5, 1.0]}
    models = rf.compute_rdms({"l1": a, "l2": b}, conditions=NAMES)
    models = rf.RDMs(models.vectors, NAMES, "correlation", labels)
    data = [rf.compute_rdms(one, conditions=NAMES).vectors for one in y]
    data = rf.RDMs(np.concatenate(data), NAMES, "correlation", {"subject": [0, 1], "region": "all"})
    rsa = rf.evaluate(models, data, n_boot=50)
    axes = panels(plot_encoding(found, rsa=rsa))
    assert len(axes) == 2
    dashed = [line for line in axes[0].lines if line.get_linestyle() == "--"]
    shown = next(line for line in dashed if len(line.get_xdata()) == 2 and line.get_zorder() > 1)
    np.testing.assert_allclose(shown.get_ydata(), rsa.table["similarity"])
    with pytest.raises(InputError, match="in `rsa`, got none"):
        plot_encoding(found, rsa=replace(rsa, table=rsa.table.assign(region="other")))


def test_what_is_asked_for_wrongly():
    a, b, _ = spaces()
    y = np.random.default_rng(0).normal(size=(N, 2))
    with pytest.raises(InputError, match="at least 4 people"):
        encoding({"a": a}, y, across={n: i % 3 for i, n in enumerate(NAMES)}, **OPTIONS)
    with pytest.raises(InputError, match="a region for every target, but 1 have none: 'cell 2'"):
        encoding({"a": a}, y, regions={"cell 1": "FFA"}, **OPTIONS)
    with pytest.raises(InputError, match="unknown against 'b'"):
        encoding({"a": a}, y, against="b", **OPTIONS)
    with pytest.raises(InputError, match="layer 'b' has"):
        encoding({"a": a}, y, beside={"b": b[:5]}, **OPTIONS)
    with pytest.raises(InputError, match="other names beside than those of layers, got 'a'"):
        encoding({"a": a}, y, beside={"a": b}, **OPTIONS)
    with pytest.raises(InputError, match="1 targets respond the same to all: 'cell 2'"):
        encoding({"a": a}, y * [1, 0], **OPTIONS)


def test_responses_that_bring_names_may_be_of_other_conditions():
    a, _, _ = spaces()
    y = pd.DataFrame(a[:, :2] + np.random.default_rng(0).normal(size=(N, 2)), NAMES)
    some = encoding({"a": a}, y[9::-1], match="intersection", **OPTIONS)
    own = encoding({"a": a[:10]}, y[:10], **{**OPTIONS, "conditions": NAMES[:10]})
    assert some.table["r"].tolist() == own.table["r"].tolist()
    with pytest.raises(ConditionMismatchError):
        encoding({"a": a}, y[:10], **OPTIONS)


def test_a_target_without_a_region_is_named():
    x, *_ = spaces()
    regions = {"cell 1": "FFA", "cell 2": None}
    with pytest.raises(InputError, match="region for every target, but 1 have none: 'cell 2'"):
        encoding({"a": x}, x[:, :2], regions=regions, **OPTIONS)
