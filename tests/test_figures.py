"""Figures: what they say, that nothing overlaps or leaves the page, and their bytes.

Numbers are made up (simulated.py); the 92 images are real.
"""

import dataclasses
import itertools

import matplotlib as mpl
import numpy as np
import pytest
from drawn import broken_rules, by_region, legend_of, overlaps, panels
from matplotlib.colors import to_hex
from matplotlib.text import Text
from PIL import Image
from simulated import simulated_result

import rsa_faces as rf
from rsa_faces import figures
from rsa_faces.figures import _style
from rsa_faces.figures.mds import _apart

mpl.use("Agg")
import matplotlib.pyplot as plt

PAGE_MM = 183


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def simulated():
    return simulated_result()


@pytest.fixture(scope="module")
def d92():
    return rf.datasets.images92()


def changed(result, **columns):
    """Return the result with columns of its table replaced."""
    return dataclasses.replace(result, table=result.table.assign(**columns))


def texts(figure):
    """Return all visible, non-empty texts of a figure."""
    return [t.get_text() for t in figure.findobj(Text) if t.get_visible() and t.get_text()]


def width_mm(figure):
    """Return the width of what is drawn."""
    figure.canvas.draw()
    return figure.get_tightbbox().width * 25.4


# Layer curves


def test_layers_have_a_panel_per_region_and_network_and_one_for_single_layers(simulated):
    ax = by_region(figures.plot_layers(simulated))
    assert ax.shape == (2, 3)
    titles = [a.get_title() for a in ax[0]]
    assert titles == ["dlib-face\n(identity)", "mini-xception\n(expression)", "one layer"]
    said = texts(ax[0, 0].figure)
    assert "FFA: 8 subjects, 24 conditions" in said
    assert "OFA: 8 subjects, 24 conditions" in said
    assert ax[0, 0].get_ylabel() == "similarity\n(Spearman ρ-a)"
    assert "layer, in order of computation" in said
    assert "same architecture, untrained" in said
    assert "differs from 0, corrected p < 0.05 (open: untrained)" in said


def test_layers_are_drawn_at_their_values_in_order(simulated):
    shuffled = dataclasses.replace(simulated, table=simulated.table.sample(frac=1, random_state=1))
    ax = by_region(figures.plot_layers(shuffled, regions=["FFA"], networks=["dlib-face"]))
    rows = simulated.table.query("region == 'FFA' and network == 'dlib-face'")
    line = next(x for x in ax[0, 0].lines if x.get_linestyle() == "-" and len(x.get_xdata()) == 6)
    np.testing.assert_array_equal(line.get_ydata(), rows["similarity"])
    np.testing.assert_array_equal(line.get_xdata(), range(6))
    assert [t.get_text() for t in ax[0, 0].get_xticklabels()] == rows["layer"].tolist()


def test_the_untrained_twin_is_dashed_in_the_same_colour(simulated):
    ax = by_region(figures.plot_layers(simulated))
    curves = {x.get_linestyle(): x for x in ax[0, 0].lines if len(x.get_xdata()) == 6}
    twin = simulated.table.query("region == 'FFA' and network == 'untrained:dlib-face'")
    np.testing.assert_array_equal(curves["--"].get_ydata(), twin["similarity"])
    assert curves["--"].get_color() == curves["-"].get_color()
    assert curves["--"].get_linewidth() < curves["-"].get_linewidth()
    assert "--" not in {x.get_linestyle() for x in ax[0, 1].lines}


def test_an_untrained_network_alone_has_its_own_panel(simulated):
    ax = by_region(figures.plot_layers(simulated, networks=["untrained:dlib-face"]))
    assert ax[0, 0].get_title() == "untrained dlib-face"


def test_marks_are_where_corrected_p_is_below_alpha_and_below_the_data(simulated):
    p = np.full(len(simulated.table), 0.9)
    rows = (simulated.table["network"] == "dlib-face") & (simulated.table["layer_index"] == 2)
    p[rows] = 0.049
    ax = by_region(figures.plot_layers(changed(simulated, p_corrected=p, p=0.0)))
    marks = [x for x in ax[0, 0].lines if x.get_linestyle() == "None" and len(x.get_xdata())]
    assert [m.get_xdata().tolist() for m in marks] == [[2.0]]
    lowest = simulated.table[["similarity", "ci_low"]].min(axis=None)
    assert marks[0].get_ydata()[0] < min(lowest, 0)
    strict = dataclasses.replace(simulated, settings={**simulated.settings, "alpha": 0.01})
    ax = by_region(figures.plot_layers(changed(strict, p_corrected=p)))
    assert not [x for x in ax[0, 0].lines if x.get_linestyle() == "None" and len(x.get_xdata())]
    assert "99 % interval" in texts(ax[0, 0].figure)


def grey_band(axes):
    """Return the limits of the ceiling's band, or None."""
    for patch in axes.patches:
        if to_hex(patch.get_facecolor()) == _style.CEILING.lower():
            return patch.get_y(), patch.get_y() + patch.get_height()
    return None


def test_the_ceiling_is_a_band_from_lower_to_upper(simulated):
    ax = by_region(figures.plot_layers(simulated))
    np.testing.assert_allclose(grey_band(ax[1, 0]), (0.35, 0.6))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reliable": False}, "FFA: 8 subjects, 24 conditions; no reliable signal"),
        ({"n_subjects": 1}, "FFA: 1 subject, 24 conditions; no ceiling: one subject"),
    ],
)
def test_without_a_ceiling_none_is_drawn_and_the_reason_is_said(options, words):
    result = simulated_result(**options)
    for ax in (by_region(figures.plot_layers(result)), panels(figures.plot_models(result))):
        assert all(grey_band(a) is None for a in ax.flat)
        said = texts(ax.flat[0].figure)
        assert "noise ceiling (lower to upper)" not in said
        assert words in said or words.replace("; ", "\n") in said


def test_similarities_below_zero_and_wide_intervals_stay_in_the_panel():
    result = simulated_result(shift=-0.6)
    result = changed(result, ci_low=-1.7, ci_high=1.9)
    ax = by_region(figures.plot_layers(result))
    low, high = ax[0, 0].get_ylim()
    assert low < -1 < 1 < high < 1.2
    band = ax[0, 0].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (-1, 1)


def test_undefined_similarities_leave_a_gap(simulated):
    similarity = simulated.table["similarity"].where(simulated.table["layer_index"] != 1)
    result = changed(simulated, similarity=similarity)
    ax = by_region(figures.plot_layers(result))
    line = next(x for x in ax[0, 0].lines if x.get_linestyle() == "-" and len(x.get_xdata()) == 6)
    assert np.isnan(line.get_ydata()).tolist() == [False, True, False, False, False, False]
    nothing = changed(simulated, similarity=np.nan, ci_low=np.nan, ci_high=np.nan, reliable=False)
    assert by_region(figures.plot_layers(nothing))[0, 0].get_ylim()[1] > 1


def test_networks_regions_and_subset_can_be_chosen(simulated):
    other = simulated_result(subset="faces", n_conditions=12)
    both = rf.Result.concat([simulated, other])
    ax = by_region(
        figures.plot_layers(both, subset="faces", regions=["OFA"], networks=["pixels", "dlib-face"])
    )
    assert ax.shape == (1, 2)
    assert "OFA: 8 subjects, 12 conditions" in texts(ax[0, 0].figure)
    assert [t.get_text() for t in ax[0, 1].get_xticklabels()] == ["pixels"]
    with pytest.raises(rf.InputError, match="unknown subset 'face'. Did you mean 'faces'"):
        figures.plot_layers(both, subset="face")
    with pytest.raises(rf.InputError, match="unknown network 'dlib'"):
        figures.plot_layers(both, networks=["dlib"])
    with pytest.raises(rf.InputError, match="unknown region 'FFB'. Did you mean 'FFA'"):
        figures.plot_layers(both, regions=["FFB"])


def test_layers_are_drawn_in_given_axes(simulated):
    figure, given = plt.subplots(2, 3)
    ax = by_region(figures.plot_layers(simulated, ax=given))
    assert ax.shape == (2, 3)
    assert ax[1, 2] is given[1, 2]
    assert not figure.legends
    with pytest.raises(rf.InputError, match=r"expected 6 axes, shape \(2, 3\), got 4"):
        figures.plot_layers(simulated, ax=given[:, :2])


def test_model_names_are_all_shown_and_layer_names_thinned():
    networks = {"net": 100} | {f"model {i}": 1 for i in range(9)}
    ax = by_region(figures.plot_layers(simulated_result(networks)))
    assert len(ax[1, 1].get_xticks()) == 9
    layers = [t.get_text() for t in ax[1, 0].get_xticklabels()]
    assert 20 <= len(layers) < 100
    assert layers[-1] == "block99.conv"
    assert len(ax[1, 0].get_xticks(minor=True)) + len(layers) == 100


CASES = {
    "one network": {"networks": {"dlib-face": 6}},
    "one model": {"networks": {"animacy": 1}, "regions": [""]},
    "many networks": {
        "networks": {f"timm:resnet50_variant{i}.a1_in1k": 25 for i in range(8)},
        "regions": ["FFA"],
        "layer_name": "layer4.{}.conv3.downsample.normalisation",
    },
    "one subject": {"n_subjects": 1, "regions": ["a region with quite a long name"]},
    "no signal": {"reliable": False, "shift": -0.4},
    "twins and models": {
        "networks": {"dlib-face": 18, "untrained:dlib-face": 18, "gabor-v1": 3}
        | {f"a model of name {i}": 1 for i in range(7)}
    },
}


@pytest.mark.parametrize("case", CASES)
def test_texts_of_layer_figures_do_not_overlap_and_fit_the_page(case):
    figure = figures.plot_layers(simulated_result(**CASES[case]))
    assert overlaps(figure) == []
    assert width_mm(figure) <= PAGE_MM + 0.5


def test_many_networks_go_below_each_other():
    ax = by_region(figures.plot_layers(simulated_result(**CASES["many networks"])))
    assert ax.shape == (1, 8)
    tops = {round(a.get_position().y1, 4) for a in ax[0]}
    assert len(tops) == 2
    first = [a for a in ax[0] if a.get_ylabel()]
    assert len(first) == 2
    widths = [a.get_position().width for a in ax.flat]
    np.testing.assert_allclose(widths, widths[0])


# Models


def test_models_are_sorted_and_show_last_layers(simulated):
    left, right = panels(figures.plot_models(simulated, region="OFA"))
    last = figures.last_layers(simulated.table).query("region == 'OFA'").sort_values("similarity")
    shown = [t.get_text() for t in left.get_yticklabels()]
    assert len(shown) == 4
    assert "dlib-face block5.conv   " in "".join(shown)
    assert any(s.startswith("untrained dlib-face block5.conv") for s in shown)
    assert any(s.startswith("pixels   ") for s in shown)
    points = [x.get_xdata()[0] for x in left.lines if x.get_label().startswith("mean")]
    np.testing.assert_array_equal(points, last["similarity"])
    assert left.get_title(loc="left") == "OFA: 8 subjects, 24 conditions"
    assert left.get_xlabel() == "similarity (Spearman ρ-a)"
    assert right.get_title(loc="left") == "pairs that differ, corrected p < 0.05"


def test_models_show_every_subject_ceiling_and_stars(simulated):
    left, _ = panels(figures.plot_models(simulated))
    dots = [x for x in left.lines if x.get_label() == "one subject"]
    assert [len(d.get_xdata()) for d in dots] == [8] * 4
    band = left.patches[0]
    np.testing.assert_allclose((band.get_x(), band.get_x() + band.get_width()), (0.35, 0.6))
    last = figures.last_layers(simulated.table).query("region == 'FFA'")
    (stars,) = (x for x in left.lines if x.get_label().startswith("differs from 0"))
    last = last.sort_values("similarity")
    np.testing.assert_array_equal(stars.get_ydata(), np.flatnonzero(last["p_corrected"] < 0.05))


def test_pairs_are_coloured_by_sign_and_corrected_p(simulated):
    left, right = panels(figures.plot_models(simulated))
    image = np.asarray(right.images[0].get_array().filled(np.nan))
    rows = figures.last_layers(simulated.table).query("region == 'FFA'").sort_values("similarity")
    similarity = rows["similarity"].to_numpy()
    difference = similarity[:, None] - similarity
    expected = np.where(np.abs(difference) > 0.2, np.sign(difference), 0.0)
    np.fill_diagonal(expected, np.nan)
    assert (expected == 1).any()
    np.testing.assert_array_equal(image, expected)
    assert {t.get_rotation() for t in right.get_xticklabels()} == {0.0}  # few numbers stand


def test_chosen_rows_are_drawn(simulated):
    rows = simulated.table[simulated.table["layer_index"] == 0]
    left, _ = panels(figures.plot_models(simulated, rows=rows))
    assert len(left.get_yticks()) == 4
    assert any("block0.conv" in t.get_text() for t in left.get_yticklabels())


def test_the_most_a_model_with_ties_can_reach_is_marked(simulated):
    left, _ = panels(figures.plot_models(simulated))
    assert not [x for x in left.lines if x.get_label().startswith("most")]
    left, _ = panels(figures.plot_models(changed(simulated, max_similarity=0.7)))
    (most,) = [x for x in left.lines if x.get_label().startswith("most")]
    np.testing.assert_array_equal(most.get_xdata(), [0.7] * 4)


def test_undefined_models_are_counted_not_drawn(simulated):
    similarity = simulated.table["similarity"].where(simulated.table["network"] != "pixels")
    left, _ = panels(figures.plot_models(changed(simulated, similarity=similarity)))
    assert left.get_title(loc="left").endswith("\n1 model undefined")
    assert len(left.get_yticks()) == 3


def test_models_refuse_none_and_too_many(simulated):
    with pytest.raises(rf.InputError, match="expected 1 to 30 models to draw, got 0"):
        figures.plot_models(changed(simulated, similarity=np.nan))
    many = simulated_result({f"m{i}": 1 for i in range(31)})
    with pytest.raises(rf.InputError, match="got 31"):
        figures.plot_models(many)
    with pytest.raises(rf.InputError, match="unknown region 'V1'"):
        figures.plot_models(simulated, region="V1")
    with pytest.raises(rf.InputError, match="unknown subset 'faces'"):
        figures.plot_models(simulated, subset="faces")
    _, given = plt.subplots()
    with pytest.raises(rf.InputError, match="expected 2 axes"):
        figures.plot_models(simulated, ax=given)


def test_models_are_drawn_in_given_axes(simulated):
    figure, given = plt.subplots(1, 2)
    assert panels(figures.plot_models(simulated, ax=given))[1] is given[1]
    assert not figure.legends


@pytest.mark.parametrize("n_models", [2, 30])
def test_texts_of_model_figures_do_not_overlap_and_fit_the_page(n_models):
    networks = {f"timm:resnet50_variant{i}": 2 for i in range(n_models)}
    result = simulated_result(networks, reliable=False)
    similarity = result.table["similarity"].copy()
    similarity[1] = np.nan
    figure = figures.plot_models(changed(result, similarity=similarity))
    assert overlaps(figure) == []
    assert width_mm(figure) <= PAGE_MM + 0.5


# RDMs


@pytest.fixture
def rdms():
    vectors = [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [3.0, 3.0, 3.0, 9.0, np.nan, 9.0]]
    labels = {"network": ["n", "n"], "layer": ["conv", "fc"], "depth": [0.0, 1.0]}
    return rf.RDMs(vectors, ["a", "b", "c", "d"], "euclidean", labels)


def test_ranked_rdms_show_percentiles_and_say_so(rdms):
    ax = panels(figures.plot_rdms(rdms))
    assert [a.get_title() for a in ax] == ["conv", "fc"]
    image = np.ma.filled(ax[1].images[0].get_array(), np.nan)
    assert np.isnan(np.diag(image)).all()
    np.testing.assert_allclose(image[0, 1:], 30)  # three ties among five measured pairs
    assert np.isnan(image[1, 3])
    np.testing.assert_allclose(image[2, 3], 80)
    assert "dissimilarity\n(percentile in each RDM)\nof 4 conditions" in texts(ax[0].figure)


def test_raw_rdms_have_a_colour_bar_each(rdms):
    ax = panels(figures.plot_rdms(rdms, ranked=False, titles=["one", "two"]))
    np.testing.assert_array_equal(ax[0].images[0].get_array()[0, 1:], [1, 2, 3])
    assert texts(ax[0].figure).count("dissimilarity, 4 conditions") == 2


def test_conditions_are_sorted_by_group_and_groups_named(rdms):
    ax = panels(figures.plot_rdms(rdms[0], groups=["x", "y", "x", "y"], ranked=False))
    image = np.ma.filled(ax[0].images[0].get_array(), np.nan)
    expected = rdms.align(["a", "c", "b", "d"]).matrices()[0]
    np.fill_diagonal(expected, np.nan)
    np.testing.assert_array_equal(image, expected)
    assert [t.get_text() for t in ax[0].get_yticklabels()] == ["x", "y"]
    np.testing.assert_array_equal(ax[0].get_yticks(), [0.5, 2.5])
    assert [x.get_ydata()[0] for x in ax[0].lines[::2]] == [1.5]


def test_groups_too_small_to_name_are_not_named(d92):
    ax = panels(figures.plot_rdms(d92.models[:2], groups=range(92)))
    assert len(ax[0].get_yticks()) == 0
    assert not ax[0].lines


def test_rdms_without_labels_and_wrong_numbers(rdms):
    plain = rf.RDMs(rdms.vectors, rdms.conditions, "euclidean")
    assert [a.get_title() for a in panels(figures.plot_rdms(plain))] == ["", ""]
    with pytest.raises(rf.InputError, match="expected 2 titles, one per RDM, got 1"):
        figures.plot_rdms(rdms, titles=["one"])
    with pytest.raises(rf.InputError, match="expected 4 groups, one per condition, got 3"):
        figures.plot_rdms(rdms, groups=["x", "y", "x"])
    _, given = plt.subplots(1, 3)
    with pytest.raises(rf.InputError, match="expected 2 axes"):
        figures.plot_rdms(rdms, ax=given)


@pytest.mark.parametrize("ranked", [True, False])
def test_texts_of_a_gallery_do_not_overlap_and_fit_the_page(d92, ranked):
    titles = [f"untrained face-api-expression-{i}\nclassifier" for i in range(8)]
    ax = panels(
        figures.plot_rdms(
            d92.models,
            titles=titles,
            groups=d92.stimuli.metadata["category"],
            ranked=ranked,
            n_columns=5,
        )
    )
    assert overlaps(ax[0].figure) == []
    assert width_mm(ax[0].figure) <= PAGE_MM + 0.5


def test_text_keeps_the_font_it_was_measured_with(monkeypatch, d92, simulated):
    # Another than the reader's default, as on most machines.
    monkeypatch.setattr(_style, "_fonts", lambda: ["DejaVu Sans Mono"])
    for ax in (
        panels(figures.plot_rdms(d92.models[:2]))[0],
        by_region(figures.plot_layers(simulated)),
    ):
        figure = ax.figure if hasattr(ax, "figure") else np.ravel(ax)[0].figure
        figure.canvas.draw()
        fonts = {t.get_fontname() for t in figure.findobj(Text) if t.get_text()}
        assert fonts == {"DejaVu Sans Mono"}


# Maps


def test_a_map_follows_distances_in_the_plane():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(6, 2))
    pixels = rng.integers(0, 255, (6, 20, 10, 3), dtype=np.uint8)
    names = [f"c{i}" for i in range(6)]
    stimuli = rf.StimulusSet.from_arrays(pixels, names, {"kind": list("aabbcc")})
    rdm = rf.compute_rdms(points, conditions=names, measure="euclidean")
    ax = panels(figures.plot_mds(rdm, stimuli, color="kind", title="plane"))[0]
    assert ax.get_title(loc="left").startswith("plane: multidimensional scaling of 6 conditions")
    assert ax.get_title(loc="left").endswith("stress-1 = 0.00 (0: exact)")
    extents = np.array([i.get_extent() for i in ax.images])
    centres = np.stack([extents[:, :2].mean(1), extents[:, 2:].mean(1)], axis=1)
    row, col = np.triu_indices(6, k=1)
    drawn = np.linalg.norm(centres[row] - centres[col], axis=1)
    assert np.corrcoef(drawn, rdm.vectors[0])[0, 1] > 0.99
    wide, high = (np.diff(e[:2])[0] for e in extents), (np.diff(e[2:])[0] for e in extents)
    np.testing.assert_allclose([h / w for w, h in zip(wide, high, strict=True)], 2.0)
    frames = [to_hex(p.get_edgecolor()) for p in ax.patches]
    assert frames == [c.lower() for c in np.repeat(_style.COLORS[:3], 2)]
    assert ax.get_legend().get_title().get_text() == "kind"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b", "c"]


def test_thumbnails_of_92_images_do_not_cover_each_other(d92):
    mean = d92.rdms.sel(region="behaviour").mean()
    ax = panels(figures.plot_mds(mean, d92.stimuli, color="category"))[0]
    extents = np.array([i.get_extent() for i in ax.images])
    assert len(extents) == 92
    wide = np.minimum(extents[:, None, 1], extents[None, :, 1]) - np.maximum(
        extents[:, None, 0], extents[None, :, 0]
    )
    high = np.minimum(extents[:, None, 3], extents[None, :, 3]) - np.maximum(
        extents[:, None, 2], extents[None, :, 2]
    )
    covered = np.where((wide > 0) & (high > 0), wide * high, 0.0)
    np.fill_diagonal(covered, 0.0)
    assert covered.max() < 0.01 * np.ptp(extents[0, :2]) ** 2
    inches = ax.images[0].get_window_extent().width / ax.figure.dpi
    assert inches * 25.4 > 6  # readable
    assert width_mm(ax.figure) <= PAGE_MM + 0.5
    assert ax.lines  # places that thumbnails left


def test_squares_at_one_place_are_moved_apart():
    places = _apart(np.zeros((4, 2)), 1.0)
    offset = np.abs(places[:, None] - places[None]).max(axis=-1)
    assert offset[np.triu_indices(4, k=1)].min() > 0.97
    far = np.array([[0.0, 0.0], [5.0, 5.0]])
    np.testing.assert_array_equal(_apart(far, 1.0), far)


def test_a_map_is_the_same_each_time_and_differs_by_seed(d92):
    rdm = d92.rdms.sel(region="monkey IT").subset(d92.stimuli.ids[:12])
    one, again, other = (
        [i.get_extent() for i in panels(figures.plot_mds(rdm, d92.stimuli, seed=s))[0].images]
        for s in (0, 0, 1)
    )
    assert one == again
    assert one != other


def test_a_map_refuses_what_it_cannot_draw(d92, rdms):
    one = d92.rdms.sel(region="monkey IT")
    with pytest.raises(rf.InputError, match="expected one RDM to map, got 8"):
        figures.plot_mds(d92.rdms.sel(region="human IT"), d92.stimuli)
    with pytest.raises(rf.InputError, match="every pair measured in the RDM, but 1 are missing"):
        figures.plot_mds(rdms[1], d92.stimuli)
    with pytest.raises(rf.ConditionMismatchError, match="'a'"):
        figures.plot_mds(rdms[0], d92.stimuli)
    with pytest.raises(rf.InputError, match="unknown column of the stimulus table 'categor'"):
        figures.plot_mds(one, d92.stimuli, color="categor")


# Files and style


@pytest.fixture(params=["layers", "models", "rdms", "mds"])
def draw(request, simulated, d92):
    mean = d92.rdms.sel(region="monkey IT").subset(d92.stimuli.ids[:8])
    return {
        "layers": lambda: figures.plot_layers(simulated),
        "models": lambda: figures.plot_models(simulated),
        "rdms": lambda: figures.plot_rdms(d92.models[:2]),
        "mds": lambda: figures.plot_mds(mean, d92.stimuli, color="face"),
    }[request.param]


def test_the_same_figure_gives_the_same_bytes(draw, tmp_path):
    paths = figures.save_figure(draw(), tmp_path / "a" / "figure.v1")
    again = figures.save_figure(draw(), tmp_path / "b" / "figure.v1")
    assert [p.name for p in paths] == ["figure.v1.svg", "figure.v1.png", "figure.v1.pdf"]
    for one, other in zip(paths, again, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.suffix
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(p.name for p in paths)


def test_files_have_text_as_text_no_date_and_300_dpi(simulated, tmp_path):
    svg, png, pdf = figures.save_figure(figures.plot_models(simulated), tmp_path / "f")
    text = svg.read_text(encoding="utf-8")
    assert "FFA: 8 subjects, 24 conditions" in text
    assert "<dc:date>" not in text
    content = pdf.read_bytes()
    assert b"/CreationDate" not in content
    assert b"/Type3" not in content
    with Image.open(png) as image:
        assert round(image.info["dpi"][0]) == 300
        assert image.width / 300 * 25.4 <= PAGE_MM + 1


def test_a_failed_save_leaves_the_old_file(simulated, tmp_path, monkeypatch):
    figure = figures.plot_models(simulated)
    (tmp_path / "f.svg").write_text("old")
    monkeypatch.setattr(figure, "savefig", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        figures.save_figure(figure, tmp_path / "f")
    assert [p.name for p in tmp_path.iterdir()] == ["f.svg"]
    assert (tmp_path / "f.svg").read_text() == "old"


def test_the_users_settings_are_left_alone(draw):
    with mpl.rc_context({"font.size": 23}):
        before = dict(mpl.rcParams)
        draw()
        assert dict(mpl.rcParams) == before


def test_names_with_dollar_signs_are_text(simulated, tmp_path):
    names = simulated.table["network"].replace("pixels", "$x$")
    ax = by_region(figures.plot_layers(changed(simulated, network=names)))
    svg = figures.save_figure(ax[0, 0].figure, tmp_path / "f")[0]
    assert ">$x$<" in svg.read_text(encoding="utf-8")


def test_every_method_has_a_name_for_the_axis():
    from rsa_faces.comparison import METHODS

    assert len({_style.method_symbol(name) for name in METHODS}) == len(METHODS)
    assert _style.method_symbol("partial-spearman") == "partial Spearman ρ"
    assert _style.method_symbol("my_own") == "my_own"


def test_names_are_broken_after_separators_and_shortened_in_the_middle():
    with _style.style():
        lines = _style.wrapped("timm:resnet50_variant10.a1_in1k\n(objects)", 0.8, 7).split("\n")
        assert "".join(lines) == "timm:resnet50_variant10.a1_in1k(objects)"
        assert max(_style.text_width(line, 7) for line in lines) <= 0.8
        assert lines[-1] == "(objects)"
        assert _style.wrapped("short", 5, 7) == "short"
    assert _style.shortened("abcdefghij", 10) == "abcdefghij"
    assert _style.shortened("abcdefghijk", 10) == "abcde…hijk"
    assert len(_style.shortened("x" * 50, 24)) == 24


def _evaluated(names, layer_index):
    """Return an evaluation of bundled model RDMs under other names."""
    d92 = rf.datasets.images92()
    models = d92.models[: len(names)]
    labels = {"network": names, "layer": [""] * len(names), "layer_index": layer_index}
    models = rf.RDMs(models.vectors, models.conditions, models.measure, labels)
    return rf.evaluate(models, d92.rdms.sel(region="behaviour"), n_boot=20)


def test_models_without_layer_index_are_drawn():
    left, _ = panels(figures.plot_models(_evaluated(["a", "b"], [np.nan, np.nan])))
    assert len(left.get_yticklabels()) == 2


def test_every_model_of_one_layer_has_its_name_however_narrow():
    names = [f"model {i}" for i in range(8)]
    _, own = plt.subplots(figsize=(0.6, 2), squeeze=False)
    (axes,) = by_region(figures.plot_layers(_evaluated(names, [0] * 8), ax=own)).flat
    assert [t.get_text() for t in axes.get_xticklabels()] == names


# Heat map -----------------------------------------------------------------------------------------


def test_a_heatmap_of_one_row_keeps_its_label_on_the_page():
    layers = ["one", "two", "three"]
    names = {"network": "simulated", "layer": layers, "layer_index": range(3)}
    rng = np.random.default_rng(0)
    models = rf.RDMs(rng.random((3, 66)), list("abcdefghijkl"), "simulated", names)
    data = rf.RDMs(rng.random((6, 66)), list("abcdefghijkl"), "simulated", {"subject": [*"abcdef"]})
    result = rf.evaluate(models, data, uncertainty="analytic")
    assert broken_rules(figures.plot_heatmap(result)) == []


def test_heatmap_holds_the_similarities_ceilings_and_tests():
    result = simulated_result(networks={"dlib-face": 6, "pixels": 1, "gender": 1}, shift=0.4)
    axes = panels(figures.plot_heatmap(result, regions=["OFA", "FFA"])).reshape(-1, 2)
    assert axes.shape == (2, 2)
    table = result.table.set_index(["region", "network", "layer"])
    drawn = np.asarray(axes[0, 0].images[0].get_array())
    layers = [t.get_text() for t in axes[0, 0].get_xticklabels()]
    n = dict(zip(result.table["region"], result.table["n_subjects"], strict=True))
    shown = [f"OFA (n = {n['OFA']})", f"FFA (n = {n['FFA']})"]
    assert all([t.get_text() for t in row[0].get_yticklabels()] == shown for row in axes)
    for i, region in enumerate(["OFA", "FFA"]):
        for j, layer in enumerate(layers):
            row = table.loc[region, "dlib-face", layer]
            assert drawn[i, j] == pytest.approx(row["similarity"])
    assert [t.get_text() for t in axes[1, 0].get_xticklabels()] == ["pixels", "gender"]
    dots = np.concatenate([np.c_[line.get_data()] for line in axes[0, 0].lines])
    found = result.table.query("network == 'dlib-face' and p_corrected < 0.05")
    assert len(dots) == len(found) > 0
    bar = axes[0, 1].patches[0]
    assert (bar.get_x(), bar.get_x() + bar.get_width()) == pytest.approx((0.35, 0.6))
    highest = axes[0, 1].lines[0].get_xdata()[0]
    assert highest == pytest.approx(drawn[0].max())
    # Around 0, with values below it and without: the same colour is the same similarity.
    assert axes[0, 0].images[0].norm.vmin == -axes[0, 0].images[0].norm.vmax
    signed = panels(figures.plot_heatmap(simulated_result(reliable=False))).reshape(-1, 2)
    norm = signed[0, 0].images[0].norm
    assert norm.vmin == -norm.vmax
    assert not signed[0, 1].patches  # no ceiling without a reliable signal
    with pytest.raises(rf.InputError, match="Did you mean 'FFA'"):
        figures.plot_heatmap(result, regions=["FFB"])


# Rules of all figures


def test_every_figure_function_returns_a_figure(simulated, d92):
    public = {name: getattr(figures, name) for name in figures.__all__ if name.startswith("plot_")}
    assert len(public) >= 38
    for name, function in public.items():
        assert function.__annotations__["return"] == "Figure", name
    given = plt.subplots(2, 3)[1]
    assert figures.plot_layers(simulated, ax=given) is given[0, 0].figure


BIG = {f"net{i}": 17 for i in range(10)} | {"pixels": 1}


@pytest.mark.parametrize(
    ("draw", "case"),
    [
        *itertools.product(
            ["plot_layers", "plot_heatmap", "plot_models"], ["usual", "one subject", "no ceiling"]
        ),
        ("plot_heatmap", "many"),
        ("plot_heatmap", "many regions"),
    ],
)
def test_figures_of_results_keep_the_rules(draw, case):
    result = simulated_result(
        **{
            "usual": {},
            "one subject": {"n_subjects": 1},
            "no ceiling": {"reliable": False, "networks": {"sface": 9, "animacy": 1}},
            "many": {"networks": BIG, "regions": ("FFA", "OFA", "STS")},
            "many regions": {"regions": tuple(f"region {i}" for i in range(12))},
        }[case]
    )
    assert broken_rules(getattr(figures, draw)(result)) == []


def test_figures_of_rdms_keep_the_rules(d92):
    groups = d92.stimuli.metadata["category"]
    few = d92.rdms.sel(region="monkey IT").subset(d92.stimuli.ids[:12])
    assert broken_rules(figures.plot_rdms(d92.models[:4], groups=groups)) == []
    assert broken_rules(figures.plot_rdms(d92.models[:2], ranked=False)) == []
    assert broken_rules(figures.plot_mds(few, d92.stimuli, color="category", title="IT")) == []


def test_broken_rules_are_found():
    figure, ax = plt.subplots(figsize=(3, 2))
    ax.plot([0, 1], label="a curve")
    ax.legend(handles=[ax.plot([], [], "s", label="squares")[0]])
    ax.text(0.5, 0.5, "tiny", fontsize=3)
    ax.text(1.5, 0.5, "far out", fontsize=7)
    found = "; ".join(broken_rules(figure))
    assert "no n in" in found
    assert "cut off: 'far out'" in found
    assert "too small: 'tiny'" in found
    assert "not in the figure: 'squares'" in found
    assert "no unit on the x axis" in found
    assert "no unit on the y axis" in found


def test_a_network_has_one_colour_in_every_figure(simulated):
    names = ["dlib-face", "mini-xception"]
    colors = figures.network_colors([*names, "untrained:dlib-face"])
    assert colors["untrained:dlib-face"] == colors["dlib-face"]
    curves = by_region(figures.plot_layers(simulated))
    for column, name in enumerate(names):
        assert {x.get_color() for x in curves[0, column].lines if x.get_linestyle() == "-"} == {
            colors[name],
            "black",
        }
    # Whatever else is drawn, and in whatever order.
    alone = by_region(figures.plot_layers(simulated, networks=["mini-xception", "pixels"]))
    assert alone[0, 0].lines[1].get_color() == colors["mini-xception"]
    left, _ = panels(figures.plot_models(simulated))
    points = [x for x in left.lines if x.get_label().startswith("mean")]
    shown = {
        label.get_text().split()[-2]: x.get_color()
        for label, x in zip(left.get_yticklabels(), points, strict=True)
    }
    assert colors["mini-xception"] in shown.values()
    assert [x.get_color() for x in points].count(colors["dlib-face"]) == 2
    assert [x.get_markerfacecolor() for x in points].count("white") == 1  # the untrained one


def test_colours_of_a_study_differ_and_stay():
    names = [f"net {i}" for i in range(16)]
    all_colors = figures.network_colors(names)
    assert len(set(all_colors.values())) == 16
    assert figures.network_colors(names[::-1]) == all_colors
    with figures.palette(names):
        for name in names:
            assert figures.network_colors([name])[name] == all_colors[name]
        assert figures.network_colors(["net 3", "dlib-face"])["net 3"] == all_colors["net 3"]


def test_untrained_networks_have_intervals_and_subjects_are_dots_on_request(simulated):
    axes = by_region(figures.plot_layers(simulated))[0, 0]
    assert len(axes.collections) == 2
    assert "95 % interval, untrained" in legend_of(axes.figure)
    assert "one subject" not in legend_of(axes.figure)
    figure = figures.plot_layers(simulated, subjects=True)
    assert "one subject" in legend_of(figure)
    dots = [x for x in by_region(figure)[0, 0].lines if x.get_markersize() == 1.2]
    assert [len(x.get_xdata()) for x in dots] == [8 * 6]
    assert "one subject" not in legend_of(figures.plot_models(simulated, subjects=False))


def test_a_legend_names_only_what_is_drawn(simulated):
    nothing = changed(simulated, p_corrected=0.9)
    for draw in (figures.plot_layers, figures.plot_models, figures.plot_heatmap):
        assert any("differs from 0" in text for text in legend_of(draw(simulated)))
        assert not any("differs from 0" in text for text in legend_of(draw(nothing)))
