"""Figures, on simulated results: what is drawn, named and refused."""

import dataclasses

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

import rsa_faces as rf
from rsa_faces import figures
from rsa_faces._errors import ConditionMismatchError, InputError
from rsa_faces.figures._style import CEILING, COLORS, PAGE, shortened, wrapped
from rsa_faces.inference import Result
from rsa_faces.inference._result import CEILINGS, PAIRS, SUBJECTS, TABLE


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def simulate(*, networks=("net", "untrained:net"), n_layers=4, models=("animacy", "pixels"),
             regions=("IT",), n_subjects=6, reliable=True, shift=0.0, subset="all"):  # fmt: skip
    """Return a simulated result; no statistics, only tables."""
    rng = np.random.default_rng(0)
    rows = [(n, f"layer{i}", i) for n in networks for i in range(n_layers)]
    rows += [(m, "", np.nan) for m in models]
    low, high = (0.4, 0.6) if n_subjects > 1 else (np.nan, np.nan)
    reliable = reliable if n_subjects > 1 else None
    common = {"subset": subset, "n_subjects": n_subjects, "n_conditions": 30}
    ceiling = {"method": "rho-a", "ceiling_low": low, "ceiling_high": high, "reliable": reliable}
    table, pairs, subjects = [], [], []
    for region in regions:
        for i, (network, layer, index) in enumerate(rows):
            s = shift + rng.uniform(0, 0.3)
            table.append(
                {
                    **common, **ceiling, "region": region, "network": network, "layer": layer,
                    "layer_index": index, "similarity": s, "ci_low": s - 0.1, "ci_high": s + 0.1,
                    "p_corrected": 0.01 if i % 2 == 0 else 0.5, "max_similarity": 1.0,
                }
            )  # fmt: skip
            subjects += [
                {"subset": subset, "region": region, "network": network, "layer": layer,
                 "subject": str(k), "similarity": s} for k in range(n_subjects)
            ]  # fmt: skip
            for other, other_layer, _ in rows[i + 1 :]:
                pairs.append(
                    {**common, "region": region, "network_a": network, "layer_a": layer,
                     "network_b": other, "layer_b": other_layer, "difference": 0.1,
                     "p_corrected": 0.01 if i % 2 == 0 else 0.5}
                )  # fmt: skip
    ceilings = [{**common, **ceiling, "region": region} for region in regions]
    frames = zip((table, pairs, subjects, ceilings), (TABLE, PAIRS, SUBJECTS, CEILINGS),
                 strict=True)  # fmt: skip
    return Result(*(pd.DataFrame(f, columns=list(c)) for f, c in frames), {"alpha": 0.05}, ())


def texts(figure):
    """Return all that is written in a figure."""
    return "\n".join(t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_visible())


def has_ceiling(axes):
    return CEILING.lower() in {to_hex(p.get_facecolor()) for p in axes.patches}


def line_of(axes, style):
    (line,) = [x for x in axes.lines if x.get_linestyle() == style and len(x.get_xdata()) == 4]
    return line


# Layer curves


def test_a_row_per_region_and_a_column_per_network_with_what_has_one_layer_last():
    result = simulate(networks=("a", "b", "untrained:a"), regions=("IT", "behaviour"))
    ax = figures.plot_layers(result)
    assert ax.shape == (2, 3)
    assert [t.get_text() for t in ax[-1, 2].get_xticklabels()] == ["animacy", "pixels"]
    assert ax[0, 0].get_title() == "a"
    limits = {a.get_ylim() for a in ax.flat}
    assert len(limits) == 1
    written = texts(ax[0, 0].figure)
    assert "IT: 6 subjects, 30 conditions" in written
    assert "behaviour: 6 subjects, 30 conditions" in written
    assert ax[0, 0].get_ylabel() == "similarity\n(Spearman ρ-a)"


def test_curves_are_the_similarities_in_order_of_computation_and_the_twin_is_dashed():
    result = simulate(models=())
    shuffled = dataclasses.replace(result, table=result.table.sample(frac=1, random_state=0))
    axes = figures.plot_layers(shuffled)[0, 0]
    table = result.table.set_index("network")
    for name, style in (("net", "-"), ("untrained:net", "--")):
        line = line_of(axes, style)
        np.testing.assert_array_equal(line.get_ydata(), table.loc[name, "similarity"])
        np.testing.assert_array_equal(line.get_xdata(), range(4))
        assert line.get_color() == COLORS[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == [f"layer{i}" for i in range(4)]


def test_an_untrained_network_without_its_twin_has_its_own_panel():
    ax = figures.plot_layers(simulate(networks=("untrained:net",), models=()))
    assert ax.shape == (1, 1)
    assert "untrained" in ax[0, 0].get_title()


def test_marks_are_the_layers_that_differ_from_zero():
    axes = figures.plot_layers(simulate(models=()))[0, 0]
    lowest = [x for x in axes.lines if x.get_linestyle() == "None"]
    assert [list(x.get_xdata()) for x in lowest] == [[0, 2], [0, 2]]
    filled = {x.get_markerfacecolor() for x in lowest}
    assert filled == {"white", COLORS[0]}
    data = [y for x in axes.lines if x not in lowest for y in x.get_ydata()]
    assert all(max(x.get_ydata()) < min(data) for x in lowest)
    assert all(min(x.get_ydata()) > axes.get_ylim()[0] for x in lowest)


def test_the_interval_is_the_band():
    result = simulate(models=())
    axes = figures.plot_layers(result)[0, 0]
    (band,) = axes.collections
    rows = result.table[result.table["network"] == "net"]
    ys = band.get_paths()[0].vertices[:, 1]
    assert ys.min() == pytest.approx(rows["ci_low"].min())
    assert ys.max() == pytest.approx(rows["ci_high"].max())


@pytest.mark.parametrize(
    ("options", "shown", "words"),
    [
        ({}, True, "6 subjects"),
        ({"reliable": False}, False, "no reliable signal"),
        ({"n_subjects": 1}, False, "no ceiling: one subject"),
    ],
)
def test_a_ceiling_is_drawn_only_where_there_is_one(options, shown, words):
    result = simulate(**options)
    for axes in (figures.plot_layers(result)[0, 0], figures.plot_models(result)[0]):
        assert has_ceiling(axes) == shown
        assert words in texts(axes.figure)


def test_negative_similarities_and_wide_intervals_stay_in_the_panel():
    result = simulate(shift=-0.9, models=())
    table = result.table.assign(ci_low=-2.5, ci_high=2.5)
    axes = figures.plot_layers(dataclasses.replace(result, table=table))[0, 0]
    low, high = axes.get_ylim()
    assert low < table["similarity"].min()
    assert low > -1.5
    assert high < 1.5


def test_undefined_similarities_leave_a_gap():
    result = simulate(models=())
    table = result.table.copy()
    table.loc[1, ["similarity", "ci_low", "ci_high", "p_corrected"]] = np.nan
    axes = figures.plot_layers(dataclasses.replace(result, table=table))[0, 0]
    assert np.isnan(line_of(axes, "-").get_ydata()[1])


def test_networks_regions_and_subset_are_chosen():
    result = Result.concat([
        simulate(networks=("a", "b"), regions=("IT", "V1")),
        simulate(networks=("a", "b"), regions=("IT", "V1"), subset="faces", n_subjects=3),
    ])  # fmt: skip
    ax = figures.plot_layers(result, subset="faces", networks=["b"], regions=["V1"])
    assert ax.shape == (1, 1)
    assert ax[0, 0].get_title() == "b"
    assert "V1: 3 subjects" in texts(ax[0, 0].figure)
    assert "IT" not in texts(ax[0, 0].figure)


def test_axes_of_the_user_are_used():
    _, own = plt.subplots(1, 2, squeeze=False)
    ax = figures.plot_layers(simulate(), ax=own)
    assert ax[0, 0] is own[0, 0]
    assert len(own[0, 0].lines) > 2


@pytest.mark.parametrize("what", ["subset", "region", "network"])
def test_unknown_names_are_refused_with_the_nearest(what):
    options = {"subset": "al", "regions": ["ITT"], "networks": ["nett"]}
    key = {"subset": "subset", "region": "regions", "network": "networks"}[what]
    nearest = {"subset": "all", "region": "IT", "network": "net"}[what]
    with pytest.raises(InputError, match=f"{what}.*{nearest}"):
        figures.plot_layers(simulate(), **{key: options[key]})


def test_many_networks_stay_on_the_page_and_every_model_has_its_name():
    models = [f"model {i} with a long name" for i in range(4)]
    networks = [f"a-network-with-a-long-name-{i}" for i in range(11)]
    result = simulate(networks=networks, n_layers=20, models=models)
    ax = figures.plot_layers(result)
    figure = ax[0, 0].figure
    assert figure.get_figwidth() <= PAGE + 1e-9
    assert len(ax[0, -1].get_xticklabels()) == len(models)
    figure.canvas.draw()
    boxes = [a.get_position() for a in ax.flat]
    for i, one in enumerate(boxes):
        assert one.x1 <= 1.001
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])
    for axes in ax.flat:
        shown = [t for t in axes.get_xticklabels() if t.get_text()]
        ends = sorted(t.get_window_extent().x0 for t in shown)
        # 5 pt letters at 100 dpi are 6.9 px high; labels stand on end.
        assert (np.diff(ends) > 5.5).all()


# Model comparison


def test_models_are_sorted_and_the_last_layer_stands_for_a_network():
    result = simulate()
    left, _ = figures.plot_models(result)
    names = [t.get_text().rsplit(maxsplit=1)[0].strip() for t in left.get_yticklabels()]
    assert sorted(names) == ["animacy", "net layer3", "pixels", "untrained net layer3"]
    last = figures.last_layers(result.table)
    (points,) = [x for x in left.lines if x.get_color() == COLORS[0]]
    np.testing.assert_array_equal(points.get_xdata(), np.sort(last["similarity"]))
    assert left.get_xlabel() == "similarity (Spearman ρ-a)"


def test_last_layers_do_not_depend_on_the_order_of_rows_nor_on_similarity():
    table = simulate().table
    expected = {("net", "layer3"), ("untrained:net", "layer3"), ("animacy", ""), ("pixels", "")}
    for part in (table, table.iloc[::-1], table.assign(similarity=-table["similarity"])):
        last = figures.last_layers(part)
        assert set(zip(last["network"], last["layer"], strict=True)) == expected


def test_models_without_layer_index_are_drawn():
    d92 = rf.datasets.images92()
    models = d92.models.sel(name=["animacy", "HMAX"])
    labels = {"network": ["a", "b"], "layer": ["", ""], "layer_index": [np.nan, np.nan]}
    models = rf.RDMs(models.vectors, models.conditions, models.measure, labels)
    result = rf.evaluate(models, d92.rdms.sel(region="behaviour"), n_boot=20)
    left, right = figures.plot_models(result)
    assert len(left.get_yticklabels()) == 2


def test_pairs_say_which_of_two_is_more_similar():
    result = simulate(networks=(), models=("a", "b"))
    table = result.table.assign(similarity=[0.1, 0.3])
    for difference, p, expected in ((-0.2, 0.01, 1.0), (-0.2, 0.2, 0.0), (0.2, 0.01, -1.0)):
        pairs = result.pairs.assign(difference=difference, p_corrected=p)
        _, right = figures.plot_models(dataclasses.replace(result, table=table, pairs=pairs))
        image = np.ma.filled(right.images[0].get_array(), np.nan)
        # a (lower) is row 0, b is row 1; difference is a - b.
        assert image[1, 0] == expected
        assert image[0, 1] == -expected
        assert np.isnan(np.diag(image)).all()


def test_every_subject_is_a_dot_and_stars_are_what_differs_from_zero():
    result = simulate(networks=(), models=("a", "b", "c"), n_subjects=5)
    left, _ = figures.plot_models(result)
    dots = [x for x in left.lines if len(x.get_xdata()) == 5]
    assert len(dots) == 3
    stars = [t for t in left.texts if t.get_text() == "*"]
    assert len(stars) == (result.table["p_corrected"] < 0.05).sum() == 2


def test_rows_are_drawn_as_given():
    result = simulate()
    rows = result.table[result.table["layer"] == "layer1"]
    left, _ = figures.plot_models(result, rows=rows)
    assert [t.get_text().split()[-2] for t in left.get_yticklabels()] == ["layer1", "layer1"]


@pytest.mark.parametrize(("n", "match"), [(0, "got 0"), (31, "got 31")])
def test_too_many_or_no_models_are_refused(n, match):
    result = simulate(networks=(), models=[f"m{i}" for i in range(max(n, 1))])
    with pytest.raises(InputError, match=match):
        figures.plot_models(result, rows=result.table[:n])


@pytest.mark.parametrize("option", [{"region": "ITT"}, {"subset": "al"}])
def test_unknown_region_or_subset_of_models_is_refused(option):
    with pytest.raises(InputError, match=next(iter(option.values()))):
        figures.plot_models(simulate(), **option)


# RDMs


@pytest.fixture(scope="module")
def rdms():
    rng = np.random.default_rng(0)
    names = ["d", "a", "c", "b"]
    return rf.RDMs(rng.random((3, 6)), names, "simulated", {"name": ["x", "y", "z"]})


def test_rdms_are_drawn_in_the_order_of_groups(rdms):
    ax = figures.plot_rdms(rdms, groups=["k", "m", "k", "m"], ranked=False)
    order = [0, 2, 1, 3]
    for i, axes in enumerate(ax):
        shown = np.ma.filled(axes.images[0].get_array(), np.nan)
        expected = rdms.matrices()[i][np.ix_(order, order)]
        np.fill_diagonal(expected, np.nan)
        np.testing.assert_array_equal(shown, expected)
    assert [t.get_text() for t in ax[0].get_yticklabels()] == ["k", "m"]
    assert [a.get_title() for a in ax] == ["x", "y", "z"]


def test_percentiles_share_a_scale_with_ties_in_the_middle():
    tied = rf.RDMs([[0, 0, 0, 1, 1, np.nan]], list("abcd"), "simulated")
    (axes,) = figures.plot_rdms(tied, titles=["t"])
    values = np.unique(np.ma.filled(axes.images[0].get_array(), np.nan))
    np.testing.assert_allclose(values[~np.isnan(values)], [30, 80])
    assert axes.images[0].get_clim() == (0, 100)
    assert "percentile" in texts(axes.figure)


def test_raw_dissimilarities_are_called_so(rdms):
    written = texts(figures.plot_rdms(rdms, ranked=False)[0].figure)
    assert "percentile" not in written


def test_columns_wrap(rdms):
    ax = figures.plot_rdms(rdms, n_columns=2)
    assert ax.shape == (3,)
    assert ax[2].get_position().y1 < ax[0].get_position().y0 + 0.01


@pytest.mark.parametrize(
    ("options", "match"),
    [({"titles": ["one"]}, "3 titles.*got 1"), ({"groups": ["g"] * 5}, "4 groups.*got 5")],
)
def test_wrong_numbers_of_titles_or_groups_are_refused(rdms, options, match):
    with pytest.raises(InputError, match=match):
        figures.plot_rdms(rdms, **options)


# Map


@pytest.fixture(scope="module")
def square():
    """Return a simulated square of four conditions, which two dimensions hold exactly."""
    points = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
    return rf.compute_rdms(points, conditions=list("abcd"), measure="euclidean")


@pytest.fixture(scope="module")
def stimuli():
    images = [np.full((8, 8, 3), 50 * i, dtype=np.uint8) for i in range(4)]
    table = pd.DataFrame({"kind": ["p", "p", "q", "q"]}, index=list("abcd"))
    return rf.stimuli.StimulusSet.from_arrays(images, list("abcd"), table)


def stress(ax):
    return float(ax.get_title(loc="left").rsplit("= ", 1)[1])


def test_a_flat_geometry_has_no_stress_and_every_stimulus_is_there(square, stimuli):
    ax = figures.plot_mds(square, stimuli, color="kind", title="simulated")
    assert stress(ax) == 0
    assert ax.get_title(loc="left").startswith("simulated: ")
    assert len(ax.images) == 4
    frames = [to_hex(p.get_edgecolor()) for p in ax.patches]
    assert frames == [c.lower() for c in (COLORS[0], COLORS[0], COLORS[1], COLORS[1])]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["p", "q"]
    assert ax.get_legend().get_title().get_text() == "kind"


def test_distances_on_the_map_follow_the_rdm(square, stimuli):
    ax = figures.plot_mds(square, stimuli)
    places = np.array([[np.mean(i.get_extent()[:2]), np.mean(i.get_extent()[2:])]
                       for i in ax.images])  # fmt: skip
    row, col = np.triu_indices(4, k=1)
    distances = np.linalg.norm(places[row] - places[col], axis=1)
    expected = square.vectors[0]
    np.testing.assert_allclose(distances / distances.max(), expected / expected.max(), atol=0.02)
    assert ax.get_aspect() in {"equal", 1.0}


def test_the_map_is_the_same_for_the_same_seed(stimuli):
    rdm = rf.RDMs(np.random.default_rng(0).random((1, 6)), list("abcd"), "simulated")
    one, two = (figures.plot_mds(rdm, stimuli, seed=3) for _ in range(2))
    assert [i.get_extent() for i in one.images] == [i.get_extent() for i in two.images]
    assert 0 < stress(one) < 1


def test_thumbnails_of_92_stimuli_do_not_cover_each_other():
    d92 = rf.datasets.images92()
    mean = d92.rdms.sel(region="human IT").mean()
    ax = figures.plot_mds(mean, d92.stimuli, color="category")
    low = np.array([[i.get_extent()[0], i.get_extent()[2]] for i in ax.images])
    high = np.array([[i.get_extent()[1], i.get_extent()[3]] for i in ax.images])
    shared = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
    area = np.prod(np.clip(shared, 0, None), axis=-1)
    np.fill_diagonal(area, 0)
    assert area.max() < 0.05 * np.prod(high[0] - low[0])


def test_maps_of_what_cannot_be_mapped_are_refused(square, stimuli):
    two = rf.RDMs(np.vstack([square.vectors] * 2), list("abcd"), "simulated")
    with pytest.raises(InputError, match="got 2"):
        figures.plot_mds(two, stimuli)
    missing = rf.RDMs([[np.nan, 1, 1, 1, 1, 1]], list("abcd"), "simulated")
    with pytest.raises(InputError, match="1 are missing"):
        figures.plot_mds(missing, stimuli)
    with pytest.raises(InputError, match="kidn"):
        figures.plot_mds(square, stimuli, color="kidn")
    other = rf.RDMs(square.vectors, list("abcx"), "simulated")
    with pytest.raises(ConditionMismatchError, match="x"):
        figures.plot_mds(other, stimuli)


# Files and style


@pytest.mark.parametrize("draw", [figures.plot_layers, figures.plot_models])
def test_the_same_figure_gives_the_same_bytes(draw, tmp_path):
    for folder in ("one", "two"):
        figure = draw(simulate()).flat[0].figure
        paths = figures.save_figure(figure, tmp_path / folder / "f.v1")
        assert [p.name for p in paths] == ["f.v1.svg", "f.v1.png", "f.v1.pdf"]
    for name in ("f.v1.svg", "f.v1.png", "f.v1.pdf"):
        one, two = ((tmp_path / f / name).read_bytes() for f in ("one", "two"))
        assert one == two, name
    assert not list(tmp_path.rglob("*.part*"))


def test_text_stays_text_in_svg(tmp_path):
    svg, _, _ = figures.save_figure(figures.plot_models(simulate())[0].figure, tmp_path / "f")
    assert "untrained net layer3" in svg.read_text(encoding="utf-8")


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    figure = figures.plot_models(simulate())[0].figure
    svg, *_ = figures.save_figure(figure, tmp_path / "f")
    before = svg.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("the disk is full")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OSError, match="the disk is full"):
        figures.save_figure(figure, tmp_path / "f")
    assert svg.read_bytes() == before


def test_the_users_settings_come_back():
    with mpl.rc_context({"font.size": 13.0}):
        figures.plot_layers(simulate())
        figures.plot_models(simulate())
        assert mpl.rcParams["font.size"] == 13.0


def test_figures_do_not_change_the_result():
    result = simulate()
    before = result.to_json()
    figures.plot_layers(result)
    figures.plot_models(result)
    assert result.to_json() == before


def test_long_names_are_broken_or_shortened():
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert len(shortened("abcdefghijk", 10)) <= 10
    assert shortened("abcdefghijk", 10).startswith("abc")
    assert shortened("abcdefghijk", 10).endswith("k")
    assert wrapped("one-two", 10, 7) == "one-two"
    assert wrapped("one-two", 0.2, 7) == "one-\ntwo"
