"""Axis geometry: products without bias; planted codes are found, and none where none is."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

import rsa_faces as rf
from rsa_faces.analyses import axis_geometry
from rsa_faces.analyses.face_code.axis_geometry import _Fit

matplotlib.use("Agg")
QUICK = {"n_permutations": 39, "progress": False}


def study(axes, noise=1.0, n=90, seed=0):
    """Responses of cells with these axes, (n_cells, n_dimensions), to random faces."""
    rng = np.random.default_rng(seed)
    faces = pd.DataFrame(rng.normal(size=(n, axes.shape[1])), [f"face {i}" for i in range(n)])
    cells = [f"cell {i}" for i in range(len(axes))]
    error = noise * rng.normal(size=(n, len(axes)))
    return faces, pd.DataFrame(faces.to_numpy() @ axes.T + error, faces.index, cells)


def found(axes, **options):
    """The table by question."""
    faces, cells = study(axes)
    return axis_geometry(faces, cells, **QUICK, **options).table.set_index("question")


def orthonormal(k, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(k, k)))[0]


def test_products_are_those_of_a_loop_over_faces_left_out():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 4)), rng.normal(size=(3, 20))
    x, y = x - x.mean(axis=0), y - y.mean(axis=1, keepdims=True)
    weights = np.linalg.lstsq(x, y.T, rcond=None)[0]
    expected = weights.T @ weights
    each = np.linalg.inv(x.T @ x) @ x.T
    for i in range(20):
        rest = np.arange(20) != i
        design = np.column_stack([np.ones(19), x[rest]])
        fitted = np.linalg.lstsq(design, y[:, rest].T, rcond=None)[0]
        error = y[:, i] - np.append(1.0, x[i]) @ fitted
        noise = np.outer(y[:, i], error) * (each[:, i] ** 2).sum()
        expected -= (noise + noise.T) / 2
    np.testing.assert_allclose(_Fit(x, np.arange(len(x))).products(y), expected, atol=1e-10)


def test_products_have_no_bias_by_noise_that_cells_share_and_that_grows():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 6))
    x -= x.mean(axis=0)
    axes = rng.normal(size=(2, 6))
    fit, made, raw = _Fit(x, np.arange(len(x))), [], []
    for _ in range(1500):
        noise = rng.normal(size=40) * np.exp(0.5 * x[:, 0])  # the same for both cells
        y = axes @ x.T + 3 * noise
        y -= y.mean(axis=1, keepdims=True)
        made.append(fit.products(y))
        raw.append((y @ fit.inverse.T) @ (y @ fit.inverse.T).T)
    error = np.std(made, axis=0) / np.sqrt(len(made))
    assert (np.abs(np.mean(made, axis=0) - axes @ axes.T) < 4 * error).all()
    assert (np.abs(np.mean(raw, axis=0) - axes @ axes.T) > 8 * error).all()


def test_few_dimensions_are_found():
    rng = np.random.default_rng(2)
    table = found(rng.normal(size=(60, 4)) @ orthonormal(15)[:4])
    row = table.loc["dimensions spanned"]
    assert row["p"] == 1 / 40
    assert row["ci_low"] < 4 < row["ci_high"] < 8
    assert row["expected"] == 15
    assert table.loc["squared cosine", "p"] == 1.0
    assert table.loc["squared cosine", "value"] == pytest.approx(1 / row["value"])


def test_orthogonal_axes_are_found_and_dimensions_may_be_infinite():
    table = found(orthonormal(15))
    assert table.loc["squared cosine", "p"] == 1 / 40
    assert abs(table.loc["squared cosine", "value"]) < 0.02
    assert table.loc["dimensions spanned", "p"] == 1.0
    assert table.loc["dimensions spanned", "ci_high"] == np.inf


def test_axes_that_noise_hides_have_no_cosines():
    """Never a squared cosine beyond 1, or less than one dimension."""
    undefined = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        faces, cells = study(0.02 * rng.normal(size=(5, 15)), seed=seed)
        try:
            result = axis_geometry(faces, cells, **QUICK)
        except rf.InputError:
            continue
        table = result.table.set_index("question")
        if table["value"].isna().any():
            undefined += 1
            assert table[["value", "ci_low", "ci_high"]].isna().all(axis=None)
            assert "cosines of their axes come out beyond 1" in result.notes[0]
            assert table["p"].between(0.02, 1).all()
            titles = [ax.get_title(loc="left") for ax in rf.figures.plot_axis_geometry(result).axes]
            assert titles[0].startswith("dimensions: undefined\nrandom: 15.0\nfewer: p = ")
            assert titles[1].startswith("squared cosine: undefined\nrandom: ")
        else:
            assert table["value"].abs()[["squared cosine", "cosine"]].max() <= 1
            assert table.loc["dimensions spanned", "value"] >= 1
            ends = table[["ci_low", "ci_high", "random_low", "random_high"]]
            assert (ends.loc["dimensions spanned"] >= 1).all()
            assert ends.loc["squared cosine"].between(0, 1).all()
            assert ends.loc["cosine"].between(-1, 1).all()
    assert undefined


def test_a_shared_direction_is_found():
    axes = np.random.default_rng(3).normal(size=(20, 15)) + 1.0
    assert found(axes).loc["cosine", "p"] == 1 / 40


def test_axes_that_follow_a_place_are_found_by_name_and_inside_recordings_only():
    rng = np.random.default_rng(4)
    place = rng.uniform(0, 3, 30)
    axes = np.stack([np.cos(place), np.sin(place), *rng.normal(scale=0.3, size=(8, 30))], axis=1)
    faces, cells = study(axes)
    places = pd.Series(place, cells.columns)
    result = axis_geometry(faces, cells, places=places[::-1], **QUICK)
    row = result.table.set_index("question").loc["cosine by distance"]
    assert row["p"] == 1 / 40
    assert row["ci_high"] < 0
    assert (np.diff(result.curve["distance"]) > 0).all()
    assert result.curve["cosine"].iloc[0] > 0.5 > result.curve["cosine"].iloc[-1]
    assert result.curve["n_pairs"].sum() == 30 * 29 / 2
    # Another zero of the coordinate in each recording: distances across recordings say nothing.
    half = pd.Series(np.arange(30) % 2, cells.columns)
    moved = places + 50 * half
    inside = axis_geometry(faces, cells, places=moved, within=half, **QUICK)
    assert inside.table.set_index("question").loc["cosine by distance", "p"] == 1 / 40
    assert inside.curve["n_pairs"].sum() == 2 * 15 * 14 / 2
    assert inside.curve["distance"].max() < 3
    assert len(result.plot().axes) == 3
    assert len(axis_geometry(faces, cells, **QUICK).plot().axes) == 2


@pytest.mark.simulation
def test_random_axes_are_rarely_taken_for_a_code():
    p = []
    for i in range(60):
        rng = np.random.default_rng(i)
        faces, cells = study(rng.normal(size=(15, 6)), seed=i, n=40)
        options = {**QUICK, "n_permutations": 19}
        table = axis_geometry(faces, cells, places=rng.normal(size=15), **options).table
        p.append(table["p"])
    assert (np.array(p) <= 0.05).mean(axis=0).max() <= 0.15  # binomial, 99.9 %


def test_bad_input_is_said():
    faces, cells = study(np.eye(5))
    with pytest.raises(rf.InputError, match="at least 90 faces for 80 dimensions"):
        axis_geometry(*study(np.eye(80)[:5], n=89), **QUICK)
    with pytest.raises(rf.InputError, match="noise explains the responses of nearly all 5"):
        axis_geometry(*study(np.zeros((5, 5)), seed=4), **QUICK)
    with pytest.raises(rf.InputError, match="one place for each of 5 cells, got 4"):
        axis_geometry(faces, cells, places={f"cell {i}": 1.0 for i in range(4)}, **QUICK)
    with pytest.raises(rf.ConditionMismatchError, match="cell 0"):
        axis_geometry(faces, cells, places={f"cell {i}": 1.0 for i in range(1, 6)}, **QUICK)
    with pytest.raises(rf.InputError, match="at different distances"):
        axis_geometry(faces, cells, places=np.ones(5), **QUICK)
    with pytest.raises(rf.InputError, match="finite places, but 1 cells"):
        axis_geometry(faces, cells, places=[0, 1, np.nan, 2, 3], **QUICK)
    with pytest.raises(rf.InputError, match="full rank, got rank 4 for 5"):
        axis_geometry(faces.assign(copy=faces[0]).drop(columns=4), cells, **QUICK)


def test_people_with_several_images_share_what_axes_do_not_explain():
    # Cells respond to who it is, some alike, beside random axes.
    n_found, n_people, k, n_cells = 0, 40, 5, 20
    for seed in range(40):
        rng = np.random.default_rng(seed)
        who = np.repeat(np.arange(n_people), rng.integers(2, 5, n_people))
        names = [f"face {i}" for i in range(len(who))]
        x = rng.normal(size=(n_people, k))[who] + 0.3 * rng.normal(size=(len(who), k))
        axes = rng.normal(size=(k, n_cells))
        own = rng.normal(size=(n_people, n_cells)) + rng.normal(size=(n_people, 1))
        y = 0.5 * x @ axes / np.linalg.norm(axes, axis=0) + own[who] / np.sqrt(2)
        y += rng.normal(size=y.shape)
        result = axis_geometry(
            pd.DataFrame(x, names),
            pd.DataFrame(y, names),
            across=dict(zip(names, who, strict=True)),
            **QUICK,
        )
        assert (result.table["n_people"] == n_people).all()
        n_found += result.table.set_index("question").loc["cosine", "p"] <= 0.05
    assert n_found <= 7  # 99 % of 40 at a level of 5 %


def test_products_with_people_are_those_of_a_loop_over_people_left_out():
    rng = np.random.default_rng(0)
    who = np.array([0, 1, 2, 0, 3, 3, 4, 5, 6, 7, 0, 8, 8, 9, 10])
    n = len(who)
    x, y = rng.normal(size=(n, 3)), rng.normal(size=(4, n))
    x, y = x - x.mean(axis=0), y - y.mean(axis=1, keepdims=True)
    weights = np.linalg.lstsq(x, y.T, rcond=None)[0]
    expected = weights.T @ weights
    each = np.linalg.inv(x.T @ x) @ x.T
    for person in np.unique(who):
        own, rest = np.flatnonzero(who == person), who != person
        design = np.column_stack([np.ones(rest.sum()), x[rest]])
        fitted = np.linalg.lstsq(design, y[:, rest].T, rcond=None)[0]
        error = y[:, own] - (np.column_stack([np.ones(len(own)), x[own]]) @ fitted).T
        noise = y[:, own] @ (each[:, own].T @ each[:, own]) @ error.T
        expected -= (noise + noise.T) / 2
    np.testing.assert_allclose(_Fit(x, who).products(y), expected, atol=1e-10)
