"""Averageness and symmetry: by definition, planted effects, and none where none is."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from scipy.spatial import procrustes
from scipy.stats import rankdata

import rsa_faces as rf
from rsa_faces.analyses import averageness
from rsa_faces.analyses._procrustes import mean_shape
from rsa_faces.analyses.face_code.averageness import _partners

matplotlib.use("Agg")
HALF = np.random.default_rng(0).uniform(10, 60, (8, 2)) * [1, 2]
BASE = np.vstack([HALF, HALF * [-1, 1], [[0, 30], [0, 90]]])
PAIRS = [(i, i + 8) for i in range(8)]
QUICK = {"n_permutations": 199}


def study(n=50, seed=0):
    """Landmarks by face, and how far each is from the mean."""
    rng = np.random.default_rng(seed)
    spread = rng.uniform(0.5, 4, n)
    points = BASE + spread[:, None, None] * rng.normal(size=(n, 18, 2))
    names = [f"face {i}" for i in range(n)]
    return dict(zip(names, points, strict=True)), pd.Series(spread, names), rng


def test_measures_are_those_of_procrustes_of_scipy():
    points, spread, _ = study(12)
    group = {name: i % 2 for i, name in enumerate(points)}
    found = averageness(points, spread.to_frame("a"), within=group, **QUICK)
    shapes = np.stack(list(points.values()))
    partner = np.r_[8:16, 0:8, 16, 17]
    for i, shape in enumerate(shapes):
        others = np.delete(shapes, i, axis=0)[np.delete(np.arange(12) % 2, i) == i % 2]
        # SciPy fits the size as well: of a distance d it leaves 1 - (1 - d² / 2)².
        left = procrustes(mean_shape(others, "similarity")[0], shape)[2]
        value = -found.measures["averageness"].iloc[i]
        assert 1 - (1 - value**2 / 2) ** 2 == pytest.approx(left, rel=1e-6)
        left = procrustes(shape, (shape * [-1, 1])[partner])[2]
        value = -found.measures["symmetry"].iloc[i]
        assert 1 - (1 - value**2 / 2) ** 2 == pytest.approx(left, rel=1e-6)


def test_partners_are_found_also_where_numbers_are_mixed_and_faces_turned():
    rng = np.random.default_rng(1)
    order = rng.permutation(18)
    place = np.argsort(order)
    expected = place[np.r_[8:16, 0:8, 16, 17][order]]
    turn = np.array([[0.98, -0.199], [0.199, 0.98]])
    shapes = (BASE[order] + rng.normal(size=(20, 18, 2))) @ turn
    assert (_partners(shapes, None) == expected).all()
    assert (_partners(shapes, [(1, 2)]) == [0, 2, 1, *range(3, 18)]).all()
    with pytest.raises(rf.InputError, match="do not|does not fit.*give `pairs`"):
        _partners(shapes + 90 * np.eye(18, 2), None)
    with pytest.raises(rf.InputError, match="from 0 to 17, each once"):
        _partners(shapes, [(1, 18)])


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_partial_correlations_are_those_of_regressions(method):
    points, spread, rng = study()
    names = list(points)
    group = pd.Series(rng.integers(0, 2, 50), names)
    age = pd.DataFrame({"age": rng.normal(size=50)}, names)
    rating = pd.DataFrame({"a": -spread + group + age["age"] + rng.normal(size=50)})
    options = {"within": group, "controls": age, "method": method, "pairs": PAIRS, **QUICK}
    found = averageness(points, rating[::-1], **options)
    scale = (lambda v: rankdata(v)) if method == "spearman" else np.asarray
    x, s, y, a = (scale(v) for v in (*found.measures.to_numpy().T, rating["a"], age["age"]))
    given = np.column_stack([group, 1 - group, a])

    def left(v, g):
        return v - g @ np.linalg.lstsq(g, v, rcond=None)[0]

    row = found.table.iloc[0]
    assert row["r"] == pytest.approx(np.corrcoef(left(x, given), left(y, given))[0, 1])
    more = np.column_stack([given, s])
    assert row["r_beyond"] == pytest.approx(np.corrcoef(left(x, more), left(y, more))[0, 1])
    assert row["p_corrected"] == row["p"] == 1 / 200
    assert 0 < row["ci_low"] < row["r"] < row["ci_high"] < 1
    assert found.table["n_cells"][0] == 2
    assert len(found.plot().axes) == 1


def test_a_face_is_not_compared_with_itself_nor_groups_with_each_other():
    points, spread, rng = study(40)
    names = list(points)
    group = pd.Series(np.arange(40) % 2, names)
    wide = {n: p * [1 + 0.3 * group[n], 1] for n, p in points.items()}
    found = averageness(wide, spread.to_frame("a"), within=group, pairs=PAIRS, **QUICK).measures
    for value in (0, 1):
        alone = [n for n in names if group[n] == value]
        own = averageness({n: wide[n] for n in alone}, spread[alone].to_frame("a"), pairs=PAIRS)
        np.testing.assert_allclose(own.measures, found.loc[alone])
    x = pd.DataFrame(rng.normal(size=(40, 6)), names)
    layer = averageness(points, spread.to_frame("a"), embeddings={"net": x}, **QUICK)
    others = x.drop("face 3").mean()
    cosine = x.loc["face 3"] @ others / np.linalg.norm(x.loc["face 3"]) / np.linalg.norm(others)
    assert layer.measures.loc["face 3", "averageness in net"] == pytest.approx(cosine)


def test_raters_widen_intervals():
    points, spread, rng = study(40)
    names = list(points)
    tastes = rng.normal(size=(8, 1)) * spread.to_numpy()
    single = pd.DataFrame(tastes - spread.to_numpy() + rng.normal(size=(8, 40)), columns=names)
    long = single.rename_axis("rater").reset_index().melt("rater", var_name="face", value_name="a")
    options = {"pairs": PAIRS, **QUICK}
    one = averageness(points, single.mean().to_frame("a"), **options).table.iloc[0]
    both = averageness(points, long.sample(frac=1, random_state=0), rater="rater", **options)
    row = both.table.iloc[0]
    assert row["r"] == pytest.approx(one["r"])
    assert row["ci_high"] - row["ci_low"] > 1.3 * (one["ci_high"] - one["ci_low"])
    assert row["n_subjects"] == 8
    assert row["p_corrected"] >= row["p"] >= one["p"]
    few = long[(long["face"] != "face 5") | (long["rater"] == 0)]
    with pytest.raises(rf.InputError, match="2 raters of every face.*'face 5'"):
        averageness(points, few, rater="rater", **options)


def test_bad_input_is_said():
    points, spread, _ = study(20)
    rating = spread.to_frame("a")
    with pytest.raises(rf.ConditionMismatchError, match="face 0"):
        averageness(points, rating.iloc[1:], **QUICK)
    found = averageness(points, rating.iloc[1:], match="intersection", **QUICK)
    assert found.table[["n_conditions", "n_left_out"]].iloc[0].tolist() == [19, 1]
    group = {name: int(i > 2) for i, name in enumerate(points)}
    with pytest.raises(rf.InputError, match="20 faces in 2 groups, of which 1 have fewer"):
        averageness(points, rating, within=group, **QUICK)
    with pytest.raises(rf.InputError, match="'b' to vary"):
        averageness(points, rating.assign(b=1.0), **QUICK)
    with pytest.raises(rf.InputError, match="'a' to vary within groups and given controls"):
        averageness(points, rating, controls=2 * rating, **QUICK)


def test_units_and_names_of_ratings_change_nothing():
    points, spread, _ = study(30)
    ratings = spread.to_frame("a")
    usual = averageness(points, ratings, method="pearson", **QUICK).table
    other = averageness(points, 1e-12 * ratings, method="pearson", **QUICK).table
    pd.testing.assert_frame_equal(usual, other)
    group = {name: i % 2 for i, name in enumerate(points)}
    number = {name: 100 + 3 * i for i, name in enumerate(points)}
    usual = averageness(points, ratings, within=group, **QUICK).table
    other = averageness(
        {number[name]: x for name, x in points.items()},
        ratings.rename(index=number),
        within={number[name]: g for name, g in group.items()},
        **QUICK,
    ).table
    pd.testing.assert_frame_equal(usual, other)
