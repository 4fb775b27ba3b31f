"""Figures of maps: what is drawn where, in which colour, and pages that need nothing else."""

import base64
import json
import re

import matplotlib.pyplot as plt
import nibabel
import numpy as np
import pandas as pd
import pytest
from drawn import panels

from rsa_faces import InputError
from rsa_faces.brain import Surface, Volume
from rsa_faces.figures import (
    plot_best_models,
    plot_map,
    plot_peaks,
    save_figure,
    view_map,
)
from rsa_faces.mapping import BestModels, CeilingMap, SearchlightMap

NAMES = ("conv1", "conv2", "fc")


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def space_of(affine=None):
    """An ellipsoid of 3 mm; x runs to the left in the array by default."""
    grid = np.indices((9, 11, 8)).reshape(3, -1).T
    inside = ((grid - [4, 5, 3.5]) ** 2 / [16.5, 25.5, 12.5]).sum(axis=1) <= 1
    affine = np.diag([-3.0, 3, 3, 1]) if affine is None else affine.copy()
    # Two empty voxels on all sides, which figures leave out.
    affine[:3, 3] -= affine[:3, :3] @ [2, 2, 2]
    return Volume(np.pad(inside.reshape(9, 11, 8), 2), affine)


def a_map(values, space=None, **labels):
    space = space_of() if space is None else space
    ones = np.ones(space.n_places, np.int32)
    values = np.asarray(values, float)
    labels = pd.DataFrame({"name": NAMES[: len(values)], **labels})
    return SearchlightMap(
        values, ones, 0 * ones, space, labels, ("a", "b", "c"), "correlation", "spearman", 8.0, 0, 0
    )


def sheet(n=12):
    x, y = np.meshgrid(np.arange(n), np.arange(n))
    corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    faces = np.concatenate(
        [np.c_[corner, corner + 1, corner + n], np.c_[corner + 1, corner + n, corner + n + 1]]
    )
    return Surface(np.c_[x.ravel(), y.ravel(), 0 * x.ravel()] * 2.0, faces)


def data_of(page):
    """The data that a page holds."""
    return json.loads(re.search(r"const data = (\{.*\});\n", page.html).group(1))


def array_of(text, kind):
    return np.frombuffer(base64.b64decode(text), kind)


def test_a_voxel_is_drawn_where_it_is():
    space = space_of()
    values = np.zeros(space.n_places)
    place = int(np.flatnonzero((space.indices == [4, 9, 6]).all(axis=1))[0])
    values[place] = 1.0
    where = {"x": -6.0, "y": 21.0, "z": 12.0}
    for axis in "xyz":
        others = [a for a in "xyz" if a != axis]
        (ax,) = panels(plot_map(values, space=space, label="one", axis=axis, cuts=[where[axis]]))
        image = ax.images[-1]
        shown = image.get_array().filled(0)
        row, column = np.unravel_index(shown.argmax(), shown.shape)
        assert shown.max() == 1.0
        x0, x1, y0, y1 = image.get_extent()
        assert x0 + (column + 0.5) * 3 == pytest.approx(where[others[0]])
        assert y0 + (row + 0.5) * 3 == pytest.approx(where[others[1]])
        # From left to right and from below to above.
        assert x0 < x1
        assert y0 < y1
        side = {"x": ", left"}.get(axis, "")
        assert ax.get_title() == f"{axis} = {where[axis]:g} mm{side}".replace("-", "−")
        sides = [t.get_text() for t in ax.texts]
        assert sides == (["P", "A"] if axis == "x" else ["L", "R"])


def test_every_voxel_of_a_rotated_image_keeps_a_value_of_the_map():
    affine = np.eye(4)
    turn = np.deg2rad(20)
    affine[:2, :2] = [[3 * np.cos(turn), -3 * np.sin(turn)], [3 * np.sin(turn), 3 * np.cos(turn)]]
    affine[2, 2] = 3.0
    space = space_of(affine)
    values = np.random.default_rng(0).choice([0.25, 0.5, 1.0], space.n_places)
    axes = panels(plot_map(values, space=space, label="a", cuts=3))
    for ax in axes:
        shown = ax.images[-1].get_array().compressed()
        assert len(shown) > 20
        assert set(np.round(shown, 6)) <= {0.25, 0.5, 1.0}


def test_colours_follow_threshold_where_and_limit():
    space = space_of()
    rng = np.random.default_rng(0)
    values = rng.uniform(0.0, 0.5, space.n_places)
    found = a_map([values, -values], space)
    (ax,) = panels(plot_map(found, model="conv1", threshold=0.3, cuts=1))
    image = ax.images[-1]
    assert image.norm.vmin == -image.norm.vmax  # white is 0 in every map of similarity
    assert image.norm.vmax == pytest.approx(values.max())
    assert image.get_array().compressed().min() >= 0.3
    labels = [a.get_ylabel() for a in ax.figure.axes]
    assert "similarity (Spearman ρ)" in labels
    assert [t.get_text() for t in ax.figure.texts] == ["conv1"]
    (ax,) = panels(plot_map(found, model=1, where=values > 0.4, limit=0.6, cuts=1))
    assert (ax.images[-1].norm.vmin, ax.images[-1].norm.vmax) == (-0.6, 0.6)
    assert ax.images[-1].get_array().compressed().max() < -0.4
    # Nothing left: the brain is drawn, and a scale.
    (ax,) = panels(plot_map(found, model=0, threshold=0.9, cuts=1))
    assert ax.images[-1].get_array().count() == 0
    assert ax.images[0].get_array().count() > 0


def test_ceilings_have_bounds():
    space = space_of()
    lower, upper = np.full(space.n_places, 0.1), np.full(space.n_places, 0.3)
    ceilings = CeilingMap(lower, upper, lower, 5, "correlation", "pearson", 8.0, space)
    for bound, value in ((None, 0.1), ("lower", 0.1), ("upper", 0.3)):
        (ax,) = panels(plot_map(ceilings, model=bound, cuts=1))
        assert ax.images[-1].get_array().max() == pytest.approx(value)
    with pytest.raises(InputError, match="bound 'middle'"):
        plot_map(ceilings, model="middle")


def test_best_models_have_colours_in_order_of_depth():
    space = space_of()
    rng = np.random.default_rng(0)
    # The deepest comes first in the map.
    found = a_map(rng.random((3, space.n_places)), space, depth=[1.0, 0.0, 0.5])
    best = found.best()
    (ax,) = panels(plot_best_models(best, cuts=[12.0]))
    image = ax.images[-1]
    shown = image.get_array()
    expected = space.to_array(np.array([2, 0, 1])[best.index])[::-1, :, 6].T
    low = [int(v) for v in np.argwhere(np.isfinite(expected)).min(axis=0)]
    cut = expected[low[0] : low[0] + 11, low[1] : low[1] + 9]
    np.testing.assert_array_equal(
        shown.compressed(), cut[np.isfinite(cut)], err_msg="rank in depth"
    )
    legend = [t.get_text() for t in ax.figure.legends[0].get_texts()]
    assert legend == ["conv1", "fc", "conv2"]  # the deepest on top
    brightness = image.cmap(np.arange(3))[:, :3].mean(axis=1)
    assert (np.diff(brightness) > 0).all()
    assert "chosen in the same data" in ax.figure.texts[0].get_text()
    (ax,) = panels(plot_best_models(best, threshold=0.9, cuts=1))
    assert ax.images[-1].get_array().count() < shown.count()


def test_many_models_are_named_beside_a_bar():
    space = space_of()
    names = tuple(f"layer {i}" for i in range(40))
    index = np.random.default_rng(0).integers(0, 40, space.n_places)
    best = BestModels(index, np.ones(space.n_places), None, None, names, space)
    (ax,) = panels(plot_best_models(best, cuts=1))
    assert not ax.figure.legends
    ticks = [t.get_text() for t in ax.figure.axes[-1].get_yticklabels()]
    assert ticks[0] == "layer 0"
    assert ticks[-1] == "layer 39"


def test_a_background_of_another_resolution_is_in_place():
    space = space_of()
    fine = np.zeros((30, 40, 30))
    fine[11, 33, 16] = 9.0
    affine = np.diag([-1.5, 1.5, 1.5, 1])
    affine[:3, 3] = [3, -12, -6]
    # The bright voxel lies at −13.5, 37.5, 18 mm.
    (ax,) = panels(
        plot_map(
            np.ones(space.n_places),
            space=space,
            label="a",
            cuts=[18.0],
            background=nibabel.Nifti1Image(fine, affine),
        )
    )
    image = ax.images[0]
    shown = image.get_array().filled(0)
    row, column = np.unravel_index(shown.argmax(), shown.shape)
    assert shown.max() == 9.0
    x0, _, y0, _ = image.get_extent()
    assert x0 + (column + 0.5) * 1.5 == pytest.approx(-13.5)
    assert y0 + (row + 0.5) * 1.5 == pytest.approx(37.5)
    assert image.get_extent()[1] - image.get_extent()[0] == pytest.approx(45.0)


def test_surface():
    surface = sheet()
    values = np.linspace(0.0, 1.0, 144)
    axes = panels(
        plot_map(
            values,
            space=surface,
            label="a",
            threshold=0.2,
            background=-values,
            views=("dorsal", "lateral"),
        )
    )
    assert [ax.get_title() for ax in axes] == ["left, dorsal", "left, lateral"]
    assert all(len(ax.collections) for ax in axes)
    # Coordinates are as they were: the viewer moves its own copy.
    np.testing.assert_array_equal(surface.vertices, sheet().vertices)
    index = np.repeat([0, 1, 2], 48)
    best = BestModels(index, values, None, values[None], NAMES, surface)
    (ax,) = panels(plot_best_models(best, views=["dorsal"], hemisphere="right"))
    assert "chosen in the other subjects" in ax.figure.texts[0].get_text()


def test_own_axes_and_files(tmp_path):
    space = space_of()
    figure, ax = plt.subplots(1, 2)
    axes = panels(plot_map(np.ones(space.n_places), space=space, label="a", cuts=2, ax=ax))
    assert list(axes) == list(ax)
    assert len(figure.axes) == 2
    save_figure(figure, tmp_path / "map")
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".pdf", ".png", ".svg"]
    with pytest.raises(InputError, match="expected 3 axes"):
        plot_map(np.ones(space.n_places), space=space, label="a", cuts=3, ax=ax)


def test_page_of_a_volume_holds_the_map(tmp_path):
    space = space_of()
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.2, (2, space.n_places))
    values[1, 4] = np.nan
    found = a_map(values, space)
    page = view_map(found, model=1, path=tmp_path / "map.html", threshold=0.1)
    assert (tmp_path / "map.html").read_text(encoding="utf-8") == page.html
    # Nothing is fetched.
    assert "http" not in page.html
    assert not re.search(r"\b(src|href)\s*=|@import|fetch\(|XMLHttpRequest", page.html)
    data = data_of(page)
    grid = data["grid"]
    values = array_of(grid["values"], "<f4").reshape(grid["shape"])
    shown = np.where(np.abs(found.similarity[1]) >= 0.1, found.similarity[1], np.nan)
    codes = array_of(data["codes"], "u1").reshape(grid["shape"])
    for place in range(space.n_places):
        at = np.rint((space.coordinates[place] - grid["origin"]) / grid["step"]).astype(int)
        np.testing.assert_allclose(values[tuple(at)], shown[place], rtol=1e-6)
        assert (codes[tuple(at)] > 0) == np.isfinite(shown[place])
    assert np.isfinite(values).sum() == np.isfinite(shown).sum()
    peak = space.coordinates[np.nanargmax(np.abs(shown))]
    np.testing.assert_allclose(data["start"], peak)
    assert data["label"] == "similarity (Spearman ρ)"
    assert data["low"] == -data["high"]
    assert "iframe" in page._repr_html_()
    assert "MB of HTML" in repr(page)


def test_page_of_a_surface_holds_the_map():
    surface = sheet()
    values = np.linspace(-1.0, 1.0, 144)
    page = view_map(values, space=surface, label="t", where=values > 0, background=values)
    data = data_of(page)
    points = array_of(data["points"], "<f4").reshape(-1, 3)
    centred = surface.vertices - (surface.vertices.min(0) + surface.vertices.max(0)) / 2
    np.testing.assert_allclose(points, centred / np.linalg.norm(centred, axis=1).max(), atol=1e-6)
    np.testing.assert_array_equal(array_of(data["faces"], "<u4").reshape(-1, 3), surface.faces)
    shown = array_of(data["values"], "<f4")
    np.testing.assert_allclose(shown, np.where(values > 0, values, np.nan), rtol=1e-6)
    colors = array_of(data["colors"], "u1").reshape(-1, 3)
    assert (np.ptp(colors[values < 0].astype(int), axis=1) == 0).all()  # grey
    assert (np.ptp(colors[values > 0.5].astype(int), axis=1) > 0).all()
    assert "http" not in page.html


def test_names_of_users_are_text_in_a_page():
    space = space_of()
    wild = ("</script><script>alert(1)</script>", "@SCRIPT@ @TITLE@ <!--", "c")
    index = np.random.default_rng(0).integers(0, 3, space.n_places)
    best = BestModels(index, np.ones(space.n_places), None, None, wild, space)
    page = view_map(best, title="<b>@DATA@</b> & co")
    assert page.html.count("</script>") == 1
    assert "<title>&lt;b&gt;@DATA@&lt;/b&gt; &amp; co</title>" in page.html
    data = data_of(page)
    assert data["names"] == list(wild)
    assert len(data["palette"]) == len(data["scale"]) == 3


def test_peaks_are_written_as_a_table():
    table = pd.DataFrame(
        {
            "model": ["a", "b"],
            "similarity": [0.41234, -0.2],
            "n_voxels": [81, 7],
            "x": [-42.0, 3.25],
            "p": [0.00098, np.nan],
        }
    )
    ax = panels(plot_peaks(table, title="peaks"))[0]
    texts = [t.get_text() for t in ax.texts]
    assert texts == [
        "model",
        "a",
        "b",
        "similarity",
        "0.412",
        "−0.200",
        "n voxels",
        "81",
        "7",
        "x (mm)",
        "−42.0",
        "3.2",
        "p",
        "< 0.001",
        "–",
    ]
    long = panels(plot_peaks(pd.concat([table] * 20)))[0]
    assert "and 10 more" in [t.get_text() for t in long.texts]
    with pytest.raises(InputError, match="at least one peak"):
        plot_peaks(table.iloc[:0])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model": "conv9"}, "name of a model, got 'conv9'"),
        ({"model": None}, "expected `model`, one of the 3"),
        ({"threshold": -1}, "threshold to be a number above 0, got -1"),
        ({"limit": 0.0}, "limit to be a number above 0, got 0.0"),
        ({"where": np.ones(3, bool)}, r"where to be True or False for each .* shape \(3,\)"),
        ({"axis": "w"}, "axis 'w'"),
        ({"cuts": [900.0]}, "slices from 0 to 21 mm, where the brain is, got 900 mm"),
        ({"cuts": 0}, "cuts to be a whole number of at least 1, got 0"),
    ],
)
def test_wrong_input_is_named(change, message):
    space = space_of()
    found = a_map(np.random.default_rng(0).random((3, space.n_places)), space)
    with pytest.raises(InputError, match=message):
        plot_map(found, **{"model": 0, **change})


def test_wrong_arrays_and_surfaces_are_named():
    surface, values = sheet(), np.ones(144)
    with pytest.raises(InputError, match="expected `space` .* and `label` with an array"):
        plot_map(values)
    with pytest.raises(InputError, match=r"each of 144 places, got shape \(3,\)"):
        plot_map(values[:3], space=surface, label="a")
    for change, message in (
        ({"views": ["above"]}, "view 'above'"),
        ({"views": []}, "at least one view"),
        ({"hemisphere": "both"}, "hemisphere 'both'"),
        ({"mesh": sheet(5)}, "mesh of 144 vertices, those of the map, got 25"),
        ({"background": np.ones(3)}, r"each of 144 vertices, got shape \(3,\)"),
    ):
        with pytest.raises(InputError, match=message):
            plot_map(values, space=surface, label="a", **change)
    with pytest.raises(TypeError, match="mesh to be a Surface, got int"):
        plot_map(values, space=surface, label="a", mesh=3)
    with pytest.raises(InputError, match="hemisphere 'both'"):
        view_map(values, space=surface, label="a", hemisphere="both")
    best = BestModels(np.zeros(144, int), values, None, None, NAMES, surface)
    with pytest.raises(InputError, match="draw them with plot_best_models"):
        plot_map(best)
